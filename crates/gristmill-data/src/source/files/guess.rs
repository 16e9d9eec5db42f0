//! The type of a CSV column: the narrowest that holds every one of its values without loss.

use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, TimeUnit};

/// Digits of a number that a double surely tells apart from others.
const DIGITS: usize = 17;
/// Up to here a double holds every integer.
const EXACT: u64 = 1 << 53;

/// What the values so far can be. An empty value is null, which is of any type.
#[derive(Debug, Clone, Default)]
pub(super) struct Guess {
    /// The kinds that every value so far has; `None` before the first.
    kinds: Option<Kinds>,
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kinds(u8);

impl Kinds {
    const NONE: Self = Self(0);
    const BOOLEAN: Self = Self(1);
    const INTEGER: Self = Self(2);
    const NUMBER: Self = Self(4);
    const DATE: Self = Self(8);
    const TIMESTAMP: Self = Self(16);
    const TIMESTAMP_ZONE: Self = Self(32);

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }
}

impl Guess {
    /// Takes in a value.
    pub(super) fn learn(&mut self, value: &str) {
        if value.is_empty() || self.kinds == Some(Kinds::NONE) {
            return;
        }
        let kinds = kinds_of(value);
        self.kinds = Some(self.kinds.map_or(kinds, |before| before.and(kinds)));
    }

    /// Whether there was no value.
    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_none()
    }

    /// The type of all values.
    pub(super) fn data_type(&self) -> DataType {
        let kinds = self.kinds.unwrap_or(Kinds::NONE);
        let types = [
            (Kinds::BOOLEAN, DataType::Boolean),
            (Kinds::INTEGER, DataType::Int64),
            (Kinds::NUMBER, DataType::Float64),
            (Kinds::DATE, DataType::Date32),
            (Kinds::TIMESTAMP, DataType::Timestamp(TimeUnit::Microsecond, None)),
            (
                Kinds::TIMESTAMP_ZONE,
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ),
        ];
        let found = types.into_iter().find(|(kind, _)| kinds.has(*kind));
        found.map_or(DataType::Utf8, |(_, data_type)| data_type)
    }
}

fn kinds_of(value: &str) -> Kinds {
    match value.as_bytes()[0] {
        b't' | b'f' | b'T' | b'F' if is_boolean(value) => Kinds::BOOLEAN,
        b'-' | b'0'..=b'9' => number(value).or(time(value)),
        _ => Kinds::NONE,
    }
}

fn is_boolean(value: &str) -> bool {
    matches!(value, "true" | "false" | "True" | "False" | "TRUE" | "FALSE")
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`: a leading zero or plus sign would be lost, and tells that it is no
/// number but a code.
fn number(value: &str) -> Kinds {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let written = digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    if !written || value == "-0" {
        return Kinds::NONE;
    }
    if fraction.is_none() && exponent.is_none() {
        return match value.parse::<i64>() {
            Ok(integer) if integer.unsigned_abs() <= EXACT => Kinds::INTEGER.or(Kinds::NUMBER),
            Ok(_) => Kinds::INTEGER,
            Err(_) => Kinds::NONE,
        };
    }
    let significant = whole.trim_start_matches('0').len() + fraction.map_or(0, str::len);
    let finite = value.parse::<f64>().is_ok_and(f64::is_finite);
    if finite && significant <= DIGITS {
        Kinds::NUMBER
    } else {
        Kinds::NONE
    }
}

/// `YYYY-MM-DD`, with a time of up to six decimals after a space or a `T`, and then a zone.
fn time(value: &str) -> Kinds {
    let like = |text: &[u8], pattern: &[u8]| {
        text.len() == pattern.len()
            && text.iter().zip(pattern).all(|(byte, like)| match like {
                b'9' => byte.is_ascii_digit(),
                like => byte == like,
            })
    };
    let bytes = value.as_bytes();
    let (Some(date), rest) = (bytes.get(..10), bytes.get(10..).unwrap_or_default()) else {
        return Kinds::NONE;
    };
    let exists = || string_to_datetime(&chrono::Utc, value).is_ok();
    if !like(date, b"9999-99-99") {
        return Kinds::NONE;
    }
    if rest.is_empty() {
        return if exists() {
            Kinds::DATE.or(Kinds::TIMESTAMP)
        } else {
            Kinds::NONE
        };
    }
    let Some((b' ' | b'T', rest)) = rest.split_first() else {
        return Kinds::NONE;
    };
    let (Some(time), mut rest) = (rest.get(..8), rest.get(8..).unwrap_or_default()) else {
        return Kinds::NONE;
    };
    if !like(time, b"99:99:99") || time.ends_with(b":60") {
        return Kinds::NONE;
    }
    if let Some((b'.', fraction)) = rest.split_first() {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=6).contains(&digits) {
            return Kinds::NONE;
        }
        rest = &fraction[digits..];
    }
    let zoned = match rest {
        [] => false,
        b"Z" => true,
        [b'+' | b'-', offset @ ..] if like(offset, b"99:99") || like(offset, b"9999") => true,
        _ => return Kinds::NONE,
    };
    match (exists(), zoned) {
        (true, true) => Kinds::TIMESTAMP_ZONE,
        (true, false) => Kinds::TIMESTAMP,
        (false, _) => Kinds::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(values: &[&str]) -> DataType {
        let mut guess = Guess::default();
        values.iter().for_each(|value| guess.learn(value));
        guess.data_type()
    }

    #[test]
    fn a_type_is_what_every_value_keeps_its_meaning_in() {
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        for (values, expected) in [
            (&["1", "", "-20", "9223372036854775807"][..], DataType::Int64),
            (&["1", "2.5", "-1e10"], DataType::Float64),
            (&["0.1", "0.30000000000000004"], DataType::Float64),
            (&["true", "False", ""], DataType::Boolean),
            (&["2024-02-29", "0001-01-01"], DataType::Date32),
            (&["2024-02-29", "2024-02-29 01:02:03.000001"], micros(None)),
            (
                &["2024-02-29T01:02:03Z", "2024-02-29T01:02:03.5+05:30"],
                micros(Some("UTC")),
            ),
            // What a number, a date or a time would not give back.
            (&["1", "007"], DataType::Utf8),
            (&["+5"], DataType::Utf8),
            (&["-0"], DataType::Utf8),
            (&["1", "true"], DataType::Utf8),
            (&["1", "9223372036854775808"], DataType::Utf8),
            (&["0.5", "9007199254740993"], DataType::Utf8),
            (&["0.123456789012345678"], DataType::Utf8),
            (&["1e999"], DataType::Utf8),
            (&["nan"], DataType::Utf8),
            (&["1."], DataType::Utf8),
            (&["1 "], DataType::Utf8),
            (&["2023-02-29"], DataType::Utf8),
            (&["2024-02-29 01:02:03.0000001"], DataType::Utf8),
            (&["2024-02-29 01:02:03", "2024-02-29 01:02:03Z"], DataType::Utf8),
            (&["20240229"], DataType::Int64),
            (&["", ""], DataType::Utf8),
            (&[], DataType::Utf8),
        ] {
            assert_eq!(guessed(values), expected, "{values:?}");
        }
    }
}
