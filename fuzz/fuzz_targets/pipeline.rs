//! A pipeline file, with variables of the environment in it.

#![no_main]

use std::path::Path;

use gristmill_run::settings::PipelineFile;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let environment = |variable: &str| (variable.len() < 8).then(|| format!("value of {variable}"));
    match PipelineFile::parse(Path::new("fuzzed.toml"), text, &environment) {
        Ok(file) => drop(file.pipeline.shaping_hash()),
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(|problem| drop((problem.render(false), problem.json())));
        }
    }
});
