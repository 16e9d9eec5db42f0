//! Hashed categories: a bucket for each value of a column, or for each combination of the values of several.

pub(crate) mod settings;

pub use settings::HashSettings;

use std::ops::{Range, RangeInclusive};

use arrow::array::{Array, RecordBatch, UInt32Array};
use serde_json::{Value, json};

use crate::contract::encoder::{Encoder, EncoderKind, Estimator, Feature, FittedTo, Input};
use crate::contract::pass::Pass;
use crate::contract::reads::Reads;
use crate::contract::spec::read_settings;
use crate::contract::step::{SparseBlock, StepSpec};
use crate::encode::buckets::Buckets;
use crate::encode::columns::Columns;
use crate::encode::ngrams::settings::NgramSettings;
use crate::error::{Error, Result};
use crate::settings::Key;
use crate::statistics::column::together;

const KIND: &str = "hash";

/// `encode = "hash"`.
pub(super) struct Hash;

impl EncoderKind for Hash {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A value becomes 1 in the bucket that its text hashes to, as scikit-learn's `FeatureHasher` without signs has it (MurmurHash3\n\
         x86-32 of the UTF-8 bytes): for categories that are too many for `one_hot`. Buckets that no training row fills are left out, so\n\
         that most values which were not seen in training have none. Null has no bucket. Reads what casts to text. With several\n\
         columns, `column = [\"city\", \"kind\"]`, the combination of their values is hashed, as the JSON list of their texts\n\
         (`[\"Wien\",\"bar\"]`); a row in which one is null has none."
    }

    fn keys(&self) -> &'static [Key] {
        settings::KEYS
    }

    fn columns(&self) -> RangeInclusive<usize> {
        1..=HashSettings::MOST_COLUMNS
    }

    fn feature(&self, settings: Value) -> Result<Feature> {
        read_settings::<HashSettings>(KIND, settings).map(Feature::new)
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(HashEncoder::from_spec(spec)?))
    }
}

/// A value becomes 1 in its bucket; null and the values of buckets that training left empty become nothing.
#[derive(Debug, Clone)]
pub struct HashEncoder {
    settings: HashSettings,
    /// The buckets that are columns, in their order.
    buckets: UInt32Array,
    columns: Columns,
}

impl Estimator for HashSettings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Buckets::of_values(self))
    }

    fn fitted(&self, state: &RecordBatch, _to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let filled = Buckets::filled(state, self.min_count)?.into_iter();
        let buckets: Vec<u32> = filled.map(|(bucket, _)| bucket).collect();
        let encoder = HashEncoder::new(self.clone(), buckets.into());
        let encoder = encoder.ok_or_else(|| Error::State {
            pass: "buckets",
            why: format!("a bucket is there twice, or not below 2^{}", self.bits),
        })?;
        Ok(Box::new(encoder))
    }
}

impl HashEncoder {
    fn from_spec(spec: &StepSpec) -> Result<Self> {
        let settings: HashSettings = spec.settings()?;
        let bits = 1..=NgramSettings::MOST_BITS;
        let columns = 1..=HashSettings::MOST_COLUMNS;
        if !bits.contains(&settings.bits) || !columns.contains(&settings.columns.len()) {
            return Err(spec.bad(format!(
                "it has {} bits and {} columns, and may have from {} to {} and from {} to {}",
                settings.bits,
                settings.columns.len(),
                bits.start(),
                bits.end(),
                columns.start(),
                columns.end()
            )));
        }
        let buckets: &UInt32Array = spec.array("buckets")?;
        Self::new(settings, buckets.clone())
            .ok_or_else(|| spec.bad("`buckets` holds one twice, or one that is not below 2^bits"))
    }

    /// `None` where a bucket is there twice or out of bounds.
    fn new(settings: HashSettings, buckets: UInt32Array) -> Option<Self> {
        let columns = Columns::new(buckets.values(), settings.bits)?;
        Some(Self {
            settings,
            buckets,
            columns,
        })
    }
}

impl Encoder for HashEncoder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self.settings)).with("buckets", self.buckets.clone())
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        let input = |column| Input {
            column,
            reads: Reads::Category,
        };
        self.settings
            .columns
            .iter()
            .map(String::as_str)
            .map(input)
            .collect()
    }

    fn width(&self) -> u32 {
        self.buckets.len() as u32
    }

    fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<u32>() + self.columns.bytes()
    }

    fn name(&self, index: u32) -> String {
        let columns = self.settings.columns.join("×");
        format!("{columns}#value{}", self.buckets.value(index as usize))
    }

    fn meaning(&self) -> Value {
        json!({"column": self.settings.columns, "bits": self.settings.bits})
    }

    fn seen(&self) -> Option<Range<u32>> {
        Some(0..self.width())
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        let values = together(batch, &self.settings.columns, KIND)?;
        let mut block = SparseBlock::with_capacity(values.len());
        for value in &values {
            let column = value.and_then(|value| self.columns.of(self.settings.bucket(value)));
            if let Some(column) = column {
                block.push(column, 1.0);
            }
            block.end_row();
        }
        Ok(block)
    }
}
