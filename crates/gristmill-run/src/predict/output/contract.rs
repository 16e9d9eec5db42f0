//! The contracts of a place that predictions are written to, and of a form that they are written in.

use std::io::Write;

use arrow::array::RecordBatch;

use crate::error::{Error, Result};

/// What takes the rows of a prediction. What it holds is put in its place by [`Sink::finish`], and not before.
pub(crate) trait Sink {
    /// Takes the next rows.
    ///
    /// # Errors
    /// When they cannot be written.
    fn write(&mut self, rows: &RecordBatch) -> Result<()>;

    /// Ends the output: there are no more rows.
    ///
    /// # Errors
    /// When the rest cannot be written, or the output not be put in its place.
    fn finish(self: Box<Self>) -> Result<()>;

    /// The prediction failed, and will not go on: nothing is left of what only was to be put in its place.
    fn abandon(self: Box<Self>) {}

    /// A range of the input ended, of which this is the note to go on after it.
    ///
    /// # Errors
    /// When the rows since the last range cannot be written.
    fn range_ended(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    /// The reason for an error of the prediction, where the output knows it better than the error says.
    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Interrupted => Error::Cancelled,
            error => error,
        }
    }
}

/// The form of the rows in a file or a stream.
pub(super) trait Rows {
    fn write(&mut self, rows: &RecordBatch) -> Result<(), String>;

    fn finish(self: Box<Self>) -> Result<(), String>;
}

/// What the bytes of a file or a stream are written to.
pub(super) type Bytes = Box<dyn Write + Send>;
