//! What the tests of sources share: reading a whole query by ranges, and temporary SQLite files.
#![allow(dead_code, unreachable_pub)]

pub mod files;

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use gristmill_data::Result;
use gristmill_data::batch::Planner;
use gristmill_data::settings::SourceSettings;
use gristmill_data::source::{Bounds, Key, KeyRange, Source, connect};
use tempfile::TempDir;

/// Rows as text, null as `∅`.
pub type Rows = Vec<Vec<String>>;

pub fn settings(url: &str, query: &str, key: &str) -> SourceSettings {
    SourceSettings {
        url: url.to_owned(),
        query: query.into(),
        key: key.to_owned(),
    }
}

pub async fn source(url: &str, query: &str, key: &str) -> Box<dyn Source> {
    connect(&settings(url, query, key)).await.unwrap()
}

/// The message of a connection that must fail.
pub async fn failure(url: &str, query: &str, key: &str) -> String {
    match connect(&settings(url, query, key)).await {
        Ok(_) => panic!("it connected"),
        Err(error) => error.to_string(),
    }
}

pub async fn read(source: &dyn Source, range: &KeyRange) -> Result<Rows> {
    let batches: Vec<RecordBatch> = source.read(range).await?.try_collect().await?;
    let mut rows = Vec::new();
    let options = FormatOptions::new().with_null("∅");
    for batch in batches {
        assert_eq!(batch.schema(), source.schema());
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|i| columns.iter().map(|c| c.value(i).to_string()).collect()));
    }
    Ok(rows)
}

/// Every range with its rows.
pub async fn read_all(
    source: &dyn Source,
    rows: u64,
    resume_after: Option<Bounds>,
    number: u64,
) -> Vec<(KeyRange, Rows)> {
    let mut planner = Planner::new(rows, resume_after, number);
    let mut all = Vec::new();
    while let Some(range) = planner.next(source).await.unwrap() {
        // As a dataset's history keeps it.
        let range = serde_json::from_str(&serde_json::to_string(&range).unwrap()).unwrap();
        let rows = read(source, &range).await.unwrap();
        all.push((range, rows));
    }
    all
}

/// All rows of the query, in the order of its ranges.
pub async fn rows_of(source: &dyn Source, rows: u64) -> Rows {
    read_all(source, rows, None, 0)
        .await
        .into_iter()
        .flat_map(|(_, rows)| rows)
        .collect()
}

/// The range of all integer keys.
pub fn everything() -> KeyRange {
    KeyRange {
        number: 0,
        bounds: Bounds::Between {
            after: None,
            until: Key::Int(i64::MAX),
        },
    }
}

pub fn row(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// A SQLite file that goes with the test.
pub struct TempSqlite {
    pub dir: TempDir,
    pub path: PathBuf,
}

impl TempSqlite {
    pub fn new(sql: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        let database = Self { dir, path };
        database.open().execute_batch(sql).unwrap();
        database
    }

    pub fn open(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).unwrap()
    }

    pub fn url(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }
}
