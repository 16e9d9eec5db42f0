//! Validation and test rows whose features are those of a training row: what a model scores on them, it may only remember.
//!
//! Two scans in bounded memory: the first keeps a hash of the features of each validation and test row, or of every so many, the
//! second finds the training rows that have one of these. A training row is always of another entity.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt8Array, UInt64Array};
use arrow::datatypes::Schema;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::contract::pass::{Accumulate, Grain, Pass};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::rows::features::{Rows, check_features};
use crate::rows::{RowSet, SPLIT_NAMES, Split};
use crate::statistics::state_column;

const NAME: &str = "repeated rows";

/// Of a table of up to so many rows every validation and test row is looked at, of larger ones as many at most.
pub const MOST_ROWS: u64 = 1 << 20;

/// How many rows of a split have the features of a training row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Repeated {
    /// Rows that were looked at: all, or of large tables every so many.
    pub looked_at: u64,
    /// Those of them with the features of a training row.
    pub repeated: u64,
    /// `repeated` over `looked_at`; 0 where there are none.
    pub share: f64,
    /// Features that differ from each other, of the rows looked at.
    pub distinct: u64,
}

/// The kinds of the specs of the two passes.
pub(crate) const HELD_OUT: &str = "held-out rows";
pub(crate) const REPEATED: &str = "repeated rows";

/// The first scan: hashes of the features of validation and test rows. Each of the two splits is a part of the results.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct HeldOutPass {
    /// Of each split, one row in so many is taken.
    every: u64,
    /// The split that is looked at, or both.
    only: Option<Split>,
}

impl HeldOutPass {
    /// For a features table of so many rows.
    pub fn new(rows: u64) -> Self {
        Self {
            every: rows.div_ceil(MOST_ROWS).max(1),
            only: None,
        }
    }

    /// Reads the final state: the second scan.
    ///
    /// # Errors
    /// When the state is not of this pass.
    pub fn next(&self, state: &RecordBatch) -> Result<RepeatedPass> {
        Ok(RepeatedPass::of(read_held_out(state)?))
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        let pass: Self = spec.settings()?;
        if pass.every == 0 {
            return Err(spec.bad("it takes one row in 0"));
        }
        Ok(pass)
    }
}

impl Pass for HeldOutPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        check_features(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(HeldOut {
            pass: *self,
            seen: [0; SPLIT_NAMES.len()],
            hashes: Default::default(),
        })
    }

    fn grain(&self) -> Grain {
        // One row in so many is counted from the first.
        match self.only {
            None => Grain::Results(HELD_OUT_SPLITS.len()),
            Some(_) => Grain::Ordered,
        }
    }

    fn part(&self, index: usize) -> Result<Box<dyn Pass>> {
        let split = HELD_OUT_SPLITS.get(index).filter(|_| self.only.is_none());
        let split = split.ok_or_else(|| Error::no_part(HELD_OUT, index))?;
        Ok(Box::new(Self {
            only: Some(*split),
            ..*self
        }))
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(HELD_OUT, json!(self))
    }
}

/// The splits that no model is fitted to.
const HELD_OUT_SPLITS: [Split; 2] = [Split::Validation, Split::Test];

/// The hashes of the rows taken of each split.
type Hashes = [Vec<u64>; SPLIT_NAMES.len()];

struct HeldOut {
    pass: HeldOutPass,
    /// Rows of each split so far.
    seen: [u64; SPLIT_NAMES.len()],
    hashes: Hashes,
}

fn read_held_out(state: &RecordBatch) -> Result<Hashes> {
    let splits: &UInt8Array = state_column(state, "split", NAME)?;
    let hashes: &UInt64Array = state_column(state, "hash", NAME)?;
    let mut of_splits = Hashes::default();
    for (split, hash) in splits.values().iter().zip(hashes.values()) {
        let of_split = of_splits.get_mut(usize::from(*split));
        of_split.ok_or_else(|| no_split(*split))?.push(*hash);
    }
    Ok(of_splits)
}

impl Accumulate for HeldOut {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::without_labels(batch)?;
        let mut taken = Vec::new();
        for (r, &split) in rows.split.iter().enumerate() {
            let looked_at = self
                .pass
                .only
                .map_or(!Split::Train.is(split), |only| only.is(split));
            if !looked_at {
                continue;
            }
            let seen = self
                .seen
                .get_mut(usize::from(split))
                .ok_or_else(|| no_split(split))?;
            if seen.is_multiple_of(self.pass.every) {
                taken.push((split, r));
            }
            *seen += 1;
        }
        let hashes = taken.into_par_iter().map(|(split, r)| (split, hash(rows, r)));
        for (split, hash) in hashes.collect::<Vec<_>>() {
            self.hashes[usize::from(split)].push(hash);
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        for (mine, theirs) in self.hashes.iter_mut().zip(read_held_out(state)?) {
            mine.extend(theirs);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let splits = (0_u8..).zip(&self.hashes);
        let splits =
            UInt8Array::from_iter_values(splits.flat_map(|(split, of)| of.iter().map(move |_| split)));
        let hashes = UInt64Array::from(self.hashes.concat());
        Ok(RecordBatch::try_from_iter([
            ("split", Arc::new(splits) as _),
            ("hash", Arc::new(hashes) as _),
        ])?)
    }

    fn size(&self) -> usize {
        let hashes = self.hashes.iter().map(Vec::capacity);
        hashes.sum::<usize>() * size_of::<u64>()
    }
}

/// The second scan: which of the hashes training rows have too.
#[derive(Debug, Clone)]
pub struct RepeatedPass {
    /// In order, each once.
    hashes: Arc<[u64]>,
    /// Those of the rows looked at.
    rows: Arc<Hashes>,
}

impl RepeatedPass {
    fn of(rows: Hashes) -> Self {
        let mut hashes = rows.concat();
        hashes.sort_unstable();
        hashes.dedup();
        Self {
            hashes: hashes.into(),
            rows: Arc::new(rows),
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        let mut rows = Hashes::default();
        for (name, rows) in SPLIT_NAMES.iter().zip(&mut rows) {
            *rows = spec.array::<UInt64Array>(name)?.values().to_vec();
        }
        Ok(Self::of(rows))
    }

    /// Reads the final state: the counts of every split, in the order of [`SPLIT_NAMES`]. Two in 2^64 rows of different features
    /// are taken for equal.
    ///
    /// # Errors
    /// When the state is not of this pass.
    pub fn repeated(&self, state: &RecordBatch) -> Result<[Repeated; SPLIT_NAMES.len()]> {
        let found: &BooleanArray = state_column(state, "found", NAME)?;
        if found.len() != self.hashes.len() {
            return Err(bad(format!("{} hashes, not {}", found.len(), self.hashes.len())));
        }
        let mut counts = [Repeated::default(); SPLIT_NAMES.len()];
        for (split, count) in counts.iter_mut().enumerate() {
            let rows = self.rows[split].iter();
            let mut places: Vec<usize> = rows
                .filter_map(|hash| self.hashes.binary_search(hash).ok())
                .collect();
            count.looked_at = places.len() as u64;
            count.repeated = places.iter().filter(|place| found.value(**place)).count() as u64;
            if count.looked_at > 0 {
                count.share = count.repeated as f64 / count.looked_at as f64;
            }
            places.sort_unstable();
            places.dedup();
            count.distinct = places.len() as u64;
        }
        Ok(counts)
    }
}

impl Pass for RepeatedPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        check_features(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Found {
            hashes: Arc::clone(&self.hashes),
            found: vec![false; self.hashes.len()],
        })
    }

    fn spec(&self) -> StepSpec {
        let spec = StepSpec::new(REPEATED, Value::Null);
        let splits = SPLIT_NAMES.iter().zip(self.rows.iter());
        splits.fold(spec, |spec, (name, hashes)| {
            spec.with(name, UInt64Array::from(hashes.clone()))
        })
    }
}

struct Found {
    hashes: Arc<[u64]>,
    found: Vec<bool>,
}

impl Accumulate for Found {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::without_labels(batch)?;
        for r in RowSet::TRAINING.of(rows) {
            if let Ok(place) = self.hashes.binary_search(&hash(rows, r)) {
                self.found[place] = true;
            }
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let found: &BooleanArray = state_column(state, "found", NAME)?;
        if found.len() != self.found.len() {
            return Err(bad(format!("{} hashes, not {}", found.len(), self.found.len())));
        }
        let theirs = found.values().iter();
        self.found
            .iter_mut()
            .zip(theirs)
            .for_each(|(mine, theirs)| *mine |= theirs);
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let found = BooleanArray::from(self.found.clone());
        Ok(RecordBatch::try_from_iter([("found", Arc::new(found) as _)])?)
    }

    fn size(&self) -> usize {
        self.found.len()
    }
}

/// The hash of the features of a row.
fn hash(rows: Rows<'_>, r: usize) -> u64 {
    let (indices, values) = rows.row(r);
    let mut bytes = Vec::with_capacity(8 * indices.len());
    for (index, value) in indices.iter().zip(values) {
        bytes.extend_from_slice(&index.to_le_bytes());
        // Zero has one sign.
        bytes.extend_from_slice(&(value + 0.0).to_le_bytes());
    }
    xxh3_64(&bytes)
}

fn no_split(split: u8) -> Error {
    bad(format!("there is no split {split}"))
}

fn bad(why: String) -> Error {
    Error::State { pass: NAME, why }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{ArrayRef, Float32Array, ListArray, UInt32Array};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field};

    use super::*;

    /// Rows of a split, an index and a value.
    fn table(rows: &[(u8, u32, f32)]) -> RecordBatch {
        let list = |values: ArrayRef, item: DataType| -> ArrayRef {
            let item = Arc::new(Field::new_list_field(item, false));
            let offsets = OffsetBuffer::from_lengths(rows.iter().map(|_| 1));
            Arc::new(ListArray::new(item, offsets, values, None))
        };
        let indices = Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.1)));
        let values = Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.2)));
        let splits: ArrayRef = Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| row.0)));
        RecordBatch::try_from_iter([
            ("indices", list(indices, DataType::UInt32)),
            ("values", list(values, DataType::Float32)),
            ("split", splits.clone()),
            ("fold", splits),
        ])
        .unwrap()
    }

    fn folded(pass: &dyn Pass, table: &RecordBatch, cut: usize, merged: bool) -> RecordBatch {
        let mut accumulator = pass.start();
        for from in (0..table.num_rows()).step_by(cut) {
            let part = table.slice(from, cut.min(table.num_rows() - from));
            if merged {
                let mut other = pass.start();
                other.update(&part).unwrap();
                accumulator.merge(&other.state().unwrap()).unwrap();
            } else {
                accumulator.update(&part).unwrap();
            }
        }
        accumulator.state().unwrap()
    }

    fn repeated(table: &RecordBatch, rows: u64, cut: usize, merged: bool) -> [Repeated; 3] {
        let first = HeldOutPass::new(rows);
        let second = first.next(&folded(&first, table, cut, merged)).unwrap();
        second.repeated(&folded(&second, table, cut, merged)).unwrap()
    }

    #[test]
    fn rows_with_the_features_of_a_training_row_are_counted() {
        let rows = [
            (2, 1, 0.5), // Before the training row.
            (0, 1, 0.5),
            (0, 2, 0.0),
            (0, 2, 9.0),
            (1, 1, 0.5),
            (1, 3, 1.0),
            (2, 2, -0.0),
            (2, 2, 0.0),
            (2, 1, 0.25),
            (2, 3, 1.0), // As a validation row, but no training row.
        ];
        let count = |looked_at, repeated, distinct| Repeated {
            looked_at,
            repeated,
            share: if looked_at == 0 {
                0.0
            } else {
                repeated as f64 / looked_at as f64
            },
            distinct,
        };
        let expected = [count(0, 0, 0), count(2, 1, 2), count(5, 3, 4)];
        for cut in [1, 3, 100] {
            for merged in [false, true] {
                assert_eq!(
                    repeated(&table(&rows), 10, cut, merged),
                    expected,
                    "{cut} {merged}"
                );
            }
        }
    }

    #[test]
    fn of_a_large_table_one_row_in_so_many_is_looked_at() {
        let rows: Vec<_> = (0..40_000_u32)
            .map(|i| {
                (
                    (i % 4).min(2) as u8,
                    i / 4 % 5_000,
                    if i % 4 == 1 { 1.0 } else { 0.5 },
                )
            })
            .collect();
        let table = table(&rows);
        let all = repeated(&table, 40_000, 1_000, false);
        assert_eq!((all[1].looked_at, all[1].repeated), (10_000, 0));
        assert_eq!(
            (all[2].looked_at, all[2].repeated, all[2].distinct),
            (20_000, 20_000, 5_000)
        );
        let some = repeated(&table, 8 * MOST_ROWS, 1_000, false);
        assert_eq!((some[1].looked_at, some[1].repeated), (1_250, 0));
        assert_eq!((some[2].looked_at, some[2].share), (2_500, 1.0));
    }
}
