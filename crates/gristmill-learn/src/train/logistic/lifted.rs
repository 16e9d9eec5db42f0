//! A training with its symmetries taken out: one column for all that training cannot tell apart, one row likewise.
//!
//! With m equal columns of coefficient w and deviation σ, the optimiser moves along u = w σ √m, the coordinate of their
//! common direction: an orthogonal change of basis, under which L-BFGS and OWL-QN take the same steps. So the lifted problem is
//! one like any other, in which the deviation is σ √m, and its solution is the original's up to rounding.

use std::collections::HashMap;
use std::sync::Arc;

use crate::optimise::vector::zeros;
use crate::rows::features::Rows;
use crate::rows::kernel::{BLOCK_ROWS, Block};
use crate::rows::real::Real;
use crate::rows::summary::Subset;
use crate::rows::{Fold, RowSet, Shape};
use crate::train::logistic::refine::{Colours, refine};

/// The class of a column whose coefficient is always 0.
const NONE: u32 = u32::MAX;

/// The lifted problem of one subset of the training rows.
#[derive(Debug)]
pub(crate) struct Lifted {
    /// The subset, its features the classes of columns.
    pub(crate) subset: Arc<Subset>,
    /// The class of every column.
    class_of: Vec<u32>,
    labels: Vec<i32>,
    offsets: Vec<i32>,
    indices: Vec<u32>,
    values: Vec<f32>,
    /// What the rows that each row stands for weigh together.
    weights: Vec<f64>,
    /// Zeros, for what the kernels do not look at.
    unused: Vec<u8>,
}

impl Lifted {
    /// Lifts the training on the rows outside `held_out`, if rows and columns together become half as many or fewer.
    pub(crate) fn of(rows: Rows<'_>, held_out: Option<Fold>, subset: &Subset) -> Option<Self> {
        let chosen: Vec<u32> = RowSet::outside(held_out).of(rows).map(|r| r as u32).collect();
        // A constant feature has coefficient 0, and so has one that does not occur.
        let varying: Vec<bool> = subset.deviation.iter().map(|d| *d > 0.0).collect();
        let columns = varying.iter().filter(|v| **v).count();
        let most = (chosen.len() + columns) / 2;
        let colours = refine(rows, &chosen, &varying, most)?;
        let lifted = Self::build(rows, &chosen, &varying, &colours, subset);
        (lifted.labels.len() + lifted.subset.deviation.len() <= most).then_some(lifted)
    }

    fn build(rows: Rows<'_>, chosen: &[u32], varying: &[bool], colours: &Colours, whole: &Subset) -> Self {
        let mut classes = HashMap::new();
        let mut class_of = vec![NONE; varying.len()];
        let (mut mean, mut deviation, mut members) = (Vec::<f64>::new(), Vec::new(), Vec::<f64>::new());
        for (column, colour) in colours.columns.iter().enumerate().filter(|(c, _)| varying[*c]) {
            let class = *classes.entry(*colour).or_insert_with(|| {
                mean.push(0.0);
                deviation.push(whole.deviation[column]);
                members.push(0.0);
                members.len() - 1
            });
            mean[class] += whole.mean[column];
            members[class] += 1.0;
            class_of[column] = class as u32;
        }
        deviation
            .iter_mut()
            .zip(&members)
            .for_each(|(d, m)| *d *= m.sqrt());
        let mut lifted = Self {
            subset: Arc::new(Subset {
                rows: whole.rows,
                counts: whole.counts.clone(),
                weight: whole.weight,
                weights: whole.weights.clone(),
                mean,
                deviation,
                members,
                label: None,
            }),
            class_of,
            labels: Vec::new(),
            offsets: vec![0],
            indices: Vec::new(),
            values: Vec::new(),
            weights: Vec::new(),
            unused: Vec::new(),
        };
        let mut seen = HashMap::new();
        for (r, colour) in chosen.iter().zip(&colours.rows) {
            let at = *seen
                .entry(*colour)
                .or_insert_with(|| lifted.push(rows, *r as usize));
            lifted.weights[at] += rows.weight(*r as usize);
        }
        lifted.unused = vec![0; lifted.labels.len()];
        lifted
    }

    /// Adds a row of weight 0; says which it is.
    fn push(&mut self, rows: Rows<'_>, r: usize) -> usize {
        let (indices, values) = rows.row(r);
        let mut entries: Vec<(u32, f64)> = indices
            .iter()
            .zip(values)
            .map(|(index, value)| (self.class_of[*index as usize], f64::from(*value)))
            .filter(|(class, _)| *class != NONE)
            .collect();
        entries.sort_by_key(|entry| entry.0);
        for same in entries.chunk_by(|a, b| a.0 == b.0) {
            self.indices.push(same[0].0);
            self.values
                .push(same.iter().map(|entry| entry.1).sum::<f64>() as f32);
        }
        self.offsets.push(self.indices.len() as i32);
        self.labels.push(rows.labels[r]);
        self.weights.push(0.0);
        self.labels.len() - 1
    }

    /// The shape of its coefficients.
    pub(crate) fn shape(&self, whole: Shape) -> Shape {
        Shape {
            features: self.subset.deviation.len(),
            sets: whole.sets,
        }
    }

    /// Sums of loss and gradient at `weights`.
    pub(crate) fn gradient<F: Real>(&self, weights: &[F], whole: Shape) -> (f64, Vec<F>) {
        let shape = self.shape(whole);
        let rows = Rows {
            labels: &self.labels,
            offsets: &self.offsets,
            indices: &self.indices,
            values: &self.values,
            split: &self.unused,
            fold: &self.unused,
            weights: Some(&self.weights),
        };
        let mut block = Block::new();
        let (mut loss, mut gradient) = (0.0, zeros(shape.len()));
        let block_rows = Block::<F>::rows(shape);
        for from in (0..rows.len()).step_by(BLOCK_ROWS) {
            let to = (from + BLOCK_ROWS).min(rows.len());
            let mut of_these = 0.0;
            for from in (from..to).step_by(block_rows) {
                block.select(from..(from + block_rows).min(to), |_| true);
                block.residuals(rows, weights, shape);
                block.losses().iter().for_each(|of_row| of_these += of_row);
                block.add_gradient(rows, None, &mut gradient, shape);
            }
            loss += of_these;
        }
        (loss, gradient)
    }

    /// The coefficients of every column.
    pub(crate) fn expand<F: Real>(&self, weights: &[F], whole: Shape) -> Vec<F> {
        let stride = whole.stride();
        let mut expanded = zeros(whole.len());
        let (features, intercepts) = expanded.split_at_mut(whole.features * stride);
        for (to, class) in features.chunks_exact_mut(stride).zip(&self.class_of) {
            if *class != NONE {
                let from = *class as usize * stride;
                to.copy_from_slice(&weights[from..from + stride]);
            }
        }
        intercepts.copy_from_slice(&weights[weights.len() - stride..]);
        expanded
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        let columns = 4 * self.class_of.len() + 24 * self.subset.deviation.len();
        (columns + 18 * self.labels.len() + 8 * self.indices.len()) as u64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::search::Penalty;
    use crate::train::logistic::objective::{Fit, Start};
    use crate::train::logistic::settings::{Family, LogisticSettings};

    /// Rows as categories: a constant, one of few, and names of which most occur once.
    struct Table {
        labels: Vec<i32>,
        offsets: Vec<i32>,
        indices: Vec<u32>,
        values: Vec<f32>,
        split: Vec<u8>,
        fold: Vec<u8>,
        weights: Vec<f64>,
        features: usize,
    }

    impl Table {
        fn new(rows: &[(i32, u32, u32, u8)]) -> Self {
            let (few, names) = (3, 1 + rows.iter().map(|r| r.2).max().unwrap());
            let mut table = Self {
                labels: rows.iter().map(|r| r.0).collect(),
                offsets: vec![0],
                indices: Vec::new(),
                values: Vec::new(),
                split: vec![0; rows.len()],
                fold: rows.iter().map(|r| r.3).collect(),
                weights: rows.iter().map(|r| [1.0, 0.5, 2.0][r.1 as usize]).collect(),
                features: (1 + few + names + rows.len() as u32) as usize,
            };
            for (r, row) in rows.iter().enumerate() {
                table
                    .indices
                    .extend([0, 1 + row.1, 1 + few + row.2, 1 + few + names + r as u32]);
                table.values.extend([1.0, 0.5, 2.0, 1.0]);
                table.offsets.push(table.indices.len() as i32);
            }
            table
        }

        fn rows(&self) -> Rows<'_> {
            Rows {
                labels: &self.labels,
                offsets: &self.offsets,
                indices: &self.indices,
                values: &self.values,
                split: &self.split,
                fold: &self.fold,
                weights: Some(&self.weights),
            }
        }

        /// The sums of the rows outside fold 1.
        fn subset(&self) -> Subset {
            let chosen: Vec<usize> = (0..self.labels.len()).filter(|r| self.fold[*r] != 1).collect();
            let (mut sum, mut squares) = (vec![0.0; self.features], vec![0.0; self.features]);
            let (mut counts, mut weights) = (vec![0; 3], vec![0.0; 3]);
            for r in &chosen {
                counts[self.labels[*r] as usize] += 1;
                weights[self.labels[*r] as usize] += self.weights[*r];
                let (indices, values) = self.rows().row(*r);
                for (i, v) in indices.iter().zip(values) {
                    sum[*i as usize] += f64::from(*v);
                    squares[*i as usize] += f64::from(v * v);
                }
            }
            let n = chosen.len() as f64;
            let mean = sum.iter().map(|sum| sum / n).collect();
            let deviation = sum.iter().zip(&squares).map(|(s, q): (&f64, &f64)| {
                let m2 = q - s * s / n;
                if m2 > 1e-12 * q {
                    (m2 / (n - 1.0)).sqrt()
                } else {
                    0.0
                }
            });
            Subset {
                rows: chosen.len() as u64,
                counts,
                weight: weights.iter().sum(),
                weights,
                mean,
                deviation: deviation.collect(),
                members: Vec::new(),
                label: None,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Every iterate of the lifted problem is the original's.
        #[test]
        fn the_lifted_problem_has_the_path_of_the_original(
            rows in prop::collection::vec((0..3, 0_u32..3, 0_u32..200, 0_u8..3), 30..80),
            standardization in any::<bool>(),
            reg_param in prop_oneof![Just(0.0), Just(0.1)],
            elastic_net_param in prop_oneof![Just(0.0), Just(0.3)],
        ) {
            let table = Table::new(&rows);
            let whole = Shape { features: table.features, sets: 3 };
            let subset = table.subset();
            let Some(lifted) = Lifted::of(table.rows(), Fold::each(3).nth(1), &subset) else {
                return Ok(());
            };
            prop_assert!(lifted.subset.deviation.len() < table.features);
            let weight: f64 = lifted.weights.iter().sum();
            prop_assert!((weight - subset.weight).abs() < 1e-9, "{}", weight);
            let settings = LogisticSettings {
                reg_param: vec![reg_param].into(),
                elastic_net_param: vec![elastic_net_param],
                max_iter: vec![8],
                tol: 1e-12,
                fit_intercept: true,
                standardization,
                family: Family::Multinomial,
                solver: crate::train::logistic::settings::Solver::Lbfgs,
                history: 3,
                thresholds: None,
            };
            let penalty = Penalty { reg_param, elastic_net_param };
            let mut plain = Fit::<f64>::new(Arc::new(subset), whole, penalty, 8, &settings, Start::Zero);
            let mut short = Fit::<f64>::new(Arc::clone(&lifted.subset), lifted.shape(whole), penalty, 8, &settings, Start::Zero);
            while plain.stopped().is_none() && short.stopped().is_none() {
                let mut block = Block::new();
                block.select(0..rows.len(), |r| table.fold[r] != 1);
                block.residuals(table.rows(), plain.weights(), whole);
                let mut gradient = vec![0.0; whole.len()];
                block.add_gradient(table.rows(), None, &mut gradient, whole);
                let loss = block.losses().iter().sum::<f64>();
                let (lifted_loss, lifted_gradient) = lifted.gradient(short.weights(), whole);
                prop_assert!((loss - lifted_loss).abs() < 1e-7 * (1.0 + loss), "{} {}", loss, lifted_loss);
                plain.tell(loss, gradient);
                short.tell(lifted_loss, lifted_gradient);
            }
            let expanded = lifted.expand(short.accepted(), whole);
            for (a, b) in plain.accepted().iter().zip(&expanded) {
                prop_assert!((a - b).abs() < 1e-5 * (1.0 + a.abs()), "{} {}", a, b);
            }
        }
    }

    #[test]
    fn rows_alike_become_one_and_columns_of_one_kind_too() {
        // Three names of label 0 that occur once each, and one of label 1; without the constant, 2 kinds.
        let rows: Vec<(i32, u32, u32, u8)> = (0..6).map(|r| (i32::from(r >= 4), 0, r as u32, 0)).collect();
        let table = Table::new(&rows);
        let lifted = Lifted::of(table.rows(), None, &table.subset()).unwrap();
        assert_eq!(lifted.weights, [4.0, 2.0]);
        // The names and the columns of the rows have values of their own.
        assert_eq!(lifted.subset.members, [4.0, 2.0, 4.0, 2.0]);
        assert_eq!(lifted.labels, [0, 1]);
    }

    #[test]
    fn a_table_without_symmetries_is_not_lifted() {
        let rows: Vec<(i32, u32, u32, u8)> = (0..40).map(|r| (r % 3, (r / 3) as u32 % 3, 0, 0)).collect();
        let mut table = Table::new(&rows);
        table
            .values
            .iter_mut()
            .enumerate()
            .for_each(|(i, v)| *v += i as f32);
        assert!(Lifted::of(table.rows(), None, &table.subset()).is_none());
    }
}
