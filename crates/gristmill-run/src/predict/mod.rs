//! Prediction: the rows of a file with the most likely classes, or the predicted number, beside them.

mod conform;
mod incoming;
mod input;
mod output;
mod query;
mod rows;
mod unlike;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arrow::datatypes::SchemaRef;
use gristmill_data::budget::value_bytes;
use gristmill_data::csv_quotes::Swallowed;
use gristmill_data::guard::{caught, stopped};
use gristmill_data::parquet_file::BatchLimit;
use gristmill_data::settings::KeyColumns;
use gristmill_data::sink::Progress;
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::contract::step::{Transformed, Transformer};
use gristmill_learn::model::bundle::Bundle;
use gristmill_learn::settings::LabelKind;
use rayon::prelude::*;
use serde::Deserialize;

use crate::budget::{Budget, Held};
use crate::engine::MOST_GROWTH;
use crate::error::{Error, Result, bad_file};
use crate::event::{Event, Observe, Pace, StageResult};
use incoming::Incoming;
use input::check_apart;
use output::{Opened, Shape, Sink};
use query::Piece;
use unlike::Counted;

pub use incoming::Origin;
pub use input::TextFormat;
pub use output::{Destination, Format as OutputFormat, TableDestination};
pub use rows::{Predictions, step_from_spec};
pub use unlike::{Outside, Unseen};

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
    strict: bool,
    budget: Budget,
    /// The hash of the model.
    hash: String,
    /// The columns that were the key of the rows that it learnt from.
    key: KeyColumns,
    _held: [Held; 2],
}

/// What a prediction wrote.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predicted {
    /// Rows read and written.
    pub rows: u64,
    /// Rows among them without a prediction.
    pub skipped: u64,
    /// Rows of CSV files that look as if they had swallowed others.
    pub swallowed: Vec<(PathBuf, Swallowed)>,
    /// Features that found nothing known in some rows.
    pub unseen: Vec<Unseen>,
    /// Columns with values outside the range of the training rows.
    pub outside: Vec<Outside>,
    /// Rows that an earlier process wrote, where the output can be continued.
    pub before: Option<u64>,
    /// Whether an earlier process wrote all of them, so that nothing was to be done.
    pub was_complete: bool,
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
            return Err(bad_file(model, &why));
        }
        let hash = bundle.hash.clone();
        let key = bundle.provenance.settings.get("key");
        let key = key
            .and_then(|key| KeyColumns::deserialize(key).ok())
            .unwrap_or_default();
        let predictions = Predictions::new(bundle, top).map_err(|why| gristmill_learn::Error::Bundle {
            file: model.display().to_string(),
            why,
        })?;
        Ok(Self {
            predictions,
            threads,
            strict: false,
            budget: budget.clone(),
            hash,
            key,
            _held: [process, held],
        })
    }

    /// The same predictor, whose columns `prediction` and `probability` have names that begin with `prefix`.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.predictions = self.predictions.with_prefix(prefix);
        self
    }

    /// The same predictor, which does not finish where too many rows are unlike those of the training.
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// What it makes of rows.
    pub fn predictions(&self) -> &Predictions {
        &self.predictions
    }

    /// Predicts every row of `origin` into `output`. A file appears when it is complete; a table gets each row once, and one that
    /// an earlier process began is continued.
    ///
    /// # Errors
    /// When the input lacks a column that the model reads, something cannot be read or written, there is a file or a table already
    /// in the place of the output that is not to be replaced, or the observer says to stop; or
    /// `Unlike`, if it is strict: then no file is left, and the rows that are in a table or a stream already stay there.
    pub fn predict(
        &self,
        origin: &Origin,
        mut output: Destination,
        observe: &dyn Observe,
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
        let origin = &self.for_this_model(origin);
        let name = origin.name();
        let wrong = |why: &dyn ToString| bad_file(Path::new(&name), &why.to_string());
        let mut input = Incoming::open(origin, self.batch(rows), &self.predictions.reading(), observe)?;
        let result = self.output_columns(&input, &wrong)?;
        if let Some(output) = output.path() {
            check_apart(input.files(), output)?;
        }
        if let Destination::Table(table) = &mut output
            && table.key.is_empty()
        {
            let key = origin.key().unwrap_or(&self.key);
            if key.iter().all(|column| input.schema.index_of(column).is_ok()) {
                table.key = key.to_vec();
            }
        }
        let types = input.types(&self.predictions.countable());
        let shape = Shape {
            types: &types,
            rows: &result,
            of_input: input.schema.fields().len(),
            model: &self.hash,
            input: &|| origin.identity(input.files()),
            reads: origin.url(),
            reads_tables: input.tables(),
        };
        let (mut sink, before) = match output.open(&shape, row_group as usize, now())? {
            Opened::Complete(progress) => {
                return Ok(Predicted {
                    before: Some(progress.rows),
                    was_complete: true,
                    ..Predicted::default()
                });
            }
            Opened::Open(sink, before) => (sink, before),
        };
        let write = || {
            input.start(before.as_ref())?;
            self.write(&mut input, sink.as_mut(), (&pool, rows), before.as_ref(), observe)
        };
        let predicted =
            caught(write).unwrap_or_else(|panic| Err(stopped(&format!("predicting {name}"), panic).into()));
        let predicted = predicted.map_err(|error| match sink.explain(error) {
            Error::Learn(why) => wrong(&why),
            other => other,
        });
        let unlike = |predicted: &Predicted| {
            let mut unseen = predicted.unseen.iter().filter(|unseen| unseen.too_many());
            unseen.next().map(ToString::to_string)
        };
        let predicted = predicted.and_then(|predicted| match unlike(&predicted) {
            Some(why) if self.strict => Err(Error::Unlike { path: name, why }),
            _ => Ok(predicted),
        });
        match predicted {
            Ok(predicted) => {
                sink.finish()?;
                Ok(predicted)
            }
            Err(error) => {
                if !error.goes_on() {
                    sink.abandon();
                }
                Err(error)
            }
        }
    }

    /// The columns of the output.
    fn output_columns(&self, input: &Incoming, wrong: &dyn Fn(&dyn ToString) -> Error) -> Result<SchemaRef> {
        let schema = &input.schema;
        let result = self.predictions.output_schema(schema).map_err(|e| wrong(&e))?;
        let mut added = result.fields().iter().skip(schema.fields().len());
        let Some(twice) = added.find(|field| schema.index_of(field.name()).is_ok()) else {
            return Ok(result);
        };
        let plain = twice.name().strip_prefix(self.predictions.prefix());
        Err(wrong(&format!(
            "it has a column `{0}` already, and the prediction would be another of that name; give --prefix, such as \
             `--prefix new_`, which names it `new_{1}`",
            twice.name(),
            plain.unwrap_or(twice.name())
        )))
    }

    /// The same origin, whose rows take no more memory than is left, and whose text is read as the model has it.
    fn for_this_model(&self, origin: &Origin) -> Origin {
        let mut origin = origin.clone();
        if let Origin::Query { settings, .. } = &mut origin {
            settings.memory = self.budget.of_rows_at_hand();
            settings.text = self.predictions.reading();
        }
        origin
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
        input: &mut Incoming,
        sink: &mut dyn Sink,
        (pool, bytes): (&rayon::ThreadPool, u64),
        before: Option<&Progress>,
        observe: &dyn Observe,
    ) -> Result<Predicted> {
        let mut predicted = Predicted {
            before: before.map(|before| before.rows),
            ..Predicted::default()
        };
        let told = Told::start(observe, input.expected, predicted.before.unwrap_or_default());
        let largest = self.budget.of_rows_at_hand();
        let mut read = predicted.before.unwrap_or_default();
        let mut written = read;
        let mut counted = Counted::default();
        loop {
            let (mut group, mut taken, mut range) = (Vec::new(), 0, None);
            while group.len() < 2 * pool.current_num_threads() && taken * MOST_GROWTH < bytes {
                match input.next(observe)? {
                    Some(Piece::Rows(batch)) => {
                        largest.check(&batch, |row| (read + row as u64 + 1).to_string())?;
                        read += batch.num_rows() as u64;
                        taken += value_bytes(&batch);
                        group.push(batch);
                    }
                    Some(Piece::End(end)) => {
                        range = Some(end);
                        break;
                    }
                    None => break,
                }
            }
            if group.is_empty() && range.is_none() {
                break;
            }
            let done: Vec<_> = pool.install(|| {
                group
                    .par_iter()
                    .map(|batch| self.predictions.predict(batch))
                    .collect()
            });
            for transformed in done {
                let (Transformed { rows, left_out }, of_batch) =
                    transformed.map_err(|error| in_file(error, written))?;
                counted += of_batch;
                written += rows.num_rows() as u64;
                predicted.rows += rows.num_rows() as u64;
                predicted.skipped += left_out.unseen;
                sink.write(&rows)?;
            }
            if let Some(range) = range {
                sink.range_ended(&range)?;
            }
            told.progress(read);
        }
        predicted.swallowed = input.swallowed();
        (predicted.unseen, predicted.outside) = self.predictions.comparison().told(&counted);
        told.finish(&predicted);
        Ok(predicted)
    }
}

/// Tells the observer how a prediction goes.
struct Told<'a> {
    observe: &'a dyn Observe,
    started: Instant,
}

impl<'a> Told<'a> {
    const STAGE: &'static str = "predict";

    fn start(observe: &'a dyn Observe, total: Option<u64>, before: u64) -> Self {
        observe.event(Event::StageStarted {
            stage: Self::STAGE,
            unit: "rows",
            total,
        });
        if before > 0 {
            observe.event(Event::StageResumed {
                stage: Self::STAGE,
                done: before,
            });
        }
        Self {
            observe,
            started: Instant::now(),
        }
    }

    fn progress(&self, done: u64) {
        self.observe.event(Event::Progress {
            stage: Self::STAGE,
            done,
            pace: Pace::Steady,
        });
    }

    fn finish(self, predicted: &Predicted) {
        self.observe.event(Event::StageFinished {
            stage: Self::STAGE,
            seconds: self.started.elapsed().as_secs_f64(),
            result: StageResult::Predicted { rows: predicted.rows },
        });
    }
}

/// Microseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
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
