//! The shape of a coefficient matrix, padded for the kernels.

use serde::{Deserialize, Serialize};

use crate::contract::spec::StepSpec;
use crate::error::Result;
use crate::rows::real::Real;

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

    /// The coefficients of this shape in an array of a spec.
    ///
    /// # Errors
    /// `Spec` when it is not there, or of another type or length.
    pub(crate) fn coefficients<F: Real>(self, spec: &StepSpec, array: &str) -> Result<Vec<F>> {
        F::from_array(spec.any_array(array)?)
            .filter(|coefficients| coefficients.len() == self.len())
            .ok_or_else(|| spec.bad(format!("`{array}` does not hold coefficients of its shape")))
    }
}
