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
use crate::search::family::Family as ModelFamily;
use crate::search::path::{PathSearch, Plan};
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
    let sums = sums_bytes(settings, size, settings.folds(search));
    let shape = size.shape(settings.family);
    if settings.solver == Solver::Adagrad {
        affordable(settings, size, model_bytes(settings, size), sums, memory)?;
        let family = AdaGrad::new(settings, size, thresholds, memory - sums);
        return Ok(searched(family, settings, search, size));
    }
    Ok(if shape.len() <= F64_ELEMENTS {
        let family = Logistic::new(settings, size, shape, thresholds, memory, Weights::F64);
        searched(family, settings, search, size)
    } else {
        let family = Logistic::new(settings, size, shape, thresholds, memory, Weights::F32);
        searched(family, settings, search, size)
    })
}

/// The search that the settings ask for: along a path, or over a grid.
fn searched<F: ModelFamily + 'static>(
    family: F,
    settings: &LogisticSettings,
    search: &SearchSettings,
    size: TrainingSize,
) -> Box<dyn Trainer> {
    let (classes, features) = (size.classes, size.features);
    let Some(ladder) = settings.ladder(classes) else {
        return Box::new(Search::new(family, search, settings.grid(), classes, features));
    };
    let plan = Plan {
        ladder,
        elastic_net_param: settings.elastic_net_param.first().copied().unwrap_or(0.0),
        max_iter: settings.max_iter.first().copied().unwrap_or(1),
        standardization: settings.standardization,
        row_work: (size.entries * size.shape(settings.family).sets) as u64,
    };
    Box::new(PathSearch::new(family, plan, search, classes, features))
}
