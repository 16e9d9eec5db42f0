//! What a dataset remembers of how it was made: the pipeline, in the table's configuration, and the batches and files, in its
//! commits.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::FileContent;
use crate::durable::io;
use crate::error::{Error, Result};
use crate::key::Bounds;
use crate::prepare::Dropped;
use crate::table::hash::ContentHash;
use crate::table::identity::DatasetIdentity;
use crate::table::paths::{commit_path, log_path, table_url};
use crate::table::seal::{self, Seal};

/// The entry of a commit's `commitInfo` that holds the [`Record`].
pub(crate) const RECORD: &str = "gristmill";

/// The tag of a file that holds the hash of its bytes.
pub(crate) const FILE_HASH: &str = "gristmill.xxh3-128";

/// One batch of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// Its number: 0, 1, … without a gap.
    pub number: u64,
    /// Its keys.
    pub bounds: Bounds,
    /// Rows the database sent.
    pub rows_read: u64,
    /// Rows in the dataset.
    pub rows_kept: u64,
    /// Rows that cleaning dropped.
    pub dropped: Dropped,
    /// The hash of its rows in the dataset.
    pub hash: ContentHash,
    /// Its file, unless no row was kept.
    pub file: Option<String>,
    /// The snapshot of the database that it was read from.
    pub snapshot: String,
}

/// All batches so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Batches, empty ones too.
    pub batches_read: u64,
    /// Batches of which no row was kept.
    pub batches_empty: u64,
    /// Rows the database sent.
    pub rows_read: u64,
    /// Rows in the dataset.
    pub rows_kept: u64,
    /// Rows that cleaning dropped.
    pub dropped: Dropped,
    /// The hash of all rows in the dataset.
    pub hash: ContentHash,
    /// Snapshots of the database that were read from, one after the other. More than one where a run was resumed.
    pub snapshots: u64,
    /// The last of them.
    pub last_snapshot: String,
}

/// What a commit tells of its batches.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// The batches of this commit. There is at least one, unless it is a commit that completes or compacts the dataset.
    pub batches: Vec<BatchRecord>,
    /// All batches up to and with this commit.
    pub totals: Totals,
    /// Whether every batch of the query is there.
    pub complete: bool,
}

/// The state of a dataset.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The latest version of the table.
    pub version: u64,
    /// How it was made.
    pub identity: DatasetIdentity,
    /// What its last commit with a record tells.
    pub record: Record,
    /// The batches of all commits, in order. Those of commits that another tool cleaned up are missing at the beginning.
    pub batches: Vec<BatchRecord>,
    /// What each file held when it was committed, by its name. Those of commits that were cleaned up are missing.
    pub(crate) files: BTreeMap<String, FileContent>,
    /// The seal of the last commit with a record.
    pub(crate) seal: Seal,
}

impl Record {
    /// Takes in a batch.
    pub(crate) fn push(&mut self, batch: BatchRecord) {
        let totals = &mut self.totals;
        totals.batches_read += 1;
        totals.batches_empty += u64::from(batch.rows_kept == 0);
        totals.rows_read += batch.rows_read;
        totals.rows_kept += batch.rows_kept;
        totals.dropped += batch.dropped;
        totals.hash += batch.hash;
        if totals.last_snapshot != batch.snapshot {
            totals.snapshots += 1;
            totals.last_snapshot.clone_from(&batch.snapshot);
        }
        self.batches.push(batch);
    }
}

impl Ledger {
    /// Reads the state of the dataset in a folder; `None` where there is no table yet.
    ///
    /// # Errors
    /// When another build with another format made it, or its log was edited.
    pub async fn read(dir: &Path) -> Result<Option<Self>> {
        let broken = |why: String| broken(dir, why);
        if !has_commit(&log_path(dir))? {
            return Ok(None);
        }
        // Only protocol and metadata are read here, not the files, of which there may be many.
        let table = deltalake_core::BlindDeltaTable::try_new(table_url(dir)?).await;
        let table = table.map_err(|error| broken(error.to_string()))?;
        let identity = DatasetIdentity::read(table.metadata().configuration()).map_err(broken)?;
        let mut ledger = Self {
            version: table.version(),
            identity,
            record: Record::default(),
            batches: Vec::new(),
            files: BTreeMap::new(),
            seal: Seal::default(),
        };
        let mut found = false;
        for version in 0..=ledger.version {
            // The log before a checkpoint may have been cleaned up by another tool.
            if let Some(commit) = read_commit(dir, version)? {
                found |= ledger.take_in(dir, version, &commit, found)?;
            }
        }
        if found {
            return Ok(Some(ledger));
        }
        Err(broken(
            "no commit in its log tells of batches; its log was cleaned up, or gristmill did not write it"
                .to_owned(),
        ))
    }

    /// Refuses to go on with an unfinished dataset whose log does not tell after which key.
    pub(crate) fn check_end(&self, dir: &Path) -> Result<()> {
        let next = self.batches.last().map_or(0, |last| last.number + 1);
        if self.record.complete || next == self.record.totals.batches_read {
            return Ok(());
        }
        let why = "another tool cleaned up its log, which does not tell after which batch to go on; delete the folder to pull \
                   the rows again";
        Err(broken(dir, why.to_owned()))
    }

    /// Takes in a commit; returns whether it has a record. Those of other tools, such as OPTIMIZE, have none. `follows` says
    /// whether a record was taken in before.
    fn take_in(&mut self, dir: &Path, version: u64, commit: &str, follows: bool) -> Result<bool> {
        let edited = |why: &str| {
            let log = commit_path(dir, version);
            let why = format!(
                "{} {why}; restore the log as it was written, or delete the folder to pull the rows again",
                log.display()
            );
            broken(dir, why)
        };
        let Some(mut info) = info_of(commit) else {
            return Ok(false);
        };
        let (seal, after) = seal::check(commit, &info).ok_or_else(|| edited("was edited"))?;
        if (follows || version == 0) && after != self.seal {
            return Err(edited("does not follow the commits before it"));
        }
        let record = serde_json::from_value(info[RECORD].take());
        self.record = record.map_err(|error| edited(&format!("does not read as a record ({error})")))?;
        self.batches.extend(self.record.batches.iter().cloned());
        self.files.extend(added(commit));
        self.seal = seal;
        Ok(true)
    }
}

fn has_commit(log: &Path) -> Result<bool> {
    let entries = match fs::read_dir(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        entries => entries.map_err(io(log))?,
    };
    for entry in entries {
        let name = entry.map_err(io(log))?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(|c: char| c.is_ascii_digit())
            && (name.ends_with(".json") || name.ends_with(".parquet"))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A commit, if it is there.
fn read_commit(dir: &Path, version: u64) -> Result<Option<String>> {
    let path = commit_path(dir, version);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        commit => commit.map(Some).map_err(io(&path)),
    }
}

/// The `commitInfo` of a commit, if it has a record.
pub(crate) fn info_of(commit: &str) -> Option<Value> {
    commit.lines().find_map(|line| {
        let mut action: Value = serde_json::from_str(line).ok()?;
        let info = action.get_mut("commitInfo")?;
        info.get(RECORD)?;
        Some(info.take())
    })
}

/// The files that a commit adds, with what they held.
fn added(commit: &str) -> impl Iterator<Item = (String, FileContent)> {
    #[derive(Deserialize)]
    struct Add {
        path: String,
        size: u64,
        tags: BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    struct Action {
        add: Add,
    }
    commit.lines().filter_map(|line| {
        let Action { mut add } = serde_json::from_str(line).ok()?;
        let (bytes, hash) = (add.size, add.tags.remove(FILE_HASH)?);
        Some((add.path, FileContent { bytes, hash }))
    })
}

fn broken(dir: &Path, why: String) -> Error {
    Error::Dataset {
        dir: dir.display().to_string(),
        why,
    }
}
