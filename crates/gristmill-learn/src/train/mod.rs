//! Training: one folder for each kind of model, and their list.

pub(crate) mod adagrad;
mod budget;
pub(crate) mod factorised;
pub(crate) mod least_squares;
pub(crate) mod logistic;
pub(crate) mod mini_batches;
pub(crate) mod naive_bayes;
pub mod size;

/// The version of training. Raise it when the same features and settings give another model, or when the state in a checkpoint
/// gets another layout: what an earlier version trained is then trained again, and does not go on.
pub const TRAINING_FORMAT: u32 = 6;

pub use crate::contract::trainer::TrainingSize;
pub use factorised::settings::FactorisedSettings;
pub use least_squares::linear::linear_search;
pub use least_squares::settings::{LinearSettings, MAX_LINEAR_FEATURES};
pub use logistic::logistic_search;
pub use logistic::settings::{Family, LogisticSettings, Solver};
pub use naive_bayes::naive_bayes_search;
pub use naive_bayes::settings::NaiveBayesSettings;
pub use size::{F64_ELEMENTS, MANY_MARGINS};

use crate::contract::learner::ModelKind;

/// Every kind, in the order of the documentation.
pub const MODELS: &[&dyn ModelKind] = &[
    &logistic::kind::LogisticRegression,
    &factorised::kind::FactorisedSoftmax,
    &naive_bayes::kind::NaiveBayes,
    &least_squares::kind::LinearRegression,
];
