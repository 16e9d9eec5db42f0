//! Fitted models, and the bundle that one is shipped in.

mod arrays;
pub mod bundle;
pub(crate) mod factorised;
mod input;
mod linear;
mod tensors;

pub use crate::contract::model::{Model, ModelSpec, ModelTensor};
pub use crate::contract::thresholds::Thresholds;
pub use input::InputColumn;
pub use linear::{Coefficients, LinearKind, LinearModel};

pub(crate) use linear::Weights;
