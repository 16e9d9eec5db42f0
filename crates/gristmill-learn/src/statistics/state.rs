//! Reading the columns of a pass's state, and the memory of the maps it is counted in.

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
