//! The contracts that everything here keeps: passes over rows, estimators, encoders, transformers, their specs, and the
//! registry of their kinds.

pub mod encoder;
pub(crate) mod lists;
pub mod pass;
pub mod reads;
pub mod registry;
pub mod spec;
pub mod step;
