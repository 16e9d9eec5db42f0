//! AdaGrad on mini-batches.

pub(crate) mod epoch;
pub(crate) mod family;
pub(crate) mod state;
