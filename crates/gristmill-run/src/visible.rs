//! Text as it may be shown: without secrets, and with characters that a terminal obeys or hides written out.
//!
//! Names of classes and columns, names of files and messages of servers are others' text. On a terminal a control
//! character in them could move the cursor, and a mark of writing direction could turn what is read around.

use std::borrow::Cow;

use gristmill_data::secret::scrub;

/// Others' text without secrets, and with everything visible but its line breaks and tabs.
pub fn text(text: &str) -> String {
    escaped(&scrub(text), |c| is_obeyed(c) && c != '\n' && c != '\t').into_owned()
}

/// A name, which is to be on one line: its line breaks are written out too.
pub fn name(name: &str) -> Cow<'_, str> {
    escaped(name, is_obeyed)
}

/// JSON whose texts are written with escapes for the characters that JSON itself leaves as they are.
pub fn json(value: &serde_json::Value) -> String {
    let mut text = String::new();
    // Such characters stand in texts only, where these escapes mean the same.
    for c in value.to_string().chars() {
        if is_obeyed(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// A text of which no byte may move: each such character becomes another one of the same length.
pub(crate) fn in_place(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' | '\r' => c,
        c if !is_obeyed(c) => c,
        c => match c.len_utf8() {
            1 => '?',
            2 => '·',
            3 => '\u{fffd}',
            _ => '\u{1f6ab}',
        },
    };
    text.chars().map(shown).collect()
}

fn escaped(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// Whether a terminal obeys the character instead of showing it, or shows nothing.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Marks of writing direction and their overrides.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Of no width.
            | '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}'
            // Other ends of lines.
            | '\u{2028}' | '\u{2029}'
            // Letters that are never shown.
            | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [char; 16] = [
        '\0',
        '\u{7}',
        '\u{8}',
        '\r',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{9b}',
        '\u{200b}',
        '\u{200f}',
        '\u{202e}',
        '\u{2066}',
        '\u{2069}',
        '\u{feff}',
        '\u{2028}',
        '\u{e0041}',
    ];

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        for c in HOSTILE {
            let hostile = format!("a{c}[31mb");
            let shown = format!("a{}[31mb", c.escape_unicode());
            assert_eq!(text(&hostile), shown);
            assert_eq!(name(&hostile), shown);
            let logged = json(&serde_json::json!({ "message": hostile }));
            assert!(!logged.contains(c), "{logged}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&logged).ok(),
                Some(serde_json::json!({ "message": hostile }))
            );
            let same = in_place(&hostile);
            assert!(
                same.len() == hostile.len() && (c == '\r' || !same.contains(c)),
                "{same}"
            );
        }
    }

    #[test]
    fn all_else_stays() {
        for plain in ["", "a\tb\nc", "Łódź, 東京, العربية, ✓ 🙂"] {
            assert_eq!(text(plain), plain);
            assert_eq!(in_place(plain), plain);
        }
        assert_eq!(name("two\nlines"), "two\\u{a}lines");
    }
}
