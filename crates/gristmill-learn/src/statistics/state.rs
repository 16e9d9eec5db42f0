//! Reading the columns of a pass's state, and the memory of the maps it is counted in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, UInt64Type};

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

/// One row that holds all these numbers.
pub(crate) fn list(numbers: Vec<u64>) -> Result<ArrayRef> {
    let item = Arc::new(Field::new_list_field(DataType::UInt64, false));
    let offsets = OffsetBuffer::from_lengths([numbers.len()]);
    Ok(Arc::new(ListArray::try_new(
        item,
        offsets,
        Arc::new(UInt64Array::from(numbers)),
        None,
    )?))
}

/// The numbers that the one row of column `name` of a state of `pass` holds, as [`list`] wrote them.
pub(crate) fn listed(state: &RecordBatch, name: &str, pass: &'static str) -> Result<Vec<u64>> {
    let bad = |why: &str| Error::State {
        pass,
        why: format!("`{name}` {why}"),
    };
    let lists: &ListArray = state_column(state, name, pass)?;
    if lists.len() != 1 {
        return Err(bad("does not have one row"));
    }
    let numbers = lists.value(0);
    let numbers = numbers
        .as_primitive_opt::<UInt64Type>()
        .ok_or_else(|| bad("holds no numbers"))?;
    Ok(numbers.values().to_vec())
}

/// Bytes of a `HashMap` with room for so many entries: its table is a power of two, of which seven eighths may be filled, with
/// a byte of control for each place.
pub(crate) fn map_bytes<K, V>(capacity: usize) -> usize {
    let places = match capacity {
        0 => 0,
        1..8 => 8,
        more => (more * 8 / 7).next_power_of_two(),
    };
    places * (size_of::<(K, V)>() + 1)
}

/// Bytes of the heap that a text of `len` bytes takes: the allocator has no room of any size.
pub(crate) fn allocated(len: usize) -> usize {
    len.next_multiple_of(if len > 8 { 16 } else { 8 })
}
