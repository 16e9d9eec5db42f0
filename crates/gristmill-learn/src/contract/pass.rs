//! A pass: one fold over rows, as start / update / merge / state.
//!
//! DataFusion's `Accumulator`, tantivy's `Collector` and Spark's `DifferentiableLossAggregator` share this contract.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;

use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};

/// A fold over the rows of a table: says what it reads and starts accumulators.
pub trait Pass: Send + Sync {
    /// The columns it reads, checked against the schema: a missing column or a wrong type fails here, before the scan.
    fn columns(&self, schema: &Schema) -> Result<Vec<String>>;

    /// A fresh accumulator.
    fn start(&self) -> Box<dyn Accumulate>;

    /// How an engine may divide the work.
    fn grain(&self) -> Grain {
        Grain::Rows(Grain::DEFAULT_ROWS)
    }

    /// The pass that gives part `index < n` of the results, where [`Pass::grain`] is [`Grain::Results`] of `n`. It sees every
    /// row, and may be divided further.
    ///
    /// # Errors
    /// `State` when there is no such part.
    fn part(&self, index: usize) -> Result<Box<dyn Pass>> {
        Err(Error::no_part("a pass", index))
    }

    /// The state of the whole pass, from the states of all its parts in their order: by default their rows one after the other.
    ///
    /// # Errors
    /// When they are no states of such parts.
    fn join(&self, states: Vec<RecordBatch>) -> Result<RecordBatch> {
        match states.first() {
            Some(first) => Ok(concat_batches(&first.schema(), &states)?),
            None => Err(Error::State {
                pass: "a pass",
                why: "it has no parts".to_owned(),
            }),
        }
    }

    /// What [`pass_from_spec`](crate::passes::pass_from_spec) rebuilds the pass from, in another process.
    fn spec(&self) -> StepSpec;
}

/// How the work of a pass may be divided. Each gives the same state, to the last bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Rows may be cut: rows `0..n`, `n..2n`, … of the canonical order each get their own accumulator, anywhere; their states
    /// are merged in that order.
    Rows(usize),
    /// Results may be shared out: each of so many parts ([`Pass::part`]) sees every row and gives results of its own, and
    /// [`Pass::join`] puts them together. One accumulator of the pass itself, which sees every row, gives all of them too.
    Results(usize),
    /// Nothing may be divided: one accumulator sees every row in canonical order. It may use threads inside `update`.
    Ordered,
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

/// The columns of all states side by side, numbered anew: what [`Pass::join`] is where each part's state is a column or more.
pub(crate) fn side_by_side(states: Vec<RecordBatch>) -> Result<RecordBatch> {
    let columns = states.into_iter().flat_map(|state| state.into_parts().1);
    let numbered = columns
        .enumerate()
        .map(|(number, column): (usize, ArrayRef)| (number.to_string(), column));
    Ok(RecordBatch::try_from_iter(numbered)?)
}
