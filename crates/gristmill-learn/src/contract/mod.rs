//! The contracts that everything here keeps: passes over rows, estimators, encoders, transformers, and their specs.

pub(crate) mod lists;
pub mod pass;
pub mod spec;
pub mod step;
