//! The split and the fold of every row, by a hash of its entity or as a column says: no row ever moves when others are added.

use arrow::array::{Array, Float64Array, RecordBatch};
use arrow::datatypes::Schema;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::contract::reads::{Reads, is_category};
use crate::contract::step::StepSpec;
use crate::error::{Error, Result};
use crate::features::entity::for_each_entity;
use crate::settings::SplitSettings;
use crate::statistics::column::{find, strings};

pub use crate::rows::{SPLIT_NAMES, Split};

/// The version of the assignment. Another one puts entities of some types on other sides, so features that were made by it are
/// made again. Version 1 hashed only integers by value.
pub const VERSION: u32 = 2;

/// Assigns entities to splits and folds.
#[derive(Debug, Clone)]
pub struct Splitter {
    settings: SplitSettings,
    folds: u32,
}

impl Splitter {
    /// A splitter into `folds` folds; 0 is taken as 1, and 256 is the most.
    pub fn new(settings: &SplitSettings, folds: u32) -> Self {
        Self {
            settings: settings.clone(),
            folds: folds.clamp(1, 256),
        }
    }

    /// The entity's column.
    pub fn column(&self) -> &str {
        &self.settings.by
    }

    /// The columns that it reads: the entity's, and the one that says the split, if one does.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        [Some(self.column()), self.settings.column.as_deref()]
            .into_iter()
            .flatten()
    }

    /// The column that says the split, if one does.
    pub fn said_by(&self) -> Option<&str> {
        self.settings.column.as_deref()
    }

    /// The number of folds.
    pub fn folds(&self) -> u32 {
        self.folds
    }

    /// Checks that the entity's column is there with a type that can be hashed.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        if let Some(column) = self.said_by() {
            Reads::Category.check(schema, column, "split.column")?;
        }
        let field = schema
            .field_with_name(self.column())
            .map_err(|_| Error::missing_column(self.column(), schema))?;
        let data_type = field.data_type();
        if is_category(data_type) || data_type.is_binary() {
            return Ok(());
        }
        Err(Error::ColumnType {
            column: self.column().to_owned(),
            step: "split.by".to_owned(),
            expected: "text, a number, a boolean, a date or binary",
            given: data_type.to_string(),
        })
    }

    /// The split (an index into [`SPLIT_NAMES`]) and the fold of every row.
    ///
    /// # Errors
    /// `UnknownSplit` when the column that says it says something else; else when a column is missing or has another type.
    pub fn of_rows(&self, batch: &RecordBatch) -> Result<(Vec<u8>, Vec<u8>)> {
        let (splits, folds) = self.assign(find(batch, self.column())?)?;
        let Some(column) = self.said_by() else {
            return Ok((splits, folds));
        };
        let said = strings(batch, column, Reads::Category, "split.column")?;
        let number = |said: Option<&str>| {
            let found = SPLIT_NAMES.iter().position(|name| Some(*name) == said);
            found.map(|split| split as u8).ok_or_else(|| Error::UnknownSplit {
                column: column.to_owned(),
                value: said.map_or("null".to_owned(), |said| format!("{said:?}")),
            })
        };
        Ok((said.iter().map(number).collect::<Result<_>>()?, folds))
    }

    /// The split (an index into [`SPLIT_NAMES`]) and the fold of every row, from its entity alone.
    ///
    /// Equal values are one entity whatever type holds them, and in their text too; NULL is one entity.
    pub fn assign(&self, column: &dyn Array) -> Result<(Vec<u8>, Vec<u8>)> {
        // A second seed makes the fold independent of the split.
        let fold_seed = xxh3_64_with_seed(b"fold", self.settings.seed);
        let mut splits = Vec::with_capacity(column.len());
        let mut folds = Vec::with_capacity(column.len());
        for_each_entity(column, |bytes| {
            splits.push(self.split(xxh3_64_with_seed(bytes, self.settings.seed)) as u8);
            let fold = u128::from(xxh3_64_with_seed(bytes, fold_seed)) * u128::from(self.folds);
            folds.push((fold >> 64) as u8);
        })?;
        Ok((splits, folds))
    }

    /// What it can be rebuilt from.
    pub fn spec(&self) -> StepSpec {
        let s = &self.settings;
        let mut settings = json!({"by": s.by, "seed": s.seed, "folds": self.folds, "version": VERSION});
        if let Some(column) = &s.column {
            settings["column"] = json!(column);
        }
        StepSpec::new("split", settings)
            .with("shares", Float64Array::from(vec![s.train, s.validation, s.test]))
    }

    /// The splitter that [`Splitter::spec`] described.
    pub fn from_spec(spec: &StepSpec) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Small {
            by: String,
            seed: u64,
            folds: u32,
            column: Option<String>,
        }
        let Small {
            by,
            seed,
            folds,
            column,
        } = spec.settings()?;
        let &[train, validation, test] = &spec.array::<Float64Array>("shares")?.values()[..] else {
            return Err(spec.bad("`shares` does not hold three numbers"));
        };
        if folds == 0
            || ![train, validation, test]
                .iter()
                .all(|share| (0.0..=1.0).contains(share))
        {
            return Err(spec.bad("its folds or shares are out of bounds"));
        }
        let settings = SplitSettings {
            by,
            train,
            validation,
            test,
            seed,
            column,
        };
        Ok(Self::new(&settings, folds))
    }

    fn split(&self, hash: u64) -> Split {
        let s = &self.settings;
        let point = (hash >> 11) as f64 / (1u64 << 53) as f64;
        if point < s.train {
            Split::Train
        } else if point < s.train + s.validation || s.test == 0.0 {
            // Without a test share, no rounding of the other two may leave a gap for it.
            Split::Validation
        } else {
            Split::Test
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, DictionaryArray, Int16Array, Int64Array, LargeStringArray, StringArray,
        StringViewArray,
    };
    use arrow::datatypes::Int8Type;

    use super::*;

    fn settings(train: f64, validation: f64, test: f64) -> SplitSettings {
        SplitSettings {
            by: "id".into(),
            train,
            validation,
            test,
            seed: 42,
            column: None,
        }
    }

    fn splitter() -> Splitter {
        Splitter::new(&settings(0.7, 0.15, 0.15), 3)
    }

    #[test]
    fn shares_are_kept_and_folds_are_independent_of_splits() {
        for ids in [
            Arc::new(Int64Array::from_iter_values(0..100_000)) as ArrayRef,
            Arc::new(Float64Array::from_iter_values(
                (0..100_000).map(|i| f64::from(i) + 0.25),
            )),
            Arc::new(StringArray::from_iter_values(
                (0..100_000).map(|i| format!("A{i}")),
            )),
        ] {
            shares_are_kept(&ids);
        }
    }

    fn shares_are_kept(ids: &dyn Array) {
        let (splits, folds) = splitter().assign(ids).unwrap();
        let share = |split: u8| splits.iter().filter(|s| **s == split).count() as f64 / 1e5;
        assert!((share(0) - 0.7).abs() < 0.01, "{}", share(0));
        assert!((share(1) - 0.15).abs() < 0.01, "{}", share(1));
        for fold in 0..3 {
            for (split, expected) in [(0, 0.7), (1, 0.15), (2, 0.15)] {
                let both = splits
                    .iter()
                    .zip(&folds)
                    .filter(|(s, f)| **s == split && **f == fold);
                let share = both.count() as f64 / 1e5;
                assert!((share - expected / 3.0).abs() < 0.01, "{split} {fold} {share}");
            }
        }
    }

    #[test]
    fn adding_rows_moves_none() {
        let before = splitter().assign(&Int64Array::from_iter_values((0..1000).map(|i| i * 2)));
        let after = splitter().assign(&Int64Array::from_iter_values(0..2000)).unwrap();
        let (splits, folds) = before.unwrap();
        for i in 0..1000 {
            assert_eq!((splits[i], folds[i]), (after.0[i * 2], after.1[i * 2]));
        }
    }

    /// One value of another kind turns a column of a CSV file into text.
    #[test]
    fn a_column_that_turns_into_text_moves_no_row() {
        let numbers = Int64Array::from_iter_values(1..2000);
        let (splits, folds) = splitter().assign(&numbers).unwrap();
        let floats: Float64Array = (1..2000).map(|i| Some(f64::from(i))).collect();
        assert_eq!(
            splitter().assign(&floats).unwrap(),
            (splits.clone(), folds.clone())
        );
        let texts = (1..2000).map(|i| i.to_string()).chain(["A2000".to_owned()]);
        let after = splitter().assign(&StringArray::from_iter_values(texts)).unwrap();
        assert_eq!((&after.0[..1999], &after.1[..1999]), (&splits[..], &folds[..]));
    }

    #[test]
    fn the_assignment_is_frozen() {
        // A change here moves rows of every dataset made before.
        let ids = splitter().assign(&Int64Array::from_iter_values(0..12)).unwrap();
        let texts = splitter()
            .assign(&StringArray::from(vec!["a", "b", "c", "", "é"]))
            .unwrap();
        assert_eq!(
            format!("{ids:?} {texts:?}"),
            "([0, 0, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0], [2, 2, 0, 2, 0, 1, 0, 0, 2, 1, 2, 0]) \
             ([0, 0, 0, 2, 2], [2, 2, 0, 0, 0])"
        );
    }

    #[test]
    fn one_value_is_one_entity_in_every_encoding() {
        let same = |arrays: Vec<ArrayRef>| {
            let all: Vec<_> = arrays.iter().map(|a| splitter().assign(a).unwrap()).collect();
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        };
        let numbers = [Some(1), None, Some(-300), Some(7)];
        same(vec![
            Arc::new(Int16Array::from_iter(numbers)),
            Arc::new(Int64Array::from_iter(numbers.map(|n| n.map(i64::from)))),
        ]);
        let texts = [Some("a"), None, Some("Zoë"), Some("a")];
        same(vec![
            Arc::new(StringArray::from_iter(texts)),
            Arc::new(LargeStringArray::from_iter(texts)),
            Arc::new(StringViewArray::from_iter(texts)),
            Arc::new(texts.into_iter().collect::<DictionaryArray<Int8Type>>()),
            Arc::new(BinaryArray::from_iter(texts)),
        ]);
    }

    #[test]
    fn a_share_of_zero_gets_no_rows_however_the_others_round() {
        let ids = Int64Array::from_iter_values(0..50_000);
        let (splits, _) = Splitter::new(&settings(0.9 - 1e-9, 0.1, 0.0), 0)
            .assign(&ids)
            .unwrap();
        assert!(splits.iter().all(|s| *s < 2));
    }

    #[test]
    fn a_column_says_the_split_and_entities_the_fold() {
        let splitter = Splitter::new(
            &SplitSettings {
                column: Some("set".into()),
                ..settings(0.7, 0.15, 0.15)
            },
            3,
        );
        let rows = |sets: Vec<Option<&str>>| {
            let ids = Int64Array::from_iter_values(0..sets.len() as i64);
            let sets = StringArray::from(sets);
            RecordBatch::try_from_iter_with_nullable([
                ("id", Arc::new(ids) as ArrayRef, true),
                ("set", Arc::new(sets) as _, true),
            ])
            .unwrap()
        };
        let said = rows(vec![
            Some("test"),
            Some("train"),
            Some("validation"),
            Some("train"),
        ]);
        splitter.check(said.schema_ref()).unwrap();
        for splitter in [Splitter::from_spec(&splitter.spec()).unwrap(), splitter.clone()] {
            let (splits, folds) = splitter.of_rows(&said).unwrap();
            assert_eq!(splits, [2, 0, 1, 0]);
            assert_eq!(folds, splitter.assign(said.column(0)).unwrap().1);
        }
        for (unknown, written) in [(Some("Train"), "\"Train\""), (None, "null")] {
            let error = splitter.of_rows(&rows(vec![Some("test"), unknown])).unwrap_err();
            let expected = format!("column `set` holds {written}, and split.column needs");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        let without = said.project(&[0]).unwrap();
        assert!(splitter.check(without.schema_ref()).is_err());
    }

    #[test]
    fn rebuilt_from_its_spec_it_assigns_alike() {
        let ids = Int64Array::from_iter_values(0..1000);
        let rebuilt = Splitter::from_spec(&splitter().spec()).unwrap();
        assert_eq!(rebuilt.assign(&ids).unwrap(), splitter().assign(&ids).unwrap());
    }
}
