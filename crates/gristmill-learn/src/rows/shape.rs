//! The shape of a coefficient matrix, padded for the kernels.

use serde::{Deserialize, Serialize};

/// Classes are padded to a multiple of this.
pub(crate) const PAD: usize = 8;

/// The shape of a coefficient matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
