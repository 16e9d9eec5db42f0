//! The query that is read for a prediction: key range after key range, on one snapshot.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use gristmill_data::key::{Bounds, KeyRange};
use gristmill_data::pull::Planner;
use gristmill_data::settings::SourceSettings;
use gristmill_data::source::Source;
use gristmill_data::source::open::{connect, own_key};
use gristmill_data::table::{delta_schema, to_delta};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::event::{Event, Observe, Warning};
use crate::stopping::{GOODBYE, unless_stopped};

/// Record batches that may wait to be predicted.
const BATCHES_AHEAD: usize = 4;

/// What comes of a query.
pub(super) enum Piece {
    /// Rows, in the order of the key.
    Rows(RecordBatch),
    /// A range ends: its keys, from which a later process can go on.
    End(String),
}

/// A query that is read.
pub(super) struct QueryInput {
    /// Its columns, in the types of a dataset.
    pub(super) schema: SchemaRef,
    /// Rows that are expected, where the database says.
    pub(super) expected: Option<u64>,
    /// The tables that it reads, as the source names them.
    pub(super) tables: Vec<String>,
    batch_rows: u64,
    runtime: Option<Runtime>,
    source: Option<Box<dyn Source>>,
    reading: Option<(Receiver<Piece>, JoinHandle<Result<()>>)>,
}

impl QueryInput {
    /// Connects, and prepares the query.
    pub(super) fn open(mut settings: SourceSettings, batch_rows: u64, observe: &dyn Observe) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|e| Error::Threads {
            threads: 2,
            why: e.to_string(),
        })?;
        let opening = async {
            if settings.key.is_empty() {
                settings.key = own_key(&settings).await?;
            }
            let source = connect(&settings).await?;
            for notice in source.notices() {
                observe.event(Event::Warning(Warning::Noticed(notice)));
            }
            let expected = source.estimate().await?.rows;
            let access = source.key_access(batch_rows).await?;
            if let Some(warning) = Warning::of_key(&access, expected, batch_rows) {
                observe.event(Event::Warning(warning));
            }
            Ok((delta_schema(&source.schema())?, expected, source))
        };
        let opened = runtime.block_on(unless_stopped(observe, opening));
        match opened {
            Ok((schema, expected, source)) => Ok(Self {
                tables: source.tables(),
                schema,
                expected,
                batch_rows,
                runtime: Some(runtime),
                source: Some(source),
                reading: None,
            }),
            Err(error) => {
                runtime.shutdown_timeout(GOODBYE);
                Err(error)
            }
        }
    }

    /// Begins to read, after the range that an earlier process ended with as number `next - 1`.
    pub(super) fn start(&mut self, after: Option<&str>, next: u64) -> Result<()> {
        let after: Option<Bounds> =
            after
                .map(serde_json::from_str)
                .transpose()
                .map_err(|error| Error::File {
                    path: "the table of progress".to_owned(),
                    why: format!("it does not say where to go on: {error}"),
                })?;
        let (Some(runtime), Some(source)) = (&self.runtime, self.source.take()) else {
            return Ok(());
        };
        if after.is_some() && !source.resumes() {
            return Err(Error::File {
                path: source.describe(),
                why: "an earlier process predicted some rows of this query, and asked again, the database may choose others, as \
                      it has LIMIT, a window function or the like; predict anew with --fresh and --if-exists replace"
                    .to_owned(),
            });
        }
        let planner = Planner::new(self.batch_rows, after, next);
        let (sender, receiver) = channel(BATCHES_AHEAD);
        let schema = self.schema.clone();
        let reading = runtime.spawn(async move {
            let mut planner = planner;
            while let Some(KeyRange { bounds, number }) = planner.next(source.as_ref()).await? {
                let range = KeyRange { bounds, number };
                let mut rows = source.read(&range).await?;
                while let Some(rows) = rows.try_next().await? {
                    let rows = to_delta(&rows, &schema)?;
                    if sender.send(Piece::Rows(rows)).await.is_err() {
                        return Ok(());
                    }
                }
                drop(rows);
                let bounds = serde_json::to_string(&range.bounds).unwrap_or_default();
                if sender.send(Piece::End(bounds)).await.is_err() {
                    return Ok(());
                }
            }
            Ok(())
        });
        self.reading = Some((receiver, reading));
        Ok(())
    }

    /// The next piece; `None` after the last.
    pub(super) fn next(&mut self, observe: &dyn Observe) -> Result<Option<Piece>> {
        let (Some(runtime), Some((receiver, reading))) = (&self.runtime, &mut self.reading) else {
            return Ok(None);
        };
        runtime.block_on(unless_stopped(observe, async {
            if let Some(piece) = receiver.recv().await {
                return Ok(Some(piece));
            }
            match reading.await {
                Ok(done) => done.map(|()| None),
                Err(error) => Err(gristmill_data::guard::stopped("reading the query", error).into()),
            }
        }))
    }
}

impl Drop for QueryInput {
    fn drop(&mut self) {
        self.reading = None;
        self.source = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(GOODBYE);
        }
    }
}
