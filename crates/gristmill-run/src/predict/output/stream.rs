//! Predictions that are written as they come, such as to the standard output.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::contract::{Bytes, Rows, Sink};
use super::format::Format;
use crate::error::{Error, Result, bad_file};

/// What a stream is called.
const NAME: &str = "standard output";

pub(super) struct StreamSink {
    rows: Box<dyn Rows>,
    failed: Failed,
}

/// What the system said of a stream, of which writers of rows make a mere text.
type Failed = Arc<Mutex<Option<io::Error>>>;

struct Watched {
    to: Bytes,
    failed: Failed,
}

impl StreamSink {
    pub(super) fn new(format: Format, to: Bytes, schema: SchemaRef) -> Result<Self> {
        if !matches!(format, Format::Csv | Format::JsonLines) {
            let why = "only rows of text can be written to it; give --output-format csv or jsonl";
            return Err(bad_file(NAME.as_ref(), &why));
        }
        let failed = Failed::default();
        let to = Box::new(Watched {
            to,
            failed: failed.clone(),
        });
        let rows = format
            .rows(to, schema, 0)
            .map_err(|why| bad_file(NAME.as_ref(), &why))?;
        Ok(Self { rows, failed })
    }
}

impl Sink for StreamSink {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let written = self.rows.write(rows);
        written.map_err(|why| told(&self.failed, bad_file(NAME.as_ref(), &why)))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let ended = self.rows.finish();
        ended.map_err(|why| told(&self.failed, bad_file(NAME.as_ref(), &why)))
    }
}

fn told(failed: &Failed, error: Error) -> Error {
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    match failed {
        Some(source) if source.kind() == ErrorKind::BrokenPipe => Error::NobodyReads,
        Some(source) => gristmill_data::durable::io(NAME.as_ref())(source).into(),
        None => error,
    }
}

impl Watched {
    fn watched<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|error| {
            let told = io::Error::from(error.kind());
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            told
        })
    }
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.to.write(bytes);
        self.watched(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.to.flush();
        self.watched(done)
    }
}
