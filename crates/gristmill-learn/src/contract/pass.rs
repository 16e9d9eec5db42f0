//! A pass: one fold over rows, as start / update / merge / state.
//!
//! DataFusion's `Accumulator`, tantivy's `Collector` and Spark's `DifferentiableLossAggregator` share this contract.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::error::Result;

/// A fold over the rows of a table: says what it reads and starts accumulators.
pub trait Pass: Send + Sync {
    /// The columns it reads, checked against the schema: a missing column or a wrong type fails here, before the scan.
    fn columns(&self, schema: &Schema) -> Result<Vec<String>>;

    /// A fresh accumulator.
    fn start(&self) -> Box<dyn Accumulate>;

    /// How an engine may cut the rows.
    fn grain(&self) -> Grain {
        Grain::Rows(Grain::DEFAULT_ROWS)
    }
}

/// How the rows of a pass may be cut, so that the result has one fixed order of reduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Rows `0..n`, `n..2n`, … of the canonical order each get their own accumulator (on any thread);
    /// their states are merged in that order.
    Rows(usize),
    /// One accumulator sees every row in canonical order, and uses threads inside `update`.
    Whole,
}

impl Grain {
    /// Rows per accumulator where a pass does not say otherwise. Changing it changes the last bits of every float sum.
    pub const DEFAULT_ROWS: usize = 65_536;
}

/// The running state of a pass.
///
/// # Contract
/// - `update` is insensitive to how the same rows are cut into batches.
/// - `merge` is associative; the order of merging is the order of the rows.
/// - The state of a fresh accumulator is the neutral element of `merge`.
pub trait Accumulate: Send {
    /// Takes in rows; `batch` has at least the columns that [`Pass::columns`] named.
    fn update(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Takes in the state of another accumulator of the same pass, whose rows come after those of this one.
    fn merge(&mut self, state: &RecordBatch) -> Result<()>;

    /// The state so far. It can be spilled, sent, checkpointed or looked at.
    fn state(&mut self) -> Result<RecordBatch>;

    /// Bytes held, within a fifth: an engine asks after each batch, and refuses what its memory budget cannot hold.
    fn size(&self) -> usize;

    /// Bytes held at most while it grows to take in a state like its own, and while it gives its state.
    fn peak(&self) -> usize {
        // A map that grows holds its old table and one twice as large.
        3 * self.size()
    }

    /// What holds most of it, as a refusal names it, and how to have less of it.
    fn largest(&self) -> Share {
        Share {
            bytes: self.size(),
            what: "the sums over the rows".to_owned(),
            way_out: "have fewer features".to_owned(),
        }
    }
}

/// A part of an accumulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Bytes that it holds.
    pub bytes: usize,
    /// What it is, e.g. `the 1200000 categories of column \`name\` so far`.
    pub what: String,
    /// What makes it smaller, e.g. `leave the column out`.
    pub way_out: String,
}
