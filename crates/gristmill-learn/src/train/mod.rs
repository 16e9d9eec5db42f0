//! Training: trainers that ask for scans, the optimiser, the kernels.

pub(crate) mod adagrad;
pub(crate) mod cholesky;
pub(crate) mod columns;
pub(crate) mod convergence;
pub(crate) mod counts;
pub(crate) mod epoch;
pub(crate) mod epochs;
pub(crate) mod gather;
pub(crate) mod gram;
pub(crate) mod grid;
pub(crate) mod kernel;
pub(crate) mod lbfgs;
pub(crate) mod lifted;
pub(crate) mod line_search;
pub(crate) mod linear;
pub(crate) mod logistic;
pub(crate) mod naive_bayes;
pub(crate) mod optimiser;
pub(crate) mod owlqn;
pub(crate) mod products;
pub(crate) mod quadratic;
pub(crate) mod real;
pub(crate) mod refine;
pub(crate) mod rows;
pub(crate) mod running;
pub(crate) mod scan;
pub mod search;
pub(crate) mod simd;
mod start;
pub(crate) mod state;
pub(crate) mod summary;
pub(crate) mod tile;
pub mod trainer;
pub(crate) mod vector;
pub(crate) mod window;

pub(crate) use rows::WEIGHT;

pub use grid::{LogisticParams, Params, SearchPoint};
pub use linear::{MAX_LINEAR_FEATURES, linear_search};
pub use naive_bayes::naive_bayes_search;
pub use search::{F64_ELEMENTS, MANY_MARGINS, TrainingSize, logistic_search};
pub use start::{model_bytes, sums_bytes, trainer};
pub use trainer::{Next, Status, Trained, Trainer};
