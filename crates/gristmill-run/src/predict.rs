//! Prediction: the rows of a file with the most likely classes, or the predicted number, beside them.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder, RecordBatch, StringBuilder};
use arrow::compute::cast;
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use gristmill_data::csv_records::Records;
use gristmill_data::durable::{NewFile, Output};
use gristmill_data::guard::{caught, stopped};
use gristmill_data::parquet_file;
use gristmill_data::prepare::TextRules;
use gristmill_learn::contract::step::{LeftOut, SparseBlock, Transformed, Transformer};
use gristmill_learn::features::Assembler;
use gristmill_learn::label::Label;
use gristmill_learn::model::LinearModel;
use gristmill_learn::model::bundle::{Bundle, CLEAN};
use gristmill_learn::settings::LabelKind;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;
use serde::Deserialize;

use crate::error::{Error, Result, io};

/// Rows read at a time.
const BATCH_ROWS: usize = 8192;

/// A model with everything between a raw row and its prediction.
///
/// As a transformer it adds, for each of the `top` classes (by probability over threshold, where there are thresholds), `prediction` (text) and `probability`, the further ones
/// numbered: `prediction_2`, … Of a regression it adds the number `prediction` alone. A row with a category that `unseen = "skip"` leaves out gets nulls.
pub struct Predictor {
    assembler: Assembler,
    model: LinearModel,
    text: TextRules,
    numeric: Vec<String>,
    top: usize,
}

/// What a prediction wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Predicted {
    /// Rows read and written.
    pub rows: u64,
    /// Rows among them without a prediction.
    pub skipped: u64,
}

impl Predictor {
    /// Reads a bundle, from its file or the folder it is in.
    ///
    /// # Errors
    /// When it is no bundle, or none of this version; or a regression is asked for more than one prediction.
    pub fn open(model: &Path, top: usize) -> Result<Self> {
        let bundle = Bundle::read(&bundle_file(model))?;
        let assembler = bundle.assembler;
        if assembler.label().kind() == LabelKind::Number && top > 1 {
            let why =
                format!("it is a regression, which predicts one number a row and not the {top} most likely");
            return Err(bad(model, &why));
        }
        let numeric = assembler.encoders().iter().map(|encoder| encoder.spec());
        let numeric = numeric.filter(|step| step.kind == "numeric");
        let numeric = numeric.filter_map(|step| step.settings.get("column")?.as_str().map(str::to_owned));
        let text =
            TextRules::deserialize(&bundle.clean.settings).map_err(|e| gristmill_learn::Error::Bundle {
                file: model.display().to_string(),
                why: format!("its step `{CLEAN}`: {e}"),
            })?;
        Ok(Self {
            text,
            numeric: numeric.collect(),
            top: top.clamp(1, assembler.classes().len().max(1)),
            assembler,
            model: bundle.model,
        })
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
        threads: usize,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Predicted> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|e| Error::Threads {
                threads,
                why: e.to_string(),
            })?;
        let output_format = Format::of(output)?;
        let (schema, mut batches) = Format::of(input)?.open(input)?;
        let result = self.output_schema(&schema).map_err(|e| bad(input, &e))?;
        if let Some(twice) = result
            .fields()
            .iter()
            .skip(schema.fields().len())
            .find(|f| schema.index_of(f.name()).is_ok())
        {
            let why = format!(
                "it has a column `{}` already, which the prediction would be; rename it",
                twice.name()
            );
            return Err(bad(input, &why));
        }
        if output
            .parent()
            .is_some_and(|folder| folder != Path::new("") && !folder.is_dir())
        {
            return Err(bad(output, &"the folder to write it in does not exist"));
        }
        let file = NewFile::create(output)?;
        let into = file.output()?;
        let write = || {
            let writer = output_format.create(into, output, result)?;
            self.write(&mut batches, writer, output, &pool, progress)
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

    /// Writes the predictions of every row to `path`.
    fn write(
        &self,
        batches: &mut Batches,
        mut writer: Writer,
        path: &Path,
        pool: &rayon::ThreadPool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Predicted> {
        let mut predicted = Predicted::default();
        loop {
            let group = batches
                .by_ref()
                .take(2 * pool.current_num_threads())
                .collect::<Result<Vec<_>>>()?;
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
                        step: "numeric",
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
        let mut fields: Vec<Field> = input.fields().iter().map(|f| f.as_ref().clone()).collect();
        if self.assembler.label().kind() == LabelKind::Number {
            fields.push(Field::new("prediction", DataType::Float64, true));
            return Ok(Arc::new(Schema::new(fields)));
        }
        for place in 1..=self.top {
            let suffix = if place == 1 {
                String::new()
            } else {
                format!("_{place}")
            };
            fields.push(Field::new(format!("prediction{suffix}"), DataType::Utf8, true));
            fields.push(Field::new(
                format!("probability{suffix}"),
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
        let predictions = self.model.predictions(block)?.into_iter().enumerate();
        let kept = predictions.map(|(row, number)| (!is_skipped(block, row)).then_some(number));
        Ok(Arc::new(kept.collect::<Float64Array>()))
    }

    /// The likely classes of every row and their probabilities, column by column.
    fn classes(&self, block: &SparseBlock, classes: &[String]) -> gristmill_learn::Result<Vec<ArrayRef>> {
        let probabilities = self.model.probabilities(block)?;
        let mut labels: Vec<StringBuilder> = (0..self.top).map(|_| StringBuilder::new()).collect();
        let mut values: Vec<Float64Builder> = (0..self.top).map(|_| Float64Builder::new()).collect();
        let mut order: Vec<usize> = Vec::with_capacity(classes.len());
        for (row, p) in probabilities.chunks_exact(classes.len()).enumerate() {
            let skipped = is_skipped(block, row);
            order.clear();
            order.extend(0..classes.len());
            let scaled = |class: &usize| self.model.thresholds().scaled(*class, p[*class]);
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

/// A file format, by extension.
#[derive(Clone, Copy)]
enum Format {
    Csv,
    Parquet,
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>>>;

enum Writer {
    Csv(Box<csv::Writer<BufWriter<Output>>>),
    Parquet(Box<ArrowWriter<Output>>),
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(bad(path, &"expected a name that ends in .csv or .parquet")),
        }
    }

    fn open(self, path: &Path) -> Result<(SchemaRef, Batches)> {
        let mut file = File::open(path).map_err(|e| bad(path, &e))?;
        let owned = path.to_owned();
        match self {
            Self::Csv => {
                let format = csv::reader::Format::default().with_header(true);
                let (header, _) = format
                    .infer_schema(Records::new(&mut file, b','), Some(0))
                    .map_err(|e| bad(path, &e))?;
                // Text keeps what the file says; numbers are read where a feature is numeric.
                let fields: Vec<Field> = header
                    .fields()
                    .iter()
                    .map(|f| Field::new(f.name(), DataType::Utf8, true))
                    .collect();
                let schema = Arc::new(Schema::new(fields));
                file.seek(SeekFrom::Start(0)).map_err(io(path))?;
                let reader = csv::ReaderBuilder::new(Arc::clone(&schema)).with_format(format);
                let reader = reader
                    .with_batch_size(BATCH_ROWS)
                    .build(Records::new(file, b','))
                    .map_err(|e| bad(path, &e))?;
                Ok((
                    schema,
                    Box::new(reader.map(move |batch| batch.map_err(|e| bad(&owned, &e)))),
                ))
            }
            Self::Parquet => {
                let footer = parquet_file::Footer::read(&file).map_err(|e| bad(path, &e))?;
                let rows = footer
                    .rows(Arc::new(file), None, None, BATCH_ROWS)
                    .map_err(|e| bad(path, &e))?;
                Ok((
                    Arc::clone(footer.schema()),
                    Box::new(rows.map(move |batch| batch.map_err(|e| bad(&owned, &e)))),
                ))
            }
        }
    }

    fn create(self, file: Output, path: &Path, schema: SchemaRef) -> Result<Writer> {
        Ok(match self {
            Self::Csv => Writer::Csv(Box::new(csv::WriterBuilder::new().build(BufWriter::new(file)))),
            Self::Parquet => {
                let level = ZstdLevel::try_new(1).map_err(|e| bad(path, &e))?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .build();
                let writer =
                    ArrowWriter::try_new(file, schema, Some(properties)).map_err(|e| bad(path, &e))?;
                Writer::Parquet(Box::new(writer))
            }
        })
    }
}

impl Writer {
    fn write(&mut self, rows: &RecordBatch, path: &Path) -> Result<()> {
        match self {
            Self::Csv(writer) => writer.write(rows).map_err(|e| bad(path, &e)),
            Self::Parquet(writer) => writer.write(rows).map_err(|e| bad(path, &e)),
        }
    }

    fn finish(self, path: &Path) -> Result<()> {
        match self {
            Self::Csv(writer) => {
                let file = writer.into_inner().into_inner();
                file.map_err(|error| io(path)(error.into_error()))?;
            }
            Self::Parquet(writer) => drop(writer.close().map_err(|e| bad(path, &e))?),
        }
        Ok(())
    }
}

fn bad(path: &Path, why: &impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}
