//! Readers: each with a connection of its own to one snapshot, they take ranges and have their rows encoded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow::array::{Array, ArrayRef};
use futures::TryStreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::error::{Error, Result};
use crate::failpoint;
use crate::guard::caught_async;
use crate::key::{Bounds, Key};
use crate::pull::encode::{EncodedBatch, Encoder, Piece};
use crate::pull::queue::{Queue, Task};
use crate::pull::retry::Backoff;
use crate::source::{BatchStream, Source};

/// Pieces of a batch that may wait to be encoded.
const PIECES_AHEAD: usize = 1;

/// Times that a reader tries again what failed, one after the other.
const TRIES: u32 = 7;

/// What a reader tells.
pub(super) enum Message {
    /// A batch is on the disk.
    Batch(EncodedBatch),
    /// Something went wrong that will be tried again, or is done without.
    Warning(String),
    /// Work ended before its time.
    Ended(End),
}

/// Why a reader stops.
pub(super) enum End {
    /// It has no connection any more; the others may go on without it.
    Retired(Error),
    /// What nobody can go on after.
    Failed(Error),
}

/// What the readers share.
pub(super) struct Readers {
    pub(super) queue: Queue,
    encoder: Encoder,
    /// The connection of each, while it has one. Each can give another one to the same snapshot.
    connections: Mutex<Vec<Option<Arc<dyn Source>>>>,
}

/// One of them.
struct Reader {
    readers: Arc<Readers>,
    number: usize,
    backoff: Backoff,
    /// Why it has no connection.
    failed: Option<Error>,
    messages: mpsc::Sender<Message>,
    /// Closed when the batch before is encoded, whose end may overlap with the beginning of the next.
    encoding: Option<oneshot::Receiver<()>>,
}

impl Readers {
    /// So many readers, of which the first has a connection.
    pub(super) fn new(first: Arc<dyn Source>, count: usize, queue: Queue, encoder: Encoder) -> Arc<Self> {
        let mut connections = vec![Some(first)];
        connections.resize(count.max(1), None);
        Arc::new(Self {
            queue,
            encoder,
            connections: Mutex::new(connections),
        })
    }

    /// Lets one read until every batch is recorded.
    pub(super) async fn read(self: Arc<Self>, number: usize, messages: mpsc::Sender<Message>) {
        let mut reader = Reader {
            readers: self,
            number,
            backoff: Backoff::new(TRIES),
            failed: None,
            messages: messages.clone(),
            encoding: None,
        };
        let what = format!("reading over connection {}", number + 1);
        let reading = async { Ok(reader.read_batches().await) };
        // Nobody else would ever read the batch that it had.
        let ended = caught_async(&what, reading).await;
        if let Err(end) = ended.unwrap_or_else(|error| Err(End::Failed(error))) {
            let _ = messages.send(Message::Ended(end)).await;
        }
    }

    fn connection(&self, number: usize) -> Option<Arc<dyn Source>> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.get(number).cloned().flatten()
    }

    fn connections(&self) -> Vec<Arc<dyn Source>> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().flatten().cloned().collect()
    }

    fn set(&self, number: usize, connection: Option<Arc<dyn Source>>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = connections.get_mut(number) {
            *place = connection;
        }
    }
}

/// The rows of a batch on their way.
struct Rows {
    stream: BatchStream,
    end: RangeEnd,
}

/// Where a range ends.
enum RangeEnd {
    Known(Bounds),
    /// At the key of the last row.
    LastOf {
        key: usize,
        key_of: fn(&dyn Array, usize) -> Option<Key>,
        last: Option<ArrayRef>,
    },
}

impl Rows {
    /// The next piece of batch `number`; `None` where a range that was read on into turned out to have no rows.
    async fn next(&mut self, number: u64, queue: &Queue) -> Result<Option<Piece>> {
        let rows = self.stream.try_next().await?;
        match (rows, &mut self.end) {
            (Some(rows), RangeEnd::Known(_)) => Ok(Some(Piece::Rows(rows))),
            (Some(rows), RangeEnd::LastOf { key, last, .. }) => {
                *last = Some(rows.column(*key).clone());
                Ok(Some(Piece::Rows(rows)))
            }
            (None, RangeEnd::Known(bounds)) => Ok(Some(Piece::End(bounds.clone()))),
            (None, RangeEnd::LastOf { key_of, last, .. }) => {
                let until = last
                    .as_ref()
                    .and_then(|keys| key_of(keys, keys.len().checked_sub(1)?));
                let range = queue.reached(number, until).await?;
                Ok(range.map(|range| Piece::End(range.bounds)))
            }
        }
    }
}

impl Reader {
    async fn read_batches(&mut self) -> Result<(), End> {
        while let Some(source) = self.connected().await? {
            let task = match self.readers.queue.take(source.as_ref()).await {
                Ok(Some(task)) => task,
                Ok(None) => return Ok(()),
                Err(error) => {
                    drop(source);
                    self.disconnected("planning", error).await?;
                    continue;
                }
            };
            let mut read = self.read(source.as_ref(), &task).await;
            while let Err(Error::Disorder) = read {
                read = self.read(source.as_ref(), &task).await;
            }
            match read {
                Ok(()) => self.backoff.reset(),
                Err(error) => {
                    drop(source);
                    let what = format!("batch {}", task.number());
                    self.readers.queue.give_back(task).await;
                    self.disconnected(&what, error).await?;
                }
            }
        }
        Ok(())
    }

    /// The connection, or a new one to the same snapshot; `None` where there is no work for it, or no way to one.
    async fn connected(&mut self) -> Result<Option<Arc<dyn Source>>, End> {
        if let Some(connection) = self.readers.connection(self.number) {
            return Ok(Some(connection));
        }
        while !self.readers.queue.is_done() {
            let mut failure = None;
            // Each of the others will do that still holds the snapshot.
            for other in self.readers.connections() {
                match other.fork().await {
                    Ok(Some(fork)) => {
                        let fork: Arc<dyn Source> = fork.into();
                        self.readers.set(self.number, Some(fork.clone()));
                        return Ok(Some(fork));
                    }
                    Ok(None) => {
                        // At the start once for all.
                        if self.number == 1 || self.failed.is_some() {
                            let warning = "no further connection can read from this snapshot; fewer read";
                            let _ = self.messages.send(Message::Warning(warning.to_owned())).await;
                        }
                        return Ok(None);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            match failure {
                Some(error) => self.wait("connecting", error).await?,
                // All are lost, and with them the snapshot.
                None => {
                    return self
                        .failed
                        .take()
                        .map_or(Ok(None), |error| Err(End::Retired(error)));
                }
            }
        }
        Ok(None)
    }

    /// Takes leave of a connection on which something failed, and waits a little.
    async fn disconnected(&mut self, what: &str, error: Error) -> Result<(), End> {
        self.readers.set(self.number, None);
        if !error.may_pass() {
            return Err(End::Failed(error));
        }
        self.wait(what, error).await
    }

    async fn wait(&mut self, what: &str, error: Error) -> Result<(), End> {
        if self.backoff.is_first() {
            let warning = Message::Warning(format!("{what}: {error}; trying again"));
            let _ = self.messages.send(warning).await;
        }
        tokio::select! {
            () = self.readers.queue.done() => {}
            again = self.backoff.wait() => if !again {
                let warning = Message::Warning(format!("{what}: {error}; one connection less"));
                let _ = self.messages.send(warning).await;
                return Err(End::Retired(error));
            },
        }
        self.failed = Some(error);
        Ok(())
    }

    /// Reads a range and has it encoded; the end of that is not waited for.
    async fn read(&mut self, source: &dyn Source, task: &Task) -> Result<()> {
        let (number, started) = (task.number(), Instant::now());
        let mut rows = match task {
            Task::Range(range) => Rows {
                stream: source.read(range).await?,
                end: RangeEnd::Known(range.bounds.clone()),
            },
            Task::Open { after, rows, .. } => {
                let open = source.read_on(after.as_ref(), *rows).await?;
                Rows {
                    stream: open.rows,
                    end: RangeEnd::LastOf {
                        key: open.key,
                        key_of: open.key_of,
                        last: None,
                    },
                }
            }
        };
        if let Some(before) = self.encoding.take() {
            // How that went, it tells itself.
            let _ = before.await;
        }
        let (pieces, received) = mpsc::channel(PIECES_AHEAD);
        let (encoder, snapshot) = (self.readers.encoder.clone(), source.snapshot());
        let encoding = spawn_blocking(move || encoder.encode(number, snapshot, received));
        loop {
            let piece = match rows.next(number, &self.readers.queue).await {
                Ok(Some(piece)) => piece,
                // There was none to read.
                Ok(None) => {
                    drop(pieces);
                    let _ = encoding.await;
                    return Ok(());
                }
                Err(error) => {
                    drop(pieces);
                    // Nothing of it is left before another reads the same range.
                    let _ = encoding.await;
                    return Err(error);
                }
            };
            let end = matches!(piece, Piece::End(_));
            // Nobody receives any more where encoding failed.
            if pieces.send(piece).await.is_err() || end {
                break;
            }
        }
        failpoint::hit("batch-read");
        let messages = self.messages.clone();
        let retries = self.readers.queue.failures(number).await;
        let (encoded, end) = oneshot::channel();
        self.encoding = Some(end);
        // The disk is not waited for before the next batch is encoded, only before this one is committed.
        tokio::spawn(async move {
            let batch = encoding.await;
            drop(encoded);
            let batch = match batch {
                Ok(Ok(Some(batch))) => spawn_blocking(move || batch.synced().map(Some)).await,
                other => other,
            };
            let message = match batch {
                Ok(Ok(Some(mut batch))) => {
                    batch.cost.retries = retries;
                    batch.cost.seconds = started.elapsed().as_secs_f64();
                    Message::Batch(batch)
                }
                Ok(Ok(None)) => return,
                Ok(Err(error)) => Message::Ended(End::Failed(error)),
                Err(stopped) => Message::Ended(End::Failed(Error::Stopped {
                    what: format!("batch {number}"),
                    why: stopped.to_string(),
                })),
            };
            let _ = messages.send(message).await;
        });
        Ok(())
    }
}
