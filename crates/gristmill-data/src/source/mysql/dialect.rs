//! MySQL's own way of writing: names in backticks, and where a query ends.

/// `name` as an identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The query up to its closing semicolon, if it has one. What follows can only be comments: the server has prepared
/// the whole as one statement. `backslash` says whether one escapes, which the server's `sql_mode` may deny.
pub(super) fn without_semicolon(query: &str, backslash: bool) -> &str {
    let mut at = 0;
    while let Some(c) = query[at..].chars().next() {
        match skipped(query, at, backslash) {
            Some(length) => at += length,
            None if c == ';' => return &query[..at],
            None => at += c.len_utf8(),
        }
    }
    query
}

/// The length of the string, quoted name or comment that begins at this place of a query.
pub(super) fn skipped(query: &str, at: usize, backslash: bool) -> Option<usize> {
    let rest = &query.as_bytes()[at..];
    match rest[0] {
        quote @ (b'\'' | b'"') => Some(string_length(rest, quote, backslash)),
        b'`' => Some(string_length(rest, b'`', false)),
        b'#' => Some(line_length(rest)),
        // Without a blank after it, this is minus a negative number.
        b'-' if is_dash_comment(rest) => Some(line_length(rest)),
        b'/' if rest.starts_with(b"/*") => Some(comment_length(rest)),
        _ => None,
    }
}

/// Which keys a condition is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Side {
    /// Those after a key.
    After,
    /// Those before a key, and itself.
    UpTo,
}

/// The condition for keys of these columns, compared with these parameters, and which column each parameter belongs to.
///
/// Written out, for no index serves the comparison of rows. What the first column says alone is said again for the
/// optimiser's sake, and no column is null where the condition is true.
pub(super) fn compared(columns: &[(String, String)], side: Side) -> (String, Vec<usize>) {
    let (strict, last) = match side {
        Side::After => (">", ">"),
        Side::UpTo => ("<", "<="),
    };
    let [(first, parameter), more @ ..] = columns else {
        return (String::new(), Vec::new());
    };
    if more.is_empty() {
        return (format!("{first} {last} {parameter}"), vec![0]);
    }
    let (mut cases, mut order) = (Vec::new(), vec![0]);
    for (i, (column, parameter)) in columns.iter().enumerate() {
        let equal = columns[..i]
            .iter()
            .map(|(column, parameter)| format!("{column} = {parameter} AND "));
        let operator = if i == more.len() { last } else { strict };
        cases.push(format!(
            "{}{column} {operator} {parameter}",
            equal.collect::<String>()
        ));
        order.extend(0..=i);
    }
    let not_null: String = more
        .iter()
        .map(|(column, _)| format!(" AND {column} IS NOT NULL"))
        .collect();
    (
        format!(
            "{first} {strict}= {parameter} AND ({}){not_null}",
            cases.join(" OR ")
        ),
        order,
    )
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
    fn keys_of_several_columns_are_compared_one_after_the_other() {
        let columns = ["a", "b", "c"].map(|name| (name.to_owned(), format!(":{name}")));
        assert_eq!(
            compared(&columns[..1], Side::UpTo),
            ("a <= :a".to_owned(), vec![0])
        );
        assert_eq!(
            compared(&columns, Side::After),
            (
                "a >= :a AND (a > :a OR a = :a AND b > :b OR a = :a AND b = :b AND c > :c) \
                 AND b IS NOT NULL AND c IS NOT NULL"
                    .to_owned(),
                vec![0, 0, 0, 1, 0, 1, 2]
            )
        );
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a`; DROP TABLE b; --"), "`a``; DROP TABLE b; --`");
    }
}
