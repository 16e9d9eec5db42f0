//! AdaGrad with early stopping, as a family of models that a search trains.
//!
//! `max_iter` counts epochs. The steps do not depend on how many are allowed, so fewer epochs are a point on the path.
//! After each epoch the validation rows are scored, in the scan of the next; the training stops when their log
//! loss no longer falls, at the model before. Without validation rows the loss of the training rows decides.

use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::contract::trainer::Next;
use crate::contract::trainer::TrainingSize;
use crate::error::{Error, Result, broken};
use crate::model::{LinearModel, Thresholds, Weights};
use crate::rows::summary::Subset;
use crate::rows::window::Window;
use crate::rows::{Fold, RowSet, Shape, Split};
use crate::search::Penalty;
use crate::search::family::{Family, Found, Member, Running};
use crate::train::adagrad::epoch::{EpochJob, EpochPass, ScoreJob, Trained, answers};
use crate::train::adagrad::state::{Problem, State};
use crate::train::logistic::settings::LogisticSettings;

/// Bytes that the training of one model takes at most, with a set of rows of its own.
pub(crate) fn bytes_per_model(shape: Shape, entries: usize) -> u64 {
    // Where it starts from in a scan, the best so far, and what the scan makes.
    let held = 2 * State::bytes(shape) + EpochPass::bytes_per_epoch(shape);
    held as u64 + Window::bytes(entries)
}

/// The family.
pub(crate) struct AdaGrad {
    settings: LogisticSettings,
    classes: usize,
    shape: Shape,
    /// Entries of a row.
    entries: usize,
    thresholds: Thresholds,
    /// Bytes for all models that advance together.
    memory: u64,
    /// What is trained on with each fold held out, then with none; without a penalty.
    problems: Vec<Problem>,
    /// What the scan under way was asked, in order: by the places of the models.
    asked: Vec<(usize, Question)>,
    /// The ends of the epochs that the scan found, with the losses of the validation rows before, by the places of the
    /// models.
    ends: Vec<(usize, Trained, Option<f64>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Epoch,
    /// For the end of the training.
    Validation,
    /// For the search.
    Score,
}

/// A model under way.
pub(crate) struct Descent {
    problem: Arc<Problem>,
    max_iter: u32,
    tol: f64,
    state: Arc<State>,
    /// Mean loss of the rows of the last epoch, each before it was learnt from, and the penalty.
    objective: f64,
    /// The state of the lowest loss so far, and that loss.
    best: Option<(Arc<State>, f64)>,
    stop: Option<Stop>,
}

/// Where a model stands. `S` is its state, or a reference to it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stand<S> {
    state: S,
    /// Epochs after which it stops in any case.
    max_iter: u32,
    objective: f64,
    best: Option<(S, f64)>,
    stop: Option<Stop>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stop {
    Converged,
    MaxIterations,
}

impl Descent {
    /// Takes in an epoch and what the rows of validation said of the state before it.
    fn advance(&mut self, end: Trained, validation: Option<f64>) -> Result<()> {
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
        }
        Ok(())
    }
}

impl Member for Descent {
    fn iteration(&self) -> u32 {
        self.state.epochs
    }

    fn objective(&self) -> f64 {
        self.objective
    }

    fn stopped(&self) -> bool {
        self.stop.is_some()
    }

    fn converged(&self) -> bool {
        self.stop == Some(Stop::Converged)
    }
}

impl AdaGrad {
    /// `memory` bounds how many models advance together, in bytes; it changes nothing but the number of scans.
    pub(crate) fn new(
        settings: &LogisticSettings,
        size: TrainingSize,
        thresholds: Thresholds,
        memory: u64,
    ) -> Self {
        Self {
            settings: settings.clone(),
            classes: size.classes,
            shape: size.shape(settings.family),
            entries: size.entries,
            thresholds,
            memory,
            problems: Vec::new(),
            asked: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// The problem with a fold held out, under a penalty.
    fn problem(&self, held_out: Option<Fold>, penalty: Penalty) -> Result<Arc<Problem>> {
        let problem = match held_out {
            Some(fold) => self.problems.get(fold.number()),
            None => self.problems.last(),
        };
        let problem = problem.ok_or_else(|| broken("there is no such fold"))?;
        Ok(Arc::new(Problem {
            reg_param: penalty.reg_param,
            ..problem.clone()
        }))
    }
}

impl Family for AdaGrad {
    type Member = Descent;
    type Saved = Stand<State>;
    type Written<'m> = Stand<&'m State>;
    type Place = State;

    fn hold(&mut self, _held_out: Option<Fold>, subset: Arc<Subset>) {
        self.problems.push(Problem {
            shape: self.shape,
            subset,
            reg_param: 0.0,
            standardization: self.settings.standardization,
            fit_intercept: self.settings.fit_intercept,
        });
    }

    fn together(&self) -> Result<usize> {
        Ok((self.memory / bytes_per_model(self.shape, self.entries)).max(1) as usize)
    }

    fn start(
        &mut self,
        held_out: Option<Fold>,
        penalty: Penalty,
        max_iter: u32,
        warm: Option<&[f32]>,
    ) -> Result<Descent> {
        let problem = self.problem(held_out, penalty)?;
        Ok(Descent {
            state: Arc::new(State::start(&problem, warm)),
            problem,
            max_iter,
            tol: self.settings.tol,
            objective: f64::INFINITY,
            best: None,
            stop: None,
        })
    }

    fn start_at(
        &mut self,
        held_out: Option<Fold>,
        penalty: Penalty,
        max_iter: u32,
        place: State,
    ) -> Result<Descent> {
        let stand = Stand {
            max_iter: max_iter.saturating_add(place.epochs),
            state: place,
            objective: f64::INFINITY,
            best: None,
            stop: None,
        };
        self.resume(stand, held_out, penalty)
    }

    fn lengthen(mut member: Descent, max_iter: u32) -> Option<Descent> {
        member.max_iter = max_iter;
        if member.stop == Some(Stop::MaxIterations) && member.state.epochs < max_iter {
            member.stop = None;
        }
        Some(member)
    }

    fn place(member: Descent) -> State {
        Arc::unwrap_or_clone(member.state)
    }

    fn resume(&mut self, saved: Stand<State>, held_out: Option<Fold>, penalty: Penalty) -> Result<Descent> {
        let problem = self.problem(held_out, penalty)?;
        if saved.state.weights.len() != problem.shape.len() {
            return Err(broken("it is of another number of coefficients"));
        }
        Ok(Descent {
            problem,
            max_iter: saved.max_iter,
            tol: self.settings.tol,
            state: Arc::new(saved.state),
            objective: saved.objective,
            best: saved.best.map(|(state, loss)| (Arc::new(state), loss)),
            stop: saved.stop,
        })
    }

    fn written(member: &Descent) -> Stand<&State> {
        Stand {
            state: &member.state,
            max_iter: member.max_iter,
            objective: member.objective,
            best: member.best.as_ref().map(|(state, loss)| (&**state, *loss)),
            stop: member.stop,
        }
    }

    fn ask(&mut self, running: &[Running<Descent>]) -> Option<Next> {
        self.asked.clear();
        let (mut epochs, mut scores) = (Vec::new(), Vec::new());
        // In the order of the answers: epochs, then scores.
        for (place, running) in running.iter().enumerate().filter(|(_, r)| !r.member.stopped()) {
            epochs.push(EpochJob {
                problem: Arc::clone(&running.member.problem),
                state: Arc::clone(&running.member.state),
                rows: RowSet::outside(running.held_out()),
            });
            self.asked.push((place, Question::Epoch));
        }
        for (place, running) in running.iter().enumerate() {
            let member = &running.member;
            let mut score = |rows, question| {
                let state = Arc::clone(&member.state);
                scores.push(ScoreJob { state, rows });
                self.asked.push((place, question));
            };
            if !member.stopped() && member.state.epochs > 0 {
                score(RowSet::Split(Split::Validation), Question::Validation);
            }
            if let Some(rows) = running.scored_rows() {
                score(rows, Question::Score);
            }
        }
        (!self.asked.is_empty()).then(|| {
            Next::Scan(Box::new(EpochPass {
                shape: self.shape,
                classes: self.classes,
                epochs,
                scores,
                thresholds: self.thresholds.clone(),
            }))
        })
    }

    fn take(&mut self, answer: Option<RecordBatch>) -> Result<Vec<(usize, Found)>> {
        let (ends, confusions) = answer.map(answers).transpose()?.unwrap_or_default();
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
        self.ends = (epochs.iter().zip(ends))
            .map(|((place, _), end)| (*place, end, None))
            .collect();
        let mut scored = Vec::new();
        for ((place, question), confusion) in scores.iter().zip(confusions) {
            if *question == Question::Score {
                scored.push((*place, Found::Classes(confusion)));
                continue;
            }
            let scores = confusion.scores();
            let end = self.ends.iter_mut().find(|(ended, ..)| ended == place);
            if let (Some((.., validation)), true) = (end, scores.rows > 0) {
                *validation = Some(scores.log_loss);
            }
        }
        Ok(scored)
    }

    fn advance(&mut self, running: &mut [Running<Descent>]) -> Result<()> {
        for (place, end, validation) in self.ends.drain(..) {
            running[place].member.advance(end, validation)?;
        }
        Ok(())
    }

    fn model(&self, member: Descent) -> LinearModel {
        let state = Arc::unwrap_or_clone(member.state);
        LinearModel::new(self.shape, self.classes, Weights::F32(Arc::new(state.weights)))
    }
}
