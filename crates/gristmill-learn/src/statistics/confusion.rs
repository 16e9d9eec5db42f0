//! What the scores of a classifier need of its confusion matrix, which is its two margins and its diagonal, and the log loss.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::settings::Metric;
use crate::statistics::logarithm::ln;
use crate::statistics::undefined;

/// Probabilities below this count as this in the log loss, as in scikit-learn: a row costs 36.04 at most. So does a row of a class
/// that training never saw, whose probability is 0.
pub const SMALLEST_PROBABILITY: f64 = f64::EPSILON;

/// Rows of each class by truth, by prediction and by both, and the sum of the log losses.
///
/// Every score follows from these: the whole matrix would take classes² counts, 200 MB at 5,000 classes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Confusion {
    /// Of each class: rows that are of it, rows predicted to be, and rows that are both.
    counts: Vec<[u64; 3]>,
    /// Rows of classes that training never saw.
    unseen: u64,
    log_loss: f64,
}

/// The scores of a classifier on some rows. Without rows they are NaN, which JSON writes as null.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Rows scored.
    pub rows: u64,
    /// Rows among them of classes that training never saw, which no prediction can be right about.
    #[serde(default)]
    pub unseen_class: u64,
    /// Share of rows predicted right.
    #[serde(with = "undefined")]
    pub accuracy: f64,
    /// F1 of each class, weighted by its rows.
    #[serde(with = "undefined")]
    pub f1: f64,
    /// Unweighted mean of the F1 of every class that occurs in the rows or the predictions. Classes that training never saw are one
    /// class together.
    #[serde(with = "undefined")]
    pub macro_f1: f64,
    /// Mean negative natural log of the probability given to the true class.
    #[serde(with = "undefined")]
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
            counts: vec![[0; 3]; classes],
            unseen: 0,
            log_loss: 0.0,
        }
    }

    /// From what [`Confusion::into_counts`] gave, and the sum of the log losses.
    ///
    /// # Errors
    /// When the counts are not three a class and one more.
    pub fn from_parts(counts: &[u64], log_loss: f64) -> Result<Self> {
        let (counts, rest) = counts.as_chunks();
        let [unseen] = rest else {
            return Err(Error::State {
                pass: "confusion",
                why: format!(
                    "{} counts are not three a class and one more",
                    3 * counts.len() + rest.len()
                ),
            });
        };
        Ok(Self {
            counts: counts.to_vec(),
            unseen: *unseen,
            log_loss,
        })
    }

    /// The counts, class by class: rows of the class, rows predicted to be of it, and rows that are both. Then the rows of classes
    /// that training never saw.
    pub fn into_counts(self) -> Vec<u64> {
        let mut counts = self.counts.into_flattened();
        counts.push(self.unseen);
        counts
    }

    /// The sum of the log losses.
    pub fn log_loss_sum(&self) -> f64 {
        self.log_loss
    }

    /// Takes in a row; without a `truth` one of a class that training never saw.
    pub fn add(&mut self, truth: Option<usize>, predicted: usize, probability_of_truth: f64) {
        match truth {
            Some(truth) => {
                self.counts[truth][0] += 1;
                self.counts[truth][2] += u64::from(truth == predicted);
            }
            None => self.unseen += 1,
        }
        self.counts[predicted][1] += 1;
        self.log_loss -= ln(probability_of_truth.max(SMALLEST_PROBABILITY));
    }

    /// Takes in other rows.
    ///
    /// # Errors
    /// When the classes differ.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.counts.len() != other.counts.len() {
            return Err(Error::State {
                pass: "confusion",
                why: format!("{} classes, not {}", other.counts.len(), self.counts.len()),
            });
        }
        let theirs = other.counts.as_flattened();
        self.counts
            .as_flattened_mut()
            .iter_mut()
            .zip(theirs)
            .for_each(|(a, b)| *a += b);
        self.unseen += other.unseen;
        self.log_loss += other.log_loss;
        Ok(())
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        Self::bytes(self.counts.len())
    }

    /// Bytes held for so many classes.
    pub(crate) fn bytes(classes: usize) -> usize {
        classes * size_of::<[u64; 3]>()
    }

    /// Rows of each true class that training saw.
    pub fn class_rows(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().map(|[truth, _, _]| *truth)
    }

    /// The scores. Each is a mean, so that without rows it is 0/0.
    pub fn scores(&self) -> Scores {
        let rows: u64 = self.class_rows().sum::<u64>() + self.unseen;
        let (mut right, mut weighted, mut plain, mut seen) = (0, 0.0, 0.0, 0_u64);
        for [truth, predicted, hits] in &self.counts {
            right += hits;
            if truth + predicted > 0 {
                // 2PR/(P+R), with 0 where nothing was hit.
                let f1 = 2.0 * *hits as f64 / (truth + predicted) as f64;
                weighted += f1 * *truth as f64;
                plain += f1;
                seen += 1;
            }
        }
        seen += u64::from(self.unseen > 0);
        let n = rows as f64;
        Scores {
            rows,
            unseen_class: self.unseen,
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
            c.add(Some(t), p, if t == p { 0.8 } else { 0.1 });
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

    // y = [0,0,0,1,1,2]; p = [0,0,1,1,0,1], where training saw 0 and 1 only: the same scores of scikit-learn, of which 2 is a class.
    #[test]
    fn rows_of_a_class_that_training_never_saw_are_errors() {
        let (mut known, mut c) = (Confusion::new(3), Confusion::new(2));
        for (t, p) in [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (2, 1)] {
            let at_truth = if t == 2 { 0.0 } else { 0.5 };
            known.add(Some(t), p, at_truth);
            c.add((t < 2).then_some(t), p, at_truth);
        }
        let (expected, scores) = (known.scores(), c.scores());
        assert_eq!((scores.rows, scores.unseen_class), (6, 1));
        let all = |s: Scores| [s.accuracy, s.f1, s.macro_f1, s.log_loss];
        assert_eq!(all(scores), all(expected));
        assert!((scores.log_loss - (5.0 * 2.0_f64.ln() + 52.0 * 2.0_f64.ln()) / 6.0).abs() < 1e-12);
        let counts = c.clone().into_counts();
        let mut twice = Confusion::from_parts(&counts, c.log_loss_sum()).unwrap();
        assert_eq!(twice, c);
        twice.merge(&c).unwrap();
        assert_eq!(twice.scores().unseen_class, 2);
    }

    #[test]
    fn merging_is_adding() {
        let (mut a, mut b, mut both) = (Confusion::new(2), Confusion::new(2), Confusion::new(2));
        a.add(Some(0), 1, 0.5);
        both.add(Some(0), 1, 0.5);
        b.add(Some(1), 1, 0.25);
        both.add(Some(1), 1, 0.25);
        a.merge(&b).unwrap();
        assert_eq!(a, both);
        assert!(a.merge(&Confusion::new(3)).is_err());
    }

    #[test]
    fn ten_thousand_classes_take_no_square_of_them() {
        let mut many = Confusion::new(10_000);
        (0..10_000).for_each(|class| many.add(Some(class), (class * 7) % 10_000, 0.5));
        assert_eq!(many.size(), 10_000 * 24);
        let counts = many.clone().into_counts();
        assert_eq!(Confusion::from_parts(&counts, many.log_loss_sum()).unwrap(), many);
        assert!(Confusion::from_parts(&counts[1..], 0.0).is_err());
        assert_eq!(many.scores().rows, 10_000);
    }

    #[test]
    fn scores_of_no_rows_are_undefined_and_null_in_json() {
        let scores = Confusion::new(3).scores();
        let all = [scores.accuracy, scores.f1, scores.macro_f1, scores.log_loss];
        assert!(all.iter().all(|score| score.is_nan()), "{scores:?}");
        let text = serde_json::to_string(&scores).unwrap();
        assert_eq!(
            text,
            r#"{"rows":0,"unseen_class":0,"accuracy":null,"f1":null,"macro_f1":null,"log_loss":null}"#
        );
        let again: Scores = serde_json::from_str(&text).unwrap();
        assert!(again.rows == 0 && again.log_loss.is_nan());
    }
}
