//! Reads a pipeline file, and knows where each of its settings is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::Schema;
use gristmill_learn::contract::registry::Registry;
use toml::de::DeTable;

use super::diagnose::{Diagnostic, Source, Span};
use super::pipeline::Pipeline;
use super::{reader, sections, validate};

/// No pipeline file is longer; a data file given by mistake is.
const MAX_BYTES: u64 = 1 << 20;

/// A pipeline file that was read without a problem.
#[derive(Debug)]
pub struct PipelineFile {
    /// What it says, with every default filled in.
    pub pipeline: Pipeline,
    /// Where it was read from.
    pub path: PathBuf,
    source: Arc<Source>,
    spans: BTreeMap<String, Span>,
}

impl PipelineFile {
    /// Reads and validates the file at `path`, with `${VAR}` from the environment of the process. Its encoders and its
    /// model are of these kinds.
    pub fn read(path: &Path, kinds: &Registry) -> Result<Self, Vec<Diagnostic>> {
        let name = path.display().to_string();
        let problem = |message: String| vec![Diagnostic::new(&Source::new(&name, ""), None, message)];
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| problem(format!("cannot read the pipeline file: {error}")))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(problem(format!(
                "this is not a pipeline file: it is longer than {MAX_BYTES} bytes"
            )));
        }
        Self::parse(path, &text, &|variable| std::env::var(variable).ok(), kinds)
    }

    /// Validates `text` as the content of the file at `path`; `environment` knows the values of `${VAR}`.
    pub fn parse(
        path: &Path,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
        kinds: &Registry,
    ) -> Result<Self, Vec<Diagnostic>> {
        let source = Source::new(path.display().to_string(), text);
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(syntax_problems(&source, text, &errors));
        }
        let mut reader = reader::Reader::new(Arc::clone(&source), environment);
        let pipeline = sections::pipeline(&mut reader, root.get_ref(), path, kinds);
        if let Some(pipeline) = &pipeline {
            validate::contradictions(&mut reader, pipeline);
        }
        let (mut problems, spans) = (reader.problems, reader.spans);
        let Some(pipeline) = pipeline.filter(|_| problems.is_empty()) else {
            problems.sort_by_key(Diagnostic::start);
            return Err(problems);
        };
        Ok(Self {
            pipeline,
            path: path.to_owned(),
            source,
            spans,
        })
    }

    /// Where a setting is written, e.g. `source.key`, `clean.require[0]`, `feature[1].column`; `None` if it is a default.
    pub fn locate(&self, setting: &str) -> Option<Span> {
        self.spans.get(setting).cloned()
    }

    /// A problem with a setting, found later than while reading; `help` may be empty.
    pub fn problem(&self, setting: &str, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.source, self.locate(setting), message).help(help)
    }

    /// Reports every column that the file names and `schema`, the schema of the query, does not have.
    pub fn check_columns(&self, schema: &Schema) -> Vec<Diagnostic> {
        let pipeline = &self.pipeline;
        let mut named: Vec<_> = pipeline
            .source
            .key
            .iter()
            .map(|column| (self.key_setting(column), column.as_str()))
            .collect();
        for (index, column) in pipeline.clean.require.iter().enumerate() {
            named.push((format!("clean.require[{index}]"), column));
        }
        for (index, feature) in pipeline.features.iter().enumerate() {
            let columns = feature.columns().iter().enumerate();
            named
                .extend(columns.map(|(place, column)| (self.feature_setting(index, place), column.as_str())));
        }
        named.push(("label.column".to_owned(), &pipeline.label.column));
        if let Some(weight) = &pipeline.label.weight {
            named.push(("label.weight".to_owned(), weight));
        }
        // The default is the key, which is checked already.
        if self.locate("split.by").is_some() {
            named.push(("split.by".to_owned(), &pipeline.split.by));
        }
        if let Some(column) = &pipeline.split.column {
            named.push(("split.column".to_owned(), column));
        }
        let columns: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let missing = named.iter().filter(|(_, column)| !columns.contains(column));
        missing
            .map(|(setting, column)| self.missing_column(setting, column, &columns))
            .collect()
    }

    /// Where a column of the key is written.
    pub(super) fn key_setting(&self, column: &str) -> String {
        let place = self.pipeline.source.key.iter().position(|name| name == column);
        let listed = place.map(|index| format!("source.key[{index}]"));
        listed
            .filter(|setting| self.locate(setting).is_some())
            .unwrap_or_else(|| "source.key".to_owned())
    }

    /// Where a column of a feature is written.
    pub(super) fn feature_setting(&self, feature: usize, place: usize) -> String {
        let setting = format!("feature[{feature}].column");
        let listed = format!("{setting}[{place}]");
        if self.locate(&listed).is_some() {
            listed
        } else {
            setting
        }
    }

    pub(super) fn missing_column(&self, setting: &str, column: &str, columns: &[&str]) -> Diagnostic {
        const SHOWN: usize = 40;
        let mut help = format!(
            "its columns are: {}",
            reader::quoted(columns.iter().take(SHOWN).copied())
        );
        if columns.len() > SHOWN {
            help.push_str(&format!(" and {} more", columns.len() - SHOWN));
        }
        // As written: the name may come from the environment.
        let span = self.locate(setting);
        let written = span
            .as_ref()
            .map_or("", |span| self.source.slice(span))
            .trim_matches(['"', '\'']);
        self.problem(setting, format!("source.query has no column `{written}`"), help)
            .label(reader::did_you_mean(column, columns.iter().copied()))
    }
}

/// The first syntax error of each line: what follows on it is often only its echo.
fn syntax_problems(source: &Arc<Source>, text: &str, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
    let mut spans: Vec<(Span, &str)> = errors
        .iter()
        .map(|error| (error.span().unwrap_or(0..0), error.message()))
        .collect();
    spans.sort_by_key(|(span, _)| span.start);
    spans.dedup_by_key(|(span, _)| text.get(..span.start).map(|before| before.matches('\n').count()));
    let problem = |(span, message)| {
        // The parser lists what it would take after a comma.
        let (message, expected) = match str::split_once(message, ", ") {
            Some((message, expected)) => (message, expected),
            None => (message, ""),
        };
        Diagnostic::new(source, Some(span), format!("TOML syntax: {message}")).label(expected)
    };
    spans.into_iter().map(problem).collect()
}
