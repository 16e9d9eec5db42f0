//! A model with everything between a raw row and its prediction, as a transformer.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Float64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use gristmill_data::prepare::TextRules;
use gristmill_data::settings::TextReading;
use gristmill_learn::contract::model::ModelSpec;
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::contract::step::{LeftOut, SparseBlock, StepSpec, Transformed, Transformer};
use gristmill_learn::features::{self, Assembler};
use gristmill_learn::label::Label;
use gristmill_learn::model::bundle::{self, Bundle, CLEAN};
use gristmill_learn::model::{InputColumn, Model, Thresholds};
use gristmill_learn::settings::LabelKind;
use serde::Deserialize;
use serde_json::json;

use super::conform::Conform;
use super::unlike::{Comparison, Counted};

/// The kind of the spec of [`Predictions`].
const PREDICTIONS: &str = "predictions";

/// The step that [`Transformer::spec`] described, whose parts are of these kinds: in another process it makes the same of the
/// same rows.
///
/// # Errors
/// When there is no such step, or its spec does not hold what it needs.
pub fn step_from_spec(spec: &StepSpec, kinds: &Registry) -> gristmill_learn::Result<Box<dyn Transformer>> {
    Ok(match spec.kind.as_str() {
        features::KIND => Box::new(Assembler::from_spec(spec, kinds)?),
        PREDICTIONS => Box::new(Predictions::from_spec(spec, kinds)?),
        _ => return Err(spec.bad("there is no step of this kind")),
    })
}

/// Adds to each row, for each of the `top` classes (by probability over threshold, where there are thresholds), `prediction`
/// (text) and `probability`, the further ones numbered: `prediction_2`, … Of a regression it adds the number `prediction`
/// alone. A row with a category that `unseen = "skip"` leaves out gets nulls.
pub struct Predictions {
    assembler: Assembler,
    model: Arc<dyn Model>,
    thresholds: Thresholds,
    text: TextRules,
    /// The columns of the rows that it was trained on.
    input: Vec<InputColumn>,
    conform: Conform,
    comparison: Comparison,
    top: usize,
    /// What the names of the new columns begin with.
    prefix: String,
}

impl Predictions {
    /// Those of a bundle's model, with so many classes a row.
    ///
    /// # Errors
    /// When its first step does not say what is done to text, or a column has a type that no dataset has.
    pub(super) fn new(bundle: Bundle, top: usize) -> Result<Self, String> {
        let text = TextRules::deserialize(&bundle.clean.settings);
        let text = text.map_err(|error| format!("its step `{CLEAN}`: {error}"))?;
        let conform = Conform::new(&bundle.assembler, &bundle.input, text)?;
        let comparison = Comparison::new(&bundle.assembler, &bundle.input);
        Ok(Self {
            comparison,
            top: top.clamp(1, bundle.assembler.classes().len().max(1)),
            assembler: bundle.assembler,
            model: bundle.model,
            thresholds: bundle.thresholds,
            text,
            input: bundle.input,
            conform,
            prefix: String::new(),
        })
    }

    /// The same, whose new columns have names that begin with `prefix`.
    pub(super) fn with_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// What the text of files without types stands for.
    pub(super) fn reading(&self) -> TextReading {
        self.conform.reading()
    }

    /// The columns of the training rows that were integers or dates, whose text can be written back as that.
    pub(super) fn countable(&self) -> Vec<(String, DataType)> {
        let columns = self.input.iter();
        let typed = columns.filter_map(|column| Some((column.name.clone(), column.arrow_type()?)));
        typed
            .filter(|(_, kind)| kind.is_integer() || *kind == DataType::Date32)
            .collect()
    }

    /// What the names of the new columns begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The predictions that [`Transformer::spec`] described, whose parts are of these kinds.
    ///
    /// # Errors
    /// `Spec` when it describes none, or its parts do not fit each other.
    pub fn from_spec(spec: &StepSpec, kinds: &Registry) -> gristmill_learn::Result<Self> {
        type Settings = (TextRules, usize, String, Vec<InputColumn>);
        let ((text, top, prefix, input), parts): (Settings, _) = spec.unnested()?;
        let [assembler, model] = parts.as_slice() else {
            return Err(spec.bad("it does not hold features and a model"));
        };
        let assembler = Assembler::from_spec(assembler, kinds)?;
        let model = kinds.model_from_spec(&ModelSpec::from_step(model)?)?;
        let thresholds = Thresholds::from_spec(spec)?;
        bundle::check(&assembler, model.as_ref(), &thresholds).map_err(|why| spec.bad(why))?;
        Ok(Self {
            conform: Conform::new(&assembler, &input, text).map_err(|why| spec.bad(why))?,
            comparison: Comparison::new(&assembler, &input),
            top,
            assembler,
            model,
            thresholds,
            text,
            input,
            prefix,
        })
    }

    /// The names of the classes, by number; none of a regression.
    pub(super) fn classes(&self) -> &[String] {
        self.assembler.classes()
    }
}

impl Transformer for Predictions {
    fn columns(&self, schema: &Schema) -> gristmill_learn::Result<Vec<String>> {
        let none = RecordBatch::new_empty(Arc::new(schema.clone()));
        self.assembler
            .check_features(&self.conform.apply(&none)?.schema())?;
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
        Ok(self.predict(batch)?.0)
    }

    fn spec(&self) -> StepSpec {
        let parts = vec![self.assembler.spec(), self.model.spec().into_step()];
        let spec = StepSpec::nested(
            PREDICTIONS,
            json!([self.text, self.top, self.prefix, self.input]),
            parts,
        );
        self.thresholds.add_to(spec)
    }
}

impl Predictions {
    /// What is compared with the training rows.
    pub(super) fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// The rows with their predictions, and how far they are unlike those of the training.
    pub(super) fn predict(&self, batch: &RecordBatch) -> gristmill_learn::Result<(Transformed, Counted)> {
        let read = self.conform.apply(batch)?;
        let block = self.assembler.encode(&read)?;
        let counted = self.comparison.count(&read, &block)?;
        let mut columns = batch.columns().to_vec();
        columns.extend(match self.assembler.label() {
            Label::Class(label) => self.probabilities(&block, label.classes())?,
            Label::Number(_) => vec![self.numbers(&block)?],
        });
        let rows = RecordBatch::try_new(self.output_schema(batch.schema_ref())?, columns)?;
        let unseen = block.skip.iter().filter(|skip| **skip).count() as u64;
        let left_out = LeftOut {
            unseen,
            ..LeftOut::default()
        };
        Ok((Transformed { rows, left_out }, counted))
    }

    /// The predicted number of every row.
    fn numbers(&self, block: &SparseBlock) -> gristmill_learn::Result<ArrayRef> {
        let predictions = self.model.scores(block)?.into_iter().enumerate();
        let kept = predictions.map(|(row, number)| (!is_skipped(block, row)).then_some(number));
        Ok(Arc::new(kept.collect::<Float64Array>()))
    }

    /// The likely classes of every row and their probabilities, column by column.
    fn probabilities(
        &self,
        block: &SparseBlock,
        classes: &[String],
    ) -> gristmill_learn::Result<Vec<ArrayRef>> {
        let probabilities = self.model.scores(block)?;
        let mut labels: Vec<StringBuilder> = (0..self.top).map(|_| StringBuilder::new()).collect();
        let mut values: Vec<Float64Builder> = (0..self.top).map(|_| Float64Builder::new()).collect();
        let mut ranked: Vec<(f64, usize)> = Vec::with_capacity(classes.len());
        // Of equally likely classes the more frequent one comes first.
        let before = |a: &(f64, usize), b: &(f64, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        for (row, p) in probabilities.chunks_exact(classes.len()).enumerate() {
            let skipped = is_skipped(block, row);
            let scaled = p.iter().enumerate();
            ranked.clear();
            ranked.extend(scaled.map(|(class, p)| (self.thresholds.scaled(class, *p), class)));
            // The rest stays unordered.
            if self.top < ranked.len() {
                ranked.select_nth_unstable_by(self.top, before);
                ranked.truncate(self.top);
            }
            ranked.sort_unstable_by(before);
            for (place, (_, class)) in ranked.iter().enumerate() {
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
