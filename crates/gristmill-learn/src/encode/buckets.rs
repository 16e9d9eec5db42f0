//! Counts the rows that fill each bucket of hashed n-grams or values.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contract::pass::{Accumulate, Pass, Share};
use crate::contract::reads::Reads;
use crate::contract::spec::StepSpec;
use crate::encode::hash::settings::HashSettings;
use crate::encode::ngrams::hash::NgramHash;
use crate::encode::ngrams::settings::NgramSettings;
use crate::encode::ngrams::text::NgramHasher;
use crate::error::{Error, Result};
use crate::statistics::column::{strings, together};
use crate::statistics::state_column;

const NAME: &str = "buckets";
/// The kind of its spec.
pub(crate) const KIND: &str = NAME;

/// Bucket → rows that fill it. The state is `{bucket: UInt32, count: UInt32}`, sorted by bucket, empty ones left out.
#[derive(Debug, Clone)]
pub struct Buckets {
    hashed: Hashed,
}

/// What is hashed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Hashed {
    /// The n-grams of a text.
    Ngrams(NgramSettings),
    /// The value of a column, or those of several together.
    Values(HashSettings),
}

impl Hashed {
    fn bits(&self) -> u32 {
        match self {
            Self::Ngrams(settings) => settings.bits,
            Self::Values(settings) => settings.bits,
        }
    }

    fn columns(&self) -> Vec<String> {
        match self {
            Self::Ngrams(settings) => vec![settings.column.clone()],
            Self::Values(settings) => settings.columns.clone(),
        }
    }
}

impl Buckets {
    /// The buckets of the n-grams of the column that `settings` names.
    pub fn new(settings: &NgramSettings) -> Self {
        Self {
            hashed: Hashed::Ngrams(settings.clone()),
        }
    }

    /// The buckets of the values of the columns that `settings` names.
    pub fn of_values(settings: &HashSettings) -> Self {
        Self {
            hashed: Hashed::Values(settings.clone()),
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        let hashed: Hashed = spec.settings()?;
        if !(1..=NgramSettings::MOST_BITS).contains(&hashed.bits()) {
            return Err(spec.bad("its bits are out of bounds"));
        }
        Ok(Self { hashed })
    }

    /// The buckets that at least `min_count` rows fill, with these rows; those of most rows first, then by bucket: as a vocabulary is
    /// ordered, and because training is faster where what it reads most lies together.
    pub fn filled(state: &RecordBatch, min_count: u64) -> Result<Vec<(u32, u32)>> {
        let (buckets, counts) = columns(state)?;
        let rows = buckets.values().iter().zip(counts.values());
        let mut filled: Vec<(u32, u32)> = rows
            .filter(|(_, count)| u64::from(**count) >= min_count)
            .map(|(bucket, count)| (*bucket, *count))
            .collect();
        filled.sort_by_key(|(bucket, count)| (std::cmp::Reverse(*count), *bucket));
        Ok(filled)
    }
}

impl Pass for Buckets {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        let columns = self.hashed.columns();
        let (reads, step) = match self.hashed {
            Hashed::Ngrams(_) => (Reads::Text, "ngrams"),
            Hashed::Values(_) => (Reads::Category, "hash"),
        };
        columns
            .iter()
            .try_for_each(|column| reads.check(schema, column, step))?;
        Ok(columns)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            name: self.hashed.columns().join(", "),
            hasher: match &self.hashed {
                Hashed::Ngrams(settings) => Hasher::Ngrams(
                    settings.column.clone(),
                    NgramHasher::new(settings, NgramHash::Murmur3),
                ),
                Hashed::Values(settings) => Hasher::Values(settings.clone()),
            },
            counts: vec![0; 1 << self.hashed.bits()],
            filled: 0,
            row: Vec::new(),
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self.hashed))
    }
}

enum Hasher {
    /// The column, and what cuts its texts.
    Ngrams(String, NgramHasher),
    Values(HashSettings),
}

struct Accumulator {
    /// The columns, for messages.
    name: String,
    hasher: Hasher,
    counts: Vec<u32>,
    /// Counts above 0.
    filled: usize,
    row: Vec<u32>,
}

impl Accumulator {
    /// Counts a row in the buckets of `self.row`, once in each.
    fn count_row(&mut self) {
        self.row.sort_unstable();
        self.row.dedup();
        for bucket in &self.row {
            let count = &mut self.counts[*bucket as usize];
            self.filled += usize::from(*count == 0);
            *count = count.saturating_add(1);
        }
        self.row.clear();
    }
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let texts = match &self.hasher {
            Hasher::Ngrams(column, _) => strings(batch, column, Reads::Text, "ngrams")?,
            Hasher::Values(settings) => together(batch, &settings.columns, "hash")?,
        };
        for text in texts.iter().flatten() {
            match &mut self.hasher {
                Hasher::Ngrams(_, hasher) => hasher.for_each_bucket(text, |bucket| self.row.push(bucket)),
                Hasher::Values(settings) => self.row.push(settings.bucket(text)),
            }
            self.count_row();
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let (buckets, counts) = columns(state)?;
        for (bucket, rows) in buckets.values().iter().zip(counts.values()) {
            let count = self
                .counts
                .get_mut(*bucket as usize)
                .ok_or_else(|| Error::State {
                    pass: NAME,
                    why: format!("bucket {bucket} is beyond this pass's bits"),
                })?;
            self.filled += usize::from(*count == 0 && *rows > 0);
            *count = count.saturating_add(*rows);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let filled = || (0u32..).zip(&self.counts).filter(|(_, count)| **count > 0);
        // With room for all: a vector that grows is held twice.
        let (mut buckets, mut counts) = (Vec::with_capacity(self.filled), Vec::with_capacity(self.filled));
        buckets.extend(filled().map(|(bucket, _)| bucket));
        counts.extend(filled().map(|(_, count)| *count));
        let (buckets, counts) = (UInt32Array::from(buckets), UInt32Array::from(counts));
        Ok(RecordBatch::try_from_iter([
            ("bucket", Arc::new(buckets) as _),
            ("count", Arc::new(counts) as _),
        ])?)
    }

    fn size(&self) -> usize {
        self.counts.len() * size_of::<u32>() + self.row.capacity() * size_of::<u32>()
    }

    /// It does not grow, and its state has the buckets that are filled.
    fn peak(&self) -> usize {
        self.size() + self.filled * 2 * size_of::<u32>()
    }

    fn largest(&self) -> Share {
        Share {
            bytes: self.size(),
            what: format!("the {} buckets of column `{}`", self.counts.len(), self.name),
            way_out: "lower its bits".to_owned(),
        }
    }
}

fn columns(state: &RecordBatch) -> Result<(&UInt32Array, &UInt32Array)> {
    Ok((
        state_column(state, "bucket", NAME)?,
        state_column(state, "count", NAME)?,
    ))
}
