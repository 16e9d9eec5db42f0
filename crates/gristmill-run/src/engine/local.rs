//! The engine on this machine: decoding runs ahead of the work, and the work has one fixed order of reduction.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use arrow::array::RecordBatch;
use gristmill_data::guard::{caught, stopped};
use gristmill_data::table::{PartWriter, TableVersion};
use gristmill_learn::contract::pass::{Grain, Pass};
use gristmill_learn::contract::step::{LeftOut, Transformer};
use rayon::prelude::*;

use super::{Engine, FINGERPRINT, LEFT_OUT, Watch};
use crate::error::{Error, Result};

/// Rows decoded at a time. The grains of passes are multiples of it.
const SCAN_ROWS: usize = 8192;
/// Threads that decode at most: so many keep up with any work, and each holds row groups of its own.
const MOST_DECODERS: usize = 4;
/// Batches that each of them is ahead.
const BATCHES_AHEAD: usize = 4;
/// Rows in each part of a mapped table.
const PART_ROWS: usize = 1 << 20;

/// Runs passes on a pool of threads.
pub struct LocalEngine {
    pool: rayon::ThreadPool,
    cache: Mutex<Cache>,
}

/// The decoded rows of the table that is scanned again and again.
#[derive(Default)]
struct Cache {
    limit: u64,
    table: Option<(PathBuf, Vec<String>)>,
    batches: Vec<RecordBatch>,
    bytes: u64,
    complete: bool,
}

impl LocalEngine {
    /// An engine of so many threads, without a cache.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub fn new(threads: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("gristmill-{i}"))
            .build()
            .map_err(|e| Error::Threads {
                threads,
                why: e.to_string(),
            })?;
        Ok(Self {
            pool,
            cache: Mutex::default(),
        })
    }

    /// Runs `work` on the engine's threads.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// Lets the engine keep up to `bytes` of decoded rows between scans of one table. 0 keeps none.
    pub fn set_cache(&self, bytes: u64) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        *cache = Cache {
            limit: bytes,
            ..Cache::default()
        };
    }

    /// Bytes of decoded rows kept since the last [`LocalEngine::set_cache`]; 0 where they were too many.
    pub fn cached(&self) -> u64 {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    fn fold_whole(
        &self,
        table: &TableVersion,
        columns: Vec<String>,
        pass: &dyn Pass,
        watch: Watch<'_>,
    ) -> Result<RecordBatch> {
        let mut accumulator = self.pool.install(|| pass.start());
        let mut done = 0;
        let mut update = |batch: &RecordBatch| -> Result<()> {
            self.pool.install(|| accumulator.update(batch))?;
            done += batch.num_rows() as u64;
            going_on(watch(done))
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (table.dir.clone(), columns.clone());
        if cache.complete && cache.table.as_ref() == Some(&wanted) {
            cache.batches.iter().try_for_each(update)?;
        } else {
            cache.start(wanted);
            read_ahead(table, &columns, self.threads(), |mut batches| {
                batches.try_for_each(|batch| {
                    let batch = batch?;
                    update(&batch)?;
                    cache.keep(batch);
                    Ok(())
                })
            })?;
            cache.complete = cache.limit > 0;
        }
        drop(cache);
        Ok(accumulator.state()?)
    }

    fn fold_grains(
        &self,
        table: &TableVersion,
        columns: Vec<String>,
        pass: &dyn Pass,
        grain: usize,
        watch: Watch<'_>,
    ) -> Result<RecordBatch> {
        let mut total = pass.start();
        let mut done = 0;
        read_ahead(table, &columns, self.threads(), |batches| {
            let mut grains = Grains {
                batches,
                grain,
                left: VecDeque::new(),
            };
            loop {
                let group: Vec<Vec<RecordBatch>> =
                    grains.by_ref().take(self.threads()).collect::<Result<_>>()?;
                if group.is_empty() {
                    return Ok(());
                }
                let partial = |grain: &Vec<RecordBatch>| -> Result<RecordBatch> {
                    let mut accumulator = pass.start();
                    grain.iter().try_for_each(|b| accumulator.update(b))?;
                    Ok(accumulator.state()?)
                };
                let states: Vec<Result<RecordBatch>> =
                    self.pool.install(|| group.par_iter().map(partial).collect());
                for state in states {
                    total.merge(&state?)?;
                }
                done += group.iter().flatten().map(|b| b.num_rows() as u64).sum::<u64>();
                going_on(watch(done))?;
            }
        })?;
        Ok(total.state()?)
    }
}

impl Engine for LocalEngine {
    fn fold(&self, table: &TableVersion, pass: &dyn Pass, watch: Watch<'_>) -> Result<RecordBatch> {
        let columns = pass.columns(&table.schema)?;
        match pass.grain() {
            Grain::Whole => self.fold_whole(table, columns, pass, watch),
            Grain::Rows(rows) => self.fold_grains(table, columns, pass, rows, watch),
        }
    }

    fn map(
        &self,
        table: &TableVersion,
        step: &dyn Transformer,
        into: &Path,
        fingerprint: &str,
        watch: Watch<'_>,
    ) -> Result<(TableVersion, LeftOut)> {
        let columns = step.columns(&table.schema)?;
        let mut writer = PartWriter::create(into, step.output_schema(&table.schema)?, PART_ROWS)?;
        let mut left_out = LeftOut::default();
        read_ahead(table, &columns, self.threads(), |mut batches| {
            // Writing has a thread of its own, so that it overlaps with the next group's work.
            let (send, receive) = sync_channel::<RecordBatch>(2 * self.threads());
            thread::scope(|scope| {
                let write = || receive.into_iter().try_for_each(|batch| writer.write(&batch));
                let writing = scope.spawn(|| caught(write));
                let working = self.transform_groups(&mut batches, step, &send, &mut left_out, watch);
                drop(send);
                let written = writing
                    .join()
                    .unwrap_or_else(|_| Err("a panic".to_owned()))
                    .unwrap_or_else(|panic| Err(stopped("writing rows", panic)));
                // A failed write is why the sender then found nobody listening.
                written?;
                working
            })
        })?;
        let counts = serde_json::to_string(&left_out).map_err(|e| Error::State {
            path: into.display().to_string(),
            why: e.to_string(),
        })?;
        let metadata = vec![
            (FINGERPRINT.to_owned(), fingerprint.to_owned()),
            (LEFT_OUT.to_owned(), counts),
        ];
        Ok((writer.finish(metadata)?, left_out))
    }
}

impl LocalEngine {
    fn transform_groups(
        &self,
        batches: &mut InOrder,
        step: &dyn Transformer,
        send: &SyncSender<RecordBatch>,
        left_out: &mut LeftOut,
        watch: Watch<'_>,
    ) -> Result<()> {
        let mut done = 0;
        loop {
            let group: Vec<RecordBatch> = batches.by_ref().take(2 * self.threads()).collect::<Result<_>>()?;
            if group.is_empty() {
                return Ok(());
            }
            let transformed: Vec<_> = self
                .pool
                .install(|| group.par_iter().map(|batch| step.transform(batch)).collect());
            for one in transformed {
                let one = one?;
                *left_out += one.left_out;
                if send.send(one.rows).is_err() {
                    return Ok(());
                }
            }
            done += group.iter().map(|b| b.num_rows() as u64).sum::<u64>();
            going_on(watch(done))?;
        }
    }
}

impl Cache {
    fn start(&mut self, table: (PathBuf, Vec<String>)) {
        *self = Self {
            limit: self.limit,
            table: Some(table),
            ..Self::default()
        };
    }

    /// Keeps a batch, or forgets everything once it is too much.
    fn keep(&mut self, batch: RecordBatch) {
        if self.limit == 0 {
            return;
        }
        self.bytes += batch.get_array_memory_size() as u64;
        if self.bytes > self.limit {
            *self = Self::default();
        } else {
            self.batches.push(batch);
        }
    }
}

fn going_on(verdict: ControlFlow<()>) -> Result<()> {
    match verdict {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted),
    }
}

/// Scans the table on so many threads of their own, a few batches ahead of `work`.
fn read_ahead<T>(
    table: &TableVersion,
    columns: &[String],
    threads: usize,
    work: impl FnOnce(InOrder) -> Result<T>,
) -> Result<T> {
    let shares = table.scan_shares(columns, SCAN_ROWS, threads.clamp(1, MOST_DECODERS))?;
    thread::scope(|scope| {
        let mut receivers = Vec::with_capacity(shares.len());
        for share in shares {
            let (send, receive) = sync_channel(BATCHES_AHEAD);
            receivers.push(receive);
            scope.spawn(move || {
                let decode = || {
                    for rows in share {
                        let rows = rows.map(|rows| rows.map_or(Decoded::GroupEnd, Decoded::Rows));
                        let failed = rows.is_err();
                        // Nobody listens any more when the work has failed.
                        if send.send(rows.map_err(Error::from)).is_err() || failed {
                            return;
                        }
                    }
                    let _ = send.send(Ok(Decoded::End));
                };
                if let Err(panic) = caught(decode) {
                    let _ = send.send(Err(stopped("decoding rows", panic).into()));
                }
            });
        }
        work(InOrder {
            shares: receivers,
            turn: 0,
            ended: false,
        })
    })
}

/// What a thread that decodes tells.
enum Decoded {
    Rows(RecordBatch),
    GroupEnd,
    /// It has no more row groups. A channel that closes without it is no end.
    End,
}

/// The batches of a table, whose row groups come from the shares in turn.
struct InOrder {
    shares: Vec<Receiver<Result<Decoded>>>,
    turn: usize,
    ended: bool,
}

impl Iterator for InOrder {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.shares[self.turn].recv() {
                Ok(Ok(Decoded::Rows(batch))) => return Some(Ok(batch)),
                Ok(Ok(Decoded::GroupEnd)) => self.turn = (self.turn + 1) % self.shares.len(),
                // The share whose turn it is when the last row group has ended, has none.
                Ok(Ok(Decoded::End)) => self.ended = true,
                Ok(Err(error)) => return Some(Err(error)),
                Err(_) => {
                    let error = stopped("decoding rows", "its thread ended before they did");
                    return Some(Err(error.into()));
                }
            }
        }
        None
    }
}

/// Cuts the stream of batches into runs of exactly `grain` rows (the last may have fewer), wherever files and batches end.
struct Grains<I> {
    batches: I,
    grain: usize,
    left: VecDeque<RecordBatch>,
}

impl<I: Iterator<Item = Result<RecordBatch>>> Iterator for Grains<I> {
    type Item = Result<Vec<RecordBatch>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rows = 0;
        let mut taken = Vec::new();
        while rows < self.grain {
            let batch = match self.left.pop_front().map(Ok).or_else(|| self.batches.next()) {
                Some(Ok(batch)) => batch,
                Some(Err(e)) => return Some(Err(e)),
                None => break,
            };
            let room = self.grain - rows;
            if batch.num_rows() > room {
                self.left.push_front(batch.slice(room, batch.num_rows() - room));
                taken.push(batch.slice(0, room));
                rows += room;
            } else {
                rows += batch.num_rows();
                taken.push(batch);
            }
        }
        (!taken.is_empty()).then_some(Ok(taken))
    }
}
