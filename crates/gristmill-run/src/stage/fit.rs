//! Fit: vocabularies, moments and classes from the training rows, in one scan.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use gristmill_data::durable::NewFile;
use gristmill_data::parquet_file::{BatchLimit, Footer};
use gristmill_learn::features::{FIT_FORMAT, FitPipeline, Fitted};
use gristmill_learn::label::Label;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::{Spent, Stage, Teller, Work};
use crate::directory::Directory;
use crate::error::{Result, broken_state, io};
use crate::event::{Detail, Event, LabelSummary, Pace, StageResult, Warning};
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

/// The fit of a pipeline to a dataset.
pub(crate) struct Fit<'a> {
    pipeline: &'a Pipeline,
    dataset_hash: String,
}

impl<'a> Fit<'a> {
    /// The fit to the dataset with this content.
    pub(crate) fn new(pipeline: &'a Pipeline, dataset_hash: String) -> Self {
        Self {
            pipeline,
            dataset_hash,
        }
    }
}

impl Stage for Fit<'_> {
    type Made = Fitted;

    const NAME: &'static str = "fit";

    const FORMAT: u32 = FIT_FORMAT;

    fn shape(&self) -> Value {
        json!([self.dataset_hash, self.pipeline.shaping_of_features()])
    }

    fn files(&self, dir: &Directory) -> Vec<PathBuf> {
        vec![dir.fit()]
    }

    fn reload(&self, dir: &Directory) -> Result<Fitted> {
        Ok(estimator(self.pipeline).fitted(&read_state(&dir.fit())?)?)
    }

    /// Fits in one scan and keeps the state.
    fn run(&self, dir: &Directory, work: &Work<'_>) -> Result<(Fitted, Spent)> {
        let (pipeline, dataset, observe) = (self.pipeline, work.dataset.rows(), work.observe);
        let teller = Teller::start(observe, Self::NAME, "rows", Some(dataset.rows));
        let estimator = estimator(pipeline);
        let progress = |done| teller.progress(done, Pace::Steady);
        let state = work.engine.fold(dataset, estimator.pass(), &progress)?;
        let fitted = estimator.fitted(&state)?;
        write_state(&dir.fit(), &state)?;
        if fitted.rare_classes > 0 {
            observe.event(Event::Detail(Detail::RareClasses {
                label: pipeline.label.column.clone(),
                classes: fitted.rare_classes,
                min_rows: pipeline.label.min_rows,
                rows: fitted.rare_rows,
            }));
        }
        if let Some((class, rows)) = &fitted.fewer_rows_than_folds {
            let folds = pipeline.folds();
            observe.event(Event::Warning(Warning::RareInFolds {
                class: class.clone(),
                rows: *rows,
                folds,
            }));
        }
        for encoder in fitted.assembler.encoders() {
            if let Some(why) = encoder.uninformative() {
                let inputs = encoder.inputs().into_iter();
                observe.event(Event::Warning(Warning::UninformativeFeature {
                    columns: inputs.map(|input| input.column.to_owned()).collect(),
                    encode: encoder.kind(),
                    why,
                }));
            }
        }
        let label = match fitted.assembler.label() {
            Label::Class(label) => LabelSummary::Classes(label.classes().len() as u64),
            Label::Number(label) => LabelSummary::Number {
                mean: label.mean(),
                std: label.std(),
            },
        };
        let features = u64::from(fitted.assembler.width());
        let seconds = teller.finish(StageResult::Fitted { features, label });
        let rows = dataset.rows;
        Ok((fitted, Spent { seconds, rows }))
    }
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
    let read = || {
        let footer = Footer::read(&file)?;
        let all = BatchLimit {
            rows: usize::MAX,
            bytes: u64::MAX,
        };
        let rows = footer.rows(Arc::new(file), None, None, all);
        let batches = rows.collect::<Result<Vec<_>, _>>()?;
        concat_batches(footer.schema(), &batches).map_err(|e| e.to_string())
    };
    read().map_err(|why| broken_state(path, &why))
}
