//! How far the rows that a model is asked about are unlike those that it was trained on.

use std::fmt;

use arrow::array::RecordBatch;
use gristmill_learn::contract::step::SparseBlock;
use gristmill_learn::evaluate::unseen::has_any;
use gristmill_learn::features::Assembler;
use gristmill_learn::model::InputColumn;
use gristmill_learn::statistics::NumberProfile;

/// Rows in which a feature finds nothing that training had are too many from so many times their expected share on,
const TOO_MANY: f64 = 3.0;
/// where at least this share is expected.
const LEAST_EXPECTED: f64 = 0.01;

/// A column of nulls that comes with less than this chance, by the share of nulls in training, is unusual.
const LEAST_CHANCE: f64 = 0.001;

/// Rows with a value in which a feature finds nothing that the training rows had.
#[derive(Debug, Clone, PartialEq)]
pub struct Unseen {
    /// The column.
    pub column: String,
    /// The kind of the feature.
    pub encode: String,
    /// How many.
    pub rows: u64,
    /// And how many without a value.
    pub nulls: u64,
    /// Of so many.
    pub of: u64,
    /// The share to be expected: that of the validation rows, if there were any.
    pub expected: Option<f64>,
    /// The share of nulls in training.
    pub expected_nulls: f64,
}

/// Rows whose value lies outside the range of the training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Outside {
    /// The column.
    pub column: String,
    /// How many.
    pub rows: u64,
    /// The least value in training; days, or seconds since 1970-01-01 UTC, where these are dates or timestamps.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Unseen {
    /// Whether they are more than can be expected: all rows, or over three times the expected share.
    pub fn too_many(&self) -> bool {
        let expected = self.expected.unwrap_or(0.0);
        let share = self.rows as f64 / self.of as f64;
        // Some rows without a value are nothing unusual where training had such rows; a whole column of them is.
        let by_chance = self.expected_nulls.powf(self.of as f64) >= LEAST_CHANCE;
        let all = self.rows + self.nulls == self.of
            && expected + self.expected_nulls < 1.0
            && (self.rows > 0 || !by_chance);
        self.of > 0 && (all || share > TOO_MANY * expected.max(LEAST_EXPECTED))
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            column,
            encode,
            rows,
            nulls,
            of,
            ..
        } = self;
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let share = |rows: u64| percent(rows as f64 / *of as f64);
        write!(
            f,
            "in {} of the rows, column `{column}` has a value that {encode} did not find in the training rows",
            share(*rows)
        )?;
        match self.expected {
            Some(expected) => write!(f, " ({} expected)", percent(expected))?,
            None => write!(f, " (no validation rows say how many to expect)")?,
        }
        let expected = percent(self.expected_nulls);
        match nulls {
            0 => Ok(()),
            nulls => write!(f, "; it is null in {} ({expected} in training)", share(*nulls)),
        }
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            column,
            rows,
            min,
            max,
        } = self;
        write!(
            f,
            "in {rows} rows, column `{column}` lies outside the range of the training rows, {min} to {max}"
        )
    }
}

/// What is counted of each batch, and how.
pub(super) struct Comparison {
    features: Vec<Feature>,
    numbers: Vec<(String, NumberProfile)>,
}

struct Feature {
    column: String,
    encode: String,
    seen: std::ops::Range<u32>,
    expected: Option<f64>,
    expected_nulls: f64,
}

/// Rows counted in a batch, in the order of the comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counted {
    rows: u64,
    unseen: Vec<u64>,
    nulls: Vec<u64>,
    outside: Vec<u64>,
}

impl Comparison {
    /// With what a model says of its input. A model of an earlier format says nothing.
    pub(super) fn new(assembler: &Assembler, input: &[InputColumn]) -> Self {
        let profile = |name: &str| {
            let column = input.iter().find(|column| column.name == name)?;
            column.profile.as_ref()
        };
        let mut features = Vec::new();
        for (encoder, seen) in assembler.encoders().iter().zip(assembler.seen()) {
            let inputs = encoder.inputs();
            let (Some(seen), [read]) = (seen, inputs.as_slice()) else {
                continue;
            };
            if let Some(profile) = profile(read.column) {
                let expected_nulls = profile.nulls as f64 / profile.rows.max(1) as f64;
                let unseen = profile.unseen.get(encoder.kind());
                features.push(Feature {
                    column: read.column.to_owned(),
                    encode: encoder.kind().to_owned(),
                    seen,
                    // In validation, nulls are among them.
                    expected: unseen.map(|share| (share - expected_nulls).max(0.0)),
                    expected_nulls,
                });
            }
        }
        let numbers = input.iter().filter_map(|column| {
            let numbers = column.profile.as_ref()?.numbers.clone()?;
            Some((column.name.clone(), numbers))
        });
        Self {
            features,
            numbers: numbers.collect(),
        }
    }

    /// Counts the rows of a batch, given as the encoders read it and as they encoded it.
    pub(super) fn count(&self, read: &RecordBatch, block: &SparseBlock) -> gristmill_learn::Result<Counted> {
        let rows = read.num_rows();
        let (mut unseen, mut nulls) = (Vec::new(), Vec::new());
        for feature in &self.features {
            let column = read.column_by_name(&feature.column);
            let nothing = (0..rows).filter(|row| !has_any(block.row(*row).0, &feature.seen));
            let (null, value): (Vec<usize>, Vec<usize>) =
                nothing.partition(|row| column.is_some_and(|column| column.is_null(*row)));
            unseen.push(value.len() as u64);
            nulls.push(null.len() as u64);
        }
        let outside = self.numbers.iter().map(|(column, numbers)| {
            let column = read.column_by_name(column);
            column.map_or(Ok(0), |column| numbers.outside(column))
        });
        Ok(Counted {
            rows: rows as u64,
            unseen,
            nulls,
            outside: outside.collect::<gristmill_learn::Result<_>>()?,
        })
    }

    /// What all that was counted says.
    pub(super) fn told(&self, counted: &Counted) -> (Vec<Unseen>, Vec<Outside>) {
        let counts = counted.unseen.iter().zip(&counted.nulls);
        let unseen = self.features.iter().zip(counts);
        let unseen = unseen.map(|(feature, (rows, nulls))| Unseen {
            column: feature.column.clone(),
            encode: feature.encode.clone(),
            rows: *rows,
            nulls: *nulls,
            of: counted.rows,
            expected: feature.expected,
            expected_nulls: feature.expected_nulls,
        });
        let outside = self.numbers.iter().zip(&counted.outside);
        let outside = outside.map(|((column, numbers), rows)| Outside {
            column: column.clone(),
            rows: *rows,
            min: numbers.min,
            max: numbers.max,
        });
        (
            unseen
                .filter(|unseen| unseen.rows > 0 || unseen.too_many())
                .collect(),
            outside.filter(|outside| outside.rows > 0).collect(),
        )
    }
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        for (mine, more) in [
            (&mut self.nulls, other.nulls),
            (&mut self.unseen, other.unseen),
            (&mut self.outside, other.outside),
        ] {
            mine.resize(more.len().max(mine.len()), 0);
            mine.iter_mut().zip(more).for_each(|(mine, more)| *mine += more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_three_times_the_expected_share_is_too_many() {
        for (rows, nulls, of, expected, too_many) in [
            (0, 0, 100, Some(0.0), false),
            (3, 0, 100, Some(0.0), false),
            (4, 0, 100, Some(0.0), true),
            (30, 60, 100, Some(0.1), false),
            (31, 0, 100, Some(0.1), true),
            (99, 0, 100, Some(0.5), false),
            (100, 0, 100, Some(0.5), true),
            (1, 99, 100, Some(0.5), true),
            (0, 100, 100, Some(0.5), true),
            (0, 100, 100, Some(0.8), false),
            (0, 1, 1, Some(0.5), false),
            (0, 4, 4, Some(0.5), false),
            (0, 5, 5, Some(0.5), true),
            (1, 0, 1, None, true),
            (0, 0, 0, None, false),
        ] {
            let unseen = Unseen {
                column: String::new(),
                encode: String::new(),
                rows,
                nulls,
                of,
                expected,
                expected_nulls: 0.2,
            };
            assert_eq!(unseen.too_many(), too_many, "{unseen:?}");
        }
    }
}
