//! What must not be shown: values that were filled into the pipeline file, and passwords. Everything that a process says
//! passes [`scrub`], and what an engine said of a query passes [`scrub_quoted`] before.
//!
//! The values are kept for the process as a whole, as its loggers are: a library logs wherever it is called from.
//! A value is found in every form in which messages repeat it: in any case, with characters escaped for SQL, JSON, Rust or
//! a URL, with its white space broken into lines.
//!
//! A value of fewer than [`SHORT`] characters is no secret, since trying all of them takes no time, but it is part of
//! many numbers and words: hiding it everywhere would leave messages that nobody can read. It is hidden where an engine
//! repeats the query, and there as a whole word.

mod forms;

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

/// Values with so many characters are hidden wherever they stand.
pub const SHORT: usize = 4;

/// An engine shows pieces of a query, cut off anywhere. So many characters of a value in a row are taken for one.
const PIECE: usize = 6;

/// What stands for a piece of a value.
const HIDDEN: &str = "…";

static KEPT: RwLock<Vec<Kept>> = RwLock::new(Vec::new());

/// A value that must not be shown.
struct Kept {
    /// Its characters, with one blank for white space of any length.
    value: Vec<char>,
    /// What is shown in its place.
    shown: String,
    /// Whether an engine gets it, and may repeat pieces of it.
    quoted: bool,
    /// Its words and all its pieces of length [`PIECE`], in lower case.
    words: HashSet<String>,
    pieces: HashSet<Vec<char>>,
    /// The last byte of each piece's first character: nearly every place of a long text begins no piece.
    starts: [bool; 256],
}

/// Keeps a value from being shown from now on; `shown` stands in its place. An engine may repeat pieces of a value that
/// is `quoted`, which is part of a query.
pub fn keep(value: &str, shown: &str, quoted: bool) {
    let decoded = percent_decode_str(value).decode_utf8_lossy();
    let lines = value.lines().filter(|line| line.chars().count() >= SHORT);
    let mut kept = KEPT.write().unwrap_or_else(PoisonError::into_inner);
    for form in [value, &decoded].into_iter().chain(lines) {
        let value = forms::one_blank(form.trim());
        let known = kept.iter().any(|k| k.value == value && (k.quoted || !quoted));
        if value.is_empty() || known {
            continue;
        }
        let lower: Vec<char> = value.iter().map(|c| lower(*c)).collect();
        let word = |at: Range<usize>| lower[at].iter().collect::<String>();
        let is_whole = |at: &Range<usize>| at.len() > 1 || lower.len() == 1;
        let mut starts = [false; 256];
        lower.iter().for_each(|c| starts[*c as usize & 0xff] = true);
        kept.push(Kept {
            starts,
            words: words(&lower).into_iter().filter(is_whole).map(word).collect(),
            pieces: lower.windows(PIECE).map(<[char]>::to_vec).collect(),
            shown: shown.to_owned(),
            quoted,
            value,
        });
    }
    // A value may be part of another, which is then found first.
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.value.len()));
}

/// Keeps nothing any more, for a fuzzer that reads one file after another.
#[cfg(feature = "fuzzing")]
pub fn forget() {
    KEPT.write().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The text without the values that are kept.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let kept = KEPT.read().unwrap_or_else(PoisonError::into_inner);
    replaced(text, &whole(text, &kept))
}

/// What an engine or a driver said, without the values that are kept and without pieces of those that it was given.
pub fn scrub_quoted(text: &str) -> String {
    let kept = KEPT.read().unwrap_or_else(PoisonError::into_inner);
    let mut found = whole(text, &kept);
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let lower: Vec<char> = chars.iter().map(|(_, c)| lower(*c)).collect();
    let bytes = |at: Range<usize>| {
        let place = |i: usize| chars.get(i).map_or(text.len(), |(place, _)| *place);
        place(at.start)..place(at.end)
    };
    let quoted = || kept.iter().filter(|kept| kept.quoted);
    for at in words(&lower) {
        let word: String = lower[at.clone()].iter().collect();
        if quoted().any(|kept| kept.words.contains(&word)) {
            found.push((bytes(at), HIDDEN));
        }
    }
    for (place, piece) in lower.windows(PIECE).enumerate() {
        let start = piece[0] as usize & 0xff;
        if quoted().any(|kept| kept.starts[start] && kept.pieces.contains(piece)) {
            found.push((bytes(place..place + PIECE), HIDDEN));
        }
    }
    replaced(text, &found).into_owned()
}

/// Whether the text is a kept value and nothing else.
pub fn is_value(text: &str) -> bool {
    let kept = KEPT.read().unwrap_or_else(PoisonError::into_inner);
    let mut long = kept.iter().filter(|kept| kept.value.len() >= SHORT);
    long.any(|kept| forms::end_of(text, 0, &kept.value) == Some(text.len()))
}

/// The texts of a JSON value without the values that are kept; a number that is one becomes a text.
pub fn scrub_json(value: &mut Json) {
    match value {
        Json::String(text) => *text = scrub(text).into_owned(),
        Json::Number(number) => {
            let number = number.to_string();
            if let Cow::Owned(scrubbed) = scrub(&number) {
                *value = scrubbed.into();
            }
        }
        Json::Array(items) => items.iter_mut().for_each(scrub_json),
        Json::Object(entries) => entries.values_mut().for_each(scrub_json),
        Json::Null | Json::Bool(_) => {}
    }
}

/// Every place where a whole value stands, and what is shown there.
fn whole<'k>(text: &str, kept: &'k [Kept]) -> Vec<(Range<usize>, &'k str)> {
    let mut found = Vec::new();
    for kept in kept.iter().filter(|kept| kept.value.len() >= SHORT) {
        for (at, _) in text.char_indices() {
            if let Some(end) = forms::end_of(text, at, &kept.value) {
                found.push((at..end, kept.shown.as_str()));
            }
        }
    }
    found
}

/// The text with something else in these places. Of places that overlap, the first that was found says what.
fn replaced<'t>(text: &'t str, found: &[(Range<usize>, &str)]) -> Cow<'t, str> {
    if found.is_empty() {
        return text.into();
    }
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by_key(|i| (found[*i].0.start, *i));
    let mut out = String::with_capacity(text.len());
    let (mut done, mut i) = (0, 0);
    while i < order.len() {
        let (mut place, mut first) = (found[order[i]].0.clone(), order[i]);
        i += 1;
        while i < order.len() && found[order[i]].0.start < place.end {
            place.end = place.end.max(found[order[i]].0.end);
            first = first.min(order[i]);
            i += 1;
        }
        out.push_str(&text[done..place.start]);
        out.push_str(found[first].1);
        done = place.end;
    }
    out.push_str(&text[done..]);
    out.into()
}

/// Where words stand.
fn words(chars: &[char]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (i, c) in chars.iter().chain([&' ']).enumerate() {
        match (c.is_alphanumeric() || *c == '_', start) {
            (true, None) => start = Some(i),
            (false, Some(from)) => {
                words.push(from..i);
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_hidden_in_every_form() {
        keep("Tök'en \\\"7\n%x", "${TOKEN}", true);
        for text in [
            "Tök'en \\\"7\n%x",
            "TÖK'EN \\\"7 %X",
            "tök''en \\\"7\n   %x",
            r#"Tök\'en \\\"7\n%x"#,
            r#"T\u{f6}k'en \\\"7\n%x"#,
            r#"T\u00f6k'en \\\"7\u000a%x"#,
            "T%C3%B6k%27en%20%5C%227%0A%25x",
            "T%c3%b6k'en+%5c%227%0a%25%78",
            r#"T\xc3\xb6k\'en \\\\\\\"7\\n%x"#,
        ] {
            assert_eq!(scrub(&format!("near 'a{text}b'")), "near 'a${TOKEN}b'", "{text}");
        }
        assert_eq!(scrub("Token 7 of 8"), "Token 7 of 8");
    }

    #[test]
    fn an_encoded_value_is_hidden_decoded_too_and_the_longest_value_wins() {
        keep("p%40ss/word", "***", false);
        keep("postgres://u:p%40ss/word@h/db", "${URL}", false);
        assert_eq!(scrub("for p@ss/word, p%40ss/word"), "for ***, ***");
        assert_eq!(scrub("to postgres://u:p%40ss/word@h/db?x"), "to ${URL}?x");
    }

    #[test]
    fn pieces_are_hidden_where_an_engine_repeats_them() {
        keep("wherefore art'thou1", "${PIECES}", true);
        keep("/home/somebody/files", "${DIR}", false);
        for (said, shown) in [
            (
                "syntax error at or near \"thou1\"",
                "syntax error at or near \"…\"",
            ),
            ("near 'wherefor", "near '…"),
            ("near 'efore art'tho' at line 1", "near '…' at line 1"),
            ("no column wherefore art'thou1", "no column ${PIECES}"),
            ("no column WHEREFORE", "no column …"),
            ("no column nowhere", "no column nowhere"),
            ("/home/somebody/else", "/home/somebody/else"),
        ] {
            assert_eq!(scrub_quoted(said), shown);
        }
        // Our own words stay as they are.
        assert_eq!(scrub("art is long"), "art is long");
    }

    #[test]
    fn short_values_are_hidden_as_words_that_an_engine_repeats() {
        keep("17", "${N}", true);
        keep("x", "${X}", true);
        assert_eq!(scrub_quoted("near 17 of x, 170 axes"), "near … of …, 170 axes");
        assert_eq!(scrub("17 rows"), "17 rows");
    }

    #[test]
    fn json_stays_json() {
        keep("482913", "${PIN}", true);
        let mut value = serde_json::json!({ "a": ["pin 482913", 482913, 5], "b": true });
        scrub_json(&mut value);
        assert_eq!(
            value,
            serde_json::json!({ "a": ["pin ${PIN}", "${PIN}", 5], "b": true })
        );
    }
}
