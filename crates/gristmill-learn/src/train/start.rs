//! The trainer that the settings ask for, and the memory it will hold.

use crate::error::{Error, Result};
use crate::model::Thresholds;
use crate::model::bundle::MAX_COEFFICIENT_BYTES;
use crate::search::grid::{folds, grid};
use crate::search::trainer::Trainer;
use crate::settings::{ModelSettings, SearchSettings};
use crate::train::least_squares::linear::{self, linear_search};
use crate::train::logistic::{self, logistic_search};
use crate::train::naive_bayes::{self, naive_bayes_search};
use crate::train::size::{F64_ELEMENTS, TrainingSize};

/// Starts a search over the grid of `settings`, then a model of the best point on all training rows.
///
/// A grid of one point is not cross-validated: there is nothing to choose. `memory` bounds how many models advance
/// together, in bytes; it changes nothing but the number of scans.
///
/// # Errors
/// `ModelTooLarge` when no bundle could hold the model, `Budget` when not even one fits into memory.
pub fn trainer(
    settings: &ModelSettings,
    search: &SearchSettings,
    size: TrainingSize,
    thresholds: Thresholds,
    memory: u64,
) -> Result<Box<dyn Trainer>> {
    check_size(size)?;
    match settings {
        ModelSettings::LogisticRegression(s) => logistic_search(s, search, size, thresholds, memory),
        ModelSettings::NaiveBayes(s) => naive_bayes_search(s, search, size, thresholds, memory),
        ModelSettings::LinearRegression(s) => linear_search(s, search, size, memory),
    }
}

/// Refuses a model before it is trained that could not be read again.
fn check_size(size: TrainingSize) -> Result<()> {
    let sets = if size.classes == 2 { 1 } else { size.classes.max(1) };
    let coefficients = (size.features as u64 + 1).saturating_mul(sets as u64);
    let each = if coefficients > F64_ELEMENTS as u64 { 4 } else { 8 };
    let bytes = coefficients.saturating_mul(each);
    if bytes <= MAX_COEFFICIENT_BYTES {
        return Ok(());
    }
    Err(Error::ModelTooLarge {
        features: size.features,
        classes: size.classes,
        bytes,
        allowed: MAX_COEFFICIENT_BYTES,
    })
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
        ModelSettings::LogisticRegression(s) => logistic::sums_bytes(size, folds(&grid(s), search)),
        ModelSettings::NaiveBayes(s) => naive_bayes::sums_bytes(size, naive_bayes::folds(s, search)),
        ModelSettings::LinearRegression(s) => linear::sums_bytes(s, search, size),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_no_bundle_holds_is_refused_before_training() {
        let size = |features, classes| TrainingSize {
            features,
            classes,
            entries: 40,
        };
        for fits in [size(1, 2), size(1 << 24, 2), size(1 << 24, 40), size(2000, 0)] {
            check_size(fits).unwrap();
        }
        for too_large in [
            size(1 << 24, 50),
            size(1 << 30, 2),
            size(usize::MAX - 1, usize::MAX),
        ] {
            let error = check_size(too_large).unwrap_err().to_string();
            assert!(error.contains("label.min_rows"), "{error}");
        }
    }
}
