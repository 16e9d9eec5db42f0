//! A Parquet file: its rows, or an error.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(gristmill_data::fuzz::parquet_file(data)));
