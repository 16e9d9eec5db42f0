//! Compaction, verification and vacuum of a dataset: the same rows, whatever was done to its files.

mod edited;
mod formats;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::time::Duration;

use crate::support::{TempSqlite, settings};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::FutureExt;
use gristmill_data::Error;
use gristmill_data::budget::RowBudget;
use gristmill_data::parquet_file::BatchLimit;
use gristmill_data::pull::{Pace, Progress, Pulled, pull};
use gristmill_data::settings::{CleanSettings, Consistency, SourceSettings};
use gristmill_data::source::Source;
use gristmill_data::source::open::connect;
use gristmill_data::table::{Compacted, ContentHash, DatasetIdentity, Ledger, TableVersion, compact, vacuum};
use gristmill_data::verify::{Found, Verified, verify_files, verify_source};
use gristmill_testkit::TempPostgres;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

const BIG: u64 = 1 << 30;

/// 200 numbered rows in twenties of equal groups, some without a name, ten without a number.
fn database() -> TempSqlite {
    TempSqlite::new(
        "CREATE TABLE t (id INTEGER, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 210)
         INSERT INTO t SELECT CASE WHEN i <= 200 THEN i END, CASE WHEN i % 7 THEN 'name ' || i * 7919 % 1000 END FROM n;",
    )
}

fn of(database: &TempSqlite) -> SourceSettings {
    settings(&database.url(), "SELECT id, name FROM t", "id")
}

fn clean(filter: Option<&str>) -> CleanSettings {
    CleanSettings {
        trim: true,
        empty_as_null: true,
        require: vec![],
        filter: filter.map(Into::into),
        distinct: false,
    }
}

fn identity(source: &dyn Source, settings: &SourceSettings, clean: &CleanSettings) -> DatasetIdentity {
    DatasetIdentity::new(
        &source.describe(),
        &settings.query,
        &settings.key,
        clean,
        &source.schema(),
    )
    .unwrap()
}

async fn pulled(settings: &SourceSettings, clean: &CleanSettings, dir: &Path, batch_rows: u64) -> Pulled {
    let source = connect(settings).await.unwrap();
    let pace = Pace {
        batch_rows,
        connections: 2,
        commit_every: Duration::ZERO,
        consistency: Consistency::Resume,
    };
    let identity = identity(source.as_ref(), settings, clean);
    pull(source, settings, identity, dir, pace, &mut |_| ())
        .await
        .unwrap()
}

async fn compared(settings: &SourceSettings, clean: &CleanSettings, dir: &Path) -> Verified {
    let source = connect(settings).await.unwrap();
    let identity = identity(source.as_ref(), settings, clean);
    let mut seen = 0;
    let verified = verify_source(dir, source.as_ref(), &identity, memory(), &mut |_| seen += 1)
        .await
        .unwrap();
    assert_eq!(seen, verified.batches);
    verified
}

async fn rows(dir: &Path) -> RecordBatch {
    let table = TableVersion::open_delta(dir).await.unwrap();
    let batches: Vec<_> = table
        .scan(None, at_most(64))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    concat_batches(&table.schema, &batches).unwrap()
}

async fn names(dir: &Path) -> Vec<String> {
    let table = TableVersion::open_delta(dir).await.unwrap();
    let name =
        |file: gristmill_data::table::DataFile| file.path.file_name().unwrap().to_str().unwrap().to_owned();
    table.files.into_iter().map(name).collect()
}

fn on_disk(dir: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".parquet")).collect()
}

#[tokio::test]
async fn compaction_keeps_rows_order_hash_and_records() {
    let database = database();
    let dir = database.dir.path().join("dataset");
    // Batches 5 to 7 keep nothing.
    let clean = clean(Some("id IS NULL OR id NOT BETWEEN 51 AND 80"));
    let pulled = pulled(&of(&database), &clean, &dir, 10).await;
    assert_eq!((pulled.totals.batches_read, pulled.totals.batches_empty), (21, 3));
    let before = rows(&dir).await;
    let files = names(&dir).await;
    let done = compact(&dir, BIG, RowBudget::ample()).await.unwrap();
    assert_eq!(done, Compacted { from: 18, into: 1 });
    assert_eq!(names(&dir).await, ["batch-0000000000-0000000020.parquet"]);
    assert_eq!(rows(&dir).await, before);
    assert_eq!(ContentHash::of(&before).unwrap(), pulled.totals.hash);

    let ledger = Ledger::read(&dir).await.unwrap().unwrap();
    assert!(ledger.record.complete && ledger.version == pulled.version + 1);
    assert_eq!(ledger.record.totals, pulled.totals);
    for verified in [
        verify_files(&dir).await.unwrap(),
        compared(&of(&database), &clean, &dir).await,
    ] {
        assert!(verified.same(), "{verified:?}");
        assert_eq!(
            (verified.batches, verified.rows, verified.unrecorded),
            (21, 180, 0)
        );
    }

    // Once is enough, and a pull finds it complete.
    assert_eq!(
        compact(&dir, BIG, RowBudget::ample()).await.unwrap(),
        Compacted::default()
    );
    let again = self::pulled(&of(&database), &clean, &dir, 7).await;
    assert_eq!((again.totals, again.version), (pulled.totals, pulled.version + 1));

    // The version before has its files.
    assert!(files.iter().all(|file| dir.join(file).exists()));
}

#[tokio::test]
async fn row_groups_of_a_good_size_are_copied_as_they_are() {
    let database = TempSqlite::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 90000)
         INSERT INTO t SELECT i, CASE WHEN i % 7 THEN 'name ' || i * 7919 % 1000 END FROM n;",
    );
    let dir = database.dir.path().join("dataset");
    let pulled = pulled(&of(&database), &clean(None), &dir, 18_000).await;
    let before = rows(&dir).await;
    let (old, groups) = (names(&dir).await, |name: &str| {
        let file = fs::File::open(dir.join(name)).unwrap();
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        reader.parse_and_finish(&file).unwrap()
    });
    assert_eq!(
        compact(&dir, BIG, RowBudget::ample()).await.unwrap(),
        Compacted { from: 5, into: 1 }
    );
    let merged = groups(&names(&dir).await[0]);
    assert_eq!(merged.num_row_groups(), 5);
    for (old, merged) in old.iter().zip(merged.row_groups()) {
        let metadata = groups(old);
        for (old, merged) in metadata.row_group(0).columns().iter().zip(merged.columns()) {
            assert_eq!(old.compressed_size(), merged.compressed_size());
            assert_eq!(old.statistics(), merged.statistics());
        }
    }
    assert_eq!(rows(&dir).await, before);
    assert_eq!(ContentHash::of(&before).unwrap(), pulled.totals.hash);
    assert!(verify_files(&dir).await.unwrap().same());
    assert!(compared(&of(&database), &clean(None), &dir).await.same());
}

#[tokio::test]
async fn files_of_the_target_size_or_a_few_are_left_alone() {
    let database = database();
    let dir = database.dir.path().join("few");
    pulled(&of(&database), &clean(None), &dir, 60).await;
    let files = names(&dir).await;
    assert_eq!(files.len(), 5);
    // One of them is big: there are four in a row at most.
    let biggest = files
        .iter()
        .map(|name| fs::metadata(dir.join(name)).unwrap().len())
        .max()
        .unwrap();
    assert_eq!(
        compact(&dir, biggest, RowBudget::ample()).await.unwrap(),
        Compacted::default()
    );
    assert_eq!(names(&dir).await, files);

    let dir = database.dir.path().join("many");
    let whole = pulled(&of(&database), &clean(None), &dir, 1).await;
    let before = rows(&dir).await;
    let files = names(&dir).await;
    let sizes = files
        .iter()
        .map(|name| fs::metadata(dir.join(name)).unwrap().len());
    let target = sizes.max().unwrap() + 1;
    let done = compact(&dir, target, RowBudget::ample()).await.unwrap();
    // Two or three in each.
    assert_eq!(done, Compacted { from: 201, into: 86 });
    assert_eq!(
        names(&dir).await.last().unwrap(),
        "batch-0000000198-0000000200.parquet"
    );
    assert_eq!(rows(&dir).await, before);
    assert_eq!(
        Ledger::read(&dir).await.unwrap().unwrap().record.totals,
        whole.totals
    );
    let verified = verify_files(&dir).await.unwrap();
    assert!(verified.same() && verified.batches == whole.totals.batches_read);
    assert_eq!(
        compact(&dir, target, RowBudget::ample()).await.unwrap(),
        Compacted::default()
    );
}

#[tokio::test]
async fn an_unfinished_dataset_is_not_compacted() {
    let database = database();
    let dir = database.dir.path().join("dataset");
    cut_off(&of(&database), &dir, Consistency::Resume).await;
    let files = names(&dir).await;
    assert!(files.len() > 5);
    assert_eq!(
        compact(&dir, BIG, RowBudget::ample()).await.unwrap(),
        Compacted::default()
    );
    assert_eq!(names(&dir).await, files);
}

/// A pull that ends after eight commits of ten rows.
async fn cut_off(settings: &SourceSettings, dir: &Path, consistency: Consistency) {
    let source = connect(settings).await.unwrap();
    // Unwinding ends the pull at the eighth commit itself; whatever waited for a signal could come after the last one.
    struct CutOff;
    let mut commits = 0;
    let mut watch = |event: Progress<'_>| {
        commits += u32::from(matches!(event, Progress::Committed { .. }));
        if commits == 8 {
            resume_unwind(Box::new(CutOff));
        }
    };
    let pace = Pace {
        batch_rows: 10,
        connections: 2,
        commit_every: Duration::ZERO,
        consistency,
    };
    let identity = identity(source.as_ref(), settings, &clean(None));
    let pull = pull(source, settings, identity, dir, pace, &mut watch);
    let end = AssertUnwindSafe(pull).catch_unwind().await;
    assert!(end.is_err_and(|why| why.is::<CutOff>()));
}

#[tokio::test]
async fn a_changed_row_is_named_by_its_batch() {
    let database = database();
    let dir = database.dir.path().join("dataset");
    let settings = of(&database);
    let clean = clean(Some("name <> 'gone'"));
    pulled(&settings, &clean, &dir, 10).await;
    for compacted in [false, true] {
        let database = database.open();
        let change = database.unchecked_transaction().unwrap();
        change.execute_batch("UPDATE t SET name = 'other' WHERE id = 34; DELETE FROM t WHERE id = 101; UPDATE t SET name = 'gone' WHERE id = 150 OR name IS NULL AND id = 49").unwrap();
        change.commit().unwrap();
        let verified = compared(&settings, &clean, &dir).await;
        assert!(!verified.same() && verified.whole && !verified.more);
        let found: Vec<_> = verified
            .differences
            .iter()
            .map(|difference| match &difference.found {
                Found::Rows { rows, hash } => {
                    assert_ne!(*hash, difference.batch.hash);
                    (difference.batch.number, difference.batch.rows_kept, *rows)
                }
                Found::Unreadable(why) => panic!("{why}"),
            })
            .collect();
        // Of each ten, one or two have no name, which the filter drops.
        let kept = |number: usize| {
            verified
                .differences
                .iter()
                .find(|d| d.batch.number == number as u64)
                .unwrap()
                .batch
                .rows_kept
        };
        assert_eq!(
            found,
            [
                (3, kept(3), kept(3)),
                (10, kept(10), kept(10) - 1),
                (14, kept(14), kept(14) - 1)
            ]
        );
        // The files are as they were.
        assert!(verify_files(&dir).await.unwrap().same());
        if !compacted {
            compact(&dir, BIG, RowBudget::ample()).await.unwrap();
        }
    }
    database
        .open()
        .execute_batch("DELETE FROM t WHERE id IS NULL; INSERT INTO t VALUES (1000, 'late')")
        .unwrap();
    let verified = compared(&settings, &clean, &dir).await;
    assert!(verified.more && verified.differences.len() == 4, "{verified:?}");
}

#[tokio::test]
async fn verifying_with_another_pipeline_is_refused() {
    let database = database();
    let dir = database.dir.path().join("dataset");
    let settings = of(&database);
    pulled(&settings, &clean(None), &dir, 50).await;
    let source = connect(&settings).await.unwrap();
    let other = identity(source.as_ref(), &settings, &clean(Some("id > 3")));
    match verify_source(&dir, source.as_ref(), &other, memory(), &mut |_| ()).await {
        Err(Error::Changed { difference, .. }) => {
            assert_eq!(difference, "clean.filter: then none, now `id > 3`")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_damaged_file_is_found_by_its_batches() {
    let database = database();
    let dir = database.dir.path().join("dataset");
    let wrong = database.dir.path().join("wrong");
    pulled(&of(&database), &clean(None), &dir, 10).await;
    database
        .open()
        .execute_batch("UPDATE t SET name = 'wrong' WHERE id IN (95, 123)")
        .unwrap();
    pulled(&of(&database), &clean(None), &wrong, 10).await;

    // A whole file with another row in it.
    let ninth = "batch-0000000009.parquet";
    fs::copy(dir.join(ninth), database.dir.path().join("kept")).unwrap();
    fs::copy(wrong.join(ninth), dir.join(ninth)).unwrap();
    let numbers = |verified: &Verified| {
        verified
            .differences
            .iter()
            .map(|d| d.batch.number)
            .collect::<Vec<_>>()
    };
    let verified = verify_files(&dir).await.unwrap();
    assert_eq!((numbers(&verified), verified.whole), (vec![9], false));
    // In a file of many batches, only those that differ are named.
    fs::copy(database.dir.path().join("kept"), dir.join(ninth)).unwrap();
    for dir in [&dir, &wrong] {
        compact(dir, BIG, RowBudget::ample()).await.unwrap();
    }
    let all = "batch-0000000000-0000000020.parquet";
    assert!(verify_files(&dir).await.unwrap().same());
    fs::copy(wrong.join(all), dir.join(all)).unwrap();
    assert_eq!(numbers(&verify_files(&dir).await.unwrap()), [9, 12]);
    // One that cannot be read.
    let bytes = fs::read(dir.join(all)).unwrap();
    fs::write(dir.join(all), &bytes[..bytes.len() - 5]).unwrap();
    let verified = verify_files(&dir).await.unwrap();
    assert_eq!(numbers(&verified), (0..21).collect::<Vec<_>>());
    assert!(matches!(&verified.differences[0].found, Found::Unreadable(why) if why.contains(all)));
}

#[tokio::test]
async fn a_log_that_was_cleaned_up_is_said_and_the_rows_are_compared_as_a_whole() {
    let database = database();
    let dir = database.dir.path().join("dataset");
    pulled(&of(&database), &clean(None), &dir, 10).await;
    compact(&dir, BIG, RowBudget::ample()).await.unwrap();
    for version in 0..12 {
        fs::remove_file(dir.join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let verified = verify_files(&dir).await.unwrap();
    assert_eq!(
        (verified.same(), verified.unrecorded, verified.batches),
        (true, 12, 9)
    );
    let verified = compared(&of(&database), &clean(None), &dir).await;
    assert_eq!(
        (verified.same(), verified.unrecorded, verified.batches),
        (true, 12, 9)
    );
}

#[tokio::test]
async fn vacuum_deletes_what_no_retained_version_needs() {
    let database = database();
    let dir = database.dir.path().join("dataset");
    let pulled = pulled(&of(&database), &clean(None), &dir, 10).await;
    let before = rows(&dir).await;
    let old: BTreeSet<String> = names(&dir).await.into_iter().collect();
    compact(&dir, BIG, RowBudget::ample()).await.unwrap();
    let new: BTreeSet<String> = names(&dir).await.into_iter().collect();
    fs::write(dir.join("of-someone-else.parquet"), "x").unwrap();

    let hour = Duration::from_secs(3600);
    assert_eq!(vacuum(&dir, hour, false).await.unwrap(), []);
    let would: BTreeSet<String> = vacuum(&dir, Duration::ZERO, true)
        .await
        .unwrap()
        .iter()
        .map(|file| file.path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(would, old);
    assert!(on_disk(&dir).is_superset(&old));
    let vacuumed = vacuum(&dir, Duration::ZERO, false).await.unwrap();
    assert_eq!(vacuumed.len(), old.len());
    assert!(vacuumed.iter().all(|file| file.bytes > 0));
    assert_eq!(
        on_disk(&dir),
        new.into_iter()
            .chain(["of-someone-else.parquet".to_owned()])
            .collect()
    );
    assert_eq!(rows(&dir).await, before);
    assert_eq!(vacuum(&dir, Duration::ZERO, false).await.unwrap(), []);
    let verified = verify_files(&dir).await.unwrap();
    assert!(verified.same() && verified.rows == pulled.totals.rows_kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_starts_a_dataset_anew_rather_than_mix_two_snapshots() {
    let database = database();
    let settings = of(&database);
    let dir = database.dir.path().join("dataset");
    let strict = async |dir: &Path| {
        let source = connect(&settings).await.unwrap();
        let mut said = Vec::new();
        let mut watch = |event: Progress<'_>| match event {
            Progress::Anew { totals } => said.push(("anew", totals.batches_read >= 8)),
            Progress::Resumed { totals, .. } => said.push(("resumed", totals.batches_read >= 8)),
            _ => (),
        };
        let pace = Pace {
            batch_rows: 10,
            connections: 2,
            commit_every: Duration::ZERO,
            consistency: Consistency::Strict,
        };
        let identity = identity(source.as_ref(), &settings, &clean(None));
        let pulled = pull(source, &settings, identity, dir, pace, &mut watch)
            .await
            .unwrap();
        (pulled, said)
    };
    cut_off(&settings, &dir, Consistency::Strict).await;
    database
        .open()
        .execute_batch("UPDATE t SET name = 'new' WHERE id = 1")
        .unwrap();
    let (pulled, said) = strict(&dir).await;
    assert_eq!(said, [("anew", true)]);
    assert_eq!((pulled.totals.snapshots, pulled.totals.rows_read), (1, 210));
    let fresh = database.dir.path().join("fresh");
    let whole = self::pulled(&settings, &clean(None), &fresh, 10).await;
    assert_eq!(pulled.totals, whole.totals);
    assert_eq!(rows(&dir).await, rows(&fresh).await);
    assert_eq!(on_disk(&dir), on_disk(&fresh));
    assert!(compared(&settings, &clean(None), &dir).await.same());
    assert!(
        fs::read_dir(&dir).unwrap().all(|entry| !entry
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .starts_with('.'))
    );

    // The same snapshot is gone on with.
    let dir = database.dir.path().join("same");
    cut_off(&settings, &dir, Consistency::Strict).await;
    let (pulled, said) = strict(&dir).await;
    assert_eq!((said, pulled.totals), (vec![("resumed", true)], whole.totals));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_read_by_one_statement_starts_anew_on_the_same_snapshot() {
    let database = database();
    let mut settings = of(&database);
    settings.query = format!("SELECT * FROM ({}) LIMIT 150", settings.query.written()).into();
    let dir = database.dir.path().join("dataset");
    cut_off(&settings, &dir, Consistency::Resume).await;
    let source = connect(&settings).await.unwrap();
    let mut anew = 0;
    let mut watch = |event: Progress<'_>| anew += u32::from(matches!(event, Progress::Anew { .. }));
    let pace = Pace::new(10, 2, Consistency::Resume);
    let identity = identity(source.as_ref(), &settings, &clean(None));
    let pulled = pull(source, &settings, identity, &dir, pace, &mut watch)
        .await
        .unwrap();
    assert_eq!(
        (anew, pulled.totals.rows_read, pulled.totals.batches_read),
        (1, 150, 15)
    );
    let fresh = database.dir.path().join("fresh");
    let whole = self::pulled(&settings, &clean(None), &fresh, 10).await;
    assert_eq!(pulled.totals.hash, whole.totals.hash);
    assert!(compared(&settings, &clean(None), &dir).await.same());
}

#[tokio::test]
async fn on_postgres() {
    let server = TempPostgres::start();
    let url = server.url();
    server.execute(
        "CREATE TABLE t (id uuid PRIMARY KEY, made timestamptz, price numeric(12, 3), note text);
         INSERT INTO t SELECT md5(i::text)::uuid, to_timestamp(i), i / 8.0, nullif(i % 9, 3)::text FROM generate_series(1, 500) i",
    );
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("dataset");
    let settings = settings(&url, "SELECT id, made, price, note FROM t", "id");
    let pulled = pulled(&settings, &clean(None), &dir, 40).await;
    let before = rows(&dir).await;
    assert_eq!(
        compact(&dir, BIG, RowBudget::ample()).await.unwrap(),
        Compacted { from: 13, into: 1 }
    );
    assert_eq!(rows(&dir).await, before);
    assert_eq!(ContentHash::of(&before).unwrap(), pulled.totals.hash);
    assert!(verify_files(&dir).await.unwrap().same());
    assert!(compared(&settings, &clean(None), &dir).await.same());
    server.execute(
        "UPDATE t SET price = price + 1 WHERE id = (SELECT id FROM t ORDER BY id OFFSET 123 LIMIT 1)",
    );
    let verified = compared(&settings, &clean(None), &dir).await;
    let [difference] = verified.differences.as_slice() else {
        panic!("{verified:?}");
    };
    assert_eq!((difference.batch.number, difference.batch.rows_kept), (3, 40));
}

fn memory() -> RowBudget {
    RowBudget::ample()
}

/// Batches bounded in rows alone.
fn at_most(rows: usize) -> BatchLimit {
    BatchLimit {
        rows,
        bytes: u64::MAX,
    }
}
