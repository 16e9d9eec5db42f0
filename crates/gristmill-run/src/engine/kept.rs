//! Decoded rows of one table, kept between the scans that read the same columns of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use gristmill_data::table::TableVersion;

/// What is kept. Scans that run at the same time do not wait for each other.
#[derive(Default)]
pub(super) struct Kept(Mutex<State>);

#[derive(Default)]
struct State {
    /// The table whose rows are wanted again.
    table: Option<PathBuf>,
    /// Bytes of rows at most.
    limit: u64,
    rows: Option<Arc<Rows>>,
}

/// All rows of some columns.
pub(super) struct Rows {
    columns: Vec<String>,
    pub(super) batches: Vec<RecordBatch>,
}

/// The rows of a scan, collected as they pass by.
pub(super) struct Keeping {
    /// `None` where they are not wanted, or too many.
    batches: Option<Vec<RecordBatch>>,
    bytes: u64,
    limit: u64,
}

impl Kept {
    /// From now on up to `limit` bytes of rows of this table are kept; those of other tables are let go.
    pub(super) fn wanted(&self, table: &TableVersion, limit: u64) {
        *self.state() = State {
            table: Some(table.dir.clone()),
            limit,
            rows: None,
        };
    }

    /// The rows of these columns, if they are kept.
    pub(super) fn rows(&self, table: &TableVersion, columns: &[String]) -> Option<Arc<Rows>> {
        let state = self.state();
        let rows = state.rows.as_ref()?;
        let same = state.table.as_ref() == Some(&table.dir) && rows.columns == columns;
        same.then(|| Arc::clone(rows))
    }

    /// Begins to collect the rows of a scan, if they are wanted and none are there.
    pub(super) fn collect(&self, table: &TableVersion) -> Keeping {
        let state = self.state();
        let wanted = state.table.as_ref() == Some(&table.dir) && state.limit > 0 && state.rows.is_none();
        Keeping {
            batches: wanted.then(Vec::new),
            bytes: 0,
            limit: state.limit,
        }
    }

    /// Keeps all rows that a scan collected. Where they were too many, no later scan of the table collects them again.
    pub(super) fn put(&self, table: &TableVersion, columns: Vec<String>, keeping: Keeping) {
        let mut state = self.state();
        if state.table.as_ref() != Some(&table.dir) {
            return;
        }
        match keeping.batches {
            Some(batches) => state.rows = Some(Arc::new(Rows { columns, batches })),
            None if keeping.bytes > keeping.limit => state.limit = 0,
            None => {}
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeping {
    /// Collects a batch, or lets go of all once they are too many.
    pub(super) fn take(&mut self, batch: &RecordBatch) {
        let Some(batches) = &mut self.batches else {
            return;
        };
        self.bytes += batch.get_array_memory_size() as u64;
        if self.bytes > self.limit {
            self.batches = None;
        } else {
            batches.push(batch.clone());
        }
    }
}
