//! Fit: vocabularies, moments and classes from the training rows, in one scan.

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use gristmill_data::durable::NewFile;
use gristmill_data::table::TableVersion;
use gristmill_learn::features::{FitPipeline, Fitted};
use gristmill_learn::label::Label;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Teller;
use crate::engine::Engine;
use crate::error::{Result, broken_state, io};
use crate::event::{Event, Observe};
use crate::report::thousands;
use crate::settings::Pipeline;

/// The fit of a pipeline.
pub(crate) fn estimator(pipeline: &Pipeline) -> FitPipeline {
    FitPipeline::new(
        &pipeline.features,
        &pipeline.label,
        &pipeline.split,
        pipeline.folds(),
    )
}

/// Fits in one scan and keeps the state; returns what was fitted with the seconds that took.
pub(crate) fn run(
    engine: &dyn Engine,
    pipeline: &Pipeline,
    dataset: &TableVersion,
    state_file: &Path,
    observe: &dyn Observe,
) -> Result<(Fitted, f64)> {
    let teller = Teller::start(observe, "fit", "rows", Some(dataset.rows));
    let estimator = estimator(pipeline);
    let state = engine.fold(dataset, &estimator, &|done| teller.progress(done, String::new()))?;
    let fitted = estimator.fitted(&state)?;
    write_state(state_file, &state)?;
    if fitted.rare_classes > 0 {
        observe.event(Event::Detail(format!(
            "label `{}`: {} classes with fewer than {} training rows ({} rows)",
            pipeline.label.column, fitted.rare_classes, pipeline.label.min_rows, fitted.rare_rows
        )));
    }
    if let Some((class, rows)) = &fitted.fewer_rows_than_folds {
        let folds = pipeline.folds();
        observe.event(Event::Warning(format!(
            "class \"{class}\" has {rows} training rows, fewer than search.folds = {folds}, so some folds do without it; \
             set label.min_rows to {folds} or more to leave such classes out"
        )));
    }
    let label = match fitted.assembler.label() {
        Label::Class(label) => format!("{} classes", label.classes().len()),
        Label::Number(label) => format!("label {:.4} ± {:.4}", label.mean(), label.std()),
    };
    let features = thousands(u64::from(fitted.assembler.width()));
    let seconds = teller.finish(format!("{features} features, {label}"));
    Ok((fitted, seconds))
}

/// What an earlier run fitted.
pub(crate) fn reload(pipeline: &Pipeline, state_file: &Path) -> Result<Fitted> {
    Ok(estimator(pipeline).fitted(&read_state(state_file)?)?)
}

fn write_state(path: &Path, state: &RecordBatch) -> Result<()> {
    let file = NewFile::create(path)?;
    let output = file.output()?;
    let written = ArrowWriter::try_new(output, state.schema(), None).and_then(|mut writer| {
        writer.write(state)?;
        writer.close()
    });
    written.map_err(|error| file.why(broken_state(path, &error)))?;
    file.put()?;
    Ok(())
}

fn read_state(path: &Path) -> Result<RecordBatch> {
    let file = File::open(path).map_err(io(path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.build())
        .map_err(|e| broken_state(path, &e))?;
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    let batches = reader
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| broken_state(path, &e))?;
    concat_batches(&schema, &batches).map_err(|e| broken_state(path, &e))
}
