//! The commands, one file each.

mod check;
mod demo;
mod inspect;
mod predict;
mod run;

use gristmill_run::Session;
use gristmill_run::settings::Pipeline;

use crate::args::Command;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings::PipelineFile;

/// Does what the command line asks for.
pub fn dispatch(command: &Command, printer: &Printer) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(args, printer),
        Command::Check(args) => check::run(args, printer),
        Command::Predict(args) => predict::run(args, printer),
        Command::Demo(args) => demo::run(args, printer),
        Command::Inspect(args) => inspect::run(args, printer),
    }
}

/// Opens a session for a pipeline file and checks its columns, every problem at its line.
fn open<'a>(
    file: &'a PipelineFile,
    open: impl FnOnce(&'a Pipeline) -> gristmill_run::Result<Session<'a>>,
) -> Result<Session<'a>, Failure> {
    let session = open(&file.pipeline).map_err(|error| file.failure(error))?;
    let problems = file.check_columns(session.schema());
    if problems.is_empty() {
        Ok(session)
    } else {
        Err(problems.into())
    }
}
