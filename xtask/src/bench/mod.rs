//! Benchmarks: against peers, `cargo xtask bench extract` and `cargo xtask bench train`; of itself, `cargo xtask bench batches`.

mod batches;
mod extract;
mod measure;
mod train;

use anyhow::{Result, bail};

pub(crate) use measure::MEASURE;

/// How each is called.
pub(crate) const USAGES: [&str; 3] = [extract::USAGE, batches::USAGE, train::USAGE];

/// Runs the benchmark that the arguments name.
pub(crate) fn run(arguments: &[String], root: &std::path::Path) -> Result<()> {
    match arguments {
        [bench, rest @ ..] if bench == "extract" => extract::run(rest, root),
        [bench, rest @ ..] if bench == "batches" => batches::run(rest, root),
        [bench, rest @ ..] if bench == "train" => train::run(rest, root),
        [measured, report, program, rest @ ..] if measured == MEASURE => {
            measure::child(report, program, rest)
        }
        _ => bail!("expected {}", USAGES.join(" or ")),
    }
}
