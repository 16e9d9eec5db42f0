//! The search for the best settings: grid, folds, rounds, checkpoints, and the contract of a trainer.

mod checkpoint;
pub(crate) mod family;
pub(crate) mod grid;
mod halving;
mod lockstep;
pub mod trainer;
pub(crate) mod warm;

pub(crate) use grid::Penalty;
pub(crate) use lockstep::Search;

pub use grid::{ElasticNetParams, Params, SearchPoint};
pub use trainer::{Next, Status, Trained, Trainer};
pub use warm::WarmStart;
