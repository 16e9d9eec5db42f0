//! One column's values from PostgreSQL's binary form into an Arrow builder.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringArray, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use crate::source::postgres::numeric;
use crate::source::postgres::types::PgKind;

/// The values of a column so far.
pub(super) enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Numeric(Decimal128Builder, u8, i8),
    /// Whether it is UTF-8 is looked at when all are there, which costs much less than for each value.
    Text(BinaryBuilder),
    Jsonb(BinaryBuilder),
    Uuid(StringBuilder),
    Bytea(BinaryBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

/// More bytes of text are not reserved, for one long value is no sign of another.
const ROOM: usize = 1 << 19;

pub(crate) const DAYS_TO_2000: i32 = 10_957;
pub(crate) const MICROSECONDS_TO_2000: i64 = 946_684_800_000_000;

impl ColumnBuilder {
    pub(super) fn new(kind: PgKind) -> Result<Self, ArrowError> {
        let timestamp = || TimestampMicrosecondBuilder::new().with_data_type(kind.arrow_type());
        Ok(match kind {
            PgKind::Bool => Self::Bool(BooleanBuilder::new()),
            PgKind::Int2 => Self::Int2(Int16Builder::new()),
            PgKind::Int4 => Self::Int4(Int32Builder::new()),
            PgKind::Int8 => Self::Int8(Int64Builder::new()),
            PgKind::Float4 => Self::Float4(Float32Builder::new()),
            PgKind::Float8 => Self::Float8(Float64Builder::new()),
            PgKind::Numeric { precision, scale } => Self::Numeric(
                Decimal128Builder::new().with_precision_and_scale(precision, scale)?,
                precision,
                scale,
            ),
            PgKind::Text => Self::Text(BinaryBuilder::new()),
            PgKind::Jsonb => Self::Jsonb(BinaryBuilder::new()),
            PgKind::Uuid => Self::Uuid(StringBuilder::new()),
            PgKind::Bytea => Self::Bytea(BinaryBuilder::new()),
            PgKind::Date => Self::Date(Date32Builder::new()),
            PgKind::Timestamp | PgKind::Timestamptz => Self::Timestamp(timestamp()),
        })
    }

    /// Takes in one value; says what is wrong with it otherwise, with `{column}` for the column's name, and then has taken
    /// in nothing.
    pub(super) fn append(&mut self, value: Option<&[u8]>) -> Result<(), String> {
        macro_rules! append {
            ($builder:expr, $decode:expr) => {
                match value {
                    None => $builder.append_null(),
                    Some(bytes) => $builder.append_value($decode(bytes)?),
                }
            };
        }
        match self {
            Self::Bool(b) => append!(b, |v| fixed(v).map(|[byte]: [u8; 1]| byte != 0)),
            Self::Int2(b) => append!(b, |v| fixed(v).map(i16::from_be_bytes)),
            Self::Int4(b) => append!(b, |v| fixed(v).map(i32::from_be_bytes)),
            Self::Int8(b) => append!(b, |v| fixed(v).map(i64::from_be_bytes)),
            Self::Float4(b) => append!(b, |v| fixed(v).map(f32::from_be_bytes)),
            Self::Float8(b) => append!(b, |v| fixed(v).map(f64::from_be_bytes)),
            Self::Numeric(b, precision, scale) => append!(b, |v| numeric::decode(v, *precision, *scale)
                .map_err(|why| format!("{why}; write {{column}}::double precision in source.query"))),
            Self::Text(b) => append!(b, Ok::<&[u8], String>),
            Self::Jsonb(b) => append!(b, jsonb),
            Self::Uuid(b) => append!(b, |v| fixed(v).map(uuid)),
            Self::Bytea(b) => append!(b, Ok::<&[u8], String>),
            Self::Date(b) => append!(b, |v| fixed(v).and_then(date)),
            Self::Timestamp(b) => append!(b, |v| fixed(v).and_then(timestamp)),
        }
        Ok(())
    }

    /// The array of everything taken in; starts anew, with room for as much again: builders that grow by doubling leave
    /// the memory in pieces. Says what is wrong with which value, by its number, as [`Self::append`] does.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, (usize, String)> {
        macro_rules! finish {
            ($builder:expr, $anew:expr) => {{
                let array = $builder.finish();
                *$builder = $anew(array.len());
                Arc::new(array)
            }};
        }
        Ok(match self {
            Self::Bool(b) => finish!(b, BooleanBuilder::with_capacity),
            Self::Int2(b) => finish!(b, Int16Builder::with_capacity),
            Self::Int4(b) => finish!(b, Int32Builder::with_capacity),
            Self::Int8(b) => finish!(b, Int64Builder::with_capacity),
            Self::Float4(b) => finish!(b, Float32Builder::with_capacity),
            Self::Float8(b) => finish!(b, Float64Builder::with_capacity),
            Self::Text(b) | Self::Jsonb(b) => texts(binary(b))?,
            Self::Uuid(b) => {
                let bytes = b.values_slice().len().min(ROOM);
                finish!(b, |rows| StringBuilder::with_capacity(rows, bytes))
            }
            Self::Bytea(b) => Arc::new(binary(b)),
            Self::Date(b) => finish!(b, Date32Builder::with_capacity),
            Self::Numeric(b, ..) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
        })
    }
}

/// See [`ColumnBuilder::finish`].
fn binary(builder: &mut BinaryBuilder) -> BinaryArray {
    let bytes = builder.values_slice().len().min(ROOM);
    let array = builder.finish();
    *builder = BinaryBuilder::with_capacity(array.len(), bytes);
    array
}

/// The same values as text.
fn texts(bytes: BinaryArray) -> Result<ArrayRef, (usize, String)> {
    // No copy: these are the same buffers.
    if let Ok(texts) = StringArray::try_from_binary(bytes.clone()) {
        return Ok(Arc::new(texts));
    }
    let wrong = |(row, value): (usize, Option<&[u8]>)| {
        let error = std::str::from_utf8(value?).err()?;
        let why = format!(
            "the text is not valid UTF-8 from byte {} on; write convert_to({{column}}, 'UTF8') in source.query",
            error.valid_up_to()
        );
        Some((row, why))
    };
    let unknown = || (0, "the text is not valid UTF-8".to_owned());
    Err(bytes.iter().enumerate().find_map(wrong).unwrap_or_else(unknown))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes
        .try_into()
        .map_err(|_| format!("{} bytes arrived where {N} were expected", bytes.len()))
}

fn jsonb(bytes: &[u8]) -> Result<&[u8], String> {
    match bytes.split_first() {
        Some((1, json)) => Ok(json),
        _ => Err("jsonb arrived in an unknown version; write {column}::json in source.query".to_owned()),
    }
}

fn uuid(bytes: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ]
    .join("-")
}

fn date(bytes: [u8; 4]) -> Result<i32, String> {
    match i32::from_be_bytes(bytes) {
        i32::MAX | i32::MIN => Err(infinite("date")),
        days => days.checked_add(DAYS_TO_2000).ok_or_else(|| {
            "the date lies beyond what a date can be here; write {column}::text in source.query".to_owned()
        }),
    }
}

fn timestamp(bytes: [u8; 8]) -> Result<i64, String> {
    match i64::from_be_bytes(bytes) {
        i64::MAX | i64::MIN => Err(infinite("timestamp")),
        microseconds => microseconds.checked_add(MICROSECONDS_TO_2000).ok_or_else(|| {
            "the timestamp lies beyond the year 294246; write {column}::text in source.query".to_owned()
        }),
    }
}

fn infinite(what: &str) -> String {
    format!(
        "an infinite {what} has no counterpart here; leave the row out, or write \
         CASE WHEN isfinite({{column}}) THEN {{column}} END in source.query"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn wrong_lengths_and_values_are_refused() {
        for (kind, bytes) in [
            (PgKind::Bool, &b""[..]),
            (PgKind::Int8, b"1234567"),
            (PgKind::Uuid, b"123456789012345"),
            (PgKind::Jsonb, b"\x02{}"),
            (PgKind::Jsonb, b""),
            (PgKind::Date, &i32::MAX.to_be_bytes()),
            (PgKind::Date, &(i32::MAX - 1).to_be_bytes()),
            (PgKind::Timestamp, &i64::MIN.to_be_bytes()),
            (PgKind::Timestamptz, &(i64::MAX - 1).to_be_bytes()),
        ] {
            let mut builder = ColumnBuilder::new(kind).unwrap();
            assert!(builder.append(Some(bytes)).is_err(), "{kind:?}");
            assert_eq!(builder.finish().unwrap().len(), 0);
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_number() {
        // Together the two halves of a letter would be text.
        for values in [&[b"a", &b"\xff"[..]][..], &[b"a", b"\xc3", b"\xa9"]] {
            let mut builder = ColumnBuilder::new(PgKind::Text).unwrap();
            for value in values {
                builder.append(Some(value)).unwrap();
            }
            let (row, why) = builder.finish().unwrap_err();
            assert!(row == 1 && why.contains("from byte 0 on"), "{why}");
        }
    }
}
