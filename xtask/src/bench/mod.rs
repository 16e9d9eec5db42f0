//! Benchmarks against peers: `cargo xtask bench extract`.

mod extract;
mod measure;

use anyhow::{Result, bail};

pub(crate) use extract::USAGE;
pub(crate) use measure::MEASURE;

/// Runs the benchmark that the arguments name.
pub(crate) fn run(arguments: &[String], root: &std::path::Path) -> Result<()> {
    match arguments {
        [bench, rest @ ..] if bench == "extract" => extract::run(rest, root),
        [measured, report, program, rest @ ..] if measured == MEASURE => {
            measure::child(report, program, rest)
        }
        _ => bail!("expected {USAGE}"),
    }
}
