//! A factorised softmax: a multinomial logistic regression of low rank, trained by AdaGrad on mini-batches.

pub(crate) mod kind;
pub(crate) mod pass;
pub(crate) mod settings;
mod state;
mod trainer;
