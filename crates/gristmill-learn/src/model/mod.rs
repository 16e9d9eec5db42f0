//! Fitted models, and the bundle that one is shipped in.

mod arrays;
pub mod bundle;
mod linear;
mod tensors;
mod thresholds;

pub use linear::{Coefficients, LinearModel, ModelKind};
pub use thresholds::Thresholds;

pub(crate) use linear::Weights;
