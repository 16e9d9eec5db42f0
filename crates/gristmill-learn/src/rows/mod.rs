//! Rows of the features table, and the loops over them.

pub(crate) mod columns;
pub(crate) mod factors;
pub(crate) mod features;
pub(crate) mod kernel;
pub(crate) mod real;
mod select;
mod shape;
pub(crate) mod simd;
pub(crate) mod summary;
pub(crate) mod tile;
pub(crate) mod window;

pub(crate) use features::WEIGHT;
pub(crate) use select::{Fold, FoldSums, RowSet};
pub(crate) use shape::{PAD, Shape};

pub use select::{SPLIT_NAMES, Split};
