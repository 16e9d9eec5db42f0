//! The entry point of the fuzz target for pipeline files. The test does a small part of a fuzzer's work, the same each time.

use std::path::Path;

use gristmill_data::secret::scrub;
use gristmill_learn::registry::built_in;

use crate::settings::PipelineFile;

/// What variables of the environment hold.
const VALUES: [&str; 8] = [
    "",
    "7",
    "artists.db",
    "sqlite:artists.db",
    "postgres://user:p%40ss@db:5432/x?sslmode=require",
    "mysql://user:pass@db/x",
    "csv:/data/*.csv",
    "a \"quoted\"\n${NAME} \u{1b}[31m",
];

/// Reads a pipeline file, with variables of the environment in it; says whether it is valid.
pub fn pipeline(data: &[u8]) -> Result<(), String> {
    // The values of all files that were fuzzed before are a matter of no other.
    #[cfg(feature = "fuzzing")]
    gristmill_data::secret::forget();
    let text = std::str::from_utf8(data).map_err(|error| error.to_string())?;
    let environment = |variable: &str| VALUES.get(variable.len()).map(|value| (*value).to_owned());
    match PipelineFile::parse(Path::new("fuzzed.toml"), text, &environment, &built_in()) {
        Ok(file) => {
            assert!(!file.pipeline.shaping_hash().is_empty());
            Ok(())
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            let shown = problems.iter().map(|problem| {
                assert!(!problem.json().to_string().is_empty());
                scrub(&problem.render(false)).into_owned()
            });
            Err(shown.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_testkit::{mutations, seeds};

    const PIECES: [&str; 32] = [
        "0",
        "1",
        "-1",
        "0.5",
        "1e308",
        "nan",
        "inf",
        "9223372036854775807",
        "18446744073709551616",
        "true",
        "[]",
        "{}",
        "[[feature]]",
        "[source]",
        "\"\"",
        "'",
        "\"\"\"",
        "\\u0000",
        "\\U0010FFFF",
        "${A}",
        "${AB}",
        "${",
        "$$",
        "=",
        ".",
        "#",
        "\u{202e}é",
        "1979-05-27T07:32:00Z",
        "postgres://",
        "1_000",
        "0x10",
        "\r\n",
    ];

    #[test]
    fn pipeline_files_with_a_few_things_changed_are_read_or_refused() {
        let seeds = seeds("pipeline");
        for (name, seed) in &seeds {
            assert_eq!(super::pipeline(seed), Ok(()), "{name}");
        }
        for input in mutations(&seeds, &PIECES, 3_000) {
            let _ = super::pipeline(&input);
        }
    }
}
