//! What fuzzers call: each takes any bytes and panics where they are read wrongly.

use std::io::Write;
use std::sync::{Arc, Once};

use crate::guard::quiet;
use crate::parquet_file::{BatchLimit, Footer};
pub use crate::source::postgres::decoded as copy_stream;

/// Reads bytes as a Parquet file.
pub fn parquet_file(bytes: &[u8]) {
    static QUIET: Once = Once::new();
    // A fuzzer would take a panic of the library for a finding, although it becomes an error.
    QUIET.call_once(quiet);
    let Ok(mut file) = tempfile::tempfile() else {
        return;
    };
    if file.write_all(bytes).is_err() {
        return;
    }
    let Ok(footer) = Footer::read(&file) else { return };
    let promised = footer.row_count();
    let limit = BatchLimit {
        rows: 1_000,
        bytes: 1 << 20,
    };
    let mut read = 0;
    for batch in footer.rows(Arc::new(file), None, None, limit) {
        match batch {
            Ok(batch) => read += batch.num_rows() as u64,
            Err(_) => return,
        }
    }
    assert_eq!(
        read, promised,
        "rows that the footer promises are missing, and there was no error"
    );
}
