//! The predictions of models on rows of the features table: the one way from coefficients to a predicted class, and the one
//! for models that have none.

use std::ops::Range;

use crate::contract::model::Model;
use crate::contract::step::SparseBlock;
use crate::contract::thresholds::Thresholds;
use crate::error::Result;
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
    /// Its class; `None` where training never saw that.
    pub(crate) truth: Option<usize>,
    /// The class predicted.
    pub(crate) predicted: usize,
    /// The probability given to its class: 0 where training never saw that.
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
                let truth = rows.class(row);
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

/// Rows that a model which is not linear scores at a time.
const SCORED_ROWS: usize = 1024;

/// Calls `take` with each row and its scores, of which there are `scores` a row.
pub(crate) fn for_each_scored(
    rows: Rows<'_>,
    model: &dyn Model,
    scores: usize,
    mut take: impl FnMut(usize, &[f64]),
) -> Result<()> {
    for from in (0..rows.len()).step_by(SCORED_ROWS) {
        let to = (from + SCORED_ROWS).min(rows.len());
        let mut block = SparseBlock::with_capacity(to - from);
        for row in from..to {
            let (indices, values) = rows.row(row);
            block.indices.extend_from_slice(indices);
            block.values.extend_from_slice(values);
            block.end_row();
        }
        let all = model.scores(&block)?;
        for (row, scores) in (from..to).zip(all.chunks_exact(scores.max(1))) {
            take(row, scores);
        }
    }
    Ok(())
}
