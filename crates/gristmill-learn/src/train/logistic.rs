//! One logistic regression as an optimisation in the space of standardised features, as Spark ML does it.
//!
//! Objective: `mean(loss) + reg_param / 2 * |w|²`, intercepts unpenalised, where `w` are the coefficients of features
//! divided by their standard deviation (with `standardization = false` the penalty is on those of the raw features,
//! but the optimiser still moves in the standardised space). A constant feature has coefficient 0.
//! See Spark's `LogisticRegression.scala` (`train`, `createInitialIntercepts`) and `L2Regularization`.

use std::sync::Arc;

use rayon::prelude::*;

use super::kernel::{Block, Shape};
use super::lbfgs::{Lbfgs, Step, Stop};
use super::real::Real;
use super::simd::vectorised;
use super::summary::Subset;
use crate::settings::LogisticSettings;

/// Features per chunk of the element-wise work.
const CHUNK_FEATURES: usize = 256;

/// The fit of one model: where its optimisation stands.
pub(crate) struct Fit<F> {
    subset: Arc<Subset>,
    shape: Shape,
    reg_param: f64,
    standardization: bool,
    fit_intercept: bool,
    optimiser: Lbfgs<F>,
    /// Coefficients in the units of the data at the point being evaluated.
    weights: Arc<Vec<F>>,
    /// The same at the current iterate.
    accepted: Arc<Vec<F>>,
    stopped: Option<Stop>,
}

impl<F: Real> Fit<F> {
    /// Starts at zero coefficients and the log odds of the classes.
    pub(crate) fn new(
        subset: Arc<Subset>,
        shape: Shape,
        reg_param: f64,
        max_iter: u32,
        settings: &LogisticSettings,
    ) -> Self {
        let mut start = vec![F::default(); shape.len()];
        if settings.fit_intercept {
            let intercepts = &mut start[shape.features * shape.stride()..];
            if shape.sets == 1 {
                let (no, yes) = (subset.counts[0] as f64, subset.counts[1] as f64);
                // A fold may lack a class; its odds are then those of half a row.
                intercepts[0] = F::from_f64((yes.max(0.5) / no.max(0.5)).ln());
            } else {
                let logs: Vec<f64> = subset.counts.iter().map(|c| (*c as f64).ln_1p()).collect();
                let mean = logs.iter().sum::<f64>() / logs.len() as f64;
                for (to, log) in intercepts.iter_mut().zip(&logs) {
                    *to = F::from_f64(log - mean);
                }
            }
        }
        let mut fit = Self {
            subset,
            shape,
            reg_param,
            standardization: settings.standardization,
            fit_intercept: settings.fit_intercept,
            optimiser: Lbfgs::new(start, settings.history as usize, settings.tol, max_iter),
            weights: Arc::default(),
            accepted: Arc::default(),
            stopped: None,
        };
        fit.weights = fit.trial_weights();
        fit.accepted = Arc::clone(&fit.weights);
        fit
    }

    /// Vectors of the model's length that a fit holds at most, with the gradient of a scan.
    fn vectors(history: u32) -> usize {
        // The optimiser's, the weights being evaluated, and those of the last iterate.
        Lbfgs::<F>::vectors(history as usize) + 2
    }

    /// Bytes that a fit holds at most, with its part in a scan.
    pub(crate) fn bytes(shape: Shape, history: u32) -> u64 {
        let vectors = shape.len() * size_of::<F>() * Self::vectors(history);
        (vectors + Block::<F>::bytes(shape) + shape.features * size_of::<f64>()) as u64
    }

    /// The point to evaluate next.
    pub(crate) fn weights(&self) -> &Arc<Vec<F>> {
        &self.weights
    }

    /// The current iterate, in the units of the data.
    pub(crate) fn accepted(&self) -> &Arc<Vec<F>> {
        &self.accepted
    }

    /// Iterations done.
    pub(crate) fn iteration(&self) -> u32 {
        self.optimiser.iteration()
    }

    /// The objective at the current iterate.
    pub(crate) fn objective(&self) -> f64 {
        self.optimiser.value()
    }

    /// Why it stopped, if it did.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// Takes the sums of loss and gradient at [`Fit::weights`]; says whether they made a new iterate.
    pub(crate) fn tell(&mut self, loss: f64, mut gradient: Vec<F>) -> bool {
        let n = self.subset.rows.max(1) as f64;
        let penalty = self.finish_gradient(&mut gradient, 1.0 / n);
        let before = self.optimiser.iteration();
        let step = self.optimiser.tell(loss / n + penalty, gradient);
        let moved = self.optimiser.iteration() > before;
        if moved {
            self.accepted = Arc::clone(&self.weights);
        }
        match step {
            Step::Stopped(stop) => {
                self.stopped = Some(stop);
                self.weights = Arc::clone(&self.accepted);
            }
            Step::Trial | Step::Accepted => self.weights = self.trial_weights(),
        }
        moved
    }

    /// The coefficients of the current iterate as Spark reports them: of the softmax, intercepts centred, and
    /// without regularisation the coefficients of each feature too, since only their differences are determined.
    pub(crate) fn into_weights(self) -> Arc<Vec<F>> {
        let Shape { features, sets } = self.shape;
        drop(self.weights);
        let mut weights = Arc::unwrap_or_clone(self.accepted);
        if sets > 1 {
            let centred = if self.reg_param == 0.0 { 0 } else { features };
            for row in weights.chunks_exact_mut(self.shape.stride()).skip(centred) {
                let row = &mut row[..sets];
                let mean = F::from_f64(row.iter().map(|w| w.to_f64()).sum::<f64>() / sets as f64);
                row.iter_mut().for_each(|w| *w = w.sub(mean));
            }
        }
        Arc::new(weights)
    }

    /// The optimiser's trial, divided by the standard deviations.
    fn trial_weights(&self) -> Arc<Vec<F>> {
        let mut weights = Vec::new();
        self.optimiser.trial(&mut weights);
        let stride = self.shape.stride();
        let features = &mut weights[..self.shape.features * stride];
        features
            .par_chunks_mut(CHUNK_FEATURES * stride)
            .enumerate()
            .for_each(|(chunk, weights)| {
                let deviations = &self.subset.deviation[chunk * CHUNK_FEATURES..];
                for (w, deviation) in weights.chunks_exact_mut(stride).zip(deviations) {
                    let inverse = F::from_f64(inverse(*deviation));
                    w.iter_mut().for_each(|w| *w = w.mul(inverse));
                }
            });
        Arc::new(weights)
    }

    /// Turns the sum of the raw gradients into the gradient of the objective; returns the penalty.
    fn finish_gradient(&self, gradient: &mut [F], over_n: f64) -> f64 {
        let stride = self.shape.stride();
        let (features, intercepts) = gradient.split_at_mut(self.shape.features * stride);
        let over = F::from_f64(over_n);
        for g in intercepts {
            *g = if self.fit_intercept {
                g.mul(over)
            } else {
                F::default()
            };
        }
        let penalties: Vec<f64> = features
            .par_chunks_mut(CHUNK_FEATURES * stride)
            .enumerate()
            .map(|(chunk, gradient)| {
                let from = chunk * CHUNK_FEATURES;
                let weights = &self.weights[from * stride..];
                vectorised(
                    #[inline(always)]
                    || {
                        let mut penalty = 0.0;
                        let rows = gradient
                            .chunks_exact_mut(stride)
                            .zip(weights.chunks_exact(stride));
                        for (feature, (gradient, weights)) in (from..).zip(rows) {
                            penalty += self.finish_feature(gradient, weights, feature, over_n);
                        }
                        penalty
                    },
                )
            })
            .collect();
        penalties.iter().sum()
    }

    #[inline(always)]
    fn finish_feature(&self, gradient: &mut [F], weights: &[F], feature: usize, over_n: f64) -> f64 {
        let inverse = inverse(self.subset.deviation[feature]);
        let unit = self.subset.penalty_unit(feature, self.standardization);
        let to_scaled = F::from_f64(over_n * inverse);
        // d/dw of reg/2 unit raw², with raw = w / deviation.
        let pull = F::from_f64(self.reg_param * unit * inverse);
        let mut squares = 0.0;
        for (g, w) in gradient.iter_mut().zip(weights) {
            *g = w.mul_add(pull, g.mul(to_scaled));
            squares += w.to_f64() * w.to_f64();
        }
        0.5 * self.reg_param * squares * unit
    }
}

fn inverse(deviation: f64) -> f64 {
    if deviation > 0.0 { 1.0 / deviation } else { 0.0 }
}
