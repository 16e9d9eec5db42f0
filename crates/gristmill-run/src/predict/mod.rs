//! Prediction: the rows of a file with the most likely classes, or the predicted number, beside them.

mod files;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder, RecordBatch, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use gristmill_data::budget::value_bytes;
use gristmill_data::csv_quotes::Swallowed;
use gristmill_data::durable::NewFile;
use gristmill_data::guard::{caught, stopped};
use gristmill_data::parquet_file::BatchLimit;
use gristmill_data::prepare::TextRules;
use gristmill_learn::contract::reads::Reads;
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::contract::step::{LeftOut, SparseBlock, Transformed, Transformer};
use gristmill_learn::features::Assembler;
use gristmill_learn::label::Label;
use gristmill_learn::model::bundle::{Bundle, CLEAN};
use gristmill_learn::model::{Model, Thresholds};
use gristmill_learn::settings::LabelKind;
use rayon::prelude::*;
use serde::Deserialize;

use crate::budget::{Budget, Held};
use crate::engine::MOST_GROWTH;
use crate::error::{Error, Result};
use files::{Format, Input, Writer, bad};

/// Rows predicted at a time, and bytes of them, at most.
const BATCH_ROWS: u64 = 8192;
const BATCH_BYTES: u64 = 1 << 20;
/// And bytes at least, whatever the budget.
const LEAST_BATCH_BYTES: u64 = 32 << 10;

/// Times that the file of a model is in memory: as it is, and as what it is read into.
const MODEL_TIMES: u64 = 3;

/// One part in so many of what is left is for a row group of the output, which is in memory until it ends.
const ROW_GROUP_PART: u64 = 8;

/// A model with everything between a raw row and its prediction.
///
/// As a transformer it adds, for each of the `top` classes (by probability over threshold, where there are thresholds), `prediction` (text) and `probability`, the further ones
/// numbered: `prediction_2`, … Of a regression it adds the number `prediction` alone. A row with a category that `unseen = "skip"` leaves out gets nulls.
pub struct Predictor {
    assembler: Assembler,
    model: Arc<dyn Model>,
    thresholds: Thresholds,
    text: TextRules,
    numeric: Vec<String>,
    top: usize,
    /// What the names of the new columns begin with.
    prefix: String,
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
        let assembler = bundle.assembler;
        if assembler.label().kind() == LabelKind::Number && top > 1 {
            let why =
                format!("it is a regression, which predicts one number a row and not the {top} most likely");
            return Err(bad(model, &why));
        }
        let inputs = assembler.encoders().iter().flat_map(|encoder| encoder.inputs());
        let numeric = inputs.filter(|input| input.reads == Reads::Number);
        let numeric = numeric.map(|input| input.column.to_owned()).collect();
        let text =
            TextRules::deserialize(&bundle.clean.settings).map_err(|e| gristmill_learn::Error::Bundle {
                file: model.display().to_string(),
                why: format!("its step `{CLEAN}`: {e}"),
            })?;
        Ok(Self {
            text,
            numeric,
            prefix: String::new(),
            top: top.clamp(1, assembler.classes().len().max(1)),
            assembler,
            model: bundle.model,
            thresholds: bundle.thresholds,
            threads,
            budget: budget.clone(),
            _held: [process, held],
        })
    }

    /// The same predictor, whose columns `prediction` and `probability` have names that begin with `prefix`.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Predicts every row of `input` into `output`; each is CSV (with a header) or Parquet, by its extension.
    /// `output` appears when it is complete.
    ///
    /// # Errors
    /// When the input lacks a column that the model reads, or a file cannot be read or written.
    pub fn predict_file(
        &self,
        input: &Path,
        output: &Path,
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
        let output_format = Format::of(output)?;
        let mut read = Format::of(input)?.open(input, self.batch(rows), &self.numeric)?;
        let schema = read.schema.clone();
        let result = self.output_schema(&schema).map_err(|e| bad(input, &e))?;
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
                twice.name().strip_prefix(&self.prefix).unwrap_or(twice.name())
            );
            return Err(bad(input, &why));
        }
        if output
            .parent()
            .is_some_and(|folder| folder != Path::new("") && !folder.is_dir())
        {
            return Err(bad(output, &"the folder to write it in does not exist"));
        }
        let same = |a: &Path, b: &Path| {
            a.canonicalize()
                .is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
        };
        if same(input, output) {
            return Err(bad(
                output,
                &"it is the input, which the predictions would replace; give another file",
            ));
        }
        let file = NewFile::create(output)?;
        let into = file.output()?;
        let write = || {
            let writer = output_format.create(into, output, result, row_group as usize)?;
            self.write(&mut read, writer, output, (&pool, rows), progress)
        };
        let predicted = caught(write)
            .unwrap_or_else(|panic| Err(stopped(&format!("predicting {}", input.display()), panic).into()));
        let predicted = predicted.map_err(|error| match file.why(error) {
            Error::Learn(why) => bad(input, &why),
            other => other,
        })?;
        file.put()?;
        Ok(predicted)
    }

    /// What is read at a time: two batches for each thread, and what is made of them, have so many bytes of memory together.
    fn batch(&self, bytes: u64) -> BatchLimit {
        let bytes = bytes / (2 * self.threads.max(1) as u64);
        let probabilities = 8 * self.assembler.classes().len().max(1) as u64;
        BatchLimit {
            rows: (bytes / 2 / probabilities).clamp(1, BATCH_ROWS) as usize,
            bytes: (bytes / 2 / MOST_GROWTH).clamp(LEAST_BATCH_BYTES, BATCH_BYTES),
        }
    }

    /// Writes the predictions of every row to `path`, made by the threads of a pool, with so many bytes of rows at a time.
    fn write(
        &self,
        input: &mut Input,
        mut writer: Writer,
        path: &Path,
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
            let done: Vec<_> = pool.install(|| group.par_iter().map(|batch| self.transform(batch)).collect());
            for transformed in done {
                let Transformed { rows, left_out } = transformed?;
                predicted.rows += rows.num_rows() as u64;
                predicted.skipped += left_out.unseen;
                writer.write(&rows, path)?;
            }
            progress(predicted.rows);
        }
        writer.finish(path)?;
        predicted.swallowed = input.swallowed();
        Ok(predicted)
    }

    /// The batch with the columns that the encoders read in the types they can read.
    fn typed(&self, batch: &RecordBatch) -> gristmill_learn::Result<RecordBatch> {
        let schema = batch.schema();
        let columns = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| {
                let text = matches!(
                    field.data_type(),
                    DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
                );
                let wanted = match field.data_type() {
                    _ if text && self.numeric.contains(field.name()) => DataType::Float64,
                    DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
                    other => other.clone(),
                };
                let typed = cast(column, &wanted)?;
                if let Some(row) = (0..typed.len()).find(|row| typed.is_null(*row) && column.is_valid(*row)) {
                    let text = cast(&column.slice(row, 1), &DataType::Utf8)?;
                    return Err(gristmill_learn::Error::ColumnType {
                        column: field.name().clone(),
                        step: "numeric".to_owned(),
                        expected: "numbers",
                        given: format!("text, such as {:?}", text.as_string::<i32>().value(0)),
                    });
                }
                Ok((Field::new(field.name(), wanted, true), typed))
            });
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns
            .collect::<gristmill_learn::Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

impl Transformer for Predictor {
    fn columns(&self, schema: &Schema) -> gristmill_learn::Result<Vec<String>> {
        self.assembler.check_features(
            &self
                .typed(&RecordBatch::new_empty(Arc::new(schema.clone())))?
                .schema(),
        )?;
        Ok(schema.fields().iter().map(|f| f.name().clone()).collect())
    }

    fn output_schema(&self, input: &Schema) -> gristmill_learn::Result<SchemaRef> {
        self.columns(input)?;
        let prefix = &self.prefix;
        let mut fields: Vec<Field> = input.fields().iter().map(|f| f.as_ref().clone()).collect();
        if self.assembler.label().kind() == LabelKind::Number {
            fields.push(Field::new(format!("{prefix}prediction"), DataType::Float64, true));
            return Ok(Arc::new(Schema::new(fields)));
        }
        for place in 1..=self.top {
            let suffix = if place == 1 {
                String::new()
            } else {
                format!("_{place}")
            };
            fields.push(Field::new(
                format!("{prefix}prediction{suffix}"),
                DataType::Utf8,
                true,
            ));
            fields.push(Field::new(
                format!("{prefix}probability{suffix}"),
                DataType::Float64,
                true,
            ));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn transform(&self, batch: &RecordBatch) -> gristmill_learn::Result<Transformed> {
        let tidy = self.text.tidy(batch, &[]).map_err(|e| match e {
            gristmill_data::Error::Arrow(e) => gristmill_learn::Error::Arrow(e),
            other => gristmill_learn::Error::State {
                pass: "prediction",
                why: other.to_string(),
            },
        })?;
        let block = self.assembler.encode(&self.typed(&tidy)?)?;
        let mut columns = batch.columns().to_vec();
        columns.extend(match self.assembler.label() {
            Label::Class(label) => self.classes(&block, label.classes())?,
            Label::Number(_) => vec![self.numbers(&block)?],
        });
        let rows = RecordBatch::try_new(self.output_schema(batch.schema_ref())?, columns)?;
        let unseen = block.skip.iter().filter(|skip| **skip).count() as u64;
        Ok(Transformed {
            rows,
            left_out: LeftOut {
                unseen,
                ..LeftOut::default()
            },
        })
    }
}

impl Predictor {
    /// The predicted number of every row.
    fn numbers(&self, block: &SparseBlock) -> gristmill_learn::Result<ArrayRef> {
        let predictions = self.model.scores(block)?.into_iter().enumerate();
        let kept = predictions.map(|(row, number)| (!is_skipped(block, row)).then_some(number));
        Ok(Arc::new(kept.collect::<Float64Array>()))
    }

    /// The likely classes of every row and their probabilities, column by column.
    fn classes(&self, block: &SparseBlock, classes: &[String]) -> gristmill_learn::Result<Vec<ArrayRef>> {
        let probabilities = self.model.scores(block)?;
        let mut labels: Vec<StringBuilder> = (0..self.top).map(|_| StringBuilder::new()).collect();
        let mut values: Vec<Float64Builder> = (0..self.top).map(|_| Float64Builder::new()).collect();
        let mut order: Vec<usize> = Vec::with_capacity(classes.len());
        for (row, p) in probabilities.chunks_exact(classes.len()).enumerate() {
            let skipped = is_skipped(block, row);
            order.clear();
            order.extend(0..classes.len());
            let scaled = |class: &usize| self.thresholds.scaled(*class, p[*class]);
            // Stable, so of equally likely classes the more frequent one comes first.
            order.sort_by(|a, b| scaled(b).total_cmp(&scaled(a)));
            for (place, class) in order.iter().take(self.top).enumerate() {
                labels[place].append_option((!skipped).then(|| classes[*class].as_str()));
                values[place].append_option((!skipped).then(|| p[*class]));
            }
        }
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (mut labels, mut values) in labels.into_iter().zip(values) {
            columns.push(Arc::new(labels.finish()));
            columns.push(Arc::new(values.finish()));
        }
        Ok(columns)
    }
}

/// Whether `unseen = "skip"` leaves a row out.
fn is_skipped(block: &SparseBlock, row: usize) -> bool {
    block.skip.get(row).copied().unwrap_or(false)
}

/// The bundle's file, given that or the folder it is in.
pub fn bundle_file(model: &Path) -> PathBuf {
    if model.is_dir() {
        model.join("model.safetensors")
    } else {
        model.to_owned()
    }
}
