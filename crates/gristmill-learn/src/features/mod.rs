//! From the dataset to the features table: the split, the choice of encoders, the fit of everything in one scan, and the rows to
//! learn from.

mod assemble;
pub mod choose;
mod entity;
pub(crate) mod fit;
pub mod split;

pub use assemble::{Assembler, FEATURES_FORMAT, KIND};
pub use fit::{FIT_FORMAT, FitPass, FitPipeline, Fitted};
