//! The label of a model, whatever it is: classes by number, or a number.

mod class;
mod number;
mod weight;

pub use class::{LabelIndexer, OTHER};
pub use number::Target;
pub use weight::Weigher;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::is_not_null;
use arrow::datatypes::{DataType, Schema};

use crate::contract::pass::Pass;
use crate::contract::step::StepSpec;
use crate::error::Result;

use crate::contract::reads::Reads;
use crate::settings::{LabelKind, LabelSettings};
use crate::statistics::column::{find, numbers, strings};

/// A fitted label.
#[derive(Debug, Clone)]
pub enum Label {
    /// Of a classifier.
    Class(LabelIndexer),
    /// Of a regression.
    Number(Target),
}

impl Label {
    /// The pass that learns it.
    pub fn pass(settings: &LabelSettings) -> Box<dyn Pass> {
        match settings.kind {
            LabelKind::Class => Box::new(LabelIndexer::pass(settings)),
            LabelKind::Number => Box::new(Target::pass(settings)),
        }
    }

    /// The label fitted from the final state of that pass.
    ///
    /// # Errors
    /// When there is nothing to learn from it.
    pub fn fitted(settings: &LabelSettings, state: &RecordBatch) -> Result<Self> {
        Ok(match settings.kind {
            LabelKind::Class => Self::Class(LabelIndexer::fitted(settings, state)?),
            LabelKind::Number => Self::Number(Target::fitted(settings, state)?),
        })
    }

    /// The label that [`Label::spec`] described.
    pub fn from_spec(spec: &StepSpec) -> Result<Self> {
        Ok(match spec.kind.as_str() {
            number::KIND => Self::Number(Target::from_spec(spec)?),
            _ => Self::Class(LabelIndexer::from_spec(spec)?),
        })
    }

    /// What it can be rebuilt from.
    pub fn spec(&self) -> StepSpec {
        match self {
            Self::Class(label) => label.spec(),
            Self::Number(label) => label.spec(),
        }
    }

    /// The label column.
    pub fn column(&self) -> &str {
        match self {
            Self::Class(label) => label.column(),
            Self::Number(label) => label.column(),
        }
    }

    /// The names of the classes, by number; none where it is a number.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Class(label) => label.classes(),
            Self::Number(_) => &[],
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Class(label) => label.bytes(),
            Self::Number(_) => size_of::<Self>(),
        }
    }

    /// Checks that the column is there with a type that can be such a label.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(kind: LabelKind, column: &str, schema: &Schema) -> Result<()> {
        match kind {
            LabelKind::Class => Reads::Category.check(schema, column, "label"),
            LabelKind::Number => Target::check(column, schema),
        }
    }

    /// Which rows have a label.
    ///
    /// # Errors
    /// When one is an infinite number.
    pub fn known(settings: &LabelSettings, batch: &RecordBatch) -> Result<BooleanArray> {
        Ok(match settings.kind {
            LabelKind::Class => is_not_null(find(batch, &settings.column)?)?,
            LabelKind::Number => is_not_null(&numbers(batch, &settings.column, "label")?)?,
        })
    }

    /// What there is to learn: the name of each row's class, rare ones too, or its number. Null where there is none.
    ///
    /// # Errors
    /// When one is an infinite number.
    pub fn learnt(settings: &LabelSettings, batch: &RecordBatch) -> Result<ArrayRef> {
        Ok(match settings.kind {
            LabelKind::Class => Arc::new(strings(batch, &settings.column, Reads::Category, "label")?),
            LabelKind::Number => Arc::new(numbers(batch, &settings.column, "label")?),
        })
    }

    /// What it is.
    pub fn kind(&self) -> LabelKind {
        match self {
            Self::Class(_) => LabelKind::Class,
            Self::Number(_) => LabelKind::Number,
        }
    }

    /// The type of [`Label::values`].
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Class(_) => DataType::Int32,
            Self::Number(_) => DataType::Float64,
        }
    }

    /// The class or the number of every row, null for rows to leave out, and how many of these have no label at all.
    ///
    /// # Errors
    /// When one is an infinite number.
    pub fn values(&self, batch: &RecordBatch) -> Result<(ArrayRef, u64)> {
        Ok(match self {
            Self::Class(label) => {
                let (classes, nulls) = label.index(batch)?;
                (Arc::new(classes), nulls)
            }
            Self::Number(label) => {
                let (values, nulls) = label.values(batch)?;
                (Arc::new(values), nulls)
            }
        })
    }
}
