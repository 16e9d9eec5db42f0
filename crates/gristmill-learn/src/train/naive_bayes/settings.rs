//! The settings of naive Bayes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[model] kind = "naive_bayes"`; Spark ML's `NaiveBayes` with `modelType = "multinomial"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NaiveBayesSettings {
    /// Added to every sum. Default `[1.0]`; a list is an axis of the grid.
    pub smoothing: Vec<f64>,
    /// As [`crate::train::LogisticSettings::thresholds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<BTreeMap<String, f64>>,
}
