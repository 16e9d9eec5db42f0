//! The rows of files as they stand there, in the order of the files: text of CSV and of JSON lines, columns of Parquet and Delta.

mod csv;
mod lines;
mod text;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::csv_quotes::Swallowed;
use crate::error::Result;
use crate::parquet_file::BatchLimit;
use crate::settings::TextReading;
use crate::source::files::batches::Batches;
use crate::source::files::csv::text as csv_text;
use crate::source::files::location::{CsvFormat, Format, Location};
use crate::source::files::parquet::{ParquetFile, Rows};
use crate::table::list_files;
use csv::CsvRows;
use lines::LineRows;
use text::broken;

/// Rows in the order of their files.
pub struct FileRows {
    schema: SchemaRef,
    types: Vec<(String, DataType)>,
    rows: Kind,
    paths: Vec<PathBuf>,
}

enum Kind {
    Csv(Box<CsvRows>),
    Other(Batches),
}

/// What text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

impl FileRows {
    /// The rows of what a URL `csv:…`, `jsonl:…`, `parquet:…` or `delta:…` names, or a path by its ending. The text of CSV and JSON
    /// lines stays text; of what `reading` says stands for text, no other value is taken for it.
    ///
    /// # Errors
    /// When nothing of that kind is there, or it cannot be read.
    pub async fn open(place: &str, limit: BatchLimit, reading: &TextReading) -> Result<Self> {
        let location = location(place)?;
        let (paths, listing) = match location.format {
            Format::Delta { version } => {
                let listing = list_files(location.path(), version).await?;
                let paths = listing.files.iter().map(|file| file.path.clone());
                (paths.collect(), Some(listing))
            }
            _ => (location.files()?, None),
        };
        let format = match &location.format {
            Format::Csv(format) => Some(format.clone()),
            _ => None,
        };
        let (schema, rows) = match (location.format.clone(), listing) {
            (Format::Csv(format), _) => {
                let rows = CsvRows::open(&paths, format, limit, reading)?;
                (rows.schema().clone(), Kind::Csv(Box::new(rows)))
            }
            (Format::JsonLines, _) => {
                let rows = LineRows::open(&paths, limit, reading)?;
                (rows.schema().clone(), Kind::Other(Box::new(rows)))
            }
            (_, Some(listing)) => {
                let open = |file: &crate::table::ListedFile| {
                    let parquet = ParquetFile::open(&file.path)?;
                    parquet.check_rows(file.rows)?;
                    parquet.with_columns(&listing.schema, &file.partition)
                };
                let files = listing.files.iter().map(open).collect::<Result<Vec<_>>>()?;
                let schema = listing.schema.clone();
                (schema.clone(), Kind::Other(parquet(files, schema, limit)))
            }
            (_, None) => {
                let files = paths.iter().map(|path| ParquetFile::open(path));
                let files = files.collect::<Result<Vec<_>>>()?;
                let schema = match files.first() {
                    None => Arc::new(Schema::empty()),
                    Some(first) => {
                        let mut all = files.iter();
                        all.try_fold(first.schema.clone(), |schema, file| file.unified_with(&schema))?
                    }
                };
                (schema.clone(), Kind::Other(parquet(files, schema, limit)))
            }
        };
        let typed = |field: &Arc<Field>| {
            let typed = format.as_ref()?.typed(field.name())?;
            Some((field.name().clone(), typed.data_type()))
        };
        Ok(Self {
            types: schema.fields().iter().filter_map(typed).collect(),
            schema,
            rows,
            paths,
        })
    }

    /// The rows of a stream of text, which errors call by this name.
    ///
    /// # Errors
    /// When its first rows cannot be read.
    pub fn of_text(
        name: &str,
        text: Box<dyn Read + Send>,
        format: TextFormat,
        limit: BatchLimit,
        reading: &TextReading,
    ) -> Result<Self> {
        let path = Path::new(name);
        let text = csv_text(path, text)?;
        let (schema, rows) = match format {
            TextFormat::Csv => {
                let rows = CsvRows::of(path, text, CsvFormat::default(), limit, reading)?;
                (rows.schema().clone(), Kind::Csv(Box::new(rows)))
            }
            TextFormat::JsonLines => {
                let rows = LineRows::of(path, text, limit, reading)?;
                (rows.schema().clone(), Kind::Other(Box::new(rows)))
            }
        };
        Ok(Self {
            schema,
            rows,
            types: Vec::new(),
            paths: Vec::new(),
        })
    }

    /// The types that the URL says columns have, which are text here nevertheless.
    pub fn types(&self) -> &[(String, DataType)] {
        &self.types
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Rows so far that look as if they had swallowed others, with their file.
    pub fn swallowed(&self) -> Vec<(PathBuf, Swallowed)> {
        match &self.rows {
            Kind::Csv(rows) => rows.swallowed(),
            Kind::Other(_) => Vec::new(),
        }
    }
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.rows {
            Kind::Csv(rows) => rows.next(),
            Kind::Other(rows) => rows.next(),
        }
    }
}

/// The place that a URL names, or a path by its ending.
fn location(place: &str) -> Result<Location> {
    if let Some((scheme @ ("csv" | "jsonl" | "parquet" | "delta"), rest)) = place.split_once(':') {
        return Location::parse(place, scheme, rest);
    }
    let name = place.strip_suffix(".gz").unwrap_or(place);
    let format = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv" | "tsv") => Format::Csv(CsvFormat::default()),
        Some("jsonl" | "ndjson") => Format::JsonLines,
        Some("parquet") if name == place => Format::Parquet,
        _ if Path::new(place).join("_delta_log").is_dir() => Format::Delta { version: None },
        _ => {
            let why = if Path::new(place).is_dir() {
                format!("it is a folder; say what is in it: parquet:{place}, csv:{place} or jsonl:{place}")
            } else {
                "expected a name that ends in .csv, .tsv, .jsonl or .ndjson (also with .gz), or .parquet, or a URL that says what \
                 it is, such as csv:rows.txt?delimiter=;"
                    .to_owned()
            };
            return Err(broken(Path::new(place), why));
        }
    };
    Ok(Location::of_path(place, format))
}

/// The rows of Parquet files that have these columns.
fn parquet(files: Vec<ParquetFile>, schema: SchemaRef, limit: BatchLimit) -> Batches {
    let rows = files.into_iter().flat_map(move |file| {
        let rows = file.read(schema.clone(), &Rows::All, limit);
        rows.unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
    });
    Box::new(rows)
}
