//! Rows that a task or a thread of its own produces. Their end is what its work returns: a channel that closes says nothing, for
//! it closes as well when the work panics or is cancelled.

use arrow::array::RecordBatch;
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::error::Result;
use crate::guard::{caught, caught_async, stopped};
use crate::source::BatchStream;

/// Record batches that may wait to be taken.
const BATCHES_AHEAD: usize = 2;

/// What takes the rows. Once it says that no more are wanted, the work may end.
pub(super) struct Taker(Sender<RecordBatch>);

impl Taker {
    /// Gives rows away; returns whether more are wanted.
    pub(super) async fn give(&self, rows: RecordBatch) -> bool {
        self.0.send(rows).await.is_ok()
    }

    /// The same, on a thread that may wait.
    pub(super) fn give_blocking(&self, rows: RecordBatch) -> bool {
        self.0.blocking_send(rows).is_ok()
    }
}

/// The rows that `work`, named `what`, gives away on a thread of its own. Its error and its panic end them as an error.
pub(super) fn on_thread(
    what: String,
    work: impl FnOnce(Taker) -> Result<()> + Send + 'static,
) -> BatchStream {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let name = what.clone();
    let working = spawn_blocking(move || {
        caught(|| work(Taker(sender))).unwrap_or_else(|panic| Err(stopped(&name, panic)))
    });
    until_done(what, receiver, working)
}

/// The rows that `work`, named `what`, gives away as a task of its own. Its error and its panic end them as an error.
pub(super) fn on_task<W>(what: String, work: impl FnOnce(Taker) -> W) -> BatchStream
where
    W: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let (name, work) = (what.clone(), work(Taker(sender)));
    let working = tokio::spawn(async move { caught_async(&name, work).await });
    until_done(what, receiver, working)
}

fn until_done(
    what: String,
    receiver: mpsc::Receiver<RecordBatch>,
    working: JoinHandle<Result<()>>,
) -> BatchStream {
    stream::try_unfold((receiver, working), move |(mut receiver, mut working)| {
        let what = what.clone();
        async move {
            if let Some(rows) = receiver.recv().await {
                return Ok(Some((rows, (receiver, working))));
            }
            match (&mut working).await {
                Ok(done) => done.map(|()| None),
                Err(error) => Err(stopped(&what, error)),
            }
        }
    })
    .boxed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;
    use futures::TryStreamExt;

    use super::*;
    use crate::error::Error;

    fn rows(number: i32) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![number])) as _)]).unwrap()
    }

    /// How work may end after some rows.
    const ENDS: [(&str, Option<&str>); 3] = [
        ("done", None),
        ("error", Some("reading a.parquet stopped: the disk")),
        ("panic", Some("reading a.parquet stopped: index out of bounds")),
    ];

    fn end(how: &str) -> Result<()> {
        match how {
            "done" => Ok(()),
            "error" => Err(stopped("reading a.parquet", "the disk")),
            _ => panic!("index out of bounds"),
        }
    }

    async fn assert_end(how: &str, stream: BatchStream, given: usize, expected: Option<&str>) {
        let found: Vec<Result<RecordBatch>> = stream.collect().await;
        let errors: Vec<String> = found
            .iter()
            .filter_map(|rows| Some(rows.as_ref().err()?.to_string()))
            .collect();
        assert_eq!(errors, Vec::from_iter(expected), "{how}");
        assert_eq!(found.len() - errors.len(), given, "{how}");
    }

    #[tokio::test]
    async fn rows_end_only_when_the_work_has() {
        for given in [0, 1, 5] {
            for (how, expected) in ENDS {
                let thread = on_thread("reading a.parquet".to_owned(), move |taker| {
                    assert!((0..given).all(|n| taker.give_blocking(rows(n))));
                    end(how)
                });
                assert_end(how, thread, given as usize, expected).await;
                let task = on_task("reading a.parquet".to_owned(), move |taker| async move {
                    for n in 0..given {
                        assert!(taker.give(rows(n)).await);
                    }
                    end(how)
                });
                assert_end(how, task, given as usize, expected).await;
            }
        }
    }

    #[tokio::test]
    async fn cancelled_work_is_no_end() {
        let (sender, receiver) = mpsc::channel(1);
        let working = tokio::spawn(async move {
            let _ = sender.send(rows(1)).await;
            std::future::pending::<Result<()>>().await
        });
        let cancel = working.abort_handle();
        let mut stream = until_done("reading".to_owned(), receiver, working);
        assert_eq!(stream.try_next().await.unwrap(), Some(rows(1)));
        cancel.abort();
        let error = stream.try_next().await.unwrap_err();
        assert!(
            matches!(&error, Error::Stopped { what, .. } if what == "reading"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn work_hears_that_nobody_wants_the_rest() {
        let (told, heard) = tokio::sync::oneshot::channel();
        let stream = on_thread("reading".to_owned(), |taker| {
            while taker.give_blocking(rows(1)) {}
            let _ = told.send(());
            Ok(())
        });
        drop(stream);
        heard.await.unwrap();
    }
}
