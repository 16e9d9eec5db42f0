//! Predictions as comma-separated values.

use std::io::BufWriter;

use arrow::array::RecordBatch;
use arrow::csv::{Writer, WriterBuilder};
use arrow::datatypes::Schema;

use super::contract::{Bytes, Rows};

pub(super) struct Csv {
    writer: Writer<BufWriter<Bytes>>,
    /// The names of the columns, until a row was written: a file without rows has them too.
    header: Option<RecordBatch>,
}

impl Csv {
    pub(super) fn new(into: Bytes, schema: &Schema) -> Self {
        Self {
            writer: WriterBuilder::new().build(BufWriter::new(into)),
            header: Some(RecordBatch::new_empty(schema.clone().into())),
        }
    }
}

impl Rows for Csv {
    fn write(&mut self, rows: &RecordBatch) -> Result<(), String> {
        self.header = None;
        self.writer.write(rows).map_err(|e| e.to_string())
    }

    fn finish(mut self: Box<Self>) -> Result<(), String> {
        if let Some(header) = self.header.take() {
            self.writer.write(&header).map_err(|e| e.to_string())?;
        }
        let written = self.writer.into_inner().into_inner();
        written.map(drop).map_err(|error| error.to_string())
    }
}
