//! `kind = "logistic_regression"`: its settings, its keys, and what a run asks of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::contract::learner::{Contradiction, Learner, ModelKind, ModelSettings, PATH_OF_LISTS, WayOut};
use crate::contract::model::{Model, ModelSpec};
use crate::contract::spec::read_settings;
use crate::contract::trainer::{Trainer, TrainingSize};
use crate::error::{Error, Result};
use crate::model::{LinearKind, LinearModel, Thresholds};
use crate::settings::{Key, LabelKind, Metric, Numbers, Preset, SearchSettings, Values};
use crate::train::budget::{fewer_features, way_out};
use crate::train::logistic::settings::{Family, LogisticSettings, Solver};
use crate::train::logistic::{gather, logistic_search, memory};
use crate::train::naive_bayes::settings::NaiveBayesSettings;
use crate::train::size::refuse_too_large;

const KIND: &str = "logistic_regression";

/// `kind = "logistic_regression"`.
pub(crate) struct LogisticRegression;

impl ModelKind for LogisticRegression {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "Binomial or multinomial logistic regression, with the objective, the conventions and the defaults of Spark ML."
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
                      sizes, and `reg_param` × (1 − `elastic_net_param`) / 2 times that of their squares. Above 0 the model \
                      is fitted by OWL-QN, and coefficients become exactly 0.",
            },
            Key {
                name: "max_iter",
                values: Values::Axis(&Values::Integer {
                    least: 1,
                    most: u32::MAX as u64,
                }),
                default: Preset::Integer(100),
                doc: "Most iterations of L-BFGS or OWL-QN, or epochs of AdaGrad.",
            },
            Key {
                name: "tol",
                values: Values::Number(Numbers::Positive),
                default: Preset::Number(1e-6),
                doc: "Convergence tolerance.",
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
            Key {
                name: "family",
                values: Values::Words(&["auto", "binomial", "multinomial"]),
                default: Preset::Word("auto"),
                doc: "The likelihood; `\"auto\"` is binomial for two classes, else multinomial.",
            },
            Key {
                name: "solver",
                values: Values::Words(&["auto", "lbfgs", "adagrad"]),
                default: Preset::Word("auto"),
                doc: "How the objective is minimised, see below.",
            },
            Key {
                name: "history",
                values: Values::Integer { least: 1, most: 100 },
                default: Preset::Integer(10),
                doc: "Corrections that L-BFGS and OWL-QN keep.",
            },
            Key {
                name: "thresholds",
                values: Values::Thresholds,
                default: Preset::Nothing,
                doc: "The class with the largest probability over threshold is predicted, in the search, the scores and \
                      `predict`. It names every class; one threshold at most is 0.",
            },
        ]
    }

    fn spark(&self) -> &'static [(&'static str, Preset)] {
        &[("reg_param", Preset::Number(0.0))]
    }

    fn notes(&self) -> &'static str {
        "`reg_param = \"auto\"` tries penalties from the smallest that is sure to leave nothing but the intercepts (0.5, the most that a\n\
         standardised feature and a class can have in common, over the L1 share, which counts as 0.001 at least as in glmnet) downwards,\n\
         two to a decade, each model starting where the one before stopped, until two in a row have a larger log loss than the best or are\n\
         no better than the one before; ten decades at most. The folds of `[search]` score them, or the validation rows where a scan takes more than 2^21 multiply-adds (rows\n\
         × entries of a row × sets of coefficients), unless there are none or `search.choose` asks for a standard error. AdaGrad's path is\n\
         0.01, 0.001 and 0.0001, tried side by side (beyond 2^21 multiply-adds for two epochs), and scored on the validation rows: stopping\n\
         early does most of what its penalty does. The model of the best penalty is the one that its value would give if it were typed.\n\n\
         `solver = \"lbfgs\"` goes over all training rows for each step and meets the minimum as closely as `tol` says. `\"adagrad\"`\n\
         steps after every 128 rows (512 from 262,144 training rows on), and has a good model after one epoch or a few, for very many\n\
         rows long before L-BFGS has; it does not support an L1 penalty. It minimises the same objective (`reg_param` and `standardization` mean the same) in single precision, and\n\
         stops when an epoch does not lower the log loss of the validation split by the share `tol` of it, at the model before (without a\n\
         validation split: the loss of the training rows). Its steps need no setting. `\"auto\"` is AdaGrad where the rows of the features\n\
         times the classes (1 for the binomial family) are 2^30 or more, and with `reg_param = \"auto\"` where the features are 16 times\n\
         the entries of a row or more: on sparse rows it finds better models. With an L1 share, and else, it is L-BFGS. `-v` says so."
    }

    fn settings(&self, settings: Value) -> Result<ModelSettings> {
        read_settings::<LogisticSettings>(KIND, settings).map(ModelSettings::new)
    }

    fn rebuild(&self, spec: &ModelSpec) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(LinearModel::from_spec(
            LinearKind::LogisticRegression,
            spec,
        )?))
    }
}

impl Learner for LogisticSettings {
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
        match self.ladder(2) {
            Some(ladder) => ladder.most(),
            None => self.reg_param.values().len() * self.elastic_net_param.len(),
        }
    }

    fn default_metric(&self) -> Metric {
        if self.reg_param.is_auto() {
            Metric::LogLoss
        } else {
            self.label().default_metric()
        }
    }

    fn has_path(&self) -> bool {
        self.reg_param.is_auto()
    }

    fn max_iter(&self) -> &[u32] {
        &self.max_iter
    }

    fn thresholds(&self) -> Option<&BTreeMap<String, f64>> {
        self.thresholds.as_ref()
    }

    fn can_halve(&self) -> bool {
        !self.reg_param.is_auto()
    }

    fn can_start_warm(&self) -> bool {
        true
    }

    fn contradiction(&self) -> Option<Contradiction> {
        let lists = [
            ("elastic_net_param", self.elastic_net_param.len()),
            ("max_iter", self.max_iter.len()),
        ];
        let list = lists.into_iter().find(|(_, values)| *values > 1);
        if let (true, Some((other, _))) = (self.reg_param.is_auto(), list) {
            return Some(Contradiction {
                other,
                ..PATH_OF_LISTS
            });
        }
        (self.solver == Solver::Adagrad && self.has_l1()).then_some(Contradiction {
            key: "solver",
            message: "`model.solver` = \"adagrad\" does not support an L1 penalty",
            other: "elastic_net_param",
            label: "an L1 share",
            help: "leave model.elastic_net_param away, or set solver = \"lbfgs\"",
        })
    }

    fn resolved(&self, size: TrainingSize, rows: u64) -> Option<(ModelSettings, Option<String>)> {
        let (solver, why) = size.solver(self, rows);
        let resolved = Self {
            solver,
            ..self.clone()
        };
        Some((ModelSettings::new(resolved), why))
    }

    fn check(&self, _features: usize, classes: usize) -> Result<()> {
        if self.family == Family::Binomial && classes > 2 {
            return Err(Error::BinomialClasses { classes });
        }
        Ok(())
    }

    fn trainer(
        &self,
        search: &SearchSettings,
        size: TrainingSize,
        thresholds: Thresholds,
        memory: u64,
    ) -> Result<Box<dyn Trainer>> {
        refuse_too_large(size)?;
        logistic_search(self, search, size, thresholds, memory)
    }

    fn model_bytes(&self, size: TrainingSize) -> u64 {
        memory::model_bytes(self, size)
    }

    fn sums_bytes(&self, search: &SearchSettings, size: TrainingSize) -> u64 {
        memory::sums_bytes(self, size, self.folds(search))
    }

    fn gathered_items(&self, rows: u64, entries: u64) -> u64 {
        if self.may_shrink(rows) {
            gather::gathered_items(rows, entries)
        } else {
            0
        }
    }

    fn may_shrink(&self, rows: u64) -> bool {
        self.solver != Solver::Adagrad && gather::may_be_lifted(rows)
    }

    fn ways_out(&self, search: &SearchSettings, size: TrainingSize, available: u64) -> Vec<WayOut> {
        let fits = |way: &WayOut| way.bytes <= available;
        let mut ways = Vec::new();
        if self.solver != Solver::Adagrad {
            let shorter = |history| {
                let changed = Self {
                    history,
                    ..self.clone()
                };
                way_out(format!("set model.history = {history}"), &changed, search, size)
            };
            ways.extend((1..self.history).rev().map(shorter).find(fits));
            if !self.has_l1() {
                let changed = Self {
                    solver: Solver::Adagrad,
                    ..self.clone()
                };
                let change = "set model.solver = \"adagrad\"".to_owned();
                ways.extend(Some(way_out(change, &changed, search, size)).filter(fits));
            }
        }
        ways.extend(fewer_features(self, search, size, available));
        let counted = NaiveBayesSettings {
            smoothing: vec![1.0],
            thresholds: None,
        };
        let change = "set model.kind = \"naive_bayes\"".to_owned();
        ways.extend(Some(way_out(change, &counted, search, size)).filter(fits));
        ways
    }
}
