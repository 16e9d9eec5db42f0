//! One logistic regression, or one linear regression by its squared errors, as an optimisation in the space of standardised features, as Spark ML does it.
//!
//! Objective: `mean(loss) + l2 / 2 * |w|² + l1 * |w|₁` with `l1 = elastic_net_param * reg_param` and `l2` the rest of
//! `reg_param`, intercepts unpenalised, where `w` are the coefficients of features divided by their standard deviation
//! (with `standardization = false` the penalty is on those of the raw features, but the optimiser still moves in the
//! standardised space). A constant feature has coefficient 0. With an intercept, the features that the optimiser sees are
//! centred too, as Spark's are from 3.2 on (SPARK-34448): its intercept is the data's plus `Σ w mean / deviation`. That
//! moves no minimum, but the path to it is shorter where means are large against deviations.
//! See Spark's `LogisticRegression.scala` (`trainImpl`, `createInitialSolution`) and `L2Regularization`.

use std::sync::Arc;

use rayon::prelude::*;

use crate::error::{Result, broken};
use crate::optimise::Optimiser;
use crate::optimise::convergence::{Step, Stop};
use crate::optimise::owlqn::L1;
use crate::rows::Shape;
use crate::rows::kernel::Block;
use crate::rows::real::Real;
use crate::rows::simd::vectorised;
use crate::rows::summary::Subset;
use crate::search::Penalty;
use crate::search::warm::lay_out;
use crate::statistics::Confusion;
use crate::statistics::logarithm::{ln, ln_1p};
use crate::train::logistic::settings::LogisticSettings;

/// An intercept that makes a class certain: e^-40 is lost beside 1.
const CERTAIN: f64 = 40.0;
/// Features per chunk of the element-wise work.
const CHUNK_FEATURES: usize = 256;

/// Where an optimisation starts.
pub(crate) enum Start<'a, F> {
    /// At zero coefficients and the log odds of the classes.
    Zero,
    /// At the coefficients of [`crate::search::WarmStart`].
    Warm(&'a [f32]),
    /// At a point of the optimiser, where another penalty on the same rows was minimised.
    At(Vec<F>),
}

/// The fit of one model: where its optimisation stands.
pub(crate) struct Fit<F> {
    subset: Arc<Subset>,
    shape: Shape,
    penalty: Penalty,
    standardization: bool,
    fit_intercept: bool,
    optimiser: Optimiser<F>,
    /// Coefficients in the units of the data at the point being evaluated.
    weights: Arc<Vec<F>>,
    /// The same at the current iterate.
    accepted: Arc<Vec<F>>,
    stopped: Option<Stop>,
}

impl<F: Real> Fit<F> {
    /// Where only one class has rows, and there is an
    /// intercept, that is the solution, and nothing remains to be evaluated; Spark's is at infinity.
    pub(crate) fn new(
        subset: Arc<Subset>,
        shape: Shape,
        penalty: Penalty,
        max_iter: u32,
        settings: &LogisticSettings,
        from: Start<'_, F>,
    ) -> Self {
        let mut start = vec![F::default(); shape.len()];
        let classes = subset.label.is_none();
        let only = match subset.weights.iter().filter(|weight| **weight > 0.0).count() {
            1 if settings.fit_intercept && classes => subset.weights.iter().position(|weight| *weight > 0.0),
            _ => None,
        };
        if let (Start::At(point), None) = (&from, only) {
            start.clone_from(point);
        } else if let (Start::Warm(warm), None) = (&from, only) {
            let intercept = f64::from(settings.fit_intercept);
            lay_out(
                warm,
                shape,
                subset.deviation.iter().copied().chain([intercept]),
                &mut start,
            );
            if settings.fit_intercept {
                shift_intercepts(&mut start, shape, &subset, 1.0);
            }
        } else if settings.fit_intercept {
            let intercepts = &mut start[shape.features * shape.stride()..];
            if let Some(label) = subset.label {
                intercepts[0] = F::from_f64(label.mean);
            } else if let Some(class) = only {
                match (shape.sets, class) {
                    (1, 0) => intercepts[0] = F::from_f64(-CERTAIN),
                    (1, _) => intercepts[0] = F::from_f64(CERTAIN),
                    _ => intercepts[class] = F::from_f64(CERTAIN),
                }
            } else if shape.sets == 1 {
                intercepts[0] = F::from_f64(ln(subset.weights[1] / subset.weights[0]));
            } else {
                let logs: Vec<f64> = subset.weights.iter().map(|w| ln_1p(*w)).collect();
                let mean = logs.iter().sum::<f64>() / logs.len() as f64;
                for (to, log) in intercepts.iter_mut().zip(&logs) {
                    *to = F::from_f64(log - mean);
                }
            }
        }
        let l1 = (penalty.l1() > 0.0).then(|| {
            let strength = |feature| {
                let unit = subset.l1_unit(feature, settings.standardization);
                F::from_f64(penalty.l1() * unit * inverse(subset.deviation[feature]))
            };
            let features = (0..shape.features).map(strength);
            L1 {
                strengths: features.chain([F::default()]).collect(),
                stride: shape.stride(),
            }
        });
        let (history, tol) = (settings.history as usize, settings.tol);
        let mut fit = Self {
            subset,
            shape,
            penalty,
            standardization: settings.standardization,
            fit_intercept: settings.fit_intercept,
            optimiser: Optimiser::new(start, l1, history, tol, max_iter),
            weights: Arc::default(),
            accepted: Arc::default(),
            stopped: None,
        };
        fit.weights = fit.trial_weights();
        fit.accepted = Arc::clone(&fit.weights);
        if only.is_some() {
            fit.tell(0.0, vec![F::default(); shape.len()]);
        }
        fit
    }

    /// Goes on where an optimisation stood.
    pub(crate) fn resume(
        subset: Arc<Subset>,
        shape: Shape,
        penalty: Penalty,
        settings: &LogisticSettings,
        optimiser: Optimiser<F>,
        stopped: Option<Stop>,
    ) -> Result<Self> {
        if optimiser.x().len() != shape.len() {
            return Err(broken("it is of another number of coefficients"));
        }
        let mut fit = Self {
            subset,
            shape,
            penalty,
            standardization: settings.standardization,
            fit_intercept: settings.fit_intercept,
            optimiser,
            weights: Arc::default(),
            accepted: Arc::default(),
            stopped,
        };
        fit.accepted = fit.unscaled(fit.optimiser.x().to_vec());
        fit.weights = match stopped {
            Some(_) => Arc::clone(&fit.accepted),
            None => fit.trial_weights(),
        };
        Ok(fit)
    }

    /// Where its optimisation stands, and why it stopped, if it did.
    pub(crate) fn stands(&self) -> (&Optimiser<F>, Option<Stop>) {
        (&self.optimiser, self.stopped)
    }

    /// Vectors of the model's length that a fit holds at most, with the gradient of a scan.
    fn vectors(settings: &LogisticSettings) -> usize {
        let l1 = settings.elastic_net_param.iter().any(|share| *share > 0.0);
        // The optimiser's, the weights being evaluated, and those of the last iterate.
        Optimiser::<F>::vectors(settings.history as usize, l1) + 2
    }

    /// Bytes that a fit holds at most, with its part in a scan.
    pub(crate) fn bytes(shape: Shape, settings: &LogisticSettings) -> u64 {
        let vectors = shape.len() * size_of::<F>() * Self::vectors(settings);
        (vectors + 2 * Block::<F>::bytes(shape) + Confusion::bytes(shape.sets.max(2))) as u64
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
        self.optimiser.convergence().iteration()
    }

    /// The objective at the current iterate.
    pub(crate) fn objective(&self) -> f64 {
        self.optimiser.convergence().value()
    }

    /// Why it stopped, if it did.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// Takes the sums of loss and gradient at [`Fit::weights`]; says whether they made a new iterate.
    pub(crate) fn tell(&mut self, loss: f64, mut gradient: Vec<F>) -> bool {
        let weight = self.subset.weight;
        let penalty = self.finish_gradient(&mut gradient, 1.0 / weight);
        let before = self.optimiser.convergence().iteration();
        let step = self.optimiser.tell(loss / weight + penalty, gradient);
        let moved = self.optimiser.convergence().iteration() > before;
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
            let centred = if self.penalty.reg_param == 0.0 {
                0
            } else {
                features
            };
            for row in weights.chunks_exact_mut(self.shape.stride()).skip(centred) {
                let row = &mut row[..sets];
                let mean = F::from_f64(row.iter().map(|w| w.to_f64()).sum::<f64>() / sets as f64);
                row.iter_mut().for_each(|w| *w = w.sub(mean));
            }
        }
        Arc::new(weights)
    }

    /// The optimiser's trial in the units of the data.
    fn trial_weights(&self) -> Arc<Vec<F>> {
        let mut weights = Vec::new();
        self.optimiser.trial(&mut weights);
        self.unscaled(weights)
    }

    /// A point of the optimiser in the units of the data: divided by the standard deviations, the intercepts for features
    /// that are not centred.
    fn unscaled(&self, mut weights: Vec<F>) -> Arc<Vec<F>> {
        let stride = self.shape.stride();
        if self.fit_intercept {
            shift_intercepts(&mut weights, self.shape, &self.subset, -1.0);
        }
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
        for g in &mut *intercepts {
            *g = if self.fit_intercept {
                g.mul(over)
            } else {
                F::default()
            };
        }
        let intercepts = &*intercepts;
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
                            penalty += self.finish_feature(gradient, weights, intercepts, feature, over_n);
                        }
                        penalty
                    },
                )
            })
            .collect();
        penalties.iter().sum()
    }

    #[inline(always)]
    fn finish_feature(
        &self,
        gradient: &mut [F],
        weights: &[F],
        intercepts: &[F],
        feature: usize,
        over_n: f64,
    ) -> f64 {
        let inverse = inverse(self.subset.deviation[feature]);
        // Of a centred feature, each row's entry is less by the mean. Without an intercept its gradient here is 0.
        let centre = F::from_f64(-self.subset.mean[feature] * inverse);
        let unit = self.subset.penalty_unit(feature, self.standardization);
        let to_scaled = F::from_f64(over_n * inverse);
        let (l1, l2) = (self.penalty.l1(), self.penalty.l2());
        // d/dw of l2/2 unit raw², with raw = w / deviation. The L1 part is the optimiser's to differentiate.
        let pull = F::from_f64(l2 * unit * inverse);
        let (mut squares, mut sizes) = (0.0, 0.0);
        for ((g, w), of_intercept) in gradient.iter_mut().zip(weights).zip(intercepts) {
            *g = w.mul_add(pull, of_intercept.mul_add(centre, g.mul(to_scaled)));
            squares += w.to_f64() * w.to_f64();
            sizes += w.to_f64().abs();
        }
        0.5 * l2 * squares * unit + l1 * sizes * self.subset.l1_unit(feature, self.standardization)
    }
}

/// Adds to the intercepts of a point of the optimiser what its coefficients make of the means, times a sign.
fn shift_intercepts<F: Real>(point: &mut [F], shape: Shape, subset: &Subset, sign: f64) {
    let stride = shape.stride();
    let (features, intercepts) = point.split_at_mut(shape.features * stride);
    let sums: Vec<Vec<f64>> = features
        .par_chunks(CHUNK_FEATURES * stride)
        .enumerate()
        .map(|(chunk, weights)| {
            let mut sums = vec![0.0; stride];
            for (feature, weights) in (chunk * CHUNK_FEATURES..).zip(weights.chunks_exact(stride)) {
                let mean = subset.mean[feature] * inverse(subset.deviation[feature]);
                sums.iter_mut()
                    .zip(weights)
                    .for_each(|(sum, w)| *sum += mean * w.to_f64());
            }
            sums
        })
        .collect();
    for (set, intercept) in intercepts.iter_mut().enumerate() {
        let shift: f64 = sums.iter().map(|sums| sums[set]).sum();
        *intercept = F::from_f64(intercept.to_f64() + sign * shift);
    }
}

fn inverse(deviation: f64) -> f64 {
    if deviation > 0.0 { 1.0 / deviation } else { 0.0 }
}
