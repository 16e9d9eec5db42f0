//! The settings of a factorised softmax.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[model] kind = "factorized_softmax"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactorisedSettings {
    /// Numbers of the vector of each feature. Default 48.
    pub dimension: u32,
    /// Most epochs. Default 10.
    pub max_iter: u32,
    /// The share by which an epoch must lower the loss for another one to follow. Default 1e-6.
    pub tol: f64,
    /// As [`crate::train::LogisticSettings::thresholds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<BTreeMap<String, f64>>,
}
