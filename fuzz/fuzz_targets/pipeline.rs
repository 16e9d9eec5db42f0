//! A pipeline file, with variables of the environment in it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(gristmill_run::fuzz::pipeline(data)));
