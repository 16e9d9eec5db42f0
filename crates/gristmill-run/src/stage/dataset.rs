//! The dataset as the stages read it: its files are as they were committed, before the first row is read and after the last.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use gristmill_data::table::{IntactFiles, TableVersion};

use crate::error::{Error, Result};
use crate::event::{Detail, Event, Observe, Warning};
use crate::settings::Verify;

/// The dataset of a run.
pub(crate) struct Dataset {
    table: TableVersion,
    intact: IntactFiles,
    /// Whether rows were read since the files were last found unchanged.
    read: Cell<bool>,
}

impl Dataset {
    /// The rows of `table`, as far as its files are to be verified.
    ///
    /// # Errors
    /// When a file is not as it was committed: its rows are not those whose hash a model would state.
    pub(crate) fn verified(table: TableVersion, verify: Verify, observe: &dyn Observe) -> Result<Self> {
        let (hashes, started) = (verify == Verify::Hashes, Instant::now());
        let going_on = || match observe.stopping() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let intact = IntactFiles::check(&table, hashes, &going_on)?.ok_or(Error::Interrupted)?;
        let unknown = table.files.iter().filter(|file| file.hash.is_none()).count();
        if table.cleaned_up > 0 {
            observe.event(Event::Warning(Warning::LogCleanedUp {
                dir: table.dir.display().to_string(),
                entries: table.cleaned_up,
                unknown,
                files: table.files.len(),
            }));
        }
        if hashes {
            tell(&table, started.elapsed().as_secs_f64(), observe);
        }
        let read = Cell::new(false);
        Ok(Self { table, intact, read })
    }

    /// Its columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    /// The table, to be read.
    pub(crate) fn rows(&self) -> &TableVersion {
        self.read.set(true);
        &self.table
    }

    /// Fails where a file was changed while rows were read.
    pub(crate) fn unchanged(&self) -> Result<()> {
        if self.read.take() {
            self.intact.unchanged()?;
        }
        Ok(())
    }
}

fn tell(table: &TableVersion, seconds: f64, observe: &dyn Observe) {
    let files = table.files.len();
    let bytes: u64 = table.files.iter().map(|file| file.bytes).sum();
    observe.event(Event::Detail(Detail::Intact {
        files,
        bytes,
        seconds,
    }));
}
