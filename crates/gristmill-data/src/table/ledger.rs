//! What a dataset remembers of how it was made: the pipeline, in the table's configuration, and the batches and files, in its
//! commits.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::FileContent;
use crate::error::Result;
use crate::key::Bounds;
use crate::prepare::Dropped;
use crate::table::entries::{Entries, WAY_OUT, broken, unreadable};
use crate::table::hash::ContentHash;
use crate::table::identity::DatasetIdentity;
use crate::table::paths::{commit_path, table_url};
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
    /// Entries of the log that another tool cleaned up: the first so many, for which a checkpoint stands.
    pub cleaned_up: u64,
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
        let Some(entries) = Entries::list(dir)? else {
            return Ok(None);
        };
        // Only protocol and metadata are read here, not the files, of which there may be many.
        let table = deltalake_core::BlindDeltaTable::try_new(table_url(dir)?).await;
        let table = table.map_err(|error| unreadable(dir, &error))?;
        let identity = DatasetIdentity::read(table.metadata().configuration());
        let identity = identity.map_err(|why| broken(dir, why))?;
        let mut ledger = Self {
            // A run that writes meanwhile may have committed more since the entries were listed.
            version: entries.last,
            identity,
            record: Record::default(),
            batches: Vec::new(),
            files: BTreeMap::new(),
            cleaned_up: entries.first,
            seal: Seal::default(),
        };
        let mut found = false;
        for version in entries.first..=entries.last {
            let text = Entries::read(dir, version)?;
            found |= ledger.take_in(dir, version, &text, found)?;
        }
        if found {
            return Ok(Some(ledger));
        }
        Err(broken(
            dir,
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
            broken(dir, format!("{} {why}; {WAY_OUT}", log.display()))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::settings::CleanSettings;

    /// The batches whose records are there, those there are by the totals, whether all are, and whether a pull may go on.
    #[test]
    fn a_log_that_does_not_tell_its_last_batch_is_not_gone_on_from() {
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
        let clean = CleanSettings {
            trim: true,
            empty_as_null: true,
            require: vec![],
            filter: None,
            distinct: false,
        };
        let identity = DatasetIdentity::new("", &"".into(), &"id".into(), &clean, &schema).unwrap();
        for (recorded, all, complete, goes_on) in [
            (0..3, 3, false, true),
            (2..3, 3, false, true),
            (0..0, 0, false, true),
            (0..0, 3, false, false),
            (0..2, 3, false, false),
            (0..0, 3, true, true),
        ] {
            let record = Record {
                complete,
                totals: Totals {
                    batches_read: all,
                    ..Totals::default()
                },
                ..Record::default()
            };
            let batch = |number| BatchRecord {
                number,
                bounds: Bounds::Null,
                rows_read: 1,
                rows_kept: 1,
                dropped: Dropped::default(),
                hash: ContentHash::default(),
                file: None,
                snapshot: String::new(),
            };
            let case = format!("{recorded:?} of {all}, complete {complete}");
            let ledger = Ledger {
                version: 0,
                identity: identity.clone(),
                record,
                batches: recorded.map(batch).collect(),
                files: BTreeMap::new(),
                cleaned_up: 0,
                seal: Seal::default(),
            };
            let checked = ledger.check_end(Path::new("run/dataset"));
            assert_eq!(checked.is_ok(), goes_on, "{case}");
        }
    }
}
