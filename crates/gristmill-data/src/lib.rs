//! Databases, key-range batches and the Delta dataset.

pub mod error;
pub mod settings;

pub use error::{Error, Result};
