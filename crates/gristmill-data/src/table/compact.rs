//! Compaction: the small files of neighbouring batches become one, in the same order. Rows, order and content hash stay, and so
//! do old versions, whose files lie there until a vacuum.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::budget::RowBudget;
use crate::content::FileContent;
use crate::durable::{io, remove_file, rename, sync_folder};
use crate::error::Result;
use crate::failpoint;
use crate::table::append::{ENGINE, add};
use crate::table::ledger::{Ledger, RECORD, Record};
use crate::table::log::{Lock, Log, millis};
use crate::table::merge::Merge;
use crate::table::paths::{batches_file, batches_of, commit_path};
use crate::table::version::{DataFile, TableVersion};

/// So many small files in a row are left as they are.
const A_FEW: usize = 4;

/// The file that is written.
const UNFINISHED: &str = ".compacted.parquet.unfinished";

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Files that were merged.
    pub from: u64,
    /// Files that they were merged into.
    pub into: u64,
}

/// A file of one batch, to be merged.
struct Small {
    batches: RangeInclusive<u64>,
    bytes: u64,
    file: DataFile,
}

/// What several of them became.
struct Merged {
    name: String,
    rows: u64,
    content: FileContent,
}

/// A file that goes with this unless it got its name: one that is left behind by a full disk would keep the disk full.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    /// Gives it its name.
    fn put(mut self, path: &Path) -> Result<()> {
        if let Some(unfinished) = &self.0 {
            rename(unfinished, path)?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(unfinished) = &self.0 {
            let _ = fs::remove_file(unfinished);
        }
    }
}

/// Merges the files of a complete dataset that hold one batch and fewer than `target` bytes, into files of about `target` bytes,
/// where there are more than a few in a row. Each file that it writes is committed at once, so one that was killed goes on
/// where it was; a second one finds nothing to do.
pub async fn compact(dir: &Path, target: u64, memory: RowBudget) -> Result<Compacted> {
    let mut compacted = Compacted::default();
    let lock = Lock::take(dir)?;
    // What a kill left.
    remove_file(&dir.join(UNFINISHED))?;
    let Some(ledger) = Ledger::read(dir).await?.filter(|ledger| ledger.record.complete) else {
        return Ok(compacted);
    };
    let record = Record {
        batches: Vec::new(),
        ..ledger.record
    };
    let table = TableVersion::open_delta(dir).await?;
    let mut log = Log::new(dir, lock, ledger.version + 1, ledger.seal);
    for run in runs(&table, target)? {
        let mut rest = run.as_slice();
        // A file that is left over stays as it is.
        while rest.len() > 1 {
            let (file, merged) = merge(&table, ledger.identity.key(), rest, target, memory)?;
            let (merged, more) = rest.split_at(merged);
            failpoint::hit("compaction-written");
            let committed = log.commit(actions(&record, &file, merged), false).await;
            if committed.is_err() && !commit_path(dir, log.next_version()).exists() {
                // It is in no version of the table, and where the disk is full it would keep it full.
                remove_file(&dir.join(&file.name))?;
            }
            committed?;
            failpoint::hit("compaction-committed");
            compacted.from += merged.len() as u64;
            compacted.into += 1;
            rest = more;
        }
    }
    Ok(compacted)
}

/// The small files that stand next to each other.
fn runs(table: &TableVersion, target: u64) -> Result<Vec<Vec<Small>>> {
    let mut runs = vec![Vec::new()];
    for file in &table.files {
        let bytes = fs::metadata(&file.path).map_err(io(&file.path))?.len();
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        match batches_of(&name).filter(|batches| batches.start() == batches.end() && bytes < target) {
            None => runs.push(Vec::new()),
            Some(batches) => runs.last_mut().into_iter().for_each(|run| {
                run.push(Small {
                    batches: batches.clone(),
                    bytes,
                    file: file.clone(),
                });
            }),
        }
    }
    runs.retain(|run| run.len() > A_FEW);
    Ok(runs)
}

/// Writes the first files, two at least, into one; says how many.
fn merge(
    table: &TableVersion,
    key: &[String],
    files: &[Small],
    target: u64,
    memory: RowBudget,
) -> Result<(Merged, usize)> {
    // Its name is known once it is known which files go into it.
    let unfinished = table.dir.join(UNFINISHED);
    let guard = Unfinished(Some(unfinished.clone()));
    let mean_rows = files.iter().map(|small| small.file.rows).sum::<u64>() / files.len().max(1) as u64;
    let mut merge = Merge::create(&unfinished, table.schema.clone(), key, mean_rows, memory)?;
    let (mut rows, mut merged) = (0, 0);
    for small in files {
        if merged >= 2 && merge.bytes() + small.bytes > target {
            break;
        }
        merge.append(table, &small.file, &unfinished)?;
        rows += small.file.rows;
        merged += 1;
    }
    let content = merge.close(&unfinished)?;
    let ends = (files.first(), files[..merged].last());
    let batches = match ends {
        (Some(first), Some(last)) => *first.batches.start()..=*last.batches.end(),
        _ => 0..=0,
    };
    let name = batches_file(&batches);
    let path = table.dir.join(&name);
    guard.put(&path)?;
    sync_folder(&table.dir)?;
    Ok((Merged { name, rows, content }, merged))
}

fn actions(record: &Record, file: &Merged, merged: &[Small]) -> Vec<Value> {
    let millis = millis(SystemTime::now());
    let mut actions = vec![json!({"commitInfo": {
        "timestamp": millis,
        "operation": "OPTIMIZE",
        "operationParameters": {},
        "isBlindAppend": false,
        "engineInfo": ENGINE,
        RECORD: record,
    }})];
    actions.extend(merged.iter().filter_map(|small| {
        Some(json!({"remove": {
            "path": small.file.path.file_name()?.to_string_lossy(),
            "deletionTimestamp": millis,
            "dataChange": false,
            "extendedFileMetadata": true,
            "partitionValues": {},
            "size": small.bytes,
        }}))
    }));
    actions.push(add(&file.name, file.rows, &file.content, millis, false));
    actions
}
