//! Linear regression as the quadratic form that sums of products make of it, as Spark ML's `WeightedLeastSquares` has it.
//!
//! Features and label are divided by their deviations, which here are those of the population: `Σ w (x - mean)² / Σ w`. In
//! these units the objective is `1/2 vᵀQv - cᵀv + y²/2 + l2/2 |v|² + l1 |v|₁` with `Q` and `c` the (with an intercept:
//! centred) mean products, `l1 = elastic_net_param * reg_param / σ` and `l2` the rest of `reg_param / σ`, for the label's
//! deviation `σ`. Without `standardization` the strengths of a feature are divided by its deviation, that of `l2` twice.
//! In the units of the data that is half the mean squared error plus `l1 |β|₁` with `l1 = elastic_net_param * reg_param`,
//! plus `l2 / (2 σ) |β|²`: as in glmnet, the L2 part is relative to the label's deviation and the L1 part is not.
//! A constant feature has coefficient 0. Of a constant label the intercept is all there is.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::optimise::Optimiser;
use crate::optimise::cholesky::{self, dot};
use crate::optimise::convergence::{Step, Stop};
use crate::optimise::owlqn::L1;
use crate::search::Penalty;
use crate::search::ladder::Ladder;
use crate::train::least_squares::products::Sums;
use crate::train::least_squares::settings::{HISTORY, LinearSettings};

/// A second moment that is a smaller share of the mean square is what rounding leaves of 0.
const CONSTANT: f64 = 1e-12;
/// Rows of the matrix that a thread takes at a time.
const ROWS: usize = 64;

/// A linear regression on some rows, as far as it depends on no penalty.
pub(crate) struct Quadratic {
    /// Features in all.
    features: usize,
    /// Those that vary, in their order.
    varying: Vec<Column>,
    /// `Q`, row by row.
    matrix: Vec<f64>,
    /// `c`.
    slope: Vec<f64>,
    /// `y²`.
    square: f64,
    label: Column,
    /// Whether the label varies: else a penalty has no scale.
    label_varies: bool,
    fit_intercept: bool,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    index: usize,
    mean: f64,
    deviation: f64,
}

/// The solution for one penalty and one limit of the iterations.
#[derive(Debug, Clone)]
pub(crate) struct Solution {
    /// Coefficients in the units of the data, and at last the intercept.
    pub(crate) weights: Vec<f64>,
    /// The objective in the units of the data.
    pub(crate) objective: f64,
    /// Iterations; 0 where it was found by factorisation.
    pub(crate) iterations: u32,
    /// Whether it is a minimum, and not where the limit was.
    pub(crate) converged: bool,
}

/// A point on the way, in the units of the form.
#[derive(Clone)]
struct Point {
    scaled: Vec<f64>,
    objective: f64,
    iterations: u32,
    converged: bool,
}

impl Quadratic {
    /// Bytes of one of so many features, with what solving it takes.
    pub(crate) fn bytes(features: usize) -> u64 {
        let vectors = Optimiser::<f64>::vectors(HISTORY, true) + 8;
        // The matrix, and its factor.
        ((2 * features + vectors) * features * size_of::<f64>()) as u64
    }

    /// The form of these sums.
    pub(crate) fn of(sums: &Sums, fit_intercept: bool) -> Self {
        let features = sums.triangle.side - 2;
        let (one, y) = (features, features + 1);
        let weight = sums.get(one, one);
        let column = |index: usize| {
            let (sum, square) = if index == y {
                (sums.get(one, y), sums.get(y, y))
            } else {
                (sums.get(index, one), sums.get(index, index))
            };
            let (mean, square) = (sum / weight, square / weight);
            let variance = square - mean * mean;
            Column {
                index,
                mean,
                deviation: if variance > CONSTANT * square {
                    variance.sqrt()
                } else {
                    0.0
                },
            }
        };
        let mut varying: Vec<Column> = (0..features).map(column).filter(|c| c.deviation > 0.0).collect();
        let from_origin = column(y);
        let (mean, spread) = (from_origin.mean + sums.origin, from_origin.deviation);
        let label_varies = spread > 0.0;
        if !label_varies && (fit_intercept || mean == 0.0) {
            varying.clear();
        }
        // A label that does not vary cannot be scaled by its deviation.
        let deviation = match (label_varies, mean.abs()) {
            (true, _) => spread,
            (false, 0.0) => 1.0,
            (false, size) => size,
        };
        let centred = |product: f64, a: f64, b: f64| if fit_intercept { product - a * b } else { product };
        let n = varying.len();
        let mut matrix = vec![0.0; n * n];
        matrix
            .par_chunks_exact_mut(n.max(1))
            .zip(&varying)
            .for_each(|(row, a)| {
                for (element, b) in row.iter_mut().zip(&varying) {
                    let product = sums.get(a.index.min(b.index), a.index.max(b.index)) / weight;
                    *element = centred(product, a.mean, b.mean) / (a.deviation * b.deviation);
                }
            });
        let slope = varying.iter().map(|a| {
            let product = sums.get(a.index, y) / weight + a.mean * sums.origin;
            let from_mean = sums.get(a.index, y) / weight - a.mean * from_origin.mean;
            (if fit_intercept { from_mean } else { product }) / (a.deviation * deviation)
        });
        let slope = slope.collect();
        let square = spread * spread + if fit_intercept { 0.0 } else { mean * mean };
        Self {
            features,
            matrix,
            slope,
            square: square / (deviation * deviation),
            varying,
            label: Column {
                index: y,
                mean,
                deviation,
            },
            label_varies,
            fit_intercept,
        }
    }

    /// The path of its penalties. Of a label that does not vary, or that no feature tells anything of, it is 0 alone.
    pub(crate) fn path(&self, settings: &LinearSettings) -> Vec<f64> {
        let share = settings.elastic_net_param.first().copied().unwrap_or(0.0);
        let slopes = self.slope.iter().zip(&self.varying).map(|(slope, column)| {
            let unit = if settings.standardization {
                1.0
            } else {
                column.deviation
            };
            slope.abs() * unit
        });
        let steepest = slopes.fold(0.0, f64::max);
        if !self.label_varies || steepest == 0.0 {
            return vec![0.0];
        }
        // Where the L1 part, relative to the label's deviation, is as strong as the steepest slope.
        Ladder::of_numbers(|share| steepest * self.label.deviation / share, share).rungs()
    }

    /// The minimum for a penalty, and where it stands at each of the `limits` of the iterations.
    ///
    /// # Errors
    /// When the label does not vary but a penalty must be relative to that, or sums overflowed.
    pub(crate) fn solve(
        &self,
        penalty: Penalty,
        settings: &LinearSettings,
        limits: &[u32],
    ) -> Result<Vec<Solution>> {
        if penalty.reg_param > 0.0 && !self.label_varies && !self.varying.is_empty() {
            return Err(Error::ConstantLabel {
                value: self.label.mean,
            });
        }
        let unit = |column: &Column| {
            if settings.standardization {
                1.0
            } else {
                1.0 / column.deviation
            }
        };
        let strength = |of: f64| of / self.label.deviation;
        let units = self.varying.iter().map(unit);
        let l2: Vec<f64> = units.clone().map(|u| strength(penalty.l2()) * u * u).collect();
        let l1: Vec<f64> = units.map(|u| strength(penalty.l1()) * u).collect();
        let direct = if penalty.l1() > 0.0 {
            None
        } else {
            self.factorised(&l2)
        };
        let points = match direct {
            Some(point) => limits.iter().map(|_| point.clone()).collect(),
            None => self.iterated(&l1, &l2, settings.tol, limits),
        };
        points.into_iter().map(|point| self.solution(point)).collect()
    }

    /// The minimum of a smooth form by its equations; `None` when they are singular.
    fn factorised(&self, l2: &[f64]) -> Option<Point> {
        let n = self.slope.len();
        let mut matrix = self.matrix.clone();
        for (i, l2) in l2.iter().enumerate() {
            matrix[i * n + i] += l2;
        }
        let scaled = cholesky::solve(matrix, &self.slope)?;
        let (objective, _) = self.evaluate(&scaled, &[], l2);
        Some(Point {
            scaled,
            objective,
            iterations: 0,
            converged: true,
        })
    }

    /// The way of L-BFGS or OWL-QN from 0, looked at where the limits are.
    fn iterated(&self, l1: &[f64], l2: &[f64], tol: f64, limits: &[u32]) -> Vec<Point> {
        let start = vec![0.0; self.slope.len()];
        let longest = limits.iter().copied().max().unwrap_or(0);
        let strengths = l1.iter().any(|l1| *l1 > 0.0).then(|| L1 {
            strengths: l1.to_vec(),
            stride: 1,
        });
        let mut optimiser = Optimiser::new(start.clone(), strengths, HISTORY, tol, longest);
        let (mut trial, mut accepted) = (Vec::new(), start);
        let mut at_limits: Vec<Option<Point>> = limits.iter().map(|_| None).collect();
        loop {
            optimiser.trial(&mut trial);
            let (value, gradient) = self.evaluate(&trial, l1, l2);
            let before = optimiser.convergence().iteration();
            let step = optimiser.tell(value, gradient);
            let iterations = optimiser.convergence().iteration();
            if iterations > before {
                accepted.clone_from(&trial);
            }
            let point = |converged| Point {
                scaled: accepted.clone(),
                objective: optimiser.convergence().value(),
                iterations,
                converged,
            };
            let reached = limits
                .iter()
                .zip(&mut at_limits)
                .filter(|(limit, at)| **limit == iterations && at.is_none());
            if iterations > before {
                reached.for_each(|(_, at)| *at = Some(point(false)));
            }
            if let Step::Stopped(stop) = step {
                let last = || point(stop != Stop::MaxIterations);
                return at_limits.into_iter().map(|at| at.unwrap_or_else(last)).collect();
            }
        }
    }

    /// The objective, its L1 part included, and the gradient of the rest.
    fn evaluate(&self, v: &[f64], l1: &[f64], l2: &[f64]) -> (f64, Vec<f64>) {
        let n = v.len();
        let mut gradient = vec![0.0; n];
        gradient
            .par_iter_mut()
            .with_min_len(ROWS)
            .zip(self.matrix.par_chunks_exact(n.max(1)))
            .for_each(|(g, row)| *g = dot(row, v));
        let mut value = self.square / 2.0;
        for (i, g) in gradient.iter_mut().enumerate() {
            value += v[i] * (0.5 * *g - self.slope[i] + 0.5 * l2[i] * v[i]);
            value += l1.get(i).map_or(0.0, |l1| l1 * v[i].abs());
            *g += l2[i] * v[i] - self.slope[i];
        }
        (value, gradient)
    }

    fn solution(&self, point: Point) -> Result<Solution> {
        let mut weights = vec![0.0; self.features + 1];
        let mut met = 0.0;
        for (column, v) in self.varying.iter().zip(&point.scaled) {
            let weight = v * self.label.deviation / column.deviation;
            weights[column.index] = weight;
            met += weight * column.mean;
        }
        if self.fit_intercept {
            weights[self.features] = self.label.mean - met;
        }
        let objective = point.objective * self.label.deviation * self.label.deviation;
        if !objective.is_finite() || weights.iter().any(|weight| !weight.is_finite()) {
            return Err(Error::Diverged {
                model: "a linear regression".to_owned(),
                value: objective,
                iteration: point.iterations,
            });
        }
        Ok(Solution {
            weights,
            objective,
            iterations: point.iterations,
            converged: point.converged,
        })
    }
}
