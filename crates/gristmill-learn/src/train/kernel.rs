//! The inner loops of logistic regression over sparse rows: margins, probabilities, loss, gradient.
//!
//! Coefficients are a matrix of `features + 1` rows (the last is the intercept) by `stride` classes, so that one
//! feature's classes are contiguous. Every sum runs over the rows in their order, so that neither blocks nor threads
//! change a bit: rows are independent in the forward pass, and in the backward pass a thread owns a range of features.

use rayon::prelude::*;

use super::real::Real;
use super::rows::Rows;
use super::simd::vectorised;

/// Rows whose probabilities are held at a time; at 176 classes of `f32` they fill about a third of a 2 MiB cache.
pub(crate) const BLOCK_ROWS: usize = 1024;
/// Rows a thread takes at a time in the forward pass.
const FORWARD_ROWS: usize = 32;
/// Ranges of features that threads share out in the backward pass.
const FEATURE_RANGES: usize = 16;
/// Classes whose margins are kept in registers.
const TILE: usize = 32;
/// Classes are padded to a multiple of this.
const PAD: usize = 8;

/// The shape of a coefficient matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Sparse columns.
    pub(crate) features: usize,
    /// Sets of coefficients: 1 for the binomial family, else the classes.
    pub(crate) sets: usize,
}

impl Shape {
    /// Elements from one feature's coefficients to the next's.
    pub(crate) fn stride(self) -> usize {
        if self.sets == 1 {
            1
        } else {
            self.sets.next_multiple_of(PAD)
        }
    }

    /// Elements of the matrix, intercepts and padding included.
    pub(crate) fn len(self) -> usize {
        (self.features + 1) * self.stride()
    }
}

/// Room for the forward pass of one block.
pub(crate) struct Block<F> {
    /// Margins, then probabilities minus the one-hot label: rows by stride.
    residuals: Vec<F>,
    /// Loss of each row.
    losses: Vec<f64>,
    /// Rows of the batch that take part.
    rows: Vec<u32>,
}

impl<F: Real> Block<F> {
    pub(crate) fn new() -> Self {
        Self {
            residuals: Vec::new(),
            losses: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Bytes held for a shape.
    pub(crate) fn bytes(shape: Shape) -> usize {
        BLOCK_ROWS * (shape.stride() * size_of::<F>() + size_of::<f64>() + size_of::<u32>())
    }

    /// Chooses the rows of the next forward pass: those of `range` for which `keep` holds.
    pub(crate) fn select(&mut self, range: std::ops::Range<usize>, keep: impl Fn(usize) -> bool) {
        self.rows.clear();
        self.rows.extend(range.filter(|r| keep(*r)).map(|r| r as u32));
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

    /// The probabilities of the chosen rows (rows by stride), after [`Block::probabilities`].
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
                            margins_of(indices, values, weights, stride, m);
                            link(m, r, loss);
                        }
                    },
                );
            });
    }

    /// Adds the chosen rows' gradient to `gradient`, from the residuals.
    pub(crate) fn add_gradient(&self, rows: Rows<'_>, gradient: &mut [F], shape: Shape) {
        let stride = shape.stride();
        let (features, intercepts) = gradient.split_at_mut(shape.features * stride);
        for residual in self.residuals.chunks_exact(stride) {
            for (g, r) in intercepts.iter_mut().zip(residual) {
                *g = g.add(*r);
            }
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
}

/// `margins = intercepts + values * weights[indices]`, tile by tile so that the sums stay in registers.
#[inline(always)]
fn margins_of<F: Real>(indices: &[u32], values: &[f32], weights: &[F], stride: usize, margins: &mut [F]) {
    if stride == 1 {
        let mut sum = weights[weights.len() - 1];
        for (index, value) in indices.iter().zip(values) {
            sum = weights[*index as usize].mul_add(F::from_f32(*value), sum);
        }
        margins[0] = sum;
        return;
    }
    let mut at = 0;
    while at < stride {
        // As many classes at once as fit the registers: the entries are read again for each tile.
        match stride - at {
            8 => tile::<F, 8>(indices, values, weights, stride, at, margins),
            16 => tile::<F, 16>(indices, values, weights, stride, at, margins),
            24 => tile::<F, 24>(indices, values, weights, stride, at, margins),
            _ => tile::<F, TILE>(indices, values, weights, stride, at, margins),
        }
        at += TILE;
    }
}

#[inline(always)]
fn tile<F: Real, const N: usize>(
    indices: &[u32],
    values: &[f32],
    weights: &[F],
    stride: usize,
    at: usize,
    margins: &mut [F],
) {
    let intercepts = &weights[weights.len() - stride..];
    let mut sums = [F::default(); N];
    sums.copy_from_slice(&intercepts[at..at + N]);
    for (index, value) in indices.iter().zip(values) {
        let from = *index as usize * stride + at;
        let value = F::from_f32(*value);
        for (sum, weight) in sums.iter_mut().zip(&weights[from..from + N]) {
            *sum = weight.mul_add(value, *sum);
        }
    }
    margins[at..at + N].copy_from_slice(&sums);
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
fn softmax<F: Real>(margins: &mut [F], classes: usize) -> f64 {
    let (margins, padding) = margins.split_at_mut(classes);
    let mut largest = margins[0];
    for m in margins.iter() {
        largest = if *m > largest { *m } else { largest };
    }
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
    largest.to_f64() + sum.ln()
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
        e.ln_1p()
    } else {
        e.ln_1p() - toward
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
            block.add_gradient(rows, &mut gradient, shape);
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
}
