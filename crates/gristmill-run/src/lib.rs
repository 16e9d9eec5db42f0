//! The engine and the stages of a run.

pub mod event;
pub mod settings;
