//! `encode = "rate"`: the share of the most frequent class among the rows that have the same values in some columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray, UInt8Array, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use gristmill_learn::contract::encoder::{
    Answers, Encoder, EncoderKind, Estimator, Feature, FittedTo, Input,
};
use gristmill_learn::contract::pass::{Accumulate, Pass};
use gristmill_learn::contract::reads::Reads;
use gristmill_learn::contract::spec::read_settings;
use gristmill_learn::contract::step::{SparseBlock, StepSpec};
use gristmill_learn::settings::{Key, Numbers, Preset, Values};
use gristmill_learn::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const KIND: &str = "rate";

pub(crate) struct Rate;

impl EncoderKind for Rate {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "The share of the most frequent class among the rows with the same values in these columns."
    }

    fn keys(&self) -> &'static [Key] {
        &[Key {
            name: "weight",
            values: Values::Number(Numbers::Positive),
            default: Preset::Number(1.0),
            doc: "Rows that the share of all rows counts for.",
        }]
    }

    fn columns(&self) -> std::ops::RangeInclusive<usize> {
        2..=4
    }

    fn feature(&self, settings: Value) -> Result<Feature> {
        read_settings::<Settings>(KIND, settings).map(Feature::new)
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        #[derive(Deserialize)]
        struct Small {
            column: Vec<String>,
            weight: f64,
            folds: usize,
        }
        let Small {
            column,
            weight,
            folds,
        } = spec.settings()?;
        let keys: &StringArray = spec.array("keys")?;
        let (rows, hits): (&UInt64Array, &UInt64Array) = (spec.array("rows")?, spec.array("hits")?);
        let expected = keys.len().checked_mul(folds);
        if folds == 0 || Some(rows.len()) != expected || hits.len() != rows.len() {
            return Err(spec.bad("`rows` and `hits` do not hold one number for each key and fold"));
        }
        let counts = rows.values().iter().zip(hits.values()).map(|(r, h)| (*r, *h));
        let counts: Vec<(u64, u64)> = counts.collect();
        let keys = keys.iter().flatten().map(str::to_owned);
        Ok(Box::new(Rates {
            columns: column,
            weight,
            class: spec.array::<StringArray>("class")?.iter().flatten().collect(),
            by_key: keys.zip(counts.chunks(folds).map(<[_]>::to_vec)).collect(),
            folds,
        }))
    }

    fn pass(&self, spec: &StepSpec) -> Option<Result<Box<dyn Pass>>> {
        let counting = || -> Result<Box<dyn Pass>> { Ok(Box::new(Counting(spec.settings()?))) };
        (spec.kind == KIND).then(counting)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Settings {
    column: Vec<String>,
    weight: f64,
}

impl Estimator for Settings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> &[String] {
        &self.column
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn sees_answers(&self) -> bool {
        true
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Counting(self.column.clone()))
    }

    fn fitted(&self, state: &RecordBatch, to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let mut counts = Counts::default();
        counts.add(state)?;
        let class = to.classes.first().cloned().unwrap_or_default();
        let folds = to.folds.max(1) as usize;
        let mut by_key: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        for ((key, fold, label), rows) in counts.0 {
            let cells = by_key.entry(key).or_insert_with(|| vec![(0, 0); folds]);
            let (all, hits) = &mut cells[usize::from(fold)];
            *all += rows;
            *hits += if label == class { rows } else { 0 };
        }
        Ok(Box::new(Rates {
            columns: self.column.clone(),
            weight: self.weight,
            class,
            by_key,
            folds,
        }))
    }
}

struct Rates {
    columns: Vec<String>,
    weight: f64,
    class: String,
    /// Rows and rows of the class, by fold.
    by_key: BTreeMap<String, Vec<(u64, u64)>>,
    folds: usize,
}

impl Rates {
    /// The rate of a key; without the rows of a fold, if one is given.
    fn rate(&self, key: &str, without: Option<u8>) -> f64 {
        let sum = |cells: &[(u64, u64)]| {
            let kept = cells.iter().enumerate();
            let kept = kept.filter(|(fold, _)| Some(*fold) != without.map(usize::from));
            kept.fold((0.0, 0.0), |(rows, hits), (_, (r, h))| {
                (rows + *r as f64, hits + *h as f64)
            })
        };
        let (rows, hits) = self.by_key.get(key).map_or((0.0, 0.0), |cells| sum(cells));
        (hits + self.weight * 0.5) / (rows + self.weight)
    }

    fn encoded(&self, batch: &RecordBatch, folds: &[Option<u8>]) -> Result<SparseBlock> {
        let mut block = SparseBlock::with_capacity(batch.num_rows());
        for (row, key) in keys(batch, &self.columns)?.iter().enumerate() {
            block.push(0, self.rate(key, folds.get(row).copied().flatten()) as f32);
            block.end_row();
        }
        Ok(block)
    }
}

impl Encoder for Rates {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        let cells = || self.by_key.values().flatten();
        let settings = json!({"column": self.columns, "weight": self.weight, "folds": self.folds});
        StepSpec::new(KIND, settings)
            .with("keys", StringArray::from_iter_values(self.by_key.keys()))
            .with(
                "rows",
                UInt64Array::from_iter_values(cells().map(|(rows, _)| *rows)),
            )
            .with(
                "hits",
                UInt64Array::from_iter_values(cells().map(|(_, hits)| *hits)),
            )
            .with("class", StringArray::from(vec![self.class.as_str()]))
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        let input = |column| Input {
            column,
            reads: Reads::Category,
        };
        self.columns.iter().map(String::as_str).map(input).collect()
    }

    fn width(&self) -> u32 {
        1
    }

    fn bytes(&self) -> usize {
        self.by_key.keys().map(|key| key.len() + self.folds * 16).sum()
    }

    fn name(&self, _index: u32) -> String {
        format!("rate of {} by {}", self.class, self.columns.join(", "))
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        self.encoded(batch, &[])
    }

    fn encode_to_learn(&self, batch: &RecordBatch, folds: &[Option<u8>]) -> Result<SparseBlock> {
        self.encoded(batch, folds)
    }
}

/// The values of some columns of each row, as one text.
fn keys(batch: &RecordBatch, columns: &[String]) -> Result<Vec<String>> {
    let mut keys = vec![String::new(); batch.num_rows()];
    for column in columns {
        let values = batch.column_by_name(column);
        let values = values.ok_or_else(|| Error::missing_column(column, batch.schema_ref()))?;
        let text = cast(values, &DataType::Utf8)?;
        for (key, value) in keys.iter_mut().zip(text.as_string::<i32>()) {
            key.push_str(value.unwrap_or(""));
            key.push('\u{1f}');
        }
    }
    Ok(keys)
}

/// Counts rows by key, fold and label.
struct Counting(Vec<String>);

impl Pass for Counting {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        for column in &self.0 {
            Reads::Category.check(schema, column, KIND)?;
        }
        Ok(self.0.clone())
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Counter {
            columns: self.0.clone(),
            counts: Counts::default(),
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self.0))
    }
}

#[derive(Default)]
struct Counts(BTreeMap<(String, u8, String), u64>);

impl Counts {
    fn add(&mut self, state: &RecordBatch) -> Result<()> {
        let foreign = || Error::State {
            pass: KIND,
            why: "it has other columns".to_owned(),
        };
        let column = |name: &str| state.column_by_name(name).ok_or_else(foreign);
        let (keys, labels) = (
            column("key")?.as_string_opt::<i32>(),
            column("label")?.as_string_opt::<i32>(),
        );
        let (Some(keys), Some(labels)) = (keys, labels) else {
            return Err(foreign());
        };
        let folds: Option<&UInt8Array> = column("fold")?.as_any().downcast_ref();
        let rows: Option<&UInt64Array> = column("rows")?.as_any().downcast_ref();
        let (Some(folds), Some(rows)) = (folds, rows) else {
            return Err(foreign());
        };
        for row in 0..state.num_rows() {
            let key = (
                keys.value(row).to_owned(),
                folds.value(row),
                labels.value(row).to_owned(),
            );
            *self.0.entry(key).or_default() += rows.value(row);
        }
        Ok(())
    }
}

struct Counter {
    columns: Vec<String>,
    counts: Counts,
}

impl Accumulate for Counter {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let Answers { label, fold } = Answers::of(batch)?;
        let labels = label.as_string::<i32>();
        for (row, key) in keys(batch, &self.columns)?.into_iter().enumerate() {
            let key = (key, fold.value(row), labels.value(row).to_owned());
            *self.counts.0.entry(key).or_default() += 1;
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        self.counts.add(state)
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let cells = || self.counts.0.keys();
        Ok(RecordBatch::try_from_iter([
            (
                "key",
                Arc::new(StringArray::from_iter_values(cells().map(|cell| &cell.0))) as _,
            ),
            (
                "fold",
                Arc::new(UInt8Array::from_iter_values(cells().map(|cell| cell.1))) as _,
            ),
            (
                "label",
                Arc::new(StringArray::from_iter_values(cells().map(|cell| &cell.2))) as _,
            ),
            (
                "rows",
                Arc::new(UInt64Array::from_iter_values(self.counts.0.values().copied())) as _,
            ),
        ])?)
    }

    fn size(&self) -> usize {
        self.counts
            .0
            .keys()
            .map(|(key, _, label)| key.len() + label.len() + 64)
            .sum()
    }
}
