//! The one who records batches, in their order, and commits those that have come together.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::count::counted;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::key::Bounds;
use crate::prepare::Dropped;
use crate::pull::encode::EncodedBatch;
use crate::pull::progress::{Pace, Progress};
use crate::settings::Consistency;
use crate::source::Source;
use crate::table::{Appender, Ledger, Record, Totals, WrittenFile};

/// Records and commits batches.
pub(super) struct Committer<'a> {
    appender: Appender,
    /// The batches since the last commit, and all before them.
    record: Record,
    /// Their files.
    files: Vec<WrittenFile>,
    /// The keys of the last batch recorded.
    last: Option<Bounds>,
    /// Batches that came before their turn.
    early: BTreeMap<u64, EncodedBatch>,
    committed: Instant,
    pace: Pace,
    progress: &'a mut (dyn FnMut(Progress<'_>) + Send),
}

impl<'a> Committer<'a> {
    /// Goes on after what is there of the dataset.
    pub(super) fn new(
        appender: Appender,
        there: Option<Ledger>,
        pace: Pace,
        progress: &'a mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Self {
        let (mut record, mut batches) = there
            .map(|there| (there.record, there.batches))
            .unwrap_or_default();
        record.batches.clear();
        Self {
            appender,
            record,
            files: Vec::new(),
            last: batches.pop().map(|batch| batch.bounds),
            early: BTreeMap::new(),
            committed: Instant::now(),
            pace,
            progress,
        }
    }

    /// The keys after which it goes on.
    pub(super) fn last(&self) -> Option<Bounds> {
        self.last.clone()
    }

    /// The number of the batch that is to be recorded next.
    pub(super) fn next(&self) -> u64 {
        self.record.totals.batches_read
    }

    /// What comes from now on is read from this source; what came before its turn is read again.
    pub(super) fn read_from(&mut self, source: &dyn Source) -> Result<()> {
        let snapshot = source.snapshot();
        self.early.clear();
        if self.next() == 0 {
            return Ok(());
        }
        let totals = &self.record.totals;
        let other_snapshot = totals.last_snapshot != snapshot;
        if !source.resumes() || other_snapshot && self.pace.consistency == Consistency::Strict {
            (self.progress)(Progress::Anew { totals });
            self.files.clear();
            self.appender.start_anew()?;
            self.record = Record::default();
            self.last = None;
        } else {
            (self.progress)(Progress::Resumed {
                totals,
                other_snapshot,
            });
        }
        Ok(())
    }

    pub(super) fn warn(&mut self, warning: String) {
        (self.progress)(Progress::Warning(warning));
    }

    /// Takes a batch in, and records all whose turn it is.
    pub(super) async fn take(&mut self, batch: EncodedBatch) -> Result<()> {
        self.early.insert(batch.record.number, batch);
        while let Some(EncodedBatch { record, file, cost }) = self.early.remove(&self.next()) {
            self.last = Some(record.bounds.clone());
            self.files.extend(file);
            self.record.push(record);
            if let Some(batch) = self.record.batches.last() {
                (self.progress)(Progress::Batch {
                    batch,
                    cost,
                    totals: &self.record.totals,
                });
            }
            // Until there is a row to keep, there is no dataset: a pipeline that keeps none can be changed and run again.
            if self.record.totals.rows_kept > 0 && self.committed.elapsed() >= self.pace.commit_every {
                self.commit().await?;
            }
        }
        Ok(())
    }

    /// Ends the dataset: every batch was recorded.
    pub(super) async fn finish(mut self) -> Result<(Totals, u64)> {
        refuse_empty(&self.record.totals)?;
        self.record.complete = true;
        failpoint::hit("final-commit-started");
        let version = self.commit().await?;
        Ok((self.record.totals, version))
    }

    async fn commit(&mut self) -> Result<u64> {
        let started = Instant::now();
        let version = self.appender.commit(&self.record, &self.files).await?;
        (self.progress)(Progress::Committed {
            version,
            batches: self.record.batches.len(),
            seconds: started.elapsed().as_secs_f64(),
        });
        self.record.batches.clear();
        self.files.clear();
        self.committed = Instant::now();
        Ok(version)
    }
}

fn refuse_empty(totals: &Totals) -> Result<()> {
    if totals.rows_kept > 0 {
        return Ok(());
    }
    if totals.rows_read == 0 {
        return Err(Error::Empty(
            "source.query returned no rows; run it by itself to see why".to_owned(),
        ));
    }
    let Dropped { null, filter, .. } = totals.dropped;
    Err(Error::Empty(format!(
        "of the {} that source.query returned, cleaning dropped every one: {null} by clean.require, {filter} by \
         clean.filter; ask for less there",
        counted(totals.rows_read, "row")
    )))
}
