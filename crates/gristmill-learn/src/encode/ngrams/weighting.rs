//! How much an n-gram weighs in a row: scikit-learn's `TfidfTransformer`.

use serde::{Deserialize, Serialize};

use crate::statistics::logarithm::ln;

/// What stands for an n-gram in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// How often the row has it: its term frequency.
    #[default]
    Tf,
    /// That times its inverse document frequency.
    TfIdf,
    /// 1.
    Binary,
}

impl Weighting {
    /// As a pipeline file writes them.
    pub(super) const WORDS: &[&str] = &["tf", "tf_idf", "binary"];

    /// The term frequency of a bucket that `count` n-grams of the row fall into.
    pub(super) fn term_frequency(self, count: usize, sublinear: bool) -> f64 {
        match (self, sublinear) {
            (Self::Binary, _) => 1.0,
            (_, false) => count as f64,
            (_, true) => 1.0 + ln(count as f64),
        }
    }
}

/// The inverse document frequency of a bucket that `filled` of `rows` training rows fill: `ln(rows / filled) + 1`, and where it is
/// smooth `ln((1 + rows) / (1 + filled)) + 1`, as if one more row had every n-gram.
pub(super) fn inverse_document_frequency(filled: u32, rows: u64, smooth: bool) -> f64 {
    let one = if smooth { 1.0 } else { 0.0 };
    ln((one + rows as f64) / (one + f64::from(filled))) + 1.0
}
