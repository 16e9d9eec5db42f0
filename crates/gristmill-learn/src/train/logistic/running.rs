//! One model of a search under way: its fit, by scans or on its lifted problem, and the points of the grid on its path.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::optimise::Optimiser;
use crate::optimise::convergence::Stop;
use crate::rows::real::Real;
use crate::rows::summary::Subset;
use crate::rows::{RowSet, Shape};
use crate::search::Penalty;
use crate::search::grid::{ElasticNetParams, SearchPoint, Wanted};
use crate::settings::LogisticSettings;
use crate::train::logistic::lifted::Lifted;
use crate::train::logistic::objective::Fit;
use crate::train::logistic::scan::{Job, Task};

/// A penalty on one fold, and the place of the penalty in the grid.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) place: usize,
    pub(crate) penalty: Penalty,
    pub(crate) fold: usize,
}

/// The rows that a model is fitted to.
#[derive(Clone)]
pub(crate) struct Training {
    /// The rows' sums.
    pub(crate) subset: Arc<Subset>,
    /// The lifted problem, where there is one.
    pub(crate) lifted: Option<Arc<Lifted>>,
    /// The shape of the whole model.
    pub(crate) shape: Shape,
}

impl Training {
    /// Bytes that the fit of one model takes.
    pub(crate) fn model_bytes<F: Real>(&self, settings: &LogisticSettings) -> u64 {
        match &self.lifted {
            // The whole coefficients besides, to be scored.
            Some(lifted) => {
                Fit::<F>::bytes(lifted.shape(self.shape), settings)
                    + (self.shape.len() * size_of::<F>()) as u64
            }
            None => Fit::<F>::bytes(self.shape, settings),
        }
    }

    /// The rows' sums and the shape that the optimisation runs on.
    fn problem(&self) -> (&Arc<Subset>, Shape) {
        match &self.lifted {
            Some(lifted) => (&lifted.subset, lifted.shape(self.shape)),
            None => (&self.subset, self.shape),
        }
    }

    /// The coefficients of the whole model.
    fn whole<F: Real>(&self, weights: Arc<Vec<F>>) -> Arc<Vec<F>> {
        match &self.lifted {
            Some(lifted) => Arc::new(lifted.expand(&weights, self.shape)),
            None => weights,
        }
    }
}

/// Where a model stands: what [`Running::resume`] needs besides the rows. `O` is its optimiser, or a reference to it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Progress<O> {
    pub(crate) candidate: Option<Candidate>,
    optimiser: O,
    stopped: Option<Stop>,
    due: Vec<usize>,
    ahead: Vec<usize>,
    end: bool,
}

/// A model under way.
pub(crate) struct Running<F> {
    pub(crate) candidate: Option<Candidate>,
    pub(crate) fit: Fit<F>,
    training: Training,
    /// Points of the grid whose iterate is reached and not scored yet.
    pub(crate) due: Vec<usize>,
    /// Points further along the path.
    ahead: Vec<usize>,
    /// Whether the score of where it stops is wanted, and not known yet.
    end: bool,
}

impl<F: Real> Running<F> {
    /// Starts, at `warm` where there is one.
    pub(crate) fn start(
        candidate: Option<Candidate>,
        training: Training,
        penalty: Penalty,
        max_iter: u32,
        settings: &LogisticSettings,
        wanted: Wanted,
        warm: Option<&[f32]>,
    ) -> Self {
        let (subset, shape) = training.problem();
        let fit = Fit::new(Arc::clone(subset), shape, penalty, max_iter, settings, warm);
        // One with nothing to optimise is to be scored straight away.
        let (due, ahead) = match fit.stopped() {
            None => (Vec::new(), wanted.ahead),
            Some(_) => (wanted.ahead, Vec::new()),
        };
        Self {
            candidate,
            fit,
            training,
            due,
            ahead,
            end: wanted.end,
        }
    }

    /// Goes on where a model stood.
    pub(crate) fn resume(
        progress: Progress<Optimiser<F>>,
        training: Training,
        penalty: Penalty,
        settings: &LogisticSettings,
    ) -> Result<Self> {
        let (subset, shape) = training.problem();
        let (optimiser, stopped) = (progress.optimiser, progress.stopped);
        let fit = Fit::resume(Arc::clone(subset), shape, penalty, settings, optimiser, stopped)?;
        Ok(Self {
            candidate: progress.candidate,
            fit,
            training,
            due: progress.due,
            ahead: progress.ahead,
            end: progress.end,
        })
    }

    /// Where it stands.
    pub(crate) fn progress(&self) -> Progress<&Optimiser<F>> {
        let (optimiser, stopped) = self.fit.stands();
        Progress {
            candidate: self.candidate,
            optimiser,
            stopped,
            due: self.due.clone(),
            ahead: self.ahead.clone(),
            end: self.end,
        }
    }

    /// The score it wants of a scan over so many folds.
    pub(crate) fn score(&self, folds: usize) -> Option<Job<F>> {
        let fold = self.candidate.filter(|_| self.wants_score())?.fold;
        Some(Job {
            weights: self.training.whole(Arc::clone(self.fit.accepted())),
            rows: RowSet::Fold { fold, folds },
            task: Task::Score,
        })
    }

    /// Whether it is at a point whose score is wanted.
    pub(crate) fn wants_score(&self) -> bool {
        !self.due.is_empty() || (self.end && self.fit.stopped().is_some())
    }

    /// Whether the score it was given is that of where it stopped, which is then known.
    pub(crate) fn take_end(&mut self) -> bool {
        let ended = self.end && self.fit.stopped().is_some();
        self.end &= !ended;
        ended
    }

    /// The gradient it wants of a scan over so many folds.
    pub(crate) fn gradient(&self, folds: usize) -> Option<Job<F>> {
        (self.training.lifted.is_none() && self.fit.stopped().is_none()).then(|| Job {
            weights: Arc::clone(self.fit.weights()),
            rows: RowSet::outside(self.candidate.map(|c| c.fold), folds),
            task: Task::Gradient,
        })
    }

    /// Goes on with the loss and gradient of the scan, or with those of the lifted problem.
    pub(crate) fn advance(
        &mut self,
        scanned: Option<(f64, Vec<F>)>,
        points: &[SearchPoint<ElasticNetParams>],
    ) -> Result<()> {
        if self.fit.stopped().is_some() {
            return Ok(());
        }
        let (loss, gradient) = match (&self.training.lifted, scanned) {
            (_, Some(scanned)) => scanned,
            (Some(lifted), None) => lifted.gradient(self.fit.weights(), self.training.shape),
            (None, None) => return Ok(()),
        };
        if !loss.is_finite() {
            return Err(Error::Diverged {
                model: "logistic_regression".to_owned(),
                value: loss,
                iteration: self.fit.iteration(),
            });
        }
        self.fit.tell(loss, gradient);
        let (iteration, stopped) = (self.fit.iteration(), self.fit.stopped().is_some());
        let reached = |p: &usize| points[*p].params.max_iter <= iteration || stopped;
        // The iterate of an earlier limit was asked for in the scan after it was reached, so `due` is empty.
        let (due, ahead) = self.ahead.iter().partition(|p| reached(p));
        self.due.extend::<Vec<usize>>(due);
        self.ahead = ahead;
        Ok(())
    }

    /// The final coefficients of the whole model.
    pub(crate) fn into_weights(self) -> Arc<Vec<F>> {
        self.training.whole(self.fit.into_weights())
    }
}
