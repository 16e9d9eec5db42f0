//! The commands, one file each.

mod check;
mod demo;
mod inspect;
mod predict;
mod pull;
mod run;
mod vacuum;
mod verify;

use std::path::Path;

use anyhow::{Context, anyhow};
use gristmill_run::Session;
use gristmill_run::settings::Pipeline;

use crate::args::Command;
use crate::failure::{self, Failure, classify};
use crate::printer::Printer;
use gristmill_run::settings::PipelineFile;

/// Does what the command line asks for.
pub fn dispatch(command: &Command, printer: &Printer) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(args, printer),
        Command::Check(args) => check::run(args, printer),
        Command::Predict(args) => predict::run(args, printer),
        Command::Demo(args) => demo::run(args, printer),
        Command::Inspect(args) => inspect::run(args, printer),
        Command::Pull(args) => pull::run(args, printer),
        Command::Verify(args) => verify::run(args, printer),
        Command::Vacuum(args) => vacuum::run(args, printer),
    }
}

/// Runs work on a dataset, which must be one.
fn on_dataset<T>(dir: &Path, work: impl Future<Output = gristmill_data::Result<T>>) -> Result<T, Failure> {
    if !dir.join("_delta_log").is_dir() {
        return Err(Failure::Input(anyhow!(
            "{} is not a dataset; a run writes one to the folder dataset in its own",
            dir.display()
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .map_err(Failure::Run)?;
    runtime.block_on(work).map_err(|error| classify(error.into()))
}

/// Opens a session for a pipeline file and checks its columns, every problem at its line.
fn open<'a>(
    file: &'a PipelineFile,
    open: impl FnOnce(&'a Pipeline) -> gristmill_run::Result<Session<'a>>,
) -> Result<Session<'a>, Failure> {
    let session = open(&file.pipeline).map_err(|error| failure::at(file, error))?;
    let problems = file.check_columns(session.schema());
    if problems.is_empty() {
        Ok(session)
    } else {
        Err(problems.into())
    }
}
