//! The places that predictions are written to.

mod contract;
mod csv;
mod delta;
mod file;
mod format;
mod json_lines;
mod parquet;
mod stream;

use std::io::Write;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;

use crate::error::Result;
pub(super) use contract::Sink;
pub use format::Format;

/// Where the predictions go.
pub enum Destination {
    /// A file, or the folder of a Delta table.
    Path {
        /// Where it is.
        path: PathBuf,
        /// What is written.
        format: Format,
        /// Whether a file that is there is replaced.
        overwrite: bool,
    },
    /// What takes bytes as they come, such as the standard output.
    Stream {
        /// What is written: CSV or JSON lines.
        format: Format,
        /// What takes it.
        to: Box<dyn Write + Send>,
    },
}

impl Destination {
    /// What a refusal of it names.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Path { path, .. } => path,
            Self::Stream { .. } => Path::new("standard output"),
        }
    }

    /// Begins the output. A row group of a file that has them, which is in memory until it ends, has so many bytes at most.
    ///
    /// # Errors
    /// When it cannot be written to, or there is something in its place that is not to be replaced.
    pub(super) fn open(self, schema: SchemaRef, row_group: usize) -> Result<Box<dyn Sink>> {
        Ok(match self {
            Self::Path {
                path,
                format: Format::Delta,
                overwrite,
            } => Box::new(delta::DeltaSink::create(&path, &schema, overwrite, row_group)?),
            Self::Path {
                path,
                format,
                overwrite,
            } => Box::new(file::FileSink::create(
                path, format, overwrite, schema, row_group,
            )?),
            Self::Stream { format, to } => Box::new(stream::StreamSink::new(format, to, schema)?),
        })
    }
}
