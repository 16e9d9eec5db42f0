//! Predictions as Parquet.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::contract::{Bytes, Rows};

pub(super) struct Parquet(ArrowWriter<Bytes>);

impl Parquet {
    /// Row groups end before they have more than so many bytes.
    pub(super) fn new(into: Bytes, schema: SchemaRef, row_group: usize) -> Result<Self, String> {
        let level = ZstdLevel::try_new(1).map_err(|e| e.to_string())?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_bytes(Some(row_group))
            .build();
        let writer = ArrowWriter::try_new(into, schema, Some(properties));
        writer.map(Self).map_err(|e| e.to_string())
    }
}

impl Rows for Parquet {
    fn write(&mut self, rows: &RecordBatch) -> Result<(), String> {
        self.0.write(rows).map_err(|e| e.to_string())
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        self.0.close().map(drop).map_err(|e| e.to_string())
    }
}
