//! One Parquet file: its columns, its row groups, and rows of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::durable::io;
use crate::error::{Error, Result};
use crate::source::files::input::{Batches, arranged};

/// A Parquet file that was opened by its footer.
pub(super) struct ParquetFile {
    pub(super) path: PathBuf,
    /// The file, where the path does not lead to it.
    unnamed: Option<Arc<File>>,
    /// Its own columns, each nullable.
    pub(super) schema: SchemaRef,
    pub(super) rows: u64,
    /// What its columns take up decompressed.
    pub(super) bytes: u64,
    /// The rows of each row group.
    pub(super) groups: Vec<u64>,
    /// Columns that have one value in all of the file, which does not hold them.
    constants: BTreeMap<String, ArrayRef>,
    metadata: ArrowReaderMetadata,
}

/// Which rows of a file.
pub(super) enum Rows {
    All,
    /// So many of a row group, after so many others.
    Group {
        number: usize,
        skip: usize,
        take: usize,
    },
}

impl ParquetFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(io(path))?;
        Self::described(Arc::new(file), path)
    }

    /// A file without a name; errors say that it is in `folder`.
    pub(super) fn unnamed(file: File, folder: &Path) -> Result<Self> {
        let file = Arc::new(file);
        let mut described = Self::described(file.clone(), folder)?;
        described.unnamed = Some(file);
        Ok(described)
    }

    fn described(file: Arc<File>, path: &Path) -> Result<Self> {
        let file = Positioned(file);
        let metadata = ArrowReaderMetadata::load(&file, Default::default()).map_err(|e| broken(path, e))?;
        let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
        let fields = metadata.schema().fields().iter().map(nullable);
        let groups = metadata.metadata().row_groups();
        Ok(Self {
            path: path.to_owned(),
            unnamed: None,
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            rows: groups.iter().map(|group| group.num_rows() as u64).sum(),
            bytes: groups.iter().map(|group| group.total_byte_size() as u64).sum(),
            groups: groups.iter().map(|group| group.num_rows() as u64).collect(),
            constants: BTreeMap::new(),
            metadata,
        })
    }

    /// The file as one of a table with these columns, of which those of the partition have a value for all of it.
    pub(super) fn with_columns(
        mut self,
        schema: &SchemaRef,
        partition: &BTreeMap<String, Option<String>>,
    ) -> Result<Self> {
        for (name, value) in partition {
            let kind = schema.field_with_name(name)?.data_type();
            let value = match value.as_deref().filter(|value| !value.is_empty()) {
                Some(value) => {
                    let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
                    arrow::compute::cast(&text, kind)?
                }
                None => new_null_array(kind, 1),
            };
            self.constants.insert(name.clone(), value);
        }
        Ok(self)
    }

    /// Refuses a file that does not have the same columns.
    pub(super) fn check_columns(&self, schema: &SchemaRef) -> Result<()> {
        let differs = |why: String| Error::SourceFile {
            path: self.path.display().to_string(),
            why,
        };
        for field in schema.fields() {
            match self.schema.field_with_name(field.name()) {
                Err(_) => {
                    return Err(differs(format!(
                        "it has no column `{}`, which the first file has",
                        field.name()
                    )));
                }
                Ok(own) if own.data_type() != field.data_type() => {
                    return Err(differs(format!(
                        "its column `{}` has type {}, that of the first file {}",
                        field.name(),
                        own.data_type(),
                        field.data_type()
                    )));
                }
                Ok(_) => {}
            }
        }
        let more = self
            .schema
            .fields()
            .iter()
            .find(|own| schema.field_with_name(own.name()).is_err());
        match more {
            Some(more) => Err(differs(format!(
                "it has a column `{}`, which the first file does not have",
                more.name()
            ))),
            None => Ok(()),
        }
    }

    /// Rows, with these columns.
    pub(super) fn read(&self, schema: SchemaRef, rows: &Rows, batch_rows: usize) -> Result<Batches> {
        let file = match &self.unnamed {
            Some(file) => file.clone(),
            None => Arc::new(File::open(&self.path).map_err(io(&self.path))?),
        };
        let file = Positioned(file);
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let wanted = self.schema.fields().iter().enumerate();
        let wanted = wanted.filter(|(_, field)| {
            schema.field_with_name(field.name()).is_ok() && !self.constants.contains_key(field.name())
        });
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(index, _)| index));
        builder = builder.with_projection(mask).with_batch_size(batch_rows);
        if let Rows::Group { number, skip, take } = *rows {
            builder = builder
                .with_row_groups(vec![number])
                .with_offset(skip)
                .with_limit(take);
        }
        let batches = builder.build().map_err(|e| broken(&self.path, e))?;
        let (path, constants) = (self.path.clone(), self.constants.clone());
        Ok(Box::new(batches.map(move |batch| {
            arranged(&batch.map_err(|e| broken(&path, e))?, &schema, &constants)
        })))
    }
}

/// A file of which several readers read at once, each at its own place: the system keeps one place only for a file that
/// was opened once.
struct Positioned(Arc<File>);

/// Where one of the readers is.
struct Place {
    file: Arc<File>,
    at: u64,
}

impl Read for Place {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Length for Positioned {
    fn len(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl ChunkReader for Positioned {
    type T = BufReader<Place>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let file = self.0.clone();
        Ok(BufReader::new(Place { file, at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.saturating_add(length as u64) > self.len() {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} are past the end"
            )));
        }
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

fn broken(path: &Path, error: impl ToString) -> Error {
    Error::SourceFile {
        path: path.display().to_string(),
        why: format!("cannot be read as Parquet: {}", error.to_string()),
    }
}
