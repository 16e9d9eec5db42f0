//! What the tests of sources share: reading a whole query by ranges, and temporary SQLite files.
#![allow(dead_code, unreachable_pub)]

pub mod files;

use std::collections::HashMap;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use gristmill_data::Result;
use gristmill_data::budget::RowBudget;
use gristmill_data::key::{Bounds, Key, KeyRange};
use gristmill_data::pull::Planner;
use gristmill_data::settings::{KeyColumns, SourceSettings, TextReading};
use gristmill_data::source::Source;
use gristmill_data::source::open::connect;
use tempfile::TempDir;

/// Rows as text, null as `∅`.
pub type Rows = Vec<Vec<String>>;

pub fn settings(url: &str, query: &str, key: impl Into<KeyColumns>) -> SourceSettings {
    SourceSettings {
        url: url.into(),
        query: query.into(),
        key: key.into(),
        text: TextReading::default(),
        memory: RowBudget::ample(),
    }
}

pub async fn source(url: &str, query: &str, key: impl Into<KeyColumns>) -> Box<dyn Source> {
    connect(&settings(url, query, key)).await.unwrap()
}

/// The message of a connection that must fail.
pub async fn failure(url: &str, query: &str, key: impl Into<KeyColumns>) -> String {
    match connect(&settings(url, query, key)).await {
        Ok(_) => panic!("it connected"),
        Err(error) => error.to_string(),
    }
}

pub async fn read(source: &dyn Source, range: &KeyRange) -> Result<Rows> {
    let batches: Vec<RecordBatch> = source.read(range).await?.try_collect().await?;
    assert!(batches.iter().all(|batch| batch.schema() == source.schema()));
    Ok(rows_in(&batches))
}

/// The rows of record batches, as text.
pub fn rows_in(batches: &[RecordBatch]) -> Rows {
    let mut rows = Vec::new();
    let options = FormatOptions::new().with_null("∅");
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|i| columns.iter().map(|c| c.value(i).to_string()).collect()));
    }
    rows
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

/// Checks the ranges of a query `SELECT row, key, …`, whose rows are numbered from 1 on and whose key has so many parts.
pub async fn check_ranges(source: &dyn Source, batch_rows: u64, row_count: usize, parts: usize) {
    let key = |row: &[String]| row[1..=parts].to_vec();
    let all = read_all(source, batch_rows, None, 10).await;
    let mut seen: Vec<usize> = all
        .iter()
        .flat_map(|(_, rows)| rows.iter().map(|row| row[0].parse().unwrap()))
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        (1..=row_count).collect::<Vec<_>>(),
        "every row exactly once"
    );

    let mut batch_of_key = HashMap::new();
    for (i, (range, rows)) in all.iter().enumerate() {
        assert_eq!(range.number, 10 + i as u64);
        assert!(!rows.is_empty());
        for row in rows {
            assert_eq!(
                *batch_of_key.entry(key(row)).or_insert(i),
                i,
                "a key in two batches"
            );
            assert_eq!(key(row).contains(&"∅".to_owned()), range.bounds == Bounds::Null);
        }
        let last = i + 1 == all.len() || all[i + 1].0.bounds == Bounds::Null;
        if range.bounds != Bounds::Null {
            assert!(
                last || rows.len() as u64 >= batch_rows,
                "too few rows in {range:?}"
            );
            let last_key = key(&rows[rows.len() - 1]);
            let before_last_key = rows.iter().filter(|row| key(row) != last_key).count() as u64;
            assert!(before_last_key < batch_rows, "too many rows in {range:?}");
        }
    }

    // Resuming after any range gives what came after it.
    let sorted = |ranges: &[(KeyRange, Rows)]| {
        let mut ranges = ranges.to_vec();
        ranges.iter_mut().for_each(|(_, rows)| rows.sort());
        ranges
    };
    for (i, (range, _)) in all.iter().enumerate() {
        let rest = read_all(source, batch_rows, Some(range.bounds.clone()), range.number + 1).await;
        assert_eq!(sorted(&rest), sorted(&all[i + 1..]));
    }
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
