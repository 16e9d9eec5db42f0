//! Fitted models, and the bundle that one is shipped in.

pub mod bundle;
mod linear;
mod thresholds;

pub use linear::{Coefficients, LinearModel, ModelKind};
pub use thresholds::Thresholds;

pub(crate) use linear::Weights;
