//! A table version as bytes, from which another process opens the same files.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::table::version::{DataFile, TableVersion};

/// The key of the schema's metadata that holds the rest of the table.
const TABLE: &str = "gristmill.table";

/// A table without its schema.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    dir: PathBuf,
    version: u64,
    /// Each with its rows, its bytes and the hash of them.
    files: Vec<(PathBuf, u64, u64, Option<String>)>,
    metadata: BTreeMap<String, String>,
}

impl TableVersion {
    /// What [`TableVersion::from_bytes`] opens the table from, in a process that sees the same folder: an Arrow IPC stream of no
    /// rows, whose schema has the files in its metadata.
    ///
    /// # Errors
    /// When a path is not Unicode, or Arrow cannot write the schema.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let file = |file: &DataFile| (file.path.clone(), file.rows, file.bytes, file.hash.clone());
        let files = Files {
            dir: self.dir.clone(),
            version: self.version,
            files: self.files.iter().map(file).collect(),
            metadata: self.metadata.clone(),
        };
        let files = serde_json::to_string(&files).map_err(|error| self.unreadable(&error))?;
        let metadata = HashMap::from([(TABLE.to_owned(), files)]);
        let schema = Schema::new_with_metadata(self.schema.fields().clone(), metadata);
        Ok(StreamWriter::try_new(Vec::new(), &schema)?.into_inner()?)
    }

    /// The table that [`TableVersion::to_bytes`] described, with its files as large as they were.
    ///
    /// # Errors
    /// When the bytes describe none, or a file is missing or has another size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let schema = StreamReader::try_new(bytes, None)?.schema();
        let files = schema.metadata().get(TABLE).map_or("", String::as_str);
        let files: Files = serde_json::from_str(files).map_err(|error| Error::Dataset {
            dir: "a table from another process".to_owned(),
            why: error.to_string(),
        })?;
        let all = files.files.into_iter();
        let table = Self {
            dir: files.dir,
            version: files.version,
            schema: Arc::new(Schema::new(schema.fields().clone())),
            rows: all.clone().map(|(_, rows, ..)| rows).sum(),
            files: all
                .map(|(path, rows, bytes, hash)| DataFile {
                    path,
                    rows,
                    bytes,
                    hash,
                })
                .collect(),
            // What is to be said of its log was said where that was read.
            cleaned_up: 0,
            metadata: files.metadata,
        };
        for file in &table.files {
            file.check_size().map_err(|why| table.replaced(file, &why))?;
        }
        Ok(table)
    }

    fn unreadable(&self, error: &serde_json::Error) -> Error {
        Error::Dataset {
            dir: self.dir.display().to_string(),
            why: error.to_string(),
        }
    }
}
