//! The engine and the stages of a run.

pub mod check;
mod checkpoint;
mod directory;
pub mod engine;
pub mod error;
pub mod event;
pub mod memory;
pub mod metrics;
pub mod predict;
mod run;
pub mod settings;
mod stage;
mod summary;
mod warm;

pub use error::{Error, Result};
pub use run::{Outcome, Session};
pub use summary::{thousands, write_splits};
