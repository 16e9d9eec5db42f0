//! Several categories a row: a text that a separator divides, or lists written so.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, RecordBatch, StringArray};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::contract::encoder::{Encoder, EncoderKind, Estimator, Feature, FittedTo, Input};
use crate::contract::pass::Pass;
use crate::contract::reads::Reads;
use crate::contract::spec::read_settings;
use crate::contract::step::{SparseBlock, StepSpec};
use crate::error::{Error, Result};
use crate::settings::{Key, Preset, Values};
use crate::statistics::column::strings;
use crate::statistics::{Counts, Vocabulary, allocated, map_bytes, parts};

const KIND: &str = "multi_hot";

/// `encode = "multi_hot"`.
pub(super) struct MultiHot;

impl EncoderKind for MultiHot {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A text with several categories in it, as `rock, jazz`, becomes a 0/1 column for each of them, as scikit-learn's\n\
         `MultiLabelBinarizer`; ordered by frequency in the training rows, then by value. White space around a part does not count, nor do\n\
         empty parts and repetitions. What was not seen in training, and null, has no column. Of a list the query makes\n\
         text, as PostgreSQL's `array_to_string(tags, ',')` does."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: "separator",
                values: Values::Text,
                default: Preset::Word(","),
                doc: "What stands between two categories.",
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
        ]
    }

    fn feature(&self, settings: Value) -> Result<Feature> {
        read_settings::<MultiHotSettings>(KIND, settings).map(Feature::new)
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(MultiHotEncoder::from_spec(spec)?))
    }
}

/// Settings of `encode = "multi_hot"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiHotSettings {
    /// The text column.
    pub column: String,
    /// What stands between two categories. Default `,`.
    pub separator: String,
    /// Categories with fewer training rows get no column. Default 1.
    pub min_count: u64,
    /// More categories than this are an error. Default 100,000.
    pub max_categories: u64,
}

/// Each category of a row becomes 1 in its column.
#[derive(Debug, Clone)]
pub struct MultiHotEncoder {
    column: String,
    separator: String,
    categories: StringArray,
    index: HashMap<String, u32>,
}

impl Estimator for MultiHotSettings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> &[String] {
        std::slice::from_ref(&self.column)
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn reads(&self) -> Reads {
        Reads::Text
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Vocabulary::of_parts(&self.column, KIND, &self.separator))
    }

    fn fitted(&self, state: &RecordBatch, _to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let Counts { values, .. } = Counts::from_state(state)?;
        // The most frequent come first, so the rare ones are at the end.
        let kept = &values[..values.partition_point(|(_, count)| *count >= self.min_count)];
        if kept.len() as u64 > self.max_categories {
            return Err(Error::TooManyCategories {
                column: self.column.clone(),
                given: kept.len(),
                allowed: self.max_categories as usize,
            });
        }
        let categories = StringArray::from_iter_values(kept.iter().map(|(category, _)| category));
        Ok(Box::new(MultiHotEncoder::new(
            &self.column,
            &self.separator,
            categories,
        )))
    }
}

impl MultiHotEncoder {
    fn from_spec(spec: &StepSpec) -> Result<Self> {
        #[derive(Deserialize)]
        struct Small {
            column: String,
            separator: String,
        }
        let Small { column, separator } = spec.settings()?;
        if separator.is_empty() {
            return Err(spec.bad("its separator is empty"));
        }
        let categories: &StringArray = spec.array("categories")?;
        let encoder = Self::new(&column, &separator, categories.clone());
        if encoder.index.len() != categories.len() {
            return Err(spec.bad("a category occurs twice"));
        }
        Ok(encoder)
    }

    fn new(column: &str, separator: &str, categories: StringArray) -> Self {
        let names = categories.iter().flatten().map(str::to_owned);
        Self {
            column: column.to_owned(),
            separator: separator.to_owned(),
            index: names.zip(0..).collect(),
            categories,
        }
    }
}

impl Encoder for MultiHotEncoder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        let settings = json!({"column": self.column, "separator": self.separator});
        StepSpec::new(KIND, settings).with("categories", self.categories.clone())
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input {
            column: &self.column,
            reads: Reads::Text,
        }]
    }

    fn width(&self) -> u32 {
        self.categories.len() as u32
    }

    fn bytes(&self) -> usize {
        let texts = self.categories.iter().flatten();
        let texts: usize = texts.map(|text| allocated(text.len())).sum();
        let index = map_bytes::<String, u32>(self.index.capacity()) + texts;
        index + self.categories.get_array_memory_size()
    }

    fn name(&self, index: u32) -> String {
        format!("{}={}", self.column, self.categories.value(index as usize))
    }

    fn seen(&self) -> Option<Range<u32>> {
        Some(0..self.width())
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        let texts = strings(batch, &self.column, Reads::Text, KIND)?;
        let mut block = SparseBlock::with_capacity(texts.len());
        let mut row: Vec<u32> = Vec::new();
        for text in &texts {
            row.clear();
            let of_row = parts(text.unwrap_or_default(), &self.separator);
            row.extend(of_row.filter_map(|part| self.index.get(part)));
            row.sort_unstable();
            row.dedup();
            row.iter().for_each(|index| block.push(*index, 1.0));
            block.end_row();
        }
        Ok(block)
    }
}
