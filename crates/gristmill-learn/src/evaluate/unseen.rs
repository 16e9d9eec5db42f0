//! How many validation rows have nothing in a feature that the training rows had: what is to be expected of new rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contract::pass::{Accumulate, Pass};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::rows::Split;
use crate::rows::features::{Rows, check_features};
use crate::statistics::state_column;

/// The kind of its spec.
pub(crate) const KIND: &str = "unseen";

/// Counts the validation rows, and for each of some ranges of sparse columns those that have none of the columns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnseenPass {
    ranges: Vec<Range<u32>>,
}

impl UnseenPass {
    /// Of these ranges.
    pub fn new(ranges: Vec<Range<u32>>) -> Self {
        Self { ranges }
    }

    /// Of the final state: the share of the validation rows for each range; `None` where there are none.
    ///
    /// # Errors
    /// `State` when it is not of this pass.
    pub fn shares(&self, state: &RecordBatch) -> Result<Option<Vec<f64>>> {
        let (rows, unseen) = read(state, self.ranges.len())?;
        let shares = unseen.iter().map(|unseen| *unseen as f64 / rows as f64);
        Ok((rows > 0).then(|| shares.collect()))
    }
}

fn read(state: &RecordBatch, ranges: usize) -> Result<(u64, Vec<u64>)> {
    let counts: &UInt64Array = state_column(state, "rows", KIND)?;
    match counts.values().split_first() {
        Some((rows, unseen)) if unseen.len() == ranges => Ok((*rows, unseen.to_vec())),
        _ => Err(Error::State {
            pass: KIND,
            why: format!("it has {} numbers for {ranges} ranges", counts.values().len()),
        }),
    }
}

impl Pass for UnseenPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        check_features(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            unseen: vec![0; self.ranges.len()],
            ranges: self.ranges.clone(),
            rows: 0,
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self))
    }
}

struct Accumulator {
    ranges: Vec<Range<u32>>,
    rows: u64,
    unseen: Vec<u64>,
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::without_labels(batch)?;
        for row in (0..rows.len()).filter(|row| Split::Validation.is(rows.split[*row])) {
            self.rows += 1;
            let (indices, _) = rows.row(row);
            for (range, unseen) in self.ranges.iter().zip(&mut self.unseen) {
                *unseen += u64::from(!has_any(indices, range));
            }
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let (rows, unseen) = read(state, self.ranges.len())?;
        self.rows += rows;
        self.unseen
            .iter_mut()
            .zip(unseen)
            .for_each(|(mine, more)| *mine += more);
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let counts = [self.rows].into_iter().chain(self.unseen.iter().copied());
        let counts = UInt64Array::from_iter_values(counts);
        Ok(RecordBatch::try_from_iter([("rows", Arc::new(counts) as _)])?)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.ranges.len() * (size_of::<Range<u32>>() + size_of::<u64>())
    }
}

/// Whether one of a row's sparse columns is in the range.
pub fn has_any(indices: &[u32], range: &Range<u32>) -> bool {
    indices.iter().any(|index| range.contains(index))
}
