//! Logistic regression: the search that the solver asks for, and the memory it takes.

pub(crate) mod gather;
pub(crate) mod lifted;
mod memory;
pub(crate) mod objective;
pub(crate) mod refine;
pub(crate) mod running;
pub(crate) mod scan;
pub(crate) mod search;

use crate::error::Result;
use crate::model::{Thresholds, Weights};
use crate::search::grid::grid;
use crate::search::trainer::Trainer;
use crate::settings::{LogisticSettings, SearchSettings, Solver};
use crate::train::adagrad::search::EpochSearch;
use crate::train::logistic::memory::affordable;
use crate::train::logistic::search::LogisticSearch;
use crate::train::size::{F64_ELEMENTS, TrainingSize};

pub(crate) use memory::{model_bytes, sums_bytes};

/// A search over the grid of `settings`, then a refit of the best on all training rows.
///
/// A grid of one point is fitted without cross-validation: there is nothing to choose. `memory` bounds how many models
/// advance together, in bytes; it changes nothing but the number of scans.
///
/// # Errors
/// `Budget` when not even one model fits; for L-BFGS and OWL-QN the trainer finds that out, once it knows the symmetries.
pub fn logistic_search(
    settings: &LogisticSettings,
    search: &SearchSettings,
    size: TrainingSize,
    thresholds: Thresholds,
    memory: u64,
) -> Result<Box<dyn Trainer>> {
    let available = memory.saturating_sub(sums_bytes(size, search.folds));
    let shape = size.shape(settings.family);
    if settings.solver == Solver::Adagrad {
        affordable(settings, size, model_bytes(settings, size), available)?;
        let points = grid(settings);
        let search = EpochSearch::new(settings, search, size, shape, points, thresholds, available);
        return Ok(Box::new(search));
    }
    Ok(if shape.len() <= F64_ELEMENTS {
        Box::new(LogisticSearch::<f64>::new(
            settings,
            search,
            size,
            shape,
            thresholds,
            available,
            Weights::F64,
        ))
    } else {
        Box::new(LogisticSearch::<f32>::new(
            settings,
            search,
            size,
            shape,
            thresholds,
            available,
            Weights::F32,
        ))
    })
}
