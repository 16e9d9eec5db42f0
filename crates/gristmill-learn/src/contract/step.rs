//! Steps: fitted things that map batches to batches, and the serialisable spec each can be rebuilt from.

use std::ops::AddAssign;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

pub use crate::contract::spec::StepSpec;
use crate::error::Result;

/// Maps a batch to a batch. A fitted model is one too.
pub trait Transformer: Send + Sync {
    /// The columns it reads, checked against the schema before any row is.
    fn columns(&self, schema: &Schema) -> Result<Vec<String>>;

    /// The schema of what [`Transformer::transform`] returns.
    fn output_schema(&self, input: &Schema) -> Result<SchemaRef>;

    /// Transforms the rows. It may leave rows out, and counts them; it never reorders them.
    fn transform(&self, batch: &RecordBatch) -> Result<Transformed>;

    /// What it can be rebuilt from in another process, by the name of its kind.
    fn spec(&self) -> StepSpec;
}

/// What became of a batch.
#[derive(Debug, Clone)]
pub struct Transformed {
    /// The transformed rows.
    pub rows: RecordBatch,
    /// The rows that are not among them.
    pub left_out: LeftOut,
}

/// Rows left out, by the first reason that held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeftOut {
    /// Rows with no label.
    pub null_label: u64,
    /// Rows of a class with too few training rows.
    pub rare_label: u64,
    /// Rows with an unseen category where `unseen = "skip"`.
    pub unseen: u64,
}

impl AddAssign for LeftOut {
    fn add_assign(&mut self, other: Self) {
        self.null_label += other.null_label;
        self.rare_label += other.rare_label;
        self.unseen += other.unseen;
    }
}

/// The rows of one encoded feature, in compressed sparse row form.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SparseBlock {
    /// Row `r` holds entries `offsets[r]..offsets[r + 1]`; one longer than the rows, and starts with 0.
    pub offsets: Vec<u32>,
    /// Column of each entry: ascending within a row, below the encoder's width, each at most once a row.
    pub indices: Vec<u32>,
    /// Value of each entry, finite and not zero.
    pub values: Vec<f32>,
    /// Rows to leave out (`unseen = "skip"`); empty when there are none, else one flag a row.
    pub skip: Vec<bool>,
}

impl SparseBlock {
    /// An empty block with room for `rows` rows.
    pub fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            indices: Vec::new(),
            values: Vec::new(),
            skip: Vec::new(),
        }
    }

    /// Adds an entry to the row being written.
    pub fn push(&mut self, index: u32, value: f32) {
        self.indices.push(index);
        self.values.push(value);
    }

    /// Ends the row being written.
    pub fn end_row(&mut self) {
        self.offsets.push(self.indices.len() as u32);
    }

    /// The number of ended rows.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The entries of row `row`.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        (&self.indices[range.clone()], &self.values[range])
    }
}
