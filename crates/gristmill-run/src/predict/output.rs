//! The file that a prediction is written to: rows as they come.

use std::io::BufWriter;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use gristmill_data::durable::Output;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::files::{Format, bad};
use crate::error::{Result, io};

/// A file that is written.
pub(super) enum Writer {
    Csv(Box<csv::Writer<BufWriter<Output>>>),
    Parquet(Box<ArrowWriter<Output>>),
}

impl Format {
    pub(super) fn create(
        self,
        file: Output,
        path: &Path,
        schema: SchemaRef,
        row_group: usize,
    ) -> Result<Writer> {
        Ok(match self {
            Self::Csv => Writer::Csv(Box::new(csv::WriterBuilder::new().build(BufWriter::new(file)))),
            Self::Parquet => {
                let level = ZstdLevel::try_new(1).map_err(|e| bad(path, &e))?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .set_max_row_group_bytes(Some(row_group))
                    .build();
                let writer =
                    ArrowWriter::try_new(file, schema, Some(properties)).map_err(|e| bad(path, &e))?;
                Writer::Parquet(Box::new(writer))
            }
        })
    }
}

impl Writer {
    pub(super) fn write(&mut self, rows: &RecordBatch, path: &Path) -> Result<()> {
        match self {
            Self::Csv(writer) => writer.write(rows).map_err(|e| bad(path, &e)),
            Self::Parquet(writer) => writer.write(rows).map_err(|e| bad(path, &e)),
        }
    }

    pub(super) fn finish(self, path: &Path) -> Result<()> {
        match self {
            Self::Csv(writer) => {
                let file = writer.into_inner().into_inner();
                file.map_err(|error| io(path)(error.into_error()))?;
            }
            Self::Parquet(writer) => drop(writer.close().map_err(|e| bad(path, &e))?),
        }
        Ok(())
    }
}
