//! `gristmill check`: what a run would do.

use std::fmt::Write;

use gristmill_run::check::Check;
use gristmill_run::{Error, Session};

use super::open;
use crate::args::CheckArgs;
use crate::failure::Failure;
use crate::printer::{Printer, bytes, thousands};
use crate::settings::PipelineFile;

/// Connects and prints what a run would do.
pub(super) fn run(args: &CheckArgs, printer: &Printer) -> Result<(), Failure> {
    let file = PipelineFile::read(&args.file)?;
    let session = open(&file, Session::connect)?;
    let check = session.check().map_err(|error| file.failure(error))?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = report(&mut text, &check, file.pipeline.batch_rows);
    printer.data(&text)?;
    match check.memory {
        Some(memory) if !memory.holds() => {
            let (budget, needed) = (memory.budget, memory.base + memory.model);
            let ways = Vec::new();
            Err(file.failure(Error::Memory { budget, needed, ways }))
        }
        _ => Ok(()),
    }
}

fn report(out: &mut String, check: &Check, batch_rows: u64) -> std::fmt::Result {
    writeln!(out, "Source  {}", check.source)?;
    writeln!(out)?;
    let width = check
        .columns
        .iter()
        .map(|c| c.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(6);
    writeln!(out, "{:<width$}  {:<24}  Here", "Column", "In the database")?;
    for column in &check.columns {
        writeln!(
            out,
            "{:<width$}  {:<24}  {}",
            column.name, column.database_type, column.arrow_type
        )?;
    }
    writeln!(out)?;
    match check.estimated_rows {
        Some(rows) => {
            let batches = rows.div_ceil(batch_rows.max(1));
            writeln!(out, "Rows     about {}", thousands(rows))?;
            writeln!(
                out,
                "Batches  about {}, of {} rows each",
                thousands(batches),
                thousands(batch_rows)
            )?;
        }
        None => writeln!(out, "Batches  of {} rows each", thousands(batch_rows))?,
    }
    for range in &check.ranges {
        writeln!(out, "  {:>6}  {}", range.number, range.bounds)?;
    }
    if check.more_ranges {
        writeln!(out, "       …")?;
    }
    writeln!(out)?;
    let (Some(size), Some(memory)) = (check.size, check.memory) else {
        return writeln!(
            out,
            "Features and classes are known once a run has fitted them; the memory too."
        );
    };
    writeln!(out, "Features {}", thousands(size.features as u64))?;
    writeln!(out, "Classes  {}", thousands(size.classes as u64))?;
    writeln!(
        out,
        "Memory   {} a model, {} beside it, of {}:\n         {}",
        bytes(memory.model),
        bytes(memory.base),
        bytes(memory.budget),
        if memory.holds() {
            format!("{} of {} models advance together", memory.together, memory.models)
        } else {
            "does not hold".to_owned()
        }
    )
}
