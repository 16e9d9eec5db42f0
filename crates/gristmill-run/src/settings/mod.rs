//! The pipeline file: TOML in, validated settings or every problem at its line out.

mod by_key;
mod convert;
pub mod diagnose;
pub mod docs;
mod explain;
mod file;
mod keys;
mod pipeline;
mod reader;
mod sections;
mod validate;
mod value;

pub use file::PipelineFile;
pub use keys::TABLES;
pub use pipeline::{Open, Pipeline, RunSettings, Verify};

pub(crate) use pipeline::fingerprint;

/// A budget for the memory of the process as it is written, such as `512MB`; `None` where it is none, or too small.
pub fn memory(text: &str) -> Option<u64> {
    value::bytes(text).filter(|bytes| *bytes >= sections::MIN_MEMORY)
}
