//! What a fuzzer calls: any bytes are read as a Parquet file, with as many rows as its footer promises, or refused.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Once;

use super::parquet::{ParquetFile, Rows};
use super::types::{held_schema, to_held};
use crate::error::Result;
use crate::guard::quiet;
use crate::parquet_file::{BatchLimit, Part};

const LIMIT: BatchLimit = BatchLimit {
    rows: 1_000,
    bytes: 1 << 20,
};

/// Rows, or values of lists, that a fuzzer waits for.
const MOST_ROWS: u64 = 1 << 20;

/// Reads bytes as a Parquet file, and converts its columns as a pull does. Returns its rows.
pub fn parquet_file(bytes: &[u8]) -> Result<u64, String> {
    static QUIET: Once = Once::new();
    // A fuzzer would take a panic of the library for a finding, although it becomes an error.
    QUIET.call_once(quiet);
    let mut file = tempfile::tempfile().map_err(|error| error.to_string())?;
    file.write_all(bytes).map_err(|error| error.to_string())?;
    rows(file).map_err(|error| error.to_string())
}

fn rows(file: File) -> Result<u64> {
    let file = ParquetFile::unnamed(file, Path::new("fuzzed.parquet"))?;
    // So many rows, in a few bytes each thousand, are read in their time.
    if file.rows > MOST_ROWS || file.values() > MOST_ROWS {
        return Ok(file.rows);
    }
    let count = |rows: &Rows| -> Result<u64> {
        let schema = held_schema(&file.schema)?;
        let mut read = 0;
        for batch in file.read(file.schema.clone(), rows, LIMIT)? {
            read += to_held(&batch?, &schema, |row| row.to_string())?.num_rows() as u64;
        }
        Ok(read)
    };
    let read = count(&Rows::All)?;
    assert_eq!(read, file.rows, "rows that the footer promises are missing");
    for (group, promised) in file.groups.iter().enumerate() {
        let skipped = promised / 3;
        let rows = skipped as usize..*promised as usize;
        if let Ok(read) = count(&Rows::Of(Part { group, rows })) {
            assert_eq!(read, promised - skipped, "rows of group {group} are missing");
        }
    }
    Ok(read)
}
