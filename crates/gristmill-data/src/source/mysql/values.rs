//! Rows of MySQL's binary protocol into record batches; a value with no counterpart is an error.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use chrono::{Datelike, NaiveDate};
use mysql_async::{Row, Value};

use crate::budget::RowBudget;
use crate::error::{Error, Result};
use crate::source::mysql::dialect::quoted;
use crate::source::mysql::types::{MyColumn, MyKind};
use crate::source::names::row_named;
use crate::source::{MAX_BATCH_BYTES, MAX_BATCH_ROWS};

/// Gathers rows into record batches of bounded size.
pub(super) struct Batches {
    columns: Arc<[MyColumn]>,
    schema: SchemaRef,
    /// Which columns are the key.
    key: Arc<[usize]>,
    memory: RowBudget,
    builders: Vec<ColumnBuilder>,
    rows: usize,
    bytes: usize,
}

impl Batches {
    pub(super) fn new(
        columns: Arc<[MyColumn]>,
        schema: SchemaRef,
        key: Arc<[usize]>,
        memory: RowBudget,
    ) -> Result<Self> {
        let builders = columns
            .iter()
            .map(|c| ColumnBuilder::new(c.kind))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            columns,
            schema,
            key,
            memory,
            builders,
            rows: 0,
            bytes: 0,
        })
    }

    /// Takes in a row; returns the batch that it makes full.
    pub(super) fn push(&mut self, row: Row) -> Result<Option<RecordBatch>> {
        let values = row.unwrap();
        for ((column, builder), value) in self.columns.iter().zip(&mut self.builders).zip(&values) {
            let length = match value {
                Value::Bytes(bytes) => bytes.len(),
                _ => 8,
            };
            self.bytes += length;
            let appended = match self.memory.refused(length) {
                Some(why) => Err(why),
                None => builder.append(value, column),
            };
            appended.map_err(|why| Error::Value {
                column: column.name.clone(),
                row: row_named(&self.key, |i| &self.columns[i].name, |i| shown(&values[i])),
                why,
            })?;
        }
        self.rows += 1;
        if self.rows >= MAX_BATCH_ROWS || self.bytes >= MAX_BATCH_BYTES {
            self.finish()
        } else {
            Ok(None)
        }
    }

    /// The rows since the last batch.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let arrays: Vec<ArrayRef> = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        (self.rows, self.bytes) = (0, 0);
        Ok(Some(RecordBatch::try_new(self.schema.clone(), arrays)?))
    }
}

/// The text that the bytes are.
pub(super) fn text<'a>(bytes: &'a [u8], column: &MyColumn) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        format!(
            "the text is not valid UTF-8 from byte {} on; write CAST({} AS BINARY) in source.query",
            error.valid_up_to(),
            quoted(&column.name)
        )
    })
}

/// A date, with its time of day where it has one, as the server reads it.
pub(super) fn date_text(value: &Value, column: &MyColumn) -> Result<String, String> {
    days(value, column)?;
    let Value::Date(year, month, day, hour, minute, second, micros) = value else {
        return Err(unexpected(value, column));
    };
    let date = format!("{year:04}-{month:02}-{day:02}");
    Ok(match column.kind {
        MyKind::Date => date,
        _ => format!("{date} {hour:02}:{minute:02}:{second:02}.{micros:06}"),
    })
}

/// A time as the server writes it, with so many digits after the seconds.
pub(super) fn time_text(value: &Value, digits: u8) -> Result<String, String> {
    let Value::Time(negative, days, hours, minutes, seconds, micros) = value else {
        return Err(format!("found {}, expected a time", shown(value)));
    };
    let sign = if *negative { "-" } else { "" };
    let hours = u64::from(*days) * 24 + u64::from(*hours);
    let time = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}");
    let unused = 6 - usize::from(digits.min(6));
    let length = time.len() - unused - usize::from(unused == 6);
    Ok(time[..length].to_owned())
}

enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    fn new(kind: MyKind) -> Result<Self, ArrowError> {
        Ok(match kind.arrow_type() {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int8 => Self::Int8(Int8Builder::new()),
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal(
                Decimal128Builder::new().with_precision_and_scale(precision, scale)?,
                precision,
                scale,
            ),
            DataType::Binary => Self::Binary(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            kind @ DataType::Timestamp(..) => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(kind))
            }
            _ => Self::Text(StringBuilder::new()),
        })
    }

    /// Takes in one value; says what is wrong with it otherwise, and what to write.
    fn append(&mut self, value: &Value, column: &MyColumn) -> Result<(), String> {
        macro_rules! append {
            ($builder:expr, $decode:expr) => {
                match value {
                    Value::NULL => $builder.append_null(),
                    value => $builder.append_value($decode(value)?),
                }
            };
        }
        macro_rules! narrow {
            ($value:expr) => {
                integer($value, column)?
                    .try_into()
                    .map_err(|_| unexpected($value, column))
            };
        }
        match self {
            Self::Boolean(b) => append!(b, |v| boolean(v, column)),
            Self::Int8(b) => append!(b, |v| narrow!(v)),
            Self::Int16(b) => append!(b, |v| narrow!(v)),
            Self::Int32(b) => append!(b, |v| narrow!(v)),
            Self::Int64(b) => append!(b, |v| narrow!(v)),
            Self::Float32(b) => match value {
                Value::NULL => b.append_null(),
                Value::Float(number) => b.append_value(*number),
                _ => return Err(unexpected(value, column)),
            },
            Self::Float64(b) => match value {
                Value::NULL => b.append_null(),
                Value::Double(number) => b.append_value(*number),
                _ => return Err(unexpected(value, column)),
            },
            Self::Decimal(b, precision, scale) => match (value, column.kind) {
                (Value::NULL, _) => b.append_null(),
                (Value::Bytes(digits), MyKind::Decimal { .. }) => {
                    let number = decimal(digits, *precision, *scale);
                    b.append_value(number.ok_or_else(|| unexpected(value, column))?);
                }
                _ => b.append_value(integer(value, column)?),
            },
            Self::Text(b) => match (value, column.kind) {
                (Value::NULL, _) => b.append_null(),
                (Value::Bytes(bytes), _) => b.append_value(text(bytes, column)?),
                (_, MyKind::Time(digits)) => b.append_value(time_text(value, digits)?),
                _ => return Err(unexpected(value, column)),
            },
            Self::Binary(b) => match value {
                Value::NULL => b.append_null(),
                Value::Bytes(bytes) => b.append_value(bytes),
                _ => return Err(unexpected(value, column)),
            },
            Self::Date(b) => append!(b, |v| days(v, column)),
            Self::Timestamp(b) => append!(b, |v| microseconds(v, column)),
        }
        Ok(())
    }

    /// The array of everything taken in; starts anew.
    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::Int8(b) => Arc::new(b.finish()),
            Self::Int16(b) => Arc::new(b.finish()),
            Self::Int32(b) => Arc::new(b.finish()),
            Self::Int64(b) => Arc::new(b.finish()),
            Self::Float32(b) => Arc::new(b.finish()),
            Self::Float64(b) => Arc::new(b.finish()),
            Self::Decimal(b, ..) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Binary(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
        }
    }
}

fn integer(value: &Value, column: &MyColumn) -> Result<i128, String> {
    match value {
        Value::Int(value) => Ok((*value).into()),
        Value::UInt(value) => Ok((*value).into()),
        // The bits of a BIT, the highest first.
        Value::Bytes(bytes) if bytes.len() <= 8 && matches!(column.kind, MyKind::Bits(_)) => {
            Ok(bytes.iter().fold(0, |bits, byte| bits << 8 | i128::from(*byte)))
        }
        _ => Err(unexpected(value, column)),
    }
}

fn boolean(value: &Value, column: &MyColumn) -> Result<bool, String> {
    match integer(value, column)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(format!(
            "found {other}, expected 0 or 1, for {} stands for a boolean; write CAST({} AS SIGNED) in source.query",
            column.database_type,
            quoted(&column.name)
        )),
    }
}

/// The unscaled value of `-12.50`; `None` where it does not fit.
fn decimal(digits: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let text = std::str::from_utf8(digits).ok()?;
    let (negative, text) = text
        .strip_prefix('-')
        .map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let missing = usize::try_from(scale).ok()?.checked_sub(fraction.len())?;
    let mut value: i128 = 0;
    for digit in whole
        .bytes()
        .chain(fraction.bytes())
        .chain(std::iter::repeat_n(b'0', missing))
    {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    let fits = value < 10_i128.checked_pow(precision.into())?;
    fits.then_some(if negative { -value } else { value })
}

/// Days since 1970.
fn days(value: &Value, column: &MyColumn) -> Result<i32, String> {
    let Value::Date(year, month, day, ..) = value else {
        return Err(unexpected(value, column));
    };
    NaiveDate::from_ymd_opt((*year).into(), (*month).into(), (*day).into())
        .map(|date| date.num_days_from_ce() - 719_163)
        .ok_or_else(|| {
            let name = quoted(&column.name);
            format!(
                "the date {year:04}-{month:02}-{day:02} is none; write CAST({name} AS CHAR) in source.query to keep it, \
                 or CASE WHEN MONTH({name}) > 0 AND DAY({name}) > 0 THEN {name} END to make it null"
            )
        })
}

fn microseconds(value: &Value, column: &MyColumn) -> Result<i64, String> {
    let Value::Date(_, _, _, hour, minute, second, micros) = value else {
        return Err(unexpected(value, column));
    };
    let hours = i64::from(days(value, column)?) * 24 + i64::from(*hour);
    let seconds = (hours * 60 + i64::from(*minute)) * 60 + i64::from(*second);
    Ok(seconds * 1_000_000 + i64::from(*micros))
}

fn unexpected(value: &Value, column: &MyColumn) -> String {
    format!(
        "found {}, expected a value of type {}; write CAST({} AS CHAR) in source.query",
        shown(value),
        column.database_type,
        quoted(&column.name)
    )
}

/// A value for a message.
fn shown(value: &Value) -> String {
    match value {
        Value::NULL => "null".to_owned(),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => {
                let short: String = text.chars().take(40).collect();
                format!("{short:?}{}", if short.len() < text.len() { "…" } else { "" })
            }
            Err(_) => format!("{} bytes", bytes.len()),
        },
        // The driver quotes it as a literal.
        other => other.as_sql(true).trim_matches('\'').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit_or_are_refused() {
        for (text, precision, scale, value) in [
            ("-12.50", 10, 2, Some(-1250)),
            ("12.5", 10, 3, Some(12_500)),
            ("0.00", 2, 2, Some(0)),
            (".5", 2, 1, Some(5)),
            (
                "99999999999999999999999999999999999999",
                38,
                0,
                Some(10_i128.pow(38) - 1),
            ),
            ("100", 2, 0, None),
            ("1.234", 10, 2, None),
            ("1e5", 10, 2, None),
            ("--1", 10, 2, None),
        ] {
            assert_eq!(decimal(text.as_bytes(), precision, scale), value, "{text}");
        }
    }

    #[test]
    fn times_are_written_as_the_server_does() {
        let time = Value::Time(true, 34, 22, 5, 9, 120);
        for (digits, text) in [
            (0, "-838:05:09"),
            (4, "-838:05:09.0001"),
            (6, "-838:05:09.000120"),
            (9, "-838:05:09.000120"),
        ] {
            assert_eq!(time_text(&time, digits).as_deref(), Ok(text));
        }
    }
}
