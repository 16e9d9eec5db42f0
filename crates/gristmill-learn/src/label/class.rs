//! The label: class names to class numbers, as Spark ML's `StringIndexer` with `frequencyDesc`.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, Int32Array, RecordBatch, StringArray, UInt64Array};
use serde_json::json;

use crate::contract::reads::Reads;
use crate::contract::step::StepSpec;
use crate::error::{Error, Result};
use crate::rows::features::UNSEEN;
use crate::settings::{LabelSettings, Rare};
use crate::statistics::column::strings;
use crate::statistics::{Counts, Vocabulary, allocated, map_bytes};

/// The class of all rare classes with `rare = "other"`.
pub const OTHER: &str = "other";

const KIND: &str = "label";

/// Numbers the classes: the most frequent is 0, ties by name.
#[derive(Debug, Clone)]
pub struct LabelIndexer {
    column: String,
    rare: Rare,
    /// Classes with fewer training rows are rare.
    min_rows: u64,
    classes: Vec<String>,
    rows: Vec<u64>,
    index: HashMap<String, i32>,
}

impl LabelIndexer {
    /// The pass that counts the classes.
    pub fn pass(settings: &LabelSettings) -> Vocabulary {
        Vocabulary::new(&settings.column, KIND)
    }

    /// The indexer fitted from the final state of that pass.
    pub fn fitted(settings: &LabelSettings, state: &RecordBatch) -> Result<Self> {
        let counts = Counts::from_state(state)?.values;
        let (mut classes, rare): (Vec<_>, Vec<_>) = counts
            .into_iter()
            .partition(|(_, rows)| *rows >= settings.min_rows);
        if settings.rare == Rare::Other {
            let all = || classes.iter().chain(&rare);
            if let Some((_, rows)) = all().find(|(class, _)| class == OTHER) {
                return Err(Error::OtherExists {
                    column: settings.column.clone(),
                    rows: *rows,
                });
            }
            if !rare.is_empty() {
                classes.push((OTHER.to_owned(), rare.iter().map(|(_, rows)| rows).sum()));
                crate::statistics::by_frequency(&mut classes);
            }
        }
        if let [] | [_] = classes.as_slice() {
            let given = classes.first();
            return Err(Error::TooFewClasses {
                column: settings.column.clone(),
                given: given.map_or("no class".to_owned(), |(class, _)| {
                    format!("one class ({class:?})")
                }),
                min_rows: settings.min_rows,
            });
        }
        let (classes, rows) = classes.into_iter().unzip();
        Ok(Self::new(
            settings.column.clone(),
            (settings.rare, settings.min_rows),
            classes,
            rows,
        ))
    }

    /// The indexer that [`LabelIndexer::spec`] described.
    pub fn from_spec(spec: &StepSpec) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Small {
            column: String,
            rare: Rare,
            #[serde(default = "one")]
            min_rows: u64,
        }
        fn one() -> u64 {
            1
        }
        let Small {
            column,
            rare,
            min_rows,
        } = spec.settings()?;
        let classes: &StringArray = spec.array("classes")?;
        let rows: &UInt64Array = spec.array("rows")?;
        let classes: Vec<String> = classes.iter().flatten().map(str::to_owned).collect();
        let distinct: HashSet<_> = classes.iter().collect();
        if classes.len() != rows.len() || classes.len() < 2 || distinct.len() != classes.len() {
            return Err(spec.bad("`classes` and `rows` do not hold two or more distinct classes"));
        }
        Ok(Self::new(
            column,
            (rare, min_rows),
            classes,
            rows.values().to_vec(),
        ))
    }

    /// What it can be rebuilt from.
    pub fn spec(&self) -> StepSpec {
        let mut settings = json!({"column": self.column, "rare": self.rare});
        if self.min_rows > 1 {
            settings["min_rows"] = self.min_rows.into();
        }
        StepSpec::new(KIND, settings)
            .with("classes", StringArray::from_iter_values(&self.classes))
            .with("rows", UInt64Array::from(self.rows.clone()))
    }

    /// The label column.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// The names of the classes, by number.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Bytes held: each name is there twice.
    pub(crate) fn bytes(&self) -> usize {
        let names: usize = self.classes.iter().map(|name| allocated(name.len())).sum();
        let lists = self.classes.len() * (size_of::<String>() + size_of::<u64>());
        2 * names + lists + map_bytes::<String, i32>(self.index.capacity())
    }

    /// The training rows of each class.
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// The class of every row, null for rows to leave out, and how many of these have no label at all.
    ///
    /// A class that training never saw is -1, unless `min_rows` leaves out classes with few training rows, as it has none.
    pub fn index(&self, batch: &RecordBatch) -> Result<(Int32Array, u64)> {
        let labels = strings(batch, &self.column, Reads::Category, KIND)?;
        let unseen = (self.min_rows <= 1).then_some(UNSEEN);
        let other = match self.rare {
            Rare::Drop => unseen,
            Rare::Other => {
                // No training row has it, or the fit had been refused.
                let rows = labels.iter().filter(|label| *label == Some(OTHER)).count() as u64;
                if rows > 0 {
                    return Err(Error::OtherExists {
                        column: self.column.clone(),
                        rows,
                    });
                }
                // Without a training row of it, a rare class is one that training never saw: nothing is left out.
                self.index.get(OTHER).copied().or(Some(UNSEEN))
            }
        };
        let classes = labels
            .iter()
            .map(|label| self.index.get(label?).copied().or(other));
        Ok((classes.collect(), labels.null_count() as u64))
    }

    fn new(column: String, (rare, min_rows): (Rare, u64), classes: Vec<String>, rows: Vec<u64>) -> Self {
        Self {
            column,
            rare,
            min_rows,
            index: classes.iter().cloned().zip(0..).collect(),
            classes,
            rows,
        }
    }
}
