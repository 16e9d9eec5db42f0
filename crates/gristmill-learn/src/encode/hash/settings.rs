//! The settings of hashed values, and the bucket of one.

use serde::{Deserialize, Serialize};

use crate::encode::ngrams::hash::NgramHash;
use crate::encode::ngrams::settings::NgramSettings;
use crate::settings::{Key, Preset, Values, one_or_many};

/// The keys of `encode = "hash"`.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "bits",
        values: Values::Integer {
            least: 1,
            most: NgramSettings::MOST_BITS as u64,
        },
        default: Preset::Integer(18),
        doc: "The hash has 2^`bits` buckets.",
    },
    Key {
        name: "min_count",
        values: Values::COUNT,
        default: Preset::Integer(1),
        doc: "Buckets filled by fewer training rows are left out.",
    },
];

/// Settings of `encode = "hash"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HashSettings {
    /// The columns, of which the values of a row are hashed together: anything that casts to text.
    #[serde(rename = "column", deserialize_with = "one_or_many")]
    pub columns: Vec<String>,
    /// The hash has `2^bits` buckets. Default 18; 1 to [`NgramSettings::MOST_BITS`].
    pub bits: u32,
    /// Buckets filled by fewer training rows are left out. Default 1.
    pub min_count: u64,
}

impl HashSettings {
    /// Columns at most.
    pub(super) const MOST_COLUMNS: usize = 8;

    /// The bucket of a value.
    pub(crate) fn bucket(&self, value: &str) -> u32 {
        NgramHash::Murmur3.bucket(value, (1 << self.bits) - 1)
    }
}
