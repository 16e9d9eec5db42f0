//! AdaGrad on mini-batches.

pub(crate) mod epoch;
pub(crate) mod search;
pub(crate) mod state;
