//! `gristmill verify`: counts and hashes the batches of a dataset again.

use std::fmt::Write;

use anyhow::anyhow;
use gristmill_data::verify::{Difference, Found, Verified, verify_files};
use gristmill_learn::registry::built_in;
use gristmill_run::Session;

use super::open::{on_dataset, open};
use crate::args::VerifyArgs;
use crate::failure::{self, Failure};
use crate::printer::{Printer, counted, thousands};
use gristmill_run::report::named;
use gristmill_run::settings::PipelineFile;
use gristmill_run::settings::diagnose::{WIDTH, wrap};

/// Compares the dataset's files with its records, and the database too where a pipeline is given.
pub(super) fn run(args: &VerifyArgs, printer: &Printer) -> Result<(), Failure> {
    let dataset = &args.dataset;
    // Whether it is a dataset at all is told before a pipeline is asked for.
    on_dataset(dataset, async { Ok(()) })?;
    let file = args.pipeline.as_deref();
    let file = file
        .map(|path| PipelineFile::read(path, &built_in()))
        .transpose()?;
    let session = match &file {
        Some(file) => Some((file, open(file, Session::connect, printer)?)),
        None => None,
    };
    let mut found = vec![("files", on_dataset(dataset, verify_files(dataset))?)];
    if let Some((file, session)) = session {
        let verified = session.verify(dataset, printer);
        found.push((
            file.pipeline.source.url.noun(),
            verified.map_err(|error| failure::at(file, error))?,
        ));
    }
    let mut text = String::new();
    for (against, verified) in &found {
        // Writing to a String cannot fail.
        let _ = report(&mut text, verified, against);
    }
    printer.data(&text)?;
    let differ = found.iter().filter(|(_, verified)| !verified.same());
    let differ: Vec<&str> = differ.map(|(against, _)| *against).collect();
    if differ.is_empty() {
        return Ok(());
    }
    Err(Failure::Run(anyhow!(
        "the log of {} and the {} do not agree; restore what was changed, or delete the folder to pull the rows again",
        dataset.display(),
        differ.join(" and the ")
    )))
}

fn report(out: &mut String, verified: &Verified, against: &str) -> std::fmt::Result {
    for difference in &verified.differences {
        write_difference(out, difference)?;
    }
    for (path, why) in &verified.replaced {
        let file = format!("{} is not as it was committed: {why}", path.display());
        writeln!(out, "{}", wrap(&file, WIDTH))?;
    }
    if verified.more {
        writeln!(
            out,
            "There are rows of no batch in the {against}: after the last key, or without a key."
        )?;
    }
    if !verified.whole {
        writeln!(
            out,
            "The rows of all files together do not have the hash of the dataset."
        )?;
    }
    if verified.cleaned_up > 0 {
        let cleaned_up = format!(
            "Another tool cleaned up the log: {} {} missing, for which a checkpoint stands.",
            counted(verified.cleaned_up, "entry"),
            if verified.cleaned_up == 1 { "is" } else { "are" },
        );
        writeln!(out, "{}", wrap(&cleaned_up, WIDTH))?;
    }
    if verified.unrecorded > 0 {
        let before = format!(
            "With that went the records of {}: {}",
            match verified.unrecorded {
                1 => "batch 0".to_owned(),
                unrecorded => format!("batches 0 to {}", unrecorded - 1),
            },
            if against == "files" {
                "their rows were compared only together with all others."
            } else {
                "they were not compared."
            }
        );
        writeln!(out, "{}", wrap(&before, WIDTH))?;
    }
    writeln!(
        out,
        "{} with {} compared with the {against}: {}",
        counted(verified.batches, "batch"),
        counted(verified.rows, "row"),
        match verified.differences.len() as u64 {
            0 if verified.same() => "no difference".to_owned(),
            0 if !verified.replaced.is_empty() => "the same rows in other files".to_owned(),
            1 => "1 differs".to_owned(),
            differ => format!("{} differ", thousands(differ)),
        }
    )
}

fn write_difference(out: &mut String, difference: &Difference) -> std::fmt::Result {
    let batch = &difference.batch;
    let head = format!("Batch {}, {}", batch.number, batch.bounds);
    writeln!(out, "{}", wrap(&head, WIDTH))?;
    writeln!(
        out,
        "  then  {:>13} {:<4}  {}",
        thousands(batch.rows_kept),
        named(batch.rows_kept, "row"),
        batch.hash
    )?;
    match &difference.found {
        Found::Rows { rows, hash } => {
            writeln!(
                out,
                "  now   {:>13} {:<4}  {hash}",
                thousands(*rows),
                named(*rows, "row")
            )
        }
        Found::Unreadable(why) => {
            let why = wrap(why, WIDTH - 8).replace('\n', "\n        ");
            writeln!(out, "  now   {why}")
        }
    }
}
