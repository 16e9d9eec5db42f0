//! One scan for many models: each job takes the gradient or the score of its coefficients on its own rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{Float64Type, Schema, UInt64Type};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contract::lists::{one_list, structure};
use crate::contract::pass::{Accumulate, Grain, Pass, side_by_side};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::evaluate::predictions::Classifier;
use crate::model::Thresholds;
use crate::optimise::vector::zeros;
use crate::rows::columns::Columns;
use crate::rows::features::{self, Rows};
use crate::rows::kernel::Block;
use crate::rows::real::Real;
use crate::rows::{RowSet, Shape};
use crate::statistics::{Confusion, Errors};

const NAME: &str = "logistic regression scan";

/// What one model wants of a scan.
#[derive(Debug, Clone)]
pub(crate) struct Job<F> {
    /// Coefficients in the units of the data, laid out as [`Shape`] says.
    pub(crate) weights: Arc<Vec<F>>,
    /// The rows to do it on.
    pub(crate) rows: RowSet,
    /// What to do.
    pub(crate) task: Task,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Sums the loss and the gradient.
    Gradient,
    /// Counts the confusion and sums the log loss.
    Score,
}

/// The pass of a scan.
#[derive(Debug, Clone)]
pub(crate) struct ScanPass<F> {
    pub(crate) shape: Shape,
    /// Classes; 0 of a regression, whose loss is half the squared error.
    pub(crate) classes: usize,
    pub(crate) jobs: Vec<Job<F>>,
    /// How scores predict.
    pub(crate) thresholds: Thresholds,
}

/// What a job found.
#[derive(Debug)]
pub(crate) struct Answer<F> {
    /// Sum of the losses.
    pub(crate) loss: f64,
    /// Sum of the gradients; empty for a score.
    pub(crate) gradient: Vec<F>,
    /// Empty for a gradient and of a regression.
    pub(crate) confusion: Confusion,
    /// Empty for a gradient and of a classifier.
    pub(crate) errors: Errors,
}

impl<F: Real> Pass for ScanPass<F> {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        let running = |job: &Job<F>| Running {
            job: job.clone(),
            block: Block::new(),
            before: Block::new(),
            loss: 0.0,
            gradient: match job.task {
                Task::Gradient => zeros(self.shape.len()),
                Task::Score => Vec::new(),
            },
            confusion: Confusion::new(match job.task {
                Task::Gradient => 0,
                Task::Score => self.classes,
            }),
            errors: Errors::default(),
        };
        Box::new(Scan {
            shape: self.shape,
            numbers: self.classes == 0,
            thresholds: self.thresholds.clone(),
            running: self.jobs.iter().map(running).collect(),
            parts: Vec::new(),
        })
    }

    fn grain(&self) -> Grain {
        // A gradient is as large as the model: too much for every grain of rows.
        match self.jobs.len() {
            0 | 1 => Grain::Ordered,
            jobs => Grain::Results(jobs),
        }
    }

    fn part(&self, index: usize) -> Result<Box<dyn Pass>> {
        let job = self.jobs.get(index).ok_or_else(|| Error::no_part(NAME, index))?;
        Ok(Box::new(Self {
            jobs: vec![job.clone()],
            thresholds: self.thresholds.clone(),
            ..*self
        }))
    }

    fn join(&self, states: Vec<RecordBatch>) -> Result<RecordBatch> {
        side_by_side(states)
    }

    fn spec(&self) -> StepSpec {
        let jobs: Vec<(RowSet, Task)> = self.jobs.iter().map(|job| (job.rows, job.task)).collect();
        let spec = StepSpec::new(Self::KIND, json!([self.shape, self.classes, jobs]));
        let jobs = self.jobs.iter().enumerate();
        jobs.fold(self.thresholds.add_to(spec), |spec, (place, job)| {
            spec.with(&weights_of(place), F::into_array(job.weights.to_vec()))
        })
    }
}

impl<F: Real> ScanPass<F> {
    /// The kind of the pass's spec: one for each precision.
    pub(crate) const KIND: &'static str = if size_of::<F>() == size_of::<f32>() {
        "logistic regression scan in f32"
    } else {
        "logistic regression scan in f64"
    };

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        let (shape, classes, jobs): (Shape, usize, Vec<(RowSet, Task)>) = spec.settings()?;
        let jobs = jobs.into_iter().enumerate().map(|(place, (rows, task))| {
            let weights = Arc::new(shape.coefficients(spec, &weights_of(place))?);
            Ok(Job { weights, rows, task })
        });
        Ok(Self {
            shape,
            classes,
            jobs: jobs.collect::<Result<_>>()?,
            thresholds: Thresholds::from_spec(spec)?,
        })
    }
}

/// The name of the array with the coefficients of a job.
fn weights_of(job: usize) -> String {
    format!("weights{job}")
}

struct Scan<F> {
    shape: Shape,
    /// Whether labels are numbers.
    numbers: bool,
    thresholds: Thresholds,
    running: Vec<Running<F>>,
    /// The rows of the last batch, as they were shared out: kept for the room they hold.
    parts: Vec<Part>,
}

struct Running<F> {
    job: Job<F>,
    block: Block<F>,
    /// The block before, whose residuals are known.
    before: Block<F>,
    loss: f64,
    gradient: Vec<F>,
    confusion: Confusion,
    errors: Errors,
}

/// Some rows of a batch.
#[derive(Default)]
struct Part {
    range: Range<usize>,
    /// Whether their entries are sorted by feature, which does not always pay.
    sorted: bool,
    columns: Columns,
}

impl Part {
    fn columns(&self) -> Option<&Columns> {
        self.sorted.then_some(&self.columns)
    }
}

/// The rows of a batch, with their labels where these are numbers.
#[derive(Clone, Copy)]
struct Labelled<'a> {
    rows: Rows<'a>,
    numbers: Option<&'a [f64]>,
}

impl<F: Real> Running<F> {
    fn update(&mut self, labelled: Labelled<'_>, parts: &[Part], shape: Shape, thresholds: &Thresholds) {
        let (set, rows) = (self.job.rows, labelled.rows);
        match (self.job.task, labelled.numbers) {
            (Task::Gradient, _) => self.add_gradients(labelled, parts, shape, |r| set.contains(rows, r)),
            (Task::Score, None) => {
                let classifier = Classifier {
                    weights: &self.job.weights,
                    shape,
                    thresholds,
                };
                let (block, confusion) = (&mut self.block, &mut self.confusion);
                for part in parts {
                    let keep = |r: usize| set.contains(rows, r);
                    classifier.predict(block, rows, part.range.clone(), keep, |row| {
                        confusion.add(row.truth, row.predicted, row.at_truth);
                    });
                }
            }
            (Task::Score, Some(numbers)) => {
                let (block, errors) = (&mut self.block, &mut self.errors);
                for part in parts {
                    block.select(part.range.clone(), |r| set.contains(rows, r));
                    block.margins(rows, &self.job.weights, shape);
                    for (margin, r) in block.values().chunks_exact(shape.stride()).zip(block.selected()) {
                        errors.add(numbers[*r as usize], margin[0].to_f64());
                    }
                }
            }
        }
    }

    /// The forward pass of a block and the backward pass of the one before go on together: they share nothing, and threads
    /// wait for each other half as often.
    fn add_gradients(
        &mut self,
        Labelled { rows, numbers }: Labelled<'_>,
        parts: &[Part],
        shape: Shape,
        keep: impl Fn(usize) -> bool + Sync + Copy,
    ) {
        let (weights, gradient) = (&self.job.weights, &mut self.gradient);
        for at in 0..=parts.len() {
            let (block, before) = (&mut self.block, &self.before);
            let forward = parts.get(at).map(|part| part.range.clone());
            let backward = at.checked_sub(1).map(|at| parts[at].columns());
            rayon::join(
                || {
                    if let Some(range) = forward {
                        block.select(range, keep);
                        match numbers {
                            None => block.residuals(rows, weights, shape),
                            Some(numbers) => block.squared_residuals(rows, numbers, weights, shape),
                        }
                    }
                },
                || {
                    if let Some(columns) = backward {
                        before.add_gradient(rows, columns, gradient, shape);
                    }
                },
            );
            if at < parts.len() {
                // Row by row, so that the cut into blocks changes nothing.
                for loss in self.block.losses() {
                    self.loss += loss;
                }
            }
            std::mem::swap(&mut self.block, &mut self.before);
        }
    }
}

impl<F: Real> Accumulate for Scan<F> {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let labelled = if self.numbers {
            let (rows, numbers) = Rows::with_numbers(batch)?;
            Labelled {
                rows,
                numbers: Some(numbers),
            }
        } else {
            Labelled {
                rows: Rows::of(batch)?,
                numbers: None,
            }
        };
        let rows = labelled.rows;
        let (shape, thresholds) = (self.shape, &self.thresholds);
        let gradients = |job: &Running<F>| matches!(job.job.task, Task::Gradient);
        let any_gradient = self.running.iter().any(gradients);
        let parts = &mut self.parts;
        let block_rows = Block::<F>::rows(shape);
        parts.resize_with(rows.len().div_ceil(block_rows), Part::default);
        parts.par_iter_mut().enumerate().for_each(|(i, part)| {
            part.range = i * block_rows..((i + 1) * block_rows).min(rows.len());
            part.sorted = any_gradient && Columns::pay(rows, part.range.clone(), shape);
            if part.sorted {
                part.columns.fill(rows, part.range.clone(), shape.features);
            }
        });
        match self.running.as_mut_slice() {
            [one] => one.update(labelled, parts, shape, thresholds),
            // Part by part, so that all jobs find it in the cache.
            many => parts.chunks(1).for_each(|part| {
                many.par_iter_mut()
                    .for_each(|job| job.update(labelled, part, shape, thresholds));
            }),
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let answers = answers::<F>(state.clone())?;
        if answers.len() != self.running.len() {
            return Err(broken(format!(
                "{} jobs, not {}",
                answers.len(),
                self.running.len()
            )));
        }
        for (mine, theirs) in self.running.iter_mut().zip(answers) {
            if mine.gradient.len() != theirs.gradient.len() {
                return Err(broken("another number of coefficients".to_owned()));
            }
            mine.loss += theirs.loss;
            crate::optimise::vector::axpy(1.0, &theirs.gradient, &mut mine.gradient);
            mine.confusion.merge(&theirs.confusion)?;
            mine.errors.merge(&theirs.errors);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let columns = self.running.iter_mut().enumerate().map(|(i, job)| {
            let gradient = one_list(F::into_array(std::mem::take(&mut job.gradient)))?;
            let counts = std::mem::take(&mut job.confusion);
            let log_loss = counts.log_loss_sum();
            let counts = one_list(Arc::new(UInt64Array::from(counts.into_counts())))?;
            let errors = job.errors.to_numbers();
            let arrays: Vec<ArrayRef> = vec![
                Arc::new(Float64Array::from(vec![job.loss])),
                gradient,
                counts,
                Arc::new(Float64Array::from(vec![log_loss])),
                one_list(Arc::new(Float64Array::from(errors.to_vec())))?,
            ];
            let names = ["loss", "gradient", "confusion", "log_loss", "errors"];
            Ok((i.to_string(), structure(&names, arrays)?))
        });
        Ok(RecordBatch::try_from_iter(columns.collect::<Result<Vec<_>>>()?)?)
    }

    fn size(&self) -> usize {
        self.running
            .iter()
            .map(|j| {
                let blocks = j.block.size() + j.before.size();
                j.gradient.capacity() * size_of::<F>() + j.confusion.size() + blocks
            })
            .sum()
    }
}

/// Takes the state of a [`ScanPass`] apart; the gradients are moved, not copied, when `state` is their only owner.
pub(crate) fn answers<F: Real>(state: RecordBatch) -> Result<Vec<Answer<F>>> {
    let (_, columns, _) = state.into_parts();
    columns.into_iter().map(answer).collect()
}

fn answer<F: Real>(column: ArrayRef) -> Result<Answer<F>> {
    let number = |a: &ArrayRef| a.as_primitive_opt::<Float64Type>().map(|a| a.value(0));
    let list = |a: &ArrayRef| a.as_list_opt::<i64>().map(|l| Arc::clone(l.values()));
    let job = column
        .as_struct_opt()
        .ok_or_else(|| broken("not a job".to_owned()))?;
    let [loss, gradient, confusion, log_loss, errors] = job.columns() else {
        return Err(broken("not the columns of a job".to_owned()));
    };
    let (Some(loss), Some(log_loss)) = (number(loss), number(log_loss)) else {
        return Err(broken("no loss".to_owned()));
    };
    let (Some(gradient), Some(counts)) = (list(gradient), list(confusion)) else {
        return Err(broken("no gradient".to_owned()));
    };
    let counts = counts
        .as_primitive_opt::<UInt64Type>()
        .map(|c| c.values().clone())
        .ok_or_else(|| broken("no confusion".to_owned()))?;
    let errors = list(errors)
        .and_then(|errors| {
            let errors = errors.as_primitive_opt::<Float64Type>()?;
            Errors::of_numbers(errors.values())
        })
        .ok_or_else(|| broken("no errors".to_owned()))?;
    drop(column);
    Ok(Answer {
        errors,
        loss,
        gradient: F::from_array(gradient).ok_or_else(|| broken(format!("not of {}", F::NAME)))?,
        confusion: Confusion::from_parts(&counts, log_loss)?,
    })
}

fn broken(why: String) -> Error {
    Error::State { pass: NAME, why }
}
