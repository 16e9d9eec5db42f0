//! Training: one folder for each family of models, and the trainer that the settings ask for.

pub(crate) mod adagrad;
mod budget;
pub(crate) mod least_squares;
pub(crate) mod logistic;
pub(crate) mod naive_bayes;
pub mod size;
mod start;

/// The version of training. Raise it when the same features and settings give another model, or when the state in a checkpoint
/// gets another layout: what an earlier version trained is then trained again, and does not go on.
pub const TRAINING_FORMAT: u32 = 3;

pub use budget::{WayOut, what_fits};
pub use least_squares::linear::linear_search;
pub use logistic::gather::{gathered_items, may_be_lifted};
pub use logistic::logistic_search;
pub use naive_bayes::naive_bayes_search;
pub use size::{F64_ELEMENTS, MANY_MARGINS, TrainingSize};
pub use start::{model_bytes, sums_bytes, trainer};
