//! Prediction: the rows of a file with the most likely classes, or the predicted number, beside them.

mod conform;
mod files;
mod input;
mod output;
mod rows;

use std::fs;
use std::path::{Path, PathBuf};

use gristmill_data::budget::value_bytes;
use gristmill_data::csv_quotes::Swallowed;
use gristmill_data::guard::{caught, stopped};
use gristmill_data::parquet_file::BatchLimit;
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::contract::step::{Transformed, Transformer};
use gristmill_learn::model::bundle::Bundle;
use gristmill_learn::settings::LabelKind;
use rayon::prelude::*;

use crate::budget::{Budget, Held};
use crate::engine::MOST_GROWTH;
use crate::error::{Error, Result};
use files::{Format, bad};
use input::Input;
use output::Sink;

pub use output::{Destination, Format as OutputFormat};
pub use rows::{Predictions, step_from_spec};

/// Rows predicted at a time, and bytes of them, at most.
const BATCH_ROWS: u64 = 8192;
const BATCH_BYTES: u64 = 1 << 20;
/// And bytes at least, whatever the budget.
const LEAST_BATCH_BYTES: u64 = 32 << 10;

/// Times that the file of a model is in memory: as it is, and as what it is read into.
const MODEL_TIMES: u64 = 3;

/// One part in so many of what is left is for a row group of the output, which is in memory until it ends.
const ROW_GROUP_PART: u64 = 8;

/// A model that predicts the rows of files, on so many threads within a budget.
pub struct Predictor {
    predictions: Predictions,
    threads: usize,
    budget: Budget,
    _held: [Held; 2],
}

/// What a prediction wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Predicted {
    /// Rows read and written.
    pub rows: u64,
    /// Rows among them without a prediction.
    pub skipped: u64,
    /// Rows of a CSV file that look as if they had swallowed others.
    pub swallowed: Option<Swallowed>,
}

impl Predictor {
    /// Reads a bundle, whose parts are of these kinds, from its file or the folder it is in, to predict on so many threads within a budget.
    ///
    /// # Errors
    /// When it is no bundle, or none of this version; a regression is asked for more than one prediction; or it does not fit
    /// into the budget.
    pub fn open(model: &Path, top: usize, threads: usize, budget: &Budget, kinds: &Registry) -> Result<Self> {
        let process = budget.reserve_process(threads)?;
        let file = bundle_file(model);
        // What cannot be asked for its size cannot be read either, which says why.
        let bytes = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let held = budget.reserve("the model", MODEL_TIMES * bytes)?;
        let bundle = Bundle::read(&file, kinds)?;
        if bundle.assembler.label().kind() == LabelKind::Number && top > 1 {
            let why =
                format!("it is a regression, which predicts one number a row and not the {top} most likely");
            return Err(bad(model, &why));
        }
        let predictions = Predictions::new(bundle, top).map_err(|why| gristmill_learn::Error::Bundle {
            file: model.display().to_string(),
            why,
        })?;
        Ok(Self {
            predictions,
            threads,
            budget: budget.clone(),
            _held: [process, held],
        })
    }

    /// The same predictor, whose columns `prediction` and `probability` have names that begin with `prefix`.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.predictions = self.predictions.with_prefix(prefix);
        self
    }

    /// What it makes of rows.
    pub fn predictions(&self) -> &Predictions {
        &self.predictions
    }

    /// Predicts every row of `input`, which is CSV (with a header) or Parquet by its extension, into `output`, which appears when
    /// it is complete unless it is a stream.
    ///
    /// # Errors
    /// When the input lacks a column that the model reads, a file cannot be read or written, or there is one already in the
    /// place of the output that is not to be replaced.
    pub fn predict_file(
        &self,
        input: &Path,
        output: Destination,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Predicted> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build()
            .map_err(|e| Error::Threads {
                threads: self.threads,
                why: e.to_string(),
            })?;
        let rows = self.budget.rows_in_flight();
        let _rows = self.budget.reserve("the rows that are predicted", rows)?;
        let row_group = self.budget.left() / ROW_GROUP_PART;
        let _row_group = self.budget.reserve("the file that is written", row_group)?;
        let mut read = Format::of(input)?.open(input, self.batch(rows), &self.predictions.numeric())?;
        let schema = read.schema.clone();
        let result = self
            .predictions
            .output_schema(&schema)
            .map_err(|e| bad(input, &e))?;
        if let Some(twice) = result
            .fields()
            .iter()
            .skip(schema.fields().len())
            .find(|f| schema.index_of(f.name()).is_ok())
        {
            let why = format!(
                "it has a column `{}` already, and the prediction would be another of that name; give --prefix, such as \
                 `--prefix new_`, which names it `new_{}`",
                twice.name(),
                twice
                    .name()
                    .strip_prefix(self.predictions.prefix())
                    .unwrap_or(twice.name())
            );
            return Err(bad(input, &why));
        }
        let same = |a: &Path, b: &Path| {
            a.canonicalize()
                .is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
        };
        if same(input, output.path()) {
            return Err(bad(
                output.path(),
                &"it is the input, which the predictions would replace; give another file",
            ));
        }
        let mut sink = output.open(result, row_group as usize)?;
        let write = || self.write(&mut read, sink.as_mut(), (&pool, rows), progress);
        let predicted = caught(write)
            .unwrap_or_else(|panic| Err(stopped(&format!("predicting {}", input.display()), panic).into()));
        let predicted = predicted.map_err(|error| match sink.explain(error) {
            Error::Learn(why) => bad(input, &why),
            other => other,
        })?;
        sink.finish()?;
        Ok(predicted)
    }

    /// What is read at a time: two batches for each thread, and what is made of them, have so many bytes of memory together.
    fn batch(&self, bytes: u64) -> BatchLimit {
        let bytes = bytes / (2 * self.threads.max(1) as u64);
        let probabilities = 8 * self.predictions.classes().len().max(1) as u64;
        BatchLimit {
            rows: (bytes / 2 / probabilities).clamp(1, BATCH_ROWS) as usize,
            bytes: (bytes / 2 / MOST_GROWTH).clamp(LEAST_BATCH_BYTES, BATCH_BYTES),
        }
    }

    /// Writes the predictions of every row, made by the threads of a pool, with so many bytes of rows at a time.
    fn write(
        &self,
        input: &mut Input,
        sink: &mut dyn Sink,
        (pool, bytes): (&rayon::ThreadPool, u64),
        progress: &mut dyn FnMut(u64),
    ) -> Result<Predicted> {
        let mut predicted = Predicted::default();
        let largest = self.budget.of_rows_at_hand();
        let mut read = 0;
        loop {
            let (mut group, mut taken) = (Vec::new(), 0);
            while group.len() < 2 * pool.current_num_threads() && taken * MOST_GROWTH < bytes {
                let Some(batch) = input.next().transpose()? else {
                    break;
                };
                largest.check(&batch, |row| (read + row as u64 + 1).to_string())?;
                read += batch.num_rows() as u64;
                taken += value_bytes(&batch);
                group.push(batch);
            }
            if group.is_empty() {
                break;
            }
            let done: Vec<_> = pool.install(|| {
                group
                    .par_iter()
                    .map(|batch| self.predictions.transform(batch))
                    .collect()
            });
            for transformed in done {
                let Transformed { rows, left_out } =
                    transformed.map_err(|error| in_file(error, predicted.rows))?;
                predicted.rows += rows.num_rows() as u64;
                predicted.skipped += left_out.unseen;
                sink.write(&rows)?;
            }
            progress(predicted.rows);
        }
        predicted.swallowed = input.swallowed();
        Ok(predicted)
    }
}

/// The error of a batch that begins after so many rows of the file.
fn in_file(error: gristmill_learn::Error, before: u64) -> gristmill_learn::Error {
    match error {
        gristmill_learn::Error::Unfit { column, row, why } => gristmill_learn::Error::Unfit {
            column,
            row: row.map(|row| before + row),
            why,
        },
        other => other,
    }
}

/// The bundle's file, given that or the folder it is in.
pub fn bundle_file(model: &Path) -> PathBuf {
    if model.is_dir() {
        model.join("model.safetensors")
    } else {
        model.to_owned()
    }
}
