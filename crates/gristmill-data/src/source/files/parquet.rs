//! One Parquet file: its columns, its row groups, and rows of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::count::counted;
use crate::durable::io;
use crate::error::{Error, Result};
use crate::parquet_file::{self, BatchLimit, Footer, Part};
use crate::source::files::batches::{Batches, arranged};
use crate::source::files::unify::unified;

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
    footer: Footer,
}

/// Which rows of a file.
pub(super) enum Rows {
    All,
    Of(Part),
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
        let footer = Footer::read(&file).map_err(|why| broken(path, why))?;
        let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
        let fields = footer.schema().fields().iter().map(nullable);
        let groups = footer.metadata().row_groups();
        Ok(Self {
            path: path.to_owned(),
            unnamed: None,
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            rows: footer.row_count(),
            bytes: groups.iter().map(|group| group.total_byte_size() as u64).sum(),
            groups: groups.iter().map(|group| group.num_rows() as u64).collect(),
            constants: BTreeMap::new(),
            footer,
        })
    }

    /// The values of its columns, those of lists each.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn values(&self) -> u64 {
        let groups = self.footer.metadata().row_groups().iter();
        let columns = groups.flat_map(|group| group.columns());
        columns.fold(0, |sum, column| {
            sum.saturating_add(column.num_values().unsigned_abs())
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

    /// Refuses a file that does not have so many rows.
    pub(super) fn check_rows(&self, promised: Option<u64>) -> Result<()> {
        match promised.filter(|promised| *promised != self.rows) {
            None => Ok(()),
            Some(promised) => Err(Error::SourceFile {
                path: self.path.display().to_string(),
                why: format!(
                    "it has {}, and the table's log says {promised}; restore the file, or an earlier version of the table",
                    counted(self.rows, "row")
                ),
            }),
        }
    }

    /// The columns of the files before, each with the type that holds the values of this file too.
    ///
    /// # Errors
    /// When this file does not have the same columns, or one whose values no type holds with those of the others.
    pub(super) fn unified_with(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let differs = |why: String| Error::SourceFile {
            path: self.path.display().to_string(),
            why,
        };
        let mut fields = Vec::new();
        for field in schema.fields() {
            let Ok(own) = self.schema.field_with_name(field.name()) else {
                return Err(differs(format!(
                    "it has no column `{}`, which the first file has",
                    field.name()
                )));
            };
            let Some(kind) = unified(field.data_type(), own.data_type()) else {
                return Err(differs(format!(
                    "its column `{}` has type {}, that of the files before {}, and no type holds the values of both",
                    field.name(),
                    own.data_type(),
                    field.data_type()
                )));
            };
            fields.push(field.as_ref().clone().with_data_type(kind));
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
            None => Ok(Arc::new(Schema::new(fields))),
        }
    }

    /// Rows, with these columns.
    pub(super) fn read(&self, schema: SchemaRef, rows: &Rows, limit: BatchLimit) -> Result<Batches> {
        let file = match &self.unnamed {
            Some(file) => file.clone(),
            None => Arc::new(File::open(&self.path).map_err(io(&self.path))?),
        };
        let wanted = self.schema.fields().iter().enumerate();
        let wanted = wanted.filter(|(_, field)| {
            schema.field_with_name(field.name()).is_ok() && !self.constants.contains_key(field.name())
        });
        let wanted = wanted.map(|(index, _)| index).collect();
        let part = match rows {
            Rows::All => None,
            Rows::Of(part) => Some(part.clone()),
        };
        let batches = self.footer.rows(file, part, Some(wanted), limit);
        let (path, constants) = (self.path.clone(), self.constants.clone());
        Ok(Box::new(batches.map(move |batch| {
            arranged(&batch.map_err(|why| broken(&path, why))?, &schema, &constants)
        })))
    }
}

fn broken(path: &Path, why: parquet_file::Why) -> Error {
    Error::SourceFile {
        path: path.display().to_string(),
        why: format!("cannot be read as Parquet: {why}"),
    }
}
