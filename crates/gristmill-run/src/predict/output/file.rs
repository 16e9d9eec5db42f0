//! A file of predictions: written beside its place under a hidden name, and put there when it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use gristmill_data::durable::NewFile;

use super::contract::{Rows, Sink};
use super::format::Format;
use crate::error::{Error, Result, bad_file};

pub(super) struct FileSink {
    path: PathBuf,
    overwrite: bool,
    file: NewFile,
    rows: Box<dyn Rows>,
}

impl FileSink {
    pub(super) fn create(
        path: PathBuf,
        format: Format,
        overwrite: bool,
        schema: SchemaRef,
        row_group: usize,
    ) -> Result<Self> {
        refuse_place(&path)?;
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {
                return Err(bad_file(&path, &"it is a folder; give the name of a file in it"));
            }
            Ok(found) if !found.is_file() && !found.is_symlink() => {
                return Err(bad_file(
                    &path,
                    &"it is not a file that could be replaced; --output - writes to the standard output",
                ));
            }
            Ok(_) if !overwrite => return Err(is_there(&path)),
            _ => {}
        }
        let file = NewFile::create(&path)?;
        let into = Box::new(file.output()?);
        let rows = format.rows(into, schema, row_group);
        let rows = rows.map_err(|why| file.why(bad_file(&path, &why)))?;
        Ok(Self {
            path,
            overwrite,
            file,
            rows,
        })
    }
}

impl Sink for FileSink {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows.write(rows).map_err(|why| bad_file(&self.path, &why))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let ended = self.rows.finish();
        ended.map_err(|why| self.file.why(bad_file(&self.path, &why)))?;
        if self.overwrite {
            self.file.put()?;
        } else if !self.file.put_new()? {
            return Err(is_there(&self.path));
        }
        Ok(())
    }

    fn explain(&self, error: Error) -> Error {
        match self.file.why(error) {
            Error::Interrupted => Error::Cancelled,
            error => error,
        }
    }
}

/// Refuses a place in a folder that is not there.
pub(super) fn refuse_place(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(bad_file(path, &"the folder to write it in does not exist"));
    }
    Ok(())
}

fn is_there(path: &Path) -> Error {
    bad_file(
        path,
        &"this file is there already; --overwrite replaces it, or give another name",
    )
}
