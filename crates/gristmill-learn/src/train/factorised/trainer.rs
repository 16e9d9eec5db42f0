//! The training of a factorised softmax: epoch after epoch, until the loss of the validation rows no longer falls.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::contract::trainer::{Next, Params, SearchPoint, Status, Trained, Trainer, TrainingSize};
use crate::error::{Error, Result, broken};
use crate::model::factorised::FactorisedModel;
use crate::rows::FoldSums;
use crate::rows::factors::{Dimensions, KIND};
use crate::rows::summary::{Summary, SummaryPass, weighty};
use crate::rows::window::Window;
use crate::search::checkpoint;
use crate::train::factorised::pass::{Answer, EpochPass, answer};
use crate::train::factorised::settings::FactorisedSettings;
use crate::train::factorised::state::{Problem, State};

/// Bytes that the training takes at most, with a set of rows of its own.
pub(crate) fn bytes(dimensions: Dimensions, entries: usize) -> u64 {
    // Where an epoch starts from, the best so far, and what the epoch makes.
    let held = 2 * State::bytes(dimensions) + EpochPass::bytes(dimensions);
    held as u64 + Window::bytes(entries)
}

/// Bytes that the sums over the features take besides: of one fold, as they are summed, as a state, and what they say.
pub(crate) fn summary_bytes(size: TrainingSize) -> u64 {
    ((size.features + size.classes) * 6 * size_of::<f64>()) as u64
}

/// The training.
pub(crate) struct FactorisedTrainer {
    settings: FactorisedSettings,
    dimensions: Dimensions,
    summary: SummaryPass,
    problem: Option<Arc<Problem>>,
    stand: Stand<Arc<State>>,
    scans: u64,
    /// Whether a scan is under way, whose answer is not known yet.
    scanning: bool,
    /// Where an earlier training stood with its scans, until the rows are known again.
    restored: Option<(u64, Stand<State>)>,
}

/// Where the training stands; `S` is a state, or a reference to it.
#[derive(Serialize, Deserialize)]
struct Stand<S> {
    /// After the last epoch; `None` before the rows are summed up.
    state: Option<S>,
    /// Mean loss of the training rows in that epoch, each before it was learnt from.
    objective: f64,
    /// The state of the lowest loss so far, and that loss.
    best: Option<(S, f64)>,
    /// Whether an epoch did not lower the loss.
    converged: bool,
    /// Whether there is nothing more to ask.
    stopped: bool,
}

impl<S> Stand<S> {
    fn start() -> Self {
        Self {
            state: None,
            objective: f64::INFINITY,
            best: None,
            converged: false,
            stopped: false,
        }
    }

    /// The same with its states in another form.
    fn map<'s, T>(&'s self, form: impl Fn(&'s S) -> T) -> Stand<T> {
        Stand {
            state: self.state.as_ref().map(&form),
            objective: self.objective,
            best: self.best.as_ref().map(|(state, loss)| (form(state), *loss)),
            converged: self.converged,
            stopped: self.stopped,
        }
    }
}

impl FactorisedTrainer {
    pub(crate) fn new(settings: &FactorisedSettings, dimensions: Dimensions) -> Self {
        Self {
            settings: settings.clone(),
            dimensions,
            summary: SummaryPass {
                folds: FoldSums::all(1),
                classes: dimensions.classes,
                features: dimensions.features,
            },
            problem: None,
            stand: Stand::start(),
            scans: 0,
            scanning: false,
            restored: None,
        }
    }

    fn take_summary(&mut self, state: &RecordBatch) -> Result<()> {
        let subset = Summary::of(self.summary, state)?.subset(None);
        if subset.rows == 0 {
            return Err(Error::empty_training());
        }
        let problem = Arc::new(Problem {
            dimensions: self.dimensions,
            subset: weighty(subset)?,
        });
        if let Some((scans, stand)) = self.restored.take() {
            self.scans = scans;
            self.stand = stand.map(|state| Arc::new(state.clone()));
        } else {
            self.stand.state = Some(Arc::new(State::start(&problem)));
        }
        self.problem = Some(problem);
        Ok(())
    }

    /// Takes in an epoch, and what the validation rows said of the state before it.
    fn take(&mut self, answer: Answer) -> Result<()> {
        let before = self.stand.state.clone();
        if let Some(trained) = answer.trained {
            self.stand.objective = trained.loss / trained.rows.max(1) as f64;
            if !self.stand.objective.is_finite() {
                return Err(Error::Diverged {
                    model: KIND.to_owned(),
                    value: self.stand.objective,
                    iteration: trained.state.epochs,
                });
            }
            self.stand.state = Some(Arc::new(trained.state));
        } else {
            // Only the last state is scored without an epoch after it.
            self.stand.stopped = true;
        }
        let seen = match answer.score {
            // Where the training starts from is no model to choose.
            None => None,
            Some(score) if score.rows > 0 => before.map(|state| (state, score.loss / score.rows as f64)),
            // Without validation rows the training rows decide, of which the last state has not seen an epoch.
            Some(_) if self.stand.stopped => None,
            Some(_) => self
                .stand
                .state
                .clone()
                .map(|state| (state, self.stand.objective)),
        };
        if let Some((state, loss)) = seen {
            let least = self
                .stand
                .best
                .as_ref()
                .map(|(_, best)| best - self.settings.tol * best.abs());
            if least.is_none_or(|least| loss < least) {
                self.stand.best = Some((state, loss));
            } else {
                self.stand.converged = true;
                self.stand.stopped = true;
            }
        }
        Ok(())
    }

    fn what_next(&mut self) -> Result<Next> {
        let (Some(problem), Some(state)) = (&self.problem, &self.stand.state) else {
            return Ok(Next::Scan(Box::new(self.summary)));
        };
        if self.stand.stopped {
            return self.done();
        }
        let score = (state.epochs > 0).then(|| Arc::clone(state));
        let more = state.epochs < self.settings.max_iter;
        Ok(Next::Scan(Box::new(EpochPass {
            dimensions: self.dimensions,
            epoch: more.then(|| (Arc::clone(problem), Arc::clone(state))),
            score,
        })))
    }

    fn done(&mut self) -> Result<Next> {
        let last = self.stand.state.take();
        let chosen = self.stand.best.take().map(|(state, _)| state).or(last);
        let (Some(state), Some(problem)) = (chosen, &self.problem) else {
            return Err(broken("no model is under way"));
        };
        let state = Arc::unwrap_or_clone(state);
        let params = Params::default().with("dimension", self.settings.dimension);
        Ok(Next::Done(Box::new(Trained {
            search: vec![SearchPoint {
                params: params.with("max_iter", self.settings.max_iter),
                score: None,
                scores: Vec::new(),
            }],
            best: 0,
            iterations: state.epochs,
            converged: self.stand.converged,
            objective: Some(self.stand.objective),
            class_rows: problem.subset.counts.clone(),
            cut_short: false,
            model: Arc::new(FactorisedModel::new(state.factors)),
        })))
    }
}

impl Trainer for FactorisedTrainer {
    fn next(&mut self, given: Option<RecordBatch>) -> Result<Next> {
        match given {
            None => {}
            Some(state) if self.problem.is_none() => self.take_summary(&state)?,
            Some(state) => self.take(answer(state, self.dimensions)?)?,
        }
        let next = self.what_next()?;
        self.scanning = matches!(next, Next::Scan(_));
        self.scans += u64::from(self.scanning);
        Ok(next)
    }

    fn save(&self, to: &mut dyn Write) -> Result<bool> {
        if self.problem.is_none() {
            return Ok(false);
        }
        // The scan that was asked for is asked for again.
        let scans = self.scans - u64::from(self.scanning);
        checkpoint::write(&(scans, self.stand.map(|state| &**state)), to)?;
        Ok(true)
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        let (scans, stand): (u64, Stand<State>) = checkpoint::read(from)?;
        let states = stand
            .state
            .iter()
            .chain(stand.best.iter().map(|(state, _)| state));
        if stand.state.is_none() || !states.into_iter().all(|state| state.is_of(self.dimensions)) {
            return Err(broken("it is of other dimensions"));
        }
        self.restored = Some((scans, stand));
        Ok(())
    }

    fn status(&self) -> Status {
        let epochs = self.stand.state.as_ref().map_or(0, |state| state.epochs);
        Status {
            scans: self.scans,
            phase: if self.problem.is_none() {
                "summary"
            } else {
                "refit"
            },
            running: usize::from(!self.stand.stopped),
            objective: (epochs > 0).then_some(self.stand.objective),
            iteration: epochs,
            iterations_left: self
                .problem
                .is_some()
                .then(|| self.settings.max_iter.saturating_sub(epochs)),
        }
    }
}
