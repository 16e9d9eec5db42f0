//! The memory that the training of a logistic regression takes.

use crate::contract::trainer::TrainingSize;
use crate::error::{Error, Result};
use crate::train::adagrad::family as adagrad;
use crate::train::adagrad::state::State;
use crate::train::logistic::objective::Fit;
use crate::train::logistic::refine;
use crate::train::logistic::settings::{LogisticSettings, Solver};
use crate::train::size::F64_ELEMENTS;

/// How many models of `each` bytes fit into `available` ones, `beside` which are taken already; refuses if not one does.
pub(crate) fn affordable(
    settings: &LogisticSettings,
    size: TrainingSize,
    each: u64,
    beside: u64,
    available: u64,
) -> Result<usize> {
    let together = available.saturating_sub(beside) / each.max(1);
    if together > 0 {
        return Ok(together as usize);
    }
    Err(Error::Budget {
        what: match size.classes {
            0 => format!("one linear regression of {} features", size.features),
            classes => format!(
                "one logistic regression of {} features and {classes} classes with history = {}",
                size.features, settings.history
            ),
        },
        needed: beside.saturating_add(each),
        available,
    })
}

/// Bytes that the fit of one model takes at most.
pub(crate) fn model_bytes(settings: &LogisticSettings, size: TrainingSize) -> u64 {
    let shape = size.shape(settings.family);
    if settings.solver == Solver::Adagrad {
        return adagrad::bytes_per_model(shape, size.entries);
    }
    if shape.len() <= F64_ELEMENTS {
        Fit::<f64>::bytes(shape, settings)
    } else {
        Fit::<f32>::bytes(shape, settings)
    }
}

/// Bytes that the sums over the features and the search for symmetries take besides.
pub(crate) fn sums_bytes(settings: &LogisticSettings, size: TrainingSize, folds: usize) -> u64 {
    let places = if settings.reg_param.is_auto() {
        path_bytes(settings, size, folds as u64)
    } else {
        0
    };
    let folds = folds as u64;
    // Two sums of each fold, as they are summed up and as a state; means and deviations of what each fold leaves and of
    // all, and those that are being made.
    let sums = 2 * folds * 2 + 2 * (folds + 1) + 2;
    let of_features = size.features as u64 * (sums * size_of::<f64>() as u64 + refine::BYTES_PER_COLUMN);
    places + of_features + size.classes as u64 * sums * size_of::<f64>() as u64
}

/// Bytes that are kept of the models of a path.
fn path_bytes(settings: &LogisticSettings, size: TrainingSize, folds: u64) -> u64 {
    let shape = size.shape(settings.family);
    if settings.solver == Solver::Adagrad {
        // The best model that was tried, and its best epoch.
        return 2 * State::bytes(shape) as u64;
    }
    let each = if shape.len() <= F64_ELEMENTS {
        size_of::<f64>()
    } else {
        size_of::<f32>()
    };
    // Where the models of the folds stopped, and one that is started from there.
    (folds + 1) * (shape.len() * each) as u64
}
