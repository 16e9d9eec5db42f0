//! The optimiser that an objective asks for: L-BFGS for a smooth one, OWL-QN for one with an L1 penalty.

pub(crate) mod cholesky;
pub(crate) mod convergence;
mod gram;
mod lbfgs;
mod line_search;
pub(crate) mod owlqn;
pub(crate) mod vector;

use serde::{Deserialize, Serialize};

use crate::optimise::convergence::{Convergence, Step};
use crate::optimise::lbfgs::Lbfgs;
use crate::optimise::owlqn::{L1, Owlqn};
use crate::rows::real::Real;

/// One optimisation under way.
#[derive(Serialize, Deserialize)]
pub(crate) enum Optimiser<F> {
    Lbfgs(Lbfgs<F>),
    Owlqn(Owlqn<F>),
}

impl<F: Real> Optimiser<F> {
    /// Starts at `x`; the first point to evaluate is `x` itself.
    pub(crate) fn new(x: Vec<F>, l1: Option<L1<F>>, memory: usize, tol: f64, max_iter: u32) -> Self {
        match l1 {
            None => Self::Lbfgs(Lbfgs::new(x, memory, tol, max_iter)),
            Some(l1) => Self::Owlqn(Owlqn::new(x, l1, memory, tol, max_iter)),
        }
    }

    /// Vectors of the length of `x` held at most, with the trial's gradient that is handed in.
    pub(crate) fn vectors(memory: usize, l1: bool) -> usize {
        if l1 {
            Owlqn::<F>::vectors(memory)
        } else {
            Lbfgs::<F>::vectors(memory)
        }
    }

    /// How far it has come.
    pub(crate) fn convergence(&self) -> &Convergence {
        match self {
            Self::Lbfgs(one) => one.convergence(),
            Self::Owlqn(one) => one.convergence(),
        }
    }

    /// The current iterate.
    pub(crate) fn x(&self) -> &[F] {
        match self {
            Self::Lbfgs(one) => one.x(),
            Self::Owlqn(one) => one.x(),
        }
    }

    /// Writes the point to evaluate next.
    pub(crate) fn trial(&self, out: &mut Vec<F>) {
        match self {
            Self::Lbfgs(one) => one.trial(out),
            Self::Owlqn(one) => one.trial(out),
        }
    }

    /// Takes the objective's value and the gradient of its smooth part at the trial.
    pub(crate) fn tell(&mut self, value: f64, gradient: Vec<F>) -> Step {
        match self {
            Self::Lbfgs(one) => one.tell(value, gradient),
            Self::Owlqn(one) => one.tell(value, gradient),
        }
    }
}
