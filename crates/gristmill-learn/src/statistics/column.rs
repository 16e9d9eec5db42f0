//! Reading a column as categories, text or numbers, with its type checked by name.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Float64Type, Schema, TimeUnit};

use crate::error::{Error, Result};

/// Numbers beyond this are refused: their squares, summed over the rows, would overflow.
const LARGEST: f64 = 1e150;

/// What a step reads a column as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Anything with a text form of its own.
    Category,
    /// Text.
    Text,
    /// Anything with a place on the number line: dates are days, timestamps seconds since 1970-01-01 UTC.
    Number,
    /// A number proper, and no date, moment or boolean: what a regression can learn.
    Quantity,
}

impl Reads {
    /// Checks that `schema` has `column` with a type that can be read so.
    pub(crate) fn check(self, schema: &Schema, column: &str, step: &str) -> Result<()> {
        let field = schema
            .field_with_name(column)
            .map_err(|_| Error::missing_column(column, schema))?;
        let (accepted, expected) = match self {
            Self::Category => (
                is_category(field.data_type()),
                "text, a number, a boolean or a date",
            ),
            Self::Text => (is_text(field.data_type()), "text"),
            Self::Number => (
                is_number(field.data_type()),
                "a number, a boolean, a date or a timestamp",
            ),
            Self::Quantity => (
                field.data_type().is_numeric() || *field.data_type() == DataType::Null,
                "an integer, a float or a decimal: convert it in the query, or let a classifier learn its values",
            ),
        };
        if accepted {
            return Ok(());
        }
        Err(Error::ColumnType {
            column: column.to_owned(),
            step: step.to_owned(),
            expected,
            given: field.data_type().to_string(),
        })
    }
}

/// The column `column` of `batch`.
pub(crate) fn find<'a>(batch: &'a RecordBatch, column: &str) -> Result<&'a ArrayRef> {
    batch
        .column_by_name(column)
        .ok_or_else(|| Error::missing_column(column, batch.schema_ref()))
}

/// `column` of `batch` in its text form.
pub(crate) fn strings(batch: &RecordBatch, column: &str, reads: Reads, step: &str) -> Result<StringArray> {
    reads.check(batch.schema_ref(), column, step)?;
    as_text(find(batch, column)?)
}

/// `column` of `batch` as numbers; NaN is null, infinity and what is near it an error.
pub(crate) fn numbers(batch: &RecordBatch, column: &str, step: &str) -> Result<Float64Array> {
    Reads::Number.check(batch.schema_ref(), column, step)?;
    as_number(find(batch, column)?)?
        .iter()
        .map(|value| match value {
            Some(x) if x.abs() > LARGEST => Err(Error::NotFinite {
                column: column.to_owned(),
                value: x,
            }),
            other => Ok(other.filter(|x| !x.is_nan())),
        })
        .collect()
}

/// The text form of every value. Timestamps are written in UTC, whatever their time zone.
pub(crate) fn as_text(array: &dyn Array) -> Result<StringArray> {
    let text = match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            // Formatting in a named zone needs a time zone database; the instant does not.
            let instant = cast(&cast(array, &DataType::Int64)?, &DataType::Timestamp(*unit, None))?;
            cast(&instant, &DataType::Utf8)?
        }
        _ => cast(array, &DataType::Utf8)?,
    };
    Ok(text.as_string::<i32>().clone())
}

/// Whether [`as_text`] gives every value of this type a text form of its own.
pub(crate) fn is_category(data_type: &DataType) -> bool {
    !data_type.is_nested() && !data_type.is_binary() && can_cast_types(data_type, &DataType::Utf8)
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_number(data_type: &DataType) -> bool {
    use DataType::{Boolean, Date32, Date64, Null, Timestamp};
    data_type.is_numeric() || matches!(data_type, Boolean | Date32 | Date64 | Timestamp(..) | Null)
}

fn as_number(array: &dyn Array) -> Result<Float64Array> {
    let per_unit = match array.data_type() {
        DataType::Date64 => 86_400_000.0,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1e3,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1e6,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 1e9,
        _ => 1.0,
    };
    let ticks = match array.data_type() {
        DataType::Date32 => cast(array, &DataType::Int32)?,
        DataType::Date64 | DataType::Timestamp(..) => cast(array, &DataType::Int64)?,
        _ => array.slice(0, array.len()),
    };
    let numbers = cast(&ticks, &DataType::Float64)?;
    Ok(numbers.as_primitive::<Float64Type>().unary(|x| x / per_unit))
}
