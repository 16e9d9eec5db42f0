//! `metrics.json`: the contract with whatever reads the outcome of a run. `docs/metrics.md` describes it.

use std::collections::BTreeMap;

use gristmill_data::count::counted;
use gristmill_learn::evaluate::{Calibration, Repeated};
use gristmill_learn::features::choose::Choice;
use gristmill_learn::search::{Params, SearchPoint};
use gristmill_learn::statistics::{RegressionScores, Scores, undefined};
use serde::{Deserialize, Serialize};

/// The version of the layout.
pub const VERSION: u32 = 1;

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// [`VERSION`].
    pub version: u32,
    /// Rows on the way from the query to the features; `read` is `kept` and all the `dropped` together.
    pub rows: Rows,
    /// Key-range batches.
    pub batches: Batches,
    /// What was chosen that the pipeline leaves open, as settings that it could have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Choice>,
    /// Sparse columns of the features.
    pub features: u64,
    /// Classes; 0 of a regression.
    pub classes: u64,
    /// `train`, `validation`, `test`: the scores of the chosen model.
    pub splits: Splits,
    /// `validation`, `test`: rows with the features of a training row.
    #[serde(default)]
    pub repeated: BTreeMap<String, Repeated>,
    /// What always answering with the largest class of the training rows, or with their mean label, would score.
    pub baseline: Baseline,
    /// What the temperature did to the validation rows, where one was asked for and there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Every point of the grid. `score` and `scores` are missing where the grid has only one.
    pub search: Vec<SearchPoint>,
    /// Whether `search.seconds` ended the search: then the model depends on how fast the machine was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub search_cut_short: bool,
    /// The point chosen, and its final fit.
    pub best: Best,
    /// The stages, with the times of the runs that finished them.
    pub stages: Vec<Stage>,
    /// The largest resident set of the process that finished the run.
    pub peak_rss_bytes: u64,
    /// The sum of the stages' seconds.
    pub seconds: f64,
}

/// Rows on the way from the query to the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Rows the database sent.
    pub read: u64,
    /// Rows in the features table.
    pub kept: u64,
    /// Rows in neither, by the first reason that held.
    pub dropped: DroppedRows,
}

/// Rows dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedRows {
    /// A null in a column of `clean.require`, or in the label.
    pub null: u64,
    /// `clean.filter` was not true.
    pub filter: u64,
    /// Equal to another row, where `clean.distinct`.
    pub duplicate: u64,
    /// A class with fewer training rows than `label.min_rows`.
    pub rare_label: u64,
    /// A category not seen in training, where `unseen = "skip"`.
    pub unseen: u64,
}

/// Key-range batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batches {
    /// Batches read.
    pub read: u64,
    /// Batches of which cleaning kept no row.
    pub empty: u64,
}

/// The scores of each split, by its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Splits {
    /// Of a classifier.
    Class(BTreeMap<String, Scores>),
    /// Of a regression.
    Number(BTreeMap<String, RegressionScores>),
}

impl Splits {
    /// The rows of a split.
    pub(crate) fn rows(&self, split: &str) -> u64 {
        let rows = match self {
            Self::Class(splits) => splits.get(split).map(|scores| scores.rows),
            Self::Number(splits) => splits.get(split).map(|scores| scores.rows),
        };
        rows.unwrap_or(0)
    }
}

/// The scores of an answer that no feature goes into, by the split's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Baseline {
    /// Of a classifier.
    Class {
        /// The largest class of the training rows.
        class: String,
        /// Its scores.
        #[serde(flatten)]
        splits: BTreeMap<String, BaselineScores>,
    },
    /// Of a regression.
    Number {
        /// The mean label of the training rows that have one.
        mean: f64,
        /// Its scores.
        #[serde(flatten)]
        splits: BTreeMap<String, RegressionScores>,
    },
}

/// The scores of the majority class on one split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BaselineScores {
    /// Share of the rows that have this class; NaN without rows, which JSON writes as null.
    #[serde(with = "undefined")]
    pub accuracy: f64,
}

/// The point of the grid that was chosen, and its fit to the whole training split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its settings.
    #[serde(flatten)]
    pub params: Params,
    /// Mean score over the folds, if there was a search.
    pub score: Option<f64>,
    /// Iterations of the final fit; 0 for naive Bayes, and a linear regression without an L1 part.
    pub iterations: u32,
    /// Whether it converged before the limit.
    pub converged: bool,
    /// Mean loss plus penalty over the training rows; none of a model that minimises nothing, as naive Bayes.
    pub objective: Option<f64>,
}

impl Best {
    /// How the final fit ended, in words.
    pub fn fit(&self) -> String {
        match (self.objective, self.converged) {
            (None, _) => "one pass".to_owned(),
            (_, true) if self.iterations == 0 => "solved without iterations".to_owned(),
            (_, true) => format!("{}, converged", counted(self.iterations.into(), "iteration")),
            (_, false) => format!("{}, not converged", counted(self.iterations.into(), "iteration")),
        }
    }
}

/// A finished stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `pull`, `fit`, `transform`, `train`, `evaluate`.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// Rows it went over.
    pub rows: u64,
}
