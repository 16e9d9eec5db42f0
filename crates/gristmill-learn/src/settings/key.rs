//! What a setting of a kind is: its name, the values it may have, its default, its line in the documentation.
//!
//! A kind of encoder or model states its keys so, and whatever reads or documents a pipeline file follows them. A value that
//! was read by its key is JSON, from which the kind makes its settings.

use serde_json::{Value, json};

/// A setting of a kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    /// Its name in the pipeline file.
    pub name: &'static str,
    /// What it may be.
    pub values: Values,
    /// What it is where the file does not give it.
    pub default: Preset,
    /// What it means, in Markdown, for the documentation.
    pub doc: &'static str,
}

/// The values that a setting may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values {
    /// `true` or `false`.
    Boolean,
    /// An integer from `least` to `most`.
    Integer {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// A finite number.
    Number(Numbers),
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of these words, or a number that a numeric column may hold ([`Values::LARGEST`]).
    WordOrNumber(&'static [&'static str]),
    /// `[smaller, larger]`: two integers from `least` to `most`, which may be equal.
    Pair {
        /// What the two are called.
        names: [&'static str; 2],
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// A list of one or more of these words, each once.
    Subset(&'static [&'static str]),
    /// A list of one or more finite numbers, each larger than the one before.
    Increasing,
    /// A text, not empty.
    Text,
    /// One of such values or a list of different ones: an axis of the grid. Its JSON is a list.
    Axis(&'static Self),
    /// One of these words, or such a value. Its JSON is the word, or that of the value.
    WordOr(&'static [&'static str], &'static Self),
    /// A table from class to a number of 0 or more, of which one at most is 0.
    Thresholds,
}

/// The numbers that a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// 0 or more.
    NotNegative,
    /// Above 0.
    Positive,
    /// From 0 to 1.
    Share,
}

/// What a setting is where the file does not give it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preset {
    /// Not set.
    Nothing,
    /// Of [`Values::Boolean`].
    Boolean(bool),
    /// Of [`Values::Integer`], or an axis of these.
    Integer(u64),
    /// Of [`Values::Number`], or an axis of these.
    Number(f64),
    /// Of [`Values::Words`], [`Values::WordOrNumber`], [`Values::WordOr`] or [`Values::Text`].
    Word(&'static str),
    /// Of [`Values::Subset`].
    Words(&'static [&'static str]),
    /// Of [`Values::Pair`].
    Pair(u64, u64),
}

impl Key {
    /// The default as the JSON that a value read by this key is; `None` where it is not set.
    pub fn default_json(&self) -> Option<Value> {
        let value = match self.default {
            Preset::Nothing => return None,
            Preset::Boolean(value) => json!(value),
            Preset::Integer(value) => json!(value),
            Preset::Number(value) => json!(value),
            Preset::Word(value) => json!(value),
            Preset::Words(values) => json!(values),
            Preset::Pair(smaller, larger) => json!([smaller, larger]),
        };
        let word = matches!(self.default, Preset::Word(_));
        Some(match self.values {
            Values::Axis(_) => json!([value]),
            Values::WordOr(_, Values::Axis(_)) if !word => json!([value]),
            _ => value,
        })
    }

    /// Its row in the table of a kind's keys, in Markdown.
    pub fn row(&self) -> String {
        format!(
            "| `{}` | {} | {} | {} |",
            self.name,
            self.values.documented(),
            self.default.documented(),
            self.doc
        )
    }
}

impl Values {
    /// The largest size of a number in a column: the squares of larger ones would have no sum.
    pub const LARGEST: f64 = 1e150;

    /// An integer of 1 or more.
    pub const COUNT: Self = Self::Integer {
        least: 1,
        most: u64::MAX,
    };

    /// What a value is to be, as an error says it.
    pub fn expected(self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Integer {
                least,
                most: u64::MAX,
            } => format!("an integer, {least} or more"),
            Self::Integer { least, most } => format!("an integer from {least} to {most}"),
            Self::Number(Numbers::NotNegative) => "a number, 0 or more".to_owned(),
            Self::Number(Numbers::Positive) => "a number above 0".to_owned(),
            Self::Number(Numbers::Share) => "a share from 0 to 1".to_owned(),
            Self::Words(words) => format!("one of {}", quoted(words)),
            Self::WordOrNumber(words) => format!(
                "{} or a number from -1e150 to 1e150 without quotes",
                quoted(words)
            ),
            Self::Pair {
                names: [smaller, larger],
                least,
                most,
            } => format!("[{smaller}, {larger}], each from {least} to {most}"),
            Self::Subset(words) => format!("a list of {}, each once", quoted(words)),
            Self::Increasing => "a list of numbers, each larger than the one before".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Axis(one) => one.expected(),
            Self::WordOr(words, other) => format!("{}, or {}", quoted(words), other.expected()),
            Self::Thresholds => "one threshold of 0 at most".to_owned(),
        }
    }

    /// The same for the documentation, in Markdown.
    fn documented(self) -> String {
        // Nobody comes near this limit of 32 bits.
        const UNLIMITED: u64 = u32::MAX as u64;
        match self {
            Self::Boolean => "boolean".to_owned(),
            Self::Integer {
                least,
                most: UNLIMITED..,
            } => format!("integer ≥ {least}"),
            Self::Integer { least, most } => format!("integer, {least} to {most}"),
            Self::Number(Numbers::NotNegative) => "number ≥ 0".to_owned(),
            Self::Number(Numbers::Positive) => "number above 0".to_owned(),
            Self::Number(Numbers::Share) => "number, 0 to 1".to_owned(),
            Self::Words(words) => coded(words),
            Self::WordOrNumber(words) => format!("{} or a number", coded(words)),
            Self::Pair {
                names: [smaller, larger],
                least,
                most,
            } => format!("`[{smaller}, {larger}]`, each {least} to {most}"),
            Self::Subset(words) => format!("list of {}", coded(words)),
            Self::Increasing => "list of increasing numbers".to_owned(),
            Self::Text => "string".to_owned(),
            Self::Axis(one) => format!("{}, or a list", one.documented()),
            Self::WordOr(words, other) => format!("{}, {}", coded(words), other.documented()),
            Self::Thresholds => "a table as `{ France = 0.3, Japan = 0.7 }`".to_owned(),
        }
    }
}

impl Numbers {
    /// Whether a finite number is one of them.
    pub fn contain(self, number: f64) -> bool {
        match self {
            Self::NotNegative => number >= 0.0,
            Self::Positive => number > 0.0,
            Self::Share => (0.0..=1.0).contains(&number),
        }
    }
}

impl Preset {
    /// As a pipeline file writes it, in Markdown.
    fn documented(self) -> String {
        let written = match self {
            Self::Nothing => return "none".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => grouped(value),
            Self::Number(value) => format!("{value:?}"),
            Self::Word(value) => format!("\"{value}\""),
            Self::Words(values) => format!("[{}]", quoted(values)),
            Self::Pair(smaller, larger) => format!("[{smaller}, {larger}]"),
        };
        format!("`{written}`")
    }
}

/// `"a", "b"`
fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(", ")
}

/// `` `"a"`, `"b"` ``
fn coded(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
    words.join(", ")
}

/// `100000` as `100_000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len() > 4 && (digits.len() - place).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}
