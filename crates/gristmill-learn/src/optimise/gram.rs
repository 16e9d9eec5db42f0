//! The inner products that L-BFGS works on, and its two-loop recursion on them.
//!
//! The basis is every correction s, then every y, oldest first, and the gradient (of OWL-QN: the pseudo-gradient) last.
//! See Chen et al., "Large-scale L-BFGS using MapReduce" (2014).

use serde::{Deserialize, Serialize};

/// Inner products of the basis with itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Gram {
    /// Corrections kept.
    pairs: usize,
    /// `2 * pairs + 1` rows and columns.
    products: Vec<Vec<f64>>,
}

/// The inner products of a new correction and the new gradient, taken in one sweep over memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Products {
    /// New gradient with every old s and y.
    pub(crate) gradient_known: Vec<f64>,
    /// New s with itself, with the new y, and with the new gradient.
    pub(crate) ss: f64,
    /// See `ss`.
    pub(crate) sy: f64,
    /// See `ss`.
    pub(crate) sg: f64,
    /// New y with itself, and with the new gradient.
    pub(crate) yy: f64,
    /// See `yy`.
    pub(crate) yg: f64,
    /// New gradient with itself.
    pub(crate) gg: f64,
}

impl Gram {
    /// No corrections yet.
    pub(crate) fn new(gradient_square: f64) -> Self {
        Self {
            pairs: 0,
            products: vec![vec![gradient_square]],
        }
    }

    /// The square of the gradient's norm.
    pub(crate) fn gradient_square(&self) -> f64 {
        self.products
            .last()
            .and_then(|row| row.last())
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// Takes in a new correction and gradient as [`Gram::push_with`] does, where `step` times the direction of these
    /// `weights` is the new s, and y is the difference of the gradients: the products with these follow from the others.
    pub(crate) fn push(&mut self, step: f64, weights: &[f64], found: &Products, memory: usize) -> bool {
        let g = 2 * self.pairs;
        let s_known: Vec<f64> = (0..g)
            .map(|i| {
                step * weights
                    .iter()
                    .zip(&self.products[i])
                    .map(|(w, p)| w * p)
                    .sum::<f64>()
            })
            .collect();
        let y_known: Vec<f64> = (0..g)
            .map(|i| found.gradient_known[i] - self.products[i][g])
            .collect();
        self.push_with(&s_known, &y_known, found, memory)
    }

    /// Takes in a new correction, its products with the old ones, and a new gradient, forgetting the oldest correction
    /// beyond `memory`. Says whether the correction was kept: one without positive curvature, which only rounding at
    /// the limit of the arithmetic brings about, is not.
    pub(crate) fn push_with(
        &mut self,
        s_known: &[f64],
        y_known: &[f64],
        found: &Products,
        memory: usize,
    ) -> bool {
        let old = self.pairs;
        let g = 2 * old;
        let known = &found.gradient_known;
        if !(found.sy > 0.0 && found.sy.is_finite()) {
            for (i, product) in known.iter().enumerate() {
                self.products[i][g] = *product;
                self.products[g][i] = *product;
            }
            self.products[g][g] = found.gg;
            return false;
        }
        let first = usize::from(old == memory);
        let pairs = old - first + 1;
        let mut products = vec![vec![0.0; 2 * pairs + 1]; 2 * pairs + 1];
        // Where the kept old vectors are now and were before.
        let kept: Vec<(usize, usize)> = (first..old)
            .flat_map(|i| [(i - first, i), (pairs + i - first, old + i)])
            .collect();
        for (new_i, old_i) in &kept {
            for (new_j, old_j) in &kept {
                products[*new_i][*new_j] = self.products[*old_i][*old_j];
            }
        }
        let (s, y, g) = (pairs - 1, 2 * pairs - 1, 2 * pairs);
        let mut set = |i: usize, j: usize, value: f64| {
            products[i][j] = value;
            products[j][i] = value;
        };
        for (new_i, old_i) in &kept {
            set(*new_i, s, s_known[*old_i]);
            set(*new_i, y, y_known[*old_i]);
            set(*new_i, g, known[*old_i]);
        }
        set(s, s, found.ss);
        set(s, y, found.sy);
        set(s, g, found.sg);
        set(y, y, found.yy);
        set(y, g, found.yg);
        set(g, g, found.gg);
        (self.pairs, self.products) = (pairs, products);
        true
    }

    /// The weights of the basis in the quasi-Newton direction, by the two-loop recursion.
    pub(crate) fn direction(&self) -> Vec<f64> {
        let m = self.pairs;
        let mut weights = vec![0.0; 2 * m + 1];
        weights[2 * m] = 1.0;
        let along = |weights: &[f64], i: usize| -> f64 {
            weights.iter().zip(&self.products[i]).map(|(w, p)| w * p).sum()
        };
        let mut alphas = vec![0.0; m];
        for i in (0..m).rev() {
            alphas[i] = along(&weights, i) / self.products[i][m + i];
            weights[m + i] -= alphas[i];
        }
        if m > 0 {
            let (s, y) = (m - 1, 2 * m - 1);
            let scale = self.products[s][y] / self.products[y][y];
            weights.iter_mut().for_each(|w| *w *= scale);
        }
        for i in 0..m {
            let beta = along(&weights, m + i) / self.products[i][m + i];
            weights[i] += alphas[i] - beta;
        }
        weights.iter_mut().for_each(|w| *w = -*w);
        weights
    }
}
