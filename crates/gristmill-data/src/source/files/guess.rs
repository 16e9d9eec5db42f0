//! The type of a CSV column: the narrowest that holds every one of its values without loss.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, TimeUnit};

/// Digits that tell every double apart.
const DIGITS: usize = 17;
/// Longer than any double is written, also without an exponent.
const LONGEST: usize = 400;
/// What printers call the doubles that are no numbers.
const WORDS: [&str; 8] = [
    "nan",
    "NaN",
    "inf",
    "Inf",
    "-inf",
    "-Inf",
    "Infinity",
    "-Infinity",
];
/// Characters of a value that a message repeats.
const SHOWN: usize = 40;

/// A type that a column has by order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Typed {
    Text,
    Boolean,
    Integer,
    Number,
    Date,
    Timestamp,
    TimestampZone,
}

const TYPED: [(Typed, &str, Kinds); 7] = [
    (Typed::Text, "text", Kinds::NONE),
    (Typed::Boolean, "boolean", Kinds::BOOLEAN),
    (Typed::Integer, "integer", Kinds::INTEGER),
    (Typed::Number, "number", Kinds::NUMBER),
    (Typed::Date, "date", Kinds::DATE),
    (Typed::Timestamp, "timestamp", Kinds::TIMESTAMP),
    (Typed::TimestampZone, "timestamptz", Kinds::TIMESTAMP_ZONE),
];

impl Typed {
    /// That of a name in a URL.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = TYPED.iter().find(|(_, known, _)| *known == name);
        found.map(|(typed, ..)| *typed)
    }

    /// All names.
    pub(super) fn names() -> String {
        TYPED.map(|(_, name, _)| name).join(", ")
    }

    /// The type of its values.
    pub(super) fn data_type(self) -> DataType {
        self.kind().data_type()
    }

    fn kind(self) -> Kinds {
        let found = TYPED.iter().find(|(typed, ..)| *typed == self);
        found.map_or(Kinds::NONE, |(.., kind)| *kind)
    }
}

/// What the values so far can be. An empty value is null, which is of any type.
#[derive(Debug, Clone, Default)]
pub(super) struct Guess {
    /// The type that it has by order.
    typed_as: Option<Typed>,
    /// Whether values are kept as they are written: then one has a type only if it is written as the type writes it.
    as_written: bool,
    /// Whether it is noted which are not so written.
    watched: bool,
    /// Values that are not empty.
    values: u64,
    /// Those among them that have some kind.
    typed: u64,
    /// Those among them that are numbers only by a word, such as `nan`.
    words: u64,
    /// Those that are numbers with a decimal comma, or integers; and the first with a comma.
    with_comma: u64,
    comma: Option<Place>,
    /// For each of [`Kinds::ALL`].
    tallies: [Tally; Kinds::ALL.len()],
}

/// How many values have a kind.
#[derive(Debug, Clone, Default)]
struct Tally {
    values: u64,
    /// The first value without it.
    other: Option<Arc<Place>>,
    /// The first value with it that it writes otherwise, where this is noted.
    rewritten: Option<Arc<Place>>,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// The number of the file.
    pub(super) file: usize,
    /// The line where its row begins.
    pub(super) line: u64,
    /// Its first characters.
    pub(super) value: String,
}

/// Why a column is text that nearly has another type.
#[derive(Debug, PartialEq)]
pub(super) struct Odd<'g> {
    /// What it would have been without the values that are otherwise.
    pub(super) otherwise: &'static str,
    /// The first of these.
    pub(super) first: &'g Place,
    /// How many they are.
    pub(super) odd: u64,
    /// All values that are not empty.
    pub(super) values: u64,
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

    /// The narrower before the wider.
    const ALL: [Self; 6] = [
        Self::BOOLEAN,
        Self::INTEGER,
        Self::NUMBER,
        Self::DATE,
        Self::TIMESTAMP,
        Self::TIMESTAMP_ZONE,
    ];

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }

    /// The type of the values of one kind.
    fn data_type(self) -> DataType {
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        match self {
            Self::BOOLEAN => DataType::Boolean,
            Self::INTEGER => DataType::Int64,
            Self::NUMBER => DataType::Float64,
            Self::DATE => DataType::Date32,
            Self::TIMESTAMP => micros(None),
            Self::TIMESTAMP_ZONE => micros(Some("UTC")),
            _ => DataType::Utf8,
        }
    }

    /// Those among them whose text for the value is this one.
    fn written_as(self, value: &str) -> Self {
        let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
        let same = |kind: Self| {
            let typed = cast(&text, &kind.data_type()).ok()?;
            let back = cast(&typed, &DataType::Utf8).ok()?;
            (back.is_valid(0) && back.as_string::<i32>().value(0) == value).then_some(kind)
        };
        let kinds = Self::ALL.into_iter().filter(|kind| self.has(*kind));
        kinds.filter_map(same).fold(Self::NONE, Self::or)
    }

    /// What its values are called.
    fn words(self) -> &'static str {
        match self {
            Self::BOOLEAN => "true or false",
            Self::INTEGER => "integers",
            Self::NUMBER => "numbers",
            Self::DATE => "dates",
            Self::TIMESTAMP => "timestamps",
            Self::TIMESTAMP_ZONE => "timestamps with zone",
            _ => "text",
        }
    }
}

impl Guess {
    /// Of a column that has a type by order, or none.
    pub(super) fn new(typed_as: Option<Typed>) -> Self {
        Self {
            typed_as,
            ..Self::default()
        }
    }

    /// The same, whose values stand for themselves, as classes and categories do: `1.10` is another one than `1.1`.
    pub(super) fn written(self) -> Self {
        Self {
            as_written: true,
            ..self
        }
    }

    /// The same, which knows of the first value that its type does not write as it stands there.
    pub(super) fn watched(self) -> Self {
        Self {
            watched: true,
            ..self
        }
    }

    /// The first value of a watched column that its type writes otherwise.
    pub(super) fn rewritten(&self) -> Option<&Place> {
        let kind = self.kind();
        let tallies = Kinds::ALL.into_iter().zip(&self.tallies);
        let (_, tally) = tallies.into_iter().find(|(known, _)| *known == kind)?;
        tally.rewritten.as_deref()
    }

    /// What a value should be by order and is not.
    pub(super) fn misfit(&self, value: &str) -> Option<&'static str> {
        let kind = self.typed_as?.kind();
        let fits = value.is_empty() || kind == Kinds::NONE || kinds_of(value).has(kind);
        (!fits).then(|| kind.words())
    }

    /// Takes in the value of a row that begins at a line of a file.
    pub(super) fn learn(&mut self, value: &str, file: usize, line: u64) {
        if value.is_empty() {
            return;
        }
        let mut kinds = kinds_of(value);
        let mut written = kinds;
        if self.as_written || self.watched {
            written = kinds.written_as(value);
        }
        if self.as_written {
            kinds = written;
        }
        let mut place = None;
        let mut noted = || {
            let place = place.get_or_insert_with(|| {
                let value = value.chars().take(SHOWN).collect();
                Arc::new(Place { file, line, value })
            });
            Some(place.clone())
        };
        for (kind, tally) in Kinds::ALL.into_iter().zip(&mut self.tallies) {
            if !kinds.has(kind) {
                tally.other = tally.other.take().or_else(&mut noted);
                continue;
            }
            tally.values += 1;
            if !written.has(kind) {
                tally.rewritten = tally.rewritten.take().or_else(&mut noted);
            }
        }
        let comma = has_decimal_comma(value);
        if comma && self.comma.is_none() {
            let value = value.to_owned();
            self.comma = Some(Place { file, line, value });
        }
        self.with_comma += u64::from(comma || kinds.has(Kinds::INTEGER));
        self.values += 1;
        self.typed += u64::from(kinds != Kinds::NONE);
        self.words += u64::from(WORDS.contains(&value));
    }

    /// The type of all values.
    pub(super) fn data_type(&self) -> DataType {
        self.kind().data_type()
    }

    /// What was found.
    pub(super) fn words(&self) -> &'static str {
        match self.values {
            0 if self.typed_as.is_none() => "text (no value)",
            _ => self.kind().words(),
        }
    }

    /// Whether a value could be one more of the column, by what most of its values are.
    pub(super) fn expects(&self, value: &str) -> bool {
        value.is_empty() || self.likely().is_none_or(|(kind, _)| kinds_of(value).has(kind))
    }

    /// What a column of text would be without a few of its values.
    pub(super) fn odd(&self) -> Option<Odd<'_>> {
        if self.typed_as.is_some() || self.as_written {
            return None;
        }
        let (kind, tally) = self.likely().filter(|_| self.kind() == Kinds::NONE)?;
        Some(Odd {
            otherwise: kind.words(),
            first: tally.other.as_deref()?,
            odd: self.values - tally.values,
            values: self.values,
        })
    }

    /// The first value with a decimal comma of a column of numbers that are so written, which makes it text.
    pub(super) fn decimal_comma(&self) -> Option<&Place> {
        let all = self.with_comma == self.values && self.typed_as.is_none() && !self.as_written;
        self.comma.as_ref().filter(|_| all)
    }

    /// The narrowest kind that all values have.
    fn kind(&self) -> Kinds {
        if let Some(typed) = self.typed_as {
            return typed.kind();
        }
        let mut tallies = Kinds::ALL.into_iter().zip(&self.tallies);
        // Words alone are no numbers.
        let all = tallies.find(|(_, tally)| tally.values == self.values && self.values > self.words);
        all.map_or(Kinds::NONE, |(kind, _)| kind)
    }

    /// The kind that all values have but one, or a tenth, or such as have another kind.
    fn likely(&self) -> Option<(Kinds, &Tally)> {
        let tallies = Kinds::ALL.into_iter().zip(&self.tallies).rev();
        let (kind, tally) = tallies.max_by_key(|(_, tally)| tally.values)?;
        let odd = self.values - tally.values;
        let likely = odd * 10 <= self.values
            || odd == 1 && tally.values > 1
            || self.typed == self.values && tally.values * 2 >= self.values;
        (likely && tally.values > self.words).then_some((kind, tally))
    }
}

/// Whether a text is empty, or a value of a type that is not text.
pub(super) fn is_typed(value: &str) -> bool {
    value.is_empty() || value.parse::<f64>().is_ok() || kinds_of(value) != Kinds::NONE
}

fn kinds_of(value: &str) -> Kinds {
    match value.as_bytes()[0] {
        b't' | b'f' | b'T' | b'F' if is_boolean(value) => Kinds::BOOLEAN,
        _ if WORDS.contains(&value) => Kinds::NUMBER,
        b'-' | b'0'..=b'9' => number(value).or(time(value)),
        _ => Kinds::NONE,
    }
}

/// `-?[0-9]+,[0-9]+`.
fn has_decimal_comma(value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    unsigned
        .split_once(',')
        .is_some_and(|(whole, fraction)| digits(whole) && digits(fraction))
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
    if !written || value.len() > LONGEST {
        return Kinds::NONE;
    }
    let Some(double) = value.parse::<f64>().ok().filter(|double| double.is_finite()) else {
        return Kinds::NONE;
    };
    if fraction.is_none() && exponent.is_none() {
        let integer = value != "-0" && value.parse::<i64>().is_ok();
        return match (integer, is_whole_double(value, double)) {
            (true, true) => Kinds::INTEGER.or(Kinds::NUMBER),
            (true, false) => Kinds::INTEGER,
            (false, true) => Kinds::NUMBER,
            (false, false) => Kinds::NONE,
        };
    }
    // Zeros at either end only say where the point is.
    let all = [whole, fraction.unwrap_or_default()].concat();
    if is_kept(all.trim_matches('0'), double) {
        Kinds::NUMBER
    } else {
        Kinds::NONE
    }
}

/// Whether a double has these digits where it is written with as many, or with as few as tell it: no more than tell doubles apart,
/// and none that it rounds away. The two may differ in the last digit, where the double lies in the middle of two
/// texts of that length.
fn is_kept(digits: &str, double: f64) -> bool {
    if digits.is_empty() || digits.len() > DIGITS {
        return digits.is_empty();
    }
    // So many are kept by every double that has all of its bits.
    if digits.len() <= f64::DIGITS as usize && double.is_normal() {
        return true;
    }
    let has = |written: String| {
        let mantissa = written.split('e').next().unwrap_or_default();
        mantissa.replace('.', "") == digits
    };
    has(format!("{:.*e}", digits.len() - 1, double.abs())) || has(format!("{:e}", double.abs()))
}

/// Whether a double holds a whole number: exactly, or as the shortest digits that tell it, with zeros after them.
fn is_whole_double(value: &str, double: f64) -> bool {
    value.len() < DIGITS - 1 || format!("{double:.0}") == value || double.to_string() == value
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
    use proptest::prelude::*;

    use super::*;

    fn learnt(values: &[&str]) -> Guess {
        let mut guess = Guess::default();
        for (line, value) in (2..).zip(values) {
            guess.learn(value, 0, line);
        }
        guess
    }

    fn guessed(values: &[&str]) -> DataType {
        learnt(values).data_type()
    }

    #[test]
    fn values_of_types_are_told_from_text() {
        for value in [
            "",
            "1",
            "007",
            "-1.5e3",
            "true",
            "FALSE",
            "2024-02-29",
            "2024-02-29 12:00:00",
        ] {
            assert!(is_typed(value), "{value}");
        }
        for value in ["x", "2024-13-01", "yes or no", "1,5"] {
            assert!(!is_typed(value), "{value}");
        }
    }

    #[test]
    fn a_type_is_what_every_value_keeps_its_meaning_in() {
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        for (values, expected) in [
            (&["1", "", "-20", "9223372036854775807"][..], DataType::Int64),
            (&["1", "2.5", "-1e10"], DataType::Float64),
            (&["0.1", "0.30000000000000004"], DataType::Float64),
            (&["0.0028661222749898295", "1"], DataType::Float64),
            (&["0.10000000000000000000000"], DataType::Float64),
            (&["-0", "1"], DataType::Float64),
            (&["nan", "1.5", "-Infinity"], DataType::Float64),
            (&["1", "9223372036854775808"], DataType::Float64),
            (&["0.5", "9223372036854776000"], DataType::Float64),
            (&["9223372036854775807", "100000000000000000"], DataType::Int64),
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
            (&["1", "true"], DataType::Utf8),
            (&["1", "9223372036854775809"], DataType::Utf8),
            (&["0.5", "9007199254740993"], DataType::Utf8),
            (&["0.123456789012345678"], DataType::Utf8),
            (&["9007199254740993.0"], DataType::Utf8),
            (&["9007199254740992.0", "4.9E-324"], DataType::Float64),
            // One double, in the middle of the two.
            (&["651988484021770.2", "651988484021770.3"], DataType::Float64),
            (&["1e-400", "0.5"], DataType::Utf8),
            (&["1.23456789e-320"], DataType::Utf8),
            (&["1e999"], DataType::Utf8),
            (&["nan"], DataType::Utf8),
            (&["Inf", "true"], DataType::Utf8),
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

    /// The values of a column; where it is text for a few of them: what it would be, the line of the first, and how many.
    #[test]
    fn a_column_that_a_few_values_make_text_is_told() {
        let many = |value: &'static str, odd: &'static [&'static str]| {
            let mut values = vec![value; 20];
            values.extend(odd);
            values
        };
        for (values, expected) in [
            (vec!["1", "n/a", "3"], Some(("integers", 3, 1))),
            (vec!["n/a", "1", "2.5"], Some(("numbers", 2, 1))),
            (vec!["1", "007", "", "3"], Some(("integers", 3, 1))),
            (vec!["true", "false", "yes"], Some(("true or false", 4, 1))),
            (
                vec!["2024-02-29", "2024-02-30", "2024-02-28"],
                Some(("dates", 3, 1)),
            ),
            (many("1.5", &["?", "-"]), Some(("numbers", 22, 2))),
            (many("1.5", &["?", "-", "x"]), None),
            (many("nan", &["x"]), None),
            // Kinds that have no type in common.
            (
                vec!["2024-02-29 01:02:03", "2024-02-29 01:02:03Z"],
                Some(("timestamps", 3, 1)),
            ),
            (
                vec!["0.5", "2.5", "1.5", "9007199254740993"],
                Some(("numbers", 5, 1)),
            ),
            (vec!["1", "Blink"], None),
            (vec!["Blink", "Abba", "1975"], None),
            (vec!["1", "2"], None),
            (vec!["x"], None),
            (vec![""], None),
        ] {
            let guess = learnt(&values);
            let odd = guess.odd().map(|odd| (odd.otherwise, odd.first.line, odd.odd));
            assert_eq!(odd, expected, "{values:?}");
        }
    }

    /// As `%.17g` of C: with an exponent, or without one where that is between -5 and 17.
    fn like_c(value: f64) -> String {
        let written = format!("{value:.16e}");
        let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let without_zeros = |text: &str| match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text.to_owned(),
        };
        match exponent {
            -4..17 => without_zeros(&format!("{value:.*}", (16 - exponent) as usize)),
            _ => {
                let sign = if exponent < 0 { '-' } else { '+' };
                format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
            }
        }
    }

    #[test]
    fn the_like_of_c_is_what_c_prints() {
        for (value, written) in [
            (0.1, "0.10000000000000001"),
            (-1.0, "-1"),
            (-0.0, "-0"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "4.9406564584124654e-324"),
        ] {
            assert_eq!(like_c(value), written);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// However a program writes a double so that it is told apart from all others, its column is one of numbers, and of whole
        /// numbers in any case where these are what it holds.
        #[test]
        fn a_double_is_a_number_as_every_program_writes_it(
            value in prop_oneof![
                any::<u64>().prop_map(f64::from_bits),
                any::<u64>().prop_map(|bits| f64::from_bits(bits >> 12 | 0x3f00_0000_0000_0000)),
                any::<i64>().prop_map(|whole| whole as f64),
                (-400_i32..400).prop_map(|exponent| 10_f64.powi(exponent)),
            ]
        ) {
            let exponent = format!("{value:e}");
            let upper = exponent.replace('e', "E");
            // As Java has it, a mantissa always has a fraction.
            let java = match exponent.split_once('e') {
                Some((mantissa, power)) if !mantissa.contains('.') => format!("{mantissa}.0E{power}"),
                _ => upper.clone(),
            };
            // As Python has it, an exponent has a sign and two digits.
            let python = match exponent.split_once('e') {
                Some((mantissa, power)) => {
                    let power: i32 = power.parse().unwrap_or_default();
                    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
                }
                None => exponent.clone(),
            };
            let exact = value.abs() < 1e20 && value.fract() == 0.0;
            let r = if exact { format!("{value:.0}") } else { exponent.clone() };
            for written in [value.to_string(), format!("{value:?}"), exponent, upper, java, python, r, like_c(value)] {
                let written = if value.is_nan() { "NaN".to_owned() } else { written };
                let guess = learnt(&["0.5", &written]);
                prop_assert_eq!(guess.data_type(), DataType::Float64, "{}", &written);
                let read: f64 = written.parse().unwrap_or_default();
                prop_assert!(read.to_bits() == value.to_bits() || value.is_nan(), "{}", written);
            }
        }
    }
}
