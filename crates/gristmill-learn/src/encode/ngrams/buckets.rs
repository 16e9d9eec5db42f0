//! Counts the rows that fill each bucket of hashed n-grams.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::Schema;
use serde_json::json;

use crate::contract::pass::{Accumulate, Pass, Share};
use crate::contract::reads::Reads;
use crate::contract::spec::StepSpec;
use crate::encode::ngrams::settings::NgramSettings;
use crate::encode::{NgramHash, NgramHasher};
use crate::error::{Error, Result};
use crate::statistics::column::strings;
use crate::statistics::state_column;

const NAME: &str = "buckets";
/// The kind of its spec.
pub(crate) const KIND: &str = NAME;

/// Bucket → rows that fill it. The state is `{bucket: UInt32, count: UInt32}`, sorted by bucket, empty ones left out.
#[derive(Debug, Clone)]
pub struct Buckets {
    settings: NgramSettings,
}

impl Buckets {
    /// The buckets of the column that `settings` names.
    pub fn new(settings: &NgramSettings) -> Self {
        Self {
            settings: settings.clone(),
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        let settings: NgramSettings = spec.settings()?;
        if !(1..=NgramSettings::MOST_BITS).contains(&settings.bits) {
            return Err(spec.bad("its bits are out of bounds"));
        }
        Ok(Self { settings })
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
        Reads::Text.check(schema, &self.settings.column, "ngrams")?;
        Ok(vec![self.settings.column.clone()])
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            column: self.settings.column.clone(),
            hasher: NgramHasher::new(&self.settings, NgramHash::Murmur3),
            counts: vec![0; 1 << self.settings.bits],
            filled: 0,
            row: Vec::new(),
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self.settings))
    }
}

struct Accumulator {
    column: String,
    hasher: NgramHasher,
    counts: Vec<u32>,
    /// Counts above 0.
    filled: usize,
    row: Vec<u32>,
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let texts = strings(batch, &self.column, Reads::Text, "ngrams")?;
        for text in texts.iter().flatten() {
            self.row.clear();
            self.hasher.for_each_bucket(text, |bucket| self.row.push(bucket));
            self.row.sort_unstable();
            self.row.dedup();
            for bucket in &self.row {
                let count = &mut self.counts[*bucket as usize];
                self.filled += usize::from(*count == 0);
                *count = count.saturating_add(1);
            }
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
            what: format!("the {} buckets of column `{}`", self.counts.len(), self.column),
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
