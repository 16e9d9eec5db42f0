//! Whether the files of a dataset are those that were committed, and stay so while they are read.

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::durable::io;
use crate::error::{Error, Result};
use crate::table::stamp::Stamp;
use crate::table::version::TableVersion;

/// The files of a table, each found as it was committed.
#[derive(Debug)]
pub struct IntactFiles {
    dir: PathBuf,
    stamps: Vec<(PathBuf, Stamp)>,
}

impl IntactFiles {
    /// Compares each file with what its commit recorded: its size and, with `hashes`, every byte. `None` where `going_on`, which
    /// is asked before each file, says to stop.
    ///
    /// # Errors
    /// When a file differs, which is named.
    pub fn check(
        table: &TableVersion,
        hashes: bool,
        going_on: &dyn Fn() -> ControlFlow<()>,
    ) -> Result<Option<Self>> {
        let mut stamps = Vec::with_capacity(table.files.len());
        for file in &table.files {
            if going_on().is_break() {
                return Ok(None);
            }
            // What is changed after this is noticed later; what was changed before is found now.
            let stamp = Stamp::of(&file.path);
            let checked = if hashes { file.check() } else { file.check_size() };
            checked.map_err(|why| table.replaced(file, &why))?;
            stamps.push((file.path.clone(), stamp.map_err(io(&file.path))?));
        }
        let dir = table.dir.clone();
        Ok(Some(Self { dir, stamps }))
    }

    /// Fails where a file was changed since: what was read of it may not be what was committed.
    ///
    /// # Errors
    /// When a file was changed, which is named.
    pub fn unchanged(&self) -> Result<()> {
        for (path, stamp) in &self.stamps {
            if Stamp::of(path).ok().as_ref() != Some(stamp) {
                return Err(Error::Dataset {
                    dir: self.dir.display().to_string(),
                    why: format!("{} was changed while it was read; run again", path.display()),
                });
            }
        }
        Ok(())
    }
}
