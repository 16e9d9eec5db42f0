//! Training by epochs: AdaGrad with early stopping, over the same grid and folds as L-BFGS.
//!
//! `max_iter` counts epochs. The steps do not depend on how many are allowed, so fewer epochs are a point on the path here
//! too. After each epoch the validation rows are scored, in the scan of the next; the training stops when their log
//! loss no longer falls, at the model before. Without validation rows the loss of the training rows decides.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::error::broken;
use crate::error::{Error, Result};
use crate::model::Thresholds;
use crate::model::{LinearModel, Weights};
use crate::rows::summary::weighty;
use crate::rows::summary::{Summary, SummaryPass};
use crate::rows::{RowSet, Shape, Split};
use crate::search::checkpoint::{self, Checkpoint};
use crate::search::grid::{ElasticNetParams, SearchPoint, Wanted, choose, finished, folds};
use crate::search::halving::Rounds;
use crate::search::longest;
use crate::search::trainer::{Next, Status, Trained, Trainer};
use crate::search::warm::WarmStart;
use crate::settings::{LogisticSettings, Metric, SearchSettings};
use crate::statistics::Confusion;
use crate::train::adagrad::epoch::{EpochJob, EpochPass, ScoreJob, Trained as EpochEnd, answers};
use crate::train::adagrad::state::{Problem, State};
use crate::train::size::TrainingSize;

/// Bytes of training rows that wait to be learnt from, for each set of rows: rows of some 40 entries.
const WINDOW_BYTES: u64 = 32 << 20;

/// Bytes that the training of one model takes at most.
pub(crate) fn bytes_per_model(shape: Shape) -> u64 {
    // Where it starts from in a scan, the best so far, and what the scan makes.
    let held = 2 * State::bytes(shape) + EpochPass::bytes_per_epoch(shape);
    held as u64 + WINDOW_BYTES
}

pub(crate) struct EpochSearch {
    settings: LogisticSettings,
    metric: Metric,
    shape: Shape,
    thresholds: Thresholds,
    summary_pass: SummaryPass,
    /// What is trained on with each fold held out, then with none. Of several penalties, the first.
    problems: Vec<Arc<Problem>>,
    class_rows: Vec<u64>,
    together: usize,
    points: Vec<SearchPoint<ElasticNetParams>>,
    /// Of the penalties.
    rounds: Rounds,
    /// Models of the search that have not started, last first: the place of the penalty and the fold.
    waiting: Vec<(usize, usize)>,
    running: Vec<Running>,
    phase: Phase,
    asked: Vec<(usize, Question)>,
    scans: u64,
    /// Where the last fit starts.
    warm: Option<Vec<f32>>,
    /// Where an earlier training stood, until the rows are known again.
    restored: Option<Checkpoint<Progress<State>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Summary,
    Search,
    Refit { best: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Epoch,
    Validation,
    Fold,
}

/// A model under way.
struct Running {
    /// The place of the penalty in the grid.
    place: usize,
    problem: Arc<Problem>,
    held_out: Option<usize>,
    max_iter: u32,
    tol: f64,
    state: Arc<State>,
    /// Mean loss of the rows of the last epoch, each before it was learnt from, and the penalty.
    objective: f64,
    /// The state of the lowest loss so far, and that loss.
    best: Option<(Arc<State>, f64)>,
    stop: Option<Stop>,
    /// Points of the grid that are reached and not scored yet, and those further along the path.
    due: Vec<usize>,
    ahead: Vec<usize>,
    /// Whether the score of where it stops is wanted, and not known yet.
    end: bool,
}

/// Where a model stands. `S` is its state, or a reference to it.
#[derive(Serialize, Deserialize)]
struct Progress<S> {
    /// The place of the penalty in the grid.
    place: usize,
    held_out: Option<usize>,
    state: S,
    objective: f64,
    best: Option<(S, f64)>,
    stop: Option<Stop>,
    due: Vec<usize>,
    ahead: Vec<usize>,
    end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stop {
    Converged,
    MaxIterations,
}

impl Running {
    fn start(
        place: usize,
        problem: Arc<Problem>,
        held_out: Option<usize>,
        max_iter: u32,
        tol: f64,
        wanted: Wanted,
        warm: Option<&[f32]>,
    ) -> Self {
        Self {
            place,
            end: wanted.end,
            state: Arc::new(State::start(&problem, warm)),
            problem,
            held_out,
            max_iter,
            tol,
            objective: f64::INFINITY,
            best: None,
            stop: None,
            due: Vec::new(),
            ahead: wanted.ahead,
        }
    }

    /// Goes on where a model stood.
    fn resume(progress: Progress<State>, problem: Arc<Problem>, max_iter: u32, tol: f64) -> Result<Self> {
        let (length, given) = (problem.shape.len(), progress.state.weights.len());
        if given != length {
            return Err(broken("it is of another number of coefficients"));
        }
        Ok(Self {
            place: progress.place,
            end: progress.end,
            problem,
            held_out: progress.held_out,
            max_iter,
            tol,
            state: Arc::new(progress.state),
            objective: progress.objective,
            best: progress.best.map(|(state, loss)| (Arc::new(state), loss)),
            stop: progress.stop,
            due: progress.due,
            ahead: progress.ahead,
        })
    }

    /// Whether it is at a point whose score is wanted.
    fn wants_score(&self) -> bool {
        !self.due.is_empty() || (self.end && self.stop.is_some())
    }

    /// Whether the score it was given is that of where it stopped, which is then known.
    fn take_end(&mut self) -> bool {
        let ended = self.end && self.stop.is_some();
        self.end &= !ended;
        ended
    }

    /// Where it stands.
    fn progress(&self) -> Progress<&State> {
        Progress {
            place: self.place,
            end: self.end,
            held_out: self.held_out,
            state: &self.state,
            objective: self.objective,
            best: self.best.as_ref().map(|(state, loss)| (&**state, *loss)),
            stop: self.stop,
            due: self.due.clone(),
            ahead: self.ahead.clone(),
        }
    }

    /// Takes in an epoch and what the rows of validation said of the state before it.
    fn advance(
        &mut self,
        end: EpochEnd,
        validation: Option<f64>,
        points: &[SearchPoint<ElasticNetParams>],
    ) -> Result<()> {
        let before = std::mem::replace(&mut self.state, Arc::new(end.state));
        let loss = end.loss / end.rows.max(1) as f64;
        if !loss.is_finite() {
            return Err(Error::Diverged {
                model: "logistic_regression".to_owned(),
                value: loss,
                iteration: self.state.epochs,
            });
        }
        self.objective = loss + self.problem.penalty(&self.state.weights);
        // The loss of an epoch is that of its states on the way, and above that of its end.
        let seen = match validation {
            _ if before.epochs == 0 => None,
            Some(loss) => Some((before, loss)),
            None => Some((Arc::clone(&self.state), self.objective)),
        };
        if let Some((state, loss)) = seen {
            let improved = match &self.best {
                Some((_, best)) => loss < best - self.tol * best.abs(),
                None => true,
            };
            if improved {
                self.best = Some((state, loss));
            } else {
                self.stop = Some(Stop::Converged);
                if let Some((best, _)) = self.best.take() {
                    self.state = best;
                }
            }
        }
        if self.stop.is_none() && self.state.epochs >= self.max_iter {
            self.stop = Some(Stop::MaxIterations);
            self.best = None;
        }
        let (epochs, stopped) = (self.state.epochs, self.stop.is_some());
        let (due, ahead) = self
            .ahead
            .iter()
            .partition(|p| points[**p].params.max_iter <= epochs || stopped);
        self.due.extend::<Vec<usize>>(due);
        self.ahead = ahead;
        Ok(())
    }
}

impl EpochSearch {
    /// `memory` bounds how many models advance together, in bytes; it changes nothing but the number of scans.
    pub(crate) fn new(
        settings: &LogisticSettings,
        search: &SearchSettings,
        size: TrainingSize,
        shape: Shape,
        points: Vec<SearchPoint<ElasticNetParams>>,
        thresholds: Thresholds,
        memory: u64,
    ) -> Self {
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
            problems: Vec::new(),
            class_rows: Vec::new(),
            together: (memory / bytes_per_model(shape)).max(1) as usize,
            rounds: Rounds::new(settings.reg_param.len(), longest(settings), search.halving),
            points,
            waiting: Vec::new(),
            running: Vec::new(),
            phase: Phase::Summary,
            asked: Vec::new(),
            scans: 0,
            warm: None,
            restored: None,
        }
    }

    fn take_summary(&mut self, state: &RecordBatch) -> Result<()> {
        let summary = Summary::of(self.summary_pass, state)?;
        let folds = self.summary_pass.folds;
        let held_out = (0..folds).filter(|_| folds > 1).map(Some).chain([None]);
        for fold in held_out {
            if let Some(fold) = fold.filter(|fold| summary.fold_rows(*fold) == 0) {
                return Err(Error::empty_fold(fold, folds));
            }
            let subset = summary.subset(fold);
            if subset.rows == 0 {
                return Err(Error::empty_training());
            }
            self.class_rows = subset.counts.clone();
            self.problems.push(Arc::new(Problem {
                shape: self.shape,
                subset: weighty(subset)?,
                reg_param: 0.0,
                standardization: self.settings.standardization,
                fit_intercept: self.settings.fit_intercept,
            }));
        }
        match self.restored.take() {
            Some(saved) if saved.running.len() <= self.together => self.resume(saved)?,
            _ if folds == 1 => self.start_refit(0),
            _ => self.line_up(folds),
        }
        Ok(())
    }

    /// Lets every penalty on every fold wait for its start.
    fn line_up(&mut self, folds: usize) {
        for place in self.rounds.alive().iter().rev() {
            for fold in (0..folds).rev() {
                self.waiting.push((*place, fold));
            }
        }
        self.phase = Phase::Search;
    }

    /// Goes on where an earlier training stood.
    fn resume(&mut self, saved: Checkpoint<Progress<State>>) -> Result<()> {
        let folds = self.summary_pass.folds;
        self.rounds = saved.check(&mut self.points, folds, &self.rounds)?;
        if folds > 1 {
            self.line_up(folds);
        }
        self.waiting.truncate(saved.waiting);
        self.scans = saved.scans;
        let mut max_iter = self.rounds.limit();
        if let Some(best) = saved.best {
            choose(&mut self.points, self.metric);
            // The fit is past its start.
            self.warm = None;
            self.phase = Phase::Refit { best };
            max_iter = self.points[best].params.max_iter;
        }
        for progress in saved.running {
            let place = progress.held_out.unwrap_or(self.problems.len() - 1);
            if place >= self.problems.len() {
                return Err(broken("there is no such fold"));
            }
            let reg_param = self.settings.reg_param.get(progress.place).copied();
            let reg_param = reg_param.ok_or_else(|| broken("there is no such penalty"))?;
            let problem = self.problem(place, reg_param);
            let running = Running::resume(progress, problem, max_iter, self.settings.tol)?;
            self.running.push(running);
        }
        Ok(())
    }

    fn problem(&self, place: usize, reg_param: f64) -> Arc<Problem> {
        Arc::new(Problem {
            reg_param,
            ..Problem::clone(&self.problems[place])
        })
    }

    fn start_refit(&mut self, best: usize) {
        let point = &self.points[best];
        let reg_param = point.params.reg_param;
        let place = self.settings.reg_param.iter().position(|r| *r == reg_param);
        let problem = self.problem(self.problems.len() - 1, reg_param);
        self.running = vec![Running::start(
            place.unwrap_or(0),
            problem,
            None,
            point.params.max_iter,
            self.settings.tol,
            Wanted::default(),
            self.warm.take().as_deref(),
        )];
        self.phase = Phase::Refit { best };
    }

    fn start_waiting(&mut self) {
        while self.running.len() < self.together {
            let Some((place, fold)) = self.waiting.pop() else {
                break;
            };
            let reg_param = self.settings.reg_param[place];
            let ahead = (0..self.points.len()).filter(|p| {
                let params = &self.points[*p].params;
                params.reg_param == reg_param && self.rounds.reaches(params.max_iter)
            });
            let wanted = Wanted {
                ahead: ahead.collect(),
                end: self.rounds.decides(),
            };
            let problem = self.problem(fold, reg_param);
            self.running.push(Running::start(
                place,
                problem,
                Some(fold),
                self.rounds.limit(),
                self.settings.tol,
                wanted,
                None,
            ));
        }
    }

    /// The next scan over every model that wants one; `None` when all have stopped and are scored.
    fn ask(&mut self) -> Option<EpochPass> {
        self.start_waiting();
        self.asked.clear();
        let folds = self.summary_pass.folds;
        let (mut epochs, mut scores) = (Vec::new(), Vec::new());
        // In the order of the answers: epochs, then scores.
        for (i, running) in self.running.iter().enumerate().filter(|(_, r)| r.stop.is_none()) {
            epochs.push(EpochJob {
                problem: Arc::clone(&running.problem),
                state: Arc::clone(&running.state),
                rows: RowSet::outside(running.held_out, folds),
            });
            self.asked.push((i, Question::Epoch));
        }
        for (i, running) in self.running.iter().enumerate() {
            let mut score = |rows, question| {
                let state = Arc::clone(&running.state);
                scores.push(ScoreJob { state, rows });
                self.asked.push((i, question));
            };
            if running.stop.is_none() && running.state.epochs > 0 {
                score(RowSet::Split(Split::Validation), Question::Validation);
            }
            if let (true, Some(fold)) = (running.wants_score(), running.held_out) {
                score(RowSet::Fold { fold, folds }, Question::Fold);
            }
        }
        (!self.asked.is_empty()).then_some(EpochPass {
            shape: self.shape,
            classes: self.summary_pass.classes,
            epochs,
            scores,
            thresholds: self.thresholds.clone(),
        })
    }

    fn take(&mut self, (ends, confusions): (Vec<EpochEnd>, Vec<Confusion>)) -> Result<()> {
        if ends.len() + confusions.len() != self.asked.len() {
            return Err(Error::State {
                pass: "adagrad epoch",
                why: format!(
                    "{} answers to {} questions",
                    ends.len() + confusions.len(),
                    self.asked.len()
                ),
            });
        }
        let (epochs, scores) = self.asked.split_at(ends.len());
        let mut validation = vec![None; self.running.len()];
        for ((i, question), confusion) in scores.iter().zip(&confusions) {
            let scores = confusion.scores();
            if *question == Question::Validation {
                validation[*i] = (scores.rows > 0).then_some(scores.log_loss);
                continue;
            }
            let running = &mut self.running[*i];
            let (fold, score) = (running.held_out.unwrap_or(0), scores.get(self.metric));
            for point in running.due.drain(..) {
                self.points[point].scored(fold, self.summary_pass.folds, score);
            }
            if running.take_end() {
                self.rounds.score(running.place, score);
            }
        }
        for ((i, _), end) in epochs.iter().zip(ends) {
            self.running[*i].advance(end, validation[*i], &self.points)?;
        }
        if self.phase == Phase::Search {
            self.running.retain(|r| r.stop.is_none() || r.wants_score());
        }
        Ok(())
    }

    fn done(&mut self, best: usize) -> Result<Next> {
        let Some(last) = self.running.pop() else {
            return Err(Error::State {
                pass: "adagrad epoch",
                why: "no model".to_owned(),
            });
        };
        let state = Arc::unwrap_or_clone(last.state);
        let weights = Weights::F32(Arc::new(state.weights));
        let model = LinearModel::new(self.shape, self.summary_pass.classes, weights)
            .with_thresholds(self.thresholds.clone());
        Ok(Next::Done(Box::new(Trained {
            model: Arc::new(model),
            search: finished(&self.points),
            best,
            iterations: state.epochs,
            converged: last.stop == Some(Stop::Converged),
            objective: Some(last.objective),
            class_rows: self.class_rows.clone(),
        })))
    }
}

impl Trainer for EpochSearch {
    fn next(&mut self, answer: Option<RecordBatch>) -> Result<Next> {
        self.scans += 1;
        match (self.phase, answer) {
            (Phase::Summary, None) => return Ok(Next::Scan(Box::new(self.summary_pass))),
            (Phase::Summary, Some(state)) => self.take_summary(&state)?,
            (Phase::Search | Phase::Refit { .. }, Some(state)) => self.take(answers(state)?)?,
            (Phase::Search | Phase::Refit { .. }, None) => {}
        }
        if let Some(pass) = self.ask() {
            return Ok(Next::Scan(Box::new(pass)));
        }
        if let Phase::Refit { best } = self.phase {
            return self.done(best);
        }
        if self.rounds.next(self.metric) {
            self.line_up(self.summary_pass.folds);
            if let Some(pass) = self.ask() {
                return Ok(Next::Scan(Box::new(pass)));
            }
        }
        let best = choose(&mut self.points, self.metric);
        self.start_refit(best);
        match self.ask() {
            Some(pass) => Ok(Next::Scan(Box::new(pass))),
            None => self.done(best),
        }
    }

    fn start_from(&mut self, start: WarmStart) -> Result<()> {
        self.warm = Some(start.coefficients);
        Ok(())
    }

    fn save(&self, to: &mut dyn Write) -> Result<bool> {
        let best = match self.phase {
            Phase::Summary => return Ok(false),
            Phase::Search => None,
            Phase::Refit { best } => Some(best),
        };
        let state = Checkpoint {
            scans: self.scans,
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
        let active = || self.running.iter().filter(|r| r.stop.is_none());
        Status {
            scans: self.scans,
            phase: match self.phase {
                Phase::Summary => "summary",
                Phase::Search => "search",
                Phase::Refit { .. } => "refit",
            },
            running: active().count() + self.waiting.len(),
            objective: active()
                .map(|r| r.objective)
                .filter(|o| o.is_finite())
                .reduce(f64::min),
            iteration: self.running.iter().map(|r| r.state.epochs).max().unwrap_or(0),
            iterations_left: None,
        }
    }
}
