//! The kinds of encoders: one file or folder for each, and their list.

mod bucket;
pub(crate) mod buckets;
mod columns;
mod date_parts;
pub mod hash;
mod multi_hot;
pub mod ngrams;
mod numeric;
mod one_hot;
pub(crate) mod target;

pub use bucket::{BucketEncoder, BucketSettings};
pub use date_parts::{DatePart, DatePartsEncoder, DatePartsSettings};
pub use hash::{HashEncoder, HashSettings};
pub use multi_hot::{MultiHotEncoder, MultiHotSettings};
pub use ngrams::{Analyzer, NgramEncoder, NgramHash, NgramHasher, NgramSettings, Norm, Normalize, Weighting};
pub use numeric::{Impute, NumericEncoder, NumericSettings, Scaling};
pub use one_hot::{OneHotEncoder, OneHotSettings, Unseen};

pub use target::{TargetEncoder, TargetSettings};

use crate::contract::encoder::EncoderKind;

/// Every kind, in the order of the documentation.
pub const ENCODERS: &[&dyn EncoderKind] = &[
    &one_hot::OneHot,
    &ngrams::Ngrams,
    &numeric::Numeric,
    &hash::Hash,
    &multi_hot::MultiHot,
    &bucket::Bucket,
    &date_parts::DateParts,
    &target::Target,
];
