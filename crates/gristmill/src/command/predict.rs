//! `gristmill predict`: the most likely labels of the rows of a file.

use std::path::PathBuf;

use gristmill_data::source::Notice;
use gristmill_learn::registry::built_in;
use gristmill_run::Error;
use gristmill_run::budget::Budget;
use gristmill_run::event::{Event, Observe, Warning};
use gristmill_run::predict::{Destination, OutputFormat, Predictor};

use crate::args::{self, PredictArgs};
use crate::failure::{Failure, classify};
use crate::printer::{Printer, counted, thousands};

/// Predicts a file into another.
pub(super) fn run(args: &PredictArgs, printer: &Printer) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let budget = Budget::set_by("--memory", args.memory);
    let predictor =
        Predictor::open(&args.model, args.top as usize, threads, &budget, &built_in()).map_err(classify)?;
    let output = destination(args, printer).map_err(classify)?;
    let predicted = predictor
        .with_prefix(&args.prefix)
        .predict_file(&args.input, output, &mut |_| {});
    let predicted = match predicted {
        // They have seen enough.
        Err(Error::NobodyReads) => return Ok(()),
        predicted => predicted.map_err(classify)?,
    };
    if let Some(swallowed) = predicted.swallowed {
        printer.event(Event::Warning(Warning::Noticed(Notice::SwallowedRows {
            file: args.input.display().to_string(),
            rows: swallowed.rows,
            first_line: swallowed.first.0,
            last_line: swallowed.first.1,
        })));
    }
    let skipped = match predicted.skipped {
        0 => String::new(),
        n => format!(
            ", {} of them without a prediction (unseen = \"skip\")",
            thousands(n)
        ),
    };
    let place = match args.output.as_str() {
        "-" => "the standard output",
        place => place,
    };
    printer.note(&format!(
        "{} written to {place}{skipped}",
        counted(predicted.rows, "row")
    ));
    Ok(())
}

/// Where the predictions go: what the name of the output says, unless `--output-format` says otherwise.
fn destination(args: &PredictArgs, printer: &Printer) -> gristmill_run::Result<Destination> {
    let format = args.output_format.map(|format| match format {
        args::OutputFormat::Csv => OutputFormat::Csv,
        args::OutputFormat::Parquet => OutputFormat::Parquet,
        args::OutputFormat::Jsonl => OutputFormat::JsonLines,
        args::OutputFormat::Delta => OutputFormat::Delta,
    });
    if args.output == "-" {
        return Ok(Destination::Stream {
            format: format.unwrap_or(OutputFormat::Csv),
            to: printer.rows(),
        });
    }
    let (path, format) = match args.output.strip_prefix("delta:") {
        Some(folder) if format.is_none() => (PathBuf::from(folder), OutputFormat::Delta),
        _ => {
            let path = PathBuf::from(&args.output);
            let format = format.map_or_else(|| OutputFormat::of(&path), Ok)?;
            (path, format)
        }
    };
    Ok(Destination::Path {
        path,
        format,
        overwrite: args.overwrite,
    })
}
