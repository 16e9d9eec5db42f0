//! One-hot encoding of categories, indexed as by Spark ML's `StringIndexer` with `frequencyDesc`.

use std::collections::HashMap;

use arrow::array::{Array, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use serde_json::json;

use crate::contract::pass::Pass;
use crate::contract::step::{Encoder, Estimator, SparseBlock, StepSpec};
use crate::error::{Error, Result};
use crate::settings::{OneHotSettings, Scale, Unseen};
use crate::statistics::column::{Reads, strings};
use crate::statistics::{Counts, Vocabulary, allocated, map_bytes};

pub(super) const KIND: &str = "one_hot";

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
    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Vocabulary::new(&self.column, KIND))
    }

    fn fitted(&self, state: &RecordBatch) -> Result<Box<dyn Encoder>> {
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
    pub(super) fn from_spec(spec: &StepSpec) -> Result<Self> {
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
    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!({"column": self.column, "unseen": self.unseen}))
            .with("categories", self.categories.clone())
            .with("values", Float32Array::from(self.values.clone()))
    }

    fn column(&self) -> &str {
        &self.column
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        Reads::Category.check(schema, &self.column, KIND)
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
