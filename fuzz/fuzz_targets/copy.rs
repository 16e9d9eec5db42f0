//! A stream of PostgreSQL's COPY BINARY, with the types of its columns before it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(gristmill_data::fuzz::copy_stream(data)));
