//! Databases, key-range batches and the Delta dataset.

pub mod content;
pub mod durable;
pub mod error;
pub mod failpoint;
mod filled;
pub mod key;
pub mod prepare;
pub mod pull;
pub mod scratch;
pub mod settings;
pub mod source;
pub mod table;
pub mod verify;

pub use error::{Error, Result};
