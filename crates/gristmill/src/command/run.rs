//! `gristmill run`: all stages of a pipeline.

use std::path::Path;

use gristmill_learn::registry::built_in;
use gristmill_run::Outcome;

use super::open::on;
use crate::args::{DatasetArgs, RunArgs};
use crate::failure::{self, Failure};
use crate::printer::Printer;
use gristmill_run::settings::PipelineFile;

/// Runs a pipeline and prints its summary.
pub(super) fn run(args: &RunArgs, printer: &Printer) -> Result<(), Failure> {
    let file = PipelineFile::read(&args.file, &built_in())?;
    let outcome = run_file(&file, &args.dataset, args.warm_start.as_deref(), printer)?;
    printer.data(&outcome.summary)
}

/// Runs the pipeline of a file that was read.
pub(super) fn run_file(
    file: &PipelineFile,
    dataset: &DatasetArgs,
    warm_start: Option<&Path>,
    printer: &Printer,
) -> Result<Outcome, Failure> {
    printer.stop_on_signals()?;
    let session = on(file, dataset, printer)?;
    let session = session.with_warm_start(warm_start, &built_in());
    session.run(printer).map_err(|error| failure::at(file, error))
}
