//! One version of a table: the files of a dataset or of a plain folder, in canonical order.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use crate::content::{FileContent, check_size};
use crate::count::counted;
use crate::durable::io;
use crate::error::{Error, Result};
use crate::parquet_file::Footer;
use crate::table::entries::unreadable;
use crate::table::ledger::Ledger;
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
    /// Entries of its Delta log that another tool cleaned up.
    pub cleaned_up: u64,
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
    /// Its size when it was written.
    pub bytes: u64,
    /// The hash of its bytes then, as in a [`FileContent`]; `None` where another tool cleaned up the log that told it.
    pub hash: Option<String>,
}

impl DataFile {
    /// Checks that the file has the size that it was written with; says why where it has not.
    pub(crate) fn check_size(&self) -> Result<(), String> {
        check_size(&self.path, self.bytes)
    }

    /// Checks that the file holds what was written, as far as it is known; says why where it does not.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.hash {
            None => self.check_size(),
            Some(hash) => {
                let (bytes, hash) = (self.bytes, hash.clone());
                FileContent { bytes, hash }.check(&self.path)
            }
        }
    }
}

impl TableVersion {
    /// Opens the latest version of a dataset. One to which other tools added rows, or whose rows they deleted, changed or
    /// moved to files of their own, is refused: its order of rows would no longer be the canonical one. So is one with a file
    /// that is missing, or has another size than it was committed with.
    pub async fn open_delta(dir: &Path) -> Result<Self> {
        let table = Self::listed(dir).await?;
        for file in &table.files {
            file.check_size().map_err(|why| table.replaced(file, &why))?;
        }
        Ok(table)
    }

    /// The error of a file that is not the one that was committed.
    pub(crate) fn replaced(&self, file: &DataFile, why: &str) -> Error {
        Error::Dataset {
            dir: self.dir.display().to_string(),
            why: format!(
                "{} is not as it was committed: {why}; restore it, or delete the folder to pull the rows again",
                file.path.display()
            ),
        }
    }

    /// The same as its log has it; nobody looked at the files.
    pub(crate) async fn listed(dir: &Path) -> Result<Self> {
        let broken = |why: String| Error::Dataset {
            dir: dir.display().to_string(),
            why,
        };
        let ledger = Ledger::read(dir).await?;
        let mut ledger = ledger.ok_or_else(|| broken("there is no Delta table in it".to_owned()))?;
        let table = deltalake_core::open_table_with_version(table_url(dir)?, ledger.version).await;
        let unreadable = |error| unreadable(dir, &error);
        let table = table.map_err(unreadable)?;
        let snapshot = table.snapshot().map_err(unreadable)?.snapshot();
        let mut files = Vec::new();
        let mut deletions = false;
        for file in snapshot.try_log_data().map_err(unreadable)?.iter() {
            let name = file.path().into_owned();
            let (Some(rows), true) = (file.num_records(), batches_of(&name).is_some()) else {
                return Err(broken(format!(
                    "version {} holds {name}, which gristmill did not write; restore the version before it",
                    ledger.version
                )));
            };
            deletions |= file.deletion_vector_descriptor().is_some();
            let content = ledger.files.remove(&name);
            files.push(DataFile {
                path: dir.join(name),
                rows: rows as u64,
                bytes: content
                    .as_ref()
                    .map_or(file.size() as u64, |content| content.bytes),
                hash: content.map(|content| content.hash),
            });
        }
        // The number of the batch is in the name, with as many digits in each.
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let rows = files.iter().map(|file| file.rows).sum();
        let kept = ledger.record.totals.rows_kept;
        if rows != kept || deletions {
            return Err(broken(format!(
                "version {} does not have the rows that gristmill wrote ({}); restore the version before it",
                ledger.version,
                counted(kept, "row")
            )));
        }
        Ok(Self {
            dir: dir.to_owned(),
            version: ledger.version,
            schema: snapshot.arrow_schema(),
            files,
            rows,
            cleaned_up: ledger.cleaned_up,
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
            cleaned_up: self.cleaned_up,
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
            bytes: part.content.bytes,
            hash: Some(part.content.hash.clone()),
        });
        Self {
            dir: dir.to_owned(),
            version: 0,
            schema: without_metadata(schema),
            files: files.collect(),
            rows: manifest.rows,
            cleaned_up: 0,
            metadata: manifest.metadata,
        }
    }
}

fn without_metadata(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().clone()))
}
