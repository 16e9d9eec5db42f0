//! The contract of encoders, over one of every feature.

use arrow::array::BinaryArray;
use gristmill_learn::Error;
use gristmill_learn::contract::step::{SparseBlock, StepSpec};
use proptest::prelude::*;

use super::*;

/// The spec as a bundle keeps it: settings as JSON text, arrays as they are.
fn stored(spec: &StepSpec) -> StepSpec {
    StepSpec {
        settings: serde_json::from_str(&spec.settings.to_string()).unwrap(),
        ..spec.clone()
    }
}

fn skip(block: &SparseBlock, row: usize) -> bool {
    block.skip.get(row).copied().unwrap_or(false)
}

fn check_block(feature: &Feature, block: &SparseBlock, rows: usize, width: u32) {
    assert_eq!(block.rows(), rows, "{feature:?}");
    assert!(block.skip.is_empty() || block.skip.len() == rows, "{feature:?}");
    assert_eq!(block.skip.is_empty(), !block.skip.contains(&true), "{feature:?}");
    assert_eq!(
        block.offsets.last().copied().unwrap() as usize,
        block.values.len(),
        "{feature:?}"
    );
    for row in 0..rows {
        let (indices, values) = block.row(row);
        assert!(
            indices.windows(2).all(|pair| pair[0] < pair[1]),
            "{feature:?}: {indices:?}"
        );
        assert!(
            indices.iter().all(|index| *index < width),
            "{feature:?}: {indices:?} of {width}"
        );
        assert!(
            values.iter().all(|value| value.is_finite() && *value != 0.0),
            "{feature:?}: {values:?}"
        );
    }
}

fn check_contract(feature: &Feature, train: &RecordBatch, test: &RecordBatch) {
    let encoder = fit(feature, train).unwrap();
    encoder.check(test.schema_ref()).unwrap();
    let inputs: Vec<_> = encoder
        .inputs()
        .iter()
        .map(|input| input.column.to_owned())
        .collect();
    assert_eq!(inputs, feature.columns());
    assert_eq!(encoder.kind(), feature.kind());
    assert_eq!(encoder.spec().kind, feature.kind());
    let names: std::collections::HashSet<_> = (0..encoder.width()).map(|index| encoder.name(index)).collect();
    assert_eq!(names.len(), encoder.width() as usize, "{feature:?}");

    let block = encoder.encode(test).unwrap();
    check_block(feature, &block, test.num_rows(), encoder.width());
    let rebuilt = built_in().encoder_from_spec(&stored(&encoder.spec())).unwrap();
    assert_eq!(rebuilt.encode(test).unwrap(), block, "{feature:?}");
    assert_eq!(rebuilt.width(), encoder.width(), "{feature:?}");

    for size in [1, 7] {
        for start in (0..test.num_rows()).step_by(size) {
            let part = test.slice(start, size.min(test.num_rows() - start));
            let part = encoder.encode(&part).unwrap();
            for row in 0..part.rows() {
                assert_eq!(part.row(row), block.row(start + row), "{feature:?}");
                assert_eq!(skip(&part, row), skip(&block, start + row), "{feature:?}");
            }
        }
    }
    let nulls = with_nulls(test, &feature.columns()[0]);
    check_block(
        feature,
        &encoder.encode(&nulls).unwrap(),
        test.num_rows(),
        encoder.width(),
    );
    check_block(
        feature,
        &encoder.encode(&test.slice(0, 0)).unwrap(),
        0,
        encoder.width(),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_encoder_keeps_the_contract(train in rows(0..30), test in rows(0..20)) {
        for feature in all_features() {
            check_contract(&feature, &batch(&train), &batch(&test));
        }
    }
}

fn example() -> RecordBatch {
    let row = |id, text: &str, number| Row {
        id: Some(id),
        text: Some(text.into()),
        number: Some(number),
        label: Some("x"),
    };
    batch(&[row(1, "a b", 1.0), row(2, "b", 2.5), row(3, "b", -4.0)])
}

#[test]
fn a_wrong_type_and_a_missing_column_are_named() {
    let train = example();
    for feature in all_features() {
        let encoder = fit(&feature, &train).unwrap();
        let column = &feature.columns()[0];
        let binary = Arc::new(BinaryArray::from_vec(vec![b"a", b"b", b"c"]));
        let wrong = with_column(&train, column, binary);
        for error in [
            encoder.check(wrong.schema_ref()).unwrap_err(),
            encoder.encode(&wrong).unwrap_err(),
            feature.pass().columns(wrong.schema_ref()).unwrap_err(),
            feature.pass().start().update(&wrong).unwrap_err(),
        ] {
            let message = error.to_string();
            let expected = format!(
                "column `{column}` has type Binary; {} needs ",
                encoder.spec().kind
            );
            assert!(message.starts_with(&expected), "{message}");
        }
        let missing = train.project(&[]).unwrap();
        for error in [
            encoder.check(missing.schema_ref()).unwrap_err(),
            encoder.encode(&missing).unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::MissingColumn { column: c, .. } if c == column),
                "{error}"
            );
        }
    }
}

#[test]
fn a_damaged_spec_is_refused() {
    let train = example();
    for feature in all_features() {
        let whole = fit(&feature, &train).unwrap().spec();
        for name in whole.arrays.keys() {
            let mut without = whole.clone();
            without.arrays.remove(name);
            let mut retyped = whole.clone();
            retyped
                .arrays
                .insert(name.clone(), Arc::new(BooleanArray::from(vec![true])));
            let mut shuffled = whole.clone();
            let twice = [whole.arrays[name].as_ref(), whole.arrays[name].as_ref()];
            shuffled
                .arrays
                .insert(name.clone(), arrow::compute::concat(&twice).unwrap());
            // Nothing twice is nothing.
            let shuffled = Some(shuffled).filter(|_| !whole.arrays[name].is_empty());
            for damaged in [without, retyped].into_iter().chain(shuffled) {
                let error = built_in().encoder_from_spec(&damaged).err().unwrap();
                assert!(matches!(error, Error::Spec { .. }), "{name}: {error}");
            }
        }
        let unnamed = StepSpec {
            settings: serde_json::json!({}),
            ..whole.clone()
        };
        let unknown = StepSpec {
            kind: "one_cold".into(),
            ..whole
        };
        for damaged in [unnamed, unknown] {
            assert!(matches!(
                built_in().encoder_from_spec(&damaged).err().unwrap(),
                Error::Spec { .. }
            ));
        }
    }
}
