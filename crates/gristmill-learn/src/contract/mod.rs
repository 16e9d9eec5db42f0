//! The contracts that everything here keeps: passes over rows, estimators, encoders, transformers, and their specs.

pub mod pass;
pub(crate) mod spec;
pub mod step;
