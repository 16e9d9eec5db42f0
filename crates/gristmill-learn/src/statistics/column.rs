//! Reading a column as categories, text or numbers, with its type checked by name.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, Scalar, StringArray};
use arrow::compute::cast;
use arrow::compute::kernels::numeric::add;
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use serde_json::json;

use crate::contract::reads::Reads;
use crate::error::{Error, Result};
use crate::settings::Values;

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

/// The values of a row in these columns as one text: of one column its text form, of several the JSON list of these, null where
/// one of them is.
pub(crate) fn together(batch: &RecordBatch, columns: &[String], step: &str) -> Result<StringArray> {
    let texts = columns
        .iter()
        .map(|column| strings(batch, column, Reads::Category, step));
    let mut texts: Vec<StringArray> = texts.collect::<Result<_>>()?;
    if texts.len() == 1 {
        return Ok(texts.swap_remove(0));
    }
    let row = |row: usize| -> Option<String> {
        let values = texts
            .iter()
            .map(|text| text.is_valid(row).then(|| text.value(row)));
        Some(json!(values.collect::<Option<Vec<_>>>()?).to_string())
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

/// `column` of `batch` as numbers; NaN is null, infinity and what is near it an error.
pub(crate) fn numbers(batch: &RecordBatch, column: &str, step: &str) -> Result<Float64Array> {
    Reads::Number.check(batch.schema_ref(), column, step)?;
    as_number(find(batch, column)?)?
        .iter()
        .map(|value| match value {
            Some(x) if x.abs() > Values::LARGEST => Err(Error::NotFinite {
                column: column.to_owned(),
                step: step.to_owned(),
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
        // Equal numbers are one category: -0.0 is 0.0.
        kind if kind.is_floating() => {
            let zero = Scalar::new(cast(&Float64Array::from(vec![0.0]), kind)?);
            cast(&add(&array, &zero)?, &DataType::Utf8)?
        }
        _ => cast(array, &DataType::Utf8)?,
    };
    Ok(text.as_string::<i32>().clone())
}

/// The numbers of a column, whatever its type; those of days and instants as [`Reads::Number`] has them.
pub(crate) fn as_number(array: &dyn Array) -> Result<Float64Array> {
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
