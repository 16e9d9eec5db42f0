//! The kinds that a pipeline and a bundle may name. Nothing else knows which there are.

use std::sync::Arc;

use crate::contract::encoder::{Encoder, EncoderKind};
use crate::contract::learner::ModelKind;
use crate::contract::model::{Model, ModelSpec};
use crate::contract::step::StepSpec;
use crate::error::Result;

/// The kinds there are, in the order in which they are listed.
#[derive(Clone)]
pub struct Registry {
    encoders: Vec<&'static dyn EncoderKind>,
    models: Vec<&'static dyn ModelKind>,
}

impl Registry {
    /// A registry of these kinds.
    pub fn new(encoders: &[&'static dyn EncoderKind], models: &[&'static dyn ModelKind]) -> Self {
        Self {
            encoders: encoders.to_vec(),
            models: models.to_vec(),
        }
    }

    /// The same with one more kind of encoder.
    pub fn with_encoder(mut self, kind: &'static dyn EncoderKind) -> Self {
        self.encoders.push(kind);
        self
    }

    /// The same with one more kind of model.
    pub fn with_model(mut self, kind: &'static dyn ModelKind) -> Self {
        self.models.push(kind);
        self
    }

    /// The kinds of encoders.
    pub fn encoders(&self) -> &[&'static dyn EncoderKind] {
        &self.encoders
    }

    /// The kinds of models.
    pub fn models(&self) -> &[&'static dyn ModelKind] {
        &self.models
    }

    /// The encoder that a spec describes.
    ///
    /// # Errors
    /// `Spec` when no kind of that name is known, or it does not describe one.
    pub fn encoder_from_spec(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        let kind = self.encoders.iter().find(|kind| kind.name() == spec.kind);
        let kind = kind.ok_or_else(|| {
            let names: Vec<&str> = self.encoders.iter().map(|kind| kind.name()).collect();
            spec.bad(format!("the encoders are {}", listed(&names)))
        })?;
        kind.rebuild(spec)
    }

    /// The model that a spec describes.
    ///
    /// # Errors
    /// `Spec` when no kind of that name is known, or it does not describe one.
    pub fn model_from_spec(&self, spec: &ModelSpec) -> Result<Arc<dyn Model>> {
        let kind = self.models.iter().find(|kind| kind.name() == spec.kind);
        let kind = kind.ok_or_else(|| {
            spec.bad(format!(
                "it is a model of kind `{}`, which this build does not know",
                spec.kind
            ))
        })?;
        kind.rebuild(spec)
    }
}

/// `a, b and c`
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}
