//! The mathematics of Gristmill over Arrow batches: mergeable fits, transformers, trainers, metrics, the model bundle.
//!
//! No I/O but the bundle's file, no async, no clock, no hidden seed. Threads come from the caller's rayon pool.

pub mod bundle;
mod column;
pub mod error;
pub mod evaluate;
pub mod fit;
pub mod model;
pub mod pass;
pub mod settings;
pub mod split;
pub mod step;
pub mod train;
pub mod transform;

pub use error::{Error, Result};
