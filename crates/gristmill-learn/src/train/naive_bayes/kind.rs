//! `kind = "naive_bayes"`: its settings, its keys, and what a run asks of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::contract::learner::{Learner, ModelKind, ModelSettings, WayOut};
use crate::contract::model::{Model, ModelSpec};
use crate::contract::spec::read_settings;
use crate::contract::trainer::{Trainer, TrainingSize};
use crate::error::Result;
use crate::model::{LinearKind, LinearModel, Thresholds};
use crate::settings::{Key, LabelKind, Numbers, Preset, SearchSettings, Values};
use crate::train::budget::fewer_features;
use crate::train::naive_bayes::settings::NaiveBayesSettings;
use crate::train::naive_bayes::{folds, model_bytes, naive_bayes_search, sums_bytes};
use crate::train::size::refuse_too_large;

const KIND: &str = "naive_bayes";

/// `kind = "naive_bayes"`.
pub(crate) struct NaiveBayes;

impl ModelKind for NaiveBayes {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "Multinomial naive Bayes, as Spark ML's `NaiveBayes`: it needs one scan, and is the floor that other models must beat. Its\n\
         features count something, so none may be negative: a numeric one needs `scale = \"none\"`."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: "smoothing",
                values: Values::Axis(&Values::Number(Numbers::Positive)),
                default: Preset::Number(1.0),
                doc: "Added to every feature's sum in every class, and to the rows of every class.",
            },
            Key {
                name: "thresholds",
                values: Values::Thresholds,
                default: Preset::Nothing,
                doc: "As for logistic regression.",
            },
        ]
    }

    fn settings(&self, settings: Value) -> Result<ModelSettings> {
        read_settings::<NaiveBayesSettings>(KIND, settings).map(ModelSettings::new)
    }

    fn rebuild(&self, spec: &ModelSpec) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(LinearModel::from_spec(LinearKind::NaiveBayes, spec)?))
    }
}

impl Learner for NaiveBayesSettings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn label(&self) -> LabelKind {
        LabelKind::Class
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn models(&self) -> usize {
        self.smoothing.len()
    }

    fn thresholds(&self) -> Option<&BTreeMap<String, f64>> {
        self.thresholds.as_ref()
    }

    fn counts(&self) -> Option<&'static str> {
        Some("naive Bayes")
    }

    fn trainer(
        &self,
        search: &SearchSettings,
        size: TrainingSize,
        thresholds: Thresholds,
        memory: u64,
    ) -> Result<Box<dyn Trainer>> {
        refuse_too_large(size)?;
        naive_bayes_search(self, search, size, thresholds, memory)
    }

    fn model_bytes(&self, size: TrainingSize) -> u64 {
        model_bytes(size)
    }

    fn sums_bytes(&self, search: &SearchSettings, size: TrainingSize) -> u64 {
        sums_bytes(size, folds(self, search))
    }

    fn ways_out(&self, search: &SearchSettings, size: TrainingSize, available: u64) -> Vec<WayOut> {
        fewer_features(self, search, size, available)
            .into_iter()
            .collect()
    }
}
