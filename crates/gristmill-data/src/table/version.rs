//! One version of a table: the files of a dataset or of a plain folder, in canonical order.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::DeltaTableError;

use crate::durable::io;
use crate::error::{Error, Result};
use crate::parquet_file::Footer;
use crate::table::ledger;
use crate::table::manifest::Manifest;
use crate::table::paths::{batches_of, table_url};

/// One version of a table: fixed files with fixed rows in a fixed order.
#[derive(Debug, Clone)]
pub struct TableVersion {
    /// Its folder.
    pub dir: PathBuf,
    /// Its version in the Delta log; 0 for a plain folder.
    pub version: u64,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its files, in canonical order.
    pub files: Vec<DataFile>,
    /// Its rows.
    pub rows: u64,
    /// What the writer of a plain folder wrote beside the rows. Empty for a Delta table.
    pub metadata: BTreeMap<String, String>,
}

/// One Parquet file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
}

impl TableVersion {
    /// Opens the latest version of a dataset. One to which other tools added rows, or whose rows they deleted, changed or
    /// moved to files of their own, is refused: its order of rows would no longer be the canonical one.
    pub async fn open_delta(dir: &Path) -> Result<Self> {
        let broken = |why: String| Error::Dataset {
            dir: dir.display().to_string(),
            why,
        };
        let table = deltalake_core::open_table(table_url(dir)?)
            .await
            .map_err(|error| match error {
                DeltaTableError::NotATable(_) => broken("there is no Delta table in it".to_owned()),
                error => broken(error.to_string()),
            })?;
        let snapshot = table.snapshot()?.snapshot();
        let mut files = Vec::new();
        for file in snapshot.try_log_data()?.iter() {
            let name = file.path().into_owned();
            let (Some(rows), true) = (file.num_records(), batches_of(&name).is_some()) else {
                return Err(broken(format!(
                    "version {} holds {name}, which gristmill did not write; restore the version before it",
                    snapshot.version()
                )));
            };
            files.push((name, rows as u64, file.deletion_vector_descriptor().is_some()));
        }
        // The number of the batch is in the name, with as many digits in each.
        files.sort_unstable();
        let rows = files.iter().map(|(_, rows, _)| rows).sum();
        let kept = ledger::read_record(dir, snapshot.version())?.totals.rows_kept;
        if rows != kept || files.iter().any(|(_, _, deletions)| *deletions) {
            return Err(broken(format!(
                "version {} does not have the {kept} rows that gristmill wrote; restore the version before it",
                snapshot.version()
            )));
        }
        let files = files.into_iter().map(|(name, rows, _)| DataFile {
            path: dir.join(name),
            rows,
        });
        Ok(Self {
            dir: dir.to_owned(),
            version: snapshot.version(),
            schema: snapshot.arrow_schema(),
            files: files.collect(),
            rows,
            metadata: BTreeMap::new(),
        })
    }

    /// The table as if it had just this file.
    pub(crate) fn only(&self, file: &DataFile) -> Self {
        Self {
            dir: self.dir.clone(),
            version: self.version,
            schema: self.schema.clone(),
            files: vec![file.clone()],
            rows: file.rows,
            metadata: BTreeMap::new(),
        }
    }

    /// Opens a folder that a [`PartWriter`](crate::table::PartWriter) wrote. It is read to its last byte: one in which any
    /// part was cut, edited, exchanged, added or deleted since is refused.
    pub fn open_parquet(dir: &Path) -> Result<Self> {
        let manifest = Manifest::read(dir)?;
        let broken = |why: String| Error::Folder {
            dir: dir.display().to_string(),
            why,
        };
        let first = manifest.parts.first();
        let first = first.ok_or_else(|| broken("it has no part".to_owned()))?;
        let path = dir.join(&first.name);
        let opened = File::open(&path).map_err(io(&path))?;
        let footer = Footer::read(&opened).map_err(|why| broken(format!("{}: {why}", first.name)))?;
        Ok(Self::of_folder(dir, manifest, footer.schema()))
    }

    /// The table of a folder with this manifest.
    pub(crate) fn of_folder(dir: &Path, manifest: Manifest, schema: &Schema) -> Self {
        let files = manifest.parts.iter().map(|part| DataFile {
            path: dir.join(&part.name),
            rows: part.rows,
        });
        Self {
            dir: dir.to_owned(),
            version: 0,
            schema: without_metadata(schema),
            files: files.collect(),
            rows: manifest.rows,
            metadata: manifest.metadata,
        }
    }
}

fn without_metadata(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().clone()))
}
