//! Grid search with cross-validation in one lock-step: all folds and regularisations share every scan.
//!
//! `max_iter` is no axis of its own: L-BFGS is deterministic from one start, so the iterate at 10 of a run of 100 is
//! the model of `max_iter = 10`, and its score is read off the path.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::kernel::{Block, Shape};
use super::lbfgs::Stop;
use super::logistic::Fit;
use super::real::Real;
use super::scan::{Answer, Job, ScanPass, Task, answers};
use super::summary::{Subset, Summary, SummaryPass};
use super::trainer::{Next, Status, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::{LogisticModel, Weights};
use crate::settings::{Family, LogisticSettings, Metric, SearchSettings};

/// Models of at most this many coefficients are trained in double precision, larger ones in single. A rule of size
/// and not of memory, so that the same pipeline gives the same model under any budget.
pub const F64_ELEMENTS: usize = 1 << 18;

/// One point of the grid.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SearchPoint {
    /// Regularisation strength.
    pub reg_param: f64,
    /// Share of L1.
    pub elastic_net_param: f64,
    /// Iteration limit.
    pub max_iter: u32,
    /// Mean over the folds; absent when nothing was searched.
    pub score: Option<f64>,
    /// The score on each fold held out.
    pub scores: Vec<f64>,
}

/// The dimensions of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingSize {
    /// Sparse columns.
    pub features: usize,
    /// Classes, at least 2.
    pub classes: usize,
}

impl TrainingSize {
    fn shape(self, family: Family) -> Shape {
        let binomial = match family {
            Family::Auto => self.classes == 2,
            Family::Binomial => true,
            Family::Multinomial => false,
        };
        Shape {
            features: self.features,
            sets: if binomial { 1 } else { self.classes },
        }
    }

    /// Bytes that the fit of one model takes at most.
    pub fn bytes_per_model(self, settings: &LogisticSettings) -> u64 {
        let shape = self.shape(settings.family);
        let (element, vectors, block) = if shape.len() <= F64_ELEMENTS {
            (
                size_of::<f64>(),
                Fit::<f64>::vectors(settings.history),
                Block::<f64>::bytes(shape),
            )
        } else {
            (
                size_of::<f32>(),
                Fit::<f32>::vectors(settings.history),
                Block::<f32>::bytes(shape),
            )
        };
        (shape.len() * element * vectors + block + self.features * size_of::<f64>()) as u64
    }

    /// Bytes that the sums over the features take besides.
    pub fn summary_bytes(self, folds: u32) -> u64 {
        u64::from(folds.max(1)) * self.features as u64 * 2 * size_of::<f64>() as u64 * 2
    }
}

/// A search over the grid of `settings`, then a refit of the best on all training rows.
///
/// A grid of one point is fitted without cross-validation: there is nothing to choose. `memory` bounds how many models
/// advance together, in bytes; it changes nothing but the number of scans.
///
/// # Errors
/// `Budget` when not even one model fits.
pub fn logistic_search(
    settings: &LogisticSettings,
    search: &SearchSettings,
    size: TrainingSize,
    memory: u64,
) -> Result<Box<dyn Trainer>> {
    let each = size.bytes_per_model(settings);
    let available = memory.saturating_sub(size.summary_bytes(search.folds));
    let together = (available / each) as usize;
    if together == 0 {
        return Err(Error::Budget {
            what: format!(
                "one logistic regression of {} features and {} classes with history = {}",
                size.features, size.classes, settings.history
            ),
            needed: each + size.summary_bytes(search.folds),
            available: memory,
            way_out: "raise run.memory, lower model.history, or have fewer features (bits, min_count)"
                .to_owned(),
        });
    }
    let shape = size.shape(settings.family);
    Ok(if shape.len() <= F64_ELEMENTS {
        Box::new(LogisticSearch::<f64>::new(
            settings,
            search,
            size,
            shape,
            together,
            Weights::F64,
        ))
    } else {
        Box::new(LogisticSearch::<f32>::new(
            settings,
            search,
            size,
            shape,
            together,
            Weights::F32,
        ))
    })
}

struct LogisticSearch<F> {
    settings: LogisticSettings,
    metric: Metric,
    shape: Shape,
    summary_pass: SummaryPass,
    summary: Option<Summary>,
    subsets: Vec<Arc<Subset>>,
    together: usize,
    wrap: fn(Arc<Vec<F>>) -> Weights,
    /// Models of the search that have not started, last first.
    waiting: Vec<Candidate>,
    running: Vec<Running<F>>,
    points: Vec<SearchPoint>,
    phase: Phase,
    asked: Vec<(usize, Question)>,
    scans: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Summary,
    Search,
    Refit { best: usize },
}

/// A regularisation strength on one fold.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    reg: usize,
    fold: usize,
}

/// A model under way.
struct Running<F> {
    candidate: Option<Candidate>,
    fit: Fit<F>,
    /// Points of the grid whose iterate is reached and not scored yet.
    due: Vec<usize>,
    /// Points further along the path.
    ahead: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Gradient,
    Score,
}

impl<F: Real> LogisticSearch<F> {
    fn new(
        settings: &LogisticSettings,
        search: &SearchSettings,
        size: TrainingSize,
        shape: Shape,
        together: usize,
        wrap: fn(Arc<Vec<F>>) -> Weights,
    ) -> Self {
        let mut points = Vec::new();
        for reg_param in &settings.reg_param {
            for elastic_net_param in &settings.elastic_net_param {
                for max_iter in &settings.max_iter {
                    points.push(SearchPoint {
                        reg_param: *reg_param,
                        elastic_net_param: *elastic_net_param,
                        max_iter: *max_iter,
                        score: None,
                        scores: Vec::new(),
                    });
                }
            }
        }
        let folds = if points.len() > 1 {
            search.folds.max(2) as usize
        } else {
            1
        };
        Self {
            settings: settings.clone(),
            metric: search.metric,
            shape,
            summary_pass: SummaryPass {
                folds,
                classes: size.classes,
                features: size.features,
            },
            summary: None,
            subsets: Vec::new(),
            together,
            wrap,
            waiting: Vec::new(),
            running: Vec::new(),
            points,
            phase: Phase::Summary,
            asked: Vec::new(),
            scans: 0,
        }
    }

    fn start_search(&mut self, state: &RecordBatch) -> Result<()> {
        let summary = Summary::of(self.summary_pass, state)?;
        let folds = self.summary_pass.folds;
        if folds == 1 {
            self.summary = Some(summary);
            return self.start_refit(0);
        }
        for fold in 0..folds {
            if summary.fold_rows(fold) == 0 {
                return Err(Error::EmptySplit {
                    what: format!("fold {fold} of {folds}"),
                    why:
                        "no entity of the training split falls into it; lower search.folds or read more rows"
                            .to_owned(),
                });
            }
            self.subsets.push(Arc::new(summary.subset(Some(fold))));
        }
        self.summary = Some(summary);
        // All folds of one strength end up beside each other; the order changes no result.
        for reg in (0..self.settings.reg_param.len()).rev() {
            for fold in (0..folds).rev() {
                self.waiting.push(Candidate { reg, fold });
            }
        }
        self.points.iter_mut().for_each(|p| p.scores = vec![0.0; folds]);
        self.phase = Phase::Search;
        Ok(())
    }

    fn start_refit(&mut self, best: usize) -> Result<()> {
        let Some(summary) = self.summary.take() else {
            return Err(Error::State {
                pass: "features summary",
                why: "missing".to_owned(),
            });
        };
        let subset = summary.subset(None);
        if subset.rows == 0 {
            return Err(Error::EmptySplit {
                what: "the training split".to_owned(),
                why: "no entity falls into it; raise split.train or read more rows".to_owned(),
            });
        }
        self.subsets = vec![Arc::new(subset)];
        let point = &self.points[best];
        let subset = Arc::clone(&self.subsets[0]);
        let fit = Fit::new(
            subset,
            self.shape,
            point.reg_param,
            point.max_iter,
            &self.settings,
        );
        self.running.push(Running {
            candidate: None,
            fit,
            due: Vec::new(),
            ahead: Vec::new(),
        });
        self.phase = Phase::Refit { best };
        Ok(())
    }

    fn start_waiting(&mut self) {
        let longest = self.settings.max_iter.iter().copied().max().unwrap_or(0);
        while self.running.len() < self.together {
            let Some(candidate) = self.waiting.pop() else {
                break;
            };
            let reg_param = self.settings.reg_param[candidate.reg];
            let subset = Arc::clone(&self.subsets[candidate.fold]);
            let fit = Fit::new(subset, self.shape, reg_param, longest, &self.settings);
            let ahead = (0..self.points.len())
                .filter(|p| self.points[*p].reg_param == reg_param)
                .collect();
            self.running.push(Running {
                candidate: Some(candidate),
                fit,
                due: Vec::new(),
                ahead,
            });
        }
    }

    /// The next scan over every model that wants one; `None` when all have stopped and are scored.
    fn ask(&mut self) -> Option<ScanPass<F>> {
        self.start_waiting();
        self.asked.clear();
        let mut jobs = Vec::new();
        for (i, running) in self.running.iter().enumerate() {
            let held_out = running.candidate.map(|c| c.fold);
            if let (false, Some(fold)) = (running.due.is_empty(), held_out) {
                let weights = Arc::clone(running.fit.accepted());
                jobs.push(Job {
                    weights,
                    task: Task::Score { fold },
                });
                self.asked.push((i, Question::Score));
            }
            if running.fit.stopped().is_none() {
                let weights = Arc::clone(running.fit.weights());
                jobs.push(Job {
                    weights,
                    task: Task::Gradient { held_out },
                });
                self.asked.push((i, Question::Gradient));
            }
        }
        let (classes, folds) = (self.summary_pass.classes, self.summary_pass.folds);
        (!jobs.is_empty()).then_some(ScanPass {
            shape: self.shape,
            classes,
            folds,
            jobs,
        })
    }

    fn take(&mut self, answers: Vec<Answer<F>>) -> Result<()> {
        if answers.len() != self.asked.len() {
            return Err(Error::State {
                pass: "logistic regression scan",
                why: format!("{} answers to {} questions", answers.len(), self.asked.len()),
            });
        }
        for ((i, question), answer) in self.asked.iter().zip(answers) {
            let running = &mut self.running[*i];
            match question {
                Question::Score => {
                    let score = answer.confusion.scores().get(self.metric);
                    let fold = running.candidate.map_or(0, |c| c.fold);
                    for point in running.due.drain(..) {
                        self.points[point].scores[fold] = score;
                    }
                }
                Question::Gradient => {
                    if !answer.loss.is_finite() {
                        return Err(Error::Diverged {
                            model: "logistic_regression".to_owned(),
                            value: answer.loss,
                            iteration: running.fit.iteration(),
                        });
                    }
                    running.fit.tell(answer.loss, answer.gradient);
                    let (iteration, stopped) = (running.fit.iteration(), running.fit.stopped().is_some());
                    let points = &self.points;
                    let reached = |p: &usize| points[*p].max_iter <= iteration || stopped;
                    let (due, ahead) = running.ahead.iter().partition(|p| reached(p));
                    // The iterate of an earlier limit was asked for in the scan after it was reached, so `due` is empty.
                    running.due.extend::<Vec<usize>>(due);
                    running.ahead = ahead;
                }
            }
        }
        if self.phase == Phase::Search {
            self.running
                .retain(|r| r.fit.stopped().is_none() || !r.due.is_empty());
        }
        Ok(())
    }

    fn choose(&mut self) -> usize {
        let mut best = 0;
        for i in 0..self.points.len() {
            let point = &mut self.points[i];
            let score = point.scores.iter().sum::<f64>() / point.scores.len() as f64;
            point.score = Some(score);
            if self
                .metric
                .better(score, self.points[best].score.unwrap_or(score))
            {
                best = i;
            }
        }
        best
    }

    fn done(&mut self, best: usize) -> Result<Next> {
        let Some(last) = self.running.pop() else {
            return Err(Error::State {
                pass: "logistic regression scan",
                why: "no model".to_owned(),
            });
        };
        let class_rows = self.subsets[0].counts.clone();
        let (iterations, objective) = (last.fit.iteration(), last.fit.objective());
        let converged = last.fit.stopped() != Some(Stop::MaxIterations);
        let weights = (self.wrap)(last.fit.into_weights());
        Ok(Next::Done(Box::new(Trained {
            model: Arc::new(LogisticModel::new(self.shape, self.summary_pass.classes, weights)),
            search: self.points.clone(),
            best,
            iterations,
            converged,
            objective,
            class_rows,
        })))
    }
}

impl<F: Real> Trainer for LogisticSearch<F> {
    fn next(&mut self, answer: Option<RecordBatch>) -> Result<Next> {
        self.scans += 1;
        match (self.phase, answer) {
            (Phase::Summary, None) => return Ok(Next::Scan(Box::new(self.summary_pass))),
            (Phase::Summary, Some(state)) => self.start_search(&state)?,
            (Phase::Search | Phase::Refit { .. }, Some(state)) => self.take(answers(state)?)?,
            (Phase::Search | Phase::Refit { .. }, None) => {}
        }
        if let Some(pass) = self.ask() {
            return Ok(Next::Scan(Box::new(pass)));
        }
        match self.phase {
            Phase::Refit { best } => self.done(best),
            Phase::Summary | Phase::Search => {
                let best = self.choose();
                self.start_refit(best)?;
                match self.ask() {
                    Some(pass) => Ok(Next::Scan(Box::new(pass))),
                    None => self.done(best),
                }
            }
        }
    }

    fn status(&self) -> Status {
        let active = || self.running.iter().filter(|r| r.fit.stopped().is_none());
        Status {
            scans: self.scans,
            phase: match self.phase {
                Phase::Summary => "summary",
                Phase::Search => "search",
                Phase::Refit { .. } => "refit",
            },
            running: active().count() + self.waiting.len(),
            objective: active()
                .map(|r| r.fit.objective())
                .filter(|o| o.is_finite())
                .reduce(f64::min),
            iteration: self.running.iter().map(|r| r.fit.iteration()).max().unwrap_or(0),
        }
    }
}
