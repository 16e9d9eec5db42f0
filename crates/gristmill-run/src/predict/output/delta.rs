//! Predictions as a new Delta table, which any tool opens.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use gristmill_data::table::NewTable;

use super::contract::Sink;
use super::file::refuse_place;
use crate::error::{Result, bad_file};

pub(super) struct DeltaSink(NewTable);

impl DeltaSink {
    pub(super) fn create(dir: &Path, schema: &Schema, overwrite: bool, row_group: usize) -> Result<Self> {
        refuse_place(dir)?;
        if overwrite {
            let why = "--overwrite replaces a file; to write a Delta table, give a folder that is not there";
            return Err(bad_file(dir, &why));
        }
        Ok(Self(NewTable::create(dir, schema, row_group)?))
    }
}

impl Sink for DeltaSink {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        Ok(self.0.write(rows)?)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(self.0.finish()?)
    }
}
