//! What the training rows have in a column: how many values, their range and how they spread.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, RecordBatch, UInt64Array};
use arrow::datatypes::Schema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use crate::contract::pass::{Accumulate, Pass, Share};
use crate::contract::reads::is_number;
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::settings::Values;
use crate::statistics::column::{as_number, find};
use crate::statistics::moments::MomentsState;
use crate::statistics::quantiles::{from_ordered, ordered};
use crate::statistics::state::{list, listed, map_bytes, state_column};

const NAME: &str = "profile";
/// The kind of its spec.
pub(crate) const KIND: &str = NAME;

/// The shares of the values that lie at or below each quantile of a [`NumberProfile`].
const SHARES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// What the training rows have in a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// Training rows.
    pub rows: u64,
    /// Those without a value.
    pub nulls: u64,
    /// Of a column with a place on the number line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<NumberProfile>,
    /// The most frequent categories with their shares of the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "exact_pairs")]
    pub frequent: Vec<(String, f64)>,
    /// By encoder: the share of the validation rows in which it found nothing that the training rows had.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "exact_map")]
    pub unseen: BTreeMap<String, f64>,
}

/// The finite values of a column: numbers, days, or seconds since 1970-01-01 UTC. Mean and deviation leave out what is beyond 1e150
/// or so, whose squares are infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenNumbers", into = "WrittenNumbers")]
pub struct NumberProfile {
    /// The least.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
    /// Their (unbiased) standard deviation.
    pub std: f64,
    /// Each share with the value that so many lie at or below, within 0.8 %.
    pub quantiles: Vec<(f64, f64)>,
}

/// A number as its shortest text: JSON's numbers are not read to the last bit.
#[derive(Debug, Clone, Copy)]
struct Exact(f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        let expected = || serde::de::Error::custom(format!("{text:?} is not a finite number"));
        number.map(Self).ok_or_else(expected)
    }
}

#[derive(Serialize, Deserialize)]
struct WrittenNumbers {
    min: Exact,
    max: Exact,
    mean: Exact,
    std: Exact,
    quantiles: Vec<(Exact, Exact)>,
}

impl From<WrittenNumbers> for NumberProfile {
    fn from(written: WrittenNumbers) -> Self {
        let quantiles = written.quantiles.into_iter();
        Self {
            min: written.min.0,
            max: written.max.0,
            mean: written.mean.0,
            std: written.std.0,
            quantiles: quantiles.map(|(share, value)| (share.0, value.0)).collect(),
        }
    }
}

impl From<NumberProfile> for WrittenNumbers {
    fn from(numbers: NumberProfile) -> Self {
        let quantiles = numbers.quantiles.into_iter();
        Self {
            min: Exact(numbers.min),
            max: Exact(numbers.max),
            mean: Exact(numbers.mean),
            std: Exact(numbers.std),
            quantiles: quantiles
                .map(|(share, value)| (Exact(share), Exact(value)))
                .collect(),
        }
    }
}

/// Names with numbers, in their order.
mod exact_pairs {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Exact;

    pub(super) fn serialize<S: Serializer>(
        pairs: &[(String, f64)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(pairs.iter().map(|(name, number)| (name, Exact(*number))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, f64)>, D::Error> {
        let pairs = Vec::<(String, Exact)>::deserialize(deserializer)?.into_iter();
        Ok(pairs.map(|(name, number)| (name, number.0)).collect())
    }
}

/// Names with numbers.
mod exact_map {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Exact;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<String, f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(name, number)| (name, Exact(*number))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, f64>, D::Error> {
        let map = BTreeMap::<String, Exact>::deserialize(deserializer)?.into_iter();
        Ok(map.map(|(name, number)| (name, number.0)).collect())
    }
}

impl NumberProfile {
    /// The values of a column that lie outside the range.
    ///
    /// # Errors
    /// When Arrow cannot read it as numbers.
    pub fn outside(&self, column: &dyn Array) -> Result<u64> {
        if !is_number(column.data_type()) {
            return Ok(0);
        }
        let outside = |value: &f64| *value < self.min || *value > self.max;
        Ok(as_number(column)?.iter().flatten().filter(outside).count() as u64)
    }
}

/// The pass that makes the profile of a column, of any type. Infinities are in no statistic.
///
/// Its state is one row: the rows, those without a value, the moments and the range of the numbers, and how many lie in each
/// of some buckets.
#[derive(Debug, Clone)]
pub struct Profile {
    column: String,
}

impl Profile {
    /// The profile of `column`.
    pub fn new(column: &str) -> Self {
        Self {
            column: column.to_owned(),
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        Ok(Self {
            column: spec.settings()?,
        })
    }

    /// The profile of the final state.
    ///
    /// # Errors
    /// `State` when it is not of this pass.
    pub fn fitted(state: &RecordBatch) -> Result<ColumnProfile> {
        let state = Sums::from_state(state)?;
        Ok(ColumnProfile {
            rows: state.moments.rows,
            nulls: state.nulls,
            numbers: (state.min <= state.max).then(|| NumberProfile {
                min: state.min,
                max: state.max,
                mean: state.moments.mean,
                std: state.moments.std(),
                quantiles: SHARES.map(|share| (share, state.quantile(share))).to_vec(),
            }),
            frequent: Vec::new(),
            unseen: BTreeMap::new(),
        })
    }
}

impl Pass for Profile {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        match schema.field_with_name(&self.column) {
            Ok(_) => Ok(vec![self.column.clone()]),
            Err(_) => Err(Error::missing_column(&self.column, schema)),
        }
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            column: self.column.clone(),
            sums: Sums::default(),
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self.column))
    }
}

struct Accumulator {
    column: String,
    sums: Sums,
}

struct Sums {
    nulls: u64,
    moments: MomentsState,
    min: f64,
    max: f64,
    /// Values by the bucket that they are in.
    buckets: HashMap<u64, u64>,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            nulls: 0,
            moments: MomentsState::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            buckets: HashMap::new(),
        }
    }
}

impl Sums {
    fn from_state(state: &RecordBatch) -> Result<Self> {
        let number = |name| -> Result<u64> { Ok(state_column::<UInt64Array>(state, name, NAME)?.value(0)) };
        let float = |name| -> Result<f64> { Ok(state_column::<Float64Array>(state, name, NAME)?.value(0)) };
        let list = |name| listed(state, name, NAME);
        if state.num_rows() != 1 {
            return Err(bad(format!("it has {} rows, not one", state.num_rows())));
        }
        Ok(Self {
            nulls: number("nulls")?,
            moments: MomentsState {
                rows: number("rows")?,
                count: number("count")?,
                mean: float("mean")?,
                m2: float("m2")?,
            },
            min: float("min")?,
            max: float("max")?,
            buckets: list("bucket")?.into_iter().zip(list("values")?).collect(),
        })
    }

    fn sorted(&self) -> Vec<(u64, u64)> {
        let mut buckets: Vec<(u64, u64)> = self.buckets.iter().map(|(key, rows)| (*key, *rows)).collect();
        buckets.sort_unstable();
        buckets
    }

    /// The value that this share of all lies at or below.
    fn quantile(&self, share: f64) -> f64 {
        let sorted = self.sorted();
        let wanted = share * sorted.iter().map(|(_, rows)| rows).sum::<u64>() as f64;
        let mut below = 0;
        for (bucket, rows) in sorted {
            below += rows;
            if below as f64 >= wanted {
                return from_ordered(bucket).clamp(self.min, self.max);
            }
        }
        self.max
    }
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = find(batch, &self.column)?;
        let sums = &mut self.sums;
        sums.moments.rows += column.len() as u64;
        if !is_number(column.data_type()) {
            sums.nulls += column.logical_null_count() as u64;
            return Ok(());
        }
        let numbers = as_number(column)?;
        // NaN is missing, as for every encoder of numbers.
        sums.nulls += numbers
            .iter()
            .filter(|value| value.is_none_or(f64::is_nan))
            .count() as u64;
        for value in numbers.iter().flatten().filter(|value| value.is_finite()) {
            if value.abs() <= Values::LARGEST {
                sums.moments.add(value);
            }
            sums.min = sums.min.min(value);
            sums.max = sums.max.max(value);
            *sums.buckets.entry(bucket(ordered(value))).or_default() += 1;
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let other = Sums::from_state(state)?;
        let sums = &mut self.sums;
        sums.nulls += other.nulls;
        sums.moments.merge(&other.moments);
        sums.min = sums.min.min(other.min);
        sums.max = sums.max.max(other.max);
        for (bucket, rows) in other.buckets {
            *sums.buckets.entry(bucket).or_default() += rows;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let sums = &self.sums;
        let number = |value| -> ArrayRef { Arc::new(UInt64Array::from(vec![value])) };
        let float = |value| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
        let (buckets, values): (Vec<u64>, Vec<u64>) = sums.sorted().into_iter().unzip();
        Ok(RecordBatch::try_from_iter([
            ("rows", number(sums.moments.rows)),
            ("nulls", number(sums.nulls)),
            ("count", number(sums.moments.count)),
            ("mean", float(sums.moments.mean)),
            ("m2", float(sums.moments.m2)),
            ("min", float(sums.min)),
            ("max", float(sums.max)),
            ("bucket", list(buckets)?),
            ("values", list(values)?),
        ])?)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.column.capacity() + map_bytes::<u64, u64>(self.sums.buckets.capacity())
    }

    fn largest(&self) -> Share {
        Share {
            bytes: self.size(),
            what: format!("the profile of column `{}`", self.column),
            way_out: "have fewer features".to_owned(),
        }
    }
}

/// The middle of the bucket of `key`: its first 18 bits, which are sign, exponent and six bits of the mantissa, then the middle of the
/// other 46.
fn bucket(key: u64) -> u64 {
    key >> 46 << 46 | 1 << 45
}

fn bad(why: String) -> Error {
    Error::State { pass: NAME, why }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn profile(column: ArrayRef) -> ColumnProfile {
        let batch = RecordBatch::try_from_iter_with_nullable([("a", column, true)]).unwrap();
        let mut all = Profile::new("a").start();
        all.update(&batch).unwrap();
        Profile::fitted(&all.state().unwrap()).unwrap()
    }

    #[test]
    fn a_profile_says_what_is_in_a_column() {
        let values = (0..=100).map(|n| (n > 0).then_some(f64::from(n)));
        let infinite = [Some(f64::INFINITY), Some(f64::NAN), None];
        let column = Float64Array::from_iter(values.chain(infinite));
        let found = profile(Arc::new(column));
        assert_eq!((found.rows, found.nulls), (104, 3));
        let numbers = found.numbers.unwrap();
        assert_eq!((numbers.min, numbers.max, numbers.mean), (1.0, 100.0, 50.5));
        assert!((numbers.std - 29.011_491_975_882_016).abs() < 1e-12);
        for (share, value) in &numbers.quantiles {
            assert!(
                (value - share * 100.0).abs() <= 0.008 * share * 100.0,
                "{share}: {value}"
            );
        }
        let asked = Float64Array::from(vec![
            Some(1.0),
            Some(100.0),
            Some(0.5),
            Some(101.0),
            None,
            Some(f64::NAN),
        ]);
        assert_eq!(numbers.outside(&asked).unwrap(), 2);
        let text = profile(Arc::new(StringArray::from(vec![Some("a"), None])));
        assert_eq!((text.rows, text.nulls, text.numbers), (2, 1, None));
    }
}
