//! A line search for the strong Wolfe conditions, as a state machine that is told one value and slope at a time.
//!
//! Algorithms 3.5 (bracketing) and 3.6 (zoom) of Nocedal & Wright, "Numerical Optimization" (2006).

use serde::{Deserialize, Serialize};

/// Sufficient decrease and curvature of the strong Wolfe conditions.
const C1: f64 = 1e-4;
const C2: f64 = 0.9;
/// The next step where the function still falls: Breeze's, so that paths are those of Spark ML.
const EXPANSION: f64 = 1.5;
/// Function evaluations that one line search may spend.
const MAX_TRIALS: u32 = 30;

/// What a line search wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Evaluate,
    Accept,
    GiveUp,
}

/// A point of the line search: step, value, slope.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Point {
    step: f64,
    value: f64,
    slope: f64,
}

/// Bracketing (`high` unknown), then zooming.
#[derive(Serialize, Deserialize)]
pub(crate) struct LineSearch {
    start: Point,
    low: Point,
    high: Option<Point>,
    /// The step to try next, or the one accepted.
    pub(crate) step: f64,
    trials: u32,
}

impl LineSearch {
    /// Starts from a point's value and slope along the direction; `step` is the first to try.
    pub(crate) fn new(value: f64, slope: f64, step: f64) -> Self {
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

    /// Takes value and slope at `step`.
    pub(crate) fn tell(&mut self, value: f64, slope: f64) -> Verdict {
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
                self.step *= EXPANSION;
                self.next()
            }
            Some(_) if !decreased || value >= self.low.value => self.zoom(self.low, trial),
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
