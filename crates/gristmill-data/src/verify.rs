//! Verification: every batch is counted and hashed again, in the files or from the source, and compared with its record.

#[cfg(test)]
mod power;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use futures::TryStreamExt;

use crate::budget::{Held, RowBudget};
use crate::error::{Error, Result};
use crate::key::{Bounds, KeyRange};
use crate::parquet_file::BatchLimit;
use crate::prepare::{Cleaner, Dropped};
use crate::source::Source;
use crate::table::{
    BatchRecord, ContentHash, DataFile, DatasetIdentity, Ledger, TableVersion, batches_of, delta_schema,
    to_delta,
};

/// What is in memory at a time.
const SCAN: BatchLimit = BatchLimit {
    rows: 8_192,
    bytes: 1 << 20,
};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verified {
    /// Batches that were compared.
    pub batches: u64,
    /// Rows in the dataset, by the records of these.
    pub rows: u64,
    /// Batches before these, whose records were cleaned up with the log; in the files, their rows were compared as a whole.
    pub unrecorded: u64,
    /// Entries of the log that another tool cleaned up.
    pub cleaned_up: u64,
    /// Whether all rows of the files together have the hash of the dataset. True where the source was read.
    pub whole: bool,
    /// Whether the source has rows that belong to no batch.
    pub more: bool,
    /// The files that are not as they were committed, and why, whatever rows are in them. None where the source was read.
    pub replaced: Vec<(PathBuf, String)>,
    /// The batches that differ, in order.
    pub differences: Vec<Difference>,
}

/// A batch that differs from its record.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What was recorded of it.
    pub batch: BatchRecord,
    /// What was found.
    pub found: Found,
}

/// What was found of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Its rows.
    Rows {
        /// How many.
        rows: u64,
        /// Their hash.
        hash: ContentHash,
    },
    /// Nothing: its file cannot be read, for this reason.
    Unreadable(String),
}

impl Verified {
    /// Whether nothing differs.
    pub fn same(&self) -> bool {
        self.whole && !self.more && self.replaced.is_empty() && self.differences.is_empty()
    }

    fn of(batches: &[BatchRecord], cleaned_up: u64) -> Self {
        Self {
            cleaned_up,
            batches: batches.len() as u64,
            rows: batches.iter().map(|batch| batch.rows_kept).sum(),
            unrecorded: batches.first().map_or(0, |first| first.number),
            whole: true,
            more: false,
            replaced: Vec::new(),
            differences: Vec::new(),
        }
    }

    fn compare(&mut self, batch: &BatchRecord, found: Found) {
        let recorded = Found::Rows {
            rows: batch.rows_kept,
            hash: batch.hash,
        };
        if found != recorded {
            let batch = batch.clone();
            self.differences.push(Difference { batch, found });
        }
    }
}

/// Compares the rows in the files of the dataset in a folder with what its log records of each batch.
pub async fn verify_files(dir: &Path) -> Result<Verified> {
    let Ledger {
        record,
        batches,
        cleaned_up,
        ..
    } = read(dir).await?;
    let table = TableVersion::listed(dir).await?;
    let mut verified = Verified::of(&batches, cleaned_up);
    let mut hash = ContentHash::default();
    for file in &table.files {
        if let Err(why) = file.check() {
            verified.replaced.push((file.path.clone(), why));
        }
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let numbers = batches_of(&name).unwrap_or(0..=0);
        let first = batches.partition_point(|batch| batch.number < *numbers.start());
        let after = batches.partition_point(|batch| batch.number <= *numbers.end());
        let in_file: Vec<&BatchRecord> = batches[first..after].iter().filter(|b| b.rows_kept > 0).collect();
        // Where a file begins with batches without a record, it is not known where the others begin.
        let known = *numbers.start() >= verified.unrecorded;
        match counted(&table, file, if known { &in_file } else { &[] }) {
            Ok((found, all)) => {
                hash += all;
                in_file
                    .into_iter()
                    .zip(found)
                    .for_each(|(batch, found)| verified.compare(batch, found));
            }
            Err(error) => {
                for batch in in_file {
                    verified.compare(batch, Found::Unreadable(error.to_string()));
                }
            }
        }
    }
    verified.whole = hash == record.totals.hash;
    Ok(verified)
}

/// Reads the key range of each batch of the dataset in a folder again, cleans it and compares it with the record. `compared` is
/// told after each. The pipeline, of which `identity` is, must be the one that made the dataset.
pub async fn verify_source(
    dir: &Path,
    source: &dyn Source,
    identity: &DatasetIdentity,
    memory: RowBudget,
    compared: &mut (dyn FnMut(&BatchRecord) + Send),
) -> Result<Verified> {
    let ledger = read(dir).await?;
    let batches = &ledger.batches;
    ledger.identity.check_key(identity, dir)?;
    if let Some(difference) = ledger.identity.difference(identity) {
        return Err(Error::Changed {
            dir: dir.display().to_string(),
            difference,
            way_out: "give the pipeline file that it was made with".to_owned(),
        });
    }
    let schema = delta_schema(&source.schema())?;
    let cleaner = Cleaner::new(identity.clean(), schema, identity.key())?;
    let held = memory.held_in(dir);
    let mut verified = Verified::of(batches, ledger.cleaned_up);
    for batch in batches {
        let range = KeyRange {
            number: batch.number,
            bounds: batch.bounds.clone(),
        };
        verified.compare(batch, found(source, &cleaner, &held, &range).await?);
        compared(batch);
    }
    if ledger.record.complete {
        let last = batches.iter().rev().find_map(|batch| match &batch.bounds {
            Bounds::Between { until, .. } => Some(until),
            Bounds::Null => None,
        });
        let nulls = batches.last().is_some_and(|batch| batch.bounds == Bounds::Null);
        verified.more =
            source.boundary(last, 1).await?.is_some() || (!nulls && source.has_null_keys().await?);
    }
    Ok(verified)
}

/// What the source has in a range, cleaned.
async fn found(source: &dyn Source, cleaner: &Cleaner, held: &Held, range: &KeyRange) -> Result<Found> {
    let (mut rows, mut hash, mut dropped) = (0, ContentHash::default(), Dropped::default());
    let mut keep = |kept: RecordBatch| {
        rows += kept.num_rows() as u64;
        hash += ContentHash::of(&kept)?;
        Ok(())
    };
    let mut order = cleaner.order(held.clone());
    let mut stream = source.read(range).await?;
    while let Some(piece) = stream.try_next().await? {
        let piece = to_delta(&piece, cleaner.schema())?;
        order.push(&cleaner.rows(&piece, &mut dropped)?, &mut keep)?;
    }
    order.finish(&mut keep)?;
    Ok(Found::Rows { rows, hash })
}

async fn read(dir: &Path) -> Result<Ledger> {
    let broken = |why: &str| Error::Dataset {
        dir: dir.display().to_string(),
        why: why.to_owned(),
    };
    let ledger = Ledger::read(dir).await?;
    let ledger = ledger.ok_or_else(|| broken("there is no Delta table in it"))?;
    if ledger.batches.is_empty() {
        return Err(broken(
            "its log was cleaned up: no record of a batch is left to compare with",
        ));
    }
    Ok(ledger)
}

/// What a file holds of each of its batches, which lie in it one after the other, and of all. Where it has more or fewer rows
/// than they have, the last gets the difference.
fn counted(
    table: &TableVersion,
    file: &DataFile,
    batches: &[&BatchRecord],
) -> Result<(Vec<Found>, ContentHash)> {
    let mut found = Vec::with_capacity(batches.len());
    let (mut all, mut hash, mut rows) = (ContentHash::default(), ContentHash::default(), 0);
    for batch in table.only(file).scan(None, SCAN)? {
        let mut rest = batch?;
        while rest.num_rows() > 0 {
            let room = match batches.get(found.len()) {
                Some(batch) if found.len() + 1 < batches.len() => batch.rows_kept - rows,
                _ => u64::MAX,
            };
            let taken = rest.num_rows().min(usize::try_from(room).unwrap_or(usize::MAX));
            let part = ContentHash::of(&rest.slice(0, taken))?;
            (all, hash, rows) = (all + part, hash + part, rows + taken as u64);
            rest = rest.slice(taken, rest.num_rows() - taken);
            if taken as u64 == room {
                found.push(Found::Rows { rows, hash });
                (hash, rows) = (ContentHash::default(), 0);
            }
        }
    }
    if found.len() < batches.len() {
        found.push(Found::Rows { rows, hash });
        let none = Found::Rows {
            rows: 0,
            hash: ContentHash::default(),
        };
        found.resize(batches.len(), none);
    }
    Ok((found, all))
}
