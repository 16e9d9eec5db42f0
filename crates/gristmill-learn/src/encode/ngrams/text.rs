//! Cutting text into character n-grams as scikit-learn does, and hashing them into buckets.

use crate::encode::ngrams::hash::NgramHash;
use crate::encode::ngrams::settings::{Analyzer, NgramSettings};

/// Cuts texts into n-grams and hashes them, in buffers that it uses again.
#[derive(Debug, Clone)]
pub struct NgramHasher {
    analyzer: Analyzer,
    lowercase: bool,
    shortest: usize,
    longest: usize,
    hash: NgramHash,
    mask: u32,
    lower: String,
    text: String,
    /// Where each character of `text` starts, and where the last one ends.
    starts: Vec<usize>,
}

/// The n-grams of a text, in no particular order: what its buckets stand for.
pub fn ngrams(text: &str, settings: &NgramSettings) -> Vec<String> {
    let mut all = Vec::new();
    NgramHasher::new(settings, NgramHash::Murmur3).for_each(text, |ngram| all.push(ngram.to_owned()));
    all
}

impl NgramHasher {
    /// A hasher for these settings.
    pub fn new(settings: &NgramSettings, hash: NgramHash) -> Self {
        Self {
            analyzer: settings.analyzer,
            lowercase: settings.lowercase,
            shortest: settings.range.0 as usize,
            longest: settings.range.1 as usize,
            hash,
            mask: (1 << settings.bits) - 1,
            lower: String::new(),
            text: String::new(),
            starts: Vec::new(),
        }
    }

    /// Calls `f` with the bucket of every n-gram, as often as it occurs.
    pub fn for_each_bucket(&mut self, text: &str, mut f: impl FnMut(u32)) {
        let (hash, mask) = (self.hash, self.mask);
        self.for_each(text, |ngram| f(hash.bucket(ngram, mask)));
    }

    fn for_each(&mut self, text: &str, mut f: impl FnMut(&str)) {
        let mut lower = std::mem::take(&mut self.lower);
        lower.clear();
        if self.lowercase && !text.is_ascii() {
            // By whole text, not by character: a final sigma depends on what stands before it.
            lower.push_str(&text.to_lowercase());
        } else {
            lower.push_str(text);
            if self.lowercase {
                lower.make_ascii_lowercase();
            }
        }
        match self.analyzer {
            Analyzer::Char => {
                self.text.clear();
                collapse_spaces(&lower, &mut self.text);
                self.cut(false, &mut f);
            }
            Analyzer::CharWb => {
                for word in lower.split(is_space).filter(|word| !word.is_empty()) {
                    self.text.clear();
                    self.text.push(' ');
                    self.text.push_str(word);
                    self.text.push(' ');
                    self.cut(true, &mut f);
                }
            }
        }
        self.lower = lower;
    }

    /// Calls `f` with every n-gram of `self.text`; `short` counts a text below the shortest n-gram once, as it is.
    fn cut(&mut self, short: bool, f: &mut impl FnMut(&str)) {
        self.starts.clear();
        self.starts
            .extend(self.text.char_indices().map(|(start, _)| start));
        self.starts.push(self.text.len());
        let characters = self.starts.len() - 1;
        if short && characters < self.shortest {
            f(&self.text);
        }
        for n in self.shortest..=self.longest.min(characters) {
            for (start, end) in self.starts.iter().zip(&self.starts[n..]) {
                f(&self.text[*start..*end]);
            }
        }
    }
}

/// Copies `text` with every run of two or more spaces as one blank; a single one stays what it is.
fn collapse_spaces(text: &str, into: &mut String) {
    let mut pending = None;
    for character in text.chars() {
        if is_space(character) {
            pending = Some(if pending.is_some() { ' ' } else { character });
        } else {
            into.extend(pending.take());
            into.push(character);
        }
    }
    into.extend(pending);
}

/// White space as Python's `str.split` and `\s` have it: Unicode's, and the four information separators.
fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}
