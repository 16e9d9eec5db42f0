//! Rows as the binary COPY has them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};

use crate::source::postgres::decode::{DAYS_TO_2000, MICROSECONDS_TO_2000};
use crate::source::postgres::numeric;
use crate::source::postgres::types::PgKind;

/// What a COPY begins with.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What it ends with.
pub(super) const END: &[u8] = &(-1_i16).to_be_bytes();

/// The length of a null.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Rows whose columns have the types of these kinds; `first` is the number of the first, where each is followed by its number.
/// Says of which value what is wrong with it.
pub(super) fn encode(
    rows: &RecordBatch,
    kinds: &[PgKind],
    first: Option<u64>,
) -> Result<Vec<u8>, (usize, String)> {
    let mut bytes = Vec::with_capacity(rows.num_rows() * (2 + 12 * rows.num_columns()));
    let fields = (rows.num_columns() + usize::from(first.is_some())) as i16;
    let columns: Vec<(&ArrayRef, PgKind)> = rows.columns().iter().zip(kinds.iter().copied()).collect();
    for row in 0..rows.num_rows() {
        bytes.extend(fields.to_be_bytes());
        for (values, kind) in &columns {
            if values.is_null(row) {
                bytes.extend(NULL);
                continue;
            }
            // The length goes in front, once it is known.
            let start = bytes.len();
            bytes.extend([0; 4]);
            value(values, *kind, row, &mut bytes).map_err(|why| (row, why))?;
            let length = (bytes.len() - start - 4) as i32;
            bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        if let Some(first) = first {
            bytes.extend(8_i32.to_be_bytes());
            bytes.extend((first + row as u64).to_be_bytes());
        }
    }
    Ok(bytes)
}

fn value(values: &ArrayRef, kind: PgKind, row: usize, to: &mut Vec<u8>) -> Result<(), String> {
    match kind {
        PgKind::Bool => to.push(values.as_boolean().value(row).into()),
        PgKind::Int2 => to.extend(values.as_primitive::<Int16Type>().value(row).to_be_bytes()),
        PgKind::Int4 => to.extend(values.as_primitive::<Int32Type>().value(row).to_be_bytes()),
        PgKind::Int8 => to.extend(values.as_primitive::<Int64Type>().value(row).to_be_bytes()),
        PgKind::Float4 => to.extend(values.as_primitive::<Float32Type>().value(row).to_be_bytes()),
        PgKind::Float8 => to.extend(values.as_primitive::<Float64Type>().value(row).to_be_bytes()),
        PgKind::Numeric { scale, .. } => {
            numeric::encode(values.as_primitive::<Decimal128Type>().value(row), scale, to);
        }
        PgKind::Text => to.extend(values.as_string::<i32>().value(row).as_bytes()),
        PgKind::Jsonb => {
            to.push(1);
            to.extend(values.as_string::<i32>().value(row).as_bytes());
        }
        PgKind::Uuid => to.extend(uuid(values.as_string::<i32>().value(row))?),
        PgKind::Bytea => to.extend(values.as_binary::<i32>().value(row)),
        PgKind::Date => {
            let days = values.as_primitive::<Date32Type>().value(row);
            let days = days.checked_sub(DAYS_TO_2000).ok_or("the date is too early")?;
            to.extend(days.to_be_bytes());
        }
        PgKind::Timestamp | PgKind::Timestamptz => {
            let micros = values.as_primitive::<TimestampMicrosecondType>().value(row);
            let micros = micros
                .checked_sub(MICROSECONDS_TO_2000)
                .ok_or("the time is too early")?;
            to.extend(micros.to_be_bytes());
        }
    }
    Ok(())
}

fn uuid(text: &str) -> Result<[u8; 16], String> {
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
    let number =
        Some(&digits).filter(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = number.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    number
        .map(u128::to_be_bytes)
        .ok_or_else(|| format!("`{text}` is not a uuid"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn fields_have_their_lengths_and_rows_their_numbers() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["é", ""]));
        let rows =
            RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap();
        let kinds = [PgKind::Int8, PgKind::Text];
        let plain = encode(&rows, &kinds, None).unwrap();
        let expected: Vec<u8> = [
            &[0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, 0xc3, 0xa9][..],
            &[0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(plain, expected);
        let numbered = encode(&rows, &kinds, Some(300)).unwrap();
        assert!(numbered.ends_with(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 45]));
        let refused = encode(&rows, &[PgKind::Int8, PgKind::Uuid], None).unwrap_err();
        assert_eq!(refused, (0, "`é` is not a uuid".to_owned()));
    }
}
