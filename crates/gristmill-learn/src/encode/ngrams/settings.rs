//! The settings of n-grams, and what a pipeline file may write for them.

use serde::{Deserialize, Serialize};

use crate::settings::{Key, Preset, Values};

/// The keys of `encode = "ngrams"`.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "range",
        values: Values::Pair {
            names: ["shortest", "longest"],
            least: 1,
            most: NgramSettings::LONGEST as u64,
        },
        default: Preset::Pair(1, 3),
        doc: "Lengths of the n-grams, in characters.",
    },
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
        name: "analyzer",
        values: Values::Words(&["char", "char_wb"]),
        default: Preset::Word("char"),
        doc: "Where n-grams may lie: anywhere in the text with white space taken as one space, or inside words padded with a \
              space on both sides.",
    },
    Key {
        name: "lowercase",
        values: Values::Boolean,
        default: Preset::Boolean(true),
        doc: "Lower-cases first.",
    },
    Key {
        name: "norm",
        values: Values::Words(&["l2", "none"]),
        default: Preset::Word("l2"),
        doc: "Scales each row to unit length, or keeps the counts.",
    },
    Key {
        name: "min_count",
        values: Values::COUNT,
        default: Preset::Integer(1),
        doc: "Buckets filled by fewer training rows are left out.",
    },
];

/// Settings of `encode = "ngrams"`: scikit-learn's `HashingVectorizer` on characters, with buckets that
/// no training row fills left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NgramSettings {
    /// The text column.
    pub column: String,
    /// Shortest and longest n-gram, in characters. Default `[1, 3]`; 1 to [`NgramSettings::LONGEST`].
    pub range: (u32, u32),
    /// The hash has `2^bits` buckets. Default 18; 1 to [`NgramSettings::MOST_BITS`].
    pub bits: u32,
    /// Where n-grams may lie. Default `char`.
    pub analyzer: Analyzer,
    /// Lower-cases first. Default true.
    pub lowercase: bool,
    /// Scales each row to unit length. Default `l2`.
    pub norm: Norm,
    /// Buckets filled by fewer training rows are left out. Default 1.
    pub min_count: u64,
}

impl NgramSettings {
    /// Characters of an n-gram at most: a text has as many n-grams as this times its characters.
    pub const LONGEST: u32 = 8;
    /// Bits of the hash at most.
    pub const MOST_BITS: u32 = 24;
}

/// Where character n-grams may lie, as scikit-learn's `analyzer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Analyzer {
    /// Anywhere in the text, runs of white space taken as one space.
    Char,
    /// Inside words, each padded with one space on both sides.
    CharWb,
}

/// The norm of an n-gram row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Euclidean length 1.
    L2,
    /// Raw counts.
    None,
}
