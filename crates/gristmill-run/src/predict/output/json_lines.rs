//! Predictions as JSON, one object a line. A null is written as such, so that every line has every column.

use std::io::BufWriter;

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::{LineDelimited, Writer};

use super::contract::{Bytes, Rows};

pub(super) struct JsonLines(Writer<BufWriter<Bytes>, LineDelimited>);

impl JsonLines {
    pub(super) fn new(into: Bytes) -> Self {
        let builder = WriterBuilder::new().with_explicit_nulls(true);
        Self(builder.build(BufWriter::new(into)))
    }
}

impl Rows for JsonLines {
    fn write(&mut self, rows: &RecordBatch) -> Result<(), String> {
        self.0.write(rows).map_err(|e| e.to_string())
    }

    fn finish(mut self: Box<Self>) -> Result<(), String> {
        self.0.finish().map_err(|e| e.to_string())?;
        let written = self.0.into_inner().into_inner();
        written.map(drop).map_err(|error| error.to_string())
    }
}
