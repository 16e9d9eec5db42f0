//! The penalties of a path: where it begins, its steps, and when it ends.

/// The L1 share that stands for none where a penalty is to leave nothing but the intercepts, which a pure L2 never does; as in
/// glmnet.
const LEAST_L1_SHARE: f64 = 0.001;

/// Penalties on the path of a regression.
pub(crate) const NUMBER_RUNGS: usize = 31;

/// A path of penalties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ladder {
    first: f64,
    /// Each penalty over the next.
    step: f64,
    most: usize,
    /// The penalties that are tried side by side, each from the start and for so many iterations; `None`: one after the other.
    trial: Option<u32>,
}

impl Ladder {
    /// Penalties in a row that are worse than the best, or no better than the one before, at which the path ends.
    const PATIENCE: usize = 2;
    /// A loss that is larger by no more than this share of it is no worse.
    const NOISE: f64 = 1e-4;
    /// One that differs by less than this share is much the same.
    const FLAT: f64 = 1e-3;
    /// One that is smaller by this share than the first is that of a model that learnt something.
    const BELOW: f64 = 1e-2;

    /// From the smallest penalty that is sure to leave nothing but the intercepts of a classifier, in steps of half a decade, over
    /// ten decades.
    ///
    /// The gradient of the mean loss by the coefficient of a standardised feature is its covariance with a class, at most the
    /// class's deviation, at most 1/2.
    pub(crate) fn of_classes(elastic_net_param: f64) -> Self {
        Self {
            first: 0.5 / elastic_net_param.max(LEAST_L1_SHARE),
            step: 10_f64.sqrt(),
            most: 21,
            trial: None,
        }
    }

    /// Of mini-batches, whose early stopping does most of what a penalty does: 0.01, 0.001 and 0.0001, each until it stops.
    ///
    /// On names of artists, cities, first names and words of 3 to 244 classes one of the three had the lowest log loss of nine
    /// from 0 to 1, or one within a hundredth of it; smaller ones were as none.
    pub(crate) fn of_epochs() -> Self {
        Self {
            first: 0.01,
            step: 10.0,
            most: 3,
            trial: Some(u32::MAX),
        }
    }

    /// The same for more than a few rows: what is tried side by side is tried for two epochs.
    pub(crate) fn shortened(self) -> Self {
        Self {
            trial: self.trial.map(|_| 2),
            ..self
        }
    }

    /// From this penalty of a regression, in steps of a third of a decade, over ten decades. It is the smallest one that leaves
    /// nothing but the intercept, with this share of L1 at least.
    pub(crate) fn of_numbers(null: impl Fn(f64) -> f64, elastic_net_param: f64) -> Self {
        Self {
            first: null(elastic_net_param.max(LEAST_L1_SHARE)),
            step: 10_f64.cbrt(),
            most: NUMBER_RUNGS,
            trial: None,
        }
    }

    /// Of a regression by scans: as [`Ladder::of_classes`], for a label of deviation 1, of which no covariance with a standardised
    /// feature is above 1.
    pub(crate) fn of_scans(elastic_net_param: f64) -> Self {
        Self::of_classes(elastic_net_param).times(2.0)
    }

    /// The same with penalties that are larger by a factor.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self {
            first: self.first * factor,
            ..self
        }
    }

    /// The same for coefficients of features that are not standardised but have these deviations.
    pub(crate) fn in_units_of(self, deviations: &[f64]) -> Self {
        let unit = match self.trial {
            None => deviations.iter().copied().fold(0.0, f64::max),
            Some(_) => {
                let squares: f64 = deviations.iter().map(|deviation| deviation * deviation).sum();
                squares / deviations.len().max(1) as f64
            }
        };
        Self {
            first: if unit > 0.0 { self.first * unit } else { self.first },
            ..self
        }
    }

    /// All penalties.
    pub(crate) fn rungs(&self) -> Vec<f64> {
        (0..self.most).map(|number| self.rung(number)).collect()
    }

    /// The penalty of a number.
    pub(crate) fn rung(&self, number: usize) -> f64 {
        self.first / self.step.powi(number as i32)
    }

    /// Most penalties.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// How many penalties are tried at a time.
    pub(crate) fn together(&self) -> usize {
        if self.trial.is_some() { self.most } else { 1 }
    }

    /// Iterations of a penalty that is tried, of as many as there may be.
    pub(crate) fn iterations(&self, max_iter: u32) -> u32 {
        self.trial.map_or(max_iter, |trial| trial.min(max_iter))
    }

    /// Whether a model that was tried is the beginning of the one that is chosen.
    pub(crate) fn begins(&self) -> bool {
        self.trial.is_some()
    }

    /// Whether smaller penalties than those with these losses are to be tried.
    pub(crate) fn goes_on(&self, losses: &[f64]) -> bool {
        let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let worse = |loss: &&f64| **loss > best * (1.0 + Self::NOISE);
        let gets_worse = losses.iter().rev().take_while(worse).count() >= Self::PATIENCE;
        // A path may begin where nothing happens yet.
        let below = losses
            .first()
            .is_some_and(|first| best < first * (1.0 - Self::BELOW));
        let flat = |pair: &&[f64]| (pair[0] - pair[1]).abs() < Self::FLAT * best;
        let gets_flat = losses.windows(2).rev().take_while(flat).count() >= Self::PATIENCE;
        losses.len() < self.most && !gets_worse && !(below && gets_flat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_where_smaller_penalties_only_get_worse() {
        let ladder = Ladder::of_classes(0.0);
        assert_eq!(ladder.rung(0), 500.0);
        assert!((ladder.rung(20) / 500e-10 - 1.0).abs() < 1e-9);
        // A path may begin where nothing happens yet.
        assert!(ladder.goes_on(&[0.7, 0.7, 0.7, 0.7]));
        assert!(ladder.goes_on(&[0.7, 0.5, 0.6]));
        assert!(!ladder.goes_on(&[0.7, 0.5, 0.6, 0.55]));
        assert!(ladder.goes_on(&[0.7, 0.5, 0.6, 0.4, 0.41]));
        assert!(ladder.goes_on(&[0.7, 0.5, 0.4999, 0.45]));
        assert!(!ladder.goes_on(&[0.7, 0.5, 0.4999, 0.4998]));
        assert!(!ladder.goes_on(&[0.5; 21]));
    }

    #[test]
    fn a_path_with_an_l1_share_begins_where_glmnet_s_does() {
        let ladder = Ladder::of_numbers(|share| 2.0 / share, 0.5);
        assert_eq!(ladder.rung(0), 4.0);
        assert_eq!(Ladder::of_numbers(|share| 2.0 / share, 0.0).rung(0), 2000.0);
        assert_eq!(ladder.rungs().len(), NUMBER_RUNGS);
    }
}
