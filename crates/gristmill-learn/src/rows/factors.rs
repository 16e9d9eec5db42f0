//! The loops of a factorised softmax over sparse rows: a row's hidden vector, then the margin of every class.
//!
//! With `E` (features × dimension) the vectors of the features, `W` (dimension × classes) those of the classes and `b` the
//! intercepts, a row `x` has the hidden vector `h = x E` and the margins `h W + b`: a multinomial logistic regression whose matrix
//! of coefficients `E W` has at most the rank `dimension`. A row of n entries costs `n · dimension + dimension · classes`
//! multiply-adds in place of `n · classes`.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::rows::features::Rows;
use crate::rows::shape::PAD;
use crate::rows::simd::vectorised;
use crate::rows::tile::add_rows;

/// The kind of model whose loops these are.
pub(crate) const KIND: &str = "factorized_softmax";

/// Rows that a thread takes at a time.
const FORWARD_ROWS: usize = 16;

/// The dimensions of a factorised model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dimensions {
    /// Sparse columns.
    pub(crate) features: usize,
    /// Classes, at least 2.
    pub(crate) classes: usize,
    /// Numbers of a hidden vector.
    pub(crate) hidden: usize,
}

impl Dimensions {
    /// Elements from one feature's vector to the next's.
    pub(crate) fn hidden_stride(self) -> usize {
        self.hidden.next_multiple_of(PAD)
    }

    /// Elements from one dimension's classes to the next's.
    pub(crate) fn class_stride(self) -> usize {
        self.classes.next_multiple_of(PAD)
    }

    /// Elements of the vectors of the features.
    pub(crate) fn vectors(self) -> usize {
        self.features * self.hidden_stride()
    }

    /// Elements of the vectors of the classes.
    pub(crate) fn output(self) -> usize {
        self.hidden_stride() * self.class_stride()
    }
}

/// The parameters of a factorised model. Padding is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Factors {
    pub(crate) dimensions: Dimensions,
    /// The vector of each feature.
    pub(crate) vectors: Vec<f32>,
    /// For each dimension, its weight in every class.
    pub(crate) output: Vec<f32>,
    /// One a class.
    pub(crate) intercepts: Vec<f32>,
}

/// Room for the hidden vectors and the margins of some rows.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Rows by [`Dimensions::hidden_stride`].
    pub(crate) hidden: Vec<f32>,
    /// Margins, or what is made of them: rows by [`Dimensions::class_stride`].
    pub(crate) margins: Vec<f32>,
    /// What is made of each row besides, such as its loss.
    pub(crate) numbers: Vec<f64>,
}

impl Room {
    /// Bytes for so many rows.
    pub(crate) fn bytes(rows: usize, dimensions: Dimensions) -> usize {
        let floats = dimensions.hidden_stride() + dimensions.class_stride();
        rows * (floats * size_of::<f32>() + size_of::<f64>())
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        (self.hidden.capacity() + self.margins.capacity()) * size_of::<f32>()
            + self.numbers.capacity() * size_of::<f64>()
    }
}

impl Factors {
    /// Bytes held for these dimensions.
    pub(crate) fn bytes(dimensions: Dimensions) -> usize {
        (dimensions.vectors() + dimensions.output() + dimensions.class_stride()) * size_of::<f32>()
    }

    /// Computes the hidden vectors and the margins of the rows `chosen`, in this order, and calls `link` with the margins, the row
    /// and the number of each.
    pub(crate) fn forward(
        &self,
        rows: Rows<'_>,
        chosen: &[u32],
        room: &mut Room,
        link: impl Fn(&mut [f32], usize, &mut f64) + Sync + Copy,
    ) {
        let (hidden_stride, class_stride) = (self.dimensions.hidden_stride(), self.dimensions.class_stride());
        // Every element is written below.
        room.hidden.resize(chosen.len() * hidden_stride, 0.0);
        room.margins.resize(chosen.len() * class_stride, 0.0);
        room.numbers.resize(chosen.len(), 0.0);
        room.hidden
            .par_chunks_mut(FORWARD_ROWS * hidden_stride)
            .zip(room.margins.par_chunks_mut(FORWARD_ROWS * class_stride))
            .zip(room.numbers.par_chunks_mut(FORWARD_ROWS))
            .zip(chosen.par_chunks(FORWARD_ROWS))
            .for_each(|(((hidden, margins), numbers), chosen)| {
                vectorised(
                    #[inline(always)]
                    || {
                        let of_rows = hidden
                            .chunks_exact_mut(hidden_stride)
                            .zip(margins.chunks_exact_mut(class_stride));
                        for (((hidden, margins), number), r) in of_rows.zip(numbers.iter_mut()).zip(chosen) {
                            let r = *r as usize;
                            let (indices, values) = rows.row(r);
                            let entries = indices.iter().zip(values).map(
                                #[inline(always)]
                                |(index, value)| (*index as usize, *value),
                            );
                            hidden.fill(0.0);
                            add_rows(entries, &self.vectors, hidden_stride, hidden);
                            margins.copy_from_slice(&self.intercepts);
                            let entries = hidden.iter().copied().enumerate();
                            add_rows(entries, &self.output, class_stride, margins);
                            link(margins, r, number);
                        }
                    },
                );
            });
    }
}
