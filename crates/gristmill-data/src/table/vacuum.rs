//! Vacuum: deletes the Parquet files that no retained version of a dataset needs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::durable::io;
use crate::error::{Error, Result};
use crate::table::ledger::Ledger;
use crate::table::log::{Lock, millis};
use crate::table::paths::{batches_of, commit_path};
use crate::table::version::TableVersion;

/// A file that a vacuum deleted, or would delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vacuumed {
    /// Where it was.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Deletes the files of batches that the latest version does not have and that left the table, or were written and never came
/// into it, more than `retain` ago. So every version that was the latest within that time stays readable. Files that
/// gristmill did not write are left alone. With `dry_run`, only says what it would delete.
pub async fn vacuum(dir: &Path, retain: Duration, dry_run: bool) -> Result<Vec<Vacuumed>> {
    // A pull writes files before it commits them.
    let _lock = Lock::take(dir)?;
    let version = match Ledger::read(dir).await? {
        Some(ledger) => ledger.version,
        None => {
            return Err(Error::Dataset {
                dir: dir.display().to_string(),
                why: "there is no Delta table in it".to_owned(),
            });
        }
    };
    let table = TableVersion::open_delta(dir).await?;
    let needed: HashSet<PathBuf> = table.files.into_iter().map(|file| file.path).collect();
    let removed = removed(dir, version)?;
    let now = SystemTime::now();
    let cutoff = millis(now.checked_sub(retain).unwrap_or(SystemTime::UNIX_EPOCH));
    let mut vacuumed = Vec::new();
    for entry in fs::read_dir(dir).map_err(io(dir))? {
        let entry = entry.map_err(io(dir))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if batches_of(&name).is_none() || needed.contains(&path) {
            continue;
        }
        let metadata = entry.metadata().map_err(io(&path))?;
        let since = match removed.get(&name) {
            Some(removed) => *removed,
            None => millis(metadata.modified().map_err(io(&path))?),
        };
        if since <= cutoff {
            let bytes = metadata.len();
            vacuumed.push(Vacuumed { path, bytes });
        }
    }
    vacuumed.sort_by(|a, b| a.path.cmp(&b.path));
    if !dry_run {
        for file in &vacuumed {
            fs::remove_file(&file.path).map_err(io(&file.path))?;
        }
    }
    Ok(vacuumed)
}

/// When each file left the table, in milliseconds since 1970, as far as the log tells.
fn removed(dir: &Path, version: u64) -> Result<HashMap<String, u64>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Remove {
        path: String,
        deletion_timestamp: Option<u64>,
    }
    #[derive(Deserialize)]
    struct Action {
        remove: Option<Remove>,
    }
    let mut removed = HashMap::new();
    for version in 0..=version {
        let path = commit_path(dir, version);
        let commit = match fs::read_to_string(&path) {
            Ok(commit) => commit,
            // The log before a checkpoint may have been cleaned up, and the versions with it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io(&path)(error)),
        };
        for line in commit.lines() {
            if let Ok(Action { remove: Some(remove) }) = serde_json::from_str(line) {
                removed.extend(remove.deletion_timestamp.map(|since| (remove.path, since)));
            }
        }
    }
    Ok(removed)
}
