//! The contracts that everything here keeps: passes over rows, estimators, encoders, transformers, their specs, and the
//! registry of their kinds.

pub mod encoder;
pub mod learner;
pub(crate) mod lists;
pub mod model;
pub mod pass;
pub mod reads;
pub mod registry;
pub mod spec;
pub mod step;
pub mod thresholds;
pub mod trainer;
