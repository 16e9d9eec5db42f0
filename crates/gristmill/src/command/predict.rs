//! `gristmill predict`: the most likely labels of the rows of a file or a query.

use std::path::PathBuf;

use anyhow::anyhow;
use gristmill_data::budget::RowBudget;
use gristmill_data::settings::{KeyColumns, SourceSettings, SourceUrl, TextReading};
use gristmill_data::sink::{IfExists, is_database};
use gristmill_data::source::Notice;
use gristmill_data::source::open::default_query;
use gristmill_data::source_url::{has_scheme, may_hold_password};
use gristmill_learn::registry::built_in;
use gristmill_run::Error;
use gristmill_run::budget::Budget;
use gristmill_run::event::{Event, Observe, Warning};
use gristmill_run::predict::{
    Destination, Origin, OutputFormat, Predicted, Predictor, TableDestination, TextFormat,
};
use gristmill_run::settings::PipelineFile;

use crate::args::{self, PredictArgs};
use crate::failure::{self, Failure, classify};
use crate::printer::{Printer, counted, thousands};

/// The usual rows of a batch.
const BATCH_ROWS: u64 = 100_000;

/// Predicts rows into a file, a table or the standard output.
pub(super) fn run(args: &PredictArgs, printer: &Printer) -> Result<(), Failure> {
    printer.stop_on_signals()?;
    let file = args
        .pipeline
        .as_deref()
        .map(|file| PipelineFile::read(file, &built_in()));
    let file = file.transpose()?;
    let failed = |error| match &file {
        Some(file) => failure::at(file, error),
        None => classify(error),
    };
    let origin = origin(args, file.as_ref())?;
    let (output, place) = destination(args, printer)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let budget = Budget::set_by("--memory", args.memory);
    let predictor =
        Predictor::open(&args.model, args.top as usize, threads, &budget, &built_in()).map_err(failed)?;
    let predicted = predictor
        .with_prefix(&args.prefix)
        .strict(args.strict)
        .predict(&origin, output, printer);
    let predicted = match predicted {
        // They have seen enough.
        Err(Error::NobodyReads) => return Ok(()),
        predicted => predicted.map_err(failed)?,
    };
    for (file, swallowed) in &predicted.swallowed {
        printer.event(Event::Warning(Warning::Noticed(Notice::SwallowedRows {
            file: file.display().to_string(),
            rows: swallowed.rows,
            first_line: swallowed.first.0,
            last_line: swallowed.first.1,
        })));
    }
    unlike(&predicted, printer);
    printer.note(&outcome(&predicted, &place));
    Ok(())
}

/// How far the rows are unlike those of the training.
fn unlike(predicted: &Predicted, printer: &Printer) {
    for unseen in &predicted.unseen {
        let why = unseen.to_string();
        if unseen.too_many() {
            printer.event(Event::Warning(Warning::Unlike { why }));
        } else {
            printer.note(&why);
        }
    }
    for outside in &predicted.outside {
        printer.note(&outside.to_string());
    }
}

/// What was done.
fn outcome(predicted: &Predicted, place: &str) -> String {
    let before = predicted.before.unwrap_or_default();
    if predicted.was_complete {
        return format!(
            "{} of this prediction are in {place} already, and nothing was to be done; --fresh predicts again",
            counted(before, "row")
        );
    }
    let before = match before {
        0 => String::new(),
        before => format!(", after {} before", thousands(before)),
    };
    let skipped = match predicted.skipped {
        0 => String::new(),
        n => format!(
            ", {} of them without a prediction (unseen = \"skip\")",
            thousands(n)
        ),
    };
    format!(
        "{} written to {place}{before}{skipped}",
        counted(predicted.rows, "row")
    )
}

/// Where the rows come from.
fn origin(args: &PredictArgs, file: Option<&PipelineFile>) -> Result<Origin, Failure> {
    if let Some(file) = file {
        return Ok(Origin::Query {
            settings: Box::new(file.pipeline.source.clone()),
            batch_rows: args.batch_rows.unwrap_or(file.pipeline.batch_rows),
        });
    }
    let input = args.input.as_deref().unwrap_or_default();
    if input == "-" {
        return Ok(Origin::StandardInput(match args.input_format {
            args::InputFormat::Csv => TextFormat::Csv,
            args::InputFormat::Jsonl => TextFormat::JsonLines,
        }));
    }
    let of_files = ["csv:", "jsonl:", "parquet:", "delta:"]
        .iter()
        .any(|scheme| input.starts_with(scheme));
    // In their order, unless they are asked for as a database is.
    if of_files && args.query.is_none() && args.key.is_empty() {
        return Ok(Origin::Files(input.to_owned()));
    }
    if !has_scheme(input) {
        refuse_passwords(input)?;
        if args.query.is_some() {
            return Err(Failure::Input(anyhow!(
                "--query is for the URL of a database or of files, such as csv:{input}; the input is a plain file"
            )));
        }
        return Ok(Origin::Files(input.to_owned()));
    }
    let url = SourceUrl::from(input);
    let query = args.query.clone().or_else(|| default_query(&url));
    let query = query.ok_or_else(|| {
        Failure::Input(anyhow!(
            "{url} is a database: --query says which of its rows, --query \"SELECT … FROM …\""
        ))
    })?;
    if args.key.is_empty() {
        return Err(Failure::Input(anyhow!(
            "--key names the columns of the query that tell its rows apart, by which it is read in ranges: --key id"
        )));
    }
    Ok(Origin::Query {
        settings: Box::new(SourceSettings {
            url,
            query: query.into(),
            key: KeyColumns::new(args.key.clone()),
            text: TextReading::default(),
            memory: RowBudget::ample(),
        }),
        batch_rows: args.batch_rows.unwrap_or(BATCH_ROWS),
    })
}

/// Refuses what is no file and may hold a password, without repeating it.
fn refuse_passwords(text: &str) -> Result<(), Failure> {
    if !may_hold_password(text) || std::path::Path::new(text).exists() {
        return Ok(());
    }
    let url = SourceUrl::from(text);
    url.usable().map_err(|error| Failure::Input(error.into()))
}

/// Where the predictions go, and what that is called: what the name of the output says, unless `--output-format` says otherwise.
fn destination(args: &PredictArgs, printer: &Printer) -> Result<(Destination, String), Failure> {
    let format = args.output_format.map(|format| match format {
        args::OutputFormat::Csv => OutputFormat::Csv,
        args::OutputFormat::Parquet => OutputFormat::Parquet,
        args::OutputFormat::Jsonl => OutputFormat::JsonLines,
        args::OutputFormat::Delta => OutputFormat::Delta,
    });
    let output = args.output.as_str();
    if is_database(output) {
        let url = SourceUrl::from(output);
        let Some(table) = args.table.clone() else {
            return Err(Failure::Input(anyhow!(
                "{url} is a database: --table says which of its tables"
            )));
        };
        let place = format!("table `{table}` of {url}");
        return Ok((Destination::Table(into_table(args, url, table)), place));
    }
    refuse_passwords(output)?;
    if args.table.is_some() {
        return Err(Failure::Input(anyhow!(
            "--table is for a database, and the output is a file; give the URL of one, such as sqlite:scores.db"
        )));
    }
    if output == "-" {
        let to = Destination::Stream {
            format: format.unwrap_or(OutputFormat::Csv),
            to: printer.rows(),
        };
        return Ok((to, "the standard output".to_owned()));
    }
    let (path, format) = match output.strip_prefix("delta:") {
        Some(folder) if format.is_none() => (PathBuf::from(folder), OutputFormat::Delta),
        _ => {
            let path = PathBuf::from(output);
            let format = format
                .map_or_else(|| OutputFormat::of(&path), Ok)
                .map_err(classify)?;
            (path, format)
        }
    };
    let to = Destination::Path {
        path,
        format,
        overwrite: args.overwrite,
    };
    Ok((to, output.to_owned()))
}

fn into_table(args: &PredictArgs, url: SourceUrl, table: String) -> TableDestination {
    TableDestination {
        url,
        table,
        key: args.key.clone(),
        if_exists: match args.if_exists {
            None | Some(args::IfExists::Fail) => IfExists::Fail,
            Some(args::IfExists::Append) => IfExists::Append,
            Some(args::IfExists::Replace) => IfExists::Replace,
            Some(args::IfExists::Upsert) => IfExists::Upsert,
        },
        fresh: args.fresh,
        batch_rows: args.batch_rows.unwrap_or(BATCH_ROWS),
    }
}
