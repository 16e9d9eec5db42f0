//! Scores of classifiers and regressions, as folds.

pub mod confusion;
pub mod errors;
pub mod regression;
pub mod score;
pub mod thresholds;

pub use confusion::{Confusion, Scores};
pub use errors::{Errors, RegressionScores};
pub use regression::RegressionPass;
pub use score::ScorePass;
pub use thresholds::Thresholds;

pub(crate) use regression::Part;
