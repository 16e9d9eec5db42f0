//! How the rows of a scan flow: how many threads decode, how far ahead, and how many bytes of rows are in memory.

use std::fs::File;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use gristmill_data::guard::{caught, stopped};
use gristmill_data::parquet_file::Footer;
use gristmill_data::table::TableVersion;

use crate::budget::{Budget, Held};
use crate::error::{Error, Result, broken_state, io};

/// Rows decoded at a time at most. The grains of passes are multiples of it.
const SCAN_ROWS: usize = 8192;
/// And at least, however wide they are.
const LEAST_SCAN_ROWS: usize = 16;
/// Threads that decode at most: so many keep up with any work, and each holds row groups of its own.
const MOST_DECODERS: usize = 4;
/// Batches that each of them is ahead.
const BATCHES_AHEAD: usize = 4;
/// Bytes of a column that is decoded: a page and a dictionary, compressed and not.
const COLUMN_BYTES: u64 = 300 << 10;
/// Files whose footers are looked at for the width of rows.
const LOOKED_AT: usize = 4;

/// Bytes that a scan of so many columns takes at most.
pub(crate) fn scan_bytes(budget: &Budget, columns: usize) -> u64 {
    budget.rows_in_flight() + (MOST_DECODERS * columns) as u64 * COLUMN_BYTES
}

/// The flow of one scan, and its part of the budget.
pub(super) struct Flow {
    decoders: usize,
    batch_rows: usize,
    /// Bytes of rows that are worked on together, besides those decoded ahead.
    pub(super) bytes: u64,
    _held: Held,
}

impl Flow {
    /// The flow of a scan within a budget. Where batches become `growth` times as large, fewer rows are decoded at a time.
    pub(super) fn new(
        table: &TableVersion,
        columns: &[String],
        threads: usize,
        budget: &Budget,
        growth: u64,
    ) -> Result<Self> {
        let rows = budget.rows_in_flight();
        let decoder = columns.len() as u64 * COLUMN_BYTES;
        // Decoders share a quarter of what is left at most; there is always one.
        let affordable = (budget.left() / 4).checked_div(decoder).unwrap_or(u64::MAX);
        let decoders = threads.clamp(1, MOST_DECODERS).min(affordable as usize).max(1);
        let what = format!("a scan of {} columns", columns.len());
        let held = budget.reserve(&what, rows + decoders as u64 * decoder)?;
        let batches = (decoders * (BATCHES_AHEAD + 2)) as u64;
        let batch = rows / 2 / batches / growth;
        let fit = batch / row_bytes(table, columns)?.max(1);
        Ok(Self {
            decoders,
            batch_rows: (fit as usize).clamp(LEAST_SCAN_ROWS, SCAN_ROWS),
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
        let shares = table.scan_shares(columns, self.batch_rows, self.decoders)?;
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
            taken += batch.get_array_memory_size() as u64;
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

/// Bytes of a decoded row of these columns, on average: exact for numbers and lists of them, for texts what their file holds.
fn row_bytes(table: &TableVersion, columns: &[String]) -> Result<u64> {
    let fields = columns
        .iter()
        .filter_map(|name| table.schema.field_with_name(name).ok());
    let (variable, fixed): (Vec<_>, Vec<_>) =
        fields.partition(|field| field.data_type().primitive_width().is_none());
    let fixed: u64 = fixed
        .iter()
        .filter_map(|field| field.data_type().primitive_width())
        .sum::<usize>() as u64;
    if variable.is_empty() {
        return Ok(fixed);
    }
    let (mut rows, mut bytes) = (0, 0);
    for file in table
        .files
        .iter()
        .step_by(table.files.len().div_ceil(LOOKED_AT).max(1))
    {
        let opened = File::open(&file.path).map_err(io(&file.path))?;
        let footer = Footer::read(&opened).map_err(|why| broken_state(&file.path, &why))?;
        for group in footer.metadata().row_groups() {
            rows += group.num_rows().max(0) as u64;
            for column in group.columns() {
                let name = &column.column_path().parts()[0];
                let Some(field) = variable.iter().find(|field| field.name() == name) else {
                    continue;
                };
                bytes += match field.data_type() {
                    DataType::List(item) => {
                        let width = item.data_type().primitive_width().unwrap_or(8) as u64;
                        column.num_values().max(0) as u64 * width + group.num_rows().max(0) as u64 * 4
                    }
                    _ => column.uncompressed_size().max(0) as u64 + group.num_rows().max(0) as u64 * 8,
                };
            }
        }
    }
    Ok(fixed + bytes.checked_div(rows).unwrap_or(0))
}
