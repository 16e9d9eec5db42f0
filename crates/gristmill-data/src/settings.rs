//! The settings of retrieval and cleaning. Plain data: validated where the pipeline file is read.

use std::fmt;

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use crate::budget::RowBudget;
use crate::convert::Logical;
pub use crate::filled::Filled;
pub use crate::source_url::SourceUrl;

/// `[source]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSettings {
    /// `sqlite:path.db`, `postgres://user:password@host:port/database?sslmode=…` or the same with `mysql://`. May hold a password.
    pub url: SourceUrl,
    /// Any single SELECT of the database's dialect.
    pub query: Filled,
    /// The columns of the query whose ranges are the batches.
    pub key: KeyColumns,
    /// How files without types are read. Sources that have types do not look at it.
    pub text: TextReading,
    /// What its rows may take on their way.
    pub memory: RowBudget,
}

/// What the text of files without types stands for, in columns of the query. Others are what all of their values are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextReading {
    /// Each column at most once.
    pub columns: Vec<(String, ReadAs)>,
    /// Whether an empty value in quotation marks is an empty text, and not null as one without them.
    pub quoted_empty: bool,
}

impl TextReading {
    /// Whether a column is text that stands for nothing else.
    pub fn is_text(&self, column: &str) -> bool {
        self.values(column)
            .is_some_and(|of| *of == Logical::plain(DataType::Utf8))
    }

    /// Whether a column has a type other than text.
    pub fn has_type(&self, column: &str) -> bool {
        self.values(column)
            .is_some_and(|of| of.data_type != DataType::Utf8)
    }

    fn values(&self, column: &str) -> Option<&Logical> {
        self.columns.iter().find_map(|(name, read_as)| match read_as {
            ReadAs::Values(logical) if name == column => Some(logical),
            _ => None,
        })
    }
}

/// What the text of a column stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadAs {
    /// For itself, as classes and categories do: `1.10` is another than `1.1`. Where each value is written as its type writes it, it
    /// has that type.
    Written,
    /// For values of this type, and nothing else.
    Values(Logical),
}

/// `source.key`: columns of the query by whose values, the first before the second, its rows are ordered. Never empty, and
/// none twice. Written and stored as one name, or as a list where there are several.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "WrittenKey", into = "WrittenKey")]
pub struct KeyColumns(Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenKey {
    One(String),
    Several(Vec<String>),
}

impl KeyColumns {
    /// These columns, in this order.
    pub fn new(columns: Vec<String>) -> Self {
        Self(columns)
    }
}

impl std::ops::Deref for KeyColumns {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl From<&str> for KeyColumns {
    fn from(column: &str) -> Self {
        Self(vec![column.to_owned()])
    }
}

impl From<WrittenKey> for KeyColumns {
    fn from(written: WrittenKey) -> Self {
        match written {
            WrittenKey::One(column) => Self(vec![column]),
            WrittenKey::Several(columns) => Self(columns),
        }
    }
}

impl From<KeyColumns> for WrittenKey {
    fn from(mut key: KeyColumns) -> Self {
        match key.0.as_mut_slice() {
            [column] => Self::One(std::mem::take(column)),
            _ => Self::Several(key.0),
        }
    }
}

impl fmt::Display for KeyColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// `source.consistency`: what becomes of a dataset that was begun from another snapshot of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// It is completed from the new snapshot, and its history says so.
    #[default]
    Resume,
    /// It is discarded and started anew, so that every dataset is of one snapshot.
    Strict,
}

/// `[clean]`: what is done to every batch, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CleanSettings {
    /// Removes white space at both ends of text. Default true.
    pub trim: bool,
    /// Makes empty text null. Default true.
    pub empty_as_null: bool,
    /// Rows with a null in one of these columns are dropped, and counted. Default none.
    pub require: Vec<String>,
    /// A DataFusion SQL predicate; rows where it is not true are dropped, and counted. Default none.
    pub filter: Option<Filled>,
    /// Keeps equal rows once. Default false.
    pub distinct: bool,
}
