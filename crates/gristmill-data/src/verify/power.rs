//! What a power failure leaves of a pull, told from what was done to files and what of it was on the disk.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::budget::RowBudget;
use crate::durable::recorded::{Operation, Recording};
use crate::pull::{Pace, Pulled, pull};
use crate::settings::{CleanSettings, Consistency, SourceSettings, TextReading};
use crate::source::open::connect;
use crate::table::{DatasetIdentity, Ledger, compact};
use crate::verify::verify_files;

async fn pulled(database: &Path, dir: &Path) -> Pulled {
    let settings = SourceSettings {
        url: format!("sqlite:{}", database.display()).into(),
        query: "SELECT id, v FROM t".into(),
        key: "id".into(),
        text: TextReading::default(),
        memory: RowBudget::ample(),
    };
    let clean = CleanSettings {
        trim: true,
        empty_as_null: true,
        require: vec![],
        filter: None,
        distinct: false,
    };
    let source = connect(&settings).await.unwrap();
    let identity =
        DatasetIdentity::new("", &settings.query, &settings.key, &clean, &source.schema()).unwrap();
    let pace = Pace {
        batch_rows: 5,
        connections: 1,
        commit_every: Duration::ZERO,
        consistency: Consistency::Resume,
    };
    pull(source, &settings, identity, dir, pace, &mut |_| ())
        .await
        .unwrap()
}

fn database(dir: &Path) -> PathBuf {
    let path = dir.join("data.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
             WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 23)
             INSERT INTO t SELECT id, 'value ' || id FROM n",
        )
        .unwrap();
    path
}

/// The names in a system of files; what a name stands for is a number into what was written.
type Names = BTreeMap<PathBuf, usize>;

/// Does operations to names; those of which nobody waited for the folder are done in memory alone.
#[derive(Default)]
struct Disk {
    /// Contents: `None` is a folder or a file of which nothing is on the disk.
    contents: Vec<Option<Vec<u8>>>,
    memory: Names,
    disk: Names,
}

impl Disk {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::SyncFile(path, bytes) => {
                // The file is made by whatever writes it, which is not recorded.
                let next = self.contents.len();
                let number = *self.memory.entry(path.clone()).or_insert(next);
                if number == next {
                    self.contents.push(None);
                }
                self.contents[number] = Some(bytes.clone());
            }
            Operation::CreateFolder(path) => {
                self.memory.insert(path.clone(), self.contents.len());
                self.contents.push(None);
            }
            Operation::Rename(from, to) => {
                let moved: Vec<PathBuf> = self
                    .memory
                    .keys()
                    .filter(|path| path.starts_with(from))
                    .cloned()
                    .collect();
                self.memory
                    .retain(|path, _| !path.starts_with(to) || path.starts_with(from));
                for path in moved {
                    let number = self.memory.remove(&path).unwrap();
                    let rest = path.strip_prefix(from).unwrap();
                    let to = if rest == Path::new("") {
                        to.clone()
                    } else {
                        to.join(rest)
                    };
                    self.memory.insert(to, number);
                }
            }
            Operation::Link(from, to) => {
                let number = self.memory[from];
                self.memory.insert(to.clone(), number);
            }
            Operation::Remove(path) => self.memory.retain(|there, _| !there.starts_with(path)),
            Operation::SyncFolder(dir) => {
                let inside = |path: &PathBuf| path.parent() == Some(dir.as_path());
                self.disk.retain(|path, _| !inside(path));
                let now = self.memory.iter().filter(|(path, _)| inside(path));
                self.disk
                    .extend(now.map(|(path, number)| (path.clone(), *number)));
            }
        }
    }

    /// What is there after the failure: of the names only those that a folder was synced with, or all of them, with what the
    /// files held when they were synced.
    fn materialise(&self, all_names: bool, root: &Path, into: &Path) {
        let names = if all_names { &self.memory } else { &self.disk };
        for (path, number) in names {
            // A folder that is not there holds nothing.
            let to = into.join(path.strip_prefix(root).unwrap());
            match &self.contents[*number] {
                Some(bytes) => {
                    if to.parent().is_some_and(Path::is_dir) {
                        fs::write(to, bytes).unwrap();
                    }
                }
                None => fs::create_dir_all(to).unwrap(),
            }
        }
    }
}

/// Numbers of batches whose commit had been acknowledged: its log's folder was synced after its link.
fn committed(operations: &[Operation]) -> usize {
    let is_commit = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
    let mut linked = 0;
    let mut acknowledged = 0;
    for operation in operations {
        match operation {
            Operation::Link(_, to) if is_commit(to) => linked += 1,
            Operation::SyncFolder(dir) if dir.ends_with("_delta_log") => acknowledged = linked,
            _ => {}
        }
    }
    acknowledged
}

#[tokio::test]
async fn whatever_a_power_failure_drops_the_committed_rows_are_there_and_a_pull_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let (database, root) = (database(home.path()), home.path().join("disk"));
    fs::create_dir(&root).unwrap();
    let recording = Recording::of(&root);
    let dir = root.join("dataset");
    let whole = pulled(&database, &dir).await;
    compact(&dir, 1 << 30, RowBudget::ample()).await.unwrap();
    let operations = recording.operations();
    drop(recording);
    for prefix in 0..=operations.len() {
        let mut disk = Disk::default();
        operations[..prefix]
            .iter()
            .for_each(|operation| disk.apply(operation));
        for all_names in [false, true] {
            let case = format!("after {prefix} operations, all names: {all_names}");
            let after = home.path().join(format!("after-{prefix}-{all_names}"));
            fs::create_dir(&after).unwrap();
            disk.materialise(all_names, &root, &after);
            let left = after.join("dataset");
            let found = if left.is_dir() {
                Ledger::read(&left).await.expect(&case)
            } else {
                None
            };
            let commits = committed(&operations[..prefix]);
            assert!(
                commits == 0
                    || found
                        .as_ref()
                        .is_some_and(|found| found.version + 1 >= commits as u64),
                "{case}"
            );
            if found.is_some() {
                assert!(verify_files(&left).await.expect(&case).same(), "{case}");
            }
            let resumed = pulled(&database, &left).await;
            assert_eq!(resumed.totals.hash, whole.totals.hash, "{case}");
            assert!(verify_files(&left).await.unwrap().same(), "{case}");
            fs::remove_dir_all(&after).unwrap();
        }
    }
    // What was done without being recorded would be a gap in all this: the log's checkpoint alone is the library's.
    let mut disk = Disk::default();
    operations.iter().for_each(|operation| disk.apply(operation));
    let mut unrecorded = Vec::new();
    for folder in [&dir, &dir.join("_delta_log")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !disk.disk.contains_key(&path) {
                unrecorded.push(path);
            }
        }
    }
    assert!(
        unrecorded
            .iter()
            .all(|path| path.to_string_lossy().contains("checkpoint")),
        "{unrecorded:?}"
    );
}
