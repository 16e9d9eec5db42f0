//! Models to be trained: the kinds there are, and what one needs of a run, from its settings to its trainer.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::contract::model::{Model, ModelSpec};
use crate::contract::pass::Pass;
use crate::contract::spec::StepSpec;
use crate::contract::thresholds::Thresholds;
use crate::contract::trainer::{Trainer, TrainingSize};
use crate::error::Result;
use crate::settings::{Key, LabelKind, Metric, Preset, SearchSettings};

/// A kind of model. One file implements it; one line of a registry makes it known.
pub trait ModelKind: Send + Sync {
    /// Its name: `kind = "…"`, and the kind of the spec of what was trained.
    fn name(&self) -> &'static str;

    /// What it is, in Markdown, for the documentation.
    fn doc(&self) -> &'static str;

    /// Its keys besides `kind`.
    fn keys(&self) -> &'static [Key];

    /// The defaults under `preset = "spark"`, where they are not the usual ones.
    fn spark(&self) -> &'static [(&'static str, Preset)] {
        &[]
    }

    /// What there is to say of its keys behind their table, in Markdown.
    fn notes(&self) -> &'static str {
        ""
    }

    /// The model with these settings: an object with a value for each of its keys that is given or has a default.
    ///
    /// # Errors
    /// `Spec` when they contradict each other.
    fn settings(&self, settings: Value) -> Result<ModelSettings>;

    /// The model that a spec of this kind describes. The spec may come from a foreign file.
    ///
    /// # Errors
    /// `Spec` when there is none.
    fn rebuild(&self, spec: &ModelSpec) -> Result<Arc<dyn Model>>;

    /// The pass that a spec describes, if it is a pass of its own: those of this crate need no kind to be rebuilt by.
    fn pass(&self, _spec: &StepSpec) -> Option<Result<Box<dyn Pass>>> {
        None
    }
}

/// A model that is to be trained, with its settings.
pub trait Learner: Send + Sync {
    /// The name of its kind.
    fn kind(&self) -> &'static str;

    /// What it learns.
    fn label(&self) -> LabelKind;

    /// Its settings, as a bundle keeps them; [`ModelKind::settings`] takes them too.
    fn settings(&self) -> Value;

    /// Models that the search makes on each fold: iteration limits are points on the path of one.
    fn models(&self) -> usize;

    /// What chooses the model where nothing else is said.
    fn default_metric(&self) -> Metric {
        self.label().default_metric()
    }

    /// Iteration limits; none where the model is not found by iterating.
    fn max_iter(&self) -> &[u32] {
        &[]
    }

    /// Points of the grid.
    fn points(&self) -> usize {
        self.models() * self.max_iter().len().max(1)
    }

    /// Thresholds by class.
    fn thresholds(&self) -> Option<&BTreeMap<String, f64>> {
        None
    }

    /// Whether successive halving spares iterations.
    fn can_halve(&self) -> bool {
        false
    }

    /// Whether it searches along a path of penalties, whose length its scores decide.
    fn has_path(&self) -> bool {
        false
    }

    /// Whether its training can start from an earlier model.
    fn can_start_warm(&self) -> bool {
        false
    }

    /// Its name in a sentence, if its features count something and none may be negative.
    fn counts(&self) -> Option<&'static str> {
        None
    }

    /// Two of its settings that cannot be together.
    fn contradiction(&self) -> Option<Contradiction> {
        None
    }

    /// The same with what its settings leave open decided for so many rows, and why; `None` where nothing is open.
    fn resolved(&self, _size: TrainingSize, _rows: u64) -> Option<(ModelSettings, Option<String>)> {
        None
    }

    /// Refuses dimensions that no training could have, before features are written.
    ///
    /// # Errors
    /// What there is too much of.
    fn check(&self, _features: usize, _classes: usize) -> Result<()> {
        Ok(())
    }

    /// Starts a search over its grid, then a model of the best point on all training rows.
    ///
    /// A grid of one point is not cross-validated: there is nothing to choose. `memory` bounds how many models advance
    /// together, in bytes; it changes nothing but the number of scans.
    ///
    /// # Errors
    /// `Budget` when not even one model fits into memory.
    fn trainer(
        &self,
        search: &SearchSettings,
        size: TrainingSize,
        thresholds: Thresholds,
        memory: u64,
    ) -> Result<Box<dyn Trainer>>;

    /// Bytes of each model that advances or is scored.
    fn model_bytes(&self, size: TrainingSize) -> u64;

    /// Bytes that the sums over the features take besides.
    fn sums_bytes(&self, search: &SearchSettings, size: TrainingSize) -> u64;

    /// Rows and entries that are held at most besides, before there is a model, of so many training rows.
    fn gathered_items(&self, _rows: u64, _entries: u64) -> u64 {
        0
    }

    /// Whether the training of so many rows may find that its model is smaller than [`Learner::model_bytes`] says.
    fn may_shrink(&self, _rows: u64) -> bool {
        false
    }

    /// The changes of which each alone makes a training of this size fit into `available` bytes, the one that changes the
    /// model least first.
    fn ways_out(&self, search: &SearchSettings, size: TrainingSize, available: u64) -> Vec<WayOut>;
}

/// Two settings of a model that cannot be together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction {
    /// The key of one.
    pub key: &'static str,
    /// What is wrong.
    pub message: &'static str,
    /// The key of the other.
    pub other: &'static str,
    /// What the other is.
    pub label: &'static str,
    /// What to change.
    pub help: &'static str,
}

/// A path has one penalty after another, and no grid.
pub(crate) const PATH_OF_LISTS: Contradiction = Contradiction {
    key: "reg_param",
    message: "a path of penalties, `model.reg_param` = \"auto\", goes with no list",
    other: "elastic_net_param",
    label: "a list",
    help: "give one value there, or give values of model.reg_param",
};

/// A change that makes a training fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayOut {
    /// What to do, e.g. `set model.history = 2`.
    pub change: String,
    /// Bytes that one model then takes, with the sums over its features.
    pub bytes: u64,
}

/// `[model]` of a pipeline.
#[derive(Clone)]
pub struct ModelSettings(Arc<dyn Learner>);

impl ModelSettings {
    /// Those of this model.
    pub fn new(learner: impl Learner + 'static) -> Self {
        Self(Arc::new(learner))
    }
}

impl Deref for ModelSettings {
    type Target = dyn Learner;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl PartialEq for ModelSettings {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.settings() == other.settings()
    }
}

impl fmt::Debug for ModelSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.settings())
    }
}

impl Serialize for ModelSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut settings = self.settings();
        settings["kind"] = self.kind().into();
        settings.serialize(serializer)
    }
}
