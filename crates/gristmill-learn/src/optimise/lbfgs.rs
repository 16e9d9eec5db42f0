//! Limited-memory BFGS, as a state machine that asks for function values.
//!
//! Algorithms 7.4 and 7.5 of Nocedal & Wright, "Numerical Optimization" (2006). The two-loop recursion runs on inner
//! products instead of vectors, as in Chen et al., "Large-scale L-BFGS using MapReduce" (2014): memory is then read about
//! twice an iteration and not four times. The convergence tests are those of Breeze's `FirstOrderMinimizer`, which Spark
//! ML uses: the function value within `tol`, relative to the first value, of the largest of the last 20; or the
//! gradient's norm within `tol` of the function value.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::optimise::convergence::{Convergence, Step, Stop};
use crate::optimise::gram::Gram;
use crate::optimise::line_search::{LineSearch, Verdict};
use crate::optimise::vector::{axpy, combine, dot, products};
use crate::rows::real::Real;

/// One optimisation. `x` is the current iterate; the point to evaluate next is `x + step * direction`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Lbfgs<F> {
    x: Vec<F>,
    gradient: Vec<F>,
    direction: Vec<F>,
    convergence: Convergence,
    history: VecDeque<Correction<F>>,
    gram: Gram,
    /// The direction in terms of the corrections and the gradient.
    weights: Vec<f64>,
    memory: usize,
    started: bool,
    search: LineSearch,
}

/// One pair of the inverse Hessian approximation.
#[derive(Serialize, Deserialize)]
pub(crate) struct Correction<F> {
    /// How far the iterate moved.
    pub(crate) s: Vec<F>,
    /// How the gradient changed.
    pub(crate) y: Vec<F>,
}

impl<F: Real> Lbfgs<F> {
    /// Starts at `x`; the first point to evaluate is `x` itself.
    pub(crate) fn new(x: Vec<F>, memory: usize, tol: f64, max_iter: u32) -> Self {
        let n = x.len();
        Self {
            x,
            gradient: vec![F::default(); n],
            direction: vec![F::default(); n],
            convergence: Convergence::new(tol, max_iter),
            history: VecDeque::with_capacity(memory),
            gram: Gram::default(),
            weights: Vec::new(),
            memory,
            started: false,
            search: LineSearch::new(0.0, 0.0, 0.0),
        }
    }

    /// Vectors of the length of `x` held at most, with the trial's gradient that is handed in.
    pub(crate) fn vectors(memory: usize) -> usize {
        4 + 2 * memory
    }

    /// How far it has come.
    pub(crate) fn convergence(&self) -> &Convergence {
        &self.convergence
    }

    /// The current iterate.
    pub(crate) fn x(&self) -> &[F] {
        &self.x
    }

    /// Ends the optimisation and gives the iterate.
    #[cfg(test)]
    pub(crate) fn into_x(self) -> Vec<F> {
        self.x
    }

    /// Writes the point to evaluate next.
    pub(crate) fn trial(&self, out: &mut Vec<F>) {
        out.clear();
        out.extend_from_slice(&self.x);
        if self.started {
            axpy(self.search.step, &self.direction, out);
        }
    }

    /// Takes the function's value and gradient at the trial.
    pub(crate) fn tell(&mut self, value: f64, gradient: Vec<F>) -> Step {
        if !self.started {
            self.started = true;
            self.gradient = gradient;
            self.gram = Gram::new(dot(&self.gradient, &self.gradient));
            if let Some(stop) = self.convergence.accept(value, self.gram.gradient_square()) {
                return Step::Stopped(stop);
            }
            self.new_direction();
            return Step::Trial;
        }
        let slope = dot(&gradient, &self.direction);
        match self.search.tell(value, slope) {
            Verdict::Evaluate => Step::Trial,
            Verdict::GiveUp if !self.history.is_empty() => {
                // The quadratic model has gone wrong: forget it and try steepest descent once.
                self.history.clear();
                self.gram = Gram::new(self.gram.gradient_square());
                self.new_direction();
                Step::Trial
            }
            Verdict::GiveUp => Step::Stopped(Stop::NoProgress),
            Verdict::Accept => {
                self.accept(gradient);
                if let Some(stop) = self.convergence.accept(value, self.gram.gradient_square()) {
                    return Step::Stopped(stop);
                }
                self.new_direction();
                Step::Accepted
            }
        }
    }

    /// Moves to the trial, whose gradient is handed in, and remembers how that changed the gradient.
    fn accept(&mut self, gradient: Vec<F>) {
        let step = self.search.step;
        axpy(step, &self.direction, &mut self.x);
        // The direction becomes s, the old gradient becomes y: no vector is copied.
        let mut s = std::mem::take(&mut self.direction);
        let mut y = std::mem::replace(&mut self.gradient, gradient);
        let known: Vec<&[F]> = self.corrections().collect();
        let found = products(step, &mut s, &mut y, &self.gradient, &known);
        let kept = self.gram.push(step, &self.weights, &found, self.memory);
        if kept {
            if self.history.len() == self.memory {
                self.direction = self.history.pop_front().map(|c| c.s).unwrap_or_default();
            }
            self.history.push_back(Correction { s, y });
        } else {
            self.direction = s;
        }
    }

    /// The basis of the direction but for the gradient: every s, then every y, oldest first.
    fn corrections(&self) -> impl Iterator<Item = &[F]> {
        let s = self.history.iter().map(|c| c.s.as_slice());
        s.chain(self.history.iter().map(|c| c.y.as_slice()))
    }

    /// A fresh direction, and a line search along it.
    fn new_direction(&mut self) {
        self.weights = self.gram.direction();
        let mut direction = std::mem::take(&mut self.direction);
        direction.resize(self.x.len(), F::default());
        let basis: Vec<&[F]> = self.corrections().chain([self.gradient.as_slice()]).collect();
        let square = combine(&self.weights, &basis, &mut direction);
        let slope = dot(&self.gradient, &direction);
        self.direction = direction;
        let first = if self.history.is_empty() {
            1.0 / square.sqrt().max(f64::MIN_POSITIVE)
        } else {
            1.0
        };
        self.search = LineSearch::new(self.convergence.value(), slope, first);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn minimise(
        f: impl Fn(&[f64]) -> (f64, Vec<f64>),
        x: Vec<f64>,
        tol: f64,
        max_iter: u32,
    ) -> (Vec<f64>, Stop, u32, Vec<Vec<f64>>) {
        let mut optimiser = Lbfgs::new(x, 10, tol, max_iter);
        let (mut trial, mut path) = (Vec::new(), Vec::new());
        loop {
            optimiser.trial(&mut trial);
            let (value, gradient) = f(&trial);
            match optimiser.tell(value, gradient) {
                Step::Trial => {}
                Step::Accepted => path.push(optimiser.x().to_vec()),
                Step::Stopped(stop) => {
                    let n = optimiser.convergence().iteration();
                    return (optimiser.into_x(), stop, n, path);
                }
            }
        }
    }

    fn rosenbrock(x: &[f64]) -> (f64, Vec<f64>) {
        let mut value = 0.0;
        let mut gradient = vec![0.0; x.len()];
        for i in 0..x.len() - 1 {
            let (a, b) = (1.0 - x[i], x[i + 1] - x[i] * x[i]);
            value += a * a + 100.0 * b * b;
            gradient[i] += -2.0 * a - 400.0 * b * x[i];
            gradient[i + 1] += 200.0 * b;
        }
        (value, gradient)
    }

    #[test]
    fn rosenbrock_is_minimised() {
        let (x, _, iterations, _) = minimise(rosenbrock, vec![-1.2, 1.0, -1.2, 1.0, 0.0, 3.0], 1e-14, 500);
        assert!(
            x.iter().all(|v| (v - 1.0).abs() < 1e-5),
            "{x:?} after {iterations}"
        );
        assert!(iterations < 120, "{iterations}");
    }

    #[test]
    fn a_badly_scaled_quadratic_is_minimised() {
        let f = |x: &[f64]| {
            let value = x
                .iter()
                .enumerate()
                .map(|(i, v)| 10f64.powi(i as i32) * (v - 3.0).powi(2))
                .sum();
            (
                value,
                x.iter()
                    .enumerate()
                    .map(|(i, v)| 2.0 * 10f64.powi(i as i32) * (v - 3.0))
                    .collect(),
            )
        };
        let (x, _, _, _) = minimise(f, vec![0.0; 6], 1e-15, 500);
        assert!(x.iter().all(|v| (v - 3.0).abs() < 1e-5), "{x:?}");
    }

    #[test]
    fn a_shorter_run_is_a_prefix_of_a_longer_one() {
        let start = vec![-1.2, 1.0, 0.5];
        let (short, stop, n, _) = minimise(rosenbrock, start.clone(), 1e-14, 7);
        let (_, _, _, path) = minimise(rosenbrock, start, 1e-14, 50);
        assert_eq!((stop, n), (Stop::MaxIterations, 7));
        assert_eq!(short, path[6]);
    }

    #[test]
    fn a_stationary_start_stops_at_once() {
        let (_, stop, n, _) = minimise(|x| (1.0, vec![0.0; x.len()]), vec![0.0; 3], 1e-6, 10);
        assert_eq!((stop, n), (Stop::GradientConverged, 0));
    }

    #[test]
    fn a_linear_function_without_minimum_gives_up() {
        let (_, stop, _, _) = minimise(|x| (-1.0 - x[0], vec![-1.0]), vec![0.0], 0.0, 10_000);
        assert!(matches!(stop, Stop::NoProgress | Stop::MaxIterations));
    }
}
