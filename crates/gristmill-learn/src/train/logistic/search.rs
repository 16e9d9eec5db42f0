//! Grid search with cross-validation in one lock-step: all folds and penalties share every scan.
//!
//! `max_iter` is no axis of its own: the optimiser is deterministic from one start, so the iterate at 10 of a run of 100 is
//! the model of `max_iter = 10`, and its score is read off the path.
//!
//! Where the training rows are few enough to be gathered and their symmetries halve them, a model is fitted to the
//! lifted problem, which needs no scan.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use rayon::prelude::*;

use crate::error::broken;
use crate::error::{Error, Result};
use crate::model::Thresholds;
use crate::model::{LinearModel, Weights};
use crate::optimise::Optimiser;
use crate::optimise::convergence::Stop;
use crate::rows::Shape;
use crate::rows::features::Rows;
use crate::rows::real::Real;
use crate::rows::summary::weighty;
use crate::rows::summary::{Summary, SummaryPass};
use crate::search::Penalty;
use crate::search::checkpoint::{self, Checkpoint};
use crate::search::grid::longest;
use crate::search::grid::{ElasticNetParams, SearchPoint, Wanted, choose, finished, folds, grid};
use crate::search::halving::Rounds;
use crate::search::trainer::{Next, Status, Trained, Trainer};
use crate::search::warm::WarmStart;
use crate::settings::{LogisticSettings, Metric, SearchSettings};
use crate::train::logistic::gather::GatherPass;
use crate::train::logistic::lifted::Lifted;
use crate::train::logistic::memory::affordable;
use crate::train::logistic::running::{Candidate, Progress, Running, Training};
use crate::train::logistic::scan::{Answer, ScanPass, answers};
use crate::train::size::TrainingSize;

pub(crate) struct LogisticSearch<F> {
    settings: LogisticSettings,
    metric: Metric,
    shape: Shape,
    thresholds: Thresholds,
    summary_pass: SummaryPass,
    /// Of every fold held out, then of none.
    trainings: Vec<Training>,
    class_rows: Vec<u64>,
    memory: u64,
    /// Models that advance together.
    together: usize,
    wrap: fn(Arc<Vec<F>>) -> Weights,
    /// Models of the search that have not started, last first.
    waiting: Vec<Candidate>,
    running: Vec<Running<F>>,
    points: Vec<SearchPoint<ElasticNetParams>>,
    /// Of the penalties.
    rounds: Rounds,
    phase: Phase,
    asked: Vec<(usize, Question)>,
    scans: u64,
    /// Where the last fit starts; it is then not lifted, for what starts apart has no symmetry.
    warm: Option<Vec<f32>>,
    /// Where an earlier training stood, until the rows are known again.
    restored: Option<Checkpoint<Progress<Optimiser<F>>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Summary,
    Gather,
    Search,
    Refit { best: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Gradient,
    Score,
}

impl<F: Real> LogisticSearch<F> {
    pub(crate) fn new(
        settings: &LogisticSettings,
        search: &SearchSettings,
        size: TrainingSize,
        shape: Shape,
        thresholds: Thresholds,
        memory: u64,
        wrap: fn(Arc<Vec<F>>) -> Weights,
    ) -> Self {
        let points = grid(settings);
        let folds = folds(&points, search);
        Self {
            settings: settings.clone(),
            metric: search.metric,
            shape,
            thresholds,
            summary_pass: SummaryPass {
                folds,
                classes: size.classes,
                features: size.features,
            },
            trainings: Vec::new(),
            class_rows: Vec::new(),
            memory,
            together: 1,
            wrap,
            waiting: Vec::new(),
            running: Vec::new(),
            rounds: Rounds::new(penalties(&points).len(), longest(settings), search.halving),
            points,
            phase: Phase::Summary,
            asked: Vec::new(),
            scans: 0,
            warm: None,
            restored: None,
        }
    }

    /// The folds held out, one after the other, and at last none.
    fn held_out(&self) -> impl Iterator<Item = Option<usize>> + use<F> {
        let folds = self.summary_pass.folds;
        (0..folds).filter(move |_| folds > 1).map(Some).chain([None])
    }

    fn take_summary(&mut self, state: &RecordBatch) -> Result<()> {
        let summary = Summary::of(self.summary_pass, state)?;
        let folds = self.summary_pass.folds;
        for fold in (0..folds).filter(|_| folds > 1) {
            if summary.fold_rows(fold) == 0 {
                return Err(Error::empty_fold(fold, folds));
            }
        }
        let whole = summary.subset(None);
        if whole.rows == 0 {
            return Err(Error::empty_training());
        }
        self.class_rows = whole.counts;
        let training = |held_out| {
            Ok(Training {
                subset: weighty(summary.subset(held_out))?,
                lifted: None,
                shape: self.shape,
            })
        };
        self.trainings = self.held_out().map(training).collect::<Result<_>>()?;
        self.phase = Phase::Gather;
        Ok(())
    }

    /// Looks for symmetries in the rows gathered, and starts.
    fn take_rows(&mut self, state: &RecordBatch) -> Result<()> {
        let folds = self.summary_pass.folds;
        // Without columns there were too many.
        let rows = (state.num_columns() > 0).then(|| Rows::of(state)).transpose()?;
        for (held_out, training) in self.held_out().zip(&mut self.trainings) {
            let rows = rows.filter(|_| held_out.is_some() || self.warm.is_none());
            let lifted = rows.and_then(|rows| Lifted::of(rows, folds, held_out, &training.subset));
            training.lifted = lifted.map(Arc::new);
        }
        let lifted = self.trainings.iter().filter_map(|t| t.lifted.as_ref());
        let held: u64 = lifted.map(|lifted| lifted.bytes()).sum();
        let each = self.trainings.iter().map(|t| t.model_bytes::<F>(&self.settings));
        let (each, available) = (each.max().unwrap_or(1), self.memory.saturating_sub(held));
        let size = TrainingSize {
            features: self.shape.features,
            classes: self.summary_pass.classes,
        };
        affordable(&self.settings, size, each, available)?;
        self.together = (available / each) as usize;
        match self.restored.take() {
            Some(saved) if saved.running.len() <= self.together => self.resume(saved)?,
            _ if folds == 1 => self.start_refit(0),
            _ => self.line_up(folds),
        }
        Ok(())
    }

    /// Lets every penalty on every fold wait for its start.
    fn line_up(&mut self, folds: usize) {
        // All folds of one penalty end up beside each other; the order changes no result.
        let penalties = penalties(&self.points);
        for place in self.rounds.alive().iter().rev() {
            for fold in (0..folds).rev() {
                self.waiting.push(Candidate {
                    place: *place,
                    penalty: penalties[*place],
                    fold,
                });
            }
        }
        self.phase = Phase::Search;
    }

    /// Goes on where an earlier training stood.
    fn resume(&mut self, saved: Checkpoint<Progress<Optimiser<F>>>) -> Result<()> {
        let folds = self.summary_pass.folds;
        self.rounds = saved.check(&mut self.points, folds, &self.rounds)?;
        if folds > 1 {
            self.line_up(folds);
        }
        self.waiting.truncate(saved.waiting);
        self.scans = saved.scans;
        if let Some(best) = saved.best {
            choose(&mut self.points, self.metric);
            // The fit is past its start.
            self.warm = None;
            self.phase = Phase::Refit { best };
        }
        let all = self.trainings.len() - 1;
        for progress in saved.running {
            let (place, penalty) = match (progress.candidate, saved.best) {
                (Some(candidate), _) => (candidate.fold, candidate.penalty),
                (None, Some(best)) => (all, self.points[best].params.penalty()),
                (None, None) => return Err(broken("a model is neither searched nor refitted")),
            };
            let training = self.trainings.get(place).cloned();
            let training = training.ok_or_else(|| broken("there is no such fold"))?;
            let running = Running::resume(progress, training, penalty, &self.settings)?;
            self.running.push(running);
        }
        if saved.best.is_some() {
            self.trainings.clear();
        }
        Ok(())
    }

    fn start_refit(&mut self, best: usize) {
        let (point, all) = (&self.points[best], self.trainings.len() - 1);
        let (penalty, max_iter) = (point.params.penalty(), point.params.max_iter);
        let training = self.trainings.swap_remove(all);
        self.trainings.clear();
        self.running.push(Running::start(
            None,
            training,
            penalty,
            max_iter,
            &self.settings,
            Wanted::default(),
            self.warm.take().as_deref(),
        ));
        self.phase = Phase::Refit { best };
    }

    fn start_waiting(&mut self) {
        while self.running.len() < self.together {
            let Some(candidate) = self.waiting.pop() else {
                break;
            };
            let penalty = candidate.penalty;
            let ahead = (0..self.points.len()).filter(|p| {
                let params = &self.points[*p].params;
                params.penalty() == penalty && self.rounds.reaches(params.max_iter)
            });
            let wanted = Wanted {
                ahead: ahead.collect(),
                end: self.rounds.decides(),
            };
            let training = self.trainings[candidate.fold].clone();
            let candidate = Some(candidate);
            self.running.push(Running::start(
                candidate,
                training,
                penalty,
                self.rounds.limit(),
                &self.settings,
                wanted,
                None,
            ));
        }
    }

    /// What comes next for the models that want something; `None` when all have stopped and are scored.
    fn ask(&mut self) -> Option<Next> {
        self.start_waiting();
        self.asked.clear();
        let folds = self.summary_pass.folds;
        let mut jobs = Vec::new();
        for (i, running) in self.running.iter().enumerate() {
            if let Some(job) = running.score(folds) {
                jobs.push(job);
                self.asked.push((i, Question::Score));
            }
            if let Some(job) = running.gradient(folds) {
                jobs.push(job);
                self.asked.push((i, Question::Gradient));
            }
        }
        if jobs.is_empty() {
            let any = self.running.iter().any(|r| r.fit.stopped().is_none());
            return any.then_some(Next::Step);
        }
        Some(Next::Scan(Box::new(ScanPass {
            shape: self.shape,
            classes: self.summary_pass.classes,
            jobs,
            thresholds: self.thresholds.clone(),
        })))
    }

    fn take(&mut self, answers: Vec<Answer<F>>) -> Result<()> {
        if answers.len() != self.asked.len() {
            return Err(Error::State {
                pass: "logistic regression scan",
                why: format!("{} answers to {} questions", answers.len(), self.asked.len()),
            });
        }
        let mut scanned: Vec<Option<(f64, Vec<F>)>> = self.running.iter().map(|_| None).collect();
        for ((i, question), answer) in self.asked.iter().zip(answers) {
            let running = &mut self.running[*i];
            match question {
                Question::Score => {
                    let score = answer.confusion.scores().get(self.metric);
                    let Some(Candidate { place, fold, .. }) = running.candidate else {
                        continue;
                    };
                    let folds = self.summary_pass.folds;
                    for point in running.due.drain(..) {
                        self.points[point].scored(fold, folds, score);
                    }
                    if running.take_end() {
                        self.rounds.score(place, score);
                    }
                }
                Question::Gradient => scanned[*i] = Some((answer.loss, answer.gradient)),
            }
        }
        let points = &self.points;
        self.running
            .par_iter_mut()
            .zip(scanned)
            .try_for_each(|(running, scanned)| running.advance(scanned, points))?;
        if self.phase == Phase::Search {
            self.running
                .retain(|r| r.fit.stopped().is_none() || r.wants_score());
        }
        Ok(())
    }

    fn iterations_left(&self) -> Option<u32> {
        let longest = longest(&self.settings);
        let first = self.running.iter().map(|r| r.fit.iteration()).min().unwrap_or(0);
        match self.phase {
            Phase::Summary | Phase::Gather => None,
            Phase::Search => {
                let waves = self.waiting.len().div_ceil(self.together.max(1)) as u32;
                // This wave, those that wait, the rounds to come, and the refit of what may be the longest.
                let round = self.rounds.limit();
                let later = self.rounds.later().saturating_add(longest);
                Some(
                    round
                        .saturating_sub(first)
                        .saturating_add(round.saturating_mul(waves))
                        .saturating_add(later),
                )
            }
            Phase::Refit { best } => Some(self.points[best].params.max_iter.saturating_sub(first)),
        }
    }

    fn done(&mut self, best: usize) -> Result<Next> {
        let Some(last) = self.running.pop() else {
            return Err(Error::State {
                pass: "logistic regression scan",
                why: "no model".to_owned(),
            });
        };
        let (iterations, objective) = (last.fit.iteration(), last.fit.objective());
        let converged = last.fit.stopped() != Some(Stop::MaxIterations);
        let weights = (self.wrap)(last.into_weights());
        let model = LinearModel::new(self.shape, self.summary_pass.classes, weights)
            .with_thresholds(self.thresholds.clone());
        Ok(Next::Done(Box::new(Trained {
            model: Arc::new(model),
            search: finished(&self.points),
            best,
            iterations,
            converged,
            objective: Some(objective),
            class_rows: self.class_rows.clone(),
        })))
    }
}

/// The penalties of the grid, in its order.
fn penalties(points: &[SearchPoint<ElasticNetParams>]) -> Vec<Penalty> {
    let mut penalties: Vec<Penalty> = points.iter().map(|p| p.params.penalty()).collect();
    penalties.dedup();
    penalties
}

impl<F: Real> Trainer for LogisticSearch<F> {
    fn next(&mut self, answer: Option<RecordBatch>) -> Result<Next> {
        match (self.phase, answer) {
            (Phase::Summary, None) => {}
            (Phase::Summary, Some(state)) => self.take_summary(&state)?,
            (Phase::Gather, Some(state)) => self.take_rows(&state)?,
            (Phase::Gather, None) => {}
            (Phase::Search | Phase::Refit { .. }, Some(state)) => self.take(answers(state)?)?,
            (Phase::Search | Phase::Refit { .. }, None) => self.take(Vec::new())?,
        }
        let next = match self.phase {
            Phase::Summary => Next::Scan(Box::new(self.summary_pass)),
            Phase::Gather => Next::Scan(Box::new(GatherPass)),
            Phase::Search | Phase::Refit { .. } => match (self.ask(), self.phase) {
                (Some(next), _) => next,
                (None, Phase::Refit { best }) => self.done(best)?,
                (None, _) if self.rounds.next(self.metric) => {
                    self.line_up(self.summary_pass.folds);
                    self.ask().unwrap_or(Next::Step)
                }
                (None, _) => {
                    let best = choose(&mut self.points, self.metric);
                    self.start_refit(best);
                    match self.ask() {
                        Some(next) => next,
                        None => self.done(best)?,
                    }
                }
            },
        };
        self.scans += u64::from(matches!(next, Next::Scan(_)));
        Ok(next)
    }

    fn start_from(&mut self, start: WarmStart) -> Result<()> {
        self.warm = Some(start.coefficients);
        Ok(())
    }

    fn save(&self, to: &mut dyn Write) -> Result<bool> {
        let best = match self.phase {
            Phase::Summary | Phase::Gather => return Ok(false),
            Phase::Search => None,
            Phase::Refit { best } => Some(best),
        };
        let state = Checkpoint {
            // The scan that was asked for is asked for again.
            scans: self.scans - u64::from(!self.asked.is_empty()),
            best,
            scores: self.points.iter().map(|point| point.scores.clone()).collect(),
            rounds: self.rounds.clone(),
            waiting: self.waiting.len(),
            running: self.running.iter().map(Running::progress).collect(),
        };
        checkpoint::write(&state, to)?;
        Ok(true)
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        self.restored = Some(checkpoint::read(from)?);
        Ok(())
    }

    fn status(&self) -> Status {
        let active = || self.running.iter().filter(|r| r.fit.stopped().is_none());
        Status {
            scans: self.scans,
            phase: match self.phase {
                Phase::Summary | Phase::Gather => "summary",
                Phase::Search => "search",
                Phase::Refit { .. } => "refit",
            },
            running: active().count() + self.waiting.len(),
            objective: active()
                .map(|r| r.fit.objective())
                .filter(|o| o.is_finite())
                .reduce(f64::min),
            iteration: self.running.iter().map(|r| r.fit.iteration()).max().unwrap_or(0),
            iterations_left: self.iterations_left(),
        }
    }
}
