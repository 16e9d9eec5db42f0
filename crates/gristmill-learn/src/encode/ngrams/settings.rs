//! The settings of n-grams, and what a pipeline file may write for them.

use serde::{Deserialize, Serialize};

use crate::encode::ngrams::normalize::Normalize;
use crate::encode::ngrams::weighting::Weighting;
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
        doc: "Lengths of the n-grams, in characters; of `analyzer = \"word\"` in words.",
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
        values: Values::Words(&["char", "char_wb", "word"]),
        default: Preset::Word("char"),
        doc: "What n-grams are of: characters anywhere in the text with white space taken as one space; characters inside \
              what stands between white space, padded with a space on both sides; or words, joined by a space.",
    },
    Key {
        name: "lowercase",
        values: Values::Boolean,
        default: Preset::Boolean(true),
        doc: "Lower-cases first.",
    },
    Key {
        name: "normalize",
        values: Values::Words(Normalize::WORDS),
        default: Preset::Word("nfc"),
        doc: "The form of Unicode (UAX #15) before and after lower-casing: `\"nfc\"` makes a letter with a combining mark the \
              composed letter, `\"nfkc\"` also makes ligatures, full-width and circled characters plain ones.",
    },
    Key {
        name: "weighting",
        values: Values::Words(Weighting::WORDS),
        default: Preset::Word("tf"),
        doc: "What stands for an n-gram in a row: how often the row has it; that times `ln((1 + n) / (1 + d)) + 1`, where `d` of the \
              `n` training rows have it; or 1.",
    },
    Key {
        name: "sublinear_tf",
        values: Values::Boolean,
        default: Preset::Boolean(false),
        doc: "Takes `1 + ln(t)` for an n-gram that a row has `t` times.",
    },
    Key {
        name: "smooth_idf",
        values: Values::Boolean,
        default: Preset::Boolean(true),
        doc: "`false` takes `ln(n / d) + 1` in `weighting = \"tf_idf\"`.",
    },
    Key {
        name: "norm",
        values: Values::Words(&["l2", "none"]),
        default: Preset::Word("l2"),
        doc: "Scales each row to unit length, or keeps it.",
    },
    Key {
        name: "min_count",
        values: Values::COUNT,
        default: Preset::Integer(1),
        doc: "Buckets filled by fewer training rows are left out.",
    },
];

/// Settings of `encode = "ngrams"`: scikit-learn's `HashingVectorizer` on characters or words, with buckets that
/// no training row fills left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NgramSettings {
    /// The text column.
    pub column: String,
    /// Shortest and longest n-gram, in characters or words. Default `[1, 3]`; 1 to [`NgramSettings::LONGEST`].
    pub range: (u32, u32),
    /// The hash has `2^bits` buckets. Default 18; 1 to [`NgramSettings::MOST_BITS`].
    pub bits: u32,
    /// What n-grams are of. Default `char`.
    pub analyzer: Analyzer,
    /// Lower-cases first. Default true.
    pub lowercase: bool,
    /// The form of Unicode before and after lower-casing. Default `nfc`.
    #[serde(default)]
    pub normalize: Normalize,
    /// What stands for an n-gram in a row. Default `tf`.
    #[serde(default)]
    pub weighting: Weighting,
    /// Takes the logarithm of the term frequency, plus 1. Default false.
    #[serde(default)]
    pub sublinear_tf: bool,
    /// Adds a row that has every n-gram to the document frequencies. Default true.
    #[serde(default = "smooth")]
    pub smooth_idf: bool,
    /// Scales each row to unit length. Default `l2`.
    pub norm: Norm,
    /// Buckets filled by fewer training rows are left out. Default 1.
    pub min_count: u64,
}

impl NgramSettings {
    /// Characters or words of an n-gram at most: a text has as many n-grams as this times its characters.
    pub const LONGEST: u32 = 8;
    /// Bits of the hash at most.
    pub const MOST_BITS: u32 = 24;

    /// What in them goes against what else, if anything does.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        match self.weighting {
            Weighting::Binary if self.sublinear_tf => Some(
                "`sublinear_tf` goes with weighting = \"tf\" or \"tf_idf\": with \"binary\" every n-gram weighs 1",
            ),
            Weighting::Tf | Weighting::Binary if !self.smooth_idf => {
                Some("`smooth_idf` goes with weighting = \"tf_idf\": no other has document frequencies")
            }
            _ => None,
        }
    }
}

/// What n-grams are of, as scikit-learn's `analyzer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Analyzer {
    /// Characters anywhere in the text, runs of white space taken as one space.
    Char,
    /// Characters inside what stands between white space, each padded with one space on both sides.
    CharWb,
    /// Words, joined by one space: runs of letters, numbers, marks, `_` and joiners, also of a single one.
    Word,
}

impl Analyzer {
    /// What stands before the number of a bucket in the name of a feature: buckets of characters and of words are not the same.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Char | Self::CharWb => "",
            Self::Word => "word",
        }
    }
}

/// The norm of an n-gram row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Euclidean length 1.
    L2,
    /// As it is.
    None,
}

fn smooth() -> bool {
    true
}
