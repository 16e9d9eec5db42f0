//! What is known of the columns of files without types before they are read: what those of the query that are nothing but they stand
//! for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::convert::{Logical, convert};
use crate::error::{Error, Result};
use crate::settings::{ReadAs, TextReading};

/// Where a column of a query comes from.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Origin {
    /// The columns of the files that its values are, or are made of.
    pub(super) places: BTreeSet<usize>,
    /// Whether something is made of them, so that they are not its values.
    pub(super) made: bool,
}

/// What the values of a column of the files stand for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// As [`ReadAs::Written`].
    Written,
    /// As [`ReadAs::Values`].
    Values(Logical),
    /// For what they are; but a column of the query, which stands for itself, is made of them: it is noticed where a value is not
    /// written as its type writes it, for that is lost.
    Watched {
        /// The column of the query.
        made: String,
    },
}

/// What is told of columns by their names; of most files nothing of most columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ToldColumns {
    pub(super) columns: Vec<(String, Told)>,
    /// As [`TextReading::quoted_empty`].
    pub(super) quoted_empty: bool,
}

impl ToldColumns {
    /// What holds where each column of the query is that of the files with its name.
    pub(super) fn by_name(reading: &TextReading) -> Self {
        let columns = reading.columns.iter();
        Self {
            columns: columns
                .map(|(name, read_as)| (name.clone(), Told::of(read_as)))
                .collect(),
            quoted_empty: reading.quoted_empty,
        }
    }

    /// What holds where the columns of the query, by name, come from these places among the columns `names` of the files.
    pub(super) fn by_origin(reading: &TextReading, query: &[(String, Origin)], names: &[String]) -> Self {
        let mut told = Self {
            columns: Vec::new(),
            quoted_empty: reading.quoted_empty,
        };
        for (place, name) in names.iter().enumerate() {
            let mut of_column: Option<Told> = None;
            for (column, origin) in query.iter().filter(|(_, origin)| origin.places.contains(&place)) {
                let Some((_, read_as)) = reading.columns.iter().find(|(name, _)| name == column) else {
                    continue;
                };
                let next = match read_as {
                    _ if !origin.made => Told::of(read_as),
                    ReadAs::Values(logical) if logical.data_type != DataType::Utf8 => continue,
                    _ => Told::Watched { made: column.clone() },
                };
                of_column = Some(match of_column {
                    None => next,
                    Some(before) => before.and(next),
                });
            }
            told.columns.extend(of_column.map(|of| (name.clone(), of)));
        }
        told
    }

    /// The same columns, of which nothing is told.
    pub(super) fn nothing(&self) -> Self {
        Self {
            columns: Vec::new(),
            ..*self
        }
    }

    /// Whether the same is told, in whatever order; of columns that are not there nothing is told.
    pub(super) fn is_same(&self, other: &Self, names: &[String]) -> bool {
        names.iter().all(|name| self.of(name) == other.of(name))
    }

    pub(super) fn of(&self, column: &str) -> Option<&Told> {
        let found = self.columns.iter().find(|(name, _)| name == column);
        found.map(|(_, told)| told)
    }

    /// The type that the values of a column have by this.
    pub(super) fn values(&self, column: &str) -> Option<&Logical> {
        match self.of(column)? {
            Told::Values(logical) => Some(logical),
            Told::Written | Told::Watched { .. } => None,
        }
    }
}

impl Told {
    fn of(read_as: &ReadAs) -> Self {
        match read_as {
            ReadAs::Written => Self::Written,
            ReadAs::Values(logical) => Self::Values(logical.clone()),
        }
    }

    /// What is told of a column that is two columns of the query.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Watched { .. }, other) => other,
            (one, Self::Watched { .. }) => one,
            (one, other) if one == other => one,
            // Each makes of the text what it stands for there.
            (Self::Values(_), _) | (_, Self::Values(_)) => Self::Values(Logical::plain(DataType::Utf8)),
            (Self::Written, Self::Written) => Self::Written,
        }
    }
}

/// Makes what was told of columns that were read as text, file by file.
pub(super) struct Values {
    /// The file, for messages.
    name: String,
    /// What each column is to be; `None` where it has its type already.
    columns: Vec<(Field, Option<Logical>)>,
    schema: SchemaRef,
    empties: Option<QuotedEmpties>,
    rows: u64,
}

impl Values {
    /// Of the columns `schema`; those told to be values are text until then.
    pub(super) fn new(
        name: String,
        schema: SchemaRef,
        told: &ToldColumns,
        empties: Option<QuotedEmpties>,
    ) -> Self {
        let columns = schema.fields().iter().map(|field| {
            let logical = told.values(field.name()).cloned();
            (field.as_ref().clone(), logical)
        });
        Self {
            name,
            columns: columns.collect(),
            schema,
            empties,
            rows: 0,
        }
    }

    /// The types that the columns are read with.
    pub(super) fn read_with(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|(field, logical)| match logical {
            Some(_) => Field::new(field.name(), DataType::Utf8, true),
            None => field.clone(),
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The rows with the values of their types.
    ///
    /// # Errors
    /// `Value` for the first that is none.
    pub(super) fn of(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        if let Some(empties) = &mut self.empties {
            let schema = &self.schema;
            let is_text = |at: usize| *schema.field(at).data_type() == DataType::Utf8;
            empties.fill(&mut columns, batch.num_rows(), is_text);
        }
        for ((field, logical), column) in self.columns.iter().zip(&mut columns) {
            let Some(logical) = logical else { continue };
            *column = convert(column, logical).map_err(|misfit| {
                let row = misfit.row.map_or(self.rows, |row| self.rows + row as u64);
                Error::Value {
                    column: field.name().clone(),
                    row: format!("row {} of {}", row + 1, self.name),
                    why: misfit.why,
                }
            })?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// Which values of a file are nothing in quotation marks, row by row, as they are read.
pub(super) struct QuotedEmpties {
    rows: Receiver<Vec<usize>>,
    /// The places of the columns that are read.
    places: Vec<usize>,
    /// Whether the row of the header is still to come.
    header: bool,
}

impl QuotedEmpties {
    /// Of the columns at `places`, in that order, of a file that may begin with a `header`.
    pub(super) fn new(rows: Receiver<Vec<usize>>, places: Vec<usize>, header: bool) -> Self {
        Self { rows, places, header }
    }

    /// Makes nulls of the next rows empty texts, where they stood in quotes, in the columns that are text.
    pub(super) fn fill(&mut self, columns: &mut [ArrayRef], rows: usize, is_text: impl Fn(usize) -> bool) {
        if std::mem::take(&mut self.header) {
            self.rows.try_recv().ok();
        }
        let mut found: Vec<Vec<usize>> = vec![Vec::new(); columns.len()];
        for row in 0..rows {
            for field in self.rows.try_recv().unwrap_or_default() {
                if let Some(at) = self.places.iter().position(|place| *place == field) {
                    found[at].push(row);
                }
            }
        }
        for (at, rows) in found.into_iter().enumerate() {
            if rows.is_empty() || !is_text(at) {
                continue;
            }
            let mut rows = rows.into_iter().peekable();
            let texts = columns[at].as_string::<i32>().iter().enumerate();
            let filled = texts.map(|(row, text)| rows.next_if_eq(&row).map(|_| "").or(text));
            columns[at] = Arc::new(filled.collect::<StringArray>());
        }
    }
}
