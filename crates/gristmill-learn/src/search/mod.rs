//! The search for the best settings: grid, folds, rounds, checkpoints, and the contract of a trainer.

pub(crate) mod checkpoint;
pub(crate) mod grid;
pub(crate) mod halving;
pub mod trainer;
pub(crate) mod warm;

pub(crate) use grid::{Penalty, longest};

pub use grid::{ElasticNetParams, Params, SearchPoint};
pub use trainer::{Next, Status, Trained, Trainer};
pub use warm::WarmStart;
