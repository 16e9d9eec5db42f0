//! Tables of databases that rows are written to: every row once, however often the writing is killed and begun again.

mod database;
mod exact;
mod mysql;
mod postgres;
mod progress;
mod sqlite;
mod writer;

use arrow::datatypes::DataType;

use crate::error::Error;
use crate::settings::SourceUrl;
use crate::source_url::has_scheme;
pub use progress::Progress;
pub use writer::{Opened, TableWriter};

/// The table in which it is noted which batches a table has. It lies beside that table.
pub const PROGRESS_TABLE: &str = "gristmill_progress";

/// What becomes of the rows of a table that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// The table is refused.
    #[default]
    Fail,
    /// They stay, and others are added.
    Append,
    /// They go, in the moment in which the new ones are all there.
    Replace,
    /// They stay, but for those that have the key of a new one.
    Upsert,
}

impl IfExists {
    /// Its word on the command line and in the table of progress.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Upsert => "upsert",
        }
    }
}

/// Which table, and how it is written to.
#[derive(Debug, Clone)]
pub struct TableSettings {
    /// The database.
    pub url: SourceUrl,
    /// The table; on servers with a schema before it, where it is not in the usual one: `schema.table`.
    pub table: String,
    /// The columns by which a row is found again.
    pub key: Vec<String>,
    /// The types that columns of text have in a table that is made, where it is known that their text is of these.
    pub types: Vec<(String, DataType)>,
    /// What becomes of the rows that are there.
    pub if_exists: IfExists,
    /// What tells this writing from others: of the same rows by the same model it is the same.
    pub identity: String,
    /// Whether to write again what was written to the end before.
    pub fresh: bool,
    /// Where the rows are read from all the while, if from a database.
    pub reads: Option<SourceUrl>,
    /// The tables that are read, as [`crate::source::Source::tables`] names them.
    pub reads_tables: Vec<String>,
}

/// Whether a text is the URL of a database that can be written to.
pub fn is_database(text: &str) -> bool {
    let url = SourceUrl::from(text);
    has_scheme(text) && ["sqlite", "postgres", "postgresql", "mysql", "mariadb"].contains(&url.scheme())
}

/// What a driver says of a question to a source, said of writing.
fn of_output(url: &str, error: Error) -> Error {
    let url = url.to_owned();
    match error {
        Error::Query { why } | Error::Url { why, .. } | Error::NoFile { why, .. } => {
            Error::Write { url, why }
        }
        error => error,
    }
}
