//! Keys as they are stored in a dataset's history, to and from values of a column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float32Array, Float64Array, Int64Array, StringArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;

use crate::error::{Error, Result};
use crate::key::Key;

/// Refuses a key column whose values have no order. `given` is its type in the files.
pub(super) fn check_key(field: &Field, given: &DataType) -> Result<()> {
    match field.data_type() {
        DataType::List(_) | DataType::Struct(_) => Err(Error::KeyType {
            key: field.name().clone(),
            given: given.to_string(),
            expected: "a column of numbers, text, dates, timestamps, booleans or bytes",
        }),
        _ => Ok(()),
    }
}

/// The value at `row`, which is not null.
///
/// Integers, numbers, text and bytes are what they are; other types are their text. What these cannot tell, as the bits of
/// a NaN, the sign of zero or a year of five digits, is the integer that stands for it in Arrow.
pub(super) fn key_at(column: &ArrayRef, row: usize) -> Result<Key> {
    let value = column.slice(row, 1);
    Ok(match column.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Key::Int(integer(&value)?),
        DataType::Utf8 => Key::Text(value.as_string::<i32>().value(0).to_owned()),
        DataType::Binary => Key::Blob(value.as_binary::<i32>().value(0).to_owned()),
        DataType::Float32 => match value.as_primitive::<Float32Type>().value(0) {
            number if is_odd(number.into()) => Key::Int(i64::from(number.to_bits())),
            number => Key::Real(number.into()),
        },
        DataType::Float64 => match value.as_primitive::<Float64Type>().value(0) {
            number if is_odd(number) => Key::Int(number.to_bits().cast_signed()),
            number => Key::Real(number),
        },
        kind => {
            let key = Key::Text(array_value_to_string(&value, 0)?);
            match column_of(&key, kind) {
                Ok(back) if *back == *value => key,
                _ => Key::Int(integer(&value)?),
            }
        }
    })
}

/// A column of one value.
pub(super) fn column_of(key: &Key, kind: &DataType) -> Result<ArrayRef> {
    let value: ArrayRef = match (key, kind) {
        (Key::Int(bits), DataType::Float32) => {
            Arc::new(Float32Array::from(vec![f32::from_bits(*bits as u32)]))
        }
        (Key::Int(bits), DataType::Float64) => {
            Arc::new(Float64Array::from(vec![f64::from_bits(bits.cast_unsigned())]))
        }
        (Key::Int(value), DataType::Date32) => strict(
            &(Arc::new(Int64Array::from(vec![*value])) as ArrayRef),
            &DataType::Int32,
        )?,
        (Key::Int(value), _) => Arc::new(Int64Array::from(vec![*value])),
        (Key::Real(value), _) => Arc::new(Float64Array::from(vec![*value])),
        (Key::Text(value), _) => Arc::new(StringArray::from(vec![value.as_str()])),
        (Key::Blob(value), _) => Arc::new(BinaryArray::from(vec![value.as_slice()])),
        (Key::Row(_), _) => return Err(key.misfit()),
    };
    strict(&value, kind).map_err(|e| Error::Query {
        why: format!("{key} is no key of type {kind}: {e}"),
    })
}

/// Whether it differs in order from a number that it is equal to, or has none.
fn is_odd(number: f64) -> bool {
    number.is_nan() || (number == 0.0 && number.is_sign_negative())
}

fn integer(value: &ArrayRef) -> Result<i64> {
    Ok(strict(value, &DataType::Int64)?
        .as_primitive::<Int64Type>()
        .value(0))
}

fn strict(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions {
        safe: false,
        ..Default::default()
    };
    cast_with_options(column, to, &options)
}
