//! One-hot encoding of categories, indexed as by Spark ML's `StringIndexer` with `frequencyDesc`.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, Float32Array, RecordBatch, StringArray};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::contract::encoder::{Encoder, EncoderKind, Estimator, Feature, FittedTo, Input};
use crate::contract::pass::Pass;
use crate::contract::reads::Reads;
use crate::contract::spec::read_settings;
use crate::contract::step::{SparseBlock, StepSpec};
use crate::error::{Error, Result};
use crate::settings::{Key, Preset, Scale, Values};
use crate::statistics::column::strings;
use crate::statistics::{Counts, Vocabulary, allocated, map_bytes};

const KIND: &str = "one_hot";

/// Categories that a profile names.
const FREQUENT: usize = 10;

/// `encode = "one_hot"`.
pub(super) struct OneHot;

impl EncoderKind for OneHot {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A category becomes its own 0/1 column: Spark ML's `StringIndexer` and `OneHotEncoder`, ordered by frequency in the\n\
         training rows, then by value. Reads text, integers, booleans, dates: what casts to text."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: "unseen",
                values: Values::Words(&["keep", "skip", "error"]),
                default: Preset::Word("keep"),
                doc: "What becomes of a category that is null, pruned by `min_count` or was not seen in training: one more \
                      column stands for all of them, the row is left out and counted, or the run fails.",
            },
            Key {
                name: "min_count",
                values: Values::COUNT,
                default: Preset::Integer(1),
                doc: "Categories with fewer training rows get no column.",
            },
            Key {
                name: "max_categories",
                values: Values::Integer {
                    least: 1,
                    most: u32::MAX as u64,
                },
                default: Preset::Integer(100_000),
                doc: "More categories than this are an error.",
            },
            Key {
                name: "scale",
                values: Scale::WORDS,
                default: Preset::Word("none"),
                doc: "`\"standard\"` divides each column by its standard deviation, without centring, as Spark's \
                      `StandardScaler`.",
            },
        ]
    }

    fn feature(&self, settings: Value) -> Result<Feature> {
        read_settings::<OneHotSettings>(KIND, settings).map(Feature::new)
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(OneHotEncoder::from_spec(spec)?))
    }
}

/// Settings of `encode = "one_hot"`: Spark ML's `StringIndexer` (`frequencyDesc`, ties by value) and `OneHotEncoder`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneHotSettings {
    /// The column: text, integer, boolean or date; anything that casts to text.
    pub column: String,
    /// What becomes of a category that is null, pruned or was not seen in training. Default `keep`.
    pub unseen: Unseen,
    /// Categories with fewer training rows are not indexed. Default 1.
    pub min_count: u64,
    /// More categories than this are an error. Default 100,000.
    pub max_categories: u64,
    /// `Standard` divides each 0/1 column by its standard deviation (no centring, as Spark's `StandardScaler`). Default `none`.
    pub scale: Scale,
}

/// What becomes of a category that was not seen in training (Spark ML's `handleInvalid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// One more column stands for all of them, nulls included.
    Keep,
    /// The row is left out, and counted.
    Skip,
    /// The run fails.
    Error,
}

/// A category becomes its own column; with `unseen = "keep"` one more column stands for null, pruned and unseen ones.
#[derive(Debug, Clone)]
pub struct OneHotEncoder {
    column: String,
    unseen: Unseen,
    categories: StringArray,
    index: HashMap<String, u32>,
    /// What each column holds where it is set; 0 for none.
    values: Vec<f32>,
}

impl Estimator for OneHotSettings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> &[String] {
        std::slice::from_ref(&self.column)
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Vocabulary::new(&self.column, KIND))
    }

    fn frequent(&self, state: &RecordBatch) -> Result<Vec<(String, u64)>> {
        let mut values = Counts::from_state(state)?.values;
        values.truncate(FREQUENT);
        Ok(values)
    }

    fn fitted(&self, state: &RecordBatch, _to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let Counts { nulls, values } = Counts::from_state(state)?;
        let rows = nulls + values.iter().map(|(_, count)| count).sum::<u64>();
        // The most frequent come first, so the rare ones are at the end.
        let kept = &values[..values.partition_point(|(_, count)| *count >= self.min_count)];
        if kept.len() as u64 > self.max_categories {
            return Err(Error::TooManyCategories {
                column: self.column.clone(),
                given: kept.len(),
                allowed: self.max_categories as usize,
            });
        }
        let mut counts: Vec<u64> = kept.iter().map(|(_, count)| *count).collect();
        if self.unseen == Unseen::Keep {
            counts.push(rows - counts.iter().sum::<u64>());
        }
        let value = |count: &u64| match self.scale {
            Scale::None => 1.0,
            Scale::Standard => inverse_std(*count, rows),
        };
        Ok(Box::new(OneHotEncoder::new(
            &self.column,
            self.unseen,
            StringArray::from_iter_values(kept.iter().map(|(category, _)| category)),
            counts.iter().map(value).collect(),
        )))
    }
}

impl OneHotEncoder {
    fn from_spec(spec: &StepSpec) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Small {
            column: String,
            unseen: Unseen,
        }
        let Small { column, unseen } = spec.settings()?;
        let categories: &StringArray = spec.array("categories")?;
        let values: &Float32Array = spec.array("values")?;
        let encoder = Self::new(&column, unseen, categories.clone(), values.values().to_vec());
        let width = categories.len() + usize::from(unseen == Unseen::Keep);
        if encoder.index.len() != categories.len() {
            return Err(spec.bad("a category occurs twice"));
        }
        if values.len() != width || values.values().iter().any(|value| !value.is_finite()) {
            return Err(spec.bad(format!("`values` does not hold {width} finite numbers")));
        }
        Ok(encoder)
    }

    fn new(column: &str, unseen: Unseen, categories: StringArray, values: Vec<f32>) -> Self {
        let names = categories.iter().flatten().map(str::to_owned);
        Self {
            column: column.to_owned(),
            unseen,
            index: names.zip(0..).collect(),
            categories,
            values,
        }
    }
}

impl Encoder for OneHotEncoder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!({"column": self.column, "unseen": self.unseen}))
            .with("categories", self.categories.clone())
            .with("values", Float32Array::from(self.values.clone()))
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input {
            column: &self.column,
            reads: Reads::Category,
        }]
    }

    fn width(&self) -> u32 {
        self.values.len() as u32
    }

    fn bytes(&self) -> usize {
        let texts: usize = self
            .categories
            .iter()
            .flatten()
            .map(|text| allocated(text.len()))
            .sum();
        let index = map_bytes::<String, u32>(self.index.capacity()) + texts;
        index + self.categories.get_array_memory_size() + self.values.len() * size_of::<f32>()
    }

    fn name(&self, index: u32) -> String {
        let index = index as usize;
        if index < self.categories.len() {
            format!("{}={}", self.column, self.categories.value(index))
        } else {
            format!("{}=(unseen)", self.column)
        }
    }

    fn meaning(&self) -> Value {
        json!({"column": self.column})
    }

    fn uninformative(&self) -> Option<&'static str> {
        let none = self.categories.is_empty();
        none.then_some("no value of it is in `min_count` training rows or more")
    }

    fn seen(&self) -> Option<Range<u32>> {
        let known = self.categories.len();
        // A category whose column is 0 in every row leaves nothing in a row that has it.
        let told = self.values.iter().take(known).all(|value| *value != 0.0);
        told.then_some(0..known as u32)
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        let values = strings(batch, &self.column, Reads::Category, KIND)?;
        let mut block = SparseBlock::with_capacity(values.len());
        for (row, value) in values.iter().enumerate() {
            let index = match value.and_then(|value| self.index.get(value)) {
                Some(index) => Some(*index),
                None => match self.unseen {
                    Unseen::Keep => Some(self.categories.len() as u32),
                    Unseen::Skip => {
                        block.skip.resize(values.len(), false);
                        block.skip[row] = true;
                        None
                    }
                    Unseen::Error => {
                        return Err(Error::UnseenCategory {
                            column: self.column.clone(),
                            value: value.map_or("null".to_owned(), |value| format!("{value:?}")),
                        });
                    }
                },
            };
            if let Some(index) = index
                && self.values[index as usize] != 0.0
            {
                block.push(index, self.values[index as usize]);
            }
            block.end_row();
        }
        Ok(block)
    }
}

/// 1 over the unbiased standard deviation of a column that is 1 in `count` of `rows` rows; 0 for a constant column.
fn inverse_std(count: u64, rows: u64) -> f32 {
    let (ones, rows) = (count as f64, rows as f64);
    let variance = ones * (rows - ones) / (rows * (rows - 1.0));
    // Not so for one row or none, where it is 0/0.
    if variance > 0.0 {
        (1.0 / variance.sqrt()) as f32
    } else {
        0.0
    }
}
