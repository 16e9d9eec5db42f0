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

    /// Bytes held, near enough for a memory budget.
    fn size(&self) -> usize;
}
