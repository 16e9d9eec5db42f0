//! `gristmill check`: what a run would do.

use std::fmt::Write;

use gristmill_data::source::KeyAccess;
use gristmill_learn::registry::built_in;
use gristmill_run::check::{Check, Load};
use gristmill_run::event::{Event, Observe};
use gristmill_run::report::chosen;
use gristmill_run::{Session, visible};

use super::open::open;
use crate::args::CheckArgs;
use crate::failure::{self, Failure};
use crate::printer::{Printer, bytes, counted, duration, thousands};
use gristmill_run::settings::diagnose::{WIDTH, wrap};
use gristmill_run::settings::{Pipeline, PipelineFile};

/// Connects and prints what a run would do.
pub(super) fn run(args: &CheckArgs, printer: &Printer) -> Result<(), Failure> {
    let file = PipelineFile::read(&args.file, &built_in())?;
    let session = open(&file, Session::connect, printer)?;
    let check = session.check().map_err(|error| failure::at(&file, error))?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = report(&mut text, &check, &file.pipeline);
    printer.data(&text)?;
    for warning in check.warnings {
        printer.event(Event::Warning(warning));
    }
    match check.memory {
        Some(memory) if !memory.may_shrink => memory
            .refused
            .map_or(Ok(()), |refused| Err(failure::at(&file, refused))),
        _ => Ok(()),
    }
}

fn report(out: &mut String, check: &Check, pipeline: &Pipeline) -> std::fmt::Result {
    let batch_rows = pipeline.batch_rows;
    writeln!(out, "Source  {}", check.source)?;
    writeln!(out)?;
    let width = check
        .columns
        .iter()
        .map(|c| visible::name(&c.name).chars().count())
        .max()
        .unwrap_or(0)
        .max(6);
    let there = format!("In the {}", pipeline.source.url.noun());
    writeln!(out, "{:<width$}  {there:<24}  Here", "Column")?;
    for column in &check.columns {
        writeln!(
            out,
            "{:<width$}  {:<24}  {}",
            visible::name(&column.name),
            visible::name(&column.database_type),
            column.arrow_type
        )?;
    }
    writeln!(out)?;
    if let Some(rows) = check.estimate.rows {
        let size = check.estimate.bytes.map(bytes);
        let size = size.map_or_else(String::new, |size| format!(", about {size}"));
        writeln!(out, "Rows     about {}{size}", thousands(rows))?;
    }
    let of = format!("of {} each", counted(batch_rows, "row"));
    match check.load.batches {
        Some(batches) => writeln!(out, "Batches  about {}, {of}", thousands(batches))?,
        None => writeln!(out, "Batches  {of}")?,
    }
    for range in &check.ranges {
        writeln!(out, "  {:>6}  {}", range.number, range.bounds)?;
    }
    if check.more_ranges {
        writeln!(out, "       …")?;
    }
    field(out, "Load", &load(&check.load))?;
    field(out, "Time", &time(check))?;
    writeln!(out)?;
    choice(out, check)?;
    let (Some(size), Some(memory)) = (check.size, &check.memory) else {
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
        bytes(memory.beside),
        bytes(memory.budget),
        if memory.refused.is_none() {
            format!(
                "{} of {} advance together",
                thousands(memory.together),
                counted(memory.models, "model")
            )
        } else if memory.may_shrink {
            "fits only if duplicate rows or columns can be merged".to_owned()
        } else {
            "does not hold".to_owned()
        }
    )
}

/// What the run chooses, or chose.
fn choice(out: &mut String, check: &Check) -> std::fmt::Result {
    if let Some(choice) = &check.chosen {
        writeln!(out, "Chosen by the training rows")?;
        for line in chosen(choice) {
            writeln!(out, "  {}", wrap(&line, WIDTH - 4).replace('\n', "\n    "))?;
        }
        return writeln!(out);
    }
    let (columns, model) = &check.open;
    if !columns.is_empty() {
        let columns: Vec<_> = columns.iter().map(|column| visible::name(column)).collect();
        let text = format!(
            "the run chooses how these columns are encoded, by its training rows: {}",
            columns.join(", ")
        );
        field(out, "Open", &text)?;
    }
    if *model {
        field(
            out,
            "Open",
            "the run chooses the model, a classifier or a regression, by the label",
        )?;
    }
    match columns.is_empty() && !model {
        true => Ok(()),
        false => writeln!(out),
    }
}

/// A name in its column, and as many lines of text beside it as that takes.
fn field(out: &mut String, name: &str, text: &str) -> std::fmt::Result {
    let text = wrap(text, WIDTH - 9).replace('\n', &format!("\n{:9}", ""));
    writeln!(out, "{name:<9}{text}")
}

/// What the database will have to do.
fn load(load: &Load) -> String {
    let connections = match load.connections {
        1 => "1 connection".to_owned(),
        connections => format!("{connections} connections on one snapshot"),
    };
    let scans = match (&load.access, load.boundaries) {
        (KeyAccess::Files, _) => return "no database load: the source is files".to_owned(),
        (KeyAccess::Once(why), _) => {
            return format!(
                "1 connection; one statement, whose rows are kept in a temporary file, because the query has {why}"
            );
        }
        (KeyAccess::Index, false) => {
            "one scan of the query along the key's index, and no other query".to_owned()
        }
        (KeyAccess::Index, true) => {
            "one scan of the query along the key's index, and one of the keys alone, for where batches end"
                .to_owned()
        }
        (KeyAccess::Sort(_), boundaries) => {
            let looked_for = if boundaries {
                ", and another to find where it ends"
            } else {
                ""
            };
            format!("each batch is a scan and a sort of the whole query{looked_for}")
        }
    };
    format!("{connections}; {scans}")
}

/// How long reading should take.
fn time(check: &Check) -> String {
    let sample = check.sample;
    if check.ranges.is_empty() {
        return "none: the query has no rows".to_owned();
    }
    if sample.rows == 0 {
        return "not known: no row came in the two seconds that were waited".to_owned();
    }
    let pace = |amount: u64| (amount as f64 / sample.seconds.max(1e-9)) as u64;
    let seconds = check.seconds().map(duration).map_or_else(String::new, |seconds| {
        format!("about {seconds} to read over one connection, ")
    });
    format!(
        "{seconds}at {} rows/s and {}/s: an estimate from the first {}",
        thousands(pace(sample.rows)),
        bytes(pace(sample.bytes)),
        counted(sample.rows, "row")
    )
}
