//! The pass of mini-batch solvers: one epoch of many models in one scan, and scores beside it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::{Float64Type, Schema, UInt32Type, UInt64Type};
use rayon::prelude::*;
use serde_json::json;

use crate::contract::lists::{one_list, structure};
use crate::contract::pass::{Accumulate, Grain, Pass, side_by_side};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::evaluate::predictions::Classifier;
use crate::model::Thresholds;
use crate::rows::features::{self, Rows};
use crate::rows::kernel::Block;
use crate::rows::real::Real;
use crate::rows::{RowSet, Shape};
use crate::statistics::Confusion;
use crate::train::adagrad::state::{Epoch, Problem, Seen, State};
use crate::train::mini_batches::{MiniBatch, MiniBatches};

/// The kind of the pass's spec.
pub(crate) const KIND: &str = "adagrad epoch";

/// One epoch of a model.
#[derive(Debug, Clone)]
pub(crate) struct EpochJob {
    pub(crate) problem: Arc<Problem>,
    /// Where it stands before.
    pub(crate) state: Arc<State>,
    /// The rows it learns from.
    pub(crate) rows: RowSet,
}

/// The score of a model.
#[derive(Debug, Clone)]
pub(crate) struct ScoreJob {
    pub(crate) state: Arc<State>,
    pub(crate) rows: RowSet,
}

/// The pass.
#[derive(Debug, Clone)]
pub(crate) struct EpochPass {
    pub(crate) shape: Shape,
    pub(crate) classes: usize,
    pub(crate) epochs: Vec<EpochJob>,
    pub(crate) scores: Vec<ScoreJob>,
    /// How scores predict.
    pub(crate) thresholds: Thresholds,
}

/// What an epoch came to.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) state: State,
    /// Rows learnt from.
    pub(crate) rows: u64,
    /// The sum of their losses, each before its row was learnt from.
    pub(crate) loss: f64,
}

impl EpochPass {
    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        type Settings = (Shape, usize, Vec<RowSet>, Vec<RowSet>);
        let ((shape, classes, learnt, scored), inner): (Settings, _) = spec.unnested()?;
        if inner.len() != 2 * learnt.len() {
            return Err(spec.bad("it does not hold a problem and a state for each epoch"));
        }
        let epochs = learnt
            .into_iter()
            .zip(inner.chunks_exact(2))
            .map(|(rows, inner)| {
                Ok(EpochJob {
                    problem: Arc::new(Problem::from_spec(&inner[0], shape)?),
                    state: Arc::new(State::from_spec(&inner[1], shape)?),
                    rows,
                })
            });
        let scores = scored.into_iter().enumerate().map(|(place, rows)| {
            let weights = shape.coefficients(spec, &scored_weights(place))?;
            let state = Arc::new(State::scored(weights));
            Ok(ScoreJob { state, rows })
        });
        Ok(Self {
            shape,
            classes,
            epochs: epochs.collect::<Result<_>>()?,
            scores: scores.collect::<Result<_>>()?,
            thresholds: Thresholds::from_spec(spec)?,
        })
    }

    /// Bytes that a job of an epoch holds besides the state it starts from.
    pub(crate) fn bytes_per_epoch(shape: Shape) -> usize {
        State::bytes(shape) + Epoch::bytes(shape)
    }
}

impl Pass for EpochPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        let mut groups: Vec<Group> = Vec::new();
        for (place, job) in self.epochs.iter().enumerate() {
            let model = Model {
                place,
                epoch: Some(Epoch::new(Arc::clone(&job.problem), job.state.copy())),
                merged: None,
            };
            let (set, seed) = (job.rows, job.state.epochs);
            match groups.iter_mut().find(|group| group.batches.are(set, seed)) {
                Some(group) => group.models.push(model),
                None => groups.push(Group {
                    batches: MiniBatches::new(
                        set,
                        job.problem.subset.rows,
                        job.problem.weight_factor(),
                        seed,
                        self.shape.features,
                    ),
                    models: vec![model],
                }),
            }
        }
        let scores = self.scores.iter().map(|job| Score {
            job: job.clone(),
            block: Block::new(),
            confusion: Confusion::new(self.classes),
        });
        Box::new(Running {
            shape: self.shape,
            thresholds: self.thresholds.clone(),
            groups,
            scores: scores.collect(),
        })
    }

    fn grain(&self) -> Grain {
        // A mini-batch learns from what those before it left behind: only models can be shared out.
        match self.epochs.len() + self.scores.len() {
            0 | 1 => Grain::Ordered,
            jobs => Grain::Results(jobs),
        }
    }

    fn part(&self, index: usize) -> Result<Box<dyn Pass>> {
        let (epochs, scores) = match index.checked_sub(self.epochs.len()) {
            None => (vec![self.epochs[index].clone()], Vec::new()),
            Some(score) => {
                let job = self
                    .scores
                    .get(score)
                    .ok_or_else(|| Error::no_part(KIND, index))?;
                (Vec::new(), vec![job.clone()])
            }
        };
        Ok(Box::new(Self {
            epochs,
            scores,
            thresholds: self.thresholds.clone(),
            ..*self
        }))
    }

    fn join(&self, states: Vec<RecordBatch>) -> Result<RecordBatch> {
        side_by_side(states)
    }

    fn spec(&self) -> StepSpec {
        let scored: Vec<RowSet> = self.scores.iter().map(|job| job.rows).collect();
        let learnt: Vec<RowSet> = self.epochs.iter().map(|job| job.rows).collect();
        let spec = StepSpec::nested(
            KIND,
            json!([self.shape, self.classes, learnt, scored]),
            self.epochs
                .iter()
                .flat_map(|job| [job.problem.spec(), job.state.spec()])
                .collect(),
        );
        let scores = self.scores.iter().enumerate();
        scores.fold(self.thresholds.add_to(spec), |spec, (place, job)| {
            spec.with(&scored_weights(place), f32::into_array(job.state.weights.clone()))
        })
    }
}

/// The name of the array with the coefficients of a job that scores.
fn scored_weights(job: usize) -> String {
    format!("scored{job}")
}

struct Running {
    shape: Shape,
    thresholds: Thresholds,
    groups: Vec<Group>,
    scores: Vec<Score>,
}

/// The models that learn from the same rows in the same order.
struct Group {
    batches: MiniBatches,
    models: Vec<Model>,
}

struct Model {
    /// Its place among the jobs.
    place: usize,
    /// `None` once it is over.
    epoch: Option<Epoch>,
    /// What other accumulators came to.
    merged: Option<Trained>,
}

struct Score {
    job: ScoreJob,
    block: Block<f32>,
    confusion: Confusion,
}

impl Group {
    fn take(&mut self, rows: Rows<'_>) {
        let models = &mut self.models;
        self.batches
            .take(rows, |rows, batches| learn(models, rows, batches));
    }

    fn finish(&mut self) {
        let models = &mut self.models;
        self.batches.finish(|rows, batches| learn(models, rows, batches));
    }
}

fn learn(models: &mut [Model], rows: Rows<'_>, batches: &[MiniBatch]) {
    models.par_iter_mut().for_each(|model| {
        if let Some(epoch) = &mut model.epoch {
            batches.iter().for_each(|batch| epoch.step(rows, batch));
        }
    });
}

impl Score {
    fn take(&mut self, rows: Rows<'_>, shape: Shape, thresholds: &Thresholds) {
        let classifier = Classifier {
            weights: &self.job.state.weights,
            shape,
            thresholds,
        };
        let set = self.job.rows;
        let (block, confusion) = (&mut self.block, &mut self.confusion);
        let keep = |r: usize| set.contains(rows, r);
        classifier.predict(block, rows, 0..rows.len(), keep, |row| {
            confusion.add(row.truth, row.predicted, row.at_truth);
        });
    }
}

impl Accumulate for Running {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch)?;
        let (shape, thresholds) = (self.shape, &self.thresholds);
        let (groups, scores) = (&mut self.groups, &mut self.scores);
        rayon::join(
            || groups.par_iter_mut().for_each(|g| g.take(rows)),
            || {
                scores
                    .par_iter_mut()
                    .for_each(|s| s.take(rows, shape, thresholds))
            },
        );
        Ok(())
    }

    /// Averages the models, each weighted by its rows.
    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let (trained, confusions) = answers(state.clone())?;
        if trained.len() != self.groups.iter().map(|g| g.models.len()).sum::<usize>()
            || confusions.len() != self.scores.len()
        {
            return Err(broken("another number of jobs".to_owned()));
        }
        self.end();
        let mut models: Vec<&mut Model> = self.groups.iter_mut().flat_map(|g| &mut g.models).collect();
        models.sort_by_key(|model| model.place);
        for (model, theirs) in models.into_iter().zip(trained) {
            if let Some(mine) = &mut model.merged {
                mine.state
                    .average(mine.rows as f64, &theirs.state, theirs.rows as f64)?;
                mine.rows += theirs.rows;
                mine.loss += theirs.loss;
            }
        }
        for (score, theirs) in self.scores.iter_mut().zip(&confusions) {
            score.confusion.merge(theirs)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        self.end();
        let mut models: Vec<&mut Model> = self.groups.iter_mut().flat_map(|g| &mut g.models).collect();
        models.sort_by_key(|model| model.place);
        let mut columns: Vec<(String, ArrayRef)> = Vec::new();
        for model in models {
            if let Some(trained) = model.merged.take() {
                columns.push((columns.len().to_string(), from_trained(trained)?));
            }
        }
        for score in &mut self.scores {
            let confusion = std::mem::take(&mut score.confusion);
            columns.push((columns.len().to_string(), from_confusion(confusion)?));
        }
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    fn size(&self) -> usize {
        let windows: usize = self.groups.iter().map(|g| g.batches.size()).sum();
        let models: usize = self.groups.iter().map(|g| g.models.len()).sum();
        let score = |score: &Score| score.confusion.size() + score.block.size();
        let scores: usize = self.scores.iter().map(score).sum();
        windows + models * EpochPass::bytes_per_epoch(self.shape) + scores
    }
}

impl Running {
    /// Learns from what is left in the windows, and ends the epoch.
    fn end(&mut self) {
        self.groups.par_iter_mut().for_each(|group| {
            group.finish();
            for model in &mut group.models {
                if let Some(epoch) = model.epoch.take() {
                    let (state, rows, loss) = epoch.finish();
                    model.merged = Some(Trained { state, rows, loss });
                }
            }
        });
    }
}

const EPOCH: [&str; 7] = [
    "weights",
    "squares",
    "entries_seen",
    "squares_seen",
    "epochs",
    "rows",
    "loss",
];
const SCORE: [&str; 2] = ["confusion", "log_loss"];

fn from_trained(trained: Trained) -> Result<ArrayRef> {
    let Trained { state, rows, loss } = trained;
    let entries = state.seen.iter().map(|s| s.entries).collect::<Vec<_>>();
    let squares = state.seen.iter().map(|s| s.squares).collect::<Vec<_>>();
    structure(
        &EPOCH,
        vec![
            one_list(f32::into_array(state.weights))?,
            one_list(f32::into_array(state.squares))?,
            one_list(f64::into_array(entries))?,
            one_list(f64::into_array(squares))?,
            Arc::new(UInt32Array::from(vec![state.epochs])),
            Arc::new(UInt64Array::from(vec![rows])),
            Arc::new(Float64Array::from(vec![loss])),
        ],
    )
}

fn from_confusion(confusion: Confusion) -> Result<ArrayRef> {
    let log_loss = confusion.log_loss_sum();
    structure(
        &SCORE,
        vec![
            one_list(Arc::new(UInt64Array::from(confusion.into_counts())))?,
            Arc::new(Float64Array::from(vec![log_loss])),
        ],
    )
}

/// Takes the state of an [`EpochPass`] apart; what is large is moved, not copied, when `state` is its only owner.
pub(crate) fn answers(state: RecordBatch) -> Result<(Vec<Trained>, Vec<Confusion>)> {
    let (_, columns, _) = state.into_parts();
    let (mut trained, mut confusions) = (Vec::new(), Vec::new());
    for column in columns {
        let job = column
            .as_struct_opt()
            .ok_or_else(|| broken("not a job".to_owned()))?;
        let parts = job.columns().to_vec();
        drop(column);
        match <[ArrayRef; 7]>::try_from(parts) {
            Ok(parts) => trained.push(into_trained(parts)?),
            Err(parts) => confusions.push(into_confusion(&parts)?),
        }
    }
    Ok((trained, confusions))
}

fn into_trained(parts: [ArrayRef; 7]) -> Result<Trained> {
    let [weights, squares, entries_seen, squares_seen, epochs, rows, loss] = parts;
    let missing = |what: &str| broken(format!("no {what}"));
    let entries = inner(entries_seen).and_then(f64::from_array);
    let seen_squares = inner(squares_seen).and_then(f64::from_array);
    let entries = entries.ok_or_else(|| missing("entries_seen"))?;
    let seen_squares = seen_squares.ok_or_else(|| missing("squares_seen"))?;
    let seen = entries.into_iter().zip(seen_squares);
    Ok(Trained {
        state: State {
            weights: inner(weights)
                .and_then(f32::from_array)
                .ok_or_else(|| missing("weights"))?,
            squares: inner(squares)
                .and_then(f32::from_array)
                .ok_or_else(|| missing("squares"))?,
            seen: seen.map(|(entries, squares)| Seen { entries, squares }).collect(),
            epochs: epochs
                .as_primitive_opt::<UInt32Type>()
                .map(|a| a.value(0))
                .ok_or_else(|| missing("epochs"))?,
        },
        rows: rows
            .as_primitive_opt::<UInt64Type>()
            .map(|a| a.value(0))
            .ok_or_else(|| missing("rows"))?,
        loss: loss
            .as_primitive_opt::<Float64Type>()
            .map(|a| a.value(0))
            .ok_or_else(|| missing("loss"))?,
    })
}

fn into_confusion(parts: &[ArrayRef]) -> Result<Confusion> {
    let [counts, log_loss] = parts else {
        return Err(broken("not the columns of a job".to_owned()));
    };
    let counts = inner(Arc::clone(counts));
    let counts = counts.as_ref().and_then(|c| c.as_primitive_opt::<UInt64Type>());
    let log_loss = log_loss.as_primitive_opt::<Float64Type>();
    match (counts, log_loss) {
        (Some(counts), Some(log_loss)) => Confusion::from_parts(counts.values(), log_loss.value(0)),
        _ => Err(broken("no confusion".to_owned())),
    }
}

/// The values of a list of one row.
fn inner(list: ArrayRef) -> Option<ArrayRef> {
    let values = list.as_list_opt::<i64>().map(|l| Arc::clone(l.values()));
    drop(list);
    values
}

fn broken(why: String) -> Error {
    Error::State { pass: KIND, why }
}
