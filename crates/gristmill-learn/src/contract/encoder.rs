//! Features: the kinds there are, what learns one from training rows, and what then encodes it.

use std::fmt;
use std::ops::{Deref, Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::contract::pass::Pass;
use crate::contract::reads::Reads;
use crate::contract::step::{SparseBlock, StepSpec};
use crate::error::{Error, Result};
use crate::settings::Key;

/// A kind of encoder. One file implements it; one line of a registry makes it known.
pub trait EncoderKind: Send + Sync {
    /// Its name: `encode = "…"`, and the kind of the spec of what was fitted.
    fn name(&self) -> &'static str;

    /// What it does, in Markdown, for the documentation.
    fn doc(&self) -> &'static str;

    /// Its keys besides `column` and `encode`.
    fn keys(&self) -> &'static [Key];

    /// How many columns it reads.
    fn columns(&self) -> RangeInclusive<usize> {
        1..=1
    }

    /// The feature with these settings: an object with a value for each of its keys that is given or has a default, and
    /// `column`: a name, or a list of names where it may read more than one.
    ///
    /// # Errors
    /// `Spec` when they contradict each other.
    fn feature(&self, settings: Value) -> Result<Feature>;

    /// The encoder that a spec of this kind describes. The spec may come from a foreign file.
    ///
    /// # Errors
    /// `Spec` when there is none.
    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>>;

    /// The pass that a spec describes, if it is a pass of its own: those of this crate need no kind to be rebuilt by.
    fn pass(&self, _spec: &StepSpec) -> Option<Result<Box<dyn Pass>>> {
        None
    }
}

/// Learns an [`Encoder`] from training rows, in one pass.
pub trait Estimator: Send + Sync {
    /// The name of its kind.
    fn kind(&self) -> &'static str;

    /// The columns it reads.
    fn columns(&self) -> &[String];

    /// Its settings, as a bundle keeps them; [`EncoderKind::feature`] takes them too.
    fn settings(&self) -> Value;

    /// What it reads its columns as.
    fn reads(&self) -> Reads {
        Reads::Category
    }

    /// What the names of its sparse columns tell besides the columns it reads, where features of this kind may read the same columns
    /// in several ways. Two features that agree in kind, columns and variant would have the same names, and are refused.
    fn variant(&self) -> String {
        String::new()
    }

    /// The setting by which some of its values are below 0, if any is.
    fn negative(&self) -> Option<Negative> {
        None
    }

    /// Whether its pass sees the [`Answers`] of the rows.
    fn sees_answers(&self) -> bool {
        false
    }

    /// The fold that gathers what is needed. It is given the rows of the training split that have a label.
    fn pass(&self) -> Box<dyn Pass>;

    /// The most frequent categories of the training rows with the rows of each, in the final state of that pass; none of a feature
    /// that counts none.
    ///
    /// # Errors
    /// When the state is not of that pass.
    fn frequent(&self, _state: &RecordBatch) -> Result<Vec<(String, u64)>> {
        Ok(Vec::new())
    }

    /// The encoder fitted from the final state of that pass.
    ///
    /// # Errors
    /// When there is nothing to learn, or the state is not of that pass.
    fn fitted(&self, state: &RecordBatch, to: &FittedTo<'_>) -> Result<Box<dyn Encoder>>;
}

/// What an estimator is fitted to, besides its rows.
#[derive(Debug, Clone, Copy)]
pub struct FittedTo<'a> {
    /// The classes that the model will know, the most frequent first; none of a regression.
    pub classes: &'a [String],
    /// Folds of the training rows; 1 where there is no cross-validation.
    pub folds: u32,
    /// Training rows with a label: those that the pass has seen.
    pub rows: u64,
    /// The class that the rows of rare classes have; `None` where they are left out, and of a regression.
    pub rare: Option<&'a str>,
}

/// A setting that makes values below 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negative {
    /// The setting, e.g. `scale = "standard"`.
    pub setting: &'static str,
    /// What it does, e.g. `scaled to mean 0`.
    pub effect: &'static str,
    /// What to set instead, e.g. `scale = "none"`.
    pub instead: &'static str,
}

/// The label and the fold of rows that an estimator learns from.
///
/// They are the last two columns of the batches that the pass of an estimator is given where [`Estimator::sees_answers`], and
/// are found there by their place, so that a column of the dataset may have any name.
#[derive(Debug, Clone, Copy)]
pub struct Answers<'a> {
    /// The label of each row: of a classifier the name of its class, rare ones too, as `Utf8`; of a regression `Float64`. No
    /// nulls.
    pub label: &'a ArrayRef,
    /// The fold of each row.
    pub fold: &'a UInt8Array,
}

impl<'a> Answers<'a> {
    const NAMES: [&'static str; 2] = ["label of the row", "fold of the row"];

    /// Those of a batch.
    ///
    /// # Errors
    /// `State` when it has none.
    pub fn of(batch: &'a RecordBatch) -> Result<Self> {
        let names: Vec<&String> = batch.schema_ref().fields().iter().map(|f| f.name()).collect();
        if names.ends_with(&Self::NAMES.map(String::from).each_ref())
            && let [.., label, fold] = batch.columns()
            && let Some(fold) = fold.as_any().downcast_ref()
        {
            return Ok(Self { label, fold });
        }
        Err(Error::State {
            pass: "fit",
            why: "its rows have no label and fold".to_owned(),
        })
    }

    /// The batch with these as its last columns.
    pub(crate) fn beside(batch: &RecordBatch, label: ArrayRef, fold: UInt8Array) -> Result<RecordBatch> {
        let [label_name, fold_name] = Self::NAMES;
        let mut fields: Vec<_> = batch.schema_ref().fields().to_vec();
        fields.push(Arc::new(Field::new(label_name, label.data_type().clone(), true)));
        fields.push(Arc::new(Field::new(fold_name, DataType::UInt8, false)));
        let mut columns = batch.columns().to_vec();
        columns.extend([label, Arc::new(fold) as _]);
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

/// A fitted feature: turns its columns into sparse columns `0..width`.
pub trait Encoder: Send + Sync {
    /// The name of its kind.
    fn kind(&self) -> &'static str;

    /// What it can be rebuilt from, by its kind.
    fn spec(&self) -> StepSpec;

    /// The columns it reads, and as what.
    fn inputs(&self) -> Vec<Input<'_>>;

    /// Checks that its columns are there with types that it can read.
    ///
    /// # Errors
    /// `MissingColumn`, or `ColumnType`.
    fn check(&self, schema: &Schema) -> Result<()> {
        let mut inputs = self.inputs().into_iter();
        inputs.try_for_each(|input| input.reads.check(schema, input.column, self.kind()))
    }

    /// How many sparse columns it writes.
    fn width(&self) -> u32;

    /// Bytes held.
    fn bytes(&self) -> usize;

    /// The name of sparse column `index < width`, e.g. `language=German`.
    fn name(&self, index: u32) -> String;

    /// Why the training rows are all encoded alike, if they are: the user is told.
    fn uninformative(&self) -> Option<&'static str> {
        (self.width() == 0).then_some("nothing in it is frequent enough in the training rows to get a column")
    }

    /// The sparse columns of which a row has at least one, unless nothing in it was in the training rows. `None` where that cannot be
    /// told.
    fn seen(&self) -> Option<Range<u32>> {
        None
    }

    /// What decides the meaning of the sparse column of a name. Settings that only decide which columns there are do not.
    fn meaning(&self) -> Value {
        self.spec().settings
    }

    /// Encodes every row of the batch.
    ///
    /// # Errors
    /// When a column is missing, has another type, or holds what cannot be encoded.
    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock>;

    /// Encodes rows to learn from. `folds` has the fold of those that the fit has seen, so that an encoder which learnt from
    /// labels does not tell a row its own.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    fn encode_to_learn(&self, batch: &RecordBatch, _folds: &[Option<u8>]) -> Result<SparseBlock> {
        self.encode(batch)
    }
}

/// A column that an encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input<'a> {
    /// Its name.
    pub column: &'a str,
    /// What it is read as.
    pub reads: Reads,
}

/// One `[[feature]]` of a pipeline.
#[derive(Clone)]
pub struct Feature(Arc<dyn Estimator>);

impl Feature {
    /// The feature that this estimator learns.
    pub fn new(estimator: impl Estimator + 'static) -> Self {
        Self(Arc::new(estimator))
    }
}

impl Deref for Feature {
    type Target = dyn Estimator;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl PartialEq for Feature {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.settings() == other.settings()
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.settings())
    }
}

impl Serialize for Feature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut settings = self.settings();
        settings["encode"] = self.kind().into();
        settings.serialize(serializer)
    }
}
