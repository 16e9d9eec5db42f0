//! The search for the best settings: grid or path, folds, rounds, checkpoints.

pub(crate) mod checkpoint;
pub(crate) mod family;
pub(crate) mod grid;
mod halving;
pub(crate) mod ladder;
mod lockstep;
pub(crate) mod path;
pub(crate) mod warm;

pub(crate) use grid::Penalty;
pub(crate) use lockstep::Search;

pub use crate::contract::trainer::{Next, Params, SearchPoint, Status, Trained, Trainer, WarmStart};
