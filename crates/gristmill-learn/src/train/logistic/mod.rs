//! Logistic regression: the search that the solver asks for, and the memory it takes.

mod family;
pub(crate) mod gather;
pub(crate) mod kind;
pub(crate) mod lifted;
pub(crate) mod memory;
pub(crate) mod objective;
pub(crate) mod refine;
pub(crate) mod scan;
pub(crate) mod settings;

use crate::contract::trainer::Trainer;
use crate::contract::trainer::TrainingSize;
use crate::error::Result;
use crate::model::{Thresholds, Weights};
use crate::search::Search;
use crate::search::grid::folds;
use crate::settings::SearchSettings;
use crate::train::adagrad::family::AdaGrad;
use crate::train::logistic::family::Logistic;
use crate::train::logistic::memory::affordable;
use crate::train::logistic::settings::{LogisticSettings, Solver};
use crate::train::size::F64_ELEMENTS;

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
    let points = settings.grid();
    let sums = sums_bytes(size, folds(&points, search));
    let shape = size.shape(settings.family);
    if settings.solver == Solver::Adagrad {
        affordable(settings, size, model_bytes(settings, size), sums, memory)?;
        let family = AdaGrad::new(settings, size, thresholds, memory - sums);
        return Ok(Box::new(Search::new(
            family,
            search,
            points,
            size.classes,
            size.features,
        )));
    }
    Ok(if shape.len() <= F64_ELEMENTS {
        let family = Logistic::new(settings, size, shape, thresholds, memory, Weights::F64);
        Box::new(Search::new(family, search, points, size.classes, size.features))
    } else {
        let family = Logistic::new(settings, size, shape, thresholds, memory, Weights::F32);
        Box::new(Search::new(family, search, points, size.classes, size.features))
    })
}
