//! What would fit where a training does not: the settings to change, with the bytes of each.

use crate::settings::{LogisticSettings, ModelSettings, NaiveBayesSettings, SearchSettings, Solver};
use crate::train::size::TrainingSize;
use crate::train::start::{model_bytes, sums_bytes};

/// A change that makes a training fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayOut {
    /// What to do, e.g. `set model.history = 2`.
    pub change: String,
    /// Bytes that one model then takes, with the sums over its features.
    pub bytes: u64,
}

/// The changes of which each alone makes a training of this size fit into `available` bytes, the one that changes the
/// model least first. Coefficients are in single precision already where they are many.
pub fn what_fits(
    settings: &ModelSettings,
    search: &SearchSettings,
    size: TrainingSize,
    available: u64,
) -> Vec<WayOut> {
    let mut ways = Vec::new();
    let mut offer = |change: String, bytes: u64| {
        if bytes <= available {
            ways.push(WayOut { change, bytes });
        }
    };
    if let ModelSettings::LogisticRegression(settings) = settings {
        let bytes = |history, solver| {
            let changed = LogisticSettings {
                history,
                solver,
                ..settings.clone()
            };
            needed(&ModelSettings::LogisticRegression(changed), search, size)
        };
        if settings.solver != Solver::Adagrad {
            let fits = |history: &u32| bytes(*history, settings.solver) <= available;
            if let Some(history) = (1..settings.history).rev().find(fits) {
                offer(
                    format!("set model.history = {history}"),
                    bytes(history, settings.solver),
                );
            }
            if settings.elastic_net_param.iter().all(|share| *share == 0.0) {
                offer(
                    "set model.solver = \"adagrad\"".to_owned(),
                    bytes(settings.history, Solver::Adagrad),
                );
            }
        }
    }
    let features = most_features(settings, search, size, available);
    if features > 0 {
        let fewer = TrainingSize { features, ..size };
        offer(
            format!("have at most {features} features, by bits or min_count"),
            needed(settings, search, fewer),
        );
    }
    if let ModelSettings::LogisticRegression(_) = settings {
        let plain = ModelSettings::NaiveBayes(NaiveBayesSettings {
            smoothing: vec![1.0],
            thresholds: None,
        });
        offer(
            "set model.kind = \"naive_bayes\"".to_owned(),
            needed(&plain, search, size),
        );
    }
    ways
}

fn needed(settings: &ModelSettings, search: &SearchSettings, size: TrainingSize) -> u64 {
    model_bytes(settings, size) + sums_bytes(settings, search, size)
}

/// The most features that fit.
fn most_features(
    settings: &ModelSettings,
    search: &SearchSettings,
    size: TrainingSize,
    available: u64,
) -> usize {
    let fits = |features: usize| needed(settings, search, TrainingSize { features, ..size }) <= available;
    let (mut most, mut least) = (0, size.features);
    // Bytes grow with features but for the step to single precision, on either side of which any answer holds.
    while least - most > 1 {
        let middle = most + (least - most) / 2;
        if fits(middle) {
            most = middle;
        } else {
            least = middle;
        }
    }
    rounded(most)
}

/// Rounded down to two digits: more would promise too much.
fn rounded(n: usize) -> usize {
    let unit = 10_usize.pow(n.checked_ilog10().unwrap_or(0).saturating_sub(1));
    n / unit * unit
}
