//! The files of a prediction: rows read in batches of bounded size, and written as they come.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use gristmill_data::budget::value_bytes;
use gristmill_data::csv_records::Records;
use gristmill_data::durable::Output;
use gristmill_data::parquet_file::{BatchLimit, Footer};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result, io};

/// Rows of CSV parsed at a time, before they are put together: how long they are is known by reading them.
const CSV_ROWS: usize = 16;

/// A file format, by extension.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Csv,
    Parquet,
}

/// Rows of a file.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>>>;

/// Small batches put together.
struct Together<I> {
    schema: SchemaRef,
    rows: I,
    limit: BatchLimit,
}

impl<I: Iterator<Item = Result<RecordBatch>>> Iterator for Together<I> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut rows, mut bytes) = (0, 0);
        let mut batches = Vec::new();
        while rows + CSV_ROWS <= self.limit.rows.max(CSV_ROWS) && bytes < self.limit.bytes {
            match self.rows.next() {
                Some(Ok(batch)) => {
                    rows += batch.num_rows();
                    bytes += value_bytes(&batch);
                    batches.push(batch);
                }
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        let together =
            || concat_batches(&self.schema, &batches).map_err(|e| gristmill_learn::Error::Arrow(e).into());
        (!batches.is_empty()).then(together)
    }
}

/// A file that is written.
pub(super) enum Writer {
    Csv(Box<csv::Writer<BufWriter<Output>>>),
    Parquet(Box<ArrowWriter<Output>>),
}

impl Format {
    pub(super) fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(bad(path, &"expected a name that ends in .csv or .parquet")),
        }
    }

    pub(super) fn open(self, path: &Path, limit: BatchLimit) -> Result<(SchemaRef, Batches)> {
        let mut file = File::open(path).map_err(|e| bad(path, &e))?;
        let owned = path.to_owned();
        match self {
            Self::Csv => {
                let format = csv::reader::Format::default().with_header(true);
                let (header, _) = format
                    .infer_schema(Records::new(&mut file, b','), Some(0))
                    .map_err(|e| bad(path, &e))?;
                // Text keeps what the file says; numbers are read where a feature is numeric.
                let fields: Vec<Field> = header
                    .fields()
                    .iter()
                    .map(|f| Field::new(f.name(), DataType::Utf8, true))
                    .collect();
                let schema = Arc::new(Schema::new(fields));
                file.seek(SeekFrom::Start(0)).map_err(io(path))?;
                let reader = csv::ReaderBuilder::new(Arc::clone(&schema)).with_format(format);
                let reader = reader
                    .with_batch_size(CSV_ROWS)
                    .build(Records::new(file, b','))
                    .map_err(|e| bad(path, &e))?;
                let rows = reader.map(move |batch| batch.map_err(|e| bad(&owned, &e)));
                let schema_of_rows = Arc::clone(&schema);
                Ok((
                    schema,
                    Box::new(Together {
                        schema: schema_of_rows,
                        rows,
                        limit,
                    }),
                ))
            }
            Self::Parquet => {
                let footer = Footer::read(&file).map_err(|e| bad(path, &e))?;
                let rows = footer.rows(Arc::new(file), None, None, limit);
                Ok((
                    Arc::clone(footer.schema()),
                    Box::new(rows.map(move |batch| batch.map_err(|e| bad(&owned, &e)))),
                ))
            }
        }
    }

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

pub(super) fn bad(path: &Path, why: &impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}
