//! Pulling a query into a dataset: readers on one snapshot of the database, and one committer.
//!
//! A reader that loses its connection joins the snapshot again over one of the others, which hold it as well. When all are
//! lost, so is the snapshot: then a new one is read from, after the last batch recorded, as a later run would.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::batch::clean::Cleaner;
use crate::batch::commit::Committer;
use crate::batch::encode::Encoder;
use crate::batch::ledger::{BatchRecord, DatasetIdentity, Totals};
use crate::batch::plan::Planner;
use crate::batch::queue::Queue;
use crate::batch::read::{End, Message, Readers};
use crate::batch::retry::Backoff;
use crate::error::{Error, Result};
use crate::settings::{Consistency, SourceSettings};
use crate::source::{Source, connect};
use crate::table::{Appender, delta_schema};

/// Times that the database is tried again while it gives nothing: some two minutes.
const TRIES: u32 = 18;

/// Batches that may be under way beside one for each reader.
const BATCHES_AHEAD: u64 = 2;

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
    /// So many rows a batch, so many connections, and a commit a second. A build with failpoints commits every batch, so that a kill can come between any two.
    pub fn new(batch_rows: u64, connections: usize, consistency: Consistency) -> Self {
        Self {
            batch_rows,
            connections,
            consistency,
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
/// `settings` are those that `source` was connected with; they serve to connect again. A dataset that a different pipeline
/// made is refused, and so is a query of which no row is kept.
pub async fn pull(
    source: Box<dyn Source>,
    settings: &SourceSettings,
    identity: DatasetIdentity,
    dir: &Path,
    pace: Pace,
    progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Pulled> {
    let schema = delta_schema(&source.schema())?;
    let cleaner = Arc::new(Cleaner::new(identity.clean(), schema.clone(), identity.key())?);
    let (appender, ledger) = Appender::open(dir, identity, schema.clone()).await?;
    let (mut record, resumed) = (Default::default(), ledger.is_some());
    if let Some(ledger) = ledger {
        record = ledger.record;
        if record.complete {
            return Ok(Pulled {
                totals: record.totals,
                version: ledger.version,
                resumed,
            });
        }
    }
    let files = appender.files();
    let encoder = Encoder { cleaner, files };
    let mut committer = Committer::new(appender, record, pace, progress);
    let mut source: Arc<dyn Source> = source.into();
    let mut backoff = Backoff::new(TRIES);
    loop {
        committer.read_from(&source.snapshot())?;
        let before = committer.next();
        let Some(lost) = read(source, encoder.clone(), pace, &mut committer).await? else {
            break;
        };
        if committer.next() > before {
            backoff.reset();
        }
        committer.warn(format!("{lost}; connecting anew"));
        source = reconnect(settings, &schema, lost, &mut backoff).await?;
    }
    let (totals, version) = committer.finish().await?;
    Ok(Pulled {
        totals,
        version,
        resumed,
    })
}

/// Reads what the snapshot of `source` has after the last batch recorded. Returns why not all of it, if every connection
/// was lost.
async fn read(
    source: Arc<dyn Source>,
    encoder: Encoder,
    pace: Pace,
    committer: &mut Committer<'_>,
) -> Result<Option<Error>> {
    let planner = Planner::new(pace.batch_rows, committer.last(), committer.next());
    let queue = Queue::new(planner, pace.connections as u64 + BATCHES_AHEAD);
    let readers = Readers::new(source, pace.connections, queue, encoder);
    let (sender, mut messages) = mpsc::channel(1);
    // Ends them when dropped.
    let mut tasks = JoinSet::new();
    for number in 0..pace.connections.max(1) {
        tasks.spawn(readers.clone().read(number, sender.clone()));
    }
    drop(sender);
    let mut lost = None;
    while let Some(message) = messages.recv().await {
        match message {
            Message::Batch(batch) => {
                committer.take(batch).await?;
                readers.queue.recorded(committer.next());
            }
            Message::Warning(warning) => committer.warn(warning),
            Message::Ended(End::Retired(error)) => lost = Some(error),
            Message::Ended(End::Failed(error)) => return Err(error),
        }
    }
    if readers.queue.is_done() {
        return Ok(None);
    }
    let lost = lost.unwrap_or_else(|| Error::Stopped {
        what: "reading".to_owned(),
        why: "no reader is left".to_owned(),
    });
    if lost.may_pass() {
        Ok(Some(lost))
    } else {
        Err(lost)
    }
}

/// Connects until it succeeds, fails for good, or was tried often enough.
async fn reconnect(
    settings: &SourceSettings,
    schema: &SchemaRef,
    mut lost: Error,
    backoff: &mut Backoff,
) -> Result<Arc<dyn Source>> {
    while backoff.wait().await {
        match connect(settings).await {
            Ok(source) if delta_schema(&source.schema())? == *schema => return Ok(source.into()),
            Ok(_) => {
                return Err(Error::Query {
                    why: "its columns are others than when the run began; run again to see the difference"
                        .to_owned(),
                });
            }
            Err(error) if error.may_pass() => lost = error,
            Err(error) => return Err(error),
        }
    }
    Err(lost)
}
