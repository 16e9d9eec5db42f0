//! Scores a model on every split of the features table, in one scan.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, LargeListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Float64Type, Schema, UInt64Type};
use serde_json::json;

use crate::contract::model::{Model, ModelSpec};
use crate::contract::pass::{Accumulate, Grain, Pass};
use crate::contract::registry::Registry;
use crate::contract::spec::StepSpec;
use crate::contract::thresholds::Thresholds;
use crate::error::{Error, Result};
use crate::evaluate::predictions::{Classifier, for_each_scored};
use crate::model::Weights;
use crate::rows::features::{self, Rows};
use crate::rows::kernel::Block;
use crate::rows::real::Real;
use crate::rows::{Shape, Split};
use crate::statistics::Confusion;

/// The kind of the pass's spec.
pub(crate) const KIND: &str = "score";

/// The confusion of a model on the training, validation and test rows. Each split is a part of the results.
#[derive(Debug, Clone)]
pub struct ScorePass {
    model: Arc<dyn Model>,
    thresholds: Thresholds,
    /// The split that is scored, or all.
    only: Option<Split>,
}

impl ScorePass {
    /// Scores `model`, which predicts by these thresholds.
    pub fn new(model: Arc<dyn Model>, thresholds: Thresholds) -> Self {
        Self {
            model,
            thresholds,
            only: None,
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec, kinds: &Registry) -> Result<Self> {
        let (only, models): (Option<Split>, _) = spec.unnested()?;
        match models.as_slice() {
            [model] => Ok(Self {
                model: kinds.model_from_spec(&ModelSpec::from_step(model)?)?,
                thresholds: Thresholds::from_spec(spec)?,
                only,
            }),
            _ => Err(spec.bad("it does not hold one model")),
        }
    }

    fn splits(&self) -> &[Split] {
        match &self.only {
            Some(split) => std::slice::from_ref(split),
            None => &Split::ALL,
        }
    }

    /// Reads the final state: one confusion a split, in the order of [`Split::ALL`].
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
            splits: vec![Confusion::new(self.model.classes()); self.splits().len()],
            pass: self.clone(),
        })
    }

    fn grain(&self) -> Grain {
        match self.splits().len() {
            1 => Grain::Ordered,
            splits => Grain::Results(splits),
        }
    }

    fn part(&self, index: usize) -> Result<Box<dyn Pass>> {
        let split = self.splits().get(index).filter(|_| self.only.is_none());
        Ok(Box::new(Self {
            only: Some(*split.ok_or_else(|| Error::no_part(KIND, index))?),
            ..self.clone()
        }))
    }

    fn spec(&self) -> StepSpec {
        let spec = StepSpec::nested(KIND, json!(self.only), vec![self.model.spec().into_step()]);
        self.thresholds.add_to(spec)
    }
}

struct Score {
    pass: ScorePass,
    /// Of each of the pass's splits.
    splits: Vec<Confusion>,
}

impl Score {
    /// Adds rows by the loops of a training.
    fn add<F: Real>(&mut self, rows: Rows<'_>, shape: Shape, weights: &[F]) {
        let (pass, confusions) = (&self.pass, &mut self.splits);
        let classifier = Classifier {
            weights,
            shape,
            thresholds: &pass.thresholds,
        };
        let place = |r: usize| pass.splits().iter().position(|split| split.is(rows.split[r]));
        let scored = |r: usize| place(r).is_some();
        classifier.predict(&mut Block::new(), rows, 0..rows.len(), scored, |row| {
            if let Some(place) = place(row.row) {
                confusions[place].add(row.truth, row.predicted, row.at_truth);
            }
        });
    }

    /// Adds rows of which any model gives probabilities.
    fn add_scored(&mut self, rows: Rows<'_>, model: &dyn Model) -> Result<()> {
        let classes = model.classes();
        let (pass, confusions) = (&self.pass, &mut self.splits);
        for_each_scored(rows, model, classes, |row, probabilities| {
            let truth = rows.class(row);
            let (predicted, at_truth) = pass.thresholds.predicted(probabilities, classes, truth, |p| p);
            let place = pass.splits().iter().position(|split| split.is(rows.split[row]));
            if let Some(place) = place {
                confusions[place].add(truth, predicted, at_truth);
            }
        })
    }
}

impl Accumulate for Score {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch)?;
        let model = Arc::clone(&self.pass.model);
        let Some(linear) = model.linear() else {
            return self.add_scored(rows, model.as_ref());
        };
        match linear.weights() {
            Weights::F32(w) => self.add(rows, linear.shape(), w),
            Weights::F64(w) => self.add(rows, linear.shape(), w),
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
