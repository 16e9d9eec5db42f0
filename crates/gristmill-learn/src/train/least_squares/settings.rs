//! The settings of a linear regression.

use serde::{Deserialize, Serialize};

use crate::contract::trainer::SearchPoint;
use crate::search::grid::{ElasticNetParams, combined};

/// Most features of a linear regression, as many as Spark ML solves so: of each fold the sums of their products take 67 MB.
pub const MAX_LINEAR_FEATURES: usize = 4096;

/// `[model] kind = "linear_regression"`; names and defaults are Spark ML's. A list is an axis of the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearSettings {
    /// Regularisation strengths. Default `[0.0]`.
    pub reg_param: Vec<f64>,
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
    /// Every combination of the axes.
    pub(crate) fn grid(&self) -> Vec<SearchPoint<ElasticNetParams>> {
        combined(&self.reg_param, &self.elastic_net_param, &self.max_iter)
    }
}
