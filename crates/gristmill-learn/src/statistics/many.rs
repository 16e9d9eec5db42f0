//! Many passes that share one scan.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Schema};
use rayon::prelude::*;

use crate::contract::pass::{Accumulate, Grain, Pass, Share};
use crate::error::{Error, Result};

/// Passes that see the same rows.
///
/// The state is one row with a column a pass, each a list of that pass's state rows as structs.
pub struct Many {
    passes: Vec<Box<dyn Pass>>,
}

impl Many {
    /// `passes` as one pass.
    pub fn new(passes: Vec<Box<dyn Pass>>) -> Self {
        Self { passes }
    }

    /// The states of the single passes, in order.
    pub fn states(state: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let bad = |why: String| Error::State { pass: "many", why };
        if state.num_rows() != 1 {
            return Err(bad(format!("it has {} rows, not one", state.num_rows())));
        }
        let unpack = |column: &ArrayRef| {
            let list: &ListArray = column.as_list_opt()?;
            Some(list.value(0).as_struct_opt()?.into())
        };
        let columns = state.columns().iter();
        columns
            .map(|column| unpack(column).ok_or_else(|| bad(format!("a column is {}", column.data_type()))))
            .collect()
    }

    /// The state whose single states are `states`.
    pub(crate) fn state_of(states: Vec<RecordBatch>) -> Result<RecordBatch> {
        let mut fields = Vec::with_capacity(states.len());
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(states.len());
        for (number, state) in states.into_iter().enumerate() {
            let rows = StructArray::from(state);
            let item = Arc::new(Field::new_list_field(rows.data_type().clone(), false));
            let list = ListArray::try_new(
                item,
                OffsetBuffer::from_lengths([rows.len()]),
                Arc::new(rows),
                None,
            )?;
            fields.push(Field::new(number.to_string(), list.data_type().clone(), false));
            columns.push(Arc::new(list));
        }
        let one_row = RecordBatchOptions::new().with_row_count(Some(1));
        Ok(RecordBatch::try_new_with_options(
            Arc::new(Schema::new(fields)),
            columns,
            &one_row,
        )?)
    }
}

impl Pass for Many {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        let mut all: Vec<String> = Vec::new();
        for pass in &self.passes {
            for column in pass.columns(schema)? {
                if !all.contains(&column) {
                    all.push(column);
                }
            }
        }
        Ok(all)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            inner: self.passes.iter().map(|pass| pass.start()).collect(),
        })
    }

    fn grain(&self) -> Grain {
        let grains = self.passes.iter().map(|pass| pass.grain());
        grains
            .reduce(|a, b| match (a, b) {
                (Grain::Rows(a), Grain::Rows(b)) => Grain::Rows(a.min(b)),
                _ => Grain::Whole,
            })
            .unwrap_or(Grain::Rows(Grain::DEFAULT_ROWS))
    }
}

struct Accumulator {
    inner: Vec<Box<dyn Accumulate>>,
}

impl Accumulate for Accumulator {
    /// Each pass by itself, on the threads of the caller: rows may be so wide that no second grain of them is in memory.
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        if let [one] = self.inner.as_mut_slice() {
            return one.update(batch);
        }
        let updated: Vec<Result<()>> = self.inner.par_iter_mut().map(|one| one.update(batch)).collect();
        // Of several errors that of the first pass, whichever came first.
        updated.into_iter().collect()
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let states = Many::states(state)?;
        if states.len() != self.inner.len() {
            return Err(Error::State {
                pass: "many",
                why: format!("it holds {} states for {} passes", states.len(), self.inner.len()),
            });
        }
        self.inner
            .iter_mut()
            .zip(&states)
            .try_for_each(|(one, state)| one.merge(state))
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let states: Result<_> = self.inner.iter_mut().map(|one| one.state()).collect();
        Many::state_of(states?)
    }

    fn size(&self) -> usize {
        self.inner.iter().map(|one| one.size()).sum()
    }

    fn peak(&self) -> usize {
        self.inner.iter().map(|one| one.peak()).sum()
    }

    fn largest(&self) -> Share {
        let shares = self.inner.iter().map(|one| one.largest());
        // Of equal ones the first.
        let largest = shares.reduce(|most, share| if share.bytes > most.bytes { share } else { most });
        largest.unwrap_or_else(|| Share {
            bytes: 0,
            what: "no passes".to_owned(),
            way_out: String::new(),
        })
    }
}
