//! `kind = "factorized_softmax"`: its settings, its keys, and what a run asks of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::contract::learner::{Learner, ModelKind, ModelSettings, WayOut};
use crate::contract::model::{Model, ModelSpec};
use crate::contract::spec::read_settings;
use crate::contract::trainer::{Trainer, TrainingSize};
use crate::error::{Error, Result};
use crate::model::Thresholds;
use crate::model::bundle::MAX_COEFFICIENT_BYTES;
use crate::model::factorised::FactorisedModel;
use crate::rows::factors::{Dimensions, Factors, KIND};
use crate::settings::{Key, LabelKind, Numbers, Preset, SearchSettings, Values};
use crate::train::budget::{fewer_features, way_out};
use crate::train::factorised::settings::FactorisedSettings;
use crate::train::factorised::trainer::{FactorisedTrainer, bytes, summary_bytes};

/// `kind = "factorized_softmax"`.
pub(crate) struct FactorisedSoftmax;

impl ModelKind for FactorisedSoftmax {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A multinomial logistic regression whose coefficients are a product: every feature has a vector of `dimension` numbers, a row has\n\
         the sum of those of its features, and every class has one that it is multiplied with. This is the model of fastText (Joulin et\n\
         al. 2016). With many features and many classes it is smaller than a logistic regression, faster to train, and often better,\n\
         since what is learnt of a feature with one class helps with the others."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: "dimension",
                values: Values::Integer {
                    least: 1,
                    most: FactorisedModel::MOST_DIMENSIONS,
                },
                default: Preset::Integer(48),
                doc: "Numbers of the vector of each feature. Multiples of 16 are the fastest.",
            },
            Key {
                name: "max_iter",
                values: Values::Integer {
                    least: 1,
                    most: u32::MAX as u64,
                },
                default: Preset::Integer(10),
                doc: "Most epochs.",
            },
            Key {
                name: "tol",
                values: Values::Number(Numbers::Positive),
                default: Preset::Number(1e-6),
                doc: "An epoch must lower the log loss by this share of it for another one to follow.",
            },
            Key {
                name: "thresholds",
                values: Values::Thresholds,
                default: Preset::Nothing,
                doc: "As for logistic regression.",
            },
        ]
    }

    fn notes(&self) -> &'static str {
        "It is trained by AdaGrad on mini-batches of 128 rows (512 from 262,144 training rows on), whose steps need no setting. The log\n\
         loss of the validation split is what stops it, mostly after one to three epochs, and the epoch with the lowest one is the model:\n\
         there is no penalty. So keep a validation split; without one the loss of the training rows decides, which falls for too long, and\n\
         `max_iter` should be 1 or 2. The vectors start from numbers that depend on nothing but the place of a feature."
    }

    fn settings(&self, settings: Value) -> Result<ModelSettings> {
        read_settings::<FactorisedSettings>(KIND, settings).map(ModelSettings::new)
    }

    fn rebuild(&self, spec: &ModelSpec) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(FactorisedModel::from_spec(spec)?))
    }
}

impl FactorisedSettings {
    /// The dimensions of a model.
    pub(crate) fn dimensions(&self, size: TrainingSize) -> Dimensions {
        Dimensions {
            features: size.features,
            classes: size.classes.max(2),
            hidden: self.dimension as usize,
        }
    }
}

impl Learner for FactorisedSettings {
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
        1
    }

    fn max_iter(&self) -> &[u32] {
        std::slice::from_ref(&self.max_iter)
    }

    fn thresholds(&self) -> Option<&BTreeMap<String, f64>> {
        self.thresholds.as_ref()
    }

    fn trainer(
        &self,
        _search: &SearchSettings,
        size: TrainingSize,
        _thresholds: Thresholds,
        memory: u64,
    ) -> Result<Box<dyn Trainer>> {
        let dimensions = self.dimensions(size);
        let model = Factors::bytes(dimensions) as u64;
        if model > MAX_COEFFICIENT_BYTES {
            return Err(Error::ModelTooLarge {
                features: size.features,
                classes: size.classes,
                bytes: model,
                allowed: MAX_COEFFICIENT_BYTES,
            });
        }
        let needed = bytes(dimensions, size.entries) + summary_bytes(size);
        if needed > memory {
            return Err(Error::Budget {
                what: format!(
                    "a factorised softmax of {} features, {} classes and dimension {}",
                    size.features, size.classes, self.dimension
                ),
                needed,
                available: memory,
            });
        }
        Ok(Box::new(FactorisedTrainer::new(self, dimensions)))
    }

    fn model_bytes(&self, size: TrainingSize) -> u64 {
        bytes(self.dimensions(size), size.entries)
    }

    fn sums_bytes(&self, _search: &SearchSettings, size: TrainingSize) -> u64 {
        summary_bytes(size)
    }

    fn ways_out(&self, search: &SearchSettings, size: TrainingSize, available: u64) -> Vec<WayOut> {
        let smaller = |dimension| {
            let changed = Self {
                dimension,
                ..self.clone()
            };
            way_out(
                format!("set model.dimension = {dimension}"),
                &changed,
                search,
                size,
            )
        };
        let dimensions = [32, 16, 8]
            .into_iter()
            .filter(|dimension| *dimension < self.dimension);
        let fits = dimensions.map(smaller).find(|way| way.bytes <= available);
        let mut ways: Vec<WayOut> = fits.into_iter().collect();
        ways.extend(fewer_features(self, search, size, available));
        ways
    }
}
