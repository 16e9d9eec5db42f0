//! Fitted models: what predicts, and the serialisable spec it can be rebuilt from.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use serde_json::{Map, Value, json};

use crate::contract::spec::StepSpec;
use crate::contract::step::SparseBlock;
use crate::error::{Error, Result};

/// A fitted model over sparse columns `0..features`.
pub trait Model: Any + fmt::Debug + Send + Sync {
    /// The name of its kind.
    fn kind(&self) -> &'static str;

    /// Sparse columns that it reads.
    fn features(&self) -> usize;

    /// Classes; 0 of a regression.
    fn classes(&self) -> usize;

    /// The probability of every class for every row, rows × classes; of a regression the number predicted for every row.
    ///
    /// # Errors
    /// When an index of the rows is not below [`Model::features`].
    fn scores(&self, rows: &SparseBlock) -> Result<Vec<f64>>;

    /// What it can be rebuilt from, by its kind.
    fn spec(&self) -> ModelSpec;

    /// The same with the logarithms of all probabilities times `inverse`, before they are made to sum to 1 again: with a temperature of
    /// 1 over it. `None` where it has no such form.
    fn tempered(&self, _inverse: f64) -> Option<Arc<dyn Model>> {
        None
    }

    /// Checks that whatever rows it is given, its scores are numbers.
    ///
    /// # Errors
    /// Why they may not be.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What a model is rebuilt from. Whatever is read is checked: it may come from a foreign file.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The name of its kind.
    pub kind: String,
    /// Classes; 0 of a regression.
    pub classes: usize,
    /// Sparse columns.
    pub features: usize,
    /// Small settings, as JSON.
    pub settings: Map<String, Value>,
    /// Large content by name. Names that begin with `step`, and `thresholds`, belong to others in a bundle.
    pub tensors: BTreeMap<String, ModelTensor>,
}

/// Numbers with a shape.
#[derive(Debug, Clone)]
pub struct ModelTensor {
    /// The numbers, row by row. Allowed types: UInt32, UInt64, Int64, Float32, Float64; no nulls.
    pub values: ArrayRef,
    /// The length of each dimension. What was read from a file has as many numbers as this says.
    pub shape: Vec<usize>,
}

impl PartialEq for ModelTensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.values.as_ref() == other.values.as_ref()
    }
}

impl ModelSpec {
    /// The numbers of a tensor, if they are of this type.
    ///
    /// # Errors
    /// `Spec` when there is none of this name.
    pub fn tensor<A: Array + 'static>(&self, name: &str) -> Result<Option<&A>> {
        Ok(self.values(name)?.as_any().downcast_ref())
    }

    /// The numbers of a tensor of any type.
    ///
    /// # Errors
    /// `Spec` when there is none of this name.
    pub fn values(&self, name: &str) -> Result<&ArrayRef> {
        let tensor = self.tensors.get(name);
        let tensor = tensor.ok_or_else(|| self.bad(format!("tensor `{name}` is missing")))?;
        Ok(&tensor.values)
    }

    /// The same as the spec of a step, to be sent with a pass.
    pub fn into_step(self) -> StepSpec {
        let shapes = self.tensors.iter();
        let shapes: BTreeMap<&String, &Vec<usize>> = shapes.map(|(name, t)| (name, &t.shape)).collect();
        let settings = json!([self.classes, self.features, self.settings, shapes]);
        let arrays = self.tensors.into_iter();
        StepSpec {
            kind: self.kind,
            settings,
            arrays: arrays.map(|(name, tensor)| (name, tensor.values)).collect(),
        }
    }

    /// The spec that [`ModelSpec::into_step`] made a step's.
    ///
    /// # Errors
    /// `Spec` when it is not one of those.
    pub fn from_step(step: &StepSpec) -> Result<Self> {
        type Shapes = BTreeMap<String, Vec<usize>>;
        let (classes, features, settings, shapes): (usize, usize, Map<String, Value>, Shapes) =
            step.settings()?;
        let tensors = shapes.into_iter().map(|(name, shape)| {
            let values = step.any_array(&name)?;
            Ok((name, ModelTensor { values, shape }))
        });
        Ok(Self {
            kind: step.kind.clone(),
            classes,
            features,
            settings,
            tensors: tensors.collect::<Result<_>>()?,
        })
    }

    /// `Spec`: why no model can be rebuilt from it.
    pub fn bad(&self, why: impl Into<String>) -> Error {
        Error::Spec {
            kind: self.kind.clone(),
            why: why.into(),
        }
    }
}
