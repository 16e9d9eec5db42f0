//! Scores regressions, each on its own part of the features table, in one scan.

use std::sync::Arc;

use arrow::array::{AsArray, Float64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{Float64Type, Schema, UInt64Type};
use serde_json::json;

use crate::contract::model::{Model, ModelSpec};
use crate::contract::pass::{Accumulate, Grain, Pass};
use crate::contract::registry::Registry;
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::evaluate::predictions::for_each_scored;
use crate::model::{LinearModel, Weights};
use crate::rows::features::{self, Rows};
use crate::rows::kernel::Block;
use crate::rows::real::Real;
use crate::rows::{RowSet, Split};
use crate::statistics::{Errors, MomentsState, RegressionScores};

const NAME: &str = "regression scores";
/// The kind of the pass's spec.
pub(crate) const KIND: &str = NAME;

/// The errors of models on their rows.
#[derive(Debug, Clone)]
pub struct RegressionPass {
    jobs: Vec<(Arc<dyn Model>, RowSet)>,
}

impl RegressionPass {
    /// Scores each model on its rows.
    pub(crate) fn on_sets(jobs: Vec<(Arc<dyn Model>, RowSet)>) -> Self {
        Self { jobs }
    }

    /// Scores every model on every split: model by model, the splits in the order of [`Split::ALL`].
    pub fn on_splits(models: &[Arc<dyn Model>]) -> Self {
        let splits = || Split::ALL.into_iter().map(RowSet::Split);
        let jobs = models
            .iter()
            .flat_map(|model| splits().map(|split| (Arc::clone(model), split)));
        Self::on_sets(jobs.collect())
    }

    pub(crate) fn from_spec(spec: &StepSpec, kinds: &Registry) -> Result<Self> {
        let (sets, models): (Vec<RowSet>, _) = spec.unnested()?;
        if sets.len() != models.len() {
            return Err(spec.bad("it does not hold a model for each set of rows"));
        }
        let models = models
            .iter()
            .map(|model| kinds.model_from_spec(&ModelSpec::from_step(model)?));
        let models: Vec<_> = models.collect::<Result<_>>()?;
        Ok(Self::on_sets(models.into_iter().zip(sets).collect()))
    }

    /// Reads the final state: the scores of each model on each set of rows.
    ///
    /// # Errors
    /// When the state is not of this pass.
    pub fn scores(&self, state: &RecordBatch) -> Result<Vec<RegressionScores>> {
        let errors = read(state, self.jobs.len())?;
        Ok(errors.iter().map(Errors::scores).collect())
    }
}

impl Pass for RegressionPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Scoring {
            jobs: self.jobs.clone(),
            errors: vec![Errors::default(); self.jobs.len()],
        })
    }

    fn grain(&self) -> Grain {
        match self.jobs.len() {
            0 | 1 => Grain::Ordered,
            jobs => Grain::Results(jobs),
        }
    }

    fn part(&self, index: usize) -> Result<Box<dyn Pass>> {
        let job = self.jobs.get(index).ok_or_else(|| Error::no_part(NAME, index))?;
        Ok(Box::new(Self::on_sets(vec![job.clone()])))
    }

    fn spec(&self) -> StepSpec {
        let sets: Vec<RowSet> = self.jobs.iter().map(|(_, set)| *set).collect();
        let models = self.jobs.iter().map(|(model, _)| model.spec().into_step());
        StepSpec::nested(KIND, json!(sets), models.collect())
    }
}

struct Scoring {
    jobs: Vec<(Arc<dyn Model>, RowSet)>,
    errors: Vec<Errors>,
}

impl Accumulate for Scoring {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let (rows, labels) = Rows::with_numbers(batch)?;
        for ((model, set), errors) in self.jobs.iter().zip(&mut self.errors) {
            let Some(linear) = model.linear() else {
                for_each_scored(rows, model.as_ref(), 1, |row, scores| {
                    if set.contains(rows, row) {
                        errors.add(labels[row], scores[0]);
                    }
                })?;
                continue;
            };
            match linear.weights() {
                Weights::F32(weights) => add(errors, rows, labels, *set, linear, weights),
                Weights::F64(weights) => add(errors, rows, labels, *set, linear, weights),
            }
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let theirs = read(state, self.errors.len())?;
        self.errors
            .iter_mut()
            .zip(&theirs)
            .for_each(|(mine, theirs)| mine.merge(theirs));
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let floats = |of: fn(&Errors) -> f64| {
            Arc::new(Float64Array::from_iter_values(self.errors.iter().map(of))) as _
        };
        let rows = UInt64Array::from_iter_values(self.errors.iter().map(|e| e.truth.count));
        Ok(RecordBatch::try_from_iter([
            ("rows", Arc::new(rows) as _),
            ("absolute", floats(|e| e.absolute)),
            ("squares", floats(|e| e.squares)),
            ("mean", floats(|e| e.truth.mean)),
            ("m2", floats(|e| e.truth.m2)),
        ])?)
    }

    fn size(&self) -> usize {
        self.errors.len() * size_of::<Errors>()
    }
}

/// Adds the errors of one model, row by row.
fn add<F: Real>(
    errors: &mut Errors,
    rows: Rows<'_>,
    labels: &[f64],
    set: RowSet,
    model: &LinearModel,
    weights: &[F],
) {
    let shape = model.shape();
    let mut block = Block::new();
    let block_rows = Block::<F>::rows(shape);
    for from in (0..rows.len()).step_by(block_rows) {
        let to = (from + block_rows).min(rows.len());
        block.select(from..to, |r| set.contains(rows, r));
        block.margins(rows, weights, shape);
        for (margin, r) in block.values().chunks_exact(shape.stride()).zip(block.selected()) {
            errors.add(labels[*r as usize], margin[0].to_f64());
        }
    }
}

fn read(state: &RecordBatch, jobs: usize) -> Result<Vec<Errors>> {
    let broken = |why: String| Error::State { pass: NAME, why };
    if state.num_rows() != jobs {
        return Err(broken(format!("{} models, not {jobs}", state.num_rows())));
    }
    let floats = |name: &str| {
        state
            .column_by_name(name)
            .and_then(|column| column.as_primitive_opt::<Float64Type>())
            .ok_or_else(|| broken(format!("no numbers `{name}`")))
    };
    let (absolute, squares) = (floats("absolute")?, floats("squares")?);
    let (mean, m2) = (floats("mean")?, floats("m2")?);
    let rows = state
        .column_by_name("rows")
        .and_then(|column| column.as_primitive_opt::<UInt64Type>())
        .ok_or_else(|| broken("no counts `rows`".to_owned()))?;
    Ok((0..jobs)
        .map(|job| Errors {
            absolute: absolute.value(job),
            squares: squares.value(job),
            truth: MomentsState {
                rows: rows.value(job),
                count: rows.value(job),
                mean: mean.value(job),
                m2: m2.value(job),
            },
        })
        .collect())
}
