//! Logistic regression, or linear regression by scans, by L-BFGS or OWL-QN, as a family of models that a search trains.
//!
//! Where the training rows are few enough to be gathered and their symmetries halve them, a model is fitted to the
//! lifted problem, which needs no scan.

use std::sync::Arc;

use arrow::array::RecordBatch;
use rayon::prelude::*;

use crate::contract::pass::Pass;
use crate::contract::trainer::Next;
use crate::contract::trainer::TrainingSize;
use crate::error::{Error, Result, broken};
use crate::model::{LinearKind, LinearModel, Thresholds, Weights};
use crate::optimise::Optimiser;
use crate::optimise::convergence::Stop;
use crate::rows::features::Rows;
use crate::rows::real::Real;
use crate::rows::summary::Subset;
use crate::rows::{Fold, RowSet, Shape};
use crate::search::Penalty;
use crate::search::family::{Family, Found, Member, Running};
use crate::train::logistic::gather::GatherPass;
use crate::train::logistic::lifted::Lifted;
use crate::train::logistic::memory::{affordable, sums_bytes};
use crate::train::logistic::objective::{Fit, Start};
use crate::train::logistic::scan::{Job, ScanPass, Task, answers};
use crate::train::logistic::settings::LogisticSettings;

/// Convergence tolerance on a path of penalties at least: models that differ by less score alike.
const PATH_TOL: f64 = 1e-5;

/// The family; its models compute in `F`.
pub(crate) struct Logistic<F> {
    pub(crate) settings: LogisticSettings,
    pub(crate) size: TrainingSize,
    pub(crate) shape: Shape,
    pub(crate) thresholds: Thresholds,
    /// Bytes for all models that advance together.
    pub(crate) memory: u64,
    pub(crate) wrap: fn(Arc<Vec<F>>) -> Weights,
    /// What is trained on with each fold held out, then with none.
    trainings: Vec<Training>,
    /// What the scan under way was asked, in order: by the places of the models.
    asked: Vec<(usize, Task)>,
    /// The losses and gradients that the scan found, by the places of the models.
    scanned: Vec<Option<(f64, Vec<F>)>>,
}

/// The rows that a model is fitted to.
#[derive(Clone)]
pub(crate) struct Training {
    /// The fold whose rows are not among them.
    held_out: Option<Fold>,
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

/// A model under way.
pub(crate) struct Fitting<F> {
    fit: Fit<F>,
    training: Training,
}

impl<F: Real> Member for Fitting<F> {
    fn iteration(&self) -> u32 {
        self.fit.iteration()
    }

    fn objective(&self) -> f64 {
        self.fit.objective()
    }

    fn stopped(&self) -> bool {
        self.fit.stopped().is_some()
    }

    fn converged(&self) -> bool {
        self.fit.stopped().is_some_and(|stop| stop != Stop::MaxIterations)
    }
}

impl<F: Real> Fitting<F> {
    /// Goes on with the loss and gradient of the scan, or with those of the lifted problem.
    fn advance(&mut self, scanned: Option<(f64, Vec<F>)>) -> Result<()> {
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
                model: match self.training.subset.label {
                    None => "logistic_regression".to_owned(),
                    Some(_) => "linear_regression".to_owned(),
                },
                value: loss,
                iteration: self.fit.iteration(),
            });
        }
        self.fit.tell(loss, gradient);
        Ok(())
    }
}

impl<F: Real> Logistic<F> {
    /// `memory` bounds how many models advance together, in bytes; it changes nothing but the number of scans.
    pub(crate) fn new(
        settings: &LogisticSettings,
        size: TrainingSize,
        shape: Shape,
        thresholds: Thresholds,
        memory: u64,
        wrap: fn(Arc<Vec<F>>) -> Weights,
    ) -> Self {
        Self {
            settings: settings.clone(),
            size,
            shape,
            thresholds,
            memory,
            wrap,
            trainings: Vec::new(),
            asked: Vec::new(),
            scanned: Vec::new(),
        }
    }

    /// The training with a fold held out, or with none.
    fn training(&self, held_out: Option<Fold>) -> Result<Training> {
        let training = match held_out {
            Some(fold) => self.trainings.get(fold.number()),
            None => self.trainings.last(),
        };
        training.cloned().ok_or_else(|| broken("there is no such fold"))
    }
}

impl<F: Real> Family for Logistic<F> {
    type Member = Fitting<F>;
    type Saved = (Optimiser<F>, Option<Stop>);
    type Written<'m> = (&'m Optimiser<F>, Option<Stop>);
    type Place = Vec<F>;

    fn hold(&mut self, held_out: Option<Fold>, subset: Arc<Subset>) {
        self.trainings.push(Training {
            held_out,
            subset,
            lifted: None,
            shape: self.shape,
        });
    }

    fn gather(&self) -> Option<Box<dyn Pass>> {
        // The symmetries are those of the softmax.
        (self.size.classes > 0).then(|| Box::new(GatherPass) as _)
    }

    /// Looks for symmetries in the rows gathered.
    fn take_rows(&mut self, rows: &RecordBatch, warm: bool) -> Result<()> {
        // Without columns there were too many.
        let rows = (rows.num_columns() > 0).then(|| Rows::of(rows)).transpose()?;
        for training in &mut self.trainings {
            let held_out = training.held_out;
            // A fit that starts from an earlier model has no symmetries.
            let rows = rows.filter(|_| held_out.is_some() || !warm);
            let lifted = rows.and_then(|rows| Lifted::of(rows, held_out, &training.subset));
            training.lifted = lifted.map(Arc::new);
        }
        Ok(())
    }

    fn together(&self) -> Result<usize> {
        let lifted = self.trainings.iter().filter_map(|t| t.lifted.as_ref());
        let held: u64 = lifted.map(|lifted| lifted.bytes()).sum();
        let each = self.trainings.iter().map(|t| t.model_bytes::<F>(&self.settings));
        // Every fold held out, and none; or none alone.
        let folds = self.trainings.len().saturating_sub(1).max(1);
        let beside = held + sums_bytes(&self.settings, self.size, folds);
        affordable(
            &self.settings,
            self.size,
            each.max().unwrap_or(1),
            beside,
            self.memory,
        )
    }

    fn start(
        &mut self,
        held_out: Option<Fold>,
        penalty: Penalty,
        max_iter: u32,
        warm: Option<&[f32]>,
    ) -> Result<Fitting<F>> {
        let training = self.training(held_out)?;
        let (subset, shape) = training.problem();
        let penalty = penalty.of_label(subset.label.map(|label| label.deviation));
        let start = warm.map_or(Start::Zero, Start::Warm);
        let fit = Fit::new(
            Arc::clone(subset),
            shape,
            penalty,
            max_iter,
            &self.settings,
            start,
        );
        Ok(Fitting { fit, training })
    }

    fn start_at(
        &mut self,
        held_out: Option<Fold>,
        penalty: Penalty,
        max_iter: u32,
        place: Vec<F>,
    ) -> Result<Fitting<F>> {
        let training = self.training(held_out)?;
        let (subset, shape) = training.problem();
        let penalty = penalty.of_label(subset.label.map(|label| label.deviation));
        if place.len() != shape.len() {
            return Err(broken("it is of another number of coefficients"));
        }
        let settings = LogisticSettings {
            tol: self.settings.tol.max(PATH_TOL),
            ..self.settings.clone()
        };
        let start = Start::At(place);
        let fit = Fit::new(Arc::clone(subset), shape, penalty, max_iter, &settings, start);
        Ok(Fitting { fit, training })
    }

    fn place(member: Fitting<F>) -> Vec<F> {
        member.fit.stands().0.x().to_vec()
    }

    fn resume(
        &mut self,
        (optimiser, stopped): Self::Saved,
        held_out: Option<Fold>,
        penalty: Penalty,
    ) -> Result<Fitting<F>> {
        let training = self.training(held_out)?;
        let (subset, shape) = training.problem();
        let penalty = penalty.of_label(subset.label.map(|label| label.deviation));
        let fit = Fit::resume(
            Arc::clone(subset),
            shape,
            penalty,
            &self.settings,
            optimiser,
            stopped,
        )?;
        Ok(Fitting { fit, training })
    }

    fn written(member: &Fitting<F>) -> Self::Written<'_> {
        member.fit.stands()
    }

    fn ask(&mut self, running: &[Running<Fitting<F>>]) -> Option<Next> {
        self.asked.clear();
        let mut jobs = Vec::new();
        for (place, running) in running.iter().enumerate() {
            let Fitting { fit, training } = &running.member;
            if let Some(rows) = running.scored_rows() {
                jobs.push(Job {
                    weights: training.whole(Arc::clone(fit.accepted())),
                    rows,
                    task: Task::Score,
                });
                self.asked.push((place, Task::Score));
            }
            if training.lifted.is_none() && fit.stopped().is_none() {
                jobs.push(Job {
                    weights: Arc::clone(fit.weights()),
                    rows: RowSet::outside(running.held_out()),
                    task: Task::Gradient,
                });
                self.asked.push((place, Task::Gradient));
            }
        }
        if jobs.is_empty() {
            let any = running.iter().any(|running| !running.member.stopped());
            return any.then_some(Next::Step);
        }
        Some(Next::Scan(Box::new(ScanPass {
            shape: self.shape,
            classes: self.size.classes,
            jobs,
            thresholds: self.thresholds.clone(),
        })))
    }

    fn take(&mut self, answer: Option<RecordBatch>) -> Result<Vec<(usize, Found)>> {
        let answers = answer.map(answers::<F>).transpose()?.unwrap_or_default();
        if answers.len() != self.asked.len() {
            return Err(Error::State {
                pass: "logistic regression scan",
                why: format!("{} answers to {} questions", answers.len(), self.asked.len()),
            });
        }
        let mut scores = Vec::new();
        self.scanned.clear();
        for ((place, task), answer) in self.asked.iter().zip(answers) {
            match task {
                Task::Score => {
                    let found = match self.size.classes {
                        0 => Found::Numbers(answer.errors),
                        _ => Found::Classes(answer.confusion),
                    };
                    scores.push((*place, found));
                }
                Task::Gradient => {
                    self.scanned.resize_with(place + 1, || None);
                    self.scanned[*place] = Some((answer.loss, answer.gradient));
                }
            }
        }
        Ok(scores)
    }

    fn advance(&mut self, running: &mut [Running<Fitting<F>>]) -> Result<()> {
        self.scanned.resize_with(running.len(), || None);
        running
            .par_iter_mut()
            .zip(self.scanned.par_drain(..))
            .try_for_each(|(running, scanned)| running.member.advance(scanned))
    }

    fn model(&self, member: Fitting<F>) -> LinearModel {
        let weights = member.training.whole(member.fit.into_weights());
        let kind = match self.size.classes {
            0 => LinearKind::LinearRegression,
            _ => LinearKind::LogisticRegression,
        };
        LinearModel::new(self.shape, self.size.classes, (self.wrap)(weights)).of_kind(kind)
    }
}
