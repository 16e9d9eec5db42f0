//! The engine on this machine: decoding runs ahead of the work, and the work has one fixed order of reduction.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use arrow::array::RecordBatch;
use gristmill_data::budget::value_bytes;
use gristmill_data::guard::{caught, stopped};
use gristmill_data::table::{PartWriter, TableVersion};
use gristmill_learn::contract::pass::{Accumulate, Grain, Pass};
use gristmill_learn::contract::step::{LeftOut, Transformer};
use rayon::prelude::*;

use super::flow::{Flow, InOrder, Piece, Rounds};
use super::kept::Kept;
use super::{Engine, FINGERPRINT, LEFT_OUT, MOST_GROWTH, Watch};
use crate::budget::{Budget, Held};
use crate::error::{Error, Result};

/// Rows in each part of a mapped table.
const PART_ROWS: usize = 1 << 20;
/// Bytes of a part that is written: a row group of 16 MiB, and its columns as they are encoded.
const WRITER_BYTES: u64 = 24 << 20;
/// What is transformed is held so often: feature by feature, put together, and on its way to the file.
const TRANSFORMED_TIMES: u64 = 3;

/// Runs passes on a pool of threads, within a budget.
pub struct LocalEngine {
    pool: rayon::ThreadPool,
    kept: Kept,
    budget: Budget,
}

impl LocalEngine {
    /// An engine of so many threads, which keeps no rows.
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
            kept: Kept::default(),
            budget: Budget::unlimited(),
        })
    }

    /// The same engine, whose scans live on what is left of this budget: they are refused, not killed, where that is too
    /// little, and their results do not depend on it.
    pub fn within(self, budget: &Budget) -> Self {
        Self {
            budget: budget.clone(),
            ..self
        }
    }

    /// The threads that it works on.
    pub fn pool(&self) -> &rayon::ThreadPool {
        &self.pool
    }

    fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Gives the rows of some columns to `work`, from memory where they are kept, and how many bytes of them may be worked on
    /// together.
    fn scan<T>(
        &self,
        table: &TableVersion,
        columns: Vec<String>,
        work: impl FnOnce(&mut dyn Iterator<Item = Result<RecordBatch>>, u64) -> Result<T>,
    ) -> Result<T> {
        if let Some(rows) = self.kept.rows(table, &columns) {
            let mut batches = rows.batches.iter().cloned().map(Ok);
            return work(&mut batches, self.budget.rows_in_flight() / 2);
        }
        let flow = Flow::new(&columns, self.threads(), &self.budget, 1)?;
        let mut keeping = self.kept.collect(table);
        let worked = flow.read(table, &columns, |batches| {
            let mut batches = batches.inspect(|batch| {
                if let Ok(batch) = batch {
                    keeping.take(batch);
                }
            });
            work(&mut batches, flow.bytes)
        })?;
        self.kept.put(table, columns, keeping);
        Ok(worked)
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
        self.scan(table, columns, |batches, _| {
            for batch in batches {
                let batch = batch?;
                self.pool.install(|| accumulator.update(&batch))?;
                done += batch.num_rows() as u64;
                going_on(watch(done))?;
            }
            Ok(())
        })?;
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
        let mut held = self.budget.reserve("what is learnt", 0)?;
        let mut total = pass.start();
        let mut done = 0;
        self.scan(table, columns, |batches, bytes| {
            let mut rounds = Rounds::new(batches, grain);
            // The grain that goes on from round to round, and the bytes of the largest so far.
            let mut open: Option<Box<dyn Accumulate>> = None;
            let mut each = total.peak() as u64;
            loop {
                let grains = self.grains_at_once(&mut held, total.as_ref(), open.as_deref(), each)?;
                let round = rounds.next(grains, bytes)?;
                if round.is_empty() {
                    break;
                }
                let mut rows = 0;
                let work: Vec<(Box<dyn Accumulate>, Piece)> = round
                    .into_iter()
                    .map(|piece| {
                        rows += piece.batches.iter().map(|b| b.num_rows() as u64).sum::<u64>();
                        (open.take().unwrap_or_else(|| pass.start()), piece)
                    })
                    .collect();
                let worked: Vec<Result<Worked>> = self.pool.install(|| {
                    work.into_par_iter()
                        .map(|(grain, piece)| worked(grain, piece))
                        .collect()
                });
                for worked in worked {
                    let worked = worked?;
                    each = each.max(worked.bytes);
                    match worked.grain {
                        Grained::Ended(state) => total.merge(&state)?,
                        Grained::Open(accumulator) => open = Some(accumulator),
                    }
                }
                done += rows;
                going_on(watch(done))?;
            }
            if let Some(mut last) = open {
                total.merge(&last.state()?)?;
            }
            Ok(())
        })?;
        Ok(total.state()?)
    }

    /// How many grains may be worked on at once, so that they and the total fit into the budget.
    ///
    /// # Errors
    /// `Memory`, with the part that is largest, when not even one more does.
    fn grains_at_once(
        &self,
        held: &mut Held,
        total: &dyn Accumulate,
        open: Option<&dyn Accumulate>,
        each: u64,
    ) -> Result<usize> {
        let learnt = total.peak() as u64;
        let grain = each.max(open.map_or(0, |open| open.peak() as u64));
        if let Err(error) = held.resize("what is learnt", learnt + grain) {
            let mut largest = total.largest();
            if let Some(open) = open.map(Accumulate::largest)
                && open.bytes > largest.bytes
            {
                largest = open;
            }
            return Err(match error {
                Error::Memory(mut shortage) => {
                    if let Some(part) = shortage.parts.last_mut() {
                        part.what = format!("what is learnt, most of it {}", largest.what);
                    }
                    shortage.ways = vec![largest.way_out];
                    Error::Memory(shortage)
                }
                other => other,
            });
        }
        let more = self.budget.left().checked_div(grain).unwrap_or(u64::MAX) as usize;
        let grains = more.saturating_add(1).min(self.threads());
        held.resize("what is learnt", learnt + grains as u64 * grain)?;
        Ok(grains)
    }
}

/// What became of a piece of a grain.
struct Worked {
    grain: Grained,
    /// That its accumulator holds at most.
    bytes: u64,
}

enum Grained {
    /// Its state.
    Ended(RecordBatch),
    /// It goes on in the next round.
    Open(Box<dyn Accumulate>),
}

fn worked(mut accumulator: Box<dyn Accumulate>, piece: Piece) -> Result<Worked> {
    piece.batches.iter().try_for_each(|b| accumulator.update(b))?;
    let bytes = accumulator.peak() as u64;
    let grain = if piece.ended {
        Grained::Ended(accumulator.state()?)
    } else {
        Grained::Open(accumulator)
    };
    Ok(Worked { grain, bytes })
}

impl Engine for LocalEngine {
    fn fold(&self, table: &TableVersion, pass: &dyn Pass, watch: Watch<'_>) -> Result<RecordBatch> {
        let columns = pass.columns(&table.schema)?;
        match pass.grain() {
            Grain::Rows(rows) => self.fold_grains(table, columns, pass, rows, watch),
            // Passes share their results out among the threads themselves, where all of them find the same rows in the processor's caches.
            Grain::Results(_) | Grain::Ordered => self.fold_whole(table, columns, pass, watch),
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
        let flow = Flow::new(&columns, self.threads(), &self.budget, MOST_GROWTH / 10)?;
        let _writing = self.budget.reserve("the file that is written", WRITER_BYTES)?;
        let mut writer = PartWriter::create(into, step.output_schema(&table.schema)?, PART_ROWS)?;
        let mut left_out = LeftOut::default();
        flow.read(table, &columns, |mut batches| {
            // Writing has a thread of its own, so that it overlaps with the next group's work.
            let (send, receive) = sync_channel::<RecordBatch>(2 * self.threads());
            thread::scope(|scope| {
                let write = || receive.into_iter().try_for_each(|batch| writer.write(&batch));
                let writing = scope.spawn(|| caught(write));
                let working =
                    self.transform_groups(&mut batches, flow.bytes, step, &send, &mut left_out, watch);
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

    fn keep(&self, table: &TableVersion, bytes: u64) {
        self.kept.wanted(table, bytes);
    }
}

impl LocalEngine {
    fn transform_groups(
        &self,
        batches: &mut InOrder,
        bytes: u64,
        step: &dyn Transformer,
        send: &SyncSender<RecordBatch>,
        left_out: &mut LeftOut,
        watch: Watch<'_>,
    ) -> Result<()> {
        let (mut done, mut growth) = (0, MOST_GROWTH);
        loop {
            let mut group: Vec<RecordBatch> = Vec::new();
            let mut taken = 0;
            while group.len() < 2 * self.threads() && taken * growth < bytes {
                let Some(batch) = batches.next().transpose()? else {
                    break;
                };
                taken += value_bytes(&batch);
                group.push(batch);
            }
            if group.is_empty() {
                return Ok(());
            }
            let transformed: Vec<_> = self
                .pool
                .install(|| group.par_iter().map(|batch| step.transform(batch)).collect());
            let mut made = 0;
            for one in transformed {
                let one = one?;
                made += one.rows.get_array_memory_size() as u64;
                *left_out += one.left_out;
                if send.send(one.rows).is_err() {
                    return Ok(());
                }
            }
            growth = 1 + TRANSFORMED_TIMES * made / taken.max(1);
            done += group.iter().map(|b| b.num_rows() as u64).sum::<u64>();
            going_on(watch(done))?;
        }
    }
}

fn going_on(verdict: ControlFlow<()>) -> Result<()> {
    match verdict {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted),
    }
}
