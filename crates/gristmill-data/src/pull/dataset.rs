//! Pulling a query into a dataset: readers on one snapshot of the database, and one committer.
//!
//! A reader that loses its connection joins the snapshot again over one of the others, which hold it as well. When all are
//! lost, so is the snapshot: then a new one is read from, after the last batch recorded, as a later run would.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::prepare::Cleaner;
use crate::pull::commit::Committer;
use crate::pull::encode::Encoder;
use crate::pull::plan::Planner;
use crate::pull::progress::{Pace, Progress};
use crate::pull::queue::Queue;
use crate::pull::read::{End, Message, Readers};
use crate::pull::retry::Backoff;
use crate::settings::SourceSettings;
use crate::source::Source;
use crate::source::open::connect;
use crate::table::{Appender, DatasetIdentity, Ledger, Totals, delta_schema};

/// Times that the database is tried again while it gives nothing: some two minutes.
const TRIES: u32 = 18;

/// Batches that may be under way beside one for each reader.
const BATCHES_AHEAD: u64 = 2;

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
    let resumed = ledger.is_some();
    if let Some(Ledger { record, version, .. }) = &ledger
        && record.complete
    {
        return Ok(Pulled {
            totals: record.totals.clone(),
            version: *version,
            resumed,
        });
    }
    let files = appender.files(settings.memory.row_group());
    let held = settings.memory.held_in(dir);
    let encoder = Encoder { cleaner, files, held };
    let connections = settings.memory.readers().min(pace.connections.max(1));
    let pace = Pace { connections, ..pace };
    let mut committer = Committer::new(appender, ledger, pace, progress);
    let mut source: Arc<dyn Source> = source.into();
    let mut backoff = Backoff::new(TRIES);
    loop {
        committer.read_from(source.as_ref())?;
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
