//! Rules about the text of a file: its first line, length, white space, printing and unfinished work.

use super::{Finding, Level};

const LINES_WARNING: usize = 400;
const LINES_ERROR: usize = 600;

const PRINTS: [&str; 5] = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
/// The one place that writes to the terminal for the user, and the tools of the repository itself.
const MAY_PRINT: [&str; 2] = ["crates/gristmill/src/printer.rs", "xtask/"];

/// Split so that this file does not contain what it forbids.
const UNFINISHED: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!"),
    concat!("un", "implemented!"),
];

/// Recorded output and data: their white space means something.
const VERBATIM: [&str; 3] = [".snap", ".csv", ".tsv"];

/// So are the seeds of the fuzz targets.
const INPUTS: &str = "fuzz/corpus/";

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_verbatim = VERBATIM.iter().any(|ending| path.ends_with(ending));
    if !is_verbatim && !path.starts_with(INPUTS) {
        white_space(path, text, &mut findings);
        unfinished(path, text, &mut findings);
    }
    if path.ends_with(".rs") {
        first_line(path, text, &mut findings);
        length(path, text, &mut findings);
        printing(path, text, &mut findings);
    }
    findings
}

fn white_space(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (line, content) in numbered(text) {
        if content.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::error(path, line, "white space at the end of the line"));
        }
    }
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        let line = text.lines().count();
        findings.push(Finding::error(path, line, "a file ends with one newline"));
    }
}

fn unfinished(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (line, content) in numbered(text) {
        if let Some(mark) = UNFINISHED.iter().find(|mark| has_word(content, mark)) {
            findings.push(Finding::error(
                path,
                line,
                format!("`{mark}`: finish it, or open an issue for it"),
            ));
        }
    }
}

fn first_line(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if !text.starts_with("//! ") {
        findings.push(Finding::error(
            path,
            1,
            "a file begins with `//! ` and its one job",
        ));
    }
}

fn length(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let is_test = path.split('/').any(|part| part == "tests" || part == "tests.rs");
    let all = text.lines().count();
    let code = text.lines().position(|line| line == "mod tests {").unwrap_or(all);
    if code > LINES_ERROR && !is_test {
        let message = format!("{code} lines without tests: split it, a file has at most {LINES_ERROR}");
        findings.push(Finding::error(path, all, message));
    } else if all > LINES_WARNING {
        let message = format!("{all} lines: a file stays near {LINES_WARNING}");
        findings.push(Finding {
            path: path.to_owned(),
            line: all,
            level: Level::Warning,
            message,
        });
    }
}

fn printing(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if MAY_PRINT.iter().any(|place| path.starts_with(place)) {
        return;
    }
    for (line, content) in numbered(text) {
        let code = content.split("//").next().unwrap_or_default();
        if let Some(name) = PRINTS.iter().find(|name| has_word(code, name)) {
            let message = format!(
                "`{name}`: only {} prints; elsewhere return it or log it",
                MAY_PRINT[0]
            );
            findings.push(Finding::error(path, line, message));
        }
    }
}

/// Whether `word` stands in `text` with no letter, digit or underscore joined to it.
fn has_word(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(joins) && (word.ends_with('!') || !after.is_some_and(joins))
    })
}

/// The lines from 1, with a carriage return kept so that it is seen.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.split_terminator('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `line: message` of every finding.
    fn found(path: &str, text: &str) -> Vec<String> {
        check(path, text)
            .iter()
            .map(|f| format!("{}: {}", f.line, f.message))
            .collect()
    }

    fn lines(count: usize) -> String {
        format!("//! Job.\n{}", "use a;\n".repeat(count - 1))
    }

    #[test]
    fn a_clean_file_has_no_findings() {
        assert_eq!(
            found("crates/a/src/lib.rs", "//! Job.\n\npub fn f() {}\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_rust_file_begins_with_its_job() {
        for text in ["", "use a;\n", "//!\n", "/// Job.\n", "\n//! Job.\n"] {
            assert_eq!(
                found("a.rs", text),
                ["1: a file begins with `//! ` and its one job"],
                "{text:?}"
            );
        }
        assert_eq!(found("a.toml", "a = 1\n"), [""; 0]);
    }

    #[test]
    fn white_space_at_line_ends_and_a_wrong_file_end_are_errors() {
        assert_eq!(
            found("a.md", "one \ntwo\t\nthree\r\nfour"),
            [
                "1: white space at the end of the line",
                "2: white space at the end of the line",
                "3: white space at the end of the line",
                "4: a file ends with one newline",
            ]
        );
        assert_eq!(found("a.md", "one\n\n"), ["2: a file ends with one newline"]);
        assert_eq!(found("a.md", ""), [""; 0]);
        assert_eq!(found("a.snap", "one \n\n"), [""; 0]);
    }

    #[test]
    fn every_mark_of_unfinished_work_is_found() {
        for mark in UNFINISHED {
            let text = format!("//! Job.\n\n// {mark} later\n");
            let message = format!("3: `{mark}`: finish it, or open an issue for it");
            assert_eq!(found("a.rs", &text), [message]);
        }
        let inside = format!("see MY_{}S\n", UNFINISHED[0]);
        assert_eq!(found("a.md", &inside), [""; 0]);
    }

    #[test]
    fn printing_is_found_once_a_line_outside_comments() {
        for name in PRINTS {
            let text = format!("//! Job: {name}(..)\n\nfn f() {{ std::{name}(\"a\") }} // {name}\n");
            let message = format!(
                "3: `{name}`: only {} prints; elsewhere return it or log it",
                MAY_PRINT[0]
            );
            assert_eq!(found("crates/a/tests/b.rs", &text), [message]);
            assert_eq!(found("xtask/src/main.rs", &text), [""; 0]);
            assert_eq!(found("crates/gristmill/src/printer.rs", &text), [""; 0]);
        }
        assert_eq!(found("a.rs", "//! Job.\nfn f() { my_println!() }\n"), [""; 0]);
    }

    #[test]
    fn length_warns_at_400_and_fails_at_600() {
        let level = |path: &str, text: &str| check(path, text).first().map(|f| f.level);
        assert_eq!(level("a.rs", &lines(400)), None);
        assert_eq!(level("a.rs", &lines(401)), Some(Level::Warning));
        assert_eq!(level("a.rs", &lines(600)), Some(Level::Warning));
        assert_eq!(level("a.rs", &lines(601)), Some(Level::Error));
    }

    #[test]
    fn tests_do_not_count_towards_the_error() {
        let level = |path: &str, text: &str| check(path, text).first().map(|f| f.level);
        assert_eq!(level("crates/a/tests/b.rs", &lines(601)), Some(Level::Warning));
        assert_eq!(
            level("crates/a/src/b/tests.rs", &lines(601)),
            Some(Level::Warning)
        );
        let tail = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    use a;\n".repeat(600));
        assert_eq!(level("a.rs", &(lines(500) + &tail)), Some(Level::Warning));
        assert_eq!(level("a.rs", &(lines(601) + &tail)), Some(Level::Error));
    }
}
