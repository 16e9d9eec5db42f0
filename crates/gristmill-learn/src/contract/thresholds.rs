//! From probabilities to the predicted class: the most likely one, or by thresholds as Spark ML's `thresholds`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Float64Array;

use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};

/// The name of the array of a spec.
const ARRAY: &str = "thresholds";

/// What a class's probability is divided by before the largest is predicted; none divides by 1.
///
/// A class with threshold 0 is predicted wherever it has any probability at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thresholds(Option<Arc<[f64]>>);

impl Thresholds {
    /// Those of a table from class to threshold, for classes of these names in this order.
    ///
    /// # Errors
    /// When the table names another class, or not all of them.
    pub fn of(table: Option<&BTreeMap<String, f64>>, classes: &[String]) -> Result<Self> {
        let Some(table) = table else {
            return Ok(Self::default());
        };
        Error::check_classes("model.thresholds", table, classes)?;
        let each = classes.iter().map(|class| {
            table
                .get(class)
                .copied()
                .ok_or_else(|| Error::MissingThreshold { class: class.clone() })
        });
        Ok(Self(Some(each.collect::<Result<_>>()?)))
    }

    /// From one threshold a class; `None` when one is negative or no number, or more than one is 0.
    pub fn from_values(values: Vec<f64>) -> Option<Self> {
        let valid = values.iter().all(|t| t.is_finite() && *t >= 0.0);
        let zeros = values.iter().filter(|t| **t == 0.0).count();
        (valid && zeros <= 1).then(|| Self(Some(values.into())))
    }

    /// One threshold a class; `None` where the most likely class is predicted.
    pub fn values(&self) -> Option<&[f64]> {
        self.0.as_deref()
    }

    /// A spec with the thresholds as an array, if there are any.
    pub fn add_to(&self, spec: StepSpec) -> StepSpec {
        match self.values() {
            Some(values) => spec.with(ARRAY, Float64Array::from(values.to_vec())),
            None => spec,
        }
    }

    /// The thresholds that [`Thresholds::add_to`] wrote.
    ///
    /// # Errors
    /// `Spec` when they are out of bounds.
    pub fn from_spec(spec: &StepSpec) -> Result<Self> {
        if !spec.arrays.contains_key(ARRAY) {
            return Ok(Self::default());
        }
        let values = spec.array::<Float64Array>(ARRAY)?.values().to_vec();
        Self::from_values(values).ok_or_else(|| spec.bad("its thresholds are out of bounds"))
    }

    /// What class `class` with this probability counts for in the choice.
    pub fn scaled(&self, class: usize, probability: f64) -> f64 {
        match self.values() {
            None => probability,
            // 0 over 0: never chosen.
            Some(_) if probability == 0.0 => 0.0,
            Some(thresholds) => probability / thresholds[class],
        }
    }

    /// The predicted class of a row and the probability it gives to class `truth`.
    ///
    /// `probabilities` has one value a class, or with `sets == 1` only that of class 1. Of equal ones the first class
    /// wins.
    pub(crate) fn predicted<F: Copy>(
        &self,
        probabilities: &[F],
        sets: usize,
        truth: Option<usize>,
        to_f64: impl Fn(F) -> f64,
    ) -> (usize, f64) {
        if sets == 1 {
            let p = to_f64(probabilities[0]);
            let second = self.scaled(1, p) > self.scaled(0, 1.0 - p);
            let at_truth = match truth {
                Some(1) => p,
                Some(_) => 1.0 - p,
                None => 0.0,
            };
            return (usize::from(second), at_truth);
        }
        let (mut best, mut most) = (0, f64::NEG_INFINITY);
        for (class, p) in probabilities[..sets].iter().enumerate() {
            let scaled = self.scaled(class, to_f64(*p));
            if scaled > most {
                (best, most) = (class, scaled);
            }
        }
        (best, truth.map_or(0.0, |truth| to_f64(probabilities[truth])))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    #[test]
    fn the_most_likely_class_wins_and_of_equal_ones_the_first() {
        let plain = Thresholds::default();
        let id = |p: f64| p;
        assert_eq!(plain.predicted(&[0.2, 0.4, 0.4], 3, Some(0), id), (1, 0.2));
        assert_eq!(plain.predicted(&[0.5], 1, Some(0), id), (0, 0.5));
        assert_eq!(plain.predicted(&[0.2, 0.4, 0.4], 3, None, id), (1, 0.0));
        assert_eq!(plain.predicted(&[0.6], 1, None, id), (1, 0.0));
        assert_eq!(plain.predicted(&[0.6], 1, Some(0), id), (1, 0.4));
    }

    #[test]
    fn probabilities_are_divided_by_thresholds() {
        let id = |p: f64| p;
        let thresholds = Thresholds::from_values(vec![0.5, 0.1, 0.4]).unwrap();
        assert_eq!(thresholds.predicted(&[0.6, 0.2, 0.2], 3, Some(0), id), (1, 0.6));
        // Spark: p > 1 / (1 + t0 / t1).
        let two = Thresholds::from_values(vec![0.7, 0.3]).unwrap();
        assert_eq!(two.predicted(&[0.29], 1, Some(1), id).0, 0);
        assert_eq!(two.predicted(&[0.31], 1, Some(1), id).0, 1);
        // At threshold 0 any probability is enough, and none is not.
        let zero = Thresholds::from_values(vec![0.5, 0.0, 0.5]).unwrap();
        assert_eq!(zero.predicted(&[0.9, 1e-9, 0.1], 3, Some(0), id).0, 1);
        assert_eq!(zero.predicted(&[0.9, 0.0, 0.1], 3, Some(0), id).0, 0);
        assert_eq!(Thresholds::from_values(vec![0.0, 0.0]), None);
        assert_eq!(Thresholds::from_values(vec![-1.0, 1.0]), None);
    }

    #[test]
    fn every_class_has_a_threshold_and_no_other_has() {
        let table = |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), 0.5)).collect();
        assert!(Thresholds::of(Some(&table(&["a", "b", "c"])), &names()).is_ok());
        let missing = Thresholds::of(Some(&table(&["a", "c"])), &names()).unwrap_err();
        assert!(missing.to_string().contains("\"b\""), "{missing}");
        let unknown = Thresholds::of(Some(&table(&["a", "b", "c", "d"])), &names()).unwrap_err();
        assert!(unknown.to_string().contains("\"d\""), "{unknown}");
    }
}
