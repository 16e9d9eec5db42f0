//! The files as one table: its columns, its exact rows, and the rows themselves, a few columns at a time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::parquet_file::BatchLimit;
use crate::source::files::batches::Batches;
use crate::source::files::csv::CsvFiles;
use crate::source::files::location::{Format, Location};
use crate::source::files::parquet::{ParquetFile, Rows};
use crate::source::files::told::ToldColumns;
use crate::source::{MAX_BATCH_ROWS, Notice};
use crate::table::Listing;
use crate::table::Stamp;

/// The bytes that a record batch has at most, as far as the mean size of the rows tells.
const MEAN_BATCH_BYTES: u64 = 1 << 20;

/// Some files of one format.
pub(super) struct Input {
    /// The columns, with the types that the files have.
    pub(super) schema: SchemaRef,
    /// The rows of all files.
    pub(super) rows: u64,
    /// What each column is called in `check`.
    pub(super) types: Vec<String>,
    /// The state of the files.
    pub(super) snapshot: String,
    pub(super) kind: Kind,
    pub(super) url: String,
    files: Vec<FileState>,
}

pub(super) enum Kind {
    Parquet(Vec<ParquetFile>),
    Csv(CsvFiles),
}

/// A file, as it was when it was opened.
#[derive(Debug, PartialEq)]
struct FileState {
    path: PathBuf,
    stamp: Stamp,
}

impl Input {
    /// Opens the files of a location. Parquet is opened by its footers; CSV is read once, for its types. A Delta table's
    /// `listing` says which its files are.
    pub(super) fn open(location: &Location, listing: Option<Listing>, told: ToldColumns) -> Result<Self> {
        let files = states(location, listing.as_ref())?;
        let paths: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
        let mut input = match (&location.format, &listing) {
            (_, Some(listing)) => {
                let open = |file: &crate::table::ListedFile| {
                    let parquet = ParquetFile::open(&file.path)?;
                    parquet.check_rows(file.rows)?;
                    parquet.with_columns(&listing.schema, &file.partition)
                };
                let parquet = listing.files.iter().map(open).collect::<Result<Vec<_>>>()?;
                Self::parquet(&location.url, parquet, Some(listing.schema.clone()))?
            }
            (Format::Csv(format), None) => {
                let csv = CsvFiles::open(&paths, format.clone(), told)?;
                Self {
                    schema: csv.schema(),
                    rows: csv.rows(),
                    types: csv.types(),
                    snapshot: String::new(),
                    kind: Kind::Csv(csv),
                    url: String::new(),
                    files: Vec::new(),
                }
            }
            (_, None) => {
                let parquet = paths.iter().map(|path| ParquetFile::open(path));
                Self::parquet(&location.url, parquet.collect::<Result<Vec<_>>>()?, None)?
            }
        };
        input.snapshot = name_of(&files, listing.as_ref());
        input.url.clone_from(&location.url);
        input.files = files;
        Ok(input)
    }

    /// Parquet files that nobody else changes.
    pub(super) fn parquet(url: &str, files: Vec<ParquetFile>, schema: Option<SchemaRef>) -> Result<Self> {
        let first = files.first().map(|file| file.schema.clone());
        let schema = match (schema, first) {
            (Some(schema), _) => schema,
            (None, None) => Arc::new(Schema::empty()),
            (None, Some(first)) => files
                .iter()
                .try_fold(first, |schema, file| file.unified_with(&schema))?,
        };
        Ok(Self {
            rows: files.iter().map(|file| file.rows).sum(),
            types: schema
                .fields()
                .iter()
                .map(|field| field.data_type().to_string())
                .collect(),
            schema,
            snapshot: String::new(),
            kind: Kind::Parquet(files),
            url: url.to_owned(),
            files: Vec::new(),
        })
    }

    /// What was noticed in the files.
    pub(super) fn notices(&self) -> Vec<Notice> {
        match &self.kind {
            Kind::Parquet(_) => Vec::new(),
            Kind::Csv(csv) => csv.notices(),
        }
    }

    /// All rows, with the columns at these places of the schema.
    pub(super) fn scan(self: &Arc<Self>, columns: Vec<usize>) -> Batches {
        let input = self.clone();
        let count = match &self.kind {
            Kind::Parquet(files) => files.len(),
            Kind::Csv(csv) => csv.len(),
        };
        Box::new((0..count).flat_map(move |number| {
            let batches = match &input.kind {
                Kind::Parquet(files) => input.read(&files[number], &columns, &Rows::All),
                Kind::Csv(csv) => csv.read(number, &columns, input.batch_rows()),
            };
            let input = input.clone();
            batches
                .unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
                // Of a file that was changed nothing is what it says.
                .map(move |batch| batch.map_err(|error| input.unchanged().err().unwrap_or(error)))
        }))
    }

    /// Some rows of a Parquet file, with the columns at these places of the schema.
    pub(super) fn read(&self, file: &ParquetFile, columns: &[usize], rows: &Rows) -> Result<Batches> {
        let schema = Arc::new(self.schema.project(columns)?);
        let limit = BatchLimit {
            rows: MAX_BATCH_ROWS,
            bytes: MEAN_BATCH_BYTES,
        };
        file.read(schema, rows, limit)
    }

    /// Rows that a record batch of all columns may have.
    pub(super) fn batch_rows(&self) -> usize {
        let bytes = match &self.kind {
            Kind::Parquet(files) => files.iter().map(|file| file.bytes).sum(),
            Kind::Csv(csv) => csv.bytes(),
        };
        batch_rows(bytes, self.rows)
    }

    /// Fails where a file is not what it was when this was opened.
    pub(super) fn unchanged(&self) -> Result<()> {
        for file in &self.files {
            if FileState::of(&file.path).ok().as_ref() != Some(file) {
                return Err(Error::SnapshotGone {
                    url: self.url.clone(),
                    why: format!("{} was changed", file.path.display()),
                });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl FileState {
    fn of(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            stamp: Stamp::of(path).map_err(crate::durable::io(path))?,
        })
    }
}

/// Rows that a record batch may have, by their mean size.
fn batch_rows(bytes: u64, rows: u64) -> usize {
    let mean = bytes / rows.max(1) + 1;
    (MEAN_BATCH_BYTES / mean).clamp(1, MAX_BATCH_ROWS as u64) as usize
}

/// The files of a location as they are now. A Delta table's `listing` says which its files are.
fn states(location: &Location, listing: Option<&Listing>) -> Result<Vec<FileState>> {
    let paths = match listing {
        Some(listing) => listing.files.iter().map(|file| file.path.clone()).collect(),
        None => location.files()?,
    };
    paths.iter().map(|path| FileState::of(path)).collect()
}

/// The state of the files of a location, without opening them.
pub(super) fn snapshot(location: &Location, listing: Option<&Listing>) -> Result<String> {
    Ok(name_of(&states(location, listing)?, listing))
}

/// Equal for the same files in the same state.
fn name_of(files: &[FileState], listing: Option<&Listing>) -> String {
    let mut text = String::new();
    for file in files {
        let path = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
        text.push_str(&format!("{}\0{:?}\n", path.display(), file.stamp));
    }
    let name = format!("files {:032x}", xxh3_128(text.as_bytes()));
    match listing {
        // A table that was deleted and written again may come to the same version, under its old id too.
        Some(Listing { version, id, .. }) => format!("version {version} of {id}, {name}"),
        None => name,
    }
}
