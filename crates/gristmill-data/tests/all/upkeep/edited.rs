//! A log that was edited: refused, and no row is read twice.

use std::fs;
use std::path::{Path, PathBuf};

use gristmill_data::pull::{Pace, pull};
use gristmill_data::settings::Consistency;
use gristmill_data::source::open::connect;
use gristmill_data::table::{Ledger, TableVersion, compact};
use gristmill_data::verify::verify_files;
use serde_json::Value;

use super::{BIG, clean, database, identity, memory, of, pulled, rows};

/// The commits of a dataset.
pub(crate) fn commits(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("_delta_log")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut commits: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    commits.sort();
    commits
}

/// Edits the action of a commit that has this member.
fn edit(commit: &Path, of: &str, edit: impl Fn(&mut Value)) {
    let text = fs::read_to_string(commit).unwrap();
    let edited = text.lines().map(|line| {
        let mut action: Value = serde_json::from_str(line).unwrap();
        if let Some(found) = action.get_mut(of) {
            edit(found);
        }
        format!("{action}\n")
    });
    fs::write(commit, edited.collect::<String>()).unwrap();
}

/// Whatever may have been done to a log, by hand or by a tool that means well, ends in a refusal that says so; no row is
/// read twice, and with the log as it was written all goes on.
#[tokio::test]
async fn a_log_that_was_edited_is_refused_and_doubles_no_row() {
    type Edit = fn(&[PathBuf], &Path);
    const RECORD: &str = "/gristmill";
    fn of_last(commits: &[PathBuf], pointer: &str, value: Value) {
        edit(commits.last().unwrap(), "commitInfo", |info| {
            *info.pointer_mut(&format!("{RECORD}{pointer}")).unwrap() = value.clone();
        });
    }
    fn of_fourth(commits: &[PathBuf], pointer: &str, value: Value) {
        edit(&commits[4], "commitInfo", |info| {
            *info.pointer_mut(&format!("{RECORD}/batches/0{pointer}")).unwrap() = value.clone();
        });
    }
    let edits: [(&str, Edit); 16] = [
        ("complete reset", |log, _| of_last(log, "/complete", false.into())),
        ("the next batch lowered", |log, _| {
            of_last(log, "/complete", false.into());
            of_last(log, "/totals/batches_read", 7.into());
        }),
        ("the next batch raised", |log, _| {
            of_last(log, "/totals/batches_read", 70.into())
        }),
        ("rows read", |log, _| of_last(log, "/totals/rows_read", 1.into())),
        ("the hash of all", |log, _| {
            of_last(log, "/totals/hash", "0".repeat(32).into())
        }),
        ("a range", |log, _| of_fourth(log, "/bounds", Value::Null)),
        ("the rows of a batch", |log, _| {
            of_fourth(log, "/rows_kept", 1.into())
        }),
        ("the hash of a batch", |log, _| {
            of_fourth(log, "/hash", "0".repeat(32).into())
        }),
        ("the file of a batch", |log, _| {
            of_fourth(log, "/file", Value::Null)
        }),
        ("the size of a file", |log, _| {
            edit(&log[4], "add", |add| add["size"] = 1.into())
        }),
        ("the hash of a file", |log, _| {
            edit(&log[4], "add", |add| {
                add["tags"]["gristmill.xxh3-128"] = "0".repeat(32).into()
            });
        }),
        ("the name of a file", |log, _| {
            edit(&log[4], "add", |add| {
                add["path"] = "batch-0000000003.parquet".into()
            });
        }),
        ("the pipeline", |log, _| {
            edit(&log[0], "metaData", |table| table["name"] = "mine".into());
        }),
        ("written anew, with other blanks", |log, _| {
            let text = fs::read_to_string(&log[4]).unwrap();
            fs::write(&log[4], text.replacen(':', ": ", 1)).unwrap();
        }),
        ("a commit of another dataset", |log, other| {
            let name = log[4].file_name().unwrap();
            fs::copy(other.join("_delta_log").join(name), &log[4]).unwrap();
        }),
        ("a record taken away", |log, _| {
            edit(&log[4], "commitInfo", |info| {
                info.as_object_mut().unwrap().remove("gristmill").unwrap();
            });
        }),
    ];
    for compacted in [false, true] {
        let database = database();
        let (dir, clean) = (database.dir.path().join("dataset"), clean(None));
        let other = database.dir.path().join("other");
        pulled(&of(&database), &clean, &dir, 10).await;
        pulled(&of(&database), &clean, &other, 10).await;
        if compacted {
            compact(&dir, BIG, memory()).await.unwrap();
        }
        // A reader of a checkpoint need not look at the commits before it, which a test of these must not depend on.
        for entry in fs::read_dir(dir.join("_delta_log")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                fs::remove_file(path).unwrap();
            }
        }
        let expected = rows(&dir).await;
        let written: Vec<_> = commits(&dir)
            .into_iter()
            .map(|path| (fs::read(&path).unwrap(), path))
            .collect();
        for (what, act) in edits {
            let case = format!("{what}, compacted {compacted}");
            act(&commits(&dir), &other);
            let source = connect(&of(&database)).await.unwrap();
            let now = identity(source.as_ref(), &of(&database), &clean);
            let pace = Pace::new(10, 2, Consistency::Resume);
            let refused = [
                Ledger::read(&dir).await.map(drop),
                TableVersion::open_delta(&dir).await.map(drop),
                verify_files(&dir).await.map(drop),
                compact(&dir, BIG, memory()).await.map(drop),
                pull(source, &of(&database), now, &dir, pace, &mut |_| ())
                    .await
                    .map(drop),
            ];
            for refused in refused {
                let why = refused.expect_err(&case).to_string();
                assert!(why.contains("restore the log as it was written"), "{case}: {why}");
                assert!(why.contains("_delta_log/0000000000"), "{case}: {why}");
            }
            for (bytes, path) in &written {
                fs::write(path, bytes).unwrap();
            }
            assert_eq!(rows(&dir).await, expected, "{case}");
        }
        // A log without its last commits is that of a dataset before them.
        let last = if compacted { 2 } else { 1 };
        for (_, path) in written.iter().rev().take(last) {
            fs::remove_file(path).unwrap();
        }
        assert!(!Ledger::read(&dir).await.unwrap().unwrap().record.complete);
        pulled(&of(&database), &clean, &dir, 10).await;
        assert_eq!(rows(&dir).await, expected);
    }
}

/// What lies in a log is damaged or missing: each way, what is said, in words of ours and with the way out.
#[tokio::test]
async fn a_log_that_is_damaged_is_told_in_plain_words() {
    type Damage = fn(&Path);
    fn entry(dir: &Path, version: u64) -> PathBuf {
        dir.join(format!("_delta_log/{version:020}.json"))
    }
    fn cut(path: &Path, to: impl Fn(usize) -> usize) {
        let mut bytes = fs::read(path).unwrap();
        bytes.truncate(to(bytes.len()));
        fs::write(path, bytes).unwrap();
    }
    fn checkpoint(dir: &Path) -> PathBuf {
        let entries = fs::read_dir(dir.join("_delta_log")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths
            .find(|path| path.to_string_lossy().ends_with(".checkpoint.parquet"))
            .unwrap()
    }
    fn without_checkpoints(dir: &Path) {
        fs::remove_file(checkpoint(dir)).unwrap();
        fs::remove_file(dir.join("_delta_log/_last_checkpoint")).unwrap();
    }
    const RESTORE: &str = "; restore the log as it was written, or delete the folder to pull the rows again";
    let table: [(Damage, &str, &str); 12] = [
        (
            |dir| {
                without_checkpoints(dir);
                fs::remove_file(entry(dir, 0)).unwrap();
            },
            "00000.json is missing and no checkpoint stands for it",
            RESTORE,
        ),
        (
            |dir| {
                without_checkpoints(dir);
                (0..4).for_each(|version| fs::remove_file(entry(dir, version)).unwrap());
            },
            "00003.json is missing and no checkpoint stands for it",
            RESTORE,
        ),
        (
            |dir| fs::remove_file(entry(dir, 5)).unwrap(),
            "00005.json is missing, while later entries are there",
            RESTORE,
        ),
        (
            |dir| {
                for path in commits(dir).iter().rev().take(3) {
                    fs::remove_file(path).unwrap();
                }
            },
            ".json is missing, while a later checkpoint is there",
            RESTORE,
        ),
        (
            |dir| {
                commits(dir)
                    .iter()
                    .for_each(|path| fs::remove_file(path).unwrap())
            },
            ".json is missing, and so is every other entry of the log",
            RESTORE,
        ),
        (
            |dir| cut(commits(dir).last().unwrap(), |length| length / 2),
            ".json is damaged: its line 1 is cut off or no JSON",
            RESTORE,
        ),
        (
            |dir| cut(commits(dir).last().unwrap(), |length| length - 9),
            "is cut off or no JSON",
            RESTORE,
        ),
        (
            |dir| cut(commits(dir).last().unwrap(), |_| 0),
            ".json is damaged: it is empty",
            RESTORE,
        ),
        (
            |dir| fs::write(commits(dir).last().unwrap(), b"\xff\xfe").unwrap(),
            ".json is damaged: it is not text",
            RESTORE,
        ),
        (
            |dir| cut(&checkpoint(dir), |length| length / 2),
            ".checkpoint.parquet is damaged: ",
            "; delete it and `_last_checkpoint`, for the entries of the log tell all that they do",
        ),
        (
            |dir| fs::remove_file(checkpoint(dir)).unwrap(),
            "_last_checkpoint names no checkpoint that can be read",
            "; delete it, for the entries of the log tell all that a checkpoint does",
        ),
        (
            |dir| {
                cut(&checkpoint(dir), |length| length / 2);
                fs::remove_file(entry(dir, 0)).unwrap();
            },
            ".checkpoint.parquet is damaged: ",
            RESTORE,
        ),
    ];
    let database = database();
    for (number, (damage, what, way_out)) in table.into_iter().enumerate() {
        let dir = database.dir.path().join(format!("dataset-{number}"));
        pulled(&of(&database), &clean(None), &dir, 10).await;
        damage(&dir);
        for refused in [
            TableVersion::open_delta(&dir).await.map(drop),
            verify_files(&dir).await.map(drop),
            compact(&dir, BIG, memory()).await.map(drop),
        ] {
            let why = refused.expect_err(what).to_string();
            assert!(why.contains(what) && why.ends_with(way_out), "{what}: {why}");
            assert!(!why.contains('\n'), "{why}");
        }
    }
    // What is said to be deleted can be.
    let dir = database.dir.path().join("mended");
    pulled(&of(&database), &clean(None), &dir, 10).await;
    without_checkpoints(&dir);
    assert_eq!(TableVersion::open_delta(&dir).await.unwrap().cleaned_up, 0);
    // With a checkpoint it is another tool's clean-up, and said.
    let dir = database.dir.path().join("cleaned-up");
    pulled(&of(&database), &clean(None), &dir, 10).await;
    fs::remove_file(entry(&dir, 0)).unwrap();
    assert_eq!(TableVersion::open_delta(&dir).await.unwrap().cleaned_up, 1);
    assert_eq!(verify_files(&dir).await.unwrap().cleaned_up, 1);
}
