//! Counts the rows of every category of a column, exactly.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::json;

use crate::contract::pass::{Accumulate, Pass, Share};
use crate::contract::reads::Reads;
use crate::contract::spec::StepSpec;
use crate::error::Result;
use crate::statistics::column::strings;
use crate::statistics::state::{allocated, map_bytes, state_column};

const NAME: &str = "vocabulary";
/// The kind of its spec.
pub(crate) const KIND: &str = NAME;

/// Category → rows. The state is `{value: Utf8, count: UInt64}`, sorted by value, null first.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    column: String,
    step: String,
    /// What stands between several values in a text; `None` where a row has one.
    separator: Option<String>,
}

/// The final state of a [`Vocabulary`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Rows without a value.
    pub nulls: u64,
    /// Rows of each value, the most frequent first, ties by value: Spark's `frequencyDesc`.
    pub values: Vec<(String, u64)>,
}

impl Vocabulary {
    /// Counts `column` on behalf of `step`, whose name errors carry.
    pub fn new(column: &str, step: &str) -> Self {
        Self {
            column: column.to_owned(),
            step: step.to_owned(),
            separator: None,
        }
    }

    /// Counts the rows that have each of the parts of a text, which `separator` divides.
    pub fn of_parts(column: &str, step: &str, separator: &str) -> Self {
        Self {
            separator: Some(separator.to_owned()),
            ..Self::new(column, step)
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        let (column, step, separator) = spec.settings()?;
        Ok(Self {
            column,
            step,
            separator,
        })
    }
}

impl Counts {
    /// Reads a state.
    pub fn from_state(state: &RecordBatch) -> Result<Self> {
        let mut nulls = 0;
        let mut values = Vec::with_capacity(state.num_rows());
        for (value, count) in entries(state)? {
            match value {
                Some(value) => values.push((value.to_owned(), count)),
                None => nulls += count,
            }
        }
        by_frequency(&mut values);
        Ok(Self { nulls, values })
    }
}

/// Sorts by frequency descending, then by value.
pub(crate) fn by_frequency(values: &mut [(String, u64)]) {
    values.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
}

impl Vocabulary {
    fn reads(&self) -> Reads {
        match self.separator {
            None => Reads::Category,
            Some(_) => Reads::Text,
        }
    }
}

/// The parts of a text between separators, without white space around them; empty ones are none.
pub(crate) fn parts<'t>(text: &'t str, separator: &str) -> impl Iterator<Item = &'t str> {
    text.split(separator)
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

impl Pass for Vocabulary {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        self.reads().check(schema, &self.column, &self.step)?;
        Ok(vec![self.column.clone()])
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(VocabularyState {
            pass: self.clone(),
            nulls: 0,
            counts: HashMap::new(),
            text_bytes: 0,
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!([self.column, self.step, self.separator]))
    }
}

struct VocabularyState {
    pass: Vocabulary,
    nulls: u64,
    counts: HashMap<String, u64>,
    /// Of the heap, for all categories.
    text_bytes: usize,
}

impl VocabularyState {
    fn add(&mut self, value: Option<&str>, rows: u64) {
        let Some(value) = value else {
            self.nulls += rows;
            return;
        };
        if let Some(count) = self.counts.get_mut(value) {
            *count += rows;
        } else {
            self.text_bytes += allocated(value.len());
            self.counts.insert(value.to_owned(), rows);
        }
    }
}

impl Accumulate for VocabularyState {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let values = strings(batch, &self.pass.column, self.pass.reads(), &self.pass.step)?;
        let Some(separator) = self.pass.separator.clone() else {
            values.iter().for_each(|value| self.add(value, 1));
            return Ok(());
        };
        for text in &values {
            let Some(text) = text else {
                self.nulls += 1;
                continue;
            };
            let mut of_row: Vec<&str> = parts(text, &separator).collect();
            of_row.sort_unstable();
            of_row.dedup();
            of_row.into_iter().for_each(|part| self.add(Some(part), 1));
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        entries(state)?.for_each(|(value, count)| self.add(value, count));
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let null = (self.nulls > 0).then_some((None, self.nulls));
        let values = self
            .counts
            .iter()
            .map(|(value, count)| (Some(value.as_str()), *count));
        let mut rows: Vec<_> = null.into_iter().chain(values).collect();
        rows.sort_unstable();
        let schema = Schema::new(vec![
            Field::new("value", DataType::Utf8, true),
            Field::new("count", DataType::UInt64, false),
        ]);
        let values = StringArray::from_iter(rows.iter().map(|row| row.0));
        let counts = UInt64Array::from_iter_values(rows.iter().map(|row| row.1));
        Ok(RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(values), Arc::new(counts)],
        )?)
    }

    fn size(&self) -> usize {
        self.text_bytes + map_bytes::<String, u64>(self.counts.capacity())
    }

    fn largest(&self) -> Share {
        let (levels, column) = (self.counts.len(), &self.pass.column);
        let (what, way_out) = match self.pass.step.as_str() {
            "label" => (
                "classes",
                "model.kind = \"linear_regression\" learns a number; look at label.column",
            ),
            _ => (
                "categories",
                "use encode = \"ngrams\" for the column, or leave it out",
            ),
        };
        Share {
            bytes: self.size(),
            what: format!("the {what} of column `{column}`, {levels} so far,"),
            way_out: way_out.to_owned(),
        }
    }
}

fn entries(state: &RecordBatch) -> Result<impl Iterator<Item = (Option<&str>, u64)>> {
    let values: &StringArray = state_column(state, "value", NAME)?;
    let counts: &UInt64Array = state_column(state, "count", NAME)?;
    Ok(values.iter().zip(counts.values().iter().copied()))
}
