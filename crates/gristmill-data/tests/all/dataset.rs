//! From a database to a committed dataset and back: the same rows for every way there.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use futures::FutureExt;
use gristmill_data::budget::RowBudget;
use gristmill_data::key::Bounds;
use gristmill_data::parquet_file::BatchLimit;
use gristmill_data::pull::{Pace, Progress, Pulled, pull};
use gristmill_data::settings::{CleanSettings, Consistency, SourceSettings, TextReading};
use gristmill_data::source;
use gristmill_data::table::{
    Appender, BatchRecord, ContentHash, DatasetIdentity, Ledger, PartWriter, Record, TableVersion,
};
use gristmill_data::{Error, Result};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::Value;

const EVERY_BATCH: Duration = Duration::ZERO;
const AT_THE_END: Duration = Duration::MAX;

struct Case {
    dir: tempfile::TempDir,
    source: SourceSettings,
    clean: CleanSettings,
}

impl Case {
    /// 220 artists, of which 20 have no id, some share theirs, some are equal, and some lack a name.
    fn artists() -> Self {
        let case = Self::with("SELECT id, name, rank, score, noted FROM artist", "id");
        case.execute("CREATE TABLE artist (id INTEGER, name TEXT, rank INTEGER, score REAL, noted BOOLEAN)");
        let mut connection = case.connection();
        let rows = connection.transaction().unwrap();
        for i in 0..220i64 {
            // Written in no order of the key.
            let n = (i * 37) % 220;
            let id = (n % 11 != 0).then_some(n / 4 * 1000 - 20_000);
            let name = (n % 7 != 0).then(|| format!("  n\u{fc}m {}", n % 2));
            let row = (id, name, n % 2, (n / 8 % 4) as f64 / 8.0, n % 2 == 0);
            rows.execute("INSERT INTO artist VALUES (?, ?, ?, ?, ?)", row)
                .unwrap();
        }
        rows.commit().unwrap();
        case
    }

    fn with(query: &str, key: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = SourceSettings {
            url: format!("sqlite:{}", dir.path().join("source.db").display()).into(),
            query: query.into(),
            key: key.into(),
            text: TextReading::default(),
            memory: RowBudget::ample(),
        };
        let clean = CleanSettings {
            trim: true,
            empty_as_null: true,
            require: vec![],
            filter: None,
            distinct: true,
        };
        Self { dir, source, clean }
    }

    fn connection(&self) -> Connection {
        Connection::open(self.dir.path().join("source.db")).unwrap()
    }

    fn execute(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap();
    }

    fn dataset(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn pull(&self, name: &str, batch_rows: u64, commit_every: Duration) -> Result<Pulled> {
        self.pull_watched(name, batch_rows, commit_every, &mut |_| ())
            .await
    }

    async fn pull_watched(
        &self,
        name: &str,
        batch_rows: u64,
        commit_every: Duration,
        progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Pulled> {
        let source = source::open::connect(&self.source).await?;
        let identity = DatasetIdentity::new(
            &source.describe(),
            &self.source.query,
            &self.source.key,
            &self.clean,
            &source.schema(),
        )?;
        let pace = Pace {
            batch_rows,
            connections: 2,
            commit_every,
            consistency: Consistency::Resume,
        };
        pull(
            source,
            &self.source,
            identity,
            &self.dataset(name),
            pace,
            progress,
        )
        .await
    }

    /// Pulls until so many batches are committed, and is cut off there.
    async fn pull_cut_off(&self, name: &str, batch_rows: u64, batches: usize) {
        let mut committed = 0;
        let mut watch = |event: Progress<'_>| {
            if let Progress::Committed { batches: more, .. } = event {
                committed += more;
                // Dropping the future could come late: it has no reason to wait while readers are ahead of it.
                assert!(committed < batches, "cut off");
            }
        };
        let pull = self.pull_watched(name, batch_rows, EVERY_BATCH, &mut watch);
        assert!(
            AssertUnwindSafe(pull).catch_unwind().await.is_err(),
            "not cut off"
        );
    }

    async fn rows(&self, name: &str) -> RecordBatch {
        rows(&TableVersion::open_delta(&self.dataset(name)).await.unwrap())
    }
}

fn rows(table: &TableVersion) -> RecordBatch {
    let batches: Vec<_> = table
        .scan(None, at_most(64))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(
        batches
            .iter()
            .all(|batch| batch.num_rows() <= 64 && batch.schema() == table.schema)
    );
    let rows = concat_batches(&table.schema, &batches).unwrap();
    assert_eq!(rows.num_rows() as u64, table.rows);
    rows
}

fn commit_file(dataset: &Path, version: u64) -> PathBuf {
    dataset.join("_delta_log").join(format!("{version:020}.json"))
}

/// The actions of all commits, in order.
fn actions(dataset: &Path) -> Vec<Value> {
    (0..)
        .map_while(|version| fs::read_to_string(commit_file(dataset, version)).ok())
        .flat_map(|commit| {
            commit
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The batches of all commits, in order.
fn batches(dataset: &Path) -> Vec<BatchRecord> {
    actions(dataset)
        .into_iter()
        .filter_map(|mut action| Some(action.get_mut("commitInfo")?.get_mut("gristmill")?.take()))
        .flat_map(|record| serde_json::from_value::<Record>(record).unwrap().batches)
        .collect()
}

fn parquet_files(dataset: &Path) -> usize {
    let names = fs::read_dir(dataset)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("batch-")).count()
}

#[tokio::test]
async fn the_dataset_is_the_same_for_every_batch_size() {
    let case = Case::artists();
    let all = case.pull("all", 1_000_000, AT_THE_END).await.unwrap();
    let expected = case.rows("all").await;
    assert_eq!(all.totals.rows_read, 220);
    assert!(all.totals.dropped.duplicate > 0 && all.totals.rows_kept > 100);
    assert_eq!(all.totals.rows_kept + all.totals.dropped.total(), 220);
    assert_eq!(ContentHash::of(&expected).unwrap(), all.totals.hash);
    assert_eq!((all.version, all.resumed), (0, false));
    for (name, size, every) in [
        ("one", 1, EVERY_BATCH),
        ("seven", 7, AT_THE_END),
        ("thousand", 1000, EVERY_BATCH),
    ] {
        let pulled = case.pull(name, size, every).await.unwrap();
        assert_eq!(case.rows(name).await, expected, "batches of {size} rows");
        let (mut totals, of_all) = (pulled.totals.clone(), &all.totals);
        (totals.batches_read, totals.batches_empty) = (of_all.batches_read, of_all.batches_empty);
        assert_eq!(&totals, of_all, "batches of {size} rows");
        let batches = batches(&case.dataset(name));
        assert_eq!(batches.len() as u64, pulled.totals.batches_read);
        assert!(
            batches
                .iter()
                .enumerate()
                .all(|(number, batch)| batch.number == number as u64)
        );
        assert_eq!(
            batches.iter().map(|batch| batch.hash).sum::<ContentHash>(),
            all.totals.hash
        );
        assert_eq!(batches.last().unwrap().bounds, Bounds::Null);
        assert_eq!(parquet_files(&case.dataset(name)) as u64, totals_files(&batches));
    }
}

fn totals_files(batches: &[BatchRecord]) -> u64 {
    batches.iter().filter(|batch| batch.file.is_some()).count() as u64
}

#[tokio::test]
async fn batches_of_which_nothing_is_kept_are_counted_and_have_no_file() {
    let mut case = Case::artists();
    case.clean.filter = Some("id > 0".into());
    let pulled = case.pull("dataset", 5, EVERY_BATCH).await.unwrap();
    let batches = batches(&case.dataset("dataset"));
    let empty: Vec<_> = batches.iter().filter(|batch| batch.rows_kept == 0).collect();
    assert!(empty.len() >= 3);
    assert!(
        empty
            .iter()
            .all(|batch| batch.file.is_none() && batch.hash == ContentHash::default())
    );
    assert_eq!(pulled.totals.batches_empty, empty.len() as u64);
    assert_eq!(
        case.rows("dataset").await.num_rows() as u64,
        pulled.totals.rows_kept
    );
}

#[tokio::test]
async fn a_pull_that_was_cut_off_goes_on_after_its_last_commit() {
    let case = Case::artists();
    let whole = case.pull("whole", 10, AT_THE_END).await.unwrap();
    let expected = case.rows("whole").await;
    for cut in [1, 5, 12] {
        let name = format!("cut{cut}");
        case.pull_cut_off(&name, 10, cut).await;
        let dataset = case.dataset(&name);
        let before = batches(&dataset);
        assert!(before.len() >= cut);
        // What a kill can leave behind: an unfinished file, and finished ones that no commit names.
        fs::write(dataset.join(".batch-0000000013.parquet.unfinished"), "x").unwrap();
        fs::write(dataset.join("batch-0000000099.parquet"), "x").unwrap();
        fs::write(
            dataset.join("_delta_log/.00000000000000000099.json.unfinished"),
            "x",
        )
        .unwrap();

        let mut said = None;
        let mut watch = |event: Progress<'_>| {
            if let Progress::Resumed {
                totals,
                other_snapshot,
            } = event
            {
                said = Some((totals.batches_read, other_snapshot));
            }
        };
        let pulled = case
            .pull_watched(&name, 17, EVERY_BATCH, &mut watch)
            .await
            .unwrap();
        assert!(pulled.resumed);
        assert_eq!(said, Some((before.len() as u64, false)));
        assert_eq!(pulled.totals.hash, whole.totals.hash);
        assert_eq!(pulled.totals.rows_read, 220);
        assert_eq!(pulled.totals.snapshots, 1);
        assert_eq!(case.rows(&name).await, expected);
        let after = batches(&dataset);
        assert_eq!(&after[..before.len()], before);
        assert_eq!(parquet_files(&dataset) as u64, totals_files(&after));
        assert!(
            !dataset
                .join("_delta_log/.00000000000000000099.json.unfinished")
                .exists()
        );
    }
}

#[tokio::test]
async fn a_complete_dataset_is_left_as_it_is() {
    let case = Case::artists();
    let first = case.pull("dataset", 50, EVERY_BATCH).await.unwrap();
    case.execute("DELETE FROM artist");
    let again = case.pull("dataset", 7, EVERY_BATCH).await.unwrap();
    assert_eq!(
        again,
        Pulled {
            resumed: true,
            ..first
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn going_on_from_another_snapshot_is_said() {
    let case = Case::artists();
    case.pull_cut_off("dataset", 20, 2).await;
    case.execute("INSERT INTO artist VALUES (100000000, 'late', 1, 1.0, 1)");
    let mut said = false;
    let mut watch = |event: Progress<'_>| {
        if let Progress::Resumed { other_snapshot, .. } = event {
            said = other_snapshot;
        }
    };
    let pulled = case
        .pull_watched("dataset", 20, EVERY_BATCH, &mut watch)
        .await
        .unwrap();
    assert!(said);
    assert_eq!(pulled.totals.snapshots, 2);
    assert_eq!(pulled.totals.rows_read, 221);
    let batches = batches(&case.dataset("dataset"));
    assert_ne!(batches[0].snapshot, batches[batches.len() - 1].snapshot);
}

#[tokio::test]
async fn a_changed_pipeline_is_refused_with_the_difference() {
    let mut case = Case::artists();
    case.pull_cut_off("dataset", 20, 1).await;
    let message = async |case: &Case| match case.pull("dataset", 20, EVERY_BATCH).await {
        Err(error @ Error::Changed { .. }) => error
            .to_string()
            .replace(case.dir.path().to_str().unwrap(), "DIR"),
        other => panic!("{other:?}"),
    };
    case.clean.filter = Some("rank = 1".into());
    case.clean.require = vec!["name".to_owned()];
    assert_eq!(
        message(&case).await,
        "DIR/dataset was made by a different pipeline: clean.require: then none, now `name`; clean.filter: then none, \
         now `rank = 1`; choose another run.dir for the new pipeline, or delete the folder to start anew"
    );
    (case.clean.filter, case.clean.require) = (None, vec![]);
    case.source.query = "SELECT id, name, rank, CAST(score AS TEXT) AS score, noted FROM artist".into();
    let said = message(&case).await;
    for part in [
        "source.query: then `SELECT id, name, rank, score",
        "score double",
        "score string",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_difference_of_long_queries_is_shown_where_it_is() {
    let identity = |query: &str| {
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
        DatasetIdentity::new(
            "sqlite:a.db",
            &query.into(),
            &"id".into(),
            &Case::with("", "").clean,
            &schema,
        )
        .unwrap()
    };
    let start = format!("SELECT id FROM {} WHERE", vec!["table"; 60].join(", "));
    let then = identity(&format!("{start} a = 1"));
    let difference = then.difference(&identity(&format!("{start} b = 1"))).unwrap();
    assert_eq!(
        difference,
        "source.query: then `…le, table, table, table WHERE a = 1`, now `…le, table, table, table WHERE b = 1`"
    );
    let difference = then.difference(&identity(&format!("{start}  a = 1"))).unwrap();
    assert!(
        difference.contains("WHERE a = 1") && difference.contains("WHERE  a = 1"),
        "{difference}"
    );
    assert_eq!(then.difference(&then.clone()), None);
    assert_eq!(then.hash().unwrap().len(), 32);
    assert_ne!(then.hash().unwrap(), identity(&start).hash().unwrap());
}

#[tokio::test]
async fn nothing_to_keep_is_an_error_and_leaves_no_dataset() {
    let mut case = Case::artists();
    case.source.query = format!("{} WHERE id = 12345678", &*case.source.query).into();
    let error = case.pull("dataset", 10, EVERY_BATCH).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "source.query returned no rows; run it by itself to see why"
    );
    case.source.query = "SELECT id, name FROM artist".into();
    case.clean.require = vec!["name".to_owned()];
    case.clean.filter = Some("id > 1000000".into());
    let error = case.pull("dataset", 10, EVERY_BATCH).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "of the 220 rows that source.query returned, cleaning dropped every one: 32 by clean.require, 188 by \
         clean.filter; ask for less there"
    );
    // The pipeline may now be put right, in the same place.
    assert!(Ledger::read(&case.dataset("dataset")).await.unwrap().is_none());
    case.clean.filter = None;
    assert!(!case.pull("dataset", 10, EVERY_BATCH).await.unwrap().resumed);
}

#[tokio::test]
async fn commits_of_other_tools_are_stepped_over() {
    let case = Case::artists();
    case.pull_cut_off("dataset", 20, 2).await;
    let dataset = case.dataset("dataset");
    let version = Ledger::read(&dataset).await.unwrap().unwrap().version;
    let foreign =
        "{\"commitInfo\":{\"timestamp\":1,\"operation\":\"SET TBLPROPERTIES\",\"operationParameters\":{}}}\n";
    fs::write(commit_file(&dataset, version + 1), foreign).unwrap();
    fs::write(commit_file(&dataset, version + 2), foreign).unwrap();
    let pulled = case.pull("dataset", 20, EVERY_BATCH).await.unwrap();
    assert_eq!(pulled.totals.rows_read, 220);
    let numbers: Vec<u64> = batches(&dataset).iter().map(|batch| batch.number).collect();
    assert_eq!(numbers, (0..pulled.totals.batches_read).collect::<Vec<_>>());
    let txn = actions(&dataset)
        .into_iter()
        .rev()
        .find_map(|mut action| Some(action.get_mut("txn")?.take()))
        .unwrap();
    let identity = Ledger::read(&dataset).await.unwrap().unwrap().identity;
    assert_eq!(txn["appId"], identity.hash().unwrap());
    assert_eq!(txn["version"], pulled.totals.batches_read - 1);

    // Rows that another tool added have no place in the canonical order.
    let table = TableVersion::open_delta(&dataset).await.unwrap();
    let file = |path: &str| {
        format!(
            "{{\"add\":{{\"path\":\"{path}\",\"partitionValues\":{{}},\"size\":9,\"modificationTime\":1,\
             \"dataChange\":true,\"stats\":\"{{\\\"numRecords\\\":3}}\"}}}}\n"
        )
    };
    fs::write(
        commit_file(&dataset, table.version + 1),
        foreign.to_owned() + &file("part-00000-a.parquet"),
    )
    .unwrap();
    let error = TableVersion::open_delta(&dataset).await.unwrap_err().to_string();
    assert!(
        error.contains("part-00000-a.parquet, which gristmill did not write"),
        "{error}"
    );
    fs::remove_file(commit_file(&dataset, table.version + 1)).unwrap();
    let removed =
        "{\"remove\":{\"path\":\"batch-0000000000.parquet\",\"dataChange\":true,\"deletionTimestamp\":1}}\n";
    fs::write(
        commit_file(&dataset, table.version + 1),
        foreign.to_owned() + removed,
    )
    .unwrap();
    let error = TableVersion::open_delta(&dataset).await.unwrap_err().to_string();
    assert!(error.contains("does not have the"), "{error}");
}

#[tokio::test]
async fn a_dataset_has_one_writer() {
    let case = Case::artists();
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let identity = DatasetIdentity::new("", &"".into(), &"id".into(), &case.clean, &schema).unwrap();
    let (first, _) = Appender::open(&case.dataset("dataset"), identity, schema)
        .await
        .unwrap();
    let error = case
        .pull("dataset", 10, EVERY_BATCH)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("another gristmill is writing to it"), "{error}");
    drop(first);
    case.pull("dataset", 10, EVERY_BATCH).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_no_dataset_is_refused() {
    let case = Case::artists();
    fs::write(case.dataset("file"), "").unwrap();
    match case.pull("file/dataset", 10, EVERY_BATCH).await {
        Err(Error::Io { path, .. }) => assert!(path.ends_with("file/dataset/_delta_log"), "{path}"),
        other => panic!("{other:?}"),
    }
    fs::create_dir(case.dataset("nothing")).unwrap();
    for name in ["nothing", "not there"] {
        assert!(TableVersion::open_delta(&case.dataset(name)).await.is_err());
    }
    let error = TableVersion::open_delta(&case.dataset("nothing"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("is not a readable dataset: there is no Delta table in it"),
        "{error}"
    );

    case.pull("foreign", 1000, EVERY_BATCH).await.unwrap();
    let commit = commit_file(&case.dataset("foreign"), 0);
    fs::write(
        &commit,
        fs::read_to_string(&commit).unwrap().replace("gristmill", "other"),
    )
    .unwrap();
    let error = case
        .pull("foreign", 10, EVERY_BATCH)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("gristmill did not make this Delta table"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_is_cut_short_or_missing_is_named() {
    let case = Case::artists();
    case.pull("dataset", 50, AT_THE_END).await.unwrap();
    let table = TableVersion::open_delta(&case.dataset("dataset")).await.unwrap();
    let path = &table.files[1].path;
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    let error = table
        .scan(None, at_most(10))
        .unwrap()
        .find_map(Result::err)
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("batch-0000000001.parquet is not a readable dataset"),
        "{error}"
    );
    fs::remove_file(path).unwrap();
    let error = table
        .scan(None, at_most(10))
        .unwrap()
        .find_map(Result::err)
        .unwrap();
    assert!(
        matches!(&error, Error::Io { path, .. } if path.ends_with("batch-0000000001.parquet")),
        "{error}"
    );
}

#[tokio::test]
async fn many_commits_have_a_checkpoint() {
    let case = Case::with("SELECT id FROM numbers", "id");
    case.execute(
        "CREATE TABLE numbers AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n LIMIT 120) SELECT id FROM n",
    );
    case.pull_cut_off("dataset", 1, 105).await;
    let dataset = case.dataset("dataset");
    assert!(dataset.join("_delta_log/_last_checkpoint").exists());
    // The log before a checkpoint may be cleaned up.
    for version in 0..100 {
        fs::remove_file(commit_file(&dataset, version)).unwrap();
    }
    let pulled = case.pull("dataset", 10, EVERY_BATCH).await.unwrap();
    assert_eq!((pulled.totals.rows_kept, pulled.totals.snapshots), (120, 1));
    let rows = case.rows("dataset").await;
    assert_eq!(rows.column(0).as_ref(), &Int64Array::from_iter_values(1..=120));
}

#[tokio::test]
async fn every_type_survives_the_table() {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let item = Arc::new(Field::new("element", DataType::Utf8, true));
    let kinds = [
        DataType::Boolean,
        DataType::Int8,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        utc,
        DataType::Decimal128(38, 10),
        DataType::List(item.clone()),
        DataType::Struct(vec![Field::new("a", DataType::List(item), true)].into()),
    ];
    for kind in kinds {
        let dir = tempfile::tempdir().unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("column", kind.clone(), true)]));
        let identity = DatasetIdentity::new(
            "",
            &"".into(),
            &"column".into(),
            &Case::with("", "").clean,
            &schema,
        )
        .unwrap();
        let (mut appender, _) = Appender::open(dir.path(), identity, schema.clone())
            .await
            .unwrap();
        let rows =
            RecordBatch::try_new(schema.clone(), vec![arrow::array::new_null_array(&kind, 2)]).unwrap();
        let mut writer = appender.files(64 << 20).create(0).unwrap();
        writer.write(&rows).unwrap();
        let mut file = writer.finish().unwrap();
        file.sync().unwrap();
        let mut record = Record::default();
        record.totals.rows_kept = 2;
        appender.commit(&record, &[file]).await.unwrap();
        let table = TableVersion::open_delta(dir.path()).await.unwrap();
        assert_eq!(table.schema, schema, "{kind}");
        assert_eq!(self::rows(&table), rows, "{kind}");
    }
}

#[tokio::test]
async fn scans_give_the_columns_asked_for() {
    let case = Case::artists();
    case.pull("dataset", 50, AT_THE_END).await.unwrap();
    let table = TableVersion::open_delta(&case.dataset("dataset")).await.unwrap();
    let all = rows(&table);
    let names = ["score", "id", "score"].map(str::to_owned);
    let batches: Vec<_> = table
        .scan(Some(&names), at_most(13))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let scanned = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(scanned, all.project(&[3, 0, 3]).unwrap());
    let counted: usize = table
        .scan(Some(&[]), at_most(13))
        .unwrap()
        .map(|batch| batch.unwrap().num_rows())
        .sum();
    assert_eq!(counted as u64, table.rows);
    let error = table
        .scan(Some(&["Score".to_owned()]), at_most(13))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("there is no column `Score`; the columns are: id, name, rank, score, noted"),
        "{error}"
    );
}

#[test]
fn a_plain_folder_has_parts_of_one_size() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("features");
    let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(0..25));
    let all = RecordBatch::try_from_iter_with_nullable([("time", column, true)]).unwrap();
    let write = |pieces: &[usize]| {
        let mut writer = PartWriter::create(&folder, all.schema(), 10).unwrap();
        let mut start = 0;
        for length in pieces {
            writer.write(&all.slice(start, *length)).unwrap();
            start += length;
        }
        writer
            .finish(vec![("made".to_owned(), "here".to_owned())])
            .unwrap()
    };
    let bytes = || -> Vec<Vec<u8>> {
        let table = TableVersion::open_parquet(&folder).unwrap();
        table
            .files
            .iter()
            .map(|file| fs::read(&file.path).unwrap())
            .collect()
    };
    write(&[25]);
    let first = bytes();
    let written = write(&[1, 12, 0, 12]);
    assert_eq!(bytes(), first, "the cut of what is written shows");
    let opened = TableVersion::open_parquet(&folder).unwrap();
    assert_eq!(opened.files, written.files);
    assert_eq!(
        opened.files.iter().map(|file| file.rows).collect::<Vec<_>>(),
        [10, 10, 5]
    );
    assert_eq!(opened.metadata, [("made".to_owned(), "here".to_owned())].into());
    assert_eq!((rows(&opened), rows(&written)), (all.clone(), all));

    // One that is not finished is not there.
    let unfinished = PartWriter::create(&dir.path().join("other"), opened.schema.clone(), 10).unwrap();
    drop(unfinished);
    assert!(TableVersion::open_parquet(&dir.path().join("other")).is_err());
    let empty = PartWriter::create(&dir.path().join("other"), opened.schema.clone(), 10).unwrap();
    empty.finish(vec![]).unwrap();
    let empty = TableVersion::open_parquet(&dir.path().join("other")).unwrap();
    assert_eq!((empty.rows, empty.schema), (0, opened.schema));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Any rows, any two ways to cut them: one dataset.
    #[test]
    fn cutting_does_not_show(
        keys in prop::collection::vec((prop::option::of(-3i64..12), "[ab ]{0,2}"), 1..40),
        sizes in prop::array::uniform2(1u64..20),
        distinct: bool,
    ) {
        let mut case = Case::with("SELECT id, name FROM t", "id");
        case.clean.distinct = distinct;
        case.execute("CREATE TABLE t (id INTEGER, name TEXT)");
        let mut connection = case.connection();
        let rows = connection.transaction().unwrap();
        for row in &keys {
            rows.execute("INSERT INTO t VALUES (?, ?)", (row.0, &row.1)).unwrap();
        }
        rows.commit().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = case.pull("one", sizes[0], AT_THE_END).await.unwrap();
            let other = case.pull("other", sizes[1], EVERY_BATCH).await.unwrap();
            prop_assert_eq!(one.totals.hash, other.totals.hash);
            prop_assert_eq!(one.totals.dropped, other.totals.dropped);
            prop_assert_eq!(one.totals.rows_read, keys.len() as u64);
            prop_assert_eq!(case.rows("one").await, case.rows("other").await);
            Ok(())
        })?;
    }
}

/// A SIGKILL at every named point, at its first and at a later hit, and then resuming, makes the undisturbed dataset.
#[cfg(feature = "failpoints")]
mod kills {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use gristmill_data::failpoint::PULL;
    use gristmill_data::table::compact;
    use gristmill_data::verify::verify_files;

    use super::*;

    /// So small that two files make one, and there are several of those.
    fn target(dataset: &Path) -> u64 {
        let files = fs::read_dir(dataset).unwrap().map(|entry| entry.unwrap().path());
        let sizes = files
            .filter(|path| path.is_file())
            .map(|path| path.metadata().unwrap().len());
        sizes.max().unwrap() + 1
    }

    #[tokio::test]
    #[ignore = "the process that is killed"]
    async fn child() {
        let mut case = Case::with("SELECT id, name, rank, score, noted FROM artist", "id");
        case.source.url = std::env::var("CASE_URL").unwrap().into();
        let dataset = std::env::var("CASE_DATASET").unwrap();
        case.pull(&dataset, 10, EVERY_BATCH).await.unwrap();
        let dataset = case.dataset(&dataset);
        compact(&dataset, target(&dataset), RowBudget::ample())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_kill_anywhere_loses_and_doubles_nothing() {
        let case = Case::artists();
        let whole = case.pull("whole", 10, EVERY_BATCH).await.unwrap();
        let expected = case.rows("whole").await;
        let dataset = case.dataset("whole");
        let compacted = compact(&dataset, target(&dataset), RowBudget::ample())
            .await
            .unwrap();
        assert!(compacted.into >= 4, "{compacted:?}");
        let (_, module) = module_path!().split_once("::").unwrap();
        let child = format!("{module}::child");
        for point in PULL {
            for count in [1, 4] {
                let name = format!("{point}-{count}");
                let status = Command::new(std::env::current_exe().unwrap())
                    .args(["--ignored", "--exact", &child])
                    .env("CASE_URL", case.source.url.to_string())
                    .env("CASE_DATASET", case.dataset(&name))
                    .env("GRISTMILL_KILL_AT", format!("{point}:{count}"))
                    .output()
                    .unwrap()
                    .status;
                let once = ["checkpoint-done", "final-commit-started"].contains(&point);
                let killed = (!once || count == 1).then_some(9);
                assert_eq!(status.signal(), killed, "{name}: {status}");
                let pulled = case.pull(&name, 10, EVERY_BATCH).await.unwrap();
                assert_eq!(pulled.totals, whole.totals, "{name}");
                assert_eq!(case.rows(&name).await, expected, "{name}");
                let dataset = case.dataset(&name);
                if killed.is_some() && !point.starts_with("compaction-") {
                    assert_eq!(parquet_files(&dataset) as u64, totals_files(&batches(&dataset)));
                }
                compact(&dataset, target(&dataset), RowBudget::ample())
                    .await
                    .unwrap();
                assert_eq!(case.rows(&name).await, expected, "{name}");
                let verified = verify_files(&dataset).await.unwrap();
                assert!(
                    verified.same() && verified.unrecorded == 0,
                    "{name}: {verified:?}"
                );
            }
        }
    }
}

/// Batches bounded in rows alone.
fn at_most(rows: usize) -> BatchLimit {
    BatchLimit {
        rows,
        bytes: u64::MAX,
    }
}
