//! Counts of hashed n-grams of characters or words: scikit-learn's `HashingVectorizer`, without the buckets training leaves empty.

pub(crate) mod hash;
mod normalize;
pub(crate) mod settings;
pub(crate) mod text;
mod weighting;

pub use crate::encode::buckets::Buckets;
pub use hash::NgramHash;
pub use normalize::Normalize;
pub use settings::{Analyzer, NgramSettings, Norm};
pub use text::{NgramHasher, ngrams};
pub use weighting::Weighting;

use std::ops::Range;

use arrow::array::{Array, Float32Array, RecordBatch, UInt32Array};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::contract::encoder::{Encoder, EncoderKind, Estimator, Feature, FittedTo, Input};
use crate::contract::pass::Pass;
use crate::contract::reads::Reads;
use crate::contract::spec::read_settings;
use crate::contract::step::{SparseBlock, StepSpec};
use crate::encode::columns::Columns;
use crate::encode::ngrams::weighting::inverse_document_frequency;
use crate::error::{Error, Result};
use crate::settings::Key;
use crate::statistics::column::strings;

pub(crate) const KIND: &str = "ngrams";

/// `encode = "ngrams"`.
pub(super) struct Ngrams;

impl EncoderKind for Ngrams {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A text becomes counts of its hashed n-grams, of characters or of words, as scikit-learn's `HashingVectorizer` (MurmurHash3\n\
         x86-32 of the UTF-8 bytes; no signs); buckets that no training row fills are left out. A word is a run of letters, numbers and\n\
         marks of any script, `_` and joiners, also of a single one: `token_pattern = r\"\\w+\"`, where `\\w` is that of UTS #18. Characters\n\
         and words together are two features of the column, one with `analyzer = \"char\"` or `\"char_wb\"`, one with `\"word\"`. The\n\
         weights are those of `TfidfTransformer`."
    }

    fn keys(&self) -> &'static [Key] {
        settings::KEYS
    }

    fn feature(&self, settings: Value) -> Result<Feature> {
        let settings: NgramSettings = read_settings(KIND, settings)?;
        match settings.contradiction() {
            None => Ok(Feature::new(settings)),
            Some(why) => Err(Error::Spec {
                kind: KIND.to_owned(),
                why: why.to_owned(),
            }),
        }
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(NgramEncoder::from_spec(spec)?))
    }
}

/// A text becomes the counts of its n-grams' buckets; null is the empty text.
#[derive(Debug, Clone)]
pub struct NgramEncoder {
    settings: NgramSettings,
    hash: NgramHash,
    /// The buckets that are columns, in their order.
    buckets: UInt32Array,
    columns: Columns,
    /// Of each column, the inverse document frequency; none where it does not count.
    idf: Vec<f32>,
}

impl Estimator for NgramSettings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> &[String] {
        std::slice::from_ref(&self.column)
    }

    fn variant(&self) -> String {
        self.analyzer.mark().to_owned()
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Buckets::new(self))
    }

    fn fitted(&self, state: &RecordBatch, to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let filled = Buckets::filled(state, self.min_count)?;
        let buckets: Vec<u32> = filled.iter().map(|(bucket, _)| *bucket).collect();
        let idf = match self.weighting {
            Weighting::TfIdf => filled
                .iter()
                .map(|(_, count)| inverse_document_frequency(*count, to.rows, self.smooth_idf) as f32)
                .collect(),
            Weighting::Tf | Weighting::Binary => Vec::new(),
        };
        let encoder = NgramEncoder::new(self.clone(), NgramHash::Murmur3, buckets.into(), idf);
        let encoder = encoder.ok_or_else(|| Error::State {
            pass: "buckets",
            why: format!("a bucket is there twice, or not below 2^{}", self.bits),
        })?;
        Ok(Box::new(encoder))
    }
}

/// The settings of a spec.
#[derive(Serialize, Deserialize)]
struct Described {
    #[serde(flatten)]
    settings: NgramSettings,
    /// Specs of bundles of formats 1 and 2 do not say.
    #[serde(
        default = "NgramHash::of_old_specs",
        skip_serializing_if = "NgramHash::is_of_old_specs"
    )]
    hash: NgramHash,
}

impl NgramEncoder {
    fn described(&self) -> Value {
        json!(Described {
            settings: self.settings.clone(),
            hash: self.hash,
        })
    }

    fn from_spec(spec: &StepSpec) -> Result<Self> {
        let Described { settings, hash } = spec.settings()?;
        let (shortest, longest) = settings.range;
        let range = 1..=NgramSettings::LONGEST;
        let bits = 1..=NgramSettings::MOST_BITS;
        if !range.contains(&shortest) || !range.contains(&longest) || shortest > longest {
            return Err(spec.bad(format!(
                "its range is [{shortest}, {longest}], and n-grams have from {} to {} characters",
                range.start(),
                range.end()
            )));
        }
        if !bits.contains(&settings.bits) {
            return Err(spec.bad(format!(
                "it has {} bits, and may have from {} to {}",
                settings.bits,
                bits.start(),
                bits.end()
            )));
        }
        if let Some(why) = settings.contradiction() {
            return Err(spec.bad(why));
        }
        let buckets: &UInt32Array = spec.array("buckets")?;
        let idf = match settings.weighting {
            Weighting::TfIdf => spec.array::<Float32Array>("idf")?.values().to_vec(),
            Weighting::Tf | Weighting::Binary => Vec::new(),
        };
        let known = settings.weighting != Weighting::TfIdf || idf.len() == buckets.len();
        if !known || idf.iter().any(|idf| !idf.is_finite() || *idf <= 0.0) {
            return Err(spec.bad(format!(
                "`idf` does not hold {} finite numbers above 0",
                buckets.len()
            )));
        }
        Self::new(settings, hash, buckets.clone(), idf)
            .ok_or_else(|| spec.bad("`buckets` holds one twice, or one that is not below 2^bits"))
    }

    /// `None` where a bucket is there twice or out of bounds.
    fn new(settings: NgramSettings, hash: NgramHash, buckets: UInt32Array, idf: Vec<f32>) -> Option<Self> {
        let columns = Columns::new(buckets.values(), settings.bits)?;
        Some(Self {
            settings,
            hash,
            buckets,
            columns,
            idf,
        })
    }
}

impl Encoder for NgramEncoder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        let spec = StepSpec::new(KIND, self.described()).with("buckets", self.buckets.clone());
        match self.settings.weighting {
            Weighting::TfIdf => spec.with("idf", Float32Array::from(self.idf.clone())),
            Weighting::Tf | Weighting::Binary => spec,
        }
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input {
            column: &self.settings.column,
            reads: Reads::Text,
        }]
    }

    fn width(&self) -> u32 {
        self.buckets.len() as u32
    }

    fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<u32>() + self.columns.bytes() + self.idf.len() * size_of::<f32>()
    }

    fn name(&self, index: u32) -> String {
        let NgramSettings { column, analyzer, .. } = &self.settings;
        format!(
            "{column}#{}{}",
            analyzer.mark(),
            self.buckets.value(index as usize)
        )
    }

    fn meaning(&self) -> Value {
        let mut settings = self.described();
        if let Value::Object(settings) = &mut settings {
            settings.retain(|name, _| name != "min_count");
        }
        settings
    }

    fn seen(&self) -> Option<Range<u32>> {
        Some(0..self.width())
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        let texts = strings(batch, &self.settings.column, Reads::Text, KIND)?;
        let mut hasher = NgramHasher::new(&self.settings, self.hash);
        let mut block = SparseBlock::with_capacity(texts.len());
        let mut row = Vec::new();
        for text in &texts {
            row.clear();
            hasher.for_each_bucket(text.unwrap_or(""), |bucket| {
                row.extend(self.columns.of(bucket));
            });
            row.sort_unstable();
            let start = block.values.len();
            for run in row.chunk_by(|a, b| a == b) {
                let NgramSettings {
                    weighting,
                    sublinear_tf,
                    ..
                } = self.settings;
                let idf = self.idf.get(run[0] as usize).map_or(1.0, |idf| f64::from(*idf));
                block.push(
                    run[0],
                    (weighting.term_frequency(run.len(), sublinear_tf) * idf) as f32,
                );
            }
            if self.settings.norm == Norm::L2 {
                to_unit_length(&mut block.values[start..]);
            }
            block.end_row();
        }
        Ok(block)
    }
}

fn to_unit_length(row: &mut [f32]) {
    let square: f64 = row
        .iter()
        .map(|value| f64::from(*value) * f64::from(*value))
        .sum();
    let length = square.sqrt();
    for value in row {
        *value = (f64::from(*value) / length) as f32;
    }
}
