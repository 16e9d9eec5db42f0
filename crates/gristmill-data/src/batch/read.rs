//! Readers: each with a connection of its own to one snapshot, they take ranges and have their rows encoded.

use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::batch::encode::{EncodedBatch, Encoder, Piece};
use crate::batch::queue::Queue;
use crate::batch::retry::Backoff;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::source::{KeyRange, Source};

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
        if let Err(end) = reader.read_batches().await {
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

impl Reader {
    async fn read_batches(&mut self) -> Result<(), End> {
        while let Some(source) = self.connected().await? {
            let range = match self.readers.queue.take(source.as_ref()).await {
                Ok(Some(range)) => range,
                Ok(None) => return Ok(()),
                Err(error) => {
                    drop(source);
                    self.disconnected("planning", error).await?;
                    continue;
                }
            };
            match self.read(source.as_ref(), &range).await {
                Ok(()) => self.backoff.reset(),
                Err(error) => {
                    drop(source);
                    let what = format!("batch {}", range.number);
                    self.readers.queue.give_back(range).await;
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
    async fn read(&mut self, source: &dyn Source, range: &KeyRange) -> Result<()> {
        let mut rows = source.read(range).await?;
        if let Some(before) = self.encoding.take() {
            // How that went, it tells itself.
            let _ = before.await;
        }
        let (pieces, received) = mpsc::channel(PIECES_AHEAD);
        let (encoder, number) = (self.readers.encoder.clone(), range.number);
        let (range, snapshot) = (range.clone(), source.snapshot());
        let encoding = spawn_blocking(move || encoder.encode(range, snapshot, received));
        loop {
            let piece = match rows.try_next().await {
                Ok(rows) => rows.map_or(Piece::End, Piece::Rows),
                Err(error) => {
                    drop(pieces);
                    // Nothing of it is left before another reads the same range.
                    let _ = encoding.await;
                    return Err(error);
                }
            };
            let end = matches!(piece, Piece::End);
            // Nobody receives any more where encoding failed.
            if pieces.send(piece).await.is_err() || end {
                break;
            }
        }
        failpoint::hit("batch-read");
        let messages = self.messages.clone();
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
                Ok(Ok(Some(batch))) => Message::Batch(batch),
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
