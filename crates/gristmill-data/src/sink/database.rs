//! The contract of a database that is written to: what the writing of a table asks of it.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;

use crate::error::Result;

/// A value of the table of progress.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
}

impl Value {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Null | Self::Int(_) => "",
        }
    }

    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Int(number) => u64::try_from(*number).unwrap_or_default(),
            Self::Null | Self::Text(_) => 0,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A table, maybe in a schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Name {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl Name {
    /// Another table in the same schema.
    pub(super) fn beside(&self, table: &str) -> Self {
        Self {
            schema: self.schema.clone(),
            table: table.to_owned(),
        }
    }
}

/// A column of a table that is there.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type of the values that it takes; `None` where it takes any, and what the database calls it where none of ours fits.
    pub(super) takes: Result<Option<DataType>, String>,
}

/// Where rows go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) table: Name,
    /// The columns that are written, in the order of the rows, with the types of their values.
    pub(super) columns: Vec<Field>,
    /// The columns by which a row that is there is replaced.
    pub(super) upsert: Option<Vec<String>>,
}

/// One connection that writes.
#[async_trait]
pub(super) trait Database: Send {
    /// The URL, redacted.
    fn url(&self) -> &str;

    /// Whether tables are made and renamed within a transaction, and not at once for good.
    fn has_transactional_tables(&self) -> bool;

    /// Reads `schema.table`.
    fn name(&self, written: &str) -> Name {
        let (schema, table) = match written.split_once('.') {
            Some((schema, table)) => (Some(schema.to_owned()), table),
            None => (None, written),
        };
        Name {
            schema,
            table: table.to_owned(),
        }
    }

    /// `name` as an identifier.
    fn quoted(&self, name: &str) -> String;

    /// A table as SQL names it.
    fn table(&self, name: &Name) -> String {
        match &name.schema {
            Some(schema) => format!("{}.{}", self.quoted(schema), self.quoted(&name.table)),
            None => self.quoted(&name.table),
        }
    }

    /// What a new column for values of a type is declared as; `None` where there is no type for them.
    fn declared(&self, values: &DataType, in_key: bool) -> Option<String>;

    /// What stands behind the columns where a table is made.
    fn table_options(&self) -> &'static str {
        ""
    }

    async fn begin(&mut self) -> Result<()>;

    async fn commit(&mut self) -> Result<()>;

    async fn rollback(&mut self) -> Result<()>;

    /// Executes a statement whose values stand as `?`; returns how many rows it changed.
    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64>;

    /// The first row that a query gives.
    async fn row(&mut self, sql: &str, values: &[Value]) -> Result<Option<Vec<Value>>>;

    /// The columns of a table; `None` where there is no such table.
    async fn columns(&mut self, table: &Name) -> Result<Option<Vec<Column>>>;

    /// A table by a name that no table of another database has, as [`crate::source::Source::tables`] has them; `None` where that
    /// cannot be told.
    async fn identity(&mut self, table: &Name) -> Result<Option<String>>;

    /// What else would have to go with a table, as the database calls it.
    async fn dependents(&mut self, table: &Name) -> Result<Vec<String>>;

    /// Why a table that is there cannot be written to in transactions, or not by this key.
    async fn refusal(&mut self, target: &Target) -> Result<Option<String>>;

    /// Renames a table.
    fn rename(&self, from: &Name, to: &Name) -> String;

    /// Begins to send rows.
    async fn begin_rows(&mut self, target: &Target) -> Result<()>;

    /// Sends rows that have the columns of the target.
    async fn send(&mut self, target: &Target, rows: &RecordBatch) -> Result<()>;

    /// Ends the rows; they are in the table then, as far as this transaction sees.
    async fn end_rows(&mut self, target: &Target) -> Result<()>;
}
