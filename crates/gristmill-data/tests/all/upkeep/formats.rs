//! Datasets of each version of the format, which newer builds must open and go on with, or refuse in words.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill_data::pull::{Pace, Pulled, pull};
use gristmill_data::settings::Consistency;
use gristmill_data::source::open::connect;
use gristmill_data::table::{ContentHash, DatasetIdentity, Ledger, TableVersion, compact, vacuum};
use gristmill_data::verify::verify_files;

use super::{BIG, clean, database, memory, names, of, on_disk, rows};
use crate::support::TempSqlite;

/// The name of the source in the fixtures: where the database is makes another one.
const SOURCE: &str = "sqlite:data.db";

/// The hash of all rows, whatever the version of the format.
const HASH: &str = "e8fbb6bc3086c6492ad138400e822b25";

fn fixture(name: &str) -> PathBuf {
    gristmill_testkit::repository()
        .join("crates/gristmill-data/tests/fixtures")
        .join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

/// A pull of [`SOURCE`].
async fn go_on(database: &TempSqlite, dir: &Path) -> Result<Pulled, gristmill_data::Error> {
    let (settings, clean) = (of(database), clean(None));
    let source = connect(&settings).await.unwrap();
    let identity =
        DatasetIdentity::new(SOURCE, &settings.query, &settings.key, &clean, &source.schema()).unwrap();
    let pace = Pace {
        batch_rows: 40,
        connections: 2,
        commit_every: Duration::ZERO,
        consistency: Consistency::Resume,
    };
    pull(source, &settings, identity, dir, pace, &mut |_| ()).await
}

/// Writes the fixtures of the format as it is; for whoever raises its version.
#[tokio::test]
#[ignore = "writes tests/fixtures/dataset-FORMAT"]
async fn write_the_fixtures() {
    let dir = fixture("dataset-new");
    let database = database();
    let (unfinished, compacted) = (dir.join("unfinished"), dir.join("compacted"));
    for dir in [&unfinished, &compacted] {
        go_on(&database, dir).await.unwrap();
    }
    for commit in super::edited::commits(&unfinished).split_off(2) {
        fs::remove_file(commit).unwrap();
    }
    for batch in 2..6 {
        fs::remove_file(unfinished.join(format!("batch-{batch:010}.parquet"))).unwrap();
    }
    compact(&compacted, BIG, memory()).await.unwrap();
    vacuum(&compacted, Duration::ZERO, false).await.unwrap();
}

#[tokio::test]
async fn a_dataset_of_each_format_is_read_and_gone_on_with() {
    for format in ["dataset-1"] {
        let database = database();
        let place = database.dir.path().join(format);
        copy(&fixture(format), &place);
        let (unfinished, compacted) = (place.join("unfinished"), place.join("compacted"));

        let ledger = Ledger::read(&compacted).await.unwrap().unwrap();
        assert!(ledger.record.complete);
        assert_eq!(ledger.record.totals.hash.to_string(), HASH);
        assert_eq!(names(&compacted).await, ["batch-0000000000-0000000005.parquet"]);
        let all = rows(&compacted).await;
        assert_eq!(ContentHash::of(&all).unwrap().to_string(), HASH);
        assert!(verify_files(&compacted).await.unwrap().same());
        let table = TableVersion::open_delta(&compacted).await.unwrap();
        assert!(table.files.iter().all(|file| file.hash.is_some()));

        let ledger = Ledger::read(&unfinished).await.unwrap().unwrap();
        assert!(!ledger.record.complete && ledger.record.totals.batches_read == 2);
        assert!(verify_files(&unfinished).await.unwrap().same());
        for dir in [&unfinished, &compacted] {
            let pulled = go_on(&database, dir).await.unwrap();
            assert!(pulled.resumed);
            assert_eq!(pulled.totals.hash.to_string(), HASH);
            assert_eq!(rows(dir).await, all);
            assert!(verify_files(dir).await.unwrap().same());
        }
    }
}

#[tokio::test]
async fn a_dataset_of_another_format_is_refused_and_left_as_it_is() {
    let entry = "\"gristmill.format\":\"1\"";
    for (edited, says) in [
        (
            "\"gristmill.format\":\"2\"",
            "a later version of gristmill made it: its format is 2, and this build reads 1; use that version, or choose another \
             run.dir",
        ),
        (
            "\"mine\":\"1\"",
            "an earlier version of gristmill made it, in a format that this build does not read: it reads 1; delete the folder \
             to pull the rows again, or use that version",
        ),
        (
            "\"gristmill.format\":\"0\"",
            "an earlier version of gristmill made it, in a format",
        ),
        ("\"gristmill.format\":\"one\"", "its format is no number"),
    ] {
        let database = database();
        for name in ["unfinished", "compacted"] {
            let dir = database.dir.path().join(name);
            copy(&fixture("dataset-1").join(name), &dir);
            let first = dir.join("_delta_log/00000000000000000000.json");
            let text = fs::read_to_string(&first).unwrap();
            assert!(text.contains(entry));
            fs::write(&first, text.replace(entry, edited)).unwrap();
            let before = on_disk(&dir);
            for refused in [
                Ledger::read(&dir).await.map(drop),
                TableVersion::open_delta(&dir).await.map(drop),
                verify_files(&dir).await.map(drop),
                compact(&dir, BIG, memory()).await.map(drop),
                go_on(&database, &dir).await.map(drop),
            ] {
                let why = refused.expect_err(edited).to_string();
                assert!(why.contains(says), "{why}");
            }
            assert_eq!(on_disk(&dir), before);
        }
    }
}
