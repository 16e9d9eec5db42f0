//! Scores of classifiers, as folds.

pub mod confusion;
pub mod score;
pub mod thresholds;

pub use confusion::{Confusion, Scores};
pub use score::ScorePass;
pub use thresholds::Thresholds;
