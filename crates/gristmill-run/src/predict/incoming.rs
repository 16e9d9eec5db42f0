//! The rows that are asked of a model, wherever they come from: in batches of bounded size, after those that were answered before.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, SchemaRef};
use gristmill_data::content::FileContent;
use gristmill_data::csv_quotes::Swallowed;
use gristmill_data::parquet_file::BatchLimit;
use gristmill_data::settings::{SourceSettings, SourceUrl, TextReading};
use gristmill_data::sink::Progress;
use gristmill_data::source::FileRows;
use serde_json::{Value, json};

use super::input::{self, TextFormat};
use super::query::{Piece, QueryInput};
use crate::error::{Error, Result, bad_file, io};
use crate::event::Observe;

/// Where the rows come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Files in their order: one by the ending of its name, or what a URL `csv:…`, `jsonl:…`, `parquet:…` or `delta:…` names, with
    /// the options of `source.url`.
    Files(String),
    /// The standard input.
    StandardInput(TextFormat),
    /// A query, which is read in ranges of its key.
    Query {
        /// The database or the files, the query and its key.
        settings: Box<SourceSettings>,
        /// Rows of a range.
        batch_rows: u64,
    },
}

impl Origin {
    /// What a refusal of it names.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Files(place) => place.clone(),
            Self::StandardInput(_) => "standard input".to_owned(),
            Self::Query { settings, .. } => settings.url.to_string(),
        }
    }

    /// The columns that tell its rows apart, where it says.
    pub(super) fn key(&self) -> Option<&[String]> {
        match self {
            Self::Files(_) | Self::StandardInput(_) => None,
            Self::Query { settings, .. } => Some(&settings.key[..]).filter(|key| !key.is_empty()),
        }
    }

    /// Where a query reads from.
    pub(super) fn url(&self) -> Option<&SourceUrl> {
        match self {
            Self::Files(_) | Self::StandardInput(_) => None,
            Self::Query { settings, .. } => Some(&settings.url),
        }
    }

    /// What tells its rows from others; `files` are those that are read.
    ///
    /// # Errors
    /// When a file cannot be read, every byte of which is looked at; of the standard input, which nobody can read again.
    pub(super) fn identity(&self, files: &[PathBuf]) -> Result<Value> {
        match self {
            Self::Files(_) => {
                let content = files.iter().map(|path| {
                    let place = path.canonicalize().map_err(io(path))?;
                    let content = FileContent::of(path).map_err(io(path))?;
                    Ok(json!([place.to_string_lossy(), content]))
                });
                Ok(Value::Array(content.collect::<Result<_>>()?))
            }
            Self::StandardInput(_) => {
                let why = "a table is written so that it can be continued, and nobody can read this again; write it into a file, and \
                           give that";
                Err(bad_file(Path::new("standard input"), &why))
            }
            Self::Query { settings, .. } => {
                let SourceSettings { url, query, key, .. } = settings.as_ref();
                Ok(json!([url.to_string(), query, key]))
            }
        }
    }
}

/// Rows on their way.
pub(super) struct Incoming {
    pub(super) schema: SchemaRef,
    /// Rows that are expected, where that is known.
    pub(super) expected: Option<u64>,
    from: Kind,
    /// Rows of a file that were answered before.
    skip: u64,
    /// Rows of a batch.
    most: usize,
    /// What is left of rows that are more than a batch.
    rest: Option<RecordBatch>,
}

enum Kind {
    Files(Box<FileRows>),
    Query(Box<QueryInput>),
}

impl Incoming {
    /// Opens it; `reading` says what text stands for.
    pub(super) fn open(
        origin: &Origin,
        limit: BatchLimit,
        reading: &TextReading,
        observe: &dyn Observe,
    ) -> Result<Self> {
        let most = limit.rows.max(1);
        let (schema, expected, from) = match origin {
            Origin::Files(place) => {
                let rows = input::files(place, limit, reading)?;
                (rows.schema().clone(), None, Kind::Files(Box::new(rows)))
            }
            Origin::StandardInput(format) => {
                let rows = input::standard(*format, limit, reading)?;
                (rows.schema().clone(), None, Kind::Files(Box::new(rows)))
            }
            Origin::Query { settings, batch_rows } => {
                let query = QueryInput::open(settings.as_ref().clone(), *batch_rows, observe)?;
                (query.schema.clone(), query.expected, Kind::Query(Box::new(query)))
            }
        };
        Ok(Self {
            schema,
            expected,
            from,
            skip: 0,
            most,
            rest: None,
        })
    }

    /// Begins, after what an earlier process came to.
    pub(super) fn start(&mut self, after: Option<&Progress>) -> Result<()> {
        match &mut self.from {
            Kind::Files(_) => self.skip = after.map_or(0, |after| after.rows),
            Kind::Query(query) => {
                let position = after.and_then(|after| after.position.as_deref());
                query.start(position, after.map_or(0, |after| after.batches))?;
            }
        }
        Ok(())
    }

    /// The next rows, or the end of a range of them; `None` when there are no more.
    pub(super) fn next(&mut self, observe: &dyn Observe) -> Result<Option<Piece>> {
        loop {
            if let Some(rows) = self.rest.take() {
                let count = self.most.min(rows.num_rows());
                if count < rows.num_rows() {
                    self.rest = Some(rows.slice(count, rows.num_rows() - count));
                }
                return Ok(Some(Piece::Rows(rows.slice(0, count))));
            }
            let rows = match &mut self.from {
                Kind::Query(query) => match query.next(observe)? {
                    Some(Piece::Rows(rows)) => rows,
                    other => return Ok(other),
                },
                Kind::Files(input) => {
                    if observe.stopping() {
                        return Err(Error::Interrupted);
                    }
                    let Some(rows) = input.next().transpose()? else {
                        return Ok(None);
                    };
                    rows
                }
            };
            let skipped = self.skip.min(rows.num_rows() as u64);
            self.skip -= skipped;
            let skipped = skipped as usize;
            if skipped < rows.num_rows() {
                self.rest = Some(rows.slice(skipped, rows.num_rows() - skipped));
            }
        }
    }

    /// Rows of CSV files that look as if they had swallowed others.
    pub(super) fn swallowed(&self) -> Vec<(PathBuf, Swallowed)> {
        match &self.from {
            Kind::Files(input) => input.swallowed(),
            Kind::Query(_) => Vec::new(),
        }
    }

    /// The types of the columns that are text: those that the URL gives them, or else those that they had in training.
    pub(super) fn types(&self, training: &[(String, DataType)]) -> Vec<(String, DataType)> {
        let Kind::Files(input) = &self.from else {
            return Vec::new();
        };
        let given = input.types().iter();
        let known = training.iter().filter(|(name, _)| {
            let is_text = |field: &Field| *field.data_type() == DataType::Utf8;
            self.schema.field_with_name(name).is_ok_and(is_text)
        });
        // Of two the first counts.
        given.chain(known).cloned().collect()
    }

    /// The tables that a query reads.
    pub(super) fn tables(&self) -> &[String] {
        match &self.from {
            Kind::Files(_) => &[],
            Kind::Query(query) => &query.tables,
        }
    }

    /// The files that are read.
    pub(super) fn files(&self) -> &[PathBuf] {
        match &self.from {
            Kind::Files(input) => input.paths(),
            Kind::Query(_) => &[],
        }
    }
}
