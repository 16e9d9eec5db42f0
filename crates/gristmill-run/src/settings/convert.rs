//! Reads single values as what a setting wants them to be, or reports why they are not that.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use gristmill_data::secret;
use gristmill_data::settings::{Filled, SourceUrl};
use gristmill_data::source_url::has_scheme;
use toml::de::DeValue;

use super::diagnose::Span;
use super::reader::{Reader, Value, given};
use super::value::{self, Unexpanded, nearest};

impl<'t> Reader<'t> {
    /// A text, with the environment's values filled in; not empty.
    pub(super) fn text(&mut self, name: &str, value: Value<'t>) -> Option<String> {
        let DeValue::String(written) = value.get_ref() else {
            return self.wrong_type(name, value, "a string");
        };
        let quoted = matches!(name, "source.url" | "source.query" | "clean.filter");
        // Nothing that is filled in is shown from here on.
        let filled_in = |variable: &str| {
            let value = (self.environment)(variable)?;
            // A whole URL has a form that may be shown, and its own secrets.
            if !(name == "source.url" && has_scheme(&value)) {
                secret::keep(&value, &format!("${{{variable}}}"), quoted);
            }
            Some(value)
        };
        let problem = match value::expand(written, &filled_in) {
            Ok(text) if !text.trim().is_empty() => return Some(text),
            Ok(_) => self.at(Some(value.span()), format!("`{name}` is empty")),
            Err(Unexpanded::NotSet(variable)) => {
                let reference = format!("${{{variable}}}");
                let span = self.within(value, &reference);
                self.at(
                    Some(span),
                    format!("the environment variable `{variable}` is not set"),
                )
                .label(format!("needed for `{name}`"))
                .help(format!(
                    "set it: export {variable}=…; or write $$ for a plain dollar sign"
                ))
            }
            Err(Unexpanded::NotAName) => self
                .at(
                    Some(self.within(value, "${")),
                    format!("`{name}` has ${{ without a name and }}"),
                )
                .help("write ${NAME} for an environment variable, $$ for a plain dollar sign"),
        };
        self.problems.push(problem);
        None
    }

    /// A text that is stored as it is written, for it may hold a secret when its variables are filled in.
    pub(super) fn filled(&mut self, name: &str, value: Value<'t>) -> Option<Filled> {
        let text = self.text(name, value)?;
        Some(Filled::new(value.get_ref().as_str().unwrap_or_default(), text))
    }

    /// The URL of a source.
    pub(super) fn source_url(&mut self, name: &str, value: Value<'t>) -> Option<SourceUrl> {
        let text = self.text(name, value)?;
        Some(SourceUrl::filled(
            value.get_ref().as_str().unwrap_or_default(),
            &text,
        ))
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, name: &str, value: Value<'t>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => self.wrong_type(name, value, "true or false"),
        }
    }

    /// An integer within `allowed`.
    pub(super) fn integer(
        &mut self,
        name: &str,
        value: Value<'t>,
        allowed: RangeInclusive<u64>,
    ) -> Option<u64> {
        let expected = match allowed.end() {
            &u64::MAX => format!("an integer, {} or more", allowed.start()),
            end => format!("an integer from {} to {end}", allowed.start()),
        };
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_type(name, value, &expected);
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.filter(|number| allowed.contains(number)) {
            None => self.not_allowed(name, value, &expected),
            within => within,
        }
    }

    /// A finite number for which `allowed` holds.
    pub(super) fn number(
        &mut self,
        name: &str,
        value: Value<'t>,
        expected: &str,
        allowed: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let number = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|n| n as f64),
            _ => return self.wrong_type(name, value, expected),
        };
        match number.filter(|number: &f64| number.is_finite() && allowed(*number)) {
            None => self.not_allowed(name, value, expected),
            within => within,
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, value: Value<'t>, words: &[(&str, T)]) -> Option<T> {
        let listed = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(", ");
        if !value.get_ref().is_str() {
            return self.wrong_type(name, value, &format!("one of {listed}"));
        }
        let text = self.text(name, value)?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, meaning)| *meaning);
        if found.is_none() {
            let written = self.written(value);
            let near = nearest(&text, words.iter().map(|(word, _)| *word));
            let label = near.map_or(String::new(), |word| format!("did you mean \"{word}\"?"));
            let problem = self.at(
                Some(value.span()),
                format!("unknown value {written} for `{name}`"),
            );
            self.problems
                .push(problem.label(label).help(format!("the values are: {listed}")));
        }
        found
    }

    /// A list.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        value: Value<'t>,
        expected: &str,
        mut one: impl FnMut(&mut Self, &str, Value<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_type(name, value, expected);
        };
        for (index, item) in items.iter().enumerate() {
            let setting = format!("{}[{index}]", self.current);
            self.spans.insert(setting, item.span());
        }
        // Not `map` straight into `Option<Vec>`: that would stop at the first problem.
        let items: Vec<Option<T>> = items.iter().map(|item| one(self, name, item)).collect();
        items.into_iter().collect()
    }

    /// A value, or a list of different ones: an axis of the grid.
    pub(super) fn axis<T: PartialEq>(
        &mut self,
        name: &str,
        value: Value<'t>,
        mut one: impl FnMut(&mut Self, &str, Value<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let DeValue::Array(items) = value.get_ref() else {
            return Some(vec![one(self, name, value)?]);
        };
        if items.is_empty() {
            let problem = self.at(Some(value.span()), format!("`{name}` is an empty list"));
            self.problems
                .push(problem.label("give a value, or a list of values"));
            return None;
        }
        let axis = self.list(name, value, "", one)?;
        for (at, item) in axis.iter().enumerate() {
            if let Some(first) = axis[..at].iter().position(|earlier| earlier == item) {
                let written = self.written(&items[at]);
                let problem = self.at(Some(items[at].span()), format!("`{name}` has {written} twice"));
                let problem = problem
                    .label("given again")
                    .related(Some(items[first].span()), "first here");
                self.problems.push(problem);
                return None;
            }
        }
        Some(axis)
    }

    /// A table from class to number.
    pub(super) fn by_class(
        &mut self,
        name: &str,
        value: Value<'t>,
        expected: &str,
        allowed: impl Fn(f64) -> bool,
    ) -> Option<BTreeMap<String, f64>> {
        let DeValue::Table(entries) = value.get_ref() else {
            return self.wrong_type(name, value, "a table from class to number, as { France = 2.0 }");
        };
        // Not straight into an `Option`: that would stop at the first problem.
        let numbers: Vec<_> = entries
            .iter()
            .map(|(class, number)| {
                let class = class.get_ref().to_string();
                let number = self.number(&format!("{name}.{class}"), number, expected, &allowed);
                Some((class, number?))
            })
            .collect();
        numbers.into_iter().collect()
    }

    /// Reports a value of the wrong type.
    pub(super) fn wrong_type<T>(&mut self, name: &str, value: Value<'t>, expected: &str) -> Option<T> {
        let message = format!("`{name}` is {}", given(value.get_ref()));
        let problem = self
            .at(Some(value.span()), message)
            .label(format!("expected {expected}"));
        self.problems.push(problem);
        None
    }

    /// Reports a value outside of what is allowed.
    pub(super) fn not_allowed<T>(&mut self, name: &str, value: Value<'t>, expected: &str) -> Option<T> {
        let message = format!("`{name}` cannot be {}", self.written(value));
        let problem = self
            .at(Some(value.span()), message)
            .label(format!("expected {expected}"));
        self.problems.push(problem);
        None
    }

    /// The value as the file writes it: what the environment filled in stays unsaid.
    pub(super) fn written(&self, value: Value<'_>) -> String {
        let written = self.source.slice(&value.span());
        match written.char_indices().nth(40) {
            Some((end, _)) => format!("{}…", &written[..end]),
            None => written.to_owned(),
        }
    }

    /// Where `part` is written within a value.
    fn within(&self, value: Value<'_>, part: &str) -> Span {
        let span = value.span();
        let found = self.source.slice(&span).find(part);
        found.map_or(span.clone(), |at| span.start + at..span.start + at + part.len())
    }
}
