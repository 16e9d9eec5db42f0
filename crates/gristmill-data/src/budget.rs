//! The memory that rows on their way into a dataset may take, shared out from the budget of the process.

use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

use crate::error::{Error, Result};

/// What each reader needs beside the row group that is written: ten record batches of the usual size on their way from the
/// source to the file, and as much again for what is held.
const READER: u64 = 16 << 20;

/// Times that a value may be there at once on its way: in the driver, in a record batch (whose buffer doubles as it grows),
/// cleaned, ordered, hashed, in a page, in the compressed page, in the statistics.
const VALUE_COPIES: u64 = 16;

/// The budget of a pull. Changes nothing about the rows of the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowBudget {
    /// Where the budget is set.
    setting: &'static str,
    /// Bytes that are not for rows.
    process: u64,
    free: u64,
    readers: usize,
    connections: usize,
    /// Bytes of the largest value that is taken in. Every value is compared with it.
    largest_value: u64,
}

/// How many rows with equal keys are held in memory.
#[derive(Debug, Clone)]
pub struct Held {
    /// Their bytes.
    pub bytes: u64,
    /// The folder for a temporary file with those that are more.
    pub folder: PathBuf,
}

impl RowBudget {
    /// Shares out a budget, in bytes, of which the process itself takes a part, for so many connections at most.
    pub fn new(setting: &'static str, memory: u64, process: u64, connections: usize) -> Self {
        let free = memory.saturating_sub(process).max(memory / 4);
        let readers = usize::try_from(free / (READER + row_group(free))).unwrap_or(usize::MAX);
        let connections = connections.max(1);
        let readers = readers.clamp(1, connections);
        Self {
            setting,
            process,
            free,
            readers,
            connections,
            largest_value: free / readers as u64 / VALUE_COPIES,
        }
    }

    /// More than any rows take.
    pub fn ample() -> Self {
        Self::new("run.memory", 1 << 40, 0, 64)
    }

    /// Connections whose batches fit into it together.
    pub fn readers(self) -> usize {
        self.readers
    }

    /// Bytes that a row group may have before it is written.
    pub fn row_group(self) -> usize {
        row_group(self.free) as usize
    }

    /// Bytes that a row group may have that is put together of others, when no rows are read any more.
    pub(crate) fn merged_row_group(self) -> usize {
        (self.free / 8).clamp(4 << 20, 32 << 20) as usize
    }

    /// Bytes of rows of one key that are held and sorted in memory; they are there once more meanwhile, encoded.
    fn held(self) -> u64 {
        (self.share().saturating_sub(row_group(self.free) + READER * 5 / 8) / 3).max(1 << 20)
    }

    /// The rows of one key that are held in memory, the others in this folder.
    pub(crate) fn held_in(self, folder: &Path) -> Held {
        Held {
            bytes: self.held(),
            folder: folder.to_owned(),
        }
    }

    /// Bytes of the largest value that is taken in.
    pub(crate) fn largest_value(self) -> u64 {
        self.largest_value
    }

    /// Why a value of so many bytes is not taken in, and the way out; `None` where it is.
    pub(crate) fn refused(self, bytes: usize) -> Option<String> {
        let (bytes, most) = (bytes as u64, self.largest_value);
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        (bytes > most).then(|| {
            // A part of what the process takes grows with the budget, and so may the number of readers.
            let needed = (self.process + bytes * VALUE_COPIES * self.connections as u64) * 11 / 10;
            let (beside, fewer) = match self.connections {
                1 => (String::new(), ""),
                connections => (format!(" and batches.connections = {connections}"), "use fewer connections, "),
            };
            format!(
                "the value has {}, and with the copies made of it {}{beside} leaves room for {}; set {} to {} MB, {fewer}or \
                 shorten the value",
                megabytes(bytes),
                self.setting,
                megabytes(most),
                self.setting,
                needed.div_ceil(1_000_000),
            )
        })
    }

    /// Refuses rows with a value that is too large, when they have been read; `named` tells which row it is.
    pub fn check(self, rows: &RecordBatch, named: impl Fn(usize) -> String) -> Result<()> {
        // The rows together are hardly ever as large.
        if value_bytes(rows) <= self.largest_value {
            return Ok(());
        }
        for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
            let lengths: Box<dyn Iterator<Item = usize>> = match column.data_type() {
                DataType::Utf8 => texts(column.as_string::<i32>().iter()),
                DataType::LargeUtf8 => texts(column.as_string::<i64>().iter()),
                DataType::Utf8View => texts(column.as_string_view().iter()),
                DataType::Binary => {
                    Box::new(column.as_binary::<i32>().iter().map(|v| v.map_or(0, <[u8]>::len)))
                }
                _ => continue,
            };
            let refused = lengths
                .enumerate()
                .find_map(|(row, bytes)| Some((row, self.refused(bytes)?)));
            if let Some((row, why)) = refused {
                return Err(Error::Value {
                    column: field.name().clone(),
                    row: named(row),
                    why,
                });
            }
        }
        Ok(())
    }

    /// Bytes that sorting and grouping may take in the query of files, before all readers but one begin.
    pub fn sorting(self) -> u64 {
        (self.free / 3).clamp(16 << 20, 128 << 20)
    }

    fn share(self) -> u64 {
        self.free / self.readers as u64
    }
}

/// The same for any number of connections, as then are the files.
fn row_group(free: u64) -> u64 {
    (free / 64).clamp(4 << 20, 64 << 20)
}

fn texts<'a>(texts: impl Iterator<Item = Option<&'a str>> + 'a) -> Box<dyn Iterator<Item = usize> + 'a> {
    Box::new(texts.map(|text| text.map_or(0, str::len)))
}

/// The bytes that the values of rows take.
pub fn value_bytes(rows: &RecordBatch) -> u64 {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
    rows.columns().iter().map(bytes).sum::<usize>() as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PROCESS: u64 = 84_000_000;

    #[test]
    fn what_the_readers_hold_fits_into_the_budget() {
        for memory in [
            128_000_000_u64,
            256_000_000,
            512_000_000,
            2_000_000_000,
            64_000_000_000,
        ] {
            for connections in [1, 2, 8, 64] {
                let budget = RowBudget::new("run.memory", memory, PROCESS, connections);
                assert!((1..=connections).contains(&budget.readers()));
                let reader = budget.row_group() as u64 + 3 * budget.held() + READER * 5 / 8;
                let all = PROCESS + budget.readers() as u64 * reader;
                assert!(all <= memory, "{memory} {connections}: {all}");
            }
        }
    }

    #[test]
    fn the_budget_that_a_refusal_names_holds_the_value() {
        for memory in [128_000_000_u64, 256_000_000, 2_000_000_000] {
            for connections in [1, 2, 16, 64] {
                for bytes in [3_000_000, 40_000_000, 900_000_000] {
                    let process = |memory| PROCESS + memory / 20;
                    let budget = RowBudget::new("run.memory", memory, process(memory), connections);
                    let Some(why) = budget.refused(bytes) else {
                        continue;
                    };
                    let named = why.split_once("set run.memory to ").unwrap().1;
                    let megabytes: u64 = named.split_once(" MB").unwrap().0.parse().unwrap();
                    let raised = megabytes * 1_000_000;
                    assert!(raised > memory, "{why}");
                    let budget = RowBudget::new("run.memory", raised, process(raised), connections);
                    assert_eq!(budget.refused(bytes), None, "{why}");
                }
            }
        }
    }
}
