//! The places that predictions are written to.

mod contract;
mod csv;
mod delta;
mod file;
mod format;
mod json_lines;
mod parquet;
mod stream;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::Result;
pub(super) use contract::Sink;
pub use format::Format;
use gristmill_data::sink::Progress;
pub(super) use table::Shape;
pub use table::TableDestination;

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
    /// A table of a database.
    Table(TableDestination),
}

/// What is to be done.
pub(super) enum Opened {
    /// An earlier process did all of it.
    Complete(Progress),
    /// There is more to do, after what an earlier process did.
    Open(Box<dyn Sink>, Option<Progress>),
}

impl Destination {
    /// The file or folder that it is.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Path { path, .. } => Some(path),
            Self::Stream { .. } | Self::Table(_) => None,
        }
    }

    /// Begins the output, or goes on with it. A row group of a file that has them, which is in memory until it ends, has so many
    /// bytes at most; `now` is the time in microseconds since 1970.
    ///
    /// # Errors
    /// When it cannot be written to, or there is something in its place that is not to be replaced.
    pub(super) fn open(self, shape: &Shape<'_>, row_group: usize, now: i64) -> Result<Opened> {
        let schema = shape.rows.clone();
        let sink: Box<dyn Sink> = match self {
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
            Self::Table(table) => match table::TableSink::open(table, shape, now)? {
                table::Begun::Complete(progress) => return Ok(Opened::Complete(progress)),
                table::Begun::Open(sink) => {
                    let progress = sink.progress();
                    return Ok(Opened::Open(Box::new(sink), progress));
                }
            },
        };
        Ok(Opened::Open(sink, None))
    }
}
