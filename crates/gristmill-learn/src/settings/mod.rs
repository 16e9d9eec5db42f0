//! The settings of everything that shapes a model. Plain data: validated where the pipeline file is read.

mod key;

pub use key::{Key, Numbers, Preset, Values};

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Reads the columns of a feature: a name, or a list of names.
pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Columns {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Columns::deserialize(from)? {
        Columns::One(column) => vec![column],
        Columns::Many(columns) => columns,
    })
}

/// Scaling of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// To unit standard deviation.
    Standard,
    /// As it is.
    None,
}

impl Scale {
    /// As a pipeline file writes it.
    pub(crate) const WORDS: Values = Values::Words(&["standard", "none"]);
}

/// `[label]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelSettings {
    /// The column; its values, as text, are the classes, or they are numbers.
    pub column: String,
    /// What its values are: what [`crate::contract::learner::Learner::label`] says.
    #[serde(default, skip_serializing_if = "LabelKind::is_class")]
    pub kind: LabelKind,
    /// Classes with fewer training rows are rare; with 1 none is, also of those that training never saw. Default 1.
    pub min_rows: u64,
    /// What becomes of the rows of rare classes. Default `drop`.
    pub rare: Rare,
    /// The column with the weight of each row in training (Spark's `weightCol`). Default: every row weighs 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Multiplies the weight of each row of a class. Default: no class does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weight: Option<ClassWeight>,
}

/// What the values of the label are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// Classes, for a classifier to choose from.
    #[default]
    Class,
    /// Numbers, for a regression to meet.
    Number,
}

impl LabelKind {
    fn is_class(&self) -> bool {
        *self == Self::Class
    }

    /// What chooses the model where nothing else is said.
    pub fn default_metric(self) -> Metric {
        match self {
            Self::Class => Metric::F1,
            Self::Number => Metric::Rmse,
        }
    }
}

/// How much the rows of a class weigh, as scikit-learn's `class_weight`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeight {
    /// `rows / (classes * rows of the class)`, of the training rows: all classes weigh the same together.
    Balanced,
    /// By class; classes that are not in it have weight 1.
    Each(BTreeMap<String, f64>),
}

/// What becomes of the rows of rare classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rare {
    /// Left out, and counted.
    Drop,
    /// Together they are the class `other`.
    Other,
}

/// `[split]`: shares by entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitSettings {
    /// The entity's column: all its rows fall on one side. Default: the key column.
    pub by: String,
    /// Share of the entities to train on. Default 0.7. The three sum to 1.
    pub train: f64,
    /// Share to validate on. Default 0.15.
    pub validation: f64,
    /// Share to test on. Default 0.15.
    pub test: f64,
    /// Default 42.
    pub seed: u64,
    /// The column that says the split of each row, `train`, `validation` or `test`, instead of the shares. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// `[search]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchSettings {
    /// Folds of the cross-validation, by entity. Default 3.
    pub folds: u32,
    /// What the search maximises (losses and errors: minimises). Default `f1`, of regressions `rmse`.
    pub metric: Metric,
    /// Which point of a path of penalties is chosen. Default `minimum`.
    #[serde(default, skip_serializing_if = "Choice::is_minimum")]
    pub choose: Choice,
    /// Seconds after which a path of penalties ends with the best so far. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// Successive halving: after each round one in so many candidates goes on, with as many times the iterations. Default
    /// none: all go all the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halving: Option<u32>,
}

/// Which point of a path of penalties is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The one of the best mean score.
    #[default]
    Minimum,
    /// The largest penalty whose mean score is within one standard error (over the folds) of the best.
    OneStandardError,
}

impl Choice {
    fn is_minimum(&self) -> bool {
        *self == Self::Minimum
    }
}

/// The strengths of a penalty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RegParam {
    /// A path from the data, of which the best is chosen.
    #[serde(with = "auto")]
    Auto,
    /// These.
    Values(Vec<f64>),
}

impl RegParam {
    /// The values, if they are given.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::Auto => &[],
            Self::Values(values) => values,
        }
    }

    /// Whether a path is wanted.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

impl From<Vec<f64>> for RegParam {
    fn from(values: Vec<f64>) -> Self {
        Self::Values(values)
    }
}

/// The word `"auto"`, as a value of its own beside lists.
mod auto {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("auto")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "auto" => Ok(()),
            other => Err(D::Error::custom(format!(
                "\"auto\" or a list of numbers, not {other}"
            ))),
        }
    }
}

/// A score of a classifier or of a regression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// F1 weighted by the classes' rows (Spark's `f1`).
    F1,
    /// Unweighted mean of the classes' F1.
    MacroF1,
    /// Share of rows predicted right.
    Accuracy,
    /// Mean negative log probability of the true class; smaller is better.
    LogLoss,
    /// Root of the mean squared error; smaller is better.
    Rmse,
    /// Mean absolute error; smaller is better.
    Mae,
    /// Coefficient of determination.
    R2,
}

impl Metric {
    /// What the label must be for it.
    pub fn label(self) -> LabelKind {
        match self {
            Self::F1 | Self::MacroF1 | Self::Accuracy | Self::LogLoss => LabelKind::Class,
            Self::Rmse | Self::Mae | Self::R2 => LabelKind::Number,
        }
    }

    /// Its name, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::F1 => "f1",
            Self::MacroF1 => "macro f1",
            Self::Accuracy => "accuracy",
            Self::LogLoss => "log loss",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
            Self::R2 => "r2",
        }
    }

    /// Whether score `a` is better than `b`.
    pub fn better(self, a: f64, b: f64) -> bool {
        match self {
            Self::LogLoss | Self::Rmse | Self::Mae => a < b,
            Self::F1 | Self::MacroF1 | Self::Accuracy | Self::R2 => a > b,
        }
    }
}
