//! Writing the Delta log of a dataset: one writer at a time, commits whose cost does not grow with the table, checkpoints now
//! and then.
//!
//! The commits are written here and not by the Delta library, whose way of committing reads the table's state again each time
//! and so costs more the more commits there are. What is committed here needs none of that state: it is one new file in the log.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use deltalake_core::checkpoints::create_checkpoint_from_table_url_and_cleanup;
use serde_json::Value;

use crate::durable::{create_anew, io, link, lock, remove_file, sync_folder, synced};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::table::ledger::info_of;
use crate::table::paths::{commit_path, log_path, table_url};
use crate::table::seal::{Seal, sealed};

/// Readers need not read more than so many commits, or as many as the checkpoint holds, after a checkpoint. The share keeps the
/// cost of checkpoints, each of which lists every file of the table, in proportion to the number of commits.
const COMMITS_PER_CHECKPOINT: u64 = 100;

/// What keeps a second writer out of a dataset's folder as long as it lives.
pub(crate) struct Lock {
    _dir: File,
}

/// The log, open for writing.
pub(crate) struct Log {
    dir: PathBuf,
    next_version: u64,
    next_checkpoint: u64,
    /// The seal of the last commit with a record.
    seal: Seal,
    _lock: Lock,
}

impl Lock {
    /// Locks the folder, which must be there.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let file = File::open(dir).map_err(io(dir))?;
        if lock(&file, dir)? {
            return Ok(Self { _dir: file });
        }
        Err(Error::Dataset {
            dir: dir.display().to_string(),
            why: "another gristmill is writing to it; wait for its end, or choose another run.dir".to_owned(),
        })
    }
}

impl Log {
    /// The log of the dataset in a locked folder, whose last commit with a record has this seal.
    pub(crate) fn new(dir: &Path, lock: Lock, next_version: u64, seal: Seal) -> Self {
        Self {
            dir: dir.to_owned(),
            next_version,
            next_checkpoint: next_version + COMMITS_PER_CHECKPOINT,
            seal,
            _lock: lock,
        }
    }

    /// Begins again: the log is empty.
    pub(crate) fn restart(&mut self) {
        self.next_version = 0;
        self.next_checkpoint = COMMITS_PER_CHECKPOINT;
        self.seal = Seal::default();
    }

    /// The version that the next commit makes, unless another tool comes first.
    pub(crate) fn next_version(&self) -> u64 {
        self.next_version
    }

    /// Commits actions, of which the first is the `commitInfo`, and returns the new version. With `last`, no commit is expected
    /// to follow soon.
    pub(crate) async fn commit(&mut self, actions: Vec<Value>, last: bool) -> Result<u64> {
        let (actions, seal) = sealed(actions, &self.seal);
        failpoint::hit("commit-started");
        while !self.put(self.next_version, &actions)? {
            // Another tool was first. That is of no matter here, unless it committed batches.
            let path = commit_path(&self.dir, self.next_version);
            if info_of(&fs::read_to_string(&path).map_err(io(&path))?).is_some() {
                return Err(Error::Dataset {
                    dir: self.dir.display().to_string(),
                    why: "another gristmill is writing to it".to_owned(),
                });
            }
            self.next_version += 1;
        }
        failpoint::hit("commit-done");
        self.seal = seal;
        let version = self.next_version;
        self.next_version += 1;
        if version >= self.next_checkpoint || (last && version > 10) {
            self.next_checkpoint = version + COMMITS_PER_CHECKPOINT.max(version);
            let url = table_url(&self.dir)?;
            let written = create_checkpoint_from_table_url_and_cleanup(url, version, Some(false), None).await;
            let synced = written
                .map_err(Error::from)
                .and_then(|()| self.sync_checkpoint(version));
            if let Err(error) = synced {
                // The table is whole without it, only slower to open.
                tracing::warn!("no checkpoint of version {version}: {error}");
            }
            failpoint::hit("checkpoint-done");
        }
        Ok(version)
    }

    /// The library waits for no disk: half a checkpoint would hide the commits before it from every reader.
    fn sync_checkpoint(&self, version: u64) -> Result<()> {
        let log = log_path(&self.dir);
        for name in [
            format!("{version:020}.checkpoint.parquet"),
            "_last_checkpoint".to_owned(),
        ] {
            let path = log.join(name);
            synced(&File::open(&path).map_err(io(&path))?, &path)?;
        }
        sync_folder(&log)
    }

    /// Puts a commit into the log unless that version is there. It appears whole or not at all, and is on the disk then.
    fn put(&self, version: u64, actions: &str) -> Result<bool> {
        let log = log_path(&self.dir);
        let path = commit_path(&self.dir, version);
        let unfinished = log.join(format!(".{version:020}.json.unfinished"));
        let written = || {
            let mut file = create_anew(&unfinished)?;
            file.write_all(actions.as_bytes()).map_err(io(&unfinished))?;
            synced(&file, &unfinished)
        };
        if let Err(error) = written() {
            // Where the disk is full, it would keep it full.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        failpoint::hit("commit-written");
        // A rename would replace the commit of another tool; a link does not.
        let linked = link(&unfinished, &path);
        remove_file(&unfinished)?;
        let linked = linked?;
        if linked {
            sync_folder(&log)?;
        }
        Ok(linked)
    }
}

/// The time as Delta has it: milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
