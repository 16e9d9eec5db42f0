//! The training rows themselves, where they are few enough to look for symmetries in.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, ListArray, RecordBatch, UInt8Array, new_empty_array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::Value;

use crate::contract::pass::{Accumulate, Grain, Pass};
use crate::contract::spec::StepSpec;
use crate::error::Result;
use crate::rows::Split;
use crate::rows::features::{self, Rows};

/// Tables with more entries and rows in training are not gathered: 32 MiB, before there is a model. A rule of size and
/// not of memory, so that the same pipeline gives the same model under any budget.
const MAX_ENTRIES: usize = 1 << 22;

/// Whether a training of so many rows looks for symmetries, which may make its model smaller.
pub(crate) fn may_be_lifted(rows: u64) -> bool {
    rows <= MAX_ENTRIES as u64
}

/// Rows and entries that are held at most while so many of both are gathered to look for symmetries: all of them in batches
/// and in one piece, or those before they turned out to be too many.
pub(crate) fn gathered_items(rows: u64, entries: u64) -> u64 {
    let (items, most) = (rows + entries, MAX_ENTRIES as u64);
    // What is known of the training rows is an average, a tenth off at most.
    if items > most + most / 10 {
        most
    } else {
        2 * items.min(most) + rows
    }
}

/// The kind of the pass's spec.
pub(crate) const KIND: &str = "training rows";

/// Copies the training rows. Its state is a table like the one scanned, or one without columns where they were too many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GatherPass;

impl Pass for GatherPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Gather {
            batches: Some(Vec::new()),
            entries: 0,
            bytes: 0,
        })
    }

    fn grain(&self) -> Grain {
        // The plan of the training counts the rows once.
        Grain::Ordered
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, Value::Null)
    }
}

struct Gather {
    /// Nothing once they are too many.
    batches: Option<Vec<RecordBatch>>,
    entries: usize,
    /// Of the batches.
    bytes: usize,
}

impl Gather {
    fn keep(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch)?;
        let (first, last) = (rows.offsets[0], rows.offsets[rows.len()]);
        self.entries += (last - first) as usize + rows.len();
        if self.entries > MAX_ENTRIES {
            (self.batches, self.bytes) = (None, 0);
        }
        if let Some(batches) = &mut self.batches {
            self.bytes += batch.get_array_memory_size();
            batches.push(batch.clone());
        }
        Ok(())
    }
}

impl Accumulate for Gather {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.batches.is_none() {
            return Ok(());
        }
        let training: BooleanArray = Rows::of(batch)?
            .split
            .iter()
            .map(|s| Some(Split::Train.is(*s)))
            .collect();
        self.keep(&filter_record_batch(batch, &training)?)
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        if state.num_columns() == 0 {
            (self.batches, self.bytes) = (None, 0);
            return Ok(());
        }
        if state.num_rows() == 0 {
            // It may have other columns: without rows a pass does not know which there are.
            return Ok(());
        }
        self.keep(state)
    }

    fn state(&mut self) -> Result<RecordBatch> {
        self.bytes = 0;
        let Some(batches) = self.batches.take() else {
            return Ok(RecordBatch::new_empty(Arc::new(Schema::empty())));
        };
        match batches.first() {
            Some(first) => Ok(concat_batches(&first.schema(), &batches)?),
            None => no_rows(),
        }
    }

    fn size(&self) -> usize {
        self.bytes
    }
}

fn no_rows() -> Result<RecordBatch> {
    let list = |item: DataType| -> ArrayRef {
        let field = Arc::new(Field::new_list_field(item.clone(), false));
        Arc::new(ListArray::new(
            field,
            arrow::buffer::OffsetBuffer::new_empty(),
            new_empty_array(&item),
            None,
        ))
    };
    let bytes = || -> ArrayRef { Arc::new(UInt8Array::from(Vec::<u8>::new())) };
    Ok(RecordBatch::try_from_iter([
        ("label", Arc::new(Int32Array::from(Vec::<i32>::new())) as ArrayRef),
        ("indices", list(DataType::UInt32)),
        ("values", list(DataType::Float32)),
        ("split", bytes()),
        ("fold", bytes()),
    ])?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Float32Array, Float64Array, UInt32Array};

    use super::*;

    /// A row of this split, which has a weight.
    fn row(split: u8) -> RecordBatch {
        let list = |values: ArrayRef| -> ArrayRef {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
            let offsets = arrow::buffer::OffsetBuffer::from_lengths([1]);
            Arc::new(ListArray::new(field, offsets, values, None))
        };
        RecordBatch::try_from_iter([
            ("label", Arc::new(Int32Array::from(vec![0])) as ArrayRef),
            ("indices", list(Arc::new(UInt32Array::from(vec![3])))),
            ("values", list(Arc::new(Float32Array::from(vec![0.5])))),
            ("split", Arc::new(UInt8Array::from(vec![split]))),
            ("fold", Arc::new(UInt8Array::from(vec![0]))),
            ("weight", Arc::new(Float64Array::from(vec![2.0]))),
        ])
        .unwrap()
    }

    /// The state of an accumulator without any row does not know of the weights.
    #[test]
    fn states_without_rows_are_neutral() {
        let state = |rows: &[RecordBatch]| {
            let mut gather = GatherPass.start();
            rows.iter().for_each(|row| gather.update(row).unwrap());
            gather.state().unwrap()
        };
        let mut total = GatherPass.start();
        for piece in [
            state(&[]),
            state(&[row(0)]),
            state(&[]),
            state(&[row(2)]),
            state(&[row(0)]),
        ] {
            total.merge(&piece).unwrap();
        }
        assert_eq!(total.state().unwrap(), state(&[row(0), row(2), row(0)]));
    }
}
