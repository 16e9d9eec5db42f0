//! The mathematics of Gristmill over Arrow batches: mergeable fits, transformers, trainers, metrics, the model bundle.
//!
//! No I/O but the bundle's file, no async, no clock, no hidden seed. Threads come from the caller's rayon pool.

pub mod error;
pub mod pass;
pub mod settings;
pub mod step;

pub use error::{Error, Result};
