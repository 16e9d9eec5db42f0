//! Record batches of a file, and their columns as the files together have them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, SchemaRef};

use crate::error::Result;

/// Record batches, one after the other.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The columns of `schema` from those of a batch, by name: in their order, of their types, null where there is none.
pub(super) fn arranged(
    batch: &RecordBatch,
    schema: &SchemaRef,
    constants: &BTreeMap<String, ArrayRef>,
) -> Result<RecordBatch> {
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let found = match (batch.column_by_name(field.name()), constants.get(field.name())) {
            (Some(column), None) => column.clone(),
            (_, Some(value)) => {
                let repeated = arrow::array::UInt32Array::from(vec![0; rows]);
                arrow::compute::take(value, &repeated, None)?
            }
            (None, None) => return Ok(new_null_array(field.data_type(), rows)),
        };
        Ok(if found.data_type() == field.data_type() {
            found
        } else {
            // What does not fit is an error, and no null.
            let strictly = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            cast_with_options(&found, field.data_type(), &strictly)?
        })
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?)
}
