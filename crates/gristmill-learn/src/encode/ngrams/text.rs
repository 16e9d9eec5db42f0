//! Cutting text into n-grams of characters or words as scikit-learn does, and hashing them into buckets.

use unicode_normalization::char::is_combining_mark;

use crate::encode::ngrams::hash::NgramHash;
use crate::encode::ngrams::normalize::Normalize;
use crate::encode::ngrams::settings::{Analyzer, NgramSettings};

/// Cuts texts into n-grams and hashes them, in buffers that it uses again.
#[derive(Debug, Clone)]
pub struct NgramHasher {
    analyzer: Analyzer,
    lowercase: bool,
    normalize: Normalize,
    shortest: usize,
    longest: usize,
    hash: NgramHash,
    mask: u32,
    lower: String,
    text: String,
    /// Where each character or word of `text` starts, and where one more would start.
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
            normalize: settings.normalize,
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
        if text.is_ascii() {
            lower.push_str(text);
            if self.lowercase {
                lower.make_ascii_lowercase();
            }
        } else {
            let normal = self.normalize.of(text);
            if self.lowercase {
                // By whole text, not by character: a final sigma depends on what stands before it. Small letters may compose
                // with a mark where capital ones do not.
                lower.push_str(&self.normalize.of(&normal.to_lowercase()));
            } else {
                lower.push_str(&normal);
            }
        }
        match self.analyzer {
            Analyzer::Char => {
                self.text.clear();
                collapse_spaces(&lower, &mut self.text);
                self.cut_characters(false, &mut f);
            }
            Analyzer::CharWb => {
                for word in lower.split(is_space).filter(|word| !word.is_empty()) {
                    self.text.clear();
                    self.text.push(' ');
                    self.text.push_str(word);
                    self.text.push(' ');
                    self.cut_characters(true, &mut f);
                }
            }
            Analyzer::Word => self.cut_words(&lower, &mut f),
        }
        self.lower = lower;
    }

    /// Calls `f` with every n-gram of characters of `self.text`; `short` counts a text below the shortest n-gram once, as it is.
    fn cut_characters(&mut self, short: bool, f: &mut impl FnMut(&str)) {
        self.starts.clear();
        self.starts
            .extend(self.text.char_indices().map(|(start, _)| start));
        self.starts.push(self.text.len());
        if short && self.starts.len() <= self.shortest {
            f(&self.text);
        }
        self.each_ngram(0, f);
    }

    /// Calls `f` with every n-gram of words of a text, one blank between the words.
    fn cut_words(&mut self, text: &str, f: &mut impl FnMut(&str)) {
        self.text.clear();
        self.starts.clear();
        for word in text.split(|c| !is_of_word(c)).filter(|word| !word.is_empty()) {
            self.starts.push(self.text.len());
            self.text.push_str(word);
            self.text.push(' ');
        }
        self.starts.push(self.text.len());
        self.each_ngram(1, f);
    }

    /// Calls `f` with every run of `shortest` to `longest` pieces of `self.text`, without the last `gap` bytes of it.
    fn each_ngram(&self, gap: usize, f: &mut impl FnMut(&str)) {
        for n in self.shortest..=self.longest.min(self.starts.len() - 1) {
            for (start, end) in self.starts.iter().zip(&self.starts[n..]) {
                f(&self.text[*start..*end - gap]);
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

/// Whether a character is of a word: letters, numbers and marks of any script, `_` and the two joiners, as `\w` of UTS #18.
/// Without the marks and joiners, as in Python's `\w`, most words of the scripts of India would be cut at their vowels.
fn is_of_word(character: char) -> bool {
    character.is_alphanumeric()
        || character == '_'
        || !character.is_ascii()
            && (is_combining_mark(character) || matches!(character, '\u{200c}' | '\u{200d}'))
}

/// White space as Python's `str.split` and `\s` have it: Unicode's, and the four information separators.
fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}
