//! The files of any Delta table, whoever wrote it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use deltalake_core::{DeltaTableBuilder, DeltaTableError};
use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};
use crate::table::paths::table_url;

/// A version of a table.
#[derive(Clone)]
pub(crate) struct Listing {
    /// Which version.
    pub(crate) version: u64,
    /// What the table is called in its log, which no other table is.
    pub(crate) id: String,
    /// Its columns.
    pub(crate) schema: SchemaRef,
    /// Its files, in the order of their names.
    pub(crate) files: Vec<ListedFile>,
}

/// A file of a table.
#[derive(Clone)]
pub(crate) struct ListedFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its rows, where the log says.
    pub(crate) rows: Option<u64>,
    /// The values of the columns that the table is partitioned by, as text; the file does not hold them.
    pub(crate) partition: BTreeMap<String, Option<String>>,
}

/// Lists a version of the table in `dir`, by default the latest. A table whose rows are not just those of its files, or
/// whose files name their columns otherwise, is refused.
pub(crate) async fn list_files(dir: &Path, version: Option<u64>) -> Result<Listing> {
    let broken = |why: String| Error::SourceFile {
        path: dir.display().to_string(),
        why,
    };
    let mut builder = DeltaTableBuilder::from_url(table_url(dir)?)?;
    if let Some(version) = version {
        builder = builder.with_version(version);
    }
    let table = builder.load().await.map_err(|error| match error {
        DeltaTableError::NotATable(_) => broken("there is no Delta table in it".to_owned()),
        error => {
            // What follows its first line is where in the library it arose.
            let error = error.to_string();
            let why = error.lines().next().unwrap_or_default();
            broken(match version {
                Some(version) => format!("version {version} of the table cannot be read: {why}"),
                None => format!("the table cannot be read: {why}"),
            })
        }
    })?;
    let snapshot = table.snapshot()?.snapshot();
    let mapping = snapshot
        .metadata()
        .configuration()
        .get("delta.columnMapping.mode");
    if mapping.is_some_and(|mode| mode != "none") {
        return Err(broken(
            "its columns have other names in its files (delta.columnMapping.mode); write it anew without that".to_owned(),
        ));
    }
    let mut files = Vec::new();
    for file in snapshot.try_log_data()?.iter() {
        if file.deletion_vector_descriptor().is_some() {
            return Err(broken(
                "some of its rows are deleted by deletion vectors; write it anew with REORG TABLE … APPLY (PURGE)".to_owned(),
            ));
        }
        let path = file.path().into_owned();
        let path = match path.strip_prefix("file://") {
            Some(absolute) => PathBuf::from(percent_decode_str(absolute).decode_utf8_lossy().into_owned()),
            None => dir.join(path),
        };
        files.push(ListedFile {
            path,
            rows: file.num_records().map(|rows| rows as u64),
            partition: file.partition_values_map().into_iter().collect(),
        });
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(Listing {
        version: snapshot.version(),
        id: snapshot.metadata().id().to_owned(),
        schema: snapshot.arrow_schema(),
        files,
    })
}
