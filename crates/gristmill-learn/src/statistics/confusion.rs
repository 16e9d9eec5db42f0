//! The confusion matrix with the log loss: all that the scores of a classifier need, and it merges.

use crate::error::{Error, Result};
use crate::settings::Metric;

/// Probabilities below this count as this in the log loss, as in scikit-learn.
const SMALLEST_PROBABILITY: f64 = f64::EPSILON;

/// Counts of true class by predicted class, and the sum of the log losses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
    log_loss: f64,
}

/// The scores of a classifier on some rows.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scores {
    /// Rows scored.
    pub rows: u64,
    /// Share of rows predicted right.
    pub accuracy: f64,
    /// F1 of each class, weighted by its rows.
    pub f1: f64,
    /// Unweighted mean of the F1 of every class that occurs in the rows or the predictions.
    pub macro_f1: f64,
    /// Mean negative natural log of the probability given to the true class.
    pub log_loss: f64,
}

impl Scores {
    /// The score that a metric names; NaN for one of regressions.
    pub fn get(&self, metric: Metric) -> f64 {
        match metric {
            Metric::F1 => self.f1,
            Metric::MacroF1 => self.macro_f1,
            Metric::Accuracy => self.accuracy,
            Metric::LogLoss => self.log_loss,
            Metric::Rmse | Metric::Mae | Metric::R2 => f64::NAN,
        }
    }
}

impl Confusion {
    /// No rows yet, of `classes` classes.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: vec![0; classes * classes],
            log_loss: 0.0,
        }
    }

    /// From counts (true class by predicted class) and the sum of the log losses.
    ///
    /// # Errors
    /// When the counts are not a square.
    pub fn from_parts(counts: Vec<u64>, log_loss: f64) -> Result<Self> {
        let classes = counts.len().isqrt();
        if classes * classes != counts.len() {
            return Err(Error::State {
                pass: "confusion",
                why: format!("{} counts are no square", counts.len()),
            });
        }
        Ok(Self {
            classes,
            counts,
            log_loss,
        })
    }

    /// The counts: true class by predicted class.
    pub fn into_counts(self) -> Vec<u64> {
        self.counts
    }

    /// The sum of the log losses.
    pub fn log_loss_sum(&self) -> f64 {
        self.log_loss
    }

    /// Takes in a row.
    pub fn add(&mut self, truth: usize, predicted: usize, probability_of_truth: f64) {
        self.counts[truth * self.classes + predicted] += 1;
        self.log_loss -= probability_of_truth.max(SMALLEST_PROBABILITY).ln();
    }

    /// Takes in other rows.
    ///
    /// # Errors
    /// When the classes differ.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.counts.len() != other.counts.len() {
            return Err(Error::State {
                pass: "confusion",
                why: format!("{} classes, not {}", other.classes, self.classes),
            });
        }
        self.counts
            .iter_mut()
            .zip(&other.counts)
            .for_each(|(a, b)| *a += b);
        self.log_loss += other.log_loss;
        Ok(())
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.counts.len() * size_of::<u64>()
    }

    /// Rows of each true class.
    pub fn class_rows(&self) -> Vec<u64> {
        self.counts
            .chunks_exact(self.classes.max(1))
            .map(|row| row.iter().sum())
            .collect()
    }

    /// The scores; all 0 without rows.
    pub fn scores(&self) -> Scores {
        let k = self.classes;
        let truth = self.class_rows();
        let rows: u64 = truth.iter().sum();
        if rows == 0 {
            return Scores {
                rows: 0,
                accuracy: 0.0,
                f1: 0.0,
                macro_f1: 0.0,
                log_loss: 0.0,
            };
        }
        let (mut right, mut weighted, mut plain, mut seen) = (0, 0.0, 0.0, 0_u64);
        for (class, truth) in truth.iter().enumerate() {
            let hits = self.counts[class * k + class];
            let predicted: u64 = (0..k).map(|t| self.counts[t * k + class]).sum();
            right += hits;
            if truth + predicted > 0 {
                // 2PR/(P+R), with 0 where nothing was hit.
                let f1 = 2.0 * hits as f64 / (truth + predicted) as f64;
                weighted += f1 * *truth as f64;
                plain += f1;
                seen += 1;
            }
        }
        let n = rows as f64;
        Scores {
            rows,
            accuracy: right as f64 / n,
            f1: weighted / n,
            macro_f1: plain / seen as f64,
            log_loss: self.log_loss / n,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // from sklearn.metrics import f1_score, accuracy_score, log_loss
    // y = [0,0,0,1,1,2]; p = [0,0,1,1,0,1]; f1_score(y, p, average="weighted") == 0.5, "macro" == 0.3555…
    #[test]
    fn scores_are_those_of_scikit_learn() {
        let mut c = Confusion::new(4);
        for (t, p) in [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (2, 1)] {
            c.add(t, p, if t == p { 0.8 } else { 0.1 });
        }
        let s = c.scores();
        assert_eq!(s.rows, 6);
        assert!((s.accuracy - 0.5).abs() < 1e-15);
        let f = [2.0 / 3.0, 0.4, 0.0];
        assert!((s.f1 - (f[0] * 3.0 + f[1] * 2.0) / 6.0).abs() < 1e-15);
        // Class 3 occurs nowhere, so the mean is over three.
        assert!((s.macro_f1 - f.iter().sum::<f64>() / 3.0).abs() < 1e-15);
        assert!((s.log_loss + (3.0 * 0.8_f64.ln() + 3.0 * 0.1_f64.ln()) / 6.0).abs() < 1e-15);
    }

    #[test]
    fn merging_is_adding() {
        let (mut a, mut b, mut both) = (Confusion::new(2), Confusion::new(2), Confusion::new(2));
        a.add(0, 1, 0.5);
        both.add(0, 1, 0.5);
        b.add(1, 1, 0.25);
        both.add(1, 1, 0.25);
        a.merge(&b).unwrap();
        assert_eq!(a, both);
        assert!(a.merge(&Confusion::new(3)).is_err());
    }

    #[test]
    fn no_rows_score_nothing() {
        assert_eq!(Confusion::new(3).scores().accuracy, 0.0);
    }
}
