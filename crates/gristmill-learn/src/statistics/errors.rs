//! The errors of a regression: sums that merge, and the scores that follow from them.

use serde::{Deserialize, Serialize};

use crate::settings::Metric;
use crate::statistics::{MomentsState, undefined};

/// How far predictions were from numbers, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Errors {
    /// Sum of the sizes of the errors.
    pub(crate) absolute: f64,
    /// Sum of their squares.
    pub(crate) squares: f64,
    /// Of the numbers themselves.
    pub(crate) truth: MomentsState,
}

/// The scores of a regression, as scikit-learn defines them. Without rows they are NaN, which JSON writes as null.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RegressionScores {
    /// Rows scored.
    pub rows: u64,
    /// Root of the mean squared error.
    #[serde(with = "undefined")]
    pub rmse: f64,
    /// Mean absolute error.
    #[serde(with = "undefined")]
    pub mae: f64,
    /// Coefficient of determination: 1 minus the squared errors over the squared deviations of the label from its mean.
    /// Where it does not deviate: 1 if every prediction is right, else 0.
    #[serde(with = "undefined")]
    pub r2: f64,
}

impl Errors {
    /// Takes in a row.
    pub fn add(&mut self, truth: f64, prediction: f64) {
        let error = prediction - truth;
        self.absolute += error.abs();
        self.squares += error * error;
        self.truth.rows += 1;
        self.truth.add(truth);
    }

    /// Takes in other rows, which come after these.
    pub fn merge(&mut self, other: &Self) {
        self.absolute += other.absolute;
        self.squares += other.squares;
        self.truth.merge(&other.truth);
    }

    /// As numbers that [`Errors::of_numbers`] reads; a count is below 2^53.
    pub(crate) fn to_numbers(self) -> [f64; 5] {
        let MomentsState { count, mean, m2, .. } = self.truth;
        [self.absolute, self.squares, count as f64, mean, m2]
    }

    /// Those of these numbers.
    pub(crate) fn of_numbers(numbers: &[f64]) -> Option<Self> {
        let [absolute, squares, count, mean, m2] = *numbers else {
            return None;
        };
        let count = count as u64;
        Some(Self {
            absolute,
            squares,
            truth: MomentsState {
                rows: count,
                count,
                mean,
                m2,
            },
        })
    }

    /// The scores.
    pub fn scores(&self) -> RegressionScores {
        let rows = self.truth.count;
        let n = rows as f64;
        RegressionScores {
            rows,
            rmse: (self.squares / n).sqrt(),
            mae: self.absolute / n,
            r2: match (self.truth.m2 > 0.0, self.squares > 0.0) {
                _ if rows == 0 => f64::NAN,
                (true, _) => 1.0 - self.squares / self.truth.m2,
                (false, false) => 1.0,
                (false, true) => 0.0,
            },
        }
    }
}

impl RegressionScores {
    /// The score that a metric names; NaN for one of classifiers.
    pub fn get(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Rmse => self.rmse,
            Metric::Mae => self.mae,
            Metric::R2 => self.r2,
            Metric::F1 | Metric::MacroF1 | Metric::Accuracy | Metric::LogLoss => f64::NAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(rows: &[(f64, f64)]) -> Errors {
        let mut errors = Errors::default();
        rows.iter()
            .for_each(|(truth, prediction)| errors.add(*truth, *prediction));
        errors
    }

    // from sklearn.metrics import root_mean_squared_error, mean_absolute_error, r2_score
    // y = [3, -0.5, 2, 7]; p = [2.5, 0.0, 2, 8]
    #[test]
    fn scores_are_those_of_scikit_learn() {
        let all = [(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (7.0, 8.0)];
        let scores = errors(&all).scores();
        assert_eq!(scores.rows, 4);
        assert!(
            (scores.rmse - 0.612_372_435_695_794_5).abs() < 1e-15,
            "{scores:?}"
        );
        assert!((scores.mae - 0.5).abs() < 1e-15);
        assert!((scores.r2 - 0.948_608_137_044_967_9).abs() < 1e-15, "{scores:?}");
        // r2_score([2, 2], [2, 2]) == 1.0; r2_score([2, 2], [2, 3]) == 0.0
        assert_eq!(errors(&[(2.0, 2.0), (2.0, 2.0)]).scores().r2, 1.0);
        assert_eq!(errors(&[(2.0, 2.0), (2.0, 3.0)]).scores().r2, 0.0);
        let none = errors(&[]).scores();
        assert!([none.rmse, none.mae, none.r2].iter().all(|score| score.is_nan()));
    }

    #[test]
    fn merging_is_adding() {
        let all = [(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (7.0, 8.0)];
        let mut left = errors(&all[..1]);
        left.merge(&errors(&all[1..]));
        let (left, whole) = (left.scores(), errors(&all).scores());
        assert!((left.rmse - whole.rmse).abs() < 1e-15 && (left.r2 - whole.r2).abs() < 1e-15);
        let mut fresh = Errors::default();
        fresh.merge(&errors(&all));
        assert_eq!(fresh, errors(&all));
    }
}
