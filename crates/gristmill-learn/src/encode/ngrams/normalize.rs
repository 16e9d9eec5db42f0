//! Unicode normalisation: texts that are written alike become the same characters.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc, is_nfkc};

/// A normalisation form of Unicode (UAX #15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// Canonical composition: a letter with a combining mark is the composed letter.
    Nfc,
    /// Compatibility composition: ligatures, full-width and circled characters are plain ones too.
    Nfkc,
    /// The characters as they are: in bundles of formats 1 to 4.
    #[default]
    None,
}

impl Normalize {
    /// As a pipeline file writes them.
    pub(super) const WORDS: &[&str] = &["nfc", "nfkc", "none"];

    /// The text in this form.
    pub(super) fn of(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Nfc if !is_nfc(text) => text.nfc().collect(),
            Self::Nfkc if !is_nfkc(text) => text.nfkc().collect(),
            Self::Nfc | Self::Nfkc | Self::None => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_that_of_unicode() {
        for (text, nfc, nfkc) in [
            ("plain", "plain", "plain"),
            ("e\u{301}", "\u{e9}", "\u{e9}"),
            ("\u{fb01}\u{2460}\u{ff21}", "\u{fb01}\u{2460}\u{ff21}", "fi1A"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}", "\u{d55c}"),
            ("\u{212b}", "\u{c5}", "\u{c5}"),
        ] {
            assert_eq!(Normalize::Nfc.of(text), nfc);
            assert_eq!(Normalize::Nfkc.of(text), nfkc);
            assert_eq!(Normalize::None.of(text), text);
        }
    }
}
