//! Columns of a pass's state: one row, whose lists and structures hold the answers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, LargeListArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Field, Fields};

use crate::error::Result;

/// A structure of these arrays, none of whose values is null.
pub(crate) fn structure(names: &[&str], arrays: Vec<ArrayRef>) -> Result<ArrayRef> {
    let fields: Fields = names
        .iter()
        .zip(&arrays)
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), false))
        .collect();
    Ok(Arc::new(StructArray::try_new(fields, arrays, None)?))
}

/// One row that is the list of all values.
pub(crate) fn one_list(values: ArrayRef) -> Result<ArrayRef> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0_i64, values.len() as i64]));
    Ok(Arc::new(LargeListArray::try_new(field, offsets, values, None)?))
}
