//! Databases, key-range batches and the Delta dataset.

pub mod batch;
pub mod error;
pub mod failpoint;
mod filled;
pub mod settings;
pub mod source;
pub mod table;

pub use error::{Error, Result};
