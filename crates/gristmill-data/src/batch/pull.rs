//! Pulling a query into a dataset: one batch after the other is read, cleaned, written and committed.

use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;

use crate::batch::clean::{Cleaner, Dropped};
use crate::batch::hash::ContentHash;
use crate::batch::ledger::{BatchRecord, DatasetIdentity, Record, Totals};
use crate::batch::plan::Planner;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::source::{KeyRange, Source};
use crate::table::{Appender, delta_schema, to_delta};

/// How a pull is cut up. Changes nothing about the rows of the dataset, and may change from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Rows a batch.
    pub batch_rows: u64,
    /// The batches that finish within so much time share a commit.
    pub commit_every: Duration,
}

/// What happens in a pull.
#[derive(Debug)]
pub enum Progress<'a> {
    /// An earlier run's batches are there; this one goes on after them.
    Resumed {
        /// What is there.
        totals: &'a Totals,
        /// Whether this run reads from another snapshot of the database than the last batch there, so that the dataset will be of
        /// no one instant.
        other_snapshot: bool,
    },
    /// A batch was read, cleaned and written.
    Batch {
        /// The batch.
        batch: &'a BatchRecord,
        /// All batches up to and with this one.
        totals: &'a Totals,
    },
    /// Batches were committed.
    Committed {
        /// The new version of the dataset.
        version: u64,
        /// How many of them.
        batches: usize,
    },
}

/// A complete dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// What is in it.
    pub totals: Totals,
    /// The version of its table.
    pub version: u64,
    /// Whether an earlier run had begun it, or made all of it.
    pub resumed: bool,
}

impl Pace {
    /// So many rows a batch, and a commit a second. A build with failpoints commits every batch, so that a kill can come between any two.
    pub fn new(batch_rows: u64) -> Self {
        Self {
            batch_rows,
            commit_every: if cfg!(feature = "failpoints") {
                Duration::ZERO
            } else {
                Duration::from_secs(1)
            },
        }
    }
}

/// Brings the dataset in `dir` to completion: starts it, goes on after its last committed batch, or returns at once.
///
/// A dataset that a different pipeline made is refused, and so is a query of which no row is kept.
pub async fn pull(
    source: &dyn Source,
    identity: DatasetIdentity,
    dir: &Path,
    pace: Pace,
    progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Pulled> {
    let schema = delta_schema(&source.schema())?;
    let cleaner = Cleaner::new(identity.clean(), schema.clone(), identity.key())?;
    let (mut appender, ledger) = Appender::open(dir, identity, schema.clone()).await?;
    let resumed = ledger.is_some();
    let mut record = Record::default();
    if let Some(ledger) = ledger {
        record = ledger.record;
        if record.complete {
            return Ok(Pulled {
                totals: record.totals,
                version: ledger.version,
                resumed,
            });
        }
        let other_snapshot = record.totals.last_snapshot != source.snapshot();
        progress(Progress::Resumed {
            totals: &record.totals,
            other_snapshot,
        });
    }
    let resume_after = record.batches.pop().map(|batch| batch.bounds);
    record.batches.clear();
    let mut planner = Planner::new(source, pace.batch_rows, resume_after, record.totals.batches_read);
    let mut files = Vec::new();
    let mut committed = Instant::now();
    while let Some(range) = planner.next().await? {
        let (mut batch, rows) = read(source, &cleaner, &schema, range).await?;
        failpoint::hit("batch-read");
        if rows.num_rows() > 0 {
            let file = appender.write(batch.number, &rows)?;
            batch.file = Some(file.name.clone());
            files.push(file);
        }
        record.push(batch);
        if let Some(batch) = record.batches.last() {
            progress(Progress::Batch {
                batch,
                totals: &record.totals,
            });
        }
        // Until there is a row to keep, there is no dataset: a pipeline that keeps none can be changed and run again.
        if record.totals.rows_kept > 0 && committed.elapsed() >= pace.commit_every {
            let version = appender.commit(&record, &files).await?;
            progress(Progress::Committed {
                version,
                batches: record.batches.len(),
            });
            record.batches.clear();
            files.clear();
            committed = Instant::now();
        }
    }
    refuse_empty(&record.totals)?;
    record.complete = true;
    failpoint::hit("final-commit-started");
    let version = appender.commit(&record, &files).await?;
    progress(Progress::Committed {
        version,
        batches: record.batches.len(),
    });
    Ok(Pulled {
        totals: record.totals,
        version,
        resumed,
    })
}

async fn read(
    source: &dyn Source,
    cleaner: &Cleaner,
    schema: &SchemaRef,
    range: KeyRange,
) -> Result<(BatchRecord, RecordBatch)> {
    let (mut rows_read, mut dropped, mut kept) = (0, Dropped::default(), Vec::new());
    let mut stream = source.read(&range).await?;
    while let Some(rows) = stream.try_next().await? {
        rows_read += rows.num_rows() as u64;
        kept.push(cleaner.rows(&to_delta(&rows, schema)?, &mut dropped)?);
    }
    let rows = cleaner.batch(&kept, &mut dropped)?;
    let batch = BatchRecord {
        number: range.number,
        bounds: range.bounds,
        rows_read,
        rows_kept: rows.num_rows() as u64,
        dropped,
        hash: ContentHash::of(&rows)?,
        file: None,
        snapshot: source.snapshot(),
    };
    Ok((batch, rows))
}

fn refuse_empty(totals: &Totals) -> Result<()> {
    if totals.rows_kept > 0 {
        return Ok(());
    }
    if totals.rows_read == 0 {
        return Err(Error::Empty(
            "source.query returned no rows; run it in the database's own client to see why".to_owned(),
        ));
    }
    let Dropped { null, filter, .. } = totals.dropped;
    Err(Error::Empty(format!(
        "cleaning dropped every one of the {} rows that source.query returned: {null} by clean.require, {filter} by \
         clean.filter; ask for less there",
        totals.rows_read
    )))
}
