//! The quantiles of a numeric column, from counts of its values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, Float64Array, RecordBatch, UInt64Array};
use arrow::datatypes::Schema;
use serde_json::json;

use crate::contract::pass::{Accumulate, Pass, Share};
use crate::contract::reads::Reads;
use crate::contract::spec::StepSpec;
use crate::error::Result;
use crate::statistics::column::numbers;
use crate::statistics::state::{map_bytes, state_column};

const NAME: &str = "quantiles";
/// The kind of its spec.
pub(crate) const KIND: &str = NAME;

/// Value → rows, exactly up to a number of distinct values, in buckets beyond it.
///
/// A bucket holds the values that agree in sign, exponent and the first 12 bits of the mantissa, and stands for its
/// middle: within 2⁻¹³ (0.013 %) of each of them. Buckets are used if and only if there are too many distinct values, so
/// the state depends on which values there are and on nothing else: not on their order, nor on how they were merged.
/// It is `{value: Float64, count: UInt64, bucketed: Boolean}`, sorted by value.
#[derive(Debug, Clone)]
pub struct Quantiles {
    column: String,
    exact_up_to: usize,
    /// What errors about the column name.
    step: String,
}

impl Quantiles {
    /// Distinct values that are counted exactly.
    pub const EXACT_UP_TO: usize = 65_536;

    /// The quantiles of `column`, exact up to [`Quantiles::EXACT_UP_TO`] distinct values.
    pub fn new(column: &str) -> Self {
        Self::exact_up_to(column, Self::EXACT_UP_TO)
    }

    /// The quantiles of `column`, exact up to `distinct` distinct values.
    pub fn exact_up_to(column: &str, distinct: usize) -> Self {
        Self {
            column: column.to_owned(),
            exact_up_to: distinct,
            step: "numeric".to_owned(),
        }
    }

    /// The same on behalf of `step`, whose name errors carry.
    pub(crate) fn of_step(self, step: &str) -> Self {
        Self {
            step: step.to_owned(),
            ..self
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        let (column, exact_up_to, step) = spec.settings()?;
        Ok(Self {
            column,
            exact_up_to,
            step,
        })
    }

    /// The median (the lower one of two) in a state; none when no row had a value.
    pub fn median(state: &RecordBatch) -> Result<Option<f64>> {
        let sorted = Sorted::from_state(state)?;
        Ok((sorted.rows > 0).then(|| sorted.at((sorted.rows - 1) / 2)))
    }

    /// The different values in a state, and how many of them are one with another as single-precision numbers; none where there are
    /// too many to be told apart.
    pub fn merged(state: &RecordBatch) -> Result<Option<(u64, u64)>> {
        let (values, _, bucketed) = columns(state)?;
        if bucketed.true_count() > 0 {
            return Ok(None);
        }
        // In order, and so equal ones are neighbours.
        let equal = values.values().chunk_by(|a, b| *a as f32 == *b as f32);
        let merged: usize = equal.map(<[f64]>::len).filter(|values| *values > 1).sum();
        Ok(Some((values.len() as u64, merged as u64)))
    }
}

/// The values of a state in their order, each as often as it is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Sorted {
    /// Each value with the rows up to its last one.
    values: Vec<(f64, u64)>,
    rows: u64,
}

impl Sorted {
    /// Reads a state of [`Quantiles`].
    pub fn from_state(state: &RecordBatch) -> Result<Self> {
        Self::imputed(state, 0.0, 0)
    }

    /// The values of a state and `missing` times `fill`.
    pub fn imputed(state: &RecordBatch, fill: f64, missing: u64) -> Result<Self> {
        let (values, counts, _) = columns(state)?;
        let mut all: Vec<(f64, u64)> = values
            .values()
            .iter()
            .copied()
            .zip(counts.values().iter().copied())
            .collect();
        if missing > 0 {
            let place = all.partition_point(|(value, _)| *value < fill);
            all.insert(place, (fill, missing));
        }
        let mut rows = 0;
        for (_, count) in &mut all {
            rows += *count;
            *count = rows;
        }
        Ok(Self { values: all, rows })
    }

    /// How many there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The value of a place below [`Sorted::rows`]; NaN beyond it.
    fn at(&self, place: u64) -> f64 {
        let found = self.values.partition_point(|(_, up_to)| *up_to <= place);
        self.values.get(found).map_or(f64::NAN, |(value, _)| *value)
    }

    /// The quantile at `share` from 0 to 1 of the values after an increasing function, by linear interpolation between the two
    /// nearest places: type 7 of Hyndman and Fan (1996), NumPy's default. NaN where there is no value.
    pub fn quantile(&self, share: f64, of: impl Fn(f64) -> f64) -> f64 {
        let place = share * self.rows.saturating_sub(1) as f64;
        let below = place.floor();
        let (low, high) = (of(self.at(below as u64)), of(self.at(place.ceil() as u64)));
        low + (high - low) * (place - below)
    }
}

impl Pass for Quantiles {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        Reads::Number.check(schema, &self.column, &self.step)?;
        Ok(vec![self.column.clone()])
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            pass: self.clone(),
            counts: HashMap::new(),
            bucketed: false,
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!([self.column, self.exact_up_to, self.step]))
    }
}

struct Accumulator {
    pass: Quantiles,
    /// By [`ordered`] bits.
    counts: HashMap<u64, u64>,
    bucketed: bool,
}

impl Accumulator {
    fn add(&mut self, value: f64, rows: u64) {
        let key = ordered(value);
        let key = if self.bucketed { middle(key) } else { key };
        *self.counts.entry(key).or_default() += rows;
        if !self.bucketed && self.counts.len() > self.pass.exact_up_to {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        self.bucketed = true;
        for (key, rows) in std::mem::take(&mut self.counts) {
            *self.counts.entry(middle(key)).or_default() += rows;
        }
    }
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let values = numbers(batch, &self.pass.column, &self.pass.step)?;
        values.iter().flatten().for_each(|value| self.add(value, 1));
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let (values, counts, bucketed) = columns(state)?;
        if bucketed.true_count() > 0 && !self.bucketed {
            self.coarsen();
        }
        for (value, rows) in values.values().iter().zip(counts.values()) {
            self.add(*value, *rows);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let mut rows: Vec<(u64, u64)> = self.counts.iter().map(|(key, rows)| (*key, *rows)).collect();
        rows.sort_unstable();
        let values = Float64Array::from_iter_values(rows.iter().map(|row| from_ordered(row.0)));
        let counts = UInt64Array::from_iter_values(rows.iter().map(|row| row.1));
        let bucketed = BooleanArray::from(vec![self.bucketed; rows.len()]);
        Ok(RecordBatch::try_from_iter([
            ("value", Arc::new(values) as _),
            ("count", Arc::new(counts) as _),
            ("bucketed", Arc::new(bucketed) as _),
        ])?)
    }

    fn size(&self) -> usize {
        map_bytes::<u64, u64>(self.counts.capacity())
    }

    fn largest(&self) -> Share {
        Share {
            bytes: self.size(),
            what: format!(
                "the values of column `{}`, counted for its quantiles or its precision,",
                self.pass.column
            ),
            way_out: "use impute = \"mean\", scale = \"standard\" or given bounds for columns of many values"
                .to_owned(),
        }
    }
}

fn columns(state: &RecordBatch) -> Result<(&Float64Array, &UInt64Array, &BooleanArray)> {
    Ok((
        state_column(state, "value", NAME)?,
        state_column(state, "count", NAME)?,
        state_column(state, "bucketed", NAME)?,
    ))
}

/// The bits of a number, so that they sort as the numbers do.
pub(crate) fn ordered(value: f64) -> u64 {
    // Adding zero makes -0 and 0 one value.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

pub(crate) fn from_ordered(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// The middle of the bucket of `key`: its first 24 bits, then the middle of the other 40.
fn middle(key: u64) -> u64 {
    key >> 40 << 40 | 1 << 39
}
