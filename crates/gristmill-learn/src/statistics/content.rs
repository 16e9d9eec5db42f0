//! What a column holds, as far as that says how it is to be encoded: how many different values, of what characters.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use crate::contract::pass::{Accumulate, Pass, Share};
use crate::contract::reads::{is_category, is_number};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::statistics::column::{as_number, as_text, find};
use crate::statistics::state::{list, listed, state_column};

const NAME: &str = "content";
/// The kind of its spec.
pub(crate) const KIND: &str = NAME;

/// Different values that are counted one by one. Of more, those with the smallest hashes are, and tell how many there are within
/// 1.6 % (one standard deviation, 1/√4096): the bottom-k sketch of Cohen and Kaplan (2007), estimated as by Beyer et al. (2007).
const SKETCHED: usize = 4_096;

/// The pass that gathers the [`ColumnContent`] of a column, of any type.
///
/// Its state is one row. It is the same for the same rows in any order, however they are divided.
#[derive(Debug, Clone)]
pub struct Content {
    column: String,
}

/// What a column holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnContent {
    /// Rows.
    pub rows: u64,
    /// Those without a value; NaN is none.
    pub nulls: u64,
    /// Values that are numbers without a fraction: days and moments are numbers, too.
    pub whole: u64,
    /// The least and the largest number; `None` where there is none. Infinities are in neither.
    pub range: Option<(f64, f64)>,
    /// Characters of all texts.
    pub characters: u64,
    /// Those of them that are letters, in any script.
    pub letters: u64,
    /// Words of all texts, which white space separates.
    pub words: u64,
    /// Texts of two words or more.
    pub of_words: u64,
    /// Texts with a digit.
    pub with_digit: u64,
    /// The smallest hashes of the values, with the rows of each.
    sketch: BTreeMap<u64, u64>,
}

impl ColumnContent {
    /// Rows with a value.
    pub fn values(&self) -> u64 {
        self.rows - self.nulls
    }

    /// Different values: exact for fewer than 4,096, else an estimate.
    pub fn distinct(&self) -> u64 {
        match self.sketch.last_key_value() {
            Some((largest, _)) if self.sketch.len() == SKETCHED => {
                let share = (*largest as f64 + 1.0) / 2_f64.powi(64);
                // No more than there are values, whatever the hashes say.
                ((SKETCHED - 1) as f64 / share).min(self.values() as f64) as u64
            }
            _ => self.sketch.len() as u64,
        }
    }

    /// The share of the rows with a value that another row has, too: exact for fewer than 4,096 different values, else an estimate.
    pub fn repeated(&self) -> f64 {
        let rows: u64 = self.sketch.values().sum();
        let again: u64 = self.sketch.values().filter(|rows| **rows > 1).sum();
        again as f64 / rows.max(1) as f64
    }

    fn number(&mut self, value: f64) {
        self.whole += u64::from(value.is_finite() && value.fract() == 0.0);
        if value.is_finite() {
            let (least, largest) = self.range.unwrap_or((value, value));
            self.range = Some((least.min(value), largest.max(value)));
        }
    }

    fn text(&mut self, text: &str) {
        let mut digit = false;
        for character in text.chars() {
            self.characters += 1;
            self.letters += u64::from(character.is_alphabetic());
            digit |= character.is_numeric();
        }
        self.with_digit += u64::from(digit);
        let words = text.split_whitespace().count() as u64;
        self.words += words;
        self.of_words += u64::from(words > 1);
    }

    fn value(&mut self, bytes: &[u8], rows: u64) {
        self.hashed(xxh3_64(bytes), rows);
    }

    fn hashed(&mut self, hash: u64, rows: u64) {
        if self.sketch.len() == SKETCHED {
            match self.sketch.last_key_value() {
                Some((largest, _)) if hash > *largest => return,
                _ => {}
            }
        }
        *self.sketch.entry(hash).or_default() += rows;
        if self.sketch.len() > SKETCHED {
            self.sketch.pop_last();
        }
    }

    fn add(&mut self, column: &dyn Array) -> Result<()> {
        self.rows += column.len() as u64;
        let kind = column.data_type();
        if is_number(kind) {
            let numbers = as_number(column)?;
            let known = |number: &Option<f64>| number.is_some_and(|number| !number.is_nan());
            self.nulls += numbers.iter().filter(|number| !known(number)).count() as u64;
            numbers
                .iter()
                .flatten()
                .filter(|number| !number.is_nan())
                .for_each(|number| self.number(number));
            match kind {
                // Neither fits into 53 bits.
                DataType::UInt64 | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                    for text in as_text(column)?.iter().flatten() {
                        self.value(text.as_bytes(), 1);
                    }
                }
                kind if kind.is_integer() => {
                    let integers = cast(column, &DataType::Int64)?;
                    for integer in integers.as_primitive::<Int64Type>().iter().flatten() {
                        self.value(&integer.to_le_bytes(), 1);
                    }
                }
                _ => {
                    for number in numbers.iter().flatten().filter(|number| !number.is_nan()) {
                        // -0.0 is 0.0.
                        self.value(&(number + 0.0).to_le_bytes(), 1);
                    }
                }
            }
        } else if is_category(kind) {
            let texts = as_text(column)?;
            self.nulls += texts.null_count() as u64;
            for text in texts.iter().flatten() {
                self.text(text);
                self.value(text.as_bytes(), 1);
            }
        } else {
            self.nulls += column.logical_null_count() as u64;
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts_mut().into_iter().zip(other.counts()) {
            *mine += theirs;
        }
        if let Some((least, largest)) = other.range {
            let (mine, my_largest) = self.range.unwrap_or((least, largest));
            self.range = Some((mine.min(least), my_largest.max(largest)));
        }
        for (hash, rows) in &other.sketch {
            self.hashed(*hash, *rows);
        }
    }

    const COUNTS: [&'static str; 8] = [
        "rows",
        "nulls",
        "whole",
        "characters",
        "letters",
        "words",
        "of_words",
        "with_digit",
    ];

    fn counts(&self) -> [u64; 8] {
        [
            self.rows,
            self.nulls,
            self.whole,
            self.characters,
            self.letters,
            self.words,
            self.of_words,
            self.with_digit,
        ]
    }

    fn counts_mut(&mut self) -> [&mut u64; 8] {
        [
            &mut self.rows,
            &mut self.nulls,
            &mut self.whole,
            &mut self.characters,
            &mut self.letters,
            &mut self.words,
            &mut self.of_words,
            &mut self.with_digit,
        ]
    }
}

impl Content {
    /// The content of `column`.
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

    /// The content of the final state.
    ///
    /// # Errors
    /// `State` when it is not of this pass.
    pub fn fitted(state: &RecordBatch) -> Result<ColumnContent> {
        let bad = |why: &str| Error::State {
            pass: NAME,
            why: why.to_owned(),
        };
        if state.num_rows() != 1 {
            return Err(bad("it does not have one row"));
        }
        let mut content = ColumnContent::default();
        for (count, name) in content.counts_mut().into_iter().zip(ColumnContent::COUNTS) {
            *count = state_column::<UInt64Array>(state, name, NAME)?.value(0);
        }
        let limit = |name| -> Result<f64> { Ok(state_column::<Float64Array>(state, name, NAME)?.value(0)) };
        let (least, largest) = (limit("least")?, limit("largest")?);
        content.range = (least <= largest).then_some((least, largest));
        let (hashes, rows) = (listed(state, "hash", NAME)?, listed(state, "hash_rows", NAME)?);
        if hashes.len() != rows.len() || hashes.len() > SKETCHED || content.nulls > content.rows {
            return Err(bad("its counts contradict each other"));
        }
        content.sketch = hashes.into_iter().zip(rows).collect();
        Ok(content)
    }
}

impl Pass for Content {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        match schema.field_with_name(&self.column) {
            Ok(_) => Ok(vec![self.column.clone()]),
            Err(_) => Err(Error::missing_column(&self.column, schema)),
        }
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            column: self.column.clone(),
            content: ColumnContent::default(),
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self.column))
    }
}

struct Accumulator {
    column: String,
    content: ColumnContent,
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        self.content.add(find(batch, &self.column)?)
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        self.content.merge(&Content::fitted(state)?);
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let content = &self.content;
        let counts = ColumnContent::COUNTS.into_iter().zip(content.counts());
        let mut columns: Vec<(&str, ArrayRef)> = counts
            .map(|(name, count)| (name, Arc::new(UInt64Array::from(vec![count])) as _))
            .collect();
        let (least, largest) = content.range.unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
        let float = |value| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
        columns.extend([("least", float(least)), ("largest", float(largest))]);
        let (hashes, rows): (Vec<u64>, Vec<u64>) = content.sketch.iter().unzip();
        columns.extend([("hash", list(hashes)?), ("hash_rows", list(rows)?)]);
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    fn size(&self) -> usize {
        // A node of a B-tree is half to fully filled.
        size_of::<Self>() + self.column.capacity() + self.content.sketch.len() * 2 * size_of::<(u64, u64)>()
    }

    fn largest(&self) -> Share {
        Share {
            bytes: self.size(),
            what: format!("the content of column `{}`", self.column),
            way_out: "have fewer features".to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{BinaryArray, Int64Array, StringArray};

    use super::*;

    fn content(column: ArrayRef) -> ColumnContent {
        let batch = RecordBatch::try_from_iter_with_nullable([("a", column, true)]).unwrap();
        let mut all = Content::new("a").start();
        all.update(&batch).unwrap();
        Content::fitted(&all.state().unwrap()).unwrap()
    }

    #[test]
    fn a_content_counts_values_and_characters() {
        let texts = content(Arc::new(StringArray::from(vec![
            Some("Ana Ruiz"),
            Some("A-7"),
            None,
            Some("Ana Ruiz"),
        ])));
        assert_eq!((texts.rows, texts.nulls, texts.distinct()), (4, 1, 2));
        assert_eq!((texts.characters, texts.letters, texts.words), (19, 15, 5));
        assert_eq!((texts.of_words, texts.with_digit), (2, 1));
        assert!((texts.repeated() - 2.0 / 3.0).abs() < 1e-12);
        let numbers = [
            Some(0.0),
            Some(-0.0),
            Some(2.5),
            Some(f64::NAN),
            Some(f64::INFINITY),
            None,
        ];
        let numbers = content(Arc::new(Float64Array::from_iter(numbers)));
        assert_eq!((numbers.values(), numbers.distinct(), numbers.whole), (4, 3, 2));
        assert_eq!(numbers.range, Some((0.0, 2.5)));
        let bytes = content(Arc::new(BinaryArray::from_iter([Some(b"a"), None])));
        assert_eq!((bytes.values(), bytes.distinct()), (1, 0));
    }

    #[test]
    fn many_values_are_estimated_and_large_integers_told_apart() {
        for values in [4_095, 4_096, 100_000] {
            let large = (0..values).map(|n| i64::MAX - n);
            let found = content(Arc::new(Int64Array::from_iter_values(large)));
            let error = found.distinct() as f64 / values as f64 - 1.0;
            assert!(
                error.abs() <= if values < 4_096 { 0.0 } else { 0.05 },
                "{values}: {error}"
            );
            assert_eq!(found.repeated(), 0.0);
        }
        let twice = (0..50_000).map(|n: i64| n / 2);
        assert_eq!(
            content(Arc::new(Int64Array::from_iter_values(twice))).repeated(),
            1.0
        );
    }
}
