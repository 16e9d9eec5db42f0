//! The trainer that the settings ask for, and the memory it will hold.

use crate::error::Result;
use crate::model::Thresholds;
use crate::search::trainer::Trainer;
use crate::settings::{ModelSettings, SearchSettings};
use crate::train::least_squares::linear::{self, linear_search};
use crate::train::logistic::{self, logistic_search};
use crate::train::naive_bayes::{self, naive_bayes_search};
use crate::train::size::TrainingSize;

/// Starts a search over the grid of `settings`, then a model of the best point on all training rows.
///
/// A grid of one point is not cross-validated: there is nothing to choose. `memory` bounds how many models advance
/// together, in bytes; it changes nothing but the number of scans.
///
/// # Errors
/// `Budget` when not even one model fits.
pub fn trainer(
    settings: &ModelSettings,
    search: &SearchSettings,
    size: TrainingSize,
    thresholds: Thresholds,
    memory: u64,
) -> Result<Box<dyn Trainer>> {
    match settings {
        ModelSettings::LogisticRegression(s) => logistic_search(s, search, size, thresholds, memory),
        ModelSettings::NaiveBayes(s) => naive_bayes_search(s, search, size, thresholds, memory),
        ModelSettings::LinearRegression(s) => linear_search(s, search, size, memory),
    }
}

/// Bytes of each model that advances or is scored.
pub fn model_bytes(settings: &ModelSettings, size: TrainingSize) -> u64 {
    match settings {
        ModelSettings::LogisticRegression(s) => logistic::model_bytes(s, size),
        ModelSettings::NaiveBayes(_) => naive_bayes::model_bytes(size),
        ModelSettings::LinearRegression(_) => linear::model_bytes(size),
    }
}

/// Bytes that the sums over the features take besides.
pub fn sums_bytes(settings: &ModelSettings, search: &SearchSettings, size: TrainingSize) -> u64 {
    match settings {
        ModelSettings::LogisticRegression(_) => logistic::sums_bytes(size, search.folds),
        ModelSettings::NaiveBayes(s) => naive_bayes::sums_bytes(size, naive_bayes::folds(s, search)),
        ModelSettings::LinearRegression(s) => linear::sums_bytes(s, search, size),
    }
}
