//! The formats of a prediction's files, by extension.

use std::path::Path;

use crate::error::{Error, Result};

/// A file format, by extension.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Csv,
    Parquet,
}

impl Format {
    pub(super) fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(bad(path, &"expected a name that ends in .csv or .parquet")),
        }
    }
}

pub(super) fn bad(path: &Path, why: &impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}
