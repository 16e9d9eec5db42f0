//! The little SQL text that every database shares: quoted names, and a query fit to stand in parentheses.

/// `name` as an identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The query up to its closing semicolon, if it has one. What follows can only be comments: the database
/// has prepared the whole as one statement.
pub(super) fn without_semicolon(query: &str) -> &str {
    let mut at = 0;
    while let Some(c) = query[at..].chars().next() {
        match skipped(query, at) {
            Some(length) => at += length,
            None if c == ';' => return &query[..at],
            None => at += c.len_utf8(),
        }
    }
    query
}

/// The length of the string, quoted name or comment that begins at this place of a query.
pub(super) fn skipped(query: &str, at: usize) -> Option<usize> {
    let (bytes, rest) = (query.as_bytes(), &query[at..]);
    match bytes[at] {
        b'\'' if is_escape_string(&bytes[..at]) => Some(string_length(rest, b'\'', true)),
        quote @ (b'\'' | b'"' | b'`') => Some(string_length(rest, quote, false)),
        b'-' if rest.starts_with("--") => Some(rest.find('\n').unwrap_or(rest.len())),
        b'/' if rest.starts_with("/*") => Some(comment_length(rest)),
        b'$' if !at.checked_sub(1).is_some_and(|p| is_word(bytes[p])) => Some(dollar_string_length(rest)),
        _ => None,
    }
}

/// Where the character at `offset` (in bytes, from 0) stands.
pub(super) fn line_and_column(query: &str, offset: usize) -> String {
    let before = query.get(..offset).unwrap_or(query);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("at line {line}, column {column} of the query")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Whether what stands before a quote makes it PostgreSQL's `E'…'`, where a backslash escapes.
fn is_escape_string(before: &[u8]) -> bool {
    match before {
        [.., previous, b'e' | b'E'] => !is_word(*previous),
        [b'e' | b'E'] => true,
        _ => false,
    }
}

fn string_length(text: &str, quote: u8, backslash: bool) -> usize {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((i, byte)) = bytes.next() {
        if byte == b'\\' && backslash {
            bytes.next();
        } else if byte == quote {
            // A doubled quote opens the next string at once, which comes to the same.
            return i + 1;
        }
    }
    text.len()
}

/// PostgreSQL's comments nest. SQLite's do not, but there `/*` inside one is rare and a semicolon after it rarer.
fn comment_length(text: &str) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < text.len() {
        match &text.as_bytes()[i..] {
            [b'/', b'*', ..] => (depth, i) = (depth + 1, i + 2),
            [b'*', b'/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    text.len()
}

/// `$tag$ … $tag$`, or one character where this is no such string.
fn dollar_string_length(text: &str) -> usize {
    let Some(end) = text[1..].find('$').map(|i| i + 2) else {
        return 1;
    };
    let tag = &text[..end];
    if !tag[1..end - 1].bytes().all(is_word) || tag.as_bytes()[1].is_ascii_digit() {
        return 1;
    }
    text[end..].find(tag).map_or(text.len(), |i| end + i + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closing_semicolon_is_cut() {
        for (query, cut) in [
            ("SELECT 1", "SELECT 1"),
            ("SELECT 1;", "SELECT 1"),
            ("SELECT 1 ; -- ;'\n", "SELECT 1 "),
            ("SELECT 1 -- a;b", "SELECT 1 -- a;b"),
            ("SELECT '; -- x'", "SELECT '; -- x'"),
            ("SELECT 'it''s;', \"a;\"\";\";", "SELECT 'it''s;', \"a;\"\";\""),
            (r"SELECT E'it\';' ;", r"SELECT E'it\';' "),
            (r"SELECT e.'\';x", r"SELECT e.'\'"),
            (r"SELECT '\';", r"SELECT '\'"),
            ("SELECT /* ; /* ; */ ; */ 1;/* ; */", "SELECT /* ; /* ; */ ; */ 1"),
            ("SELECT $$a;$$, $t$;$$;$t$;", "SELECT $$a;$$, $t$;$$;$t$"),
            ("SELECT a$1, $1;", "SELECT a$1, $1"),
            ("SELECT 'é;', é;", "SELECT 'é;', é"),
            ("SELECT 'open;", "SELECT 'open;"),
        ] {
            assert_eq!(without_semicolon(query), cut);
        }
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }

    #[test]
    fn positions_count_lines_and_characters() {
        assert_eq!(
            line_and_column("SELECT é,\n  b", 13),
            "at line 2, column 3 of the query"
        );
        assert_eq!(
            line_and_column("SELECT 1", 99),
            "at line 1, column 9 of the query"
        );
    }
}
