//! Problems of a pipeline file, shown at their line.

use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::visible;

/// A range of bytes of a pipeline file.
pub type Span = Range<usize>;

/// The width that messages are kept within.
pub const WIDTH: usize = 80;

/// One problem: what was given, what is allowed, the way out, and where.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    message: String,
    source: Arc<Source>,
    span: Option<Span>,
    label: String,
    related: Option<(Span, String)>,
    help: Vec<String>,
}

/// A pipeline file as it may be shown: a password written in it is masked, and what a terminal would obey is replaced.
#[derive(Debug)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// The file `name` with content `text`.
    pub fn new(name: impl Into<String>, text: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: visible::in_place(&mask_passwords(text)),
        })
    }

    /// What is written at `span`.
    pub fn slice(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

impl Diagnostic {
    /// A problem at `span`, or of the file as a whole.
    pub fn new(source: &Arc<Source>, span: Option<Span>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: Arc::clone(source),
            span: span.map(|span| first_line(&source.text, span)),
            label: String::new(),
            related: None,
            help: Vec::new(),
        }
    }

    /// Says `label` beside the place.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Points at another place that matters.
    pub fn related(mut self, span: Option<Span>, label: impl Into<String>) -> Self {
        self.related = span.map(|span| (first_line(&self.source.text, span), label.into()));
        self
    }

    /// Adds a way out; an empty one is left away.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        let help = help.into();
        if !help.is_empty() {
            self.help.push(help);
        }
        self
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where the problem begins, for sorting.
    pub(crate) fn start(&self) -> usize {
        self.span.as_ref().map_or(usize::MAX, |span| span.start)
    }

    /// The problem as text of several lines, with a caret under its place.
    pub fn render(&self, color: bool) -> String {
        let message = wrap(&visible::text(&self.message), WIDTH - "error: ".len());
        let (name, label) = (visible::text(&self.source.name), visible::text(&self.label));
        let mut group = Group::with_title(Level::ERROR.primary_title(message));
        let mut beside = label.as_str();
        match &self.span {
            Some(span) => {
                let (line, column) = position(&self.source.text, span.start);
                let caret =
                    line.to_string().len() + " | ".len() + column + self.source.slice(span).chars().count();
                if caret + beside.chars().count() >= WIDTH {
                    beside = "";
                }
                let primary = AnnotationKind::Primary.span(span.clone());
                let mut snippet = Snippet::source(self.source.text.as_str())
                    .path(name.as_str())
                    .annotation(primary.label(Some(beside)));
                if let Some((span, label)) = &self.related {
                    let context = AnnotationKind::Context.span(span.clone());
                    snippet = snippet.annotation(context.label(Some(label.as_str())));
                }
                group = group.element(snippet);
            }
            None => group = group.element(Origin::path(name.as_str())),
        }
        if beside.is_empty() && !label.is_empty() {
            group = group.element(Level::NOTE.message(wrap(&label, WIDTH - 14)));
        }
        for help in &self.help {
            group = group.element(Level::HELP.message(wrap(&visible::text(help), WIDTH - 14)));
        }
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.term_width(WIDTH).render(&[group])
    }

    /// The problem as one JSON object.
    pub fn json(&self) -> Value {
        let position = self
            .span
            .as_ref()
            .map(|span| position(&self.source.text, span.start));
        json!({
            "message": self.message,
            "file": self.source.name,
            "line": position.map(|p| p.0),
            "column": position.map(|p| p.1),
            "label": self.label,
            "help": self.help,
        })
    }
}

/// Breaks lines longer than `width` characters between words.
pub fn wrap(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        // Indentation is kept for the first piece only.
        let mut current = line.chars().take_while(|c| *c == ' ').collect::<String>();
        let mut empty = true;
        for word in line.split_whitespace() {
            if !empty && current.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut current));
                empty = true;
            }
            if !empty {
                current.push(' ');
            }
            current.push_str(word);
            empty = false;
        }
        lines.push(current);
    }
    lines.join("\n")
}

/// The part of `span` on its first line.
fn first_line(text: &str, span: Span) -> Span {
    let part = text.get(span.clone()).unwrap_or_default();
    let end = part.find(['\n', '\r']).map_or(span.end, |at| span.start + at);
    span.start..end
}

/// Line and column of a byte, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// The text with `*` for every byte of a password in a URL, so that spans stay as they are.
/// `${VAR}` is not a password: it stays.
fn mask_passwords(text: &str) -> String {
    let mut hidden: Vec<Span> = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + "://".len();
        let end = text[start..].find(|c: char| c.is_whitespace() || "\"'".contains(c));
        let url = &text[start..end.map_or(text.len(), |end| start + end)];
        if let Some(host) = url.rfind('@')
            && let Some(colon) = url[..host].find(':')
        {
            hidden.push(start + colon + 1..start + host);
        }
    }
    for (at, found) in text.match_indices("password=") {
        let start = at + found.len();
        let end = text[start..].find(|c: char| c.is_whitespace() || "\"'&".contains(c));
        hidden.push(start..end.map_or(text.len(), |end| start + end));
    }
    let mut masked = text.to_owned();
    for span in hidden {
        let password = &text[span.clone()];
        let variable = password.starts_with("${") && password.find('}') == Some(password.len() - 1);
        if !variable {
            masked.replace_range(span.clone(), &"*".repeat(span.len()));
        }
    }
    masked
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_and_nothing_moves() {
        for (text, masked) in [
            (
                "url = \"postgres://me:pä@ss@host/db\"\n",
                "url = \"postgres://me:******@host/db\"\n",
            ),
            ("'postgres://me@host/db'", "'postgres://me@host/db'"),
            ("postgres://me:${PW}@host", "postgres://me:${PW}@host"),
            ("postgres://me:x${PW}@host", "postgres://me:******@host"),
            ("p://h/d?password=abc&x=1", "p://h/d?password=***&x=1"),
            ("p://me:\" key='a@b'", "p://me:\" key='a@b'"),
        ] {
            assert_eq!(mask_passwords(text), masked);
            assert_eq!(text.len(), masked.len());
        }
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 7), "one two\nthree");
        assert_eq!(wrap("  indented text", 80), "  indented text");
        assert_eq!(wrap("a\n\nb", 80), "a\n\nb");
    }

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(position("ä = 1\nöb = 2", 0), (1, 1));
        assert_eq!(position("ä = 1\nöb = 2", "ä = 1\nöb".len()), (2, 3));
    }
}
