//! MySQL's own way of writing: names in backticks, and where a query ends.

/// `name` as an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The query up to its closing semicolon, if it has one. What follows can only be comments: the server has prepared
/// the whole as one statement. `backslash` says whether one escapes, which the server's `sql_mode` may deny.
pub(super) fn without_semicolon(query: &str, backslash: bool) -> &str {
    let bytes = query.as_bytes();
    let mut i = 0;
    while let Some(byte) = bytes.get(i) {
        let rest = &bytes[i..];
        i += match byte {
            b';' => return &query[..i],
            quote @ (b'\'' | b'"') => string_length(rest, *quote, backslash),
            b'`' => string_length(rest, b'`', false),
            b'#' => line_length(rest),
            // Without a blank after it, this is minus a negative number.
            b'-' if is_dash_comment(rest) => line_length(rest),
            b'/' if rest.starts_with(b"/*") => comment_length(rest),
            _ => 1,
        };
    }
    query
}

fn string_length(text: &[u8], quote: u8, backslash: bool) -> usize {
    let mut bytes = text.iter().enumerate().skip(1);
    while let Some((i, byte)) = bytes.next() {
        if *byte == b'\\' && backslash {
            bytes.next();
        } else if *byte == quote {
            // A doubled quote opens the next string at once, which comes to the same.
            return i + 1;
        }
    }
    text.len()
}

fn is_dash_comment(text: &[u8]) -> bool {
    text.starts_with(b"--") && text.get(2).is_none_or(u8::is_ascii_whitespace)
}

fn line_length(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len())
}

fn comment_length(text: &[u8]) -> usize {
    let end = text.windows(2).skip(2).position(|pair| pair == b"*/");
    end.map_or(text.len(), |i| i + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closing_semicolon_is_cut() {
        for (query, cut) in [
            ("SELECT 1", "SELECT 1"),
            ("SELECT 1 ; -- ;'\n", "SELECT 1 "),
            ("SELECT 1 -- a;b", "SELECT 1 -- a;b"),
            ("SELECT 1 # it's; b\n; # c", "SELECT 1 # it's; b\n"),
            ("SELECT 1 --1;", "SELECT 1 --1"),
            (r"SELECT 'it\';', 'it'';' ;", r"SELECT 'it\';', 'it'';' "),
            (r#"SELECT "a;\"", `b;\`;"#, r#"SELECT "a;\"", `b;\`"#),
            ("SELECT /* ; /* ; */ 1;/* ; */", "SELECT /* ; /* ; */ 1"),
            ("SELECT /*/;*/ 1;", "SELECT /*/;*/ 1"),
            ("SELECT 'é;', é;", "SELECT 'é;', é"),
            ("SELECT 'open;", "SELECT 'open;"),
        ] {
            assert_eq!(without_semicolon(query, true), cut);
        }
        assert_eq!(without_semicolon(r"SELECT '\'; -- '", false), r"SELECT '\'");
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a`; DROP TABLE b; --"), "`a``; DROP TABLE b; --`");
    }
}
