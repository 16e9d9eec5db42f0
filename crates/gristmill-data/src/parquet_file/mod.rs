//! A Parquet file that is read: as many rows as its footer promises, or an error; never fewer rows, never a panic.

mod footer;
mod positioned;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;

use crate::guard::caught;
use positioned::Positioned;

/// Why a file cannot be read. Who reads it knows its name.
pub type Why = String;

/// The footer of a file: its columns, its row groups, and where these are.
#[derive(Debug, Clone)]
pub struct Footer(ArrowReaderMetadata);

/// A row group of a file, and which of its rows.
#[derive(Debug, Clone)]
pub struct Part {
    /// The number of the row group.
    pub group: usize,
    /// The numbers of the rows in it.
    pub rows: Range<usize>,
}

/// Rows of a file, in record batches.
pub struct Rows {
    /// `None` after the last row, or an error.
    reader: Option<ParquetRecordBatchReader>,
    /// Rows that are still to come.
    left: u64,
}

impl Footer {
    /// Reads the footer, and sees that all it names is in the file.
    ///
    /// # Errors
    /// When it is damaged, or the file is none of Parquet.
    pub fn read(file: &File) -> Result<Self, Why> {
        let metadata = || {
            let (metadata, size) = footer::read(file)?;
            footer::check(&metadata, size)?;
            ArrowReaderMetadata::try_new(metadata.into(), ArrowReaderOptions::new())
                .map_err(|e| e.to_string())
        };
        caught(metadata).map_err(panicked)?.map(Self)
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        self.0.schema()
    }

    /// All that it says.
    pub fn metadata(&self) -> &ParquetMetaData {
        self.0.metadata()
    }

    /// The rows of the file.
    pub fn row_count(&self) -> u64 {
        // It was checked not to be negative.
        self.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// The rows of `file`, whose footer this is, in batches of at most `batch_rows`: all of them or a part, with the columns at these
    /// places, in the order of the file.
    ///
    /// # Errors
    /// When the reader refuses the file.
    pub fn rows(
        &self,
        file: Arc<File>,
        part: Option<Part>,
        columns: Option<Vec<usize>>,
        batch_rows: usize,
    ) -> Result<Rows, Why> {
        let open = || {
            let mut builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(Positioned(file), self.0.clone());
            let left = match &part {
                Some(part) => part.rows.len() as u64,
                None => self.row_count(),
            };
            if let Some(columns) = columns {
                let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
                builder = builder.with_projection(mask);
            }
            if let Some(part) = part {
                builder = builder
                    .with_row_groups(vec![part.group])
                    .with_offset(part.rows.start)
                    .with_limit(part.rows.len());
            }
            let reader = builder.with_batch_size(batch_rows.max(1)).build();
            let reader = Some(reader.map_err(|e| e.to_string())?);
            Ok(Rows { reader, left })
        };
        caught(open).map_err(panicked)?
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, Why>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let why = match caught(|| reader.next()) {
            Ok(Some(Ok(batch))) => match self.left.checked_sub(batch.num_rows() as u64) {
                Some(left) => {
                    self.left = left;
                    return Some(Ok(batch));
                }
                None => "it has more rows than its footer promises".to_owned(),
            },
            Ok(Some(Err(error))) => error.to_string(),
            Ok(None) if self.left == 0 => {
                self.reader = None;
                return None;
            }
            Ok(None) => format!("{} rows that its footer promises are missing", self.left),
            Err(panic) => panicked(panic),
        };
        self.reader = None;
        Some(Err(why))
    }
}

fn panicked(panic: Why) -> Why {
    format!("it is damaged: reading it stopped with {panic:?}")
}
