//! `gristmill inspect`: what is in a model or a dataset, and where it came from.

use std::fmt::Write;
use std::path::Path;

use anyhow::anyhow;
use gristmill_data::table::{Ledger, TableVersion};
use gristmill_learn::label::Label;
use gristmill_learn::model::InputColumn;
use gristmill_learn::model::bundle::{Bundle, Provenance};
use gristmill_learn::registry::built_in;
use gristmill_run::predict::bundle_file;
use gristmill_run::report::metrics::{Best, Rows, Splits};
use gristmill_run::report::write_splits;
use gristmill_run::visible;
use serde::Deserialize;

use super::open::on_dataset;
use crate::args::InspectArgs;
use crate::failure::{Failure, classify};
use crate::printer::{Printer, counted, thousands};
use gristmill_run::settings::diagnose::{WIDTH, wrap};

/// Prints what is at a path.
pub(super) fn run(args: &InspectArgs, printer: &Printer) -> Result<(), Failure> {
    let path = &args.path;
    if !path.exists() {
        return Err(Failure::Input(anyhow!("{} does not exist", path.display())));
    }
    let text = if path.join("_delta_log").is_dir() {
        dataset(path)
    } else if path.is_dir() && !bundle_file(path).exists() {
        return Err(Failure::Input(anyhow!(
            "{} holds neither a model nor a dataset; a run writes them to the folders model and dataset in its own",
            path.display()
        )));
    } else {
        model(path)
    }?;
    printer.data(&text)
}

fn model(path: &Path) -> Result<String, Failure> {
    let file = bundle_file(path);
    let bundle = Bundle::read(&file, &built_in()).map_err(|e| classify(e.into()))?;
    let scored = Scored::of(&bundle.provenance).map_err(|error| {
        let why = format!("its provenance does not read as this version's: {error}");
        Failure::Input(anyhow!(
            "{} is not a readable gristmill model: {why}",
            file.display()
        ))
    })?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_model(&mut text, &file, &bundle, &scored);
    Ok(text)
}

/// The parts of a model's provenance that are [`gristmill_run::report::metrics`].
struct Scored {
    rows: Rows,
    best: Best,
    splits: Splits,
}

impl Scored {
    fn of(from: &Provenance) -> serde_json::Result<Self> {
        Ok(Self {
            rows: Rows::deserialize(&from.rows)?,
            best: Best::deserialize(&from.best)?,
            splits: Splits::deserialize(&from.metrics)?,
        })
    }
}

fn write_model(out: &mut String, file: &Path, bundle: &Bundle, scored: &Scored) -> std::fmt::Result {
    let (from, assembler) = (&bundle.provenance, &bundle.assembler);
    writeln!(out, "Model     {}", file.display())?;
    let features = counted(bundle.model.features() as u64, "feature");
    write!(out, "Kind      {}, {features}", bundle.model.kind())?;
    match assembler.label() {
        Label::Class(label) => writeln!(out, ", {}", counted(label.classes().len() as u64, "class"))?,
        Label::Number(_) => writeln!(out)?,
    }
    writeln!(out, "Written   by gristmill {}", from.gristmill)?;
    writeln!(out, "Settings  {}", from.settings_hash)?;
    writeln!(out, "Dataset   {}", from.dataset_hash)?;
    if let Some(earlier) = &from.warm_start {
        writeln!(out, "Started   from model {earlier}")?;
    }
    writeln!(out)?;
    writeln!(out, "{:<24}  {:<8}  {:>10}  type", "Feature", "encode", "columns")?;
    for encoder in assembler.encoders() {
        let width = thousands(u64::from(encoder.width()));
        let inputs = encoder.inputs();
        let columns: Vec<&str> = inputs.iter().map(|input| input.column).collect();
        let types: Vec<&str> = (columns.iter())
            .map(|column| {
                let known = bundle.input.iter().find(|input| input.name == *column);
                known.map_or("?", |input| &input.data_type)
            })
            .collect();
        writeln!(
            out,
            "{:<24}  {:<8}  {width:>10}  {}",
            visible::name(&columns.join(", ")),
            encoder.kind(),
            types.join(", ")
        )?;
    }
    write_profiles(out, &bundle.input)?;
    writeln!(out)?;
    let label = match assembler.label() {
        Label::Class(label) => {
            let classes = label.classes();
            let shown: Vec<&str> = classes.iter().take(8).map(String::as_str).collect();
            let more = if classes.len() > shown.len() { ", …" } else { "" };
            let shown = shown.join(", ");
            format!(
                "{}: {}{more}",
                visible::name(label.column()),
                visible::name(&shown)
            )
        }
        Label::Number(label) => format!(
            "{}: a number, mean {:.4}, standard deviation {:.4}",
            visible::name(label.column()),
            label.mean(),
            label.std()
        ),
    };
    let label = wrap(&label, WIDTH - 10).replace('\n', "\n          ");
    writeln!(out, "Label     {label}")?;
    let params = scored.best.params.columns();
    let params: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    writeln!(out, "Best      {}", params.join(", "))?;
    writeln!(out, "          {}", scored.best.fit())?;
    writeln!(
        out,
        "Rows      {} of the {} read",
        thousands(scored.rows.kept),
        thousands(scored.rows.read)
    )?;
    writeln!(out)?;
    write_splits(out, &scored.splits, None)
}

/// What the training rows have in each column.
fn write_profiles(out: &mut String, input: &[InputColumn]) -> std::fmt::Result {
    let profiles = input
        .iter()
        .filter_map(|column| Some((&column.name, column.profile.as_ref()?)));
    let mut heading = Some(format!("{:<24}  {:>8}  in the training rows", "Column", "null"));
    for (name, profile) in profiles {
        if let Some(heading) = heading.take() {
            writeln!(out)?;
            writeln!(out, "{heading}")?;
        }
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let frequent = profile.frequent.iter().take(3);
        let frequent: Vec<String> = frequent
            .map(|(value, share)| format!("{} {}", visible::name(value), percent(*share)))
            .collect();
        let held = match &profile.numbers {
            Some(numbers) => format!(
                "{} to {}, mean {:.4}, deviation {:.4}",
                numbers.min, numbers.max, numbers.mean, numbers.std
            ),
            None if frequent.is_empty() => "text".to_owned(),
            None => frequent.join(", "),
        };
        let nulls = percent(profile.nulls as f64 / profile.rows.max(1) as f64);
        let held = wrap(&held, WIDTH - 36).replace('\n', &format!("\n{:36}", ""));
        writeln!(out, "{:<24}  {nulls:>8}  {held}", visible::name(name))?;
    }
    Ok(())
}

fn dataset(path: &Path) -> Result<String, Failure> {
    let read = async {
        let ledger = Ledger::read(path).await?;
        let table = TableVersion::open_delta(path).await?;
        Ok::<_, gristmill_data::Error>((ledger, table))
    };
    let (ledger, table) = on_dataset(path, read)?;
    let ledger = ledger.ok_or_else(|| {
        Failure::Input(anyhow!(
            "{} is a Delta table, but gristmill did not write it",
            path.display()
        ))
    })?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_dataset(&mut text, path, &ledger, &table);
    let fresh = path.with_file_name("dataset.fresh");
    if path.file_name() == Some("dataset".as_ref()) && fresh.is_dir() {
        let _ = writeln!(
            text,
            "Fresh     {}: not complete, gristmill run --fresh goes on with it",
            fresh.display()
        );
    }
    Ok(text)
}

fn write_dataset(out: &mut String, path: &Path, ledger: &Ledger, table: &TableVersion) -> std::fmt::Result {
    let totals = &ledger.record.totals;
    writeln!(out, "Dataset   {}", path.display())?;
    let state = if ledger.record.complete {
        "complete"
    } else {
        "unfinished: run the pipeline again"
    };
    writeln!(out, "Version   {}, {state}", table.version)?;
    writeln!(out, "Source    {}", ledger.identity.source())?;
    writeln!(out, "Key       {}", ledger.identity.key())?;
    writeln!(out, "Content   {}", totals.hash)?;
    writeln!(
        out,
        "Rows      {} in {}; {} read in {}, {} of them empty",
        thousands(table.rows),
        counted(table.files.len() as u64, "file"),
        thousands(totals.rows_read),
        counted(totals.batches_read, "batch"),
        thousands(totals.batches_empty)
    )?;
    let dropped = totals.dropped;
    writeln!(
        out,
        "Dropped   {} null, {} filter, {} duplicate",
        thousands(dropped.null),
        thousands(dropped.filter),
        thousands(dropped.duplicate)
    )?;
    // A name is as long as its source makes it, and may have no place to break it at.
    writeln!(out, "Snapshots {}, the last:", totals.snapshots)?;
    let name: Vec<char> = totals.last_snapshot.to_string().chars().collect();
    for piece in name.chunks(WIDTH - 10) {
        writeln!(out, "          {}", String::from_iter(piece))?;
    }
    writeln!(out)?;
    writeln!(out, "{:<24}  Type", "Column")?;
    for field in table.schema.fields() {
        writeln!(out, "{:<24}  {}", visible::name(field.name()), field.data_type())?;
    }
    Ok(())
}
