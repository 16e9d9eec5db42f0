//! Orthant-wise limited-memory quasi-Newton: L-BFGS for a smooth function plus an L1 penalty, as a state machine.
//!
//! Andrew & Gao, "Scalable training of L1-regularized log-linear models" (2007), with what Breeze's `OWLQN`, which Spark
//! ML uses, adds to it: a strength for each coordinate, and a direction kept in the orthant of steepest descent. The
//! corrections come from the smooth part alone, the direction from the pseudo-gradient. A coefficient leaves its orthant
//! only through 0, where it rests for a step, so that the solution has true zeros.

use std::collections::VecDeque;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::optimise::convergence::{Convergence, Step, Stop};
use crate::optimise::gram::Gram;
use crate::optimise::lbfgs::Correction;
use crate::optimise::vector::{combine, dot, products_with};
use crate::rows::real::Real;
use crate::rows::simd::vectorised;

/// Sufficient decrease of the line search.
const C1: f64 = 1e-4;
/// Function evaluations that one line search may spend.
const MAX_TRIALS: u32 = 30;
/// Elements per chunk of the element-wise work, about.
const CHUNK: usize = 1 << 12;

/// The L1 penalty: `stride` coordinates after each other share one strength.
#[derive(Serialize, Deserialize)]
pub(crate) struct L1<F> {
    /// A strength for every row of `stride` coordinates; 0 for what is not penalised.
    pub(crate) strengths: Vec<F>,
    /// See `strengths`.
    pub(crate) stride: usize,
}

/// One optimisation. The point to evaluate next is `x + step * direction`, moved to 0 where it left the orthant.
#[derive(Serialize, Deserialize)]
pub(crate) struct Owlqn<F> {
    l1: L1<F>,
    x: Vec<F>,
    /// Of the smooth part.
    gradient: Vec<F>,
    /// Of the whole: the slope in the direction of steepest descent, 0 where no direction descends.
    pseudo: Vec<F>,
    direction: Vec<F>,
    convergence: Convergence,
    history: VecDeque<Correction<F>>,
    /// Its gradient is the pseudo-gradient.
    gram: Gram,
    memory: usize,
    started: bool,
    step: f64,
    trials: u32,
}

impl<F: Real> Owlqn<F> {
    /// Starts at `x`; the first point to evaluate is `x` itself.
    pub(crate) fn new(x: Vec<F>, l1: L1<F>, memory: usize, tol: f64, max_iter: u32) -> Self {
        let n = x.len();
        Self {
            l1,
            x,
            gradient: vec![F::default(); n],
            pseudo: vec![F::default(); n],
            direction: vec![F::default(); n],
            convergence: Convergence::new(tol, max_iter),
            history: VecDeque::with_capacity(memory),
            gram: Gram::default(),
            memory,
            started: false,
            step: 0.0,
            trials: 0,
        }
    }

    /// Vectors of the length of `x` held at most, with the trial's gradient that is handed in.
    pub(crate) fn vectors(memory: usize) -> usize {
        5 + 2 * memory
    }

    /// How far it has come.
    pub(crate) fn convergence(&self) -> &Convergence {
        &self.convergence
    }

    /// The current iterate.
    pub(crate) fn x(&self) -> &[F] {
        &self.x
    }

    /// Writes the point to evaluate next.
    pub(crate) fn trial(&self, out: &mut Vec<F>) {
        out.clear();
        out.extend_from_slice(&self.x);
        if self.started {
            let step = F::from_f64(self.step);
            out.par_chunks_mut(CHUNK)
                .zip(self.direction.par_chunks(CHUNK))
                .zip(self.pseudo.par_chunks(CHUNK))
                .for_each(|((out, direction), pseudo)| {
                    vectorised(
                        #[inline(always)]
                        || {
                            for ((x, d), p) in out.iter_mut().zip(direction).zip(pseudo) {
                                *x = stepped(*x, *d, *p, step);
                            }
                        },
                    );
                });
        }
    }

    /// Takes the function's value at the trial, its penalty included, and the gradient of its smooth part.
    pub(crate) fn tell(&mut self, value: f64, gradient: Vec<F>) -> Step {
        if !self.started {
            self.started = true;
            self.gradient = gradient;
            let (x, gradient) = (&self.x, &self.gradient);
            for_rows(&self.l1, &mut self.pseudo, |row, l1, pseudo| {
                let at = row * pseudo.len();
                let here = at..at + pseudo.len();
                for ((p, x), g) in pseudo.iter_mut().zip(&x[here.clone()]).zip(&gradient[here]) {
                    *p = steepest(*x, *g, l1);
                }
            });
            self.gram = Gram::new(dot(&self.pseudo, &self.pseudo));
            return match self.convergence.accept(value, self.gram.gradient_square()) {
                Some(stop) => Step::Stopped(stop),
                None => {
                    self.new_direction();
                    Step::Trial
                }
            };
        }
        let expected = self.expected_change();
        let before = self.convergence.value();
        if value <= before + C1 * expected && expected < 0.0 {
            self.accept(gradient);
            return match self.convergence.accept(value, self.gram.gradient_square()) {
                Some(stop) => Step::Stopped(stop),
                None => {
                    self.new_direction();
                    Step::Accepted
                }
            };
        }
        self.trials += 1;
        if expected < 0.0 && self.trials < MAX_TRIALS {
            // The minimum of the parabola through both values and the first slope.
            let fitted = -0.5 * expected / (value - before - expected);
            self.step *= if fitted.is_finite() {
                fitted.clamp(0.1, 0.5)
            } else {
                0.1
            };
            return Step::Trial;
        }
        if self.history.is_empty() {
            return Step::Stopped(Stop::NoProgress);
        }
        // The quadratic model has gone wrong: forget it and try steepest descent once.
        self.history.clear();
        self.gram = Gram::new(self.gram.gradient_square());
        self.new_direction();
        Step::Trial
    }

    /// The change from the iterate to the trial that the pseudo-gradient promises.
    fn expected_change(&self) -> f64 {
        let step = F::from_f64(self.step);
        let sums: Vec<f64> = self
            .x
            .par_chunks(CHUNK)
            .zip(self.direction.par_chunks(CHUNK))
            .zip(self.pseudo.par_chunks(CHUNK))
            .map(|((x, direction), pseudo)| {
                vectorised(
                    #[inline(always)]
                    || {
                        let mut sum = 0.0;
                        for ((x, d), p) in x.iter().zip(direction).zip(pseudo) {
                            sum += p.to_f64() * stepped(*x, *d, *p, step).sub(*x).to_f64();
                        }
                        sum
                    },
                )
            })
            .collect();
        sums.iter().sum()
    }

    /// Moves to the trial, whose gradient is handed in, and remembers how that changed the gradient.
    fn accept(&mut self, gradient: Vec<F>) {
        let step = F::from_f64(self.step);
        // The direction becomes s and the old gradient y: no vector is copied.
        let mut s = std::mem::take(&mut self.direction);
        let mut y = std::mem::replace(&mut self.gradient, gradient);
        let rows = CHUNK.div_ceil(self.l1.stride);
        let width = rows * self.l1.stride;
        let chunks = self
            .x
            .par_chunks_mut(width)
            .zip(self.pseudo.par_chunks_mut(width))
            .zip(s.par_chunks_mut(width).zip(y.par_chunks_mut(width)))
            .zip(self.gradient.par_chunks(width))
            .zip(self.l1.strengths.par_chunks(rows));
        chunks.for_each(|((((x, pseudo), (s, y)), gradient), strengths)| {
            vectorised(
                #[inline(always)]
                || {
                    for i in 0..x.len() {
                        let to = stepped(x[i], s[i], pseudo[i], step);
                        s[i] = to.sub(x[i]);
                        y[i] = gradient[i].sub(y[i]);
                        x[i] = to;
                        pseudo[i] = steepest(to, gradient[i], strengths[i / self.l1.stride]);
                    }
                },
            );
        });
        let known: Vec<&[F]> = corrections(&self.history).collect();
        let (found, s_known, y_known) = products_with(&s, &y, &self.pseudo, &known);
        if self.gram.push_with(&s_known, &y_known, &found, self.memory) {
            if self.history.len() == self.memory {
                self.direction = self.history.pop_front().map(|c| c.s).unwrap_or_default();
            }
            self.history.push_back(Correction { s, y });
        } else {
            self.direction = s;
        }
    }

    /// A fresh direction that descends in every coordinate, and a line search along it.
    fn new_direction(&mut self) {
        let weights = self.gram.direction();
        let mut direction = std::mem::take(&mut self.direction);
        direction.resize(self.x.len(), F::default());
        let basis: Vec<&[F]> = corrections(&self.history)
            .chain([self.pseudo.as_slice()])
            .collect();
        let square = combine(&weights, &basis, &mut direction);
        direction
            .par_chunks_mut(CHUNK)
            .zip(self.pseudo.par_chunks(CHUNK))
            .for_each(|(direction, pseudo)| {
                for (d, p) in direction.iter_mut().zip(pseudo) {
                    if !opposite(*d, *p) {
                        *d = F::default();
                    }
                }
            });
        self.direction = direction;
        self.trials = 0;
        self.step = if self.history.is_empty() {
            1.0 / square.sqrt().max(f64::MIN_POSITIVE)
        } else {
            1.0
        };
    }
}

/// The basis of the direction but for the gradient: every s, then every y, oldest first.
fn corrections<F>(history: &VecDeque<Correction<F>>) -> impl Iterator<Item = &[F]> {
    let s = history.iter().map(|c| c.s.as_slice());
    s.chain(history.iter().map(|c| c.y.as_slice()))
}

/// Runs `work` for every row of coordinates that share a strength.
fn for_rows<F: Real>(l1: &L1<F>, out: &mut [F], work: impl Fn(usize, F, &mut [F]) + Sync) {
    out.par_chunks_mut(l1.stride)
        .zip(&l1.strengths)
        .enumerate()
        .with_min_len(CHUNK.div_ceil(l1.stride))
        .for_each(|(row, (out, l1))| work(row, *l1, out));
}

/// Where a coordinate is after a step: at 0 if it would leave the orthant of its iterate, which at 0 is the one that the
/// pseudo-gradient points away from.
#[inline(always)]
fn stepped<F: Real>(x: F, direction: F, pseudo: F, step: F) -> F {
    let zero = F::default();
    let to = direction.mul_add(step, x);
    let stays = if x == zero {
        opposite(to, pseudo)
    } else {
        (x > zero) == (to > zero) && to != zero
    };
    if stays { to } else { zero }
}

/// The slope of the steepest descent: that of the smooth part plus or minus the penalty's.
#[inline(always)]
fn steepest<F: Real>(x: F, gradient: F, l1: F) -> F {
    let zero = F::default();
    let (up, down) = (gradient.add(l1), gradient.sub(l1));
    if x > zero || (x == zero && up < zero) {
        up
    } else if x < zero || down > zero {
        down
    } else {
        zero
    }
}

#[inline(always)]
fn opposite<F: Real>(a: F, b: F) -> bool {
    let zero = F::default();
    (a > zero && b < zero) || (a < zero && b > zero)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Minimises `f + sum(strengths * |x|)`; gives the last iterate, why it ended, and every accepted iterate.
    fn minimise(
        f: impl Fn(&[f64]) -> (f64, Vec<f64>),
        x: Vec<f64>,
        strengths: &[f64],
        tol: f64,
        max_iter: u32,
    ) -> (Vec<f64>, Stop, Vec<Vec<f64>>) {
        let l1 = L1 {
            strengths: strengths.to_vec(),
            stride: 1,
        };
        let mut optimiser = Owlqn::new(x, l1, 10, tol, max_iter);
        let (mut trial, mut path) = (Vec::new(), Vec::new());
        loop {
            optimiser.trial(&mut trial);
            let (value, gradient) = f(&trial);
            let penalty: f64 = trial.iter().zip(strengths).map(|(x, l)| l * x.abs()).sum();
            match optimiser.tell(value + penalty, gradient) {
                Step::Trial => {}
                Step::Accepted => path.push(optimiser.x.clone()),
                Step::Stopped(stop) => return (optimiser.x, stop, path),
            }
        }
    }

    /// A quadratic whose coordinates pull at each other.
    fn coupled(x: &[f64]) -> (f64, Vec<f64>) {
        let target = [3.0, -0.2, 0.05, -4.0, 1.0, 0.0];
        let mut gradient = vec![0.0; x.len()];
        let mut value = 0.0;
        for i in 0..x.len() {
            let off = x[i] - target[i % 6] + if i > 0 { 0.3 * x[i - 1] } else { 0.0 };
            let scale = 10f64.powi(i as i32 % 3);
            value += 0.5 * scale * off * off;
            gradient[i] += scale * off;
            if i > 0 {
                gradient[i - 1] += 0.3 * scale * off;
            }
        }
        (value, gradient)
    }

    #[test]
    fn separate_coordinates_are_soft_thresholded() {
        let target = [3.0, -0.2, 0.5, -4.0, 0.0, 0.1];
        let strengths = [1.0, 1.0, 0.4, 2.0, 1.0, 0.0];
        let f = |x: &[f64]| {
            let off = || x.iter().zip(target).map(|(x, t)| x - t);
            (0.5 * off().map(|o| o * o).sum::<f64>(), off().collect())
        };
        let (x, _, _) = minimise(f, vec![0.0; 6], &strengths, 1e-15, 200);
        for ((x, t), l) in x.iter().zip(target).zip(strengths) {
            let expected = t.signum() * (t.abs() - l).max(0.0);
            assert!((x - expected).abs() < 1e-7, "{x} {expected}");
            assert!(expected != 0.0 || *x == 0.0, "a true zero");
        }
    }

    #[test]
    fn no_subgradient_at_the_minimum_points_down() {
        for n in [2, 6, 11] {
            let strengths: Vec<f64> = (0..n).map(|i| 0.3 * (i % 3) as f64).collect();
            let start: Vec<f64> = (0..n).map(|i| i as f64 - 3.0).collect();
            let (x, _, _) = minimise(coupled, start, &strengths, 1e-15, 1000);
            let (_, gradient) = coupled(&x);
            for ((x, g), l) in x.iter().zip(gradient).zip(&strengths) {
                let slack = if *x == 0.0 {
                    g.abs() - l
                } else {
                    (g + x.signum() * l).abs()
                };
                assert!(slack < 1e-5, "{x}: slope {g}, strength {l}");
            }
        }
    }

    #[test]
    fn without_strengths_it_is_a_smooth_minimum() {
        let (x, _, _) = minimise(coupled, vec![1.0; 6], &[0.0; 6], 1e-15, 500);
        assert!(coupled(&x).1.iter().all(|g| g.abs() < 1e-5), "{x:?}");
    }

    #[test]
    fn a_shorter_run_is_a_prefix_of_a_longer_one() {
        let strengths = [0.3; 6];
        let (short, stop, _) = minimise(coupled, vec![0.0; 6], &strengths, 1e-15, 4);
        let (_, _, path) = minimise(coupled, vec![0.0; 6], &strengths, 1e-15, 50);
        assert_eq!(stop, Stop::MaxIterations);
        assert_eq!(short, path[3]);
    }

    #[test]
    fn a_penalty_above_every_slope_leaves_the_start_at_zero() {
        let (x, stop, path) = minimise(coupled, vec![0.0; 6], &[1e6; 6], 1e-6, 10);
        assert_eq!((x, stop, path.len()), (vec![0.0; 6], Stop::GradientConverged, 0));
    }
}
