//! The inner loops of logistic regression over sparse rows: margins, probabilities, loss, gradient.
//!
//! Coefficients are a matrix of `features + 1` rows (the last is the intercept) by `stride` classes, so that one
//! feature's classes are contiguous. Every sum runs over the rows in their order, so that neither blocks nor threads
//! change a bit: rows are independent in the forward pass, and in the backward pass a thread owns a range of features.
//!
//! What a scan costs, with E entries, C classes and R rows: E·C fused multiply-adds forward and as many backward, R·C
//! exponentials. Each pass reads E·C elements, one a multiply-add: forward the coefficients (of names as 1 to 3-grams in
//! 176 classes: 25 MB, of which the hottest features, which are the first, stay in the second cache), backward the
//! residuals of a block, which fit it. The gradient is read and written once for each feature of a block, a ninth of the
//! entries there; going over the rows instead would read and write it for every entry. So loads bound it, not arithmetic:
//! two of them a cycle at best.

use std::ops::Range;

use rayon::prelude::*;

use crate::rows::columns::Columns;
use crate::rows::features::Rows;
use crate::rows::real::Real;
use crate::rows::shape::{PAD, Shape};
use crate::rows::simd::vectorised;
use crate::rows::tile::{add_all_rows, add_rows};
use crate::statistics::logarithm::{ln, ln_1p};

/// Rows whose probabilities are held at a time: at 176 classes of `f32`, 1.4 MB, which a second-level cache may hold.
pub(crate) const BLOCK_ROWS: usize = 2048;
/// Probabilities held at a time: where classes are more than 1,024, a block has fewer rows.
const BLOCK_ELEMENTS: usize = 1 << 21;
/// Rows a thread takes at a time in the forward pass.
const FORWARD_ROWS: usize = 16;
/// Ranges of features that threads share out in the backward pass.
const FEATURE_RANGES: usize = 16;
/// Entries that a thread takes at a time in the backward pass over columns.
const COLUMN_ENTRIES: u32 = 4096;
/// The slot of a row that was not chosen.
const NOT_CHOSEN: u16 = u16::MAX;
/// Room for the forward pass of one block.
pub(crate) struct Block<F> {
    /// Margins, then probabilities minus the one-hot label: rows by stride.
    residuals: Vec<F>,
    /// Loss of each row.
    losses: Vec<f64>,
    /// Rows of the batch that take part.
    rows: Vec<u32>,
    /// Where each row of the range chosen from is among them, or [`NOT_CHOSEN`].
    slots: Vec<u16>,
}

impl<F: Real> Block<F> {
    pub(crate) fn new() -> Self {
        Self {
            residuals: Vec::new(),
            losses: Vec::new(),
            rows: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// Rows of a block for a shape. No sum depends on it.
    pub(crate) fn rows(shape: Shape) -> usize {
        (BLOCK_ELEMENTS / shape.stride()).clamp(FORWARD_ROWS, BLOCK_ROWS)
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        self.residuals.capacity() * size_of::<F>()
            + self.losses.capacity() * size_of::<f64>()
            + self.rows.capacity() * size_of::<u32>()
            + self.slots.capacity() * size_of::<u16>()
    }

    /// Bytes held at most for a block of a shape.
    pub(crate) fn bytes(shape: Shape) -> usize {
        Self::bytes_of(Self::rows(shape), shape)
    }

    /// Bytes held for so many rows of a shape.
    pub(crate) fn bytes_of(rows: usize, shape: Shape) -> usize {
        rows * (shape.stride() * size_of::<F>() + size_of::<f64>() + size_of::<u32>() + size_of::<u16>())
    }

    /// Chooses the rows of the next forward pass: those of `range` for which `keep` holds.
    pub(crate) fn select(&mut self, range: Range<usize>, keep: impl Fn(usize) -> bool) {
        self.rows.clear();
        self.slots.clear();
        for r in range {
            let slot = if keep(r) {
                self.rows.push(r as u32);
                (self.rows.len() - 1) as u16
            } else {
                NOT_CHOSEN
            };
            self.slots.push(slot);
        }
    }

    /// Chooses these rows, in this order.
    pub(crate) fn choose(&mut self, rows: &[u32]) {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
    }

    /// The chosen rows.
    pub(crate) fn selected(&self) -> &[u32] {
        &self.rows
    }

    /// The losses of the chosen rows, after [`Block::residuals`].
    pub(crate) fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// The probabilities or margins of the chosen rows (rows by stride), after [`Block::probabilities`] or [`Block::margins`].
    pub(crate) fn values(&self) -> &[F] {
        &self.residuals
    }

    /// Probability minus one-hot label, and loss, of every chosen row, times its weight.
    pub(crate) fn residuals(&mut self, rows: Rows<'_>, weights: &[F], shape: Shape) {
        self.forward(
            rows,
            weights,
            shape,
            // Inlined here and below, to be compiled for the instruction set of the caller.
            #[inline(always)]
            |margins, r, loss| {
                let label = rows.labels[r];
                *loss = if shape.sets == 1 {
                    sigmoid_residual(margins, label)
                } else {
                    let at_label = margins[label as usize].to_f64();
                    let log_sum = softmax(margins, shape.sets);
                    margins[label as usize] = margins[label as usize].sub(F::from_f64(1.0));
                    log_sum - at_label
                };
                if let Some(weights) = rows.weights {
                    weigh(weights[r], margins, loss);
                }
            },
        );
    }

    /// Prediction minus number, and half its square, of every chosen row, times its weight.
    pub(crate) fn squared_residuals(&mut self, rows: Rows<'_>, numbers: &[f64], weights: &[F], shape: Shape) {
        self.forward(
            rows,
            weights,
            shape,
            #[inline(always)]
            |margins, r, loss| {
                let residual = margins[0].to_f64() - numbers[r];
                *loss = 0.5 * residual * residual;
                margins[0] = F::from_f64(residual);
                if let Some(weights) = rows.weights {
                    weigh(weights[r], margins, loss);
                }
            },
        );
    }

    /// The probabilities of every chosen row. With one set: of the second class.
    pub(crate) fn probabilities(&mut self, rows: Rows<'_>, weights: &[F], shape: Shape) {
        self.forward(
            rows,
            weights,
            shape,
            #[inline(always)]
            |margins, _, _| {
                if shape.sets == 1 {
                    margins[0] = sigmoid(margins[0]);
                } else {
                    softmax(margins, shape.sets);
                }
            },
        );
    }

    /// The margins of every chosen row: of a regression, its predictions.
    pub(crate) fn margins(&mut self, rows: Rows<'_>, weights: &[F], shape: Shape) {
        self.forward(
            rows,
            weights,
            shape,
            #[inline(always)]
            |_, _, _| {},
        );
    }

    fn forward(
        &mut self,
        rows: Rows<'_>,
        weights: &[F],
        shape: Shape,
        link: impl Fn(&mut [F], usize, &mut f64) + Sync + Copy,
    ) {
        let stride = shape.stride();
        // Every element is written below.
        self.residuals.resize(self.rows.len() * stride, F::default());
        self.losses.resize(self.rows.len(), 0.0);
        self.residuals
            .par_chunks_mut(FORWARD_ROWS * stride)
            .zip(self.losses.par_chunks_mut(FORWARD_ROWS))
            .zip(self.rows.par_chunks(FORWARD_ROWS))
            .for_each(|((margins, losses), chosen)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for ((m, loss), r) in margins
                            .chunks_exact_mut(stride)
                            .zip(losses.iter_mut())
                            .zip(chosen)
                        {
                            let r = *r as usize;
                            let (indices, values) = rows.row(r);
                            m.copy_from_slice(&weights[weights.len() - stride..]);
                            let entries = indices.iter().zip(values).map(
                                #[inline(always)]
                                |(i, v)| (*i as usize, *v),
                            );
                            add_rows(entries, weights, stride, m);
                            link(m, r, loss);
                        }
                    },
                );
            });
    }

    /// Adds the chosen rows' gradient to `gradient`, from the residuals; `columns` are those of the range chosen from.
    /// With them or without, each sum runs over the rows in their order.
    pub(crate) fn add_gradient(
        &self,
        rows: Rows<'_>,
        columns: Option<&Columns>,
        gradient: &mut [F],
        shape: Shape,
    ) {
        let stride = shape.stride();
        let (features, intercepts) = gradient.split_at_mut(shape.features * stride);
        vectorised(
            #[inline(always)]
            || add_all_rows(&self.residuals, stride, intercepts),
        );
        if let Some(columns) = columns {
            return self.add_columns(columns, 0..columns.features.len(), features, 0, stride);
        }
        let width = shape.features.div_ceil(FEATURE_RANGES).max(1);
        features
            .par_chunks_mut(width * stride)
            .enumerate()
            .for_each(|(range, gradient)| {
                let from = (range * width) as u32;
                let to = from + (gradient.len() / stride) as u32;
                vectorised(
                    #[inline(always)]
                    || {
                        for (residual, r) in self.residuals.chunks_exact(stride).zip(&self.rows) {
                            let (indices, values) = rows.row(*r as usize);
                            let start = indices.partition_point(|i| *i < from);
                            for (index, value) in indices[start..].iter().zip(&values[start..]) {
                                if *index >= to {
                                    break;
                                }
                                let at = (*index - from) as usize * stride;
                                add_scaled(F::from_f32(*value), residual, &mut gradient[at..at + stride]);
                            }
                        }
                    },
                );
            });
    }

    /// Adds the columns `range`; `gradient` begins with feature `first`.
    fn add_columns(
        &self,
        columns: &Columns,
        range: Range<usize>,
        gradient: &mut [F],
        first: u32,
        stride: usize,
    ) {
        let (from, to) = (columns.starts[range.start], columns.starts[range.end]);
        if range.len() > 1 && to - from > COLUMN_ENTRIES {
            let half = columns.starts[range.clone()].partition_point(|start| *start < (from + to) / 2);
            let middle = range.start + half.clamp(1, range.len() - 1);
            let feature = columns.features[middle];
            let (left, right) = gradient.split_at_mut((feature - first) as usize * stride);
            rayon::join(
                || self.add_columns(columns, range.start..middle, left, first, stride),
                || self.add_columns(columns, middle..range.end, right, feature, stride),
            );
            return;
        }
        vectorised(
            #[inline(always)]
            || {
                for column in range.clone() {
                    let entries = columns.entries(column..column + 1);
                    let entries = columns.rows[entries.clone()].iter().zip(&columns.values[entries]);
                    let chosen = entries
                        .map(
                            #[inline(always)]
                            |(row, value)| (usize::from(self.slots[usize::from(*row)]), *value),
                        )
                        .filter(
                            #[inline(always)]
                            |(slot, _)| *slot != usize::from(NOT_CHOSEN),
                        );
                    let at = (columns.features[column] - first) as usize * stride;
                    add_rows(chosen, &self.residuals, stride, &mut gradient[at..at + stride]);
                }
            },
        );
    }
}

#[inline(always)]
fn weigh<F: Real>(weight: f64, residual: &mut [F], loss: &mut f64) {
    let factor = F::from_f64(weight);
    residual.iter_mut().for_each(|r| *r = r.mul(factor));
    *loss *= weight;
}

#[inline(always)]
fn add_scaled<F: Real>(value: F, residual: &[F], gradient: &mut [F]) {
    for (g, r) in gradient.iter_mut().zip(residual) {
        *g = r.mul_add(value, *g);
    }
}

/// Turns margins into probabilities in place (padding becomes 0) and returns the log of the sum of their exponentials.
#[inline(always)]
pub(crate) fn softmax<F: Real>(margins: &mut [F], classes: usize) -> f64 {
    let (margins, padding) = margins.split_at_mut(classes);
    let larger = |a: F, b: F| if b > a { b } else { a };
    let mut largest = [margins[0]; PAD];
    let (chunks, rest) = margins.as_chunks::<PAD>();
    for chunk in chunks {
        for (largest, m) in largest.iter_mut().zip(chunk) {
            *largest = larger(*largest, *m);
        }
    }
    let largest = largest.iter().chain(rest).copied().fold(margins[0], larger);
    for m in margins.iter_mut() {
        *m = m.sub(largest).exp_of_negative();
    }
    let mut lanes = [0.0_f64; PAD];
    let (chunks, rest) = margins.as_chunks::<PAD>();
    for chunk in chunks {
        for (lane, m) in lanes.iter_mut().zip(chunk) {
            *lane += m.to_f64();
        }
    }
    let sum: f64 = lanes.iter().sum::<f64>() + rest.iter().map(|m| m.to_f64()).sum::<f64>();
    let inverse = F::from_f64(1.0 / sum);
    for m in margins.iter_mut() {
        *m = m.mul(inverse);
    }
    for p in padding {
        *p = F::default();
    }
    largest.to_f64() + ln(sum)
}

#[inline(always)]
fn sigmoid<F: Real>(margin: F) -> F {
    let m = margin.to_f64();
    let e = (-m.abs()).exp_of_negative();
    F::from_f64(if m >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) })
}

/// Replaces the margin by probability minus label and returns the loss.
#[inline(always)]
fn sigmoid_residual<F: Real>(margins: &mut [F], label: i32) -> f64 {
    let m = margins[0].to_f64();
    let toward = if label == 1 { m } else { -m };
    let e = (-toward.abs()).exp_of_negative();
    margins[0] = F::from_f64(sigmoid(m) - f64::from(label));
    if toward >= 0.0 {
        ln_1p(e)
    } else {
        ln_1p(e) - toward
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rows::features::tests::Table;

    /// Loss by the plain definition.
    fn loss(rows: Rows<'_>, weights: &[f64], shape: Shape) -> f64 {
        let stride = shape.stride();
        (0..rows.len())
            .map(|r| {
                let (indices, values) = rows.row(r);
                let margin = |k: usize| {
                    weights[shape.features * stride + k]
                        + indices
                            .iter()
                            .zip(values)
                            .map(|(i, v)| weights[*i as usize * stride + k] * f64::from(*v))
                            .sum::<f64>()
                };
                let y = rows.labels[r] as usize;
                rows.weight(r)
                    * if shape.sets == 1 {
                        (1.0 + (-margin(0) * if y == 1 { 1.0 } else { -1.0 }).exp()).ln()
                    } else {
                        (0..shape.sets).map(|k| margin(k).exp()).sum::<f64>().ln() - margin(y)
                    }
            })
            .sum()
    }

    #[test]
    fn the_gradient_is_the_derivative_of_the_loss() {
        let mut labels = vec![0, 2, 1, 2];
        let offsets = [0, 2, 3, 3, 6];
        let indices = [0, 3, 1, 0, 2, 4];
        let values = [1.0, -0.5, 2.0, 0.25, 1.5, -1.0];
        let zeros = [0; 4];
        let weights_of_rows = [1.0, 0.5, 0.0, 3.0];
        for sets in [3, 1] {
            if sets == 1 {
                labels.iter_mut().for_each(|l| *l = i32::from(*l == 2));
            }
            let rows = Rows {
                labels: &labels,
                offsets: &offsets,
                indices: &indices,
                values: &values,
                split: &zeros,
                fold: &zeros,
                weights: Some(&weights_of_rows),
            };
            let shape = Shape { features: 5, sets };
            let stride = shape.stride();
            let mut weights: Vec<f64> = vec![0.0; shape.len()];
            for j in 0..=shape.features {
                for k in 0..sets {
                    weights[j * stride + k] = ((j * 7 + k * 3) % 11) as f64 * 0.2 - 1.0;
                }
            }
            let mut block = Block::new();
            block.select(0..4, |_| true);
            block.residuals(rows, &weights, shape);
            let total: f64 = block.losses().iter().sum();
            assert!((total - loss(rows, &weights, shape)).abs() < 1e-12);
            let mut gradient = vec![0.0; shape.len()];
            block.add_gradient(rows, None, &mut gradient, shape);
            for j in 0..=shape.features {
                for k in 0..sets {
                    let at = j * stride + k;
                    let (mut up, mut down) = (weights.clone(), weights.clone());
                    up[at] += 1e-6;
                    down[at] -= 1e-6;
                    let slope = (loss(rows, &up, shape) - loss(rows, &down, shape)) / 2e-6;
                    assert!(
                        (slope - gradient[at]).abs() < 1e-7,
                        "{j} {k}: {slope} {}",
                        gradient[at]
                    );
                }
            }
        }
    }

    #[test]
    fn the_gradient_of_squares_is_the_derivative_of_the_loss() {
        let mut table = Table::default();
        table.push(0, &[0, 2], &[1.0, -0.5]);
        table.push(0, &[1], &[2.0]);
        table.push(0, &[], &[]);
        let row_weights = [1.0, 0.5, 3.0];
        let rows = Rows {
            weights: Some(&row_weights),
            ..table.rows()
        };
        let numbers = [3.0, -1.0, 0.25];
        let shape = Shape { features: 3, sets: 1 };
        let weights = [0.5, -0.25, 1.5, 0.125];
        let loss = |weights: &[f64]| -> f64 {
            let mut block = Block::new();
            block.select(0..3, |_| true);
            block.squared_residuals(rows, &numbers, weights, shape);
            block.losses().iter().sum()
        };
        // By hand: (0.5 - 0.75 + 0.125 - 3)² / 2 + (-0.5 + 0.125 + 1)² / 4 + 3 (0.125 - 0.25)² / 2.
        let by_hand = 3.125_f64.powi(2) / 2.0 + 0.625_f64.powi(2) / 4.0 + 3.0 * 0.125_f64.powi(2) / 2.0;
        assert!((loss(&weights) - by_hand).abs() < 1e-12);
        let mut block = Block::new();
        block.select(0..3, |_| true);
        block.squared_residuals(rows, &numbers, &weights, shape);
        let mut gradient = vec![0.0; shape.len()];
        block.add_gradient(rows, None, &mut gradient, shape);
        for (at, slope) in gradient.iter().enumerate() {
            let (mut up, mut down) = (weights, weights);
            up[at] += 1e-5;
            down[at] -= 1e-5;
            let by_difference = (loss(&up) - loss(&down)) / 2e-5;
            assert!(
                (by_difference - slope).abs() < 1e-7,
                "{at}: {by_difference} {slope}"
            );
        }
    }

    /// Rows of 2,000 features, of which a few are in most of them, as chosen by a fold.
    #[test]
    fn the_gradient_by_columns_is_that_by_rows_to_the_last_bit() {
        let (count, features) = (700_usize, 2000);
        let mut table = Table::default();
        let mut state = 7_u64;
        for r in 0..count {
            let mut row: Vec<u32> = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let uniform = (state >> 40) as f64 / (1 << 24) as f64;
                    (uniform.powi(4) * features as f64) as u32
                })
                .collect();
            row.sort_unstable();
            row.dedup();
            let values: Vec<f32> = row.iter().map(|i| 0.1 + (*i % 7) as f32).collect();
            table.push((r * r % 21) as i32, &row, &values);
        }
        let rows = table.rows();
        let shape = Shape { features, sets: 21 };
        let range = 3..count;
        assert!(Columns::pay(rows, range.clone(), shape));
        let mut columns = Columns::default();
        columns.fill(rows, range.clone(), features);
        assert!(
            columns.values.len() > COLUMN_ENTRIES as usize,
            "too few to be shared out"
        );
        let weights: Vec<f32> = (0..shape.len()).map(|i| (i % 13) as f32 * 0.1 - 0.6).collect();
        let mut block = Block::new();
        block.select(range, |r| r % 3 != 1);
        block.residuals(rows, &weights, shape);
        let (mut by_rows, mut by_columns) = (vec![0.5; shape.len()], vec![0.5; shape.len()]);
        block.add_gradient(rows, None, &mut by_rows, shape);
        block.add_gradient(rows, Some(&columns), &mut by_columns, shape);
        assert!(by_rows.iter().any(|g| *g != 0.5));
        assert!(by_rows == by_columns);
    }
}
