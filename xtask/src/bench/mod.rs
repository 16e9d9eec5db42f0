//! Benchmarks: against peers, `cargo xtask bench extract`, `train`, `predict` and `quality`; of itself,
//! `cargo xtask bench batches` and `cargo xtask bench memory`.

mod batches;
mod extract;
mod measure;
mod memory;
mod predict;
mod quality;
mod train;

use anyhow::{Result, bail};

pub(crate) use measure::MEASURE;

/// How each is called.
pub(crate) const USAGES: [&str; 6] = [
    extract::USAGE,
    batches::USAGE,
    train::USAGE,
    predict::USAGE,
    quality::USAGE,
    memory::USAGE,
];

/// Runs the benchmark that the arguments name.
pub(crate) fn run(arguments: &[String], root: &std::path::Path) -> Result<()> {
    match arguments {
        [bench, rest @ ..] if bench == "extract" => extract::run(rest, root),
        [bench, rest @ ..] if bench == "batches" => batches::run(rest, root),
        [bench, rest @ ..] if bench == "train" => train::run(rest, root),
        [bench, rest @ ..] if bench == "predict" => predict::run(rest, root),
        [bench, rest @ ..] if bench == "quality" => quality::run(rest, root),
        [bench, rest @ ..] if bench == "memory" => memory::run(rest, root),
        [measured, report, program, rest @ ..] if measured == MEASURE => {
            measure::child(report, program, rest)
        }
        _ => bail!("expected {}", USAGES.join(" or ")),
    }
}
