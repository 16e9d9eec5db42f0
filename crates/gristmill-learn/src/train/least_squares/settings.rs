//! The settings of a linear regression.

use serde::{Deserialize, Serialize};

use crate::contract::trainer::SearchPoint;
use crate::search::grid::{ElasticNetParams, combined};
use crate::search::ladder::NUMBER_RUNGS;
use crate::settings::{RegParam, SearchSettings};
use crate::train::logistic::settings::{Family, LogisticSettings, Solver};

/// Corrections that L-BFGS and OWL-QN keep, as in Spark.
pub(crate) const HISTORY: usize = 10;

/// Most features of a linear regression that is solved from the sums of their products, as many as Spark ML solves so: of each fold
/// the sums take 67 MB. With more of them it is minimised by scans.
pub const MAX_LINEAR_FEATURES: usize = 4096;

/// `[model] kind = "linear_regression"`; names and defaults are Spark ML's. A list is an axis of the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearSettings {
    /// Regularisation strengths. Default `auto`.
    pub reg_param: RegParam,
    /// Share of L1 in the penalty. Default `[0.0]`.
    pub elastic_net_param: Vec<f64>,
    /// Iteration limits: points on one path. Default `[100]`. Without an L1 part nothing is iterated.
    pub max_iter: Vec<u32>,
    /// Convergence tolerance. Default 1e-6.
    pub tol: f64,
    /// Whether to fit an (unpenalised) intercept. Default true.
    pub fit_intercept: bool,
    /// Whether the penalty is on the coefficients of standardised features. Default true.
    pub standardization: bool,
}

impl LinearSettings {
    /// Every combination of the axes, with these strengths of the penalty where a path is wanted.
    pub(crate) fn grid(&self, path: &[f64]) -> Vec<SearchPoint<ElasticNetParams>> {
        let strengths = match &self.reg_param {
            RegParam::Auto => path,
            RegParam::Values(values) => values,
        };
        combined(strengths, &self.elastic_net_param, &self.max_iter)
    }

    /// How many combinations there are.
    pub(crate) fn points(&self) -> usize {
        let strengths = match &self.reg_param {
            RegParam::Auto => NUMBER_RUNGS,
            RegParam::Values(values) => values.len(),
        };
        strengths * self.elastic_net_param.len() * self.max_iter.len()
    }

    /// The settings of its minimisation by scans.
    pub(crate) fn by_scans(&self) -> LogisticSettings {
        LogisticSettings {
            reg_param: self.reg_param.clone(),
            elastic_net_param: self.elastic_net_param.clone(),
            max_iter: self.max_iter.clone(),
            tol: self.tol,
            fit_intercept: self.fit_intercept,
            standardization: self.standardization,
            // One set of coefficients.
            family: Family::Binomial,
            solver: Solver::Lbfgs,
            history: HISTORY as u32,
            thresholds: None,
        }
    }

    /// Folds of the search; 1, which is none, where there is nothing to choose.
    pub(crate) fn folds(&self, search: &SearchSettings) -> usize {
        if self.points() > 1 {
            search.folds.max(2) as usize
        } else {
            1
        }
    }
}
