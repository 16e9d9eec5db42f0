//! `gristmill pull`: the dataset of a pipeline, and no more.

use gristmill_learn::registry::built_in;

use super::open::on;
use crate::args::PullArgs;
use crate::failure::{self, Failure};
use crate::printer::Printer;
use gristmill_run::settings::PipelineFile;

/// Brings the dataset of a pipeline to completion.
pub(super) fn run(args: &PullArgs, printer: &Printer) -> Result<(), Failure> {
    let file = PipelineFile::read(&args.file, &built_in())?;
    printer.stop_on_signals()?;
    let session = on(&file, &args.dataset, printer)?;
    session.pull(printer).map_err(|error| failure::at(&file, error))?;
    printer.note(&format!(
        "The dataset is {}",
        file.pipeline.run.dir.join("dataset").display()
    ));
    Ok(())
}
