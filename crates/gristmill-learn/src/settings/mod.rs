//! The settings of everything that shapes a model. Plain data: validated where the pipeline file is read.

mod key;

pub use key::{Key, Numbers, Preset, Values};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most features of a linear regression, as many as Spark ML solves so: of each fold the sums of their products take 67 MB.
pub const MAX_LINEAR_FEATURES: usize = 4096;

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
    /// What its values are: what [`ModelSettings::label`] says.
    #[serde(default, skip_serializing_if = "LabelKind::is_class")]
    pub kind: LabelKind,
    /// Classes with fewer training rows are rare. Default 1.
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
}

/// `[model]`, by `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ModelSettings {
    /// Logistic regression.
    LogisticRegression(LogisticSettings),
    /// Multinomial naive Bayes.
    NaiveBayes(NaiveBayesSettings),
    /// Linear regression.
    LinearRegression(LinearSettings),
}

impl ModelSettings {
    /// Points of the grid.
    pub fn points(&self) -> usize {
        match self {
            Self::LogisticRegression(s) => self.models() * s.max_iter.len(),
            Self::NaiveBayes(_) => self.models(),
            Self::LinearRegression(s) => self.models() * s.max_iter.len(),
        }
    }

    /// Models that the search makes on each fold: iteration limits are points on the path of one.
    pub fn models(&self) -> usize {
        match self {
            Self::LogisticRegression(s) => s.reg_param.len() * s.elastic_net_param.len(),
            Self::NaiveBayes(s) => s.smoothing.len(),
            Self::LinearRegression(s) => s.reg_param.len() * s.elastic_net_param.len(),
        }
    }

    /// Thresholds by class.
    pub fn thresholds(&self) -> Option<&BTreeMap<String, f64>> {
        match self {
            Self::LogisticRegression(s) => s.thresholds.as_ref(),
            Self::NaiveBayes(s) => s.thresholds.as_ref(),
            Self::LinearRegression(_) => None,
        }
    }

    /// Iteration limits; none where the model is not found by iterating.
    pub fn max_iter(&self) -> &[u32] {
        match self {
            Self::LogisticRegression(s) => &s.max_iter,
            Self::NaiveBayes(_) => &[],
            Self::LinearRegression(s) => &s.max_iter,
        }
    }

    /// Refuses a number of classes that the family of a logistic regression cannot tell apart.
    ///
    /// # Errors
    /// `BinomialClasses` where there are more than two and the family is binomial.
    pub fn check_classes(&self, classes: usize) -> crate::Result<()> {
        match self {
            Self::LogisticRegression(s) if s.family == Family::Binomial && classes > 2 => {
                Err(crate::Error::BinomialClasses { classes })
            }
            _ => Ok(()),
        }
    }

    /// What the model learns.
    pub fn label(&self) -> LabelKind {
        match self {
            Self::LogisticRegression(_) | Self::NaiveBayes(_) => LabelKind::Class,
            Self::LinearRegression(_) => LabelKind::Number,
        }
    }
}

/// `[model] kind = "naive_bayes"`; Spark ML's `NaiveBayes` with `modelType = "multinomial"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NaiveBayesSettings {
    /// Added to every sum. Default `[1.0]`; a list is an axis of the grid.
    pub smoothing: Vec<f64>,
    /// As [`LogisticSettings::thresholds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<BTreeMap<String, f64>>,
}

/// `[model] kind = "linear_regression"`; names and defaults are Spark ML's. A list is an axis of the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearSettings {
    /// Regularisation strengths. Default `[0.0]`.
    pub reg_param: Vec<f64>,
    /// Share of L1 in the penalty. Default `[0.0]`.
    pub elastic_net_param: Vec<f64>,
    /// Iteration limits: points on one path. Default `[100]`. Without an L1 part nothing is iterated.
    pub max_iter: Vec<u32>,
    /// Convergence tolerance. Default 1e-6.
    pub tol: f64,
    /// Whether to fit an (unpenalised) intercept. Default true.
    pub fit_intercept: bool,
    /// Whether the penalty is on the coefficients of standardised features. Default true.
    pub standardization: bool,
}

/// `[model] kind = "logistic_regression"`; names and defaults are Spark ML's. A list is an axis of the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogisticSettings {
    /// Regularisation strengths. Default `[0.0]`.
    pub reg_param: Vec<f64>,
    /// Share of L1 in the penalty. Default `[0.0]`.
    pub elastic_net_param: Vec<f64>,
    /// Iteration limits: points on one path. Default `[100]`.
    pub max_iter: Vec<u32>,
    /// Convergence tolerance. Default 1e-6.
    pub tol: f64,
    /// Whether to fit an (unpenalised) intercept. Default true.
    pub fit_intercept: bool,
    /// Whether the penalty is on the coefficients of standardised features. Default true.
    pub standardization: bool,
    /// Default `auto`: binomial for two classes, else multinomial.
    pub family: Family,
    /// Default `auto`.
    pub solver: Solver,
    /// Corrections kept by L-BFGS or OWL-QN. Default 10, as in Spark ML.
    pub history: u32,
    /// By class: the class with the largest probability over threshold is predicted (Spark's `thresholds`).
    /// Default: the most likely class is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<BTreeMap<String, f64>>,
}

/// How the objective is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// `adagrad` for very many rows, else `lbfgs`: see [`crate::train::TrainingSize::solver`].
    Auto,
    /// Full gradients: each iteration is a scan, and the minimum is met as closely as `tol` says.
    Lbfgs,
    /// Mini-batches: each iteration is an epoch, and the training stops early by the validation split.
    Adagrad,
}

/// The likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Binomial for two classes, else multinomial.
    Auto,
    /// One set of coefficients, for the second class against the first.
    Binomial,
    /// Softmax without a pivot: one set of coefficients a class.
    Multinomial,
}

/// `[search]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchSettings {
    /// Folds of the cross-validation, by entity. Default 3.
    pub folds: u32,
    /// What the search maximises (losses and errors: minimises). Default `f1`, of regressions `rmse`.
    pub metric: Metric,
    /// Successive halving: after each round one in so many candidates goes on, with as many times the iterations. Default
    /// none: all go all the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halving: Option<u32>,
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
