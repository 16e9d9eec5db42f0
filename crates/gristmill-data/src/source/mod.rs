//! A database query whose rows can be read in ranges of a key: the contract, and the way to it from a URL.

mod access;
mod files;
mod key;
mod mysql;
mod postgres;
mod sql;
mod sqlite;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::error::{Error, Result};
use crate::settings::SourceSettings;

pub use access::{Estimate, KeyAccess, NoIndex, WayOut};
pub use key::{Bounds, Key, KeyRange};

/// A record batch is closed at this many rows or bytes, whichever comes first.
const MAX_BATCH_ROWS: usize = 8_192;
const MAX_BATCH_BYTES: usize = 4 << 20;

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

    /// Names the snapshot that rows are read from. Equal names mean equal data; the converse need not hold.
    fn snapshot(&self) -> String;

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
    /// the database the looking for it.
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

/// The bytes that the values of rows take.
pub fn value_bytes(rows: &RecordBatch) -> u64 {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
    rows.columns().iter().map(bytes).sum::<usize>() as u64
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
}

/// Connects to the database that the URL names and prepares the query.
pub async fn connect(settings: &SourceSettings) -> Result<Box<dyn Source>> {
    match settings.url.split_once(':') {
        Some(("sqlite", path)) => Ok(Box::new(sqlite::Sqlite::connect(path, settings).await?)),
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
            Ok(Box::new(postgres::Postgres::connect(settings).await?))
        }
        Some(("mysql" | "mariadb", rest)) if rest.starts_with("//") => {
            Ok(Box::new(mysql::MySql::connect(settings).await?))
        }
        Some((scheme @ ("parquet" | "csv" | "delta"), rest)) => {
            Ok(Box::new(files::Files::connect(scheme, rest, settings).await?))
        }
        Some((scheme, _)) => Err(Error::Url {
            url: redact(&settings.url),
            why: format!("unknown kind of database `{scheme}`"),
        }),
        None => Err(Error::Url {
            url: redact(&settings.url),
            why: "no `scheme:` in front".to_owned(),
        }),
    }
}

/// The query that stands where none is given, for a source that has one table only.
pub fn default_query(url: &str) -> Option<String> {
    let files = ["parquet:", "csv:", "delta:"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    files.then(|| format!("SELECT * FROM {}", files::TABLE))
}

/// The URL with `***` for its password, in the user part and as a parameter.
///
/// A password with unescaped `/`, `?` or `@` is covered too: rather too much is hidden than too little.
pub fn redact(url: &str) -> String {
    let mut redacted = url.to_owned();
    if let Some(start) = url.find("://").map(|i| i + 3)
        && let Some(end) = url.rfind('@').filter(|end| *end >= start)
        && let Some(colon) = url[start..end].find(':').map(|i| start + i)
    {
        redacted.replace_range(colon + 1..end, "***");
    }
    let Some((base, parameters)) = redacted.split_once('?') else {
        return redacted;
    };
    let parameters: Vec<String> = parameters
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{base}?{}", parameters.join("&"))
}

/// The places of the key's columns. A column name that occurs twice is refused: ranges and features could not name it.
fn find_key(names: &[String], key: &[String], same: fn(&str, &str) -> bool) -> Result<Arc<[usize]>> {
    if names.is_empty() {
        return Err(Error::Query {
            why: "it returns no columns; write a single SELECT".to_owned(),
        });
    }
    for (i, name) in names.iter().enumerate() {
        if names[..i].iter().any(|earlier| same(earlier, name)) {
            return Err(Error::Query {
                why: format!("the column `{name}` occurs twice; give each its own name with AS"),
            });
        }
    }
    let place = |column: &String| {
        let found = names.iter().position(|name| name == column);
        found.ok_or_else(|| Error::KeyMissing {
            key: column.clone(),
            available: names.to_vec(),
        })
    };
    key.iter().map(place).collect()
}

/// Names a row by its key, in an error: `value` shows the value of a column, by its place.
fn row_named<'n>(key: &[usize], name: impl Fn(usize) -> &'n str, value: impl Fn(usize) -> String) -> String {
    let parts: Vec<String> = key
        .iter()
        .map(|&i| format!("{} = {}", name(i), value(i)))
        .collect();
    format!("row with {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn passwords_are_redacted_wherever_they_stand() {
        for (url, redacted) in [
            ("sqlite:a.db", "sqlite:a.db"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            (
                "postgres://u:secret@h:5432/db?sslmode=require",
                "postgres://u:***@h:5432/db?sslmode=require",
            ),
            ("postgres://u:se/c?r@et@h/db", "postgres://u:***@h/db"),
            (
                "postgres://h/db?user=u&password=secret&x=y",
                "postgres://h/db?user=u&password=***&x=y",
            ),
            (
                "postgres://u:s@h/db?PASSWORD=t",
                "postgres://u:***@h/db?PASSWORD=***",
            ),
            ("postgres://[::1]:5432/db", "postgres://[::1]:5432/db"),
        ] {
            assert_eq!(redact(url), redacted);
        }
    }
}
