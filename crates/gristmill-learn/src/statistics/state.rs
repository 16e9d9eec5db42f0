//! Reading the columns of a pass's state.

use arrow::array::{Array, RecordBatch};

use crate::error::{Error, Result};

/// Column `name` of a state of `pass`, as the array type it must have.
pub(crate) fn state_column<'a, A: Array + 'static>(
    state: &'a RecordBatch,
    name: &str,
    pass: &'static str,
) -> Result<&'a A> {
    state
        .column_by_name(name)
        .and_then(|column| column.as_any().downcast_ref())
        .ok_or_else(|| Error::State {
            pass,
            why: format!(
                "it has no column `{name}` of the expected type, but {}",
                state.schema_ref()
            ),
        })
}
