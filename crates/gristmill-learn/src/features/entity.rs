//! The bytes that an entity is hashed by: the same for equal values, whatever type holds them and however text writes them.
//!
//! Two entities with the same bytes only share a side of the split, which does no harm. One entity with two forms would be on
//! both sides, so wherever the form of a value is in doubt, forms are merged.

use arrow::array::{Array, AsArray, BinaryArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};

use crate::error::Result;
use crate::statistics::column::as_text;

const NULL: &[u8] = &[0];
const INTEGER: u8 = 1;
const TEXT: u8 = 2;

/// Below this a number with a fraction counts to the precision of a 32-bit float, which is what the text of such a float tells;
/// from here on a 32-bit float has no fraction.
const FRACTIONS_OF_F32: f64 = 16_777_216.0;

/// Calls `f` with the canonical bytes of every value.
///
/// - NULL is one entity.
/// - A number is its value: an integer, a float, a decimal and a text that is written as one of them are alike. A leading zero or
///   plus sign makes a text a code, which is no number.
/// - A date and a timestamp are the instant, in UTC; so is a text that is written as one.
/// - A boolean is `true` or `false`; so is a text of these letters.
/// - Any other text, and binary, is its bytes without the blanks at its end.
pub(super) fn for_each_entity(column: &dyn Array, mut f: impl FnMut(&[u8])) -> Result<()> {
    let mut form = Form::default();
    match column.data_type() {
        DataType::UInt64 => {
            let values = column.as_primitive::<UInt64Type>().iter();
            values.for_each(|value| f(value.map_or(NULL, |value| form.unsigned(value))));
        }
        integer if integer.is_integer() => {
            let values = cast(column, &DataType::Int64)?;
            let values = values.as_primitive::<Int64Type>().iter();
            values.for_each(|value| f(value.map_or(NULL, |value| form.integer(value))));
        }
        float if float.is_floating() => {
            let values = cast(column, &DataType::Float64)?;
            let values = values.as_primitive::<Float64Type>().iter();
            values.for_each(|value| f(value.map_or(NULL, |value| form.float(value))));
        }
        binary if binary.is_binary() => {
            let values: BinaryArray = cast(column, &DataType::Binary)?.as_binary::<i32>().clone();
            values.iter().for_each(|value| {
                f(value.map_or(NULL, |value| match std::str::from_utf8(value) {
                    Ok(text) => form.text(text),
                    Err(_) => form.bytes(value),
                }));
            });
        }
        _ => {
            let values = as_text(column)?;
            values
                .iter()
                .for_each(|value| f(value.map_or(NULL, |value| form.text(value))));
        }
    }
    Ok(())
}

/// Writes canonical bytes: a tag, then an integer of 64 bits or a text.
#[derive(Default)]
struct Form(Vec<u8>);

impl Form {
    fn integer(&mut self, value: i64) -> &[u8] {
        self.tagged(INTEGER, &value.to_le_bytes())
    }

    fn unsigned(&mut self, value: u64) -> &[u8] {
        match i64::try_from(value) {
            Ok(value) => self.integer(value),
            Err(_) => self.bytes(value.to_string().as_bytes()),
        }
    }

    fn float(&mut self, value: f64) -> &[u8] {
        let value = if value.abs() < FRACTIONS_OF_F32 {
            f64::from(value as f32)
        } else {
            value
        };
        if value.is_nan() {
            self.bytes(b"NaN")
        } else if value.is_infinite() {
            self.bytes(if value > 0.0 { b"Infinity" } else { b"-Infinity" })
        } else if value.fract() != 0.0 {
            self.bytes(value.to_string().as_bytes())
        } else if (-(2_f64.powi(63))..2_f64.powi(63)).contains(&value) {
            self.integer(value as i64)
        } else {
            self.bytes(format!("{value:.0}").as_bytes())
        }
    }

    fn text(&mut self, text: &str) -> &[u8] {
        let text = text.trim_end_matches(' ');
        // `inf`, `Infinity` and `nan` in any case, as the programs that write floats do.
        let word = text.strip_prefix(['-', '+']).unwrap_or(text);
        if word.starts_with(['i', 'I', 'n', 'N'])
            && let Ok(value) = text.parse()
        {
            return self.float(value);
        }
        match text.as_bytes().first() {
            Some(b'-' | b'+' | b'0'..=b'9') => match (number(text), instant(text)) {
                (Some(Number::Integer(value)), _) => self.integer(value),
                (Some(Number::Digits(digits)), _) => self.bytes(digits.as_bytes()),
                (Some(Number::Float(value)), _) => self.float(value),
                (None, Some(instant)) => self.bytes(instant.as_bytes()),
                (None, None) => self.bytes(text.as_bytes()),
            },
            Some(b't' | b'T') if text.eq_ignore_ascii_case("true") => self.bytes(b"true"),
            Some(b'f' | b'F') if text.eq_ignore_ascii_case("false") => self.bytes(b"false"),
            _ => self.bytes(text.as_bytes()),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> &[u8] {
        self.tagged(TEXT, bytes)
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) -> &[u8] {
        self.0.clear();
        self.0.push(tag);
        self.0.extend_from_slice(bytes);
        &self.0
    }
}

/// The value of a text that is written as a number.
enum Number<'a> {
    Integer(i64),
    /// Of an integer that 64 bits do not hold.
    Digits(&'a str),
    Float(f64),
}

/// Reads `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`. Without an exponent a whole number is exact, of any length.
fn number(text: &str) -> Option<Number<'_>> {
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let written = all_digits(digits)
        && (digits == "0" || !digits.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(|exponent| all_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    if !written {
        return None;
    }
    let is_whole = exponent.is_none() && fraction.is_none_or(|fraction| fraction.bytes().all(|b| b == b'0'));
    if is_whole {
        return Some(whole.parse().map_or(Number::Digits(whole), Number::Integer));
    }
    let value = text.parse().ok().filter(|value: &f64| value.is_finite());
    value.map(Number::Float)
}

/// Reads `YYYY-MM-DD`, with a time after a blank or a `T`, and then a zone. Midnight of a day is the day, and no zone is UTC. The year
/// may have a sign and more digits, as timestamps before the year 0 and after 9999 are written.
fn instant(text: &str) -> Option<String> {
    let field = |text: &str, from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| all)
    };
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let width = unsigned.find('-').filter(|width| (4..=6).contains(width))?;
    let year = field(unsigned, 0, width)?;
    let year = if text.starts_with('-') { -year } else { year };
    let date = unsigned.get(width..width + 6)?;
    let dashes = date.as_bytes()[3] == b'-';
    let (month, day) = (field(date, 1, 3)?, field(date, 4, 6)?);
    let days = days_of(year, month, day);
    if !dashes || !(1..=12).contains(&month) || date_of(days) != (year, month, day) {
        return None;
    }
    let rest = &unsigned[width + 6..];
    if rest.is_empty() {
        return Some(date_text(year, month, day));
    }
    let rest = rest.strip_prefix([' ', 'T'])?;
    let time = rest.get(..8)?;
    let colons = time.as_bytes()[2] == b':' && time.as_bytes()[5] == b':';
    let (hour, minute, second) = (field(time, 0, 2)?, field(time, 3, 5)?, field(time, 6, 8)?);
    if !colons || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = match rest[8..].strip_prefix('.') {
        None => ("", &rest[8..]),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (fraction, zone) = rest.split_at(end);
            if !(1..=9).contains(&fraction.len()) {
                return None;
            }
            (fraction.trim_end_matches('0'), zone)
        }
    };
    let offset = match zone {
        "" | "Z" => 0,
        _ => {
            let sign = match zone.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let minutes = match zone.len() {
                3 => 0,
                5 => field(zone, 3, 5)?,
                6 if zone.as_bytes()[3] == b':' => field(zone, 4, 6)?,
                _ => return None,
            };
            sign * (field(zone, 1, 3)? * 60 + minutes)
        }
    };
    let minutes = hour * 60 + minute - offset;
    let (year, month, day) = date_of(days + minutes.div_euclid(1440));
    let mut written = date_text(year, month, day);
    let minutes = minutes.rem_euclid(1440);
    if (minutes, second, fraction) != (0, 0, "") {
        written.push_str(&format!("T{:02}:{:02}:{second:02}", minutes / 60, minutes % 60));
    }
    if !fraction.is_empty() {
        // In threes, as timestamps are written.
        let width = fraction.len().next_multiple_of(3);
        written.push_str(&format!(".{fraction:0<width$}"));
    }
    Some(written)
}

/// As dates are written: a year of other than four digits has a sign.
fn date_text(year: i64, month: i64, day: i64) -> String {
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// Days since 0000-03-01 in the Gregorian calendar, by Hinnant's algorithm.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year
}

/// The inverse of [`days_of`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year + i64::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::*;
    use proptest::prelude::*;

    use super::*;

    /// The forms of the values of an array: an integer, or a text in quotes.
    fn forms(array: &dyn Array) -> Vec<String> {
        let mut forms = Vec::new();
        for_each_entity(array, |bytes| {
            forms.push(match bytes {
                NULL => "null".to_owned(),
                [INTEGER, value @ ..] => i64::from_le_bytes(value.try_into().unwrap()).to_string(),
                [_, text @ ..] => format!("{:?}", String::from_utf8_lossy(text)),
                [] => unreachable!(),
            });
        })
        .unwrap();
        forms
    }

    fn of_text(text: &str) -> String {
        forms(&StringArray::from(vec![text])).remove(0)
    }

    /// A row for every type that a dataset can hold, and for the others that arrays can have.
    #[test]
    fn every_type_has_a_canonical_form() {
        let timestamps = |zone: Option<&str>| -> ArrayRef {
            let values = [
                0,
                1_709_208_000_000_000,
                1_709_208_000_500_000,
                -62_167_219_200_000_001,
            ];
            let array = TimestampMicrosecondArray::from_iter_values(values);
            Arc::new(array.with_timezone_opt(zone))
        };
        let instants = [
            "\"1970-01-01\"",
            "\"2024-02-29T12:00:00\"",
            "\"2024-02-29T12:00:00.500\"",
            "\"-0001-12-31T23:59:59.999999\"",
        ];
        let decimals = |values: [i128; 4], precision, scale| -> ArrayRef {
            let array = Decimal128Array::from_iter_values(values);
            Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
        };
        let table: Vec<(ArrayRef, &[&str])> = vec![
            (Arc::new(NullArray::new(1)), &["null"]),
            (
                Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
                &["\"true\"", "\"false\"", "null"],
            ),
            (Arc::new(Int8Array::from(vec![Some(-7), None])), &["-7", "null"]),
            (Arc::new(Int16Array::from(vec![-7])), &["-7"]),
            (Arc::new(Int32Array::from(vec![-7])), &["-7"]),
            (
                Arc::new(Int64Array::from(vec![i64::MIN])),
                &["-9223372036854775808"],
            ),
            (
                Arc::new(UInt64Array::from(vec![7, u64::MAX])),
                &["7", "\"18446744073709551615\""],
            ),
            (
                Arc::new(Float32Array::from(vec![7.0, -0.0, 0.5, f32::NAN, f32::INFINITY])),
                &["7", "0", "\"0.5\"", "\"NaN\"", "\"Infinity\""],
            ),
            (
                Arc::new(Float64Array::from(vec![
                    7.0,
                    -0.0,
                    0.5,
                    f64::from_bits(0xfff8_0000_0000_0001),
                    f64::NEG_INFINITY,
                    1e20,
                    123_456_789.25,
                ])),
                &[
                    "7",
                    "0",
                    "\"0.5\"",
                    "\"NaN\"",
                    "\"-Infinity\"",
                    "\"100000000000000000000\"",
                    "\"123456789.25\"",
                ],
            ),
            (
                decimals([700, -50, 0, 25], 5, 2),
                &["7", "\"-0.5\"", "0", "\"0.25\""],
            ),
            (
                decimals([7, -1, 9_223_372_036_854_775_808, 10_i128.pow(37)], 38, 0),
                &[
                    "7",
                    "-1",
                    "\"9223372036854775808\"",
                    "\"10000000000000000000000000000000000000\"",
                ],
            ),
            (
                Arc::new(Date32Array::from(vec![0, 19_782, -719_529, 2_932_897])),
                &[
                    "\"1970-01-01\"",
                    "\"2024-02-29\"",
                    "\"-0001-12-31\"",
                    "\"+10000-01-01\"",
                ],
            ),
            (timestamps(None), &instants),
            (timestamps(Some("UTC")), &instants),
            (
                Arc::new(StringArray::from(vec![Some("Zoë "), Some(" a"), Some(""), None])),
                &["\"Zoë\"", "\" a\"", "\"\"", "null"],
            ),
            (Arc::new(LargeStringArray::from(vec!["7"])), &["7"]),
            (Arc::new(StringViewArray::from(vec!["7"])), &["7"]),
            (
                Arc::new(vec!["7", "a"].into_iter().collect::<DictionaryArray<Int8Type>>()),
                &["7", "\"a\""],
            ),
            (
                Arc::new(BinaryArray::from(vec![&b"a"[..], b"7", b"\xff "])),
                &["\"a\"", "7", "\"\u{fffd} \""],
            ),
        ];
        for (array, expected) in &table {
            assert_eq!(forms(array), *expected, "{}", array.data_type());
        }
    }

    #[test]
    fn a_text_that_is_written_as_a_value_of_another_type_has_the_form_of_that_value() {
        for (form, texts) in [
            ("7", &["7", "7.0", "7.00", "7e0", "0.7E+1", "70e-1", "7  "][..]),
            ("0", &["0", "-0", "0.0", "-0.00", "0e5"]),
            ("\"NaN\"", &["nan", "NaN", "NAN"]),
            ("\"Infinity\"", &["inf", "Infinity", "INF"]),
            ("\"-Infinity\"", &["-inf", "-Infinity"]),
            ("\"Nana\"", &["Nana", "Nana "]),
            ("-12000", &["-12000", "-1.2e4"]),
            ("\"0.5\"", &["0.5", "0.50", "5e-1"]),
            ("9007199254740993", &["9007199254740993", "9007199254740993.00"]),
            (
                "\"100000000000000000000\"",
                &["100000000000000000000", "100000000000000000000.0", "1e+20"],
            ),
            ("\"true\"", &["true", "True", "TRUE", "true "]),
            (
                "\"2024-02-29\"",
                &[
                    "2024-02-29",
                    "2024-02-29 00:00:00",
                    "2024-02-29T00:00:00.000Z",
                    "2024-02-29 02:00:00+02",
                ],
            ),
            (
                "\"2024-03-01T00:30:00.120\"",
                &[
                    "2024-03-01 00:30:00.12",
                    "2024-02-29T23:30:00.120000-01:00",
                    "2024-03-01 06:00:00.12+0530",
                ],
            ),
            // Years of other than four digits, and such as a zone brings about.
            (
                "\"-0001-12-31T23:00:00\"",
                &["-0001-12-31 23:00:00", "0000-01-01T01:00:00+02:00"],
            ),
            (
                "\"-0001-12-31\"",
                &["-0001-12-31", "-0001-12-31T00:00:00", "0000-01-01T00:00:00+24:00"],
            ),
            (
                "\"+10000-01-01\"",
                &[
                    "+10000-01-01",
                    "10000-01-01 00:00:00",
                    "9999-12-31T22:00:00-02:00",
                ],
            ),
            ("\"2024-02-29\"", &["+2024-02-29", "2024-02-29"]),
            // Codes, and what only begins like a number or a date.
            ("\"007\"", &["007", "007 "]),
            ("\"+7\"", &["+7"]),
            ("\"7.\"", &["7."]),
            ("\".7\"", &[".7"]),
            ("\"1e999\"", &["1e999"]),
            ("\"A2000\"", &["A2000"]),
            ("\"2023-02-29\"", &["2023-02-29"]),
            ("\"2024-02-29 24:00:00\"", &["2024-02-29 24:00:00"]),
            ("\"2024-02-29 12:00\"", &["2024-02-29 12:00"]),
            ("\"2024-02-29é\"", &["2024-02-29é"]),
            ("\"-\"", &["-"]),
            ("\"truee\"", &["truee"]),
        ] {
            for text in texts {
                assert_eq!(of_text(text), form, "{text:?}");
            }
        }
    }

    #[test]
    fn days_and_dates_are_inverse_and_follow_each_other() {
        let mut before = date_of(days_of(0, 2, 27));
        for days in days_of(0, 2, 28)..days_of(2101, 1, 1) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), days);
            assert!((year, month, day) > before && day <= 31 && month <= 12);
            before = (year, month, day);
        }
        assert_eq!(days_of(2024, 2, 29) - days_of(1970, 1, 1), 19_782);
    }

    proptest! {
        /// A timestamp is one entity in its type and in every zone that text gives it in, in any year.
        #[test]
        fn an_instant_is_one_entity_in_every_zone(
            micros in prop_oneof![
                -62_200_000_000_000_000_i64..-62_100_000_000_000_000,
                253_402_000_000_000_000_i64..253_403_000_000_000_000,
                -8_000_000_000_000_000_000_i64..8_000_000_000_000_000_000,
            ],
            whole in prop_oneof![Just(1_i64), Just(1_000_000), Just(86_400_000_000)],
            offset in -14_i64 * 60..14 * 60,
        ) {
            let micros = micros / whole * whole;
            let array = TimestampMicrosecondArray::from(vec![micros]);
            let form = forms(&array).remove(0);
            prop_assert_eq!(&forms(&array.with_timezone("UTC"))[0], &form);
            let local = micros + offset * 60_000_000;
            let (days, of_day) = (local.div_euclid(86_400_000_000), local.rem_euclid(86_400_000_000));
            let (year, month, day) = date_of(days + days_of(1970, 1, 1));
            let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
            let sign = if offset < 0 { '-' } else { '+' };
            let text = format!(
                "{}T{:02}:{:02}:{:02}.{micros:06}{sign}{:02}:{:02}",
                date_text(year, month, day), seconds / 3600, seconds / 60 % 60, seconds % 60,
                offset.abs() / 60, offset.abs() % 60
            );
            prop_assert_eq!(of_text(&text), form, "{}", text);
        }

        /// An integer is one entity in every type that holds it, and in its text.
        #[test]
        fn an_integer_is_one_entity_in_every_type(value in prop_oneof![-1_000_000_i64..1_000_000, any::<i64>()], scale in 0_i8..4) {
            let form = forms(&Int64Array::from(vec![value])).remove(0);
            prop_assert_eq!(&form, &value.to_string());
            prop_assert_eq!(&of_text(&value.to_string()), &form);
            let decimal = Decimal128Array::from(vec![i128::from(value) * 10_i128.pow(scale as u32)])
                .with_precision_and_scale(38, scale)
                .unwrap();
            prop_assert_eq!(&forms(&decimal)[0], &form);
            prop_assert_eq!(&of_text(&decimal.value_as_string(0)), &form);
            if value as f64 as i128 == i128::from(value) {
                prop_assert_eq!(&forms(&Float64Array::from(vec![value as f64]))[0], &form);
                prop_assert_eq!(&of_text(&format!("{:e}", value as f64)), &form);
            }
            if value as f32 as i128 == i128::from(value) {
                prop_assert_eq!(&forms(&Float32Array::from(vec![value as f32]))[0], &form);
            }
            if let Ok(value) = u64::try_from(value) {
                prop_assert_eq!(&forms(&UInt64Array::from(vec![value]))[0], &form);
            }
        }

        /// So is a decimal fraction, and every float.
        #[test]
        fn a_fraction_is_one_entity_in_every_type(digits in -99_999_999_i128..99_999_999, scale in 1_i8..7, float in prop_oneof![any::<f32>(), -2e7_f32..2e7]) {
            let decimal = Decimal128Array::from(vec![digits]).with_precision_and_scale(20, scale).unwrap();
            let wide = Decimal128Array::from(vec![digits * 100]).with_precision_and_scale(22, scale + 2).unwrap();
            let text = decimal.value_as_string(0);
            let form = of_text(&text);
            prop_assert_eq!(&forms(&decimal)[0], &form);
            prop_assert_eq!(&forms(&wide)[0], &form);
            prop_assert_eq!(&forms(&Float64Array::from(vec![text.parse::<f64>().unwrap()]))[0], &form);

            let form = &forms(&Float32Array::from(vec![float]))[0];
            prop_assert_eq!(&forms(&Float64Array::from(vec![f64::from(float)]))[0], form);
            if f64::from(float.abs()) < FRACTIONS_OF_F32 {
                prop_assert_eq!(&of_text(&format!("{float:e}")), form);
                prop_assert_eq!(&of_text(&float.to_string()), form);
            }
        }
    }
}
