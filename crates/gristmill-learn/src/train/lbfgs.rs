//! Limited-memory BFGS with a strong-Wolfe line search, as a state machine that asks for function values.
//!
//! Algorithms 7.4, 7.5, 3.5 and 3.6 of Nocedal & Wright, "Numerical Optimization" (2006). The convergence tests are
//! those of Breeze's `FirstOrderMinimizer`, which Spark ML uses: the function value within `tol`, relative to the
//! first value, of the largest of the last 20; or the gradient's norm within `tol` of the function value.

use std::collections::VecDeque;

use super::real::Real;
use super::vector::{axpy, dot, norm, scale};

/// Sufficient decrease and curvature of the strong Wolfe conditions.
const C1: f64 = 1e-4;
const C2: f64 = 0.9;
/// Function evaluations that one line search may spend.
const MAX_TRIALS: u32 = 30;
/// Function values looked back at for convergence.
const VALUE_MEMORY: usize = 20;

/// Why an optimisation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What [`Lbfgs::tell`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The line search goes on: evaluate at the new trial.
    Trial,
    /// The trial became the next iterate.
    Accepted,
    /// The trial became the last iterate, or (`NoProgress`) was given up and the iterate stands.
    Stopped(Stop),
}

/// One optimisation. `x` is the current iterate; the point to evaluate next is `x + step * direction`.
pub(crate) struct Lbfgs<F> {
    x: Vec<F>,
    gradient: Vec<F>,
    direction: Vec<F>,
    value: f64,
    first_value: f64,
    values: VecDeque<f64>,
    history: VecDeque<Correction<F>>,
    memory: usize,
    tol: f64,
    max_iter: u32,
    iteration: u32,
    started: bool,
    search: LineSearch,
}

/// One pair of the inverse Hessian approximation.
struct Correction<F> {
    s: Vec<F>,
    y: Vec<F>,
    rho: f64,
}

impl<F: Real> Lbfgs<F> {
    /// Starts at `x`; the first point to evaluate is `x` itself.
    pub(crate) fn new(x: Vec<F>, memory: usize, tol: f64, max_iter: u32) -> Self {
        let n = x.len();
        Self {
            x,
            gradient: vec![F::default(); n],
            direction: vec![F::default(); n],
            value: f64::NAN,
            first_value: f64::NAN,
            values: VecDeque::with_capacity(VALUE_MEMORY),
            history: VecDeque::with_capacity(memory),
            memory,
            tol,
            max_iter,
            iteration: 0,
            started: false,
            search: LineSearch::new(0.0, 0.0, 0.0),
        }
    }

    /// Vectors of the length of `x` held at most, with the trial's gradient that is handed in.
    pub(crate) fn vectors(memory: usize) -> usize {
        4 + 2 * memory
    }

    /// Accepted iterations so far.
    pub(crate) fn iteration(&self) -> u32 {
        self.iteration
    }

    /// The function at the current iterate.
    pub(crate) fn value(&self) -> f64 {
        self.value
    }

    /// The current iterate.
    #[cfg(test)]
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
    pub(crate) fn tell(&mut self, value: f64, mut gradient: Vec<F>) -> Step {
        if !self.started {
            self.started = true;
            self.value = value;
            self.first_value = value;
            self.values.push_back(value);
            self.gradient = gradient;
            if let Some(stop) = self.converged() {
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
                self.new_direction();
                Step::Trial
            }
            Verdict::GiveUp => Step::Stopped(Stop::NoProgress),
            Verdict::Accept => {
                let step = self.search.step;
                axpy(step, &self.direction, &mut self.x);
                std::mem::swap(&mut self.gradient, &mut gradient);
                let (new, old) = (&self.gradient, gradient);
                let mut y = old;
                super::vector::for_chunks(&mut y, new, |y, g| {
                    for (y, g) in y.iter_mut().zip(g) {
                        *y = g.sub(*y);
                    }
                });
                let mut s = std::mem::take(&mut self.direction);
                scale(step, &mut s);
                self.remember(s, y);
                self.value = value;
                self.values.push_back(value);
                if self.values.len() > VALUE_MEMORY {
                    self.values.pop_front();
                }
                self.iteration += 1;
                if let Some(stop) = self.converged() {
                    return Step::Stopped(stop);
                }
                self.new_direction();
                Step::Accepted
            }
        }
    }

    fn remember(&mut self, s: Vec<F>, y: Vec<F>) {
        let curvature = dot(&s, &y);
        // A strong-Wolfe step has positive curvature; rounding at the limit of the arithmetic may not.
        if curvature > 0.0 && curvature.is_finite() {
            if self.history.len() == self.memory {
                self.history.pop_front();
            }
            self.history.push_back(Correction {
                s,
                y,
                rho: 1.0 / curvature,
            });
        }
    }

    fn converged(&self) -> Option<Stop> {
        if self.iteration >= self.max_iter {
            return Some(Stop::MaxIterations);
        }
        let largest = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.values.len() >= 2 && (self.value - largest).abs() <= self.tol * self.first_value.abs() {
            return Some(Stop::ValueConverged);
        }
        if norm(&self.gradient) <= (self.tol * self.value.abs()).max(1e-8) {
            return Some(Stop::GradientConverged);
        }
        None
    }

    /// The two-loop recursion, and a fresh line search along it.
    fn new_direction(&mut self) {
        self.direction.clear();
        self.direction.extend_from_slice(&self.gradient);
        let d = &mut self.direction;
        let mut alphas = Vec::with_capacity(self.history.len());
        for c in self.history.iter().rev() {
            let alpha = c.rho * dot(&c.s, d);
            axpy(-alpha, &c.y, d);
            alphas.push(alpha);
        }
        if let Some(last) = self.history.back() {
            scale(1.0 / (last.rho * dot(&last.y, &last.y)), d);
        }
        for (c, alpha) in self.history.iter().zip(alphas.iter().rev()) {
            let beta = c.rho * dot(&c.y, d);
            axpy(alpha - beta, &c.s, d);
        }
        scale(-1.0, d);
        let slope = dot(&self.gradient, d);
        let first = if self.history.is_empty() {
            1.0 / norm(d).max(f64::MIN_POSITIVE)
        } else {
            1.0
        };
        self.search = LineSearch::new(self.value, slope, first);
    }
}

/// What a line search wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Evaluate,
    Accept,
    GiveUp,
}

/// A point of the line search: step, value, slope.
#[derive(Debug, Clone, Copy)]
struct Point {
    step: f64,
    value: f64,
    slope: f64,
}

/// Bracketing (`high` unknown), then zooming.
struct LineSearch {
    start: Point,
    low: Point,
    high: Option<Point>,
    step: f64,
    trials: u32,
}

impl LineSearch {
    fn new(value: f64, slope: f64, step: f64) -> Self {
        let start = Point {
            step: 0.0,
            value,
            slope,
        };
        Self {
            start,
            low: start,
            high: None,
            step,
            trials: 0,
        }
    }

    fn tell(&mut self, value: f64, slope: f64) -> Verdict {
        self.trials += 1;
        let trial = Point {
            step: self.step,
            value,
            slope,
        };
        if self.start.slope >= 0.0 || !self.start.slope.is_finite() {
            return Verdict::GiveUp;
        }
        if !value.is_finite() || !slope.is_finite() {
            // Overflow far out: come back.
            self.high = Some(Point {
                step: self.step,
                value: f64::INFINITY,
                slope: f64::INFINITY,
            });
            self.step = 0.5 * (self.low.step + self.step);
            return self.next();
        }
        let decreased = value <= self.start.value + C1 * self.step * self.start.slope;
        if decreased && slope.abs() <= -C2 * self.start.slope {
            return Verdict::Accept;
        }
        match self.high {
            None if !decreased || (self.trials > 1 && value >= self.low.value) => self.zoom(self.low, trial),
            None if slope >= 0.0 => self.zoom(trial, self.low),
            None => {
                self.low = trial;
                self.step *= 2.0;
                self.next()
            }
            Some(high) if !decreased || value >= self.low.value => {
                let _ = high;
                self.zoom(self.low, trial)
            }
            Some(high) => {
                let high = if slope * (high.step - self.low.step) >= 0.0 {
                    self.low
                } else {
                    high
                };
                self.zoom(trial, high)
            }
        }
    }

    fn zoom(&mut self, low: Point, high: Point) -> Verdict {
        self.low = low;
        self.high = Some(high);
        self.step = interpolate(low, high);
        self.next()
    }

    fn next(&self) -> Verdict {
        let width = self
            .high
            .map_or(f64::INFINITY, |h| (h.step - self.low.step).abs());
        if self.trials >= MAX_TRIALS || width <= 1e-12 * self.step.abs() || self.step <= 0.0 {
            Verdict::GiveUp
        } else {
            Verdict::Evaluate
        }
    }
}

/// The minimiser of the cubic through both points (Nocedal & Wright, equation 3.59), kept off the ends of the interval.
fn interpolate(a: Point, b: Point) -> f64 {
    let (left, right) = if a.step < b.step {
        (a.step, b.step)
    } else {
        (b.step, a.step)
    };
    let middle = 0.5 * (left + right);
    if !b.value.is_finite() || !b.slope.is_finite() {
        return middle;
    }
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.step - b.step);
    let square = d1 * d1 - a.slope * b.slope;
    if square < 0.0 {
        return middle;
    }
    let d2 = (b.step - a.step).signum() * square.sqrt();
    let step = b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    let margin = 0.1 * (right - left);
    if step.is_finite() {
        step.clamp(left + margin, right - margin)
    } else {
        middle
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
                    let n = optimiser.iteration();
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
