//! Opens what a command works on: a dataset, or a session of a pipeline file.

use std::path::Path;

use anyhow::{Context, anyhow};
use gristmill_run::Session;
use gristmill_run::event::Observe;
use gristmill_run::settings::{Pipeline, PipelineFile};

use crate::args::DatasetArgs;
use crate::failure::{self, Failure, classify};
use crate::printer::Printer;

/// Runs work on a dataset, which must be one.
pub(super) fn on_dataset<T>(
    dir: &Path,
    work: impl Future<Output = gristmill_data::Result<T>>,
) -> Result<T, Failure> {
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

/// Opens a session to work on the dataset that is there or, where that is asked for, on a fresh one.
pub(super) fn on<'a>(
    file: &'a PipelineFile,
    dataset: &DatasetArgs,
    printer: &Printer,
) -> Result<Session<'a>, Failure> {
    match dataset.fresh {
        true => open(file, Session::refresh, printer),
        false => open(file, Session::open, printer),
    }
}

/// Opens a session for a pipeline file and checks its columns, every problem at its line.
pub(super) fn open<'a>(
    file: &'a PipelineFile,
    open: impl FnOnce(&'a Pipeline, &dyn Observe) -> gristmill_run::Result<Session<'a>>,
    printer: &Printer,
) -> Result<Session<'a>, Failure> {
    let session = open(&file.pipeline, printer).map_err(|error| failure::at(file, error))?;
    let problems = file.check_columns(session.schema());
    if problems.is_empty() {
        Ok(session)
    } else {
        Err(problems.into())
    }
}
