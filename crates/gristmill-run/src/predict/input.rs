//! The file that is read for a prediction: rows in batches of bounded size.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use gristmill_data::budget::value_bytes;
use gristmill_data::csv_quotes::{Swallowed, Swallowing};
use gristmill_data::csv_records::Records;
use gristmill_data::parquet_file::{BatchLimit, Footer};

use super::files::{Format, bad};
use crate::error::{Result, io};

/// Rows of CSV parsed at a time, before they are put together: how long they are is known by reading them.
const CSV_ROWS: usize = 16;

/// Rows of a file.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch>>>;

/// A file that is read.
pub(super) struct Input {
    pub(super) schema: SchemaRef,
    batches: Batches,
    /// Of CSV.
    lines: Option<Lines>,
}

/// What the rows of a CSV file are looked through for.
struct Lines {
    /// Which columns hold numbers.
    numeric: Vec<bool>,
    /// The line where the next row begins, if no line is blank.
    next: u64,
    swallowing: Swallowing,
}

impl Input {
    /// The next rows.
    pub(super) fn next(&mut self) -> Option<Result<RecordBatch>> {
        let batch = self.batches.next()?;
        if let (Some(lines), Ok(batch)) = (&mut self.lines, &batch) {
            lines.look(batch);
        }
        Some(batch)
    }

    /// Rows so far that look as if they had swallowed others.
    pub(super) fn swallowed(&self) -> Option<Swallowed> {
        self.lines.as_ref()?.swallowing.clone().found()
    }
}

impl Lines {
    fn look(&mut self, batch: &RecordBatch) {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| column.as_string::<i32>())
            .collect();
        for row in 0..batch.num_rows() {
            let values = columns.iter().map(|column| column.value(row));
            let breaks = values
                .clone()
                .map(|value| value.matches('\n').count() as u64)
                .sum::<u64>();
            if breaks > 0 {
                let numeric = &self.numeric;
                let fits =
                    |at: usize, text: &str| !numeric[at] || text.is_empty() || text.parse::<f64>().is_ok();
                self.swallowing
                    .look(values, b',', (self.next, self.next + breaks), fits);
            }
            self.next += 1 + breaks;
        }
    }
}

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

impl Format {
    /// Opens a file; of these columns, if it has them, the values are numbers.
    pub(super) fn open(self, path: &Path, limit: BatchLimit, numeric: &[String]) -> Result<Input> {
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
                let names = schema.fields().iter().map(|field| field.name());
                let lines = Lines {
                    numeric: names.clone().map(|name| numeric.contains(name)).collect(),
                    next: 2 + names.map(|name| name.matches('\n').count() as u64).sum::<u64>(),
                    swallowing: Swallowing::default(),
                };
                Ok(Input {
                    schema: Arc::clone(&schema),
                    batches: Box::new(Together { schema, rows, limit }),
                    lines: Some(lines),
                })
            }
            Self::Parquet => {
                let footer = Footer::read(&file).map_err(|e| bad(path, &e))?;
                let rows = footer.rows(Arc::new(file), None, None, limit);
                Ok(Input {
                    schema: Arc::clone(footer.schema()),
                    batches: Box::new(rows.map(move |batch| batch.map_err(|e| bad(&owned, &e)))),
                    lines: None,
                })
            }
        }
    }
}
