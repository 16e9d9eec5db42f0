//! The settings of a logistic regression.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::trainer::SearchPoint;
use crate::search::grid::{ElasticNetParams, combined, folds};
use crate::search::ladder::Ladder;
use crate::settings::{RegParam, SearchSettings};

/// `[model] kind = "logistic_regression"`; names and defaults are Spark ML's. A list is an axis of the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogisticSettings {
    /// Regularisation strengths. Default `auto`.
    pub reg_param: RegParam,
    /// Share of L1 in the penalty. Default `[0.0]`.
    pub elastic_net_param: Vec<f64>,
    /// Iteration limits: points on one path. Default `[100]`.
    pub max_iter: Vec<u32>,
    /// Convergence tolerance. Default 1e-6.
    pub tol: f64,
    /// Whether to fit an (unpenalised) intercept. Default true.
    pub fit_intercept: bool,
    /// Whether the penalty is on the coefficients of standardised features. Default true.
    pub standardization: bool,
    /// Default `auto`: binomial for two classes, else multinomial.
    pub family: Family,
    /// Default `auto`.
    pub solver: Solver,
    /// Corrections kept by L-BFGS or OWL-QN. Default 10, as in Spark ML.
    pub history: u32,
    /// By class: the class with the largest probability over threshold is predicted (Spark's `thresholds`).
    /// Default: the most likely class is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<BTreeMap<String, f64>>,
}

/// How the objective is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// `adagrad` for very many rows, else `lbfgs`: see [`crate::train::TrainingSize::solver`].
    Auto,
    /// Full gradients: each iteration is a scan, and the minimum is met as closely as `tol` says.
    Lbfgs,
    /// Mini-batches: each iteration is an epoch, and the training stops early by the validation split.
    Adagrad,
}

/// The likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Binomial for two classes, else multinomial.
    Auto,
    /// One set of coefficients, for the second class against the first.
    Binomial,
    /// Softmax without a pivot: one set of coefficients a class.
    Multinomial,
}

impl LogisticSettings {
    /// Every combination of the axes; none where a path is wanted.
    pub(crate) fn grid(&self) -> Vec<SearchPoint<ElasticNetParams>> {
        combined(self.reg_param.values(), &self.elastic_net_param, &self.max_iter)
    }

    /// Folds of its search; 1, which is none, where there is nothing to choose.
    pub(crate) fn folds(&self, search: &SearchSettings) -> usize {
        if self.reg_param.is_auto() {
            search.folds.max(2) as usize
        } else {
            folds(&self.grid(), search)
        }
    }

    /// The path of its penalties, where one is wanted.
    pub(crate) fn ladder(&self, classes: usize) -> Option<Ladder> {
        let share = self.elastic_net_param.first().copied().unwrap_or(0.0);
        self.reg_param.is_auto().then(|| match self.solver {
            Solver::Adagrad => Ladder::of_epochs(),
            Solver::Auto | Solver::Lbfgs if classes == 0 => Ladder::of_scans(share),
            Solver::Auto | Solver::Lbfgs => Ladder::of_classes(share),
        })
    }

    /// Whether a penalty has an L1 share.
    pub(super) fn has_l1(&self) -> bool {
        self.elastic_net_param.iter().any(|share| *share > 0.0)
    }
}
