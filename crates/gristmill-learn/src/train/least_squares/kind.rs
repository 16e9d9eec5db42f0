//! `kind = "linear_regression"`: its settings, its keys, and what a run asks of it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::contract::learner::{Contradiction, Learner, ModelKind, ModelSettings, PATH_OF_LISTS, WayOut};
use crate::contract::model::{Model, ModelSpec};
use crate::contract::spec::read_settings;
use crate::contract::trainer::{Trainer, TrainingSize};
use crate::error::Result;
use crate::model::{LinearKind, LinearModel, Thresholds};
use crate::settings::{Key, LabelKind, Numbers, Preset, SearchSettings, Values};
use crate::train::budget::fewer_features;
use crate::train::least_squares::linear::{linear_search, model_bytes, sums_bytes};
use crate::train::least_squares::settings::LinearSettings;
use crate::train::size::refuse_too_large;

const KIND: &str = "linear_regression";

/// `kind = "linear_regression"`.
pub(crate) struct LinearRegression;

impl ModelKind for LinearRegression {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "Least squares with L2, L1 or both, with the objective, the conventions and the defaults of Spark ML's\n\
         `LinearRegression`: half the weighted mean of the squared errors, plus the penalty."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: "reg_param",
                values: Values::WordOr(&["auto"], &Values::Axis(&Values::Number(Numbers::NotNegative))),
                default: Preset::Word("auto"),
                doc: "Strength of the penalty; `\"auto\"` finds it on a path, see below. Spark ML's default is `0.0`.",
            },
            Key {
                name: "elastic_net_param",
                values: Values::Axis(&Values::Number(Numbers::Share)),
                default: Preset::Number(0.0),
                doc: "Share of L1 in the penalty: `reg_param` × `elastic_net_param` times the sum of the coefficients' \
                      sizes, and `reg_param` × (1 − `elastic_net_param`) / (2 `s`) times that of their squares, where `s` is \
                      the label's standard deviation: as in glmnet, the L2 part is relative to it. Above 0 coefficients \
                      become exactly 0.",
            },
            Key {
                name: "max_iter",
                values: Values::Axis(&Values::Integer {
                    least: 1,
                    most: u32::MAX as u64,
                }),
                default: Preset::Integer(100),
                doc: "Most iterations of OWL-QN. Without an L1 part the equations are solved, and nothing is iterated \
                      unless they are singular.",
            },
            Key {
                name: "tol",
                values: Values::Number(Numbers::Positive),
                default: Preset::Number(1e-6),
                doc: "Convergence tolerance of the iterations.",
            },
            Key {
                name: "fit_intercept",
                values: Values::Boolean,
                default: Preset::Boolean(true),
                doc: "Whether to fit an intercept, which is not penalised.",
            },
            Key {
                name: "standardization",
                values: Values::Boolean,
                default: Preset::Boolean(true),
                doc: "Whether the penalty is on the coefficients of standardised features.",
            },
        ]
    }

    fn spark(&self) -> &'static [(&'static str, Preset)] {
        &[("reg_param", Preset::Number(0.0))]
    }

    fn notes(&self) -> &'static str {
        "`reg_param = \"auto\"` tries 31 penalties from the smallest that leaves nothing but the intercept (the steepest slope over the L1\n\
         share, which counts as 0.001 at least as in glmnet) downwards, three to a decade, on the folds of `[search]`.\n\n\
         One scan sums the products of all pairs of columns, and every fold and penalty is solved from these; a second one scores the\n\
         search. The sums are of every pair: with more than 4,096 features it is L-BFGS or OWL-QN instead, a scan an iteration, and a path\n\
         ends as that of a logistic regression does, by the root of the mean squared error. A constant\n\
         feature has coefficient 0. A constant label is predicted by the intercept; without one a penalty on it is refused. `predict`\n\
         writes the column `prediction`."
    }

    fn settings(&self, settings: Value) -> Result<ModelSettings> {
        read_settings::<LinearSettings>(KIND, settings).map(ModelSettings::new)
    }

    fn rebuild(&self, spec: &ModelSpec) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(LinearModel::from_spec(
            LinearKind::LinearRegression,
            spec,
        )?))
    }
}

impl Learner for LinearSettings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn label(&self) -> LabelKind {
        LabelKind::Number
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn models(&self) -> usize {
        self.points() / self.max_iter.len().max(1)
    }

    fn has_path(&self) -> bool {
        self.reg_param.is_auto()
    }

    fn max_iter(&self) -> &[u32] {
        &self.max_iter
    }

    fn contradiction(&self) -> Option<Contradiction> {
        let lists = [
            ("elastic_net_param", self.elastic_net_param.len()),
            ("max_iter", self.max_iter.len()),
        ];
        let (other, _) = lists.into_iter().find(|(_, values)| *values > 1)?;
        self.reg_param.is_auto().then_some(Contradiction {
            other,
            ..PATH_OF_LISTS
        })
    }

    fn trainer(
        &self,
        search: &SearchSettings,
        size: TrainingSize,
        _thresholds: Thresholds,
        memory: u64,
    ) -> Result<Box<dyn Trainer>> {
        refuse_too_large(size)?;
        linear_search(self, search, size, memory)
    }

    fn model_bytes(&self, size: TrainingSize) -> u64 {
        model_bytes(self, size)
    }

    fn sums_bytes(&self, search: &SearchSettings, size: TrainingSize) -> u64 {
        sums_bytes(self, search, size)
    }

    fn ways_out(&self, search: &SearchSettings, size: TrainingSize, available: u64) -> Vec<WayOut> {
        fewer_features(self, search, size, available)
            .into_iter()
            .collect()
    }
}
