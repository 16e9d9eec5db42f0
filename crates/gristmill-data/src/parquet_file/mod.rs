//! A Parquet file that is read: as many rows as its footer promises, in batches of bounded size, or an error; never fewer rows,
//! never a panic.

mod footer;
mod limit;
mod pages;
mod positioned;
mod thrift;

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection, RowSelector,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetOffsetIndex};

use crate::guard::caught;
pub use limit::BatchLimit;
use pages::{Groups, longest_in_dictionary};

/// Why a file cannot be read. Who reads it knows its name.
pub type Why = String;

/// The footer of a file: its columns, its row groups, and where these are.
#[derive(Debug, Clone)]
pub struct Footer {
    metadata: ArrowReaderMetadata,
    /// Only for the sizes of texts; rows are read as if it were not there.
    pages: Option<Arc<ParquetOffsetIndex>>,
}

/// A row group of a file, and which of its rows.
#[derive(Debug, Clone)]
pub struct Part {
    /// The number of the row group.
    pub group: usize,
    /// The numbers of the rows in it.
    pub rows: Range<usize>,
}

/// Rows of a file, in record batches of bounded size.
pub struct Rows {
    footer: Footer,
    file: Arc<File>,
    mask: ProjectionMask,
    limit: BatchLimit,
    /// What is still to come after the row group that is read; empty after an error.
    parts: VecDeque<Part>,
    reader: Option<ParquetRecordBatchReader>,
    /// Rows of it that are still to come.
    left: u64,
}

impl Footer {
    /// Reads the footer, and sees that all it names is in the file.
    ///
    /// # Errors
    /// When it is damaged, or the file is none of Parquet.
    pub fn read(file: &File) -> Result<Self, Why> {
        let read = || {
            let file = Arc::new(file.try_clone().map_err(|e| e.to_string())?);
            let (metadata, size) = footer::read(&file)?;
            footer::check(&metadata, size)?;
            let pages = footer::pages(&file, &metadata, size).map(Arc::new);
            let metadata = Arc::new(metadata);
            let read_as = |options| {
                ArrowReaderMetadata::try_new(Arc::clone(&metadata), options).map_err(|e| e.to_string())
            };
            let stated = read_as(ArrowReaderOptions::new())?;
            let metadata = match without_dictionaries(stated.schema()) {
                None => stated,
                Some(plain) => read_as(ArrowReaderOptions::new().with_schema(plain))?,
            };
            Ok(Self { metadata, pages })
        };
        caught(read).map_err(panicked)?
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// All that it says.
    pub fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// The rows of the file.
    pub fn row_count(&self) -> u64 {
        // It was checked not to be negative.
        self.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// The rows of `file`, whose footer this is, in batches of at most the rows and bytes of `limit`: all of them or a part,
    /// with the columns at these places, in the order of the file.
    pub fn rows(
        &self,
        file: Arc<File>,
        part: Option<Part>,
        columns: Option<Vec<usize>>,
        limit: BatchLimit,
    ) -> Rows {
        let all = || {
            let groups = self.metadata().row_groups().iter().enumerate();
            groups.map(|(group, metadata)| Part {
                group,
                // It was checked not to be negative.
                rows: 0..metadata.num_rows().unsigned_abs() as usize,
            })
        };
        let schema = self.metadata().file_metadata().schema_descr();
        Rows {
            footer: self.clone(),
            file,
            mask: match columns {
                Some(columns) => ProjectionMask::roots(schema, columns),
                None => ProjectionMask::all(),
            },
            limit,
            parts: part.map_or_else(|| all().collect(), |part| VecDeque::from([part])),
            reader: None,
            left: 0,
        }
    }
}

impl Rows {
    /// The next batch, or `None` after the last row.
    fn advance(&mut self) -> Result<Option<RecordBatch>, Why> {
        loop {
            let Some(reader) = &mut self.reader else {
                let Some(part) = self.parts.pop_front() else {
                    return Ok(None);
                };
                self.left = part.rows.len() as u64;
                self.reader = Some(self.open(part).map_err(|error| error.to_string())?);
                continue;
            };
            match reader.next() {
                Some(batch) => {
                    let batch = batch.map_err(|error| error.to_string())?;
                    let left = self.left.checked_sub(batch.num_rows() as u64);
                    self.left = left.ok_or("it has more rows than its footer promises")?;
                    return Ok(Some(batch));
                }
                None if self.left == 0 => self.reader = None,
                None => return Err(format!("{} rows that its footer promises are missing", self.left)),
            }
        }
    }

    fn open(&self, part: Part) -> Result<ParquetRecordBatchReader, ParquetError> {
        let Footer { metadata, pages } = &self.footer;
        let pages = pages.as_ref().and_then(|pages| pages.get(part.group));
        let group = metadata.metadata().row_group(part.group);
        // What cannot be read of it is told when its column is read.
        let longest = |leaf: usize| {
            longest_in_dictionary(&self.file, metadata.metadata(), part.group, leaf)
                .ok()
                .flatten()
        };
        let batch_rows = self.limit.rows_of(group, pages, &self.mask, &longest);
        let file = metadata.metadata().file_metadata();
        let hint = Some(metadata.schema().fields());
        let levels = parquet_to_arrow_field_levels(file.schema_descr(), self.mask.clone(), hint)?;
        let is_whole = part.rows == (0..group.num_rows().unsigned_abs() as usize);
        let before = RowSelector::skip(part.rows.start);
        let selected = RowSelection::from(vec![before, RowSelector::select(part.rows.len())]);
        let selection = (!is_whole).then_some(selected);
        let groups = Groups {
            file: Arc::clone(&self.file),
            metadata: Arc::clone(metadata.metadata()),
            groups: vec![part.group],
        };
        ParquetRecordBatchReader::try_new_with_row_groups(&levels, &groups, batch_rows, selection)
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, Why>;

    fn next(&mut self) -> Option<Self::Item> {
        let advanced = caught(|| self.advance()).unwrap_or_else(|panic| Err(panicked(panic)));
        if advanced.is_err() {
            self.reader = None;
            self.parts.clear();
        }
        advanced.transpose()
    }
}

/// The columns where those that were dictionaries of numbers, dates and the like are these themselves; `None` where none was. The
/// reader has dictionaries of text only, and the file says the same of the values in either case.
fn without_dictionaries(schema: &SchemaRef) -> Option<SchemaRef> {
    let plain = |field: &Arc<Field>| match field.data_type() {
        DataType::Dictionary(_, values) if !values.is_string() && !values.is_binary() => {
            Arc::new(field.as_ref().clone().with_data_type(values.as_ref().clone()))
        }
        _ => Arc::clone(field),
    };
    let fields: Vec<Arc<Field>> = schema.fields().iter().map(plain).collect();
    let differs = fields
        .iter()
        .zip(schema.fields())
        .any(|(plain, field)| plain != field);
    differs.then(|| Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

fn panicked(panic: Why) -> Why {
    format!("it is damaged: reading it stopped with {panic:?}")
}
