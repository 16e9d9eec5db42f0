//! Scores of classifiers, as folds.

pub mod confusion;
pub mod score;

pub use confusion::{Confusion, Scores};
pub use score::ScorePass;
