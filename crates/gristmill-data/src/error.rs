//! What can go wrong between a database and a committed dataset.

use arrow::error::ArrowError;

use crate::secret::scrub_quoted;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, with what was given, what was expected and the way out. No variant ever holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL cannot be read.
    #[error(
        "source.url {url}: {why}; expected sqlite:path.db, postgres://user@host:port/database, \
         mysql://user@host:port/database, or parquet:, csv: or delta: and a path"
    )]
    Url {
        /// The URL, redacted.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The database does not answer.
    #[error("cannot connect to {url}: {}", scrub_quoted(.why))]
    Connect {
        /// The URL, redacted.
        url: String,
        /// What the driver said.
        why: String,
    },
    /// The database does not answer, or broke off; it may answer later.
    #[error("cannot connect to {url}: {}", scrub_quoted(.why))]
    Unavailable {
        /// The URL, redacted.
        url: String,
        /// What the driver or the server said.
        why: String,
    },
    /// A connection broke off, or the server fell silent in the middle of rows; both may pass.
    #[error("the connection to {url} was lost: {why}")]
    Lost {
        /// The URL, redacted.
        url: String,
        /// What the system or the driver said.
        why: String,
    },
    /// A server said what its protocol does not allow, or a value cannot be what it is said to be.
    #[error(
        "the answer of {url} cannot be understood: {why}; is it the server that the URL says, and nothing in between?"
    )]
    Answer {
        /// The URL, redacted.
        url: String,
        /// What the driver said.
        why: String,
    },
    /// The snapshot that another connection was to read from is there no longer.
    #[error("{url} no longer holds the snapshot that was read from: {}", scrub_quoted(.why))]
    SnapshotGone {
        /// The URL, redacted.
        url: String,
        /// What the server said.
        why: String,
    },
    /// The database refused the query.
    #[error("the database refused source.query: {}", scrub_quoted(.why))]
    Query {
        /// What the database said.
        why: String,
    },
    /// The query over files is wrong.
    #[error("source.query: {}", scrub_quoted(.why))]
    FileQuery {
        /// What is wrong with it.
        why: String,
    },
    /// There are no files where the URL says.
    #[error("source.url {url}: {}", scrub_quoted(.why))]
    NoFile {
        /// The URL, redacted.
        url: String,
        /// What is there instead.
        why: String,
    },
    /// Rows of a range did not come in the order of the key; when they are asked for again, they will.
    #[error("the rows did not come in the order of source.key")]
    Disorder,
    /// No key is given, and the source names none.
    #[error(
        "source.key is missing, and {why}: set it to the column that tells the rows apart, or to any that has an order; the columns \
         are: {}", .columns.join(", ")
    )]
    NoKey {
        /// Why none is found.
        why: &'static str,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// The key is not a column of the query.
    #[error("source.key `{key}` is not a column of source.query; its columns are: {}", .available.join(", "))]
    KeyMissing {
        /// The key asked for.
        key: String,
        /// The columns there are.
        available: Vec<String>,
    },
    /// The key has a type without an order.
    #[error("source.key `{key}` has type {given}, which has no order to cut ranges from; use {expected}")]
    KeyType {
        /// The key.
        key: String,
        /// Its type.
        given: String,
        /// What would do.
        expected: &'static str,
    },
    /// A column has a type with no Arrow counterpart.
    #[error(
        "column `{column}` has type {given}, which has no counterpart here; write {cast} in source.query"
    )]
    ColumnType {
        /// The column.
        column: String,
        /// Its database type.
        given: String,
        /// The cast to write.
        cast: String,
    },
    /// A column has a name that the dataset cannot hold.
    #[error("column `{column}` {why}; give it another name with AS in source.query")]
    ColumnName {
        /// The column.
        column: String,
        /// What is wrong with its name.
        why: &'static str,
    },
    /// A value does not have the type of its column.
    #[error("column `{column}`, {row}: {}", scrub_quoted(.why))]
    Value {
        /// The column.
        column: String,
        /// Which row, by key.
        row: String,
        /// What was found, what was expected, what to write.
        why: String,
    },
    /// A column named in `[clean]` is not there, or the filter is wrong.
    #[error("clean.{setting}: {}", scrub_quoted(.why))]
    Clean {
        /// `require` or `filter`.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The query, or what cleaning left of it, has no rows.
    #[error("{0}")]
    Empty(String),
    /// The dataset was made by a different pipeline.
    #[error("{dir} was made by a different pipeline: {difference}; {way_out}")]
    Changed {
        /// The dataset's folder.
        dir: String,
        /// What differs: setting, then and now.
        difference: String,
        /// The way out.
        way_out: String,
    },
    /// What variables of the pipeline file were filled with cannot be compared.
    #[error("{why}")]
    RunKey {
        /// What is wrong with the key, and the way out.
        why: String,
    },
    /// The dataset is not a readable Delta table of ours.
    #[error("{dir} is not a readable dataset: {why}")]
    Dataset {
        /// The dataset's folder.
        dir: String,
        /// What is wrong.
        why: String,
    },
    /// A folder of Parquet files is not as it was written.
    #[error("{dir} is not as it was written: {why}")]
    Folder {
        /// The folder.
        dir: String,
        /// What differs.
        why: String,
    },
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that rows are read from is not what it should be.
    #[error("{path}: {why}")]
    SourceFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no space left for a file.
    #[error("{path}: the disk is full; make room and run again")]
    DiskFull {
        /// The file.
        path: String,
    },
    /// Two processes write one file.
    #[error("{path}: another process is writing this file; wait for its end, or write to another file")]
    BeingWritten {
        /// The file.
        path: String,
    },
    /// A table cannot be written to as it is.
    #[error("table `{table}` of {url}: {}", scrub_quoted(.why))]
    Table {
        /// The URL of the database, redacted.
        url: String,
        /// The table.
        table: String,
        /// What is wrong with it, and the way out.
        why: String,
    },
    /// A database refused what was to be written to it.
    #[error("{url} cannot be written to: {}", scrub_quoted(.why))]
    Write {
        /// The URL, redacted.
        url: String,
        /// What the database said.
        why: String,
    },
    /// There is something in a place that is to be written to.
    #[error("{path}: {why}; give another place, or move away what is there")]
    Taken {
        /// The file or folder.
        path: String,
        /// What is there.
        why: &'static str,
    },
    /// Work stopped that should not have.
    #[error("{what} stopped: {}", scrub_quoted(.why))]
    Stopped {
        /// The work.
        what: String,
        /// Why, if that is known.
        why: String,
    },
    /// The Delta log refused an operation.
    #[error("{}", scrub_quoted(&.0.to_string()))]
    Delta(#[from] deltalake_core::DeltaTableError),
    /// Parquet refused an operation.
    #[error("{}", scrub_quoted(&.0.to_string()))]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Arrow refused an operation.
    #[error("{}", scrub_quoted(&.0.to_string()))]
    Arrow(#[from] ArrowError),
}

impl Error {
    /// Whether the same may succeed later, on another connection.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Lost { .. } | Self::SnapshotGone { .. }
        )
    }
}
