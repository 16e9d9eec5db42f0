//! Reads a pipeline file value by value, and gathers every problem on the way.
//!
//! A value that cannot be used is reported and then taken as absent, so that reading goes on behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnose::{Diagnostic, Source, Span};
use super::keys;
use super::value::nearest;

/// A value and where it is written.
pub(super) type Value<'t> = &'t Spanned<DeValue<'t>>;

/// The state of reading one file.
pub(super) struct Reader<'t> {
    pub(super) source: Arc<Source>,
    pub(super) problems: Vec<Diagnostic>,
    /// Where each setting that the file gives is written.
    pub(super) spans: BTreeMap<String, Span>,
    /// The setting that is being read.
    pub(super) current: String,
    failed: BTreeSet<String>,
    pub(super) environment: &'t dyn Fn(&str) -> Option<String>,
}

/// A table of the file; without entries when it is absent.
pub(super) struct Section<'t> {
    /// The path of its settings: `label`, `feature[0]`.
    pub(super) path: String,
    /// The table's name: `label`, `feature`.
    pub(super) name: &'static str,
    pub(super) span: Option<Span>,
    entries: Option<&'t DeTable<'t>>,
}

impl<'t> Section<'t> {
    /// As the file writes it: `[label]`, `[[feature]]`.
    pub(super) fn header(&self) -> String {
        header(self.name)
    }

    fn get(&self, key: &str) -> Option<Value<'t>> {
        self.entries.and_then(|entries| entries.get(key))
    }

    /// The keys that it has.
    pub(super) fn given(&self) -> impl Iterator<Item = &'t str> {
        let keys = self.entries.into_iter().flat_map(|entries| entries.keys());
        keys.map(|key| key.get_ref().as_ref())
    }
}

/// As a file writes the table `name`.
pub(super) fn header(name: &str) -> String {
    if name == "feature" {
        "[[feature]]".to_owned()
    } else {
        format!("[{name}]")
    }
}

/// `a`, `b`, `c`
pub(super) fn quoted<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// ``did you mean `x`?``, or nothing.
pub(super) fn did_you_mean<'c>(given: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    nearest(given, candidates).map_or(String::new(), |name| format!("did you mean `{name}`?"))
}

/// The one table where `key` belongs, if it is one.
fn home(key: &str) -> Option<String> {
    let mut homes = keys::TABLES.iter().filter(|(_, keys)| keys.contains(&key));
    match (homes.next(), homes.next()) {
        (Some((table, _)), None) => Some(format!("it belongs in {}", header(table))),
        _ => None,
    }
}

impl<'t> Reader<'t> {
    pub(super) fn new(source: Arc<Source>, environment: &'t dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            source,
            problems: Vec::new(),
            spans: BTreeMap::new(),
            current: String::new(),
            failed: BTreeSet::new(),
            environment,
        }
    }

    /// A problem at `span`, still to be reported.
    pub(super) fn at(&self, span: Option<Span>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.source, span, message)
    }

    /// Whether a value was given for this setting and could be used.
    pub(super) fn usable(&self, setting: &str) -> bool {
        !self.failed.contains(setting)
    }

    /// Reports tables that there are not.
    pub(super) fn tables(&mut self, root: &DeTable<'_>) {
        let known = || keys::TABLES.iter().map(|(table, _)| *table);
        for key in root
            .keys()
            .filter(|key| known().all(|table| table != key.get_ref()))
        {
            let given: &str = key.get_ref();
            let label = home(given).unwrap_or_else(|| did_you_mean(given, known()));
            let problem = self
                .at(Some(key.span()), format!("unknown table or key `{given}`"))
                .label(label);
            self.problems.push(problem.help(format!(
                "the tables are: {}",
                known().map(header).collect::<Vec<_>>().join(", ")
            )));
        }
    }

    /// The table `name` of the file.
    pub(super) fn section(&mut self, root: &'t DeTable<'t>, name: &'static str) -> Section<'t> {
        let mut section = Section {
            path: name.to_owned(),
            name,
            span: None,
            entries: None,
        };
        if let Some(value) = root.get(name) {
            section.span = Some(value.span());
            self.spans.insert(name.to_owned(), value.span());
            match value.get_ref() {
                DeValue::Table(entries) => section.entries = Some(entries),
                other => {
                    let message = format!("`{name}` is not a table but {}", given(other));
                    let problem = self.at(section.span.clone(), message);
                    self.problems.push(problem.label(format!("write [{name}]")));
                    self.failed.insert(name.to_owned());
                }
            }
        }
        section
    }

    /// Every `[[feature]]` of the file.
    pub(super) fn features(&mut self, root: &'t DeTable<'t>) -> Vec<Section<'t>> {
        let Some(value) = root.get("feature") else {
            return Vec::new();
        };
        self.spans.insert("feature".to_owned(), value.span());
        let mut sections = Vec::new();
        let items: Vec<Value<'t>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("feature[{index}]");
            self.spans.insert(path.clone(), item.span());
            match item.get_ref() {
                DeValue::Table(entries) if value.get_ref().is_array() => sections.push(Section {
                    path,
                    name: "feature",
                    span: Some(item.span()),
                    entries: Some(entries),
                }),
                other => {
                    let message = format!("`feature` is not a list of tables but {}", given(other));
                    let problem = self.at(Some(item.span()), message);
                    self.problems
                        .push(problem.label("write [[feature]], in double brackets"));
                    self.failed.insert("feature".to_owned());
                }
            }
        }
        sections
    }

    /// Reports keys of a section that are not among `known`; `explain` may know better than "unknown".
    pub(super) fn keys(
        &mut self,
        section: &Section<'_>,
        known: &[&str],
        explain: impl Fn(&str) -> Option<String>,
    ) {
        let Some(entries) = section.entries else { return };
        for key in entries
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
        {
            let given: &str = key.get_ref();
            let label = explain(given)
                .or_else(|| home(given))
                .unwrap_or_else(|| did_you_mean(given, known.iter().copied()));
            let problem = self.at(
                Some(key.span()),
                format!("unknown key `{given}` in {}", section.header()),
            );
            let problem = problem.label(label);
            self.problems
                .push(problem.help(format!("the keys here are: {}", quoted(known.iter().copied()))));
        }
    }

    /// The value of a key as `convert` reads it, if it is given and can be used.
    pub(super) fn get<T>(
        &mut self,
        section: &Section<'t>,
        key: &str,
        convert: impl FnOnce(&mut Self, &str, Value<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = section.get(key)?;
        let setting = format!("{}.{key}", section.path);
        self.spans.insert(setting.clone(), value.span());
        self.current.clone_from(&setting);
        let converted = convert(self, &format!("{}.{key}", section.name), value);
        if converted.is_none() {
            self.failed.insert(setting);
        }
        converted
    }

    /// As [`Reader::get`], and reports a key that is absent; `example` shows what to write.
    pub(super) fn require<T: Default>(
        &mut self,
        section: &Section<'t>,
        key: &str,
        example: &str,
        convert: impl FnOnce(&mut Self, &str, Value<'t>) -> Option<T>,
    ) -> T {
        // A table that is absent as a whole is one problem, reported once.
        if section.entries.is_some() && section.get(key).is_none() {
            let problem = self.at(
                section.span.clone(),
                format!("{} has no `{key}`", section.header()),
            );
            self.problems.push(
                problem
                    .label(format!("`{key}` is required"))
                    .help(format!("add {example}")),
            );
            self.failed.insert(format!("{}.{key}", section.path));
        }
        self.get(section, key, convert).unwrap_or_default()
    }
}

/// What kind of value was given, with its article.
pub(super) fn given(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
