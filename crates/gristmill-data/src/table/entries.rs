//! The files in the log of a dataset: its entries, one after the other without a gap, and checkpoints.
//!
//! Other tools delete the first entries once a checkpoint stands for them. An entry that is missing without one is damage.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use deltalake_core::DeltaTableError;
use serde::de::IgnoredAny;

use crate::durable::io;
use crate::error::{Error, Result};
use crate::guard::caught;
use crate::parquet_file::{BatchLimit, Footer};
use crate::table::paths::{commit_path, log_path};

/// What can be done about a log.
pub(crate) const WAY_OUT: &str =
    "restore the log as it was written, or delete the folder to pull the rows again";

/// What is in memory of a checkpoint at a time.
const SCAN: BatchLimit = BatchLimit {
    rows: 1_024,
    bytes: 1 << 20,
};

/// The entries that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entries {
    /// The first; a checkpoint stands for those before it.
    pub(crate) first: u64,
    /// The last.
    pub(crate) last: u64,
}

impl Entries {
    /// Lists the log of the dataset in a folder; `None` where there is none.
    ///
    /// # Errors
    /// When entries are missing for which no checkpoint stands.
    pub(crate) fn list(dir: &Path) -> Result<Option<Self>> {
        let (entries, checkpoints) = numbers(dir)?;
        let missing = |version: u64, why: &str| {
            let path = commit_path(dir, version);
            Err(broken(
                dir,
                format!("{} is missing{why}; {WAY_OUT}", path.display()),
            ))
        };
        let (Some(first), Some(last)) = (entries.first().copied(), entries.last().copied()) else {
            return match checkpoints.last() {
                Some(checkpoint) => missing(*checkpoint, ", and so is every other entry of the log"),
                None => Ok(None),
            };
        };
        if let Some(gap) = (first..last).find(|version| !entries.contains(version)) {
            return missing(gap, ", while later entries are there");
        }
        // A checkpoint of a version stands for all entries up to that.
        if first > 0 && !checkpoints.range(first - 1..=last).any(|_| true) {
            return missing(first - 1, " and no checkpoint stands for it");
        }
        if checkpoints.last().is_some_and(|checkpoint| *checkpoint > last) {
            return missing(last + 1, ", while a later checkpoint is there");
        }
        Ok(Some(Self { first, last }))
    }

    /// The text of an entry, of which each line is JSON.
    pub(crate) fn read(dir: &Path, version: u64) -> Result<String> {
        let path = commit_path(dir, version);
        let damaged = |why: String| broken(dir, format!("{} {why}; {WAY_OUT}", path.display()));
        let bytes = fs::read(&path).map_err(io(&path))?;
        let text = String::from_utf8(bytes).map_err(|_| damaged("is damaged: it is not text".to_owned()))?;
        let wrong = text
            .lines()
            .position(|line| serde_json::from_str::<IgnoredAny>(line).is_err());
        match wrong {
            Some(line) => Err(damaged(format!(
                "is damaged: its line {} is cut off or no JSON",
                line + 1
            ))),
            None if text.is_empty() => Err(damaged("is damaged: it is empty".to_owned())),
            None => Ok(text),
        }
    }
}

/// What the Delta library could not read of the log of a dataset, in words of ours: an entry, a checkpoint, or something else.
pub(crate) fn unreadable(dir: &Path, error: &DeltaTableError) -> Error {
    let entries = match Entries::list(dir) {
        Ok(entries) => entries,
        Err(error) => return error,
    };
    let versions = entries
        .into_iter()
        .flat_map(|entries| entries.first..=entries.last);
    if let Some(error) = versions
        .map(|version| Entries::read(dir, version))
        .find_map(Result::err)
    {
        return error;
    }
    let all_there = entries.is_some_and(|entries| entries.first == 0);
    for path in checkpoint_files(dir) {
        let checked = caught(|| check_checkpoint(&path)).unwrap_or_else(Err);
        if let Err(why) = checked {
            let way_out = match all_there {
                true => "delete it and `_last_checkpoint`, for the entries of the log tell all that they do",
                false => WAY_OUT,
            };
            return broken(
                dir,
                format!("the checkpoint {} is damaged: {why}; {way_out}", path.display()),
            );
        }
    }
    let hint = log_path(dir).join("_last_checkpoint");
    if all_there && hint.exists() {
        return broken(
            dir,
            format!(
                "{} names no checkpoint that can be read; delete it, for the entries of the log tell all that a checkpoint does",
                hint.display()
            ),
        );
    }
    let why = error.to_string();
    let why = why.lines().next().unwrap_or_default();
    broken(
        dir,
        format!(
            "the log in {} cannot be read ({why}); {WAY_OUT}",
            log_path(dir).display()
        ),
    )
}

fn check_checkpoint(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let footer = Footer::read(&file).map_err(|why| why.to_string())?;
    for rows in footer.rows(Arc::new(file), None, None, SCAN) {
        rows.map_err(|why| why.to_string())?;
    }
    Ok(())
}

fn checkpoint_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(log_path(dir)).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter(|entry| is_checkpoint(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    files.sort_unstable();
    files
}

fn is_checkpoint(name: &str) -> bool {
    name.contains(".checkpoint.") && name.ends_with(".parquet")
}

/// The versions of entries and those of checkpoints.
fn numbers(dir: &Path) -> Result<(BTreeSet<u64>, BTreeSet<u64>)> {
    let log = log_path(dir);
    let (mut entries, mut checkpoints) = (BTreeSet::new(), BTreeSet::new());
    let files = match fs::read_dir(&log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((entries, checkpoints)),
        files => files.map_err(io(&log))?,
    };
    for file in files {
        let name = file.map_err(io(&log))?.file_name();
        let name = name.to_string_lossy();
        let digits = name
            .get(..20)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(version) = digits.and_then(|digits| digits.parse().ok()) else {
            continue;
        };
        if name.get(20..) == Some(".json") {
            entries.insert(version);
        } else if is_checkpoint(&name) {
            checkpoints.insert(version);
        }
    }
    Ok((entries, checkpoints))
}

/// The error of a folder that is no readable dataset.
pub(crate) fn broken(dir: &Path, why: String) -> Error {
    Error::Dataset {
        dir: dir.display().to_string(),
        why,
    }
}
