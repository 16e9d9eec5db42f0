//! The content hash: one number for a set of rows, whatever their order and however they are cut into batches.
//!
//! It is the sum modulo 2^128 of XXH3-128 over each row's canonical bytes. Those are, column after column: `0` for
//! null, else `1` and the value. Numbers, dates, timestamps and decimals are their fixed-width little-endian bytes, a
//! boolean is one byte, text and binary are a `u32` length and the bytes, a list is a `u32` length and its
//! items, a struct is its fields (items and fields are written as columns are). How Arrow holds text (plain, large, view,
//! dictionary) makes no difference; column names and the order of rows take no part.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::Result;

/// The content hash of some rows. The hash of two sets of rows together is the sum of theirs; no rows hash to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContentHash(u128);

impl ContentHash {
    /// The hash of the rows of a batch.
    pub fn of(batch: &RecordBatch) -> Result<Self> {
        let columns = batch
            .columns()
            .iter()
            .map(Column::new)
            .collect::<Result<Vec<_>>>()?;
        let mut sum = 0u128;
        let mut bytes = Vec::with_capacity(256);
        for row in 0..batch.num_rows() {
            bytes.clear();
            for column in &columns {
                column.encode(row, &mut bytes);
            }
            sum = sum.wrapping_add(xxh3_128(&bytes));
        }
        Ok(Self(sum))
    }
}

impl Add for ContentHash {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl AddAssign for ContentHash {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for ContentHash {
    fn sum<I: Iterator<Item = Self>>(hashes: I) -> Self {
        hashes.fold(Self::default(), Add::add)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for ContentHash {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A column, downcast once so that the loop over rows does not have to.
struct Column {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Boolean(BooleanBuffer),
    Fixed {
        bytes: Buffer,
        width: usize,
    },
    Bytes {
        offsets: OffsetBuffer<i32>,
        bytes: Buffer,
    },
    List {
        offsets: OffsetBuffer<i32>,
        items: Box<Column>,
    },
    Struct(Vec<Column>),
}

impl Column {
    fn new(array: &ArrayRef) -> Result<Self> {
        let array = match canonical(array.data_type()) {
            Some(kind) => cast(array, &kind)?,
            None => array.clone(),
        };
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean().values().clone()),
            DataType::Utf8 => {
                let text = array.as_string::<i32>();
                Values::Bytes {
                    offsets: text.offsets().clone(),
                    bytes: text.values().clone(),
                }
            }
            DataType::Binary => {
                let binary = array.as_binary::<i32>();
                Values::Bytes {
                    offsets: binary.offsets().clone(),
                    bytes: binary.values().clone(),
                }
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List {
                    offsets: list.offsets().clone(),
                    items: Box::new(Self::new(list.values())?),
                }
            }
            DataType::Struct(_) => Values::Struct(
                array
                    .as_struct()
                    .columns()
                    .iter()
                    .map(Self::new)
                    .collect::<Result<_>>()?,
            ),
            kind => {
                let Some(width) = kind.primitive_width() else {
                    return Err(ArrowError::NotYetImplemented(format!("content hash of {kind}")).into());
                };
                let data = array.to_data();
                Values::Fixed {
                    bytes: data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width),
                    width,
                }
            }
        };
        Ok(Self {
            nulls: array.nulls().cloned(),
            values,
        })
    }

    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        if matches!(self.values, Values::Null) || self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
        {
            out.push(0);
            return;
        }
        out.push(1);
        match &self.values {
            Values::Null => {}
            Values::Boolean(bits) => out.push(bits.value(row).into()),
            // Arrow's own layout is little-endian on every machine this runs on.
            Values::Fixed { bytes, width } => out.extend_from_slice(&bytes[row * width..(row + 1) * width]),
            Values::Bytes { offsets, bytes } => {
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                out.extend_from_slice(&((end - start) as u32).to_le_bytes());
                out.extend_from_slice(&bytes[start..end]);
            }
            Values::List { offsets, items } => {
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                out.extend_from_slice(&((end - start) as u32).to_le_bytes());
                (start..end).for_each(|item| items.encode(item, out));
            }
            Values::Struct(fields) => fields.iter().for_each(|field| field.encode(row, out)),
        }
    }
}

/// The type whose layout is hashed, where it is not the given one. Items of lists and fields of structs are looked at in turn.
fn canonical(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Some(DataType::Binary),
        DataType::Dictionary(_, value) => Some(canonical(value).unwrap_or_else(|| value.as_ref().clone())),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(DataType::List(item.clone())),
        _ => None,
    }
}
