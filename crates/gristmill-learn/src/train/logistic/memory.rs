//! The memory that the training of a logistic regression takes.

use crate::error::{Error, Result};
use crate::settings::{LogisticSettings, Solver};
use crate::train::adagrad::family as adagrad;
use crate::train::logistic::objective::Fit;
use crate::train::logistic::refine;
use crate::train::size::{F64_ELEMENTS, TrainingSize};

/// Refuses models that need more memory than there is.
pub(crate) fn affordable(
    settings: &LogisticSettings,
    size: TrainingSize,
    each: u64,
    available: u64,
) -> Result<()> {
    if each <= available {
        return Ok(());
    }
    Err(Error::Budget {
        what: format!(
            "one logistic regression of {} features and {} classes with history = {}",
            size.features, size.classes, settings.history
        ),
        needed: each,
        available,
    })
}

/// Bytes that the fit of one model takes at most.
pub(crate) fn model_bytes(settings: &LogisticSettings, size: TrainingSize) -> u64 {
    let shape = size.shape(settings.family);
    if settings.solver == Solver::Adagrad {
        return adagrad::bytes_per_model(shape);
    }
    if shape.len() <= F64_ELEMENTS {
        Fit::<f64>::bytes(shape, settings)
    } else {
        Fit::<f32>::bytes(shape, settings)
    }
}

/// Bytes that the sums over the features and the search for symmetries take besides.
pub(crate) fn sums_bytes(size: TrainingSize, folds: u32) -> u64 {
    let sums = u64::from(folds.max(1)) * 2 * size_of::<f64>() as u64 * 2;
    size.features as u64 * (sums + refine::BYTES_PER_COLUMN)
}
