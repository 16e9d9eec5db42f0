//! How the rows of a scan flow: how many threads decode, how far ahead, and how many bytes of rows are in memory.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use arrow::array::RecordBatch;
use gristmill_data::budget::value_bytes;
use gristmill_data::guard::{caught, stopped};
use gristmill_data::parquet_file::BatchLimit;
use gristmill_data::table::TableVersion;

use crate::budget::{Budget, Held};
use crate::error::{Error, Result};

/// Rows decoded at a time at most. The grains of passes are multiples of it.
const SCAN_ROWS: usize = 8192;
/// And bytes of them at least, whatever the budget.
const LEAST_SCAN_BYTES: u64 = 16 << 10;
/// Threads that decode at most: so many keep up with any work, and each holds row groups of its own.
const MOST_DECODERS: usize = 4;
/// Batches that each of them is ahead.
const BATCHES_AHEAD: usize = 4;
/// Bytes of a column that is decoded: a page and a dictionary, compressed and not.
const COLUMN_BYTES: u64 = 300 << 10;

/// Bytes that a scan of so many columns takes at most.
pub(crate) fn scan_bytes(budget: &Budget, columns: usize) -> u64 {
    budget.rows_in_flight() + (MOST_DECODERS * columns) as u64 * COLUMN_BYTES
}

/// The flow of one scan, and its part of the budget.
pub(super) struct Flow {
    decoders: usize,
    batch: BatchLimit,
    /// Bytes of rows that are worked on together, besides those decoded ahead.
    pub(super) bytes: u64,
    _held: Held,
}

impl Flow {
    /// The flow of a scan within a budget. Where batches become `growth` times as large, fewer rows are decoded at a time.
    pub(super) fn new(columns: &[String], threads: usize, budget: &Budget, growth: u64) -> Result<Self> {
        let rows = budget.rows_in_flight();
        let decoder = columns.len() as u64 * COLUMN_BYTES;
        // Decoders share a quarter of what is left at most; there is always one.
        let affordable = (budget.left() / 4).checked_div(decoder).unwrap_or(u64::MAX);
        let decoders = threads.clamp(1, MOST_DECODERS).min(affordable as usize).max(1);
        let what = format!("a scan of {} columns", columns.len());
        let held = budget.reserve(&what, rows + decoders as u64 * decoder)?;
        let batches = (decoders * (BATCHES_AHEAD + 2)) as u64;
        Ok(Self {
            decoders,
            batch: BatchLimit {
                rows: SCAN_ROWS,
                bytes: (rows / 2 / batches / growth).max(LEAST_SCAN_BYTES),
            },
            bytes: rows / 2,
            _held: held,
        })
    }

    /// Scans the table on threads of their own, a few batches ahead of `work`.
    pub(super) fn read<T>(
        &self,
        table: &TableVersion,
        columns: &[String],
        work: impl FnOnce(InOrder) -> Result<T>,
    ) -> Result<T> {
        let shares = table.scan_shares(columns, self.batch, self.decoders)?;
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
}

/// What a thread that decodes tells.
enum Decoded {
    Rows(RecordBatch),
    GroupEnd,
    /// It has no more row groups. A channel that closes without it is no end.
    End,
}

/// The batches of a table, whose row groups come from the shares in turn.
pub(super) struct InOrder {
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
                // The share whose turn it is when the last row group has ended has no row group left.
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

/// Rows of one grain that are worked on together.
pub(super) struct Piece {
    pub(super) batches: Vec<RecordBatch>,
    /// Whether the grain ends with them.
    pub(super) ended: bool,
}

/// Cuts a stream of batches into grains of exactly so many rows (the last may have fewer), wherever files and batches end,
/// and these into rounds of bounded bytes.
pub(super) struct Rounds<I> {
    batches: I,
    grain: usize,
    /// Rows of the grain that has begun.
    rows: usize,
    left: Option<RecordBatch>,
}

impl<I: Iterator<Item = Result<RecordBatch>>> Rounds<I> {
    pub(super) fn new(batches: I, grain: usize) -> Self {
        Self {
            batches,
            grain,
            rows: 0,
            left: None,
        }
    }

    /// The next pieces, of `grains` grains and some `bytes` at most: only the last may go on in the next round. Empty at the
    /// end of the table.
    pub(super) fn next(&mut self, grains: usize, bytes: u64) -> Result<Vec<Piece>> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut taken = 0;
        while taken < bytes && (pieces.len() < grains || pieces.last().is_some_and(|last| !last.ended)) {
            let Some(batch) = self.left.take().map(Ok).or_else(|| self.batches.next()) else {
                break;
            };
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let room = (self.grain - self.rows).min(batch.num_rows());
            if room < batch.num_rows() {
                self.left = Some(batch.slice(room, batch.num_rows() - room));
            }
            let batch = batch.slice(0, room);
            taken += value_bytes(&batch);
            if pieces.last().is_none_or(|last| last.ended) {
                pieces.push(Piece {
                    batches: Vec::new(),
                    ended: false,
                });
            }
            self.rows = (self.rows + room) % self.grain;
            if let Some(piece) = pieces.last_mut() {
                piece.batches.push(batch);
                piece.ended = self.rows == 0;
            }
        }
        Ok(pieces)
    }
}
