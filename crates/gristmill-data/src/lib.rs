//! Databases, key-range batches and the Delta dataset.

pub mod budget;
pub mod content;
pub mod convert;
pub mod count;
pub mod csv_quotes;
pub mod csv_records;
pub mod durable;
pub mod error;
pub mod failpoint;
mod filled;
pub mod guard;
pub mod key;
pub mod parquet_file;
pub mod prepare;
pub mod pull;
pub mod run_key;
pub mod scratch;
pub mod secret;
pub mod settings;
pub mod sink;
pub mod source;
pub mod source_url;
mod sql_words;
pub mod table;
pub mod verify;

pub use error::{Error, Result};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use source::fuzz;
