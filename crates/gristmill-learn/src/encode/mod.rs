//! The kinds of encoders: one file or folder for each, and their list.

pub mod ngrams;
mod numeric;
mod one_hot;

pub use ngrams::{Analyzer, NgramEncoder, NgramHash, NgramHasher, NgramSettings, Norm, Normalize, Weighting};
pub use numeric::{Impute, NumericEncoder, NumericSettings, Scaling};
pub use one_hot::{OneHotEncoder, OneHotSettings, Unseen};

use crate::contract::encoder::EncoderKind;

/// Every kind, in the order of the documentation.
pub const ENCODERS: &[&dyn EncoderKind] = &[&one_hot::OneHot, &ngrams::Ngrams, &numeric::Numeric];
