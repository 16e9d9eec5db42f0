//! The engine's contract: fold a pass over a table, map a table to another.

mod flow;
mod kept;
mod local;
mod threads;

use std::ops::ControlFlow;
use std::path::Path;

use arrow::array::RecordBatch;
use gristmill_data::table::TableVersion;
use gristmill_learn::contract::pass::Pass;
use gristmill_learn::contract::step::{LeftOut, Transformer};

use crate::error::Result;

pub(crate) use flow::scan_bytes;
pub use local::LocalEngine;
pub(crate) use threads::worker_threads;

/// Hears how many rows are done, and says whether to go on; where not, the work ends with `Interrupted`.
pub type Watch<'a> = &'a (dyn Fn(u64) -> ControlFlow<()> + Sync);

/// Runs passes and transformers over tables.
///
/// # Contract
/// The result is that of one thread going over the rows in canonical order, to the last bit.
pub trait Engine: Send + Sync {
    /// Folds a pass over every row.
    ///
    /// # Errors
    /// Those of the pass, and of reading the table.
    fn fold(&self, table: &TableVersion, pass: &dyn Pass, watch: Watch<'_>) -> Result<RecordBatch>;

    /// Writes the transformed rows to a folder of Parquet files, which appears when it is complete.
    /// What was left out is in the table's metadata under [`LEFT_OUT`], and `fingerprint` under [`FINGERPRINT`].
    ///
    /// # Errors
    /// Those of the transformer, and of reading and writing the tables.
    fn map(
        &self,
        table: &TableVersion,
        step: &dyn Transformer,
        into: &Path,
        fingerprint: &str,
        watch: Watch<'_>,
    ) -> Result<(TableVersion, LeftOut)>;

    /// Lets the engine hold up to `bytes` of the rows of this table, and of no other, where later folds find them again; 0 lets
    /// them go. No result depends on it.
    fn keep(&self, table: &TableVersion, bytes: u64);
}

/// The metadata key of a mapped table that says what it was made from.
pub const FINGERPRINT: &str = "gristmill.fingerprint";
/// The metadata key of a mapped table that says which rows were left out, as JSON.
pub const LEFT_OUT: &str = "gristmill.left_out";
/// Bytes that a transformer makes of a byte of rows, until the first rows tell: a text becomes five n-grams a letter.
pub(crate) const MOST_GROWTH: u64 = 40;
