//! The forms that predictions are written in.

use std::path::Path;

use arrow::datatypes::SchemaRef;

use super::contract::{Bytes, Rows};
use super::{csv, json_lines, parquet};
use crate::error::{Result, bad_file};

/// The forms in which rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    JsonLines,
    /// A folder that is a Delta table.
    Delta,
}

impl Format {
    /// The form that the name of a file or folder tells.
    ///
    /// # Errors
    /// When it tells none.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            _ => Err(bad_file(
                path,
                &"expected a name that ends in .csv, .parquet or .jsonl, delta: and a folder, - for the standard output, or \
                  --output-format",
            )),
        }
    }

    /// The writer of rows in this form.
    pub(super) fn rows(
        self,
        into: Bytes,
        schema: SchemaRef,
        row_group: usize,
    ) -> Result<Box<dyn Rows>, String> {
        Ok(match self {
            Self::Csv => Box::new(csv::Csv::new(into, &schema)),
            Self::Parquet => Box::new(parquet::Parquet::new(into, schema, row_group)?),
            Self::JsonLines => Box::new(json_lines::JsonLines::new(into)),
            Self::Delta => return Err("a Delta table is a folder, and no stream of bytes".to_owned()),
        })
    }
}
