//! The type of a column whose type differs from file to file, where one holds the values of all without loss.

use arrow::datatypes::{DataType, TimeUnit};

/// The narrowest type that holds every value of both; `None` where there is none, or the two mean something else.
pub(super) fn unified(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{
        Date32, Date64, Decimal128, Dictionary, FixedSizeBinary, Null, Time32, Time64, Timestamp, Utf8,
    };
    Some(match (one, other) {
        (one, other) if one == other => one.clone(),
        (Null, kind) | (kind, Null) => kind.clone(),
        (Dictionary(_, values), kind) | (kind, Dictionary(_, values)) => unified(values, kind)?,
        (one, other) if one.is_string() && other.is_string() => Utf8,
        (one, other) if is_bytes(one) && is_bytes(other) => match (one, other) {
            (FixedSizeBinary(_), FixedSizeBinary(_)) => return None,
            _ => DataType::Binary,
        },
        (one, other) if one.is_integer() && other.is_integer() => integer(one, other)?,
        (one, other)
            if one.is_numeric() && other.is_numeric() && (one.is_floating() || other.is_floating()) =>
        {
            float(bits(one)?.max(bits(other)?))?
        }
        (Decimal128(p, s), Decimal128(q, t)) => {
            let (scale, whole) = (
                (*s).max(*t),
                (i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t)),
            );
            let precision = u8::try_from(whole + i16::from(scale)).ok()?;
            (precision <= 38).then_some(Decimal128(precision, scale))?
        }
        (Date32, Date64) | (Date64, Date32) => Date64,
        (Timestamp(unit, zone), Timestamp(other_unit, other_zone)) => {
            let zone = match (zone, other_zone) {
                (None, None) => None,
                (Some(zone), Some(other)) if zone == other => Some(zone.clone()),
                (Some(_), Some(_)) => Some("UTC".into()),
                _ => return None,
            };
            Timestamp(finer(*unit, *other_unit), zone)
        }
        (Time32(unit) | Time64(unit), Time32(other) | Time64(other)) => match finer(*unit, *other) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => Time32(unit),
            unit => Time64(unit),
        },
        _ => return None,
    })
}

fn is_bytes(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
    )
}

fn integer(one: &DataType, other: &DataType) -> Option<DataType> {
    let width = |kind: &DataType| kind.primitive_width().unwrap_or_default();
    match (one.is_signed_integer(), other.is_signed_integer()) {
        (same, also) if same == also => Some(if width(one) > width(other) { one } else { other }.clone()),
        (true, false) => signed_beside(one, other, width),
        _ => signed_beside(other, one, width),
    }
}

/// The signed type that holds a signed and an unsigned one.
fn signed_beside(
    signed: &DataType,
    unsigned: &DataType,
    width: impl Fn(&DataType) -> usize,
) -> Option<DataType> {
    match width(signed).max(2 * width(unsigned)) {
        2 => Some(DataType::Int16),
        4 => Some(DataType::Int32),
        8 => Some(DataType::Int64),
        _ => None,
    }
}

/// The bits that a float needs for every value.
fn bits(kind: &DataType) -> Option<usize> {
    match kind {
        DataType::Int8 | DataType::UInt8 | DataType::Float16 => Some(11),
        DataType::Int16 | DataType::UInt16 | DataType::Float32 => Some(24),
        DataType::Int32 | DataType::UInt32 | DataType::Float64 => Some(53),
        _ => None,
    }
}

fn float(bits: usize) -> Option<DataType> {
    match bits {
        0..=11 => Some(DataType::Float16),
        12..=24 => Some(DataType::Float32),
        25..=53 => Some(DataType::Float64),
        _ => None,
    }
}

fn finer(one: TimeUnit, other: TimeUnit) -> TimeUnit {
    one.max(other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::datatypes::DataType::*;

    use super::*;

    fn zoned(unit: TimeUnit, zone: &str) -> DataType {
        Timestamp(unit, Some(zone.into()))
    }

    #[test]
    fn what_holds_both_is_the_type_of_both_whichever_comes_first() {
        let text = Dictionary(Box::new(Int32), Box::new(Utf8));
        for (one, other, both) in [
            (Utf8, LargeUtf8, Some(Utf8)),
            (Utf8View, text.clone(), Some(Utf8)),
            (Null, text.clone(), Some(text)),
            (Null, Int8, Some(Int8)),
            (Int8, Int64, Some(Int64)),
            (UInt8, UInt32, Some(UInt32)),
            (Int8, UInt8, Some(Int16)),
            (Int64, UInt32, Some(Int64)),
            (Int16, UInt32, Some(Int64)),
            (Int64, UInt64, None),
            (Float32, Float64, Some(Float64)),
            (Int16, Float32, Some(Float32)),
            (Int32, Float32, Some(Float64)),
            (Int64, Float64, None),
            (Decimal128(5, 2), Decimal128(9, 4), Some(Decimal128(9, 4))),
            (Decimal128(38, 0), Decimal128(9, 4), None),
            (Decimal128(5, 2), Float64, None),
            (Date32, Date64, Some(Date64)),
            (Date32, Timestamp(TimeUnit::Second, None), None),
            (
                Timestamp(TimeUnit::Second, None),
                Timestamp(TimeUnit::Microsecond, None),
                Some(Timestamp(TimeUnit::Microsecond, None)),
            ),
            (
                zoned(TimeUnit::Nanosecond, "UTC"),
                zoned(TimeUnit::Millisecond, "Europe/Vienna"),
                Some(zoned(TimeUnit::Nanosecond, "UTC")),
            ),
            (
                Timestamp(TimeUnit::Second, None),
                zoned(TimeUnit::Second, "UTC"),
                None,
            ),
            (
                Time32(TimeUnit::Second),
                Time64(TimeUnit::Nanosecond),
                Some(Time64(TimeUnit::Nanosecond)),
            ),
            (Binary, LargeBinary, Some(Binary)),
            (Utf8, Int64, None),
            (Utf8, Binary, None),
            (Boolean, Int8, None),
        ] {
            assert_eq!(unified(&one, &other), both, "{one} {other}");
            assert_eq!(unified(&other, &one), both, "{other} {one}");
        }
    }
}
