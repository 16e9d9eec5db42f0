//! Many passes that share one scan.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Schema};
use rayon::prelude::*;
use serde_json::json;

use crate::contract::pass::{Accumulate, Grain, Pass, Share, side_by_side};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};

/// The kind of its spec.
pub(crate) const KIND: &str = "many";

/// Passes that see the same rows.
///
/// The state is one row with a column a pass, each a list of that pass's state rows as structs. Rows may be cut where each pass
/// allows it. Else each pass is one accumulator, and the results that may be shared out are those of the passes.
pub struct Many {
    passes: Vec<Arc<dyn Pass>>,
    /// Whether it is a part of another, and may not be divided further.
    ordered: bool,
}

impl Many {
    /// `passes` as one pass.
    pub fn new(passes: Vec<Box<dyn Pass>>) -> Self {
        Self {
            passes: passes.into_iter().map(Arc::from).collect(),
            ordered: false,
        }
    }

    /// The passes that a spec describes, each rebuilt by `rebuild`.
    pub(crate) fn from_spec(
        spec: &StepSpec,
        rebuild: impl Fn(&StepSpec) -> Result<Box<dyn Pass>>,
    ) -> Result<Self> {
        let (ordered, inner) = spec.unnested()?;
        let passes: Vec<_> = inner.iter().map(rebuild).collect::<Result<_>>()?;
        Ok(Self {
            ordered,
            ..Self::new(passes)
        })
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
        if self.ordered {
            return Grain::Ordered;
        }
        let rows: Option<Vec<usize>> = self
            .passes
            .iter()
            .map(|pass| match pass.grain() {
                Grain::Rows(rows) => Some(rows),
                Grain::Results(_) | Grain::Ordered => None,
            })
            .collect();
        match rows {
            Some(rows) => Grain::Rows(rows.into_iter().min().unwrap_or(Grain::DEFAULT_ROWS)),
            None => Grain::Results(self.passes.len()),
        }
    }

    fn part(&self, index: usize) -> Result<Box<dyn Pass>> {
        let pass = self
            .passes
            .get(index)
            .ok_or_else(|| Error::no_part(KIND, index))?;
        Ok(Box::new(Self {
            passes: vec![Arc::clone(pass)],
            ordered: true,
        }))
    }

    fn join(&self, states: Vec<RecordBatch>) -> Result<RecordBatch> {
        side_by_side(states)
    }

    fn spec(&self) -> StepSpec {
        let inner = self.passes.iter().map(|pass| pass.spec());
        StepSpec::nested(KIND, json!(self.ordered), inner.collect())
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
