//! The engine and the stages of a run.

pub mod budget;
pub mod check;
mod checkpoint;
mod directory;
pub mod engine;
pub mod error;
pub mod event;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod memory;
pub mod predict;
pub mod report;
mod run;
pub mod settings;
pub mod shortage;
mod stage;
mod stopping;
pub mod visible;
mod warm;

pub use error::{Error, Result};
pub use run::Session;
pub use stage::model::Outcome;
