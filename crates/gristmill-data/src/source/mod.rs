//! The contract of a source: a query whose rows can be read in ranges of a key.

mod access;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod limits;
pub(crate) mod mysql;
mod names;
mod notice;
mod once;
pub mod open;
pub(crate) mod postgres;
mod produced;
pub(crate) mod sql;
pub(crate) mod sqlite;
mod stability;
mod tls_words;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use crate::budget::value_bytes;
use crate::error::{Error, Result};
use crate::key::{Key, KeyRange};
use crate::table::Alike;
pub use access::{Estimate, KeyAccess, NoIndex, WayOut};
pub use files::{FileRows, TextFormat};
pub use notice::Notice;

/// A record batch is closed at this many rows or bytes, whichever comes first.
const MAX_BATCH_ROWS: usize = 8_192;
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Rows on their way, in record batches of bounded size.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// A query on a connected database.
///
/// # Contract
/// - Everything is read from the one snapshot that [`Source::snapshot`] names, so the same range gives the same rows.
/// - The ranges between the boundaries that [`Source::boundary`] finds, and the rows with a null key, are the whole query.
/// - One range is read at a time: a stream is drained or dropped before the source is asked for anything else.
pub trait Source: Send + Sync {
    /// The URL, redacted.
    fn describe(&self) -> String;

    /// The columns of the query. Every one is nullable: a query promises nothing.
    fn schema(&self) -> SchemaRef;

    /// What becomes of each column's type.
    fn column_types(&self) -> Vec<ColumnType>;

    /// The tables that it reads, each by a name that no table of another database has, as far as the database tells them; none of
    /// files.
    fn tables(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the user should know of the rows before they are read.
    fn notices(&self) -> Vec<Notice> {
        Vec::new()
    }

    /// Names the snapshot that rows are read from. Equal names mean equal data; the converse need not hold.
    fn snapshot(&self) -> String;

    /// Whether a pull may go on after its last batch with rows of another snapshot, or of this one read anew.
    fn resumes(&self) -> bool {
        true
    }

    /// Another connection, which reads from the same snapshot; `None` where the database has no way to that.
    fn fork(&self) -> BoxFuture<'_, Result<Option<Box<dyn Source>>>>;

    /// What is in the query: the planner's estimate where the database has one.
    fn estimate(&self) -> BoxFuture<'_, Result<Estimate>>;

    /// How it comes to a range of so many rows.
    fn key_access(&self, rows: u64) -> BoxFuture<'_, Result<KeyAccess>>;

    /// The key of the `rows`-th row after `after`; the last key where fewer are left, `None` where none is.
    fn boundary<'a>(&'a self, after: Option<&'a Key>, rows: u64) -> BoxFuture<'a, Result<Option<Key>>>;

    /// Whether there are rows whose key is null.
    fn has_null_keys(&self) -> BoxFuture<'_, Result<bool>>;

    /// The rows of a range in the order of the key; rows with equal keys come in any order.
    fn read<'a>(&'a self, range: &'a KeyRange) -> BoxFuture<'a, Result<BatchStream>>;

    /// Whether it can read a range without being told its last key.
    fn can_read_on(&self) -> bool {
        false
    }

    /// The rows of the range whose last key [`Source::boundary`] would find, where [`Source::can_read_on`]: this spares
    /// the database the looking for it. They may end with [`Error::Disorder`], and are to be asked for again then.
    fn read_on<'a>(&'a self, after: Option<&'a Key>, rows: u64) -> BoxFuture<'a, Result<OpenRange>> {
        async move {
            Err(Error::Query {
                why: format!("{rows} rows after {after:?} were asked for without their last key"),
            })
        }
        .boxed()
    }
}

/// Rows of a range whose last key is that of the last row.
pub struct OpenRange {
    /// The rows, in the order of the key.
    pub rows: BatchStream,
    /// The one column of the key.
    pub key: usize,
    /// The key of a row of a batch; `None` where that cannot be.
    pub key_of: fn(&dyn Array, usize) -> Option<Key>,
}

/// What becomes of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnType {
    /// The column's name.
    pub name: String,
    /// Its type as the database calls it.
    pub database_type: String,
    /// Its type here.
    pub arrow_type: DataType,
    /// Why it does not tell entities apart, if the database calls values equal that differ here.
    pub alike: Option<Alike>,
}
