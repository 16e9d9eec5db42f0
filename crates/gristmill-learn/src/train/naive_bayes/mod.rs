//! Multinomial naive Bayes: one scan that sums each feature by class, then a score of every smoothing on every fold.
//!
//! With `n` the weights of the classes' rows and `s` the weighted sums of the features by class, the log prior of class c
//! is `ln(n_c + λ) - ln(Σ n + λ K)`, and the log probability of feature j in it `ln(s_cj + λ) - ln(Σ_j s_cj + λ D)`, for
//! smoothing λ, K classes and D features: Spark ML's `NaiveBayes`. (scikit-learn's `MultinomialNB` does not smooth the
//! priors.) The log posterior is linear in the features, so the model is one of coefficients and intercepts.

pub(crate) mod counts;
pub(crate) mod kind;
pub(crate) mod settings;

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::contract::trainer::{Next, Params, SearchPoint, Status, Trained, Trainer, TrainingSize};
use crate::error::{Error, Result};
use crate::model::{LinearKind, LinearModel, Thresholds, Weights};
use crate::rows::kernel::Block;
use crate::rows::real::Real;
use crate::rows::{FoldSums, RowSet, Shape};
use crate::search::grid::choose;
use crate::settings::{Metric, SearchSettings};
use crate::train::logistic::scan::{Job, ScanPass, Task, answers};
use crate::train::naive_bayes::counts::{Counts, CountsPass};
use crate::train::naive_bayes::settings::NaiveBayesSettings;
use crate::train::size::F64_ELEMENTS;

/// A search over the smoothings, then the best one's model of all training rows.
///
/// `memory` bounds how many models are scored together, in bytes; it changes nothing but the number of scans.
///
/// # Errors
/// `Budget` when the sums and one model do not fit.
pub fn naive_bayes_search(
    settings: &NaiveBayesSettings,
    search: &SearchSettings,
    size: TrainingSize,
    thresholds: Thresholds,
    memory: u64,
) -> Result<Box<dyn Trainer>> {
    let folds = folds(settings, search);
    let (sums, each) = (sums_bytes(size, folds), model_bytes(size));
    let together = (memory.saturating_sub(sums) / each) as usize;
    if together == 0 {
        return Err(Error::Budget {
            what: format!(
                "a naive Bayes of {} features and {} classes",
                size.features, size.classes
            ),
            needed: sums + each,
            available: memory,
        });
    }
    let shape = shape(size);
    let points = settings.smoothing.iter().map(|smoothing| SearchPoint {
        params: Params::default().with("smoothing", *smoothing),
        score: None,
        scores: Vec::new(),
    });
    let common = Search {
        smoothing: settings.smoothing.clone(),
        points: points.collect(),
        metric: search.metric,
        thresholds,
        pass: CountsPass {
            folds: FoldSums::all(folds as usize),
            shape,
        },
        counts: None,
        next: 0,
        asked: 0,
        together,
        scans: 0,
    };
    Ok(if shape.len() <= F64_ELEMENTS {
        Box::new(NaiveBayesSearch::<f64> {
            common,
            wrap: Weights::F64,
        })
    } else {
        Box::new(NaiveBayesSearch::<f32> {
            common,
            wrap: Weights::F32,
        })
    })
}

/// Folds; 1, which is none, where there is nothing to choose.
pub(crate) fn folds(settings: &NaiveBayesSettings, search: &SearchSettings) -> u32 {
    if settings.smoothing.len() > 1 {
        search.folds
    } else {
        1
    }
}

/// Bytes of the sums by fold, and of those that a fold leaves.
pub(crate) fn sums_bytes(size: TrainingSize, folds: u32) -> u64 {
    // As they are summed, as a state, and those of one model.
    let copies = 2 * u64::from(folds.max(1)) + 1;
    copies * (shape(size).len() * size_of::<f64>()) as u64
}

/// Bytes of one model that is scored.
pub(crate) fn model_bytes(size: TrainingSize) -> u64 {
    let shape = shape(size);
    let bytes = if shape.len() <= F64_ELEMENTS {
        shape.len() * size_of::<f64>() + Block::<f64>::bytes(shape)
    } else {
        shape.len() * size_of::<f32>() + Block::<f32>::bytes(shape)
    };
    bytes as u64
}

fn shape(size: TrainingSize) -> Shape {
    Shape {
        features: size.features,
        sets: size.classes,
    }
}

struct NaiveBayesSearch<F> {
    common: Search,
    wrap: fn(Arc<Vec<F>>) -> Weights,
}

struct Search {
    smoothing: Vec<f64>,
    points: Vec<SearchPoint>,
    metric: Metric,
    thresholds: Thresholds,
    pass: CountsPass,
    counts: Option<Counts>,
    /// The next model to score, of smoothings × folds.
    next: usize,
    /// Models in the scan asked for.
    asked: usize,
    together: usize,
    scans: u64,
}

impl<F: Real> NaiveBayesSearch<F> {
    /// A scan that scores the next models; `None` when all are scored.
    fn ask(&mut self, counts: &Counts) -> Option<ScanPass<F>> {
        let search = &mut self.common;
        let shape = search.pass.shape;
        let smoothings = search.smoothing.iter();
        let models =
            smoothings.flat_map(|smoothing| search.pass.folds.held_out().map(move |fold| (*smoothing, fold)));
        let jobs: Vec<Job<F>> = models
            .skip(search.next)
            .take(search.together)
            .map(|(smoothing, fold)| Job {
                weights: Arc::new(counts.without(Some(fold)).weights(smoothing, shape)),
                rows: RowSet::Fold(fold),
                task: Task::Score,
            })
            .collect();
        search.asked = jobs.len();
        (!jobs.is_empty()).then(|| ScanPass {
            shape,
            classes: shape.sets,
            jobs,
            thresholds: search.thresholds.clone(),
        })
    }

    fn take(&mut self, state: RecordBatch) -> Result<()> {
        let search = &mut self.common;
        let folds = search.pass.folds.len();
        let answers = answers::<F>(state)?;
        if answers.len() != search.asked {
            return Err(Error::State {
                pass: "naive Bayes scan",
                why: format!("{} answers to {} questions", answers.len(), search.asked),
            });
        }
        for answer in answers {
            let scores = &mut search.points[search.next / folds].scores;
            scores.push(answer.confusion.scores().get(search.metric));
            search.next += 1;
        }
        Ok(())
    }

    fn done(&mut self, counts: &Counts) -> Next {
        let search = &mut self.common;
        let best = choose(&mut search.points, search.metric);
        let shape = search.pass.shape;
        let sums = counts.without(None);
        let weights = (self.wrap)(Arc::new(sums.weights::<F>(search.smoothing[best.0], shape)));
        let model = LinearModel::new(shape, shape.sets, weights).of_kind(LinearKind::NaiveBayes);
        Next::Done(Box::new(Trained {
            model: Arc::new(model),
            search: search.points.clone(),
            best: best.0,
            iterations: 0,
            converged: true,
            objective: None,
            class_rows: sums.rows,
            cut_short: false,
        }))
    }
}

impl<F: Real> Trainer for NaiveBayesSearch<F> {
    fn next(&mut self, answer: Option<RecordBatch>) -> Result<Next> {
        let counts = match (self.common.counts.take(), answer) {
            (None, None) => {
                self.common.scans += 1;
                return Ok(Next::Scan(Box::new(self.common.pass)));
            }
            (None, Some(state)) => Counts::of(self.common.pass, &state)?.checked()?,
            (Some(counts), None) => counts,
            (Some(counts), Some(state)) => {
                self.take(state)?;
                counts
            }
        };
        let next = match self.ask(&counts) {
            Some(pass) => {
                self.common.scans += 1;
                Next::Scan(Box::new(pass))
            }
            None => self.done(&counts),
        };
        self.common.counts = Some(counts);
        Ok(next)
    }

    fn status(&self) -> Status {
        Status {
            scans: self.common.scans,
            phase: if self.common.counts.is_none() {
                "counts"
            } else {
                "search"
            },
            running: self.common.asked,
            objective: None,
            iteration: 0,
            iterations_left: None,
        }
    }
}
