//! The mathematics of Gristmill over Arrow batches: mergeable fits, transformers, trainers, metrics, the model bundle.
//!
//! No I/O but the bundle's file, no async, no clock, no hidden seed. Threads come from the caller's rayon pool.

pub mod contract;
pub mod encode;
pub mod error;
pub mod evaluate;
pub mod features;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod label;
pub mod model;
mod optimise;
pub mod passes;
pub mod registry;
mod rows;
pub mod search;
pub mod settings;
pub mod statistics;
pub mod train;

pub use error::{Error, Result};
#[doc(hidden)]
pub use rows::simd::use_plain_instructions;
