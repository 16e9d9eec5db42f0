//! Counts the labels of each category, fold by fold.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch, StringArray, UInt8Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use serde_json::json;

use crate::contract::encoder::Answers;
use crate::contract::pass::{Accumulate, Pass, Share};
use crate::contract::reads::Reads;
use crate::contract::spec::StepSpec;
use crate::error::Result;
use crate::statistics::column::together;
use crate::statistics::{allocated, map_bytes, state_column};

const NAME: &str = "target";
/// The kind of its spec.
pub(crate) const KIND: &str = NAME;

/// Category, fold and class → rows and the sum of the labels. Null is a category; a regression has no class.
///
/// The state is `{category: Utf8, fold: UInt8, class: Utf8, rows: UInt64, sum: Float64}`, sorted by the first three.
#[derive(Debug, Clone)]
pub(crate) struct TargetPass {
    columns: Vec<String>,
}

/// Category, fold and class.
type Key = (Option<String>, u8, Option<String>);

/// Rows of a key, and the sum of their labels, which of classes is the number of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    pub(super) sum: f64,
}

impl TargetPass {
    /// Of the values of these columns together.
    pub(super) fn new(columns: &[String]) -> Self {
        Self {
            columns: columns.to_vec(),
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        Ok(Self {
            columns: spec.settings()?,
        })
    }

    /// The sums of a state, in their order.
    pub(super) fn sums(state: &RecordBatch) -> Result<Vec<(Key, Sum)>> {
        let categories: &StringArray = state_column(state, "category", NAME)?;
        let folds: &UInt8Array = state_column(state, "fold", NAME)?;
        let classes: &StringArray = state_column(state, "class", NAME)?;
        let rows: &UInt64Array = state_column(state, "rows", NAME)?;
        let sums: &Float64Array = state_column(state, "sum", NAME)?;
        let of_row = |row: usize| {
            let text = |texts: &StringArray| texts.is_valid(row).then(|| texts.value(row).to_owned());
            let key = (text(categories), folds.value(row), text(classes));
            let sum = Sum {
                rows: rows.value(row),
                sum: sums.value(row),
            };
            (key, sum)
        };
        Ok((0..state.num_rows()).map(of_row).collect())
    }
}

impl Pass for TargetPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        let mut columns = self.columns.iter();
        columns.try_for_each(|column| Reads::Category.check(schema, column, NAME))?;
        Ok(self.columns.clone())
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            columns: self.columns.clone(),
            sums: HashMap::new(),
            text_bytes: 0,
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self.columns))
    }
}

struct Accumulator {
    columns: Vec<String>,
    sums: HashMap<Key, Sum>,
    /// Of the heap, for all keys.
    text_bytes: usize,
}

impl Accumulator {
    fn add(&mut self, key: Key, more: Sum) {
        if let Some(sum) = self.sums.get_mut(&key) {
            sum.rows += more.rows;
            sum.sum += more.sum;
        } else {
            let texts = [&key.0, &key.2].into_iter().flatten();
            self.text_bytes += texts.map(|text| allocated(text.len())).sum::<usize>();
            self.sums.insert(key, more);
        }
    }
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let categories = together(batch, &self.columns, NAME)?;
        let Answers { label, fold } = Answers::of(batch)?;
        let classes = label.as_string_opt::<i32>();
        let numbers = label.as_primitive_opt::<Float64Type>();
        for (row, category) in categories.iter().enumerate() {
            let class = classes.map(|classes| classes.value(row).to_owned());
            let key = (category.map(str::to_owned), fold.value(row), class);
            let sum = numbers.map_or(1.0, |numbers| numbers.value(row));
            self.add(key, Sum { rows: 1, sum });
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        TargetPass::sums(state)?
            .into_iter()
            .for_each(|(key, sum)| self.add(key, sum));
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let mut sums: Vec<(&Key, &Sum)> = self.sums.iter().collect();
        sums.sort_unstable_by_key(|(key, _)| *key);
        let schema = Schema::new(vec![
            Field::new("category", DataType::Utf8, true),
            Field::new("fold", DataType::UInt8, false),
            Field::new("class", DataType::Utf8, true),
            Field::new("rows", DataType::UInt64, false),
            Field::new("sum", DataType::Float64, false),
        ]);
        let keys = || sums.iter().map(|(key, _)| *key);
        let categories = StringArray::from_iter(keys().map(|(category, ..)| category.as_deref()));
        let folds = UInt8Array::from_iter_values(keys().map(|(_, fold, _)| *fold));
        let classes = StringArray::from_iter(keys().map(|(.., class)| class.as_deref()));
        let rows = UInt64Array::from_iter_values(sums.iter().map(|(_, sum)| sum.rows));
        let sums = Float64Array::from_iter_values(sums.iter().map(|(_, sum)| sum.sum));
        Ok(RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(categories),
                Arc::new(folds),
                Arc::new(classes),
                Arc::new(rows),
                Arc::new(sums),
            ],
        )?)
    }

    fn size(&self) -> usize {
        self.text_bytes + map_bytes::<Key, Sum>(self.sums.capacity())
    }

    fn largest(&self) -> Share {
        Share {
            bytes: self.size(),
            what: format!(
                "the labels of the {} categories, folds and classes of column `{}` so far,",
                self.sums.len(),
                self.columns.join(", ")
            ),
            way_out: "use encode = \"hash\" for the column, or leave it out".to_owned(),
        }
    }
}
