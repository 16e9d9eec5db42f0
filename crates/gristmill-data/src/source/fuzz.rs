//! The entry points of fuzzers: each takes any bytes, returns rows or an error, and panics where a promise is broken. The tests
//! do a small part of a fuzzer's work, the same each time.

pub use crate::source::files::fuzz::parquet_file;
pub use crate::source::postgres::copy_stream;

#[cfg(test)]
mod tests {
    use gristmill_testkit::{mutations, seeds};

    use super::*;

    #[test]
    fn parquet_files_with_a_few_things_changed_are_read_or_refused() {
        let seeds = seeds("parquet");
        for (name, seed) in &seeds {
            match parquet_file(seed) {
                Ok(rows) => assert!(rows > 0 || name.contains("empty"), "{name}"),
                Err(why) => assert!(name.contains("broken"), "{name}: {why}"),
            }
        }
        for input in mutations(&seeds, &[], 3_000) {
            let _ = parquet_file(&input);
        }
    }

    #[test]
    fn copy_streams_with_a_few_things_changed_are_read_or_refused() {
        let seeds = seeds("copy");
        for (name, seed) in &seeds {
            assert_eq!(copy_stream(seed), Ok(7), "{name}");
        }
        for input in mutations(&seeds, &[], 20_000) {
            let _ = copy_stream(&input);
        }
    }
}
