//! What would fit where a training does not: the settings to change, with the bytes of each.

use crate::contract::learner::{Learner, WayOut};
use crate::contract::trainer::TrainingSize;
use crate::settings::SearchSettings;

/// The change to a model that takes so much.
pub(crate) fn way_out(
    change: String,
    changed: &dyn Learner,
    search: &SearchSettings,
    size: TrainingSize,
) -> WayOut {
    WayOut {
        change,
        bytes: needed(changed, search, size),
    }
}

/// The most features that fit into `available` bytes, if any do. Coefficients are in single precision already where they are
/// many.
pub(crate) fn fewer_features(
    learner: &dyn Learner,
    search: &SearchSettings,
    size: TrainingSize,
    available: u64,
) -> Option<WayOut> {
    let features = most_features(learner, search, size, available);
    let change = format!("have at most {features} features, by bits or min_count");
    let way = way_out(change, learner, search, TrainingSize { features, ..size });
    (features > 0 && way.bytes <= available).then_some(way)
}

fn needed(learner: &dyn Learner, search: &SearchSettings, size: TrainingSize) -> u64 {
    learner.model_bytes(size) + learner.sums_bytes(search, size)
}

/// The most features that fit.
fn most_features(
    learner: &dyn Learner,
    search: &SearchSettings,
    size: TrainingSize,
    available: u64,
) -> usize {
    let fits = |features: usize| needed(learner, search, TrainingSize { features, ..size }) <= available;
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
