//! Whether a query gives the same rows whenever it is asked for some of them.
//!
//! A query is read range by range, by statements of their own on one snapshot. Where it chooses rows by chance (`random()`,
//! `TABLESAMPLE`), or by an order that has ties (`LIMIT`, window functions), each statement may choose others, and rows
//! would be lost or come twice.

use crate::error::{Error, Result};

/// How the rows of a query may be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stability {
    /// In ranges, each by a statement of its own.
    Stable,
    /// All by one statement; says why.
    Once(String),
    /// Not at all, because equal data give other rows in each run; says why.
    Volatile(String),
}

/// Words of a query that make it one to be read once, and what they are called.
const CHOOSING: [(&str, &str); 3] = [
    ("limit", "LIMIT"),
    ("fetch", "FETCH FIRST"),
    ("over", "a window function (OVER)"),
];

impl Stability {
    /// That of a query by its words (see [`words`]), with the functions, in lower case, that give another value at each call.
    pub(super) fn of_words(words: &[&str], volatile: &[&str]) -> Self {
        let mut stability = Self::Stable;
        for (at, word) in words.iter().enumerate() {
            let word = word.to_lowercase();
            if words.get(at + 1) == Some(&"(") && volatile.contains(&&*word) {
                stability = stability.and(Self::volatile(&format!("{word}()")));
            }
            if let Some((_, name)) = CHOOSING.iter().find(|(choosing, _)| *choosing == word) {
                stability = stability.and(Self::Once((*name).to_owned()));
            }
        }
        stability
    }

    /// That of a query that gives other rows in each run because of `what`.
    pub(super) fn volatile(what: &str) -> Self {
        Self::Volatile(what.to_owned())
    }

    /// That of a query with parts of both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Volatile(why), _) | (_, Self::Volatile(why)) => Self::Volatile(why),
            (Self::Once(why), _) | (_, Self::Once(why)) => Self::Once(why),
            (Self::Stable, Self::Stable) => Self::Stable,
        }
    }

    /// Why all rows are to be read by one statement; `None` where ranges may be read.
    ///
    /// # Errors
    /// When no statement gives the same rows in the next run.
    pub(super) fn once(&self) -> Result<Option<String>> {
        match self {
            Self::Stable => Ok(None),
            Self::Once(why) => Ok(Some(why.clone())),
            Self::Volatile(what) => Err(Error::Query {
                why: format!(
                    "{what} gives other values each time the query is asked, so that rows would be lost or read twice, and the \
                     same data would not give the same dataset; choose rows by a value of their own (such as \
                     `WHERE id % 10 = 0`), or write the result to a table and read that"
                ),
            }),
        }
    }
}

/// The words of a query outside of strings, quoted names and comments, and the signs between them. `skipped` gives the length
/// of such a string, name or comment, where one begins at this place of the text.
pub(super) fn words(query: &str, skipped: impl Fn(&str, usize) -> Option<usize>) -> Vec<&str> {
    let mut words = Vec::new();
    let mut at = 0;
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '@');
    while let Some(c) = query[at..].chars().next() {
        let rest = &query[at..];
        let (length, is_code) = match skipped(query, at) {
            Some(length) => (length, false),
            None if is_word(c) => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), true),
            None => (c.len_utf8(), !c.is_whitespace()),
        };
        words.extend(is_code.then(|| &rest[..length]));
        at += length;
    }
    words
}
