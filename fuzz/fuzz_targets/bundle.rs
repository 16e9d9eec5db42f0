//! A model bundle, its checksum not looked at: read, used for prediction and a warm start, and written again.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gristmill_learn::fuzz::bundle(data));
