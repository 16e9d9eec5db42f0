//! Files that must survive: waiting for the disk, and what it says when it fails.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use parquet::errors::ParquetError;

use crate::error::{Error, Result};

/// Waits until a file is on the disk, for what a commit names must survive a power failure. Returns its size.
pub(crate) fn synced(file: &File, path: &Path) -> Result<u64> {
    file.sync_all().map_err(io(path))?;
    Ok(file.metadata().map_err(io(path))?.len())
}

/// What the system said of a file or folder, as an error of this crate.
pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull { path },
        _ => Error::Io { path, source },
    }
}

/// What writing Parquet failed with, where that is the file's fault.
pub(crate) fn write_failed(path: &Path) -> impl FnOnce(ParquetError) -> Error {
    move |error| match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(cause) => io(path)(*cause),
            Err(cause) => ParquetError::External(cause).into(),
        },
        error => error.into(),
    }
}

/// Removes a folder with all that is in it; one that is not there is fine.
pub(crate) fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(dir)(error)),
        _ => Ok(()),
    }
}
