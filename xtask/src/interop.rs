//! `cargo xtask interop`: a dataset of merged batches opens in the tools that people have, with the same rows.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::python::{done, environment, gristmill, target};

pub(crate) const USAGE: &str =
    "cargo xtask interop      open a dataset in deltalake, pandas, Polars, DuckDB and Spark";

const SCRIPT: &str = include_str!("interop.py");

/// The tools, each with its version, for the result to be repeatable.
const REQUIREMENTS: [&str; 7] = [
    "deltalake==1.6.6",
    "duckdb==2.0.0",
    "pandas==3.1.1",
    "polars==2.1.0",
    "pyarrow==26.0.1",
    "pyspark==4.3.0",
    "pytz==2026.6",
];

/// So many batches that there is something to merge.
const PIPELINE: &str = r#"
[source]
url = "csv:rows.csv"
key = "id"

[batches]
rows = 1000
target_file_size = "1MB"

[[feature]]
column = "ratio"
encode = "numeric"

[label]
column = "flag"

[model]
kind = "logistic_regression"

[run]
dir = "run"
"#;

/// Writes rows, pulls them, and reads them with every tool.
pub(crate) fn run(root: &Path) -> Result<()> {
    let gristmill = gristmill(root)?;
    let dir = target(root).join("interop");
    fs::create_dir_all(&dir)?;
    let python = environment(&dir, &REQUIREMENTS)?;
    let work = dir.join("work");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    fs::write(work.join("interop.py"), SCRIPT)?;
    fs::write(work.join("pipeline.toml"), PIPELINE)?;
    let script = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.current_dir(&work).arg("interop.py").args(arguments);
        done(&mut command)
    };
    script(&["write", "rows.csv"])?;
    let mut pull = Command::new(&gristmill);
    done(pull.current_dir(&work).args(["pull", "pipeline.toml", "--quiet"]))?;
    script(&["read", "run/dataset"])?;
    fs::remove_dir_all(&work)?;
    Ok(())
}
