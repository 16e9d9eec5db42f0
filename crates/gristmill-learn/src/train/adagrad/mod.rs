//! AdaGrad on mini-batches.

pub(crate) mod epoch;
pub(crate) mod family;
mod spec;
pub(crate) mod state;
