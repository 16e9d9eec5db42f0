//! Benchmarks against peers: `cargo xtask bench extract`, `cargo xtask bench train`.

mod extract;
mod measure;
mod train;

use anyhow::{Result, bail};

pub(crate) use measure::MEASURE;

/// How each is called.
pub(crate) const USAGES: [&str; 2] = [extract::USAGE, train::USAGE];

/// Runs the benchmark that the arguments name.
pub(crate) fn run(arguments: &[String], root: &std::path::Path) -> Result<()> {
    match arguments {
        [bench, rest @ ..] if bench == "extract" => extract::run(rest, root),
        [bench, rest @ ..] if bench == "train" => train::run(rest, root),
        [measured, report, program, rest @ ..] if measured == MEASURE => {
            measure::child(report, program, rest)
        }
        _ => bail!("expected {}", USAGES.join(" or ")),
    }
}
