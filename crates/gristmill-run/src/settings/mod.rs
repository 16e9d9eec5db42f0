//! The pipeline file: TOML in, validated settings or every problem at its line out.

mod convert;
pub mod diagnose;
mod explain;
mod file;
mod keys;
mod pipeline;
mod reader;
mod sections;
mod validate;
mod value;

pub use file::PipelineFile;
pub use keys::{ENCODERS, MODELS, TABLES};
pub use pipeline::{Pipeline, RunSettings};

pub(crate) use pipeline::fingerprint;
