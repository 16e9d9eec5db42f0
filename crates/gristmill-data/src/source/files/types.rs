//! What becomes of the types that files can have: those of a Delta table, without loss or with an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::error::{Error, Result};
use crate::table::delta_schema;

/// The columns that a dataset has for these.
pub(super) fn held_schema(schema: &Schema) -> Result<SchemaRef> {
    let fields = schema.fields().iter().map(held_field);
    delta_schema(&Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows with the columns of [`held_schema`]. `row` names one of them for a message.
pub(super) fn to_held(
    rows: &RecordBatch,
    schema: &SchemaRef,
    row: impl Fn(usize) -> String,
) -> Result<RecordBatch> {
    let columns = rows.columns().iter().zip(schema.fields()).map(|(column, field)| {
        convert(column, field.data_type()).map_err(|error| {
            let fails = |i: &usize| convert(&column.slice(*i, 1), field.data_type()).is_err();
            Error::Value {
                column: field.name().clone(),
                row: (0..column.len()).find(fails).map_or_else(String::new, &row),
                why: format!("{}; write a CAST in source.query", reason(error)),
            }
        })
    });
    Ok(RecordBatch::try_new(
        schema.clone(),
        columns.collect::<Result<_>>()?,
    )?)
}

/// The column with the type `to`, which [`held_schema`] has for its own.
pub(super) fn convert(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    use DataType as T;
    match (column.data_type(), to) {
        (from, to) if from == to => Ok(column.clone()),
        (T::Dictionary(_, value), _) => convert(&strict(column, value)?, to),
        (T::RunEndEncoded(_, value), _) => convert(&strict(column, value.data_type())?, to),
        (T::Map(..), T::List(item)) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            list(map.offsets(), &entries, map.nulls(), item)
        }
        (T::List(_), T::List(item)) => {
            let from = column.as_list::<i32>();
            list(from.offsets(), from.values(), from.nulls(), item)
        }
        (
            T::LargeList(from) | T::FixedSizeList(from, _) | T::ListView(from) | T::LargeListView(from),
            T::List(_),
        ) => convert(&strict(column, &T::List(from.clone()))?, to),
        (T::Struct(_), T::Struct(fields)) => {
            let from = column.as_struct();
            let columns = from.columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| convert(column, field.data_type()));
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns.collect::<Result<_, _>>()?,
                from.nulls().cloned(),
                from.len(),
            )?))
        }
        (from @ (T::Timestamp(TimeUnit::Nanosecond, _) | T::Date64), _) => {
            let converted = strict(column, to)?;
            if *strict(&converted, from)? != **column {
                return Err(ArrowError::CastError(match from {
                    T::Date64 => "its time of day has no place in a date".to_owned(),
                    _ => "its nanoseconds have no place in microseconds".to_owned(),
                }));
            }
            Ok(converted)
        }
        _ => strict(column, to),
    }
}

/// A list whose items are converted: those it has, and not the others that its slice of a longer array brings along.
fn list(
    offsets: &OffsetBuffer<i32>,
    values: &ArrayRef,
    nulls: Option<&NullBuffer>,
    item: &FieldRef,
) -> Result<ArrayRef, ArrowError> {
    let first = offsets.first().copied().unwrap_or_default();
    let last = offsets.last().copied().unwrap_or_default();
    let values = values.slice(first as usize, (last - first) as usize);
    let offsets = OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect());
    let values = convert(&values, item.data_type())?;
    Ok(Arc::new(ListArray::try_new(
        item.clone(),
        offsets,
        values,
        nulls.cloned(),
    )?))
}

fn held_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), held(field.data_type()), true))
}

/// The next type that [`delta_schema`] knows, for one that it does not.
fn held(kind: &DataType) -> DataType {
    use DataType as T;
    match kind {
        T::Null | T::Time32(_) | T::Time64(_) => T::Utf8,
        T::Timestamp(TimeUnit::Nanosecond, zone) => T::Timestamp(TimeUnit::Microsecond, zone.clone()),
        T::Date64 => T::Date32,
        T::Decimal256(precision @ ..=38, scale) => T::Decimal128(*precision, *scale),
        T::Dictionary(_, value) => held(value),
        T::RunEndEncoded(_, value) => held(value.data_type()),
        T::List(item)
        | T::LargeList(item)
        | T::FixedSizeList(item, _)
        | T::ListView(item)
        | T::LargeListView(item) => T::List(held_field(item)),
        // Its entries: a struct of key and value.
        T::Map(entries, _) => T::List(held_field(entries)),
        T::Struct(fields) => T::Struct(fields.iter().map(held_field).collect()),
        kind => kind.clone(),
    }
}

fn strict(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions {
        safe: false,
        ..Default::default()
    };
    cast_with_options(column, to, &options)
}

/// The error without the name of its kind.
fn reason(error: ArrowError) -> String {
    match error {
        ArrowError::CastError(why)
        | ArrowError::ComputeError(why)
        | ArrowError::InvalidArgumentError(why)
        | ArrowError::ArithmeticOverflow(why) => why,
        error => error.to_string(),
    }
}
