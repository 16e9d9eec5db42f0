//! When an optimisation ends: the tests of Breeze's `FirstOrderMinimizer`, which Spark ML uses.
//!
//! The function value within `tol`, relative to the first value, of the largest of the last 20; or the gradient's norm
//! within `tol` of the function value.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Function values looked back at.
const VALUE_MEMORY: usize = 20;

/// Why an optimisation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stop {
    /// The function value has stopped changing.
    ValueConverged,
    /// The gradient is small.
    GradientConverged,
    /// No step along the search direction decreases the function any more: the limit of the arithmetic.
    NoProgress,
    /// The iteration limit.
    MaxIterations,
}

/// What an optimiser found in the value and the gradient it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The line search goes on: evaluate at the new trial.
    Trial,
    /// The trial became the next iterate.
    Accepted,
    /// The trial became the last iterate, or (`NoProgress`) was given up and the iterate stands.
    Stopped(Stop),
}

/// The accepted values of an optimisation, and its limits.
#[derive(Serialize, Deserialize)]
pub(crate) struct Convergence {
    tol: f64,
    max_iter: u32,
    iteration: u32,
    value: f64,
    first_value: f64,
    values: VecDeque<f64>,
}

impl Convergence {
    pub(crate) fn new(tol: f64, max_iter: u32) -> Self {
        Self {
            tol,
            max_iter,
            iteration: 0,
            value: f64::NAN,
            first_value: f64::NAN,
            values: VecDeque::with_capacity(VALUE_MEMORY),
        }
    }

    /// Iterates accepted after the first point.
    pub(crate) fn iteration(&self) -> u32 {
        self.iteration
    }

    /// The function at the current iterate; NaN before the first.
    pub(crate) fn value(&self) -> f64 {
        self.value
    }

    /// Takes in the value and the square of the gradient's norm at an accepted point, the first of which is the start.
    pub(crate) fn accept(&mut self, value: f64, gradient_square: f64) -> Option<Stop> {
        if self.values.is_empty() {
            self.first_value = value;
        } else {
            self.iteration += 1;
        }
        if self.values.len() == VALUE_MEMORY {
            self.values.pop_front();
        }
        self.value = value;
        self.values.push_back(value);
        if self.iteration >= self.max_iter {
            return Some(Stop::MaxIterations);
        }
        let largest = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.values.len() >= 2 && (value - largest).abs() <= self.tol * self.first_value.abs() {
            return Some(Stop::ValueConverged);
        }
        if gradient_square.sqrt() <= (self.tol * value.abs()).max(1e-8) {
            return Some(Stop::GradientConverged);
        }
        None
    }
}
