//! Scores a model on every split of the features table, in one scan.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, LargeListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Float64Type, Schema, UInt64Type};

use crate::contract::pass::{Accumulate, Grain, Pass};
use crate::error::{Error, Result};
use crate::evaluate::predictions::Classifier;
use crate::model::{LinearModel, Weights};
use crate::rows::SPLIT_NAMES;
use crate::rows::features::{self, Rows};
use crate::rows::kernel::Block;
use crate::rows::real::Real;
use crate::statistics::Confusion;

/// The confusion of a model on the training, validation and test rows.
#[derive(Debug, Clone)]
pub struct ScorePass {
    model: Arc<LinearModel>,
}

impl ScorePass {
    /// Scores `model`.
    pub fn new(model: Arc<LinearModel>) -> Self {
        Self { model }
    }

    /// Reads the final state: one confusion a split, in the order of [`SPLIT_NAMES`].
    ///
    /// # Errors
    /// When the state is not of this pass.
    pub fn confusions(state: &RecordBatch) -> Result<Vec<Confusion>> {
        let broken = |why: &str| Error::State {
            pass: "score",
            why: why.to_owned(),
        };
        let counts = state
            .column_by_name("confusion")
            .and_then(|c| c.as_list_opt::<i64>());
        let losses = state
            .column_by_name("log_loss")
            .and_then(|c| c.as_primitive_opt::<Float64Type>());
        let (Some(counts), Some(losses)) = (counts, losses) else {
            return Err(broken("no column `confusion` or `log_loss`"));
        };
        (0..state.num_rows())
            .map(|split| {
                let counts = counts.value(split);
                let counts = counts
                    .as_primitive_opt::<UInt64Type>()
                    .ok_or_else(|| broken("counts"))?;
                Confusion::from_parts(counts.values(), losses.value(split))
            })
            .collect()
    }
}

impl Pass for ScorePass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Score {
            splits: vec![Confusion::new(self.model.classes()); SPLIT_NAMES.len()],
            model: Arc::clone(&self.model),
        })
    }

    fn grain(&self) -> Grain {
        Grain::Whole
    }
}

struct Score {
    model: Arc<LinearModel>,
    splits: Vec<Confusion>,
}

impl Score {
    fn add<F: Real>(&mut self, rows: Rows<'_>, weights: &[F]) {
        let classifier = Classifier {
            weights,
            shape: self.model.shape(),
            thresholds: self.model.thresholds(),
        };
        let is_split = |r: usize| usize::from(rows.split[r]) < SPLIT_NAMES.len();
        let splits = &mut self.splits;
        classifier.predict(&mut Block::new(), rows, 0..rows.len(), is_split, |row| {
            splits[usize::from(rows.split[row.row])].add(row.truth, row.predicted, row.at_truth);
        });
    }
}

impl Accumulate for Score {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch)?;
        let model = Arc::clone(&self.model);
        match model.weights() {
            Weights::F32(w) => self.add(rows, w),
            Weights::F64(w) => self.add(rows, w),
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let theirs = ScorePass::confusions(state)?;
        if theirs.len() != self.splits.len() {
            return Err(Error::State {
                pass: "score",
                why: format!("{} splits", theirs.len()),
            });
        }
        self.splits
            .iter_mut()
            .zip(&theirs)
            .try_for_each(|(mine, theirs)| mine.merge(theirs))
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let losses = Float64Array::from_iter_values(self.splits.iter().map(Confusion::log_loss_sum));
        let counts: Vec<Vec<u64>> = self.splits.iter().map(|c| c.clone().into_counts()).collect();
        let offsets = OffsetBuffer::from_lengths(counts.iter().map(Vec::len));
        let values = UInt64Array::from(counts.concat());
        let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
        let counts = LargeListArray::try_new(field, offsets, Arc::new(values), None)?;
        Ok(RecordBatch::try_from_iter([
            ("confusion", Arc::new(counts) as _),
            ("log_loss", Arc::new(losses) as _),
        ])?)
    }

    fn size(&self) -> usize {
        self.splits.iter().map(Confusion::size).sum()
    }
}
