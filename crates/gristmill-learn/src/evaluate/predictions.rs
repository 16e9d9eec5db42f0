//! The predictions of a classifier on rows of the features table: the one way from coefficients to a predicted class.

use std::ops::Range;

use crate::model::Thresholds;
use crate::rows::Shape;
use crate::rows::features::Rows;
use crate::rows::kernel::Block;
use crate::rows::real::Real;

/// A classifier by its coefficients.
#[derive(Clone, Copy)]
pub(crate) struct Classifier<'m, F> {
    pub(crate) weights: &'m [F],
    pub(crate) shape: Shape,
    pub(crate) thresholds: &'m Thresholds,
}

/// What a classifier says of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prediction {
    /// The row of the batch.
    pub(crate) row: usize,
    /// Its class.
    pub(crate) truth: usize,
    /// The class predicted.
    pub(crate) predicted: usize,
    /// The probability given to its class.
    pub(crate) at_truth: f64,
}

impl<F: Real> Classifier<'_, F> {
    /// Predicts the rows of a range that `keep` says, in order, block by block.
    pub(crate) fn predict(
        self,
        block: &mut Block<F>,
        rows: Rows<'_>,
        range: Range<usize>,
        keep: impl Fn(usize) -> bool,
        mut take: impl FnMut(Prediction),
    ) {
        let Self {
            weights,
            shape,
            thresholds,
        } = self;
        let block_rows = Block::<F>::rows(shape);
        for from in range.clone().step_by(block_rows) {
            block.select(from..(from + block_rows).min(range.end), &keep);
            block.probabilities(rows, weights, shape);
            for (p, r) in block.values().chunks_exact(shape.stride()).zip(block.selected()) {
                let row = *r as usize;
                let truth = rows.labels[row] as usize;
                let (predicted, at_truth) = thresholds.predicted(p, shape.sets, truth, |p| p.to_f64());
                take(Prediction {
                    row,
                    truth,
                    predicted,
                    at_truth,
                });
            }
        }
    }
}
