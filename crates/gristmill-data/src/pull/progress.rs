//! How a pull is cut up, and what it tells of itself under way.

use std::time::Duration;

use crate::failpoint;
use crate::settings::Consistency;
use crate::table::{BatchRecord, Totals};

/// How a pull is cut up. Changes nothing about the rows of the dataset, and may change from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Rows a batch.
    pub batch_rows: u64,
    /// Connections to the database.
    pub connections: usize,
    /// The batches that finish within so much time share a commit.
    pub commit_every: Duration,
    /// What becomes of a dataset that was begun from another snapshot.
    pub consistency: Consistency,
}

/// What happens in a pull.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Batches are there, of an earlier run or from before all connections were lost; reading goes on after them.
    Resumed {
        /// What is there.
        totals: &'a Totals,
        /// Whether it reads from another snapshot of the database than the last batch there, so that the dataset will be of
        /// no one instant.
        other_snapshot: bool,
    },
    /// An earlier run's batches came from another snapshot of the database, and were discarded.
    Anew {
        /// What was there.
        totals: &'a Totals,
    },
    /// A batch was read, cleaned and written.
    Batch {
        /// The batch.
        batch: &'a BatchRecord,
        /// What it took.
        cost: BatchCost,
        /// All batches up to and with this one.
        totals: &'a Totals,
    },
    /// Something went wrong that will be tried again, or is done without.
    Warning(String),
    /// Batches were committed.
    Committed {
        /// The new version of the dataset.
        version: u64,
        /// How many of them.
        batches: usize,
        /// How long that took.
        seconds: f64,
    },
}

/// What a batch took.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BatchCost {
    /// Seconds from asking for it until it was on the disk, of the try that succeeded.
    pub seconds: f64,
    /// Bytes of the values read.
    pub bytes: u64,
    /// Tries that failed before.
    pub retries: u32,
}

impl Pace {
    /// So many rows a batch, so many connections, and a commit a second, unless a test sets
    /// another rhythm.
    pub fn new(batch_rows: u64, connections: usize, consistency: Consistency) -> Self {
        Self {
            batch_rows,
            connections,
            consistency,
            commit_every: failpoint::commit_every().unwrap_or(Duration::from_secs(1)),
        }
    }
}
