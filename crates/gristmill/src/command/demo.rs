//! `gristmill demo`: a synthetic database, and a pipeline run on it.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::run::run_file;
use crate::args::{DatasetArgs, DemoArgs};
use crate::demo;
use crate::failure::Failure;
use crate::printer::{Printer, counted};
use gristmill_learn::registry::built_in;
use gristmill_run::settings::PipelineFile;

/// The seed of the demo's data.
const SEED: u64 = 42;

/// Writes the database where it is not there yet, then runs the pipeline.
pub(super) fn run(args: &DemoArgs, printer: &Printer) -> Result<(), Failure> {
    let dir = &args.dir;
    fs::create_dir_all(dir)
        .with_context(|| format!("cannot create {}", dir.display()))
        .map_err(Failure::Run)?;
    // The size is in the name, so that another size is another database and another run.
    let database = dir.join(format!("musicbrainz-{}.db", args.rows));
    let pipeline = dir.join(format!("pipeline-{}.toml", args.rows));
    let run_dir = dir.join(format!("run-{}", args.rows));
    generate(&database, args.rows, printer)?;
    fs::write(&pipeline, demo::pipeline(args.rows, &database, &run_dir))
        .with_context(|| format!("cannot write {}", pipeline.display()))
        .map_err(Failure::Run)?;
    let dataset = DatasetArgs { fresh: false };
    let outcome = run_file(
        &PipelineFile::read(&pipeline, &built_in())?,
        &dataset,
        None,
        printer,
    )?;
    printer.data(&outcome.summary)?;
    printer.note(&format!(
        "\nAll of it is in {}. The pipeline is {}: change it and run\n  gristmill run {}",
        dir.display(),
        pipeline.display(),
        pipeline.display()
    ));
    Ok(())
}

fn generate(database: &Path, rows: u64, printer: &Printer) -> Result<(), Failure> {
    if database.exists() {
        printer.note(&format!("{} is there already", database.display()));
        return Ok(());
    }
    printer.note(&format!(
        "Inventing {} in {}",
        counted(rows, "artist"),
        database.display()
    ));
    let summary = demo::generate(database, rows, SEED, &mut |_| {}).map_err(Failure::Run)?;
    printer.note(&summary.to_string());
    Ok(())
}
