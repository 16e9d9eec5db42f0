//! Categories by their labels: scikit-learn's numbers, and no row that is told its own label.

use arrow::array::{AsArray, UInt8Array};
use arrow::datatypes::{Float32Type, UInt8Type};
use gristmill_learn::contract::step::Transformer;
use gristmill_learn::features::FitPipeline;

use super::*;

fn target(column: &str, smooth: f64) -> TargetSettings {
    TargetSettings {
        columns: vec![column.into()],
        smooth,
    }
}

/// The features table of these rows, with 3 folds.
fn transformed(feature: &Feature, label: &LabelSettings, rows: &RecordBatch) -> RecordBatch {
    let pipeline = FitPipeline::new(std::slice::from_ref(feature), label, &split(), 3);
    let fitted = pipeline.fitted(&state(pipeline.pass(), rows)).unwrap();
    fitted.assembler.transform(rows).unwrap().rows
}

/// Split, fold and values of each row.
fn told(table: &RecordBatch) -> Vec<(u8, u8, Vec<f32>)> {
    let (splits, folds) = (
        table["split"].as_primitive::<UInt8Type>(),
        table["fold"].as_primitive::<UInt8Type>(),
    );
    let values = table["values"].as_list::<i32>();
    let of_row = |row: usize| {
        let values = values.value(row);
        let values = values.as_primitive::<Float32Type>().values().to_vec();
        (splits.value(row), folds.value(row), values)
    };
    (0..table.num_rows()).map(of_row).collect()
}

/// Rows of a category, an entity, a number and a class each; which is chance.
fn chance(categories: impl Fn(usize) -> String) -> RecordBatch {
    let rows: Vec<Row> = (0..900)
        .map(|id| {
            let chance = (id as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            Row {
                id: Some(id as i64),
                text: Some(categories(id)),
                number: Some((chance % 1000) as f64),
                label: Some(["x", "y", "z"][(chance % 3) as usize]),
            }
        })
        .collect();
    batch(&rows)
}

/// A category that has one row knows nothing but the label of that row. If it told, a training would be perfect and useless.
#[test]
fn categories_of_one_row_tell_a_training_nothing() {
    let rows = chance(|id| format!("c{id}"));
    for label in [label(1, Rare::Drop), number_label("number")] {
        for smooth in [0.0, 10.0] {
            let table = transformed(&Feature::new(target("text", smooth)), &label, &rows);
            assert_eq!(table.num_rows(), 900);
            for (split, fold, values) in told(&table) {
                assert_eq!(values, [] as [f32; 0], "{split} {fold}");
            }
        }
    }
}

#[test]
fn no_row_is_told_the_labels_of_its_fold() {
    let rows = chance(|id| format!("c{}", id % 7));
    let feature = Feature::new(target("text", 5.0));
    let label = number_label("number");
    let before = told(&transformed(&feature, &label, &rows));
    for changed in 0..3 {
        let numbers = before.iter().enumerate().map(|(row, (split, fold, _))| {
            let other = *split == 0 && *fold == changed;
            if other {
                1e6
            } else {
                rows["number"]
                    .as_primitive::<arrow::datatypes::Float64Type>()
                    .value(row)
            }
        });
        let other = with_column(&rows, "number", Arc::new(numbers.collect::<Float64Array>()));
        let after = told(&transformed(&feature, &label, &other));
        for ((split, fold, before), (.., after)) in before.iter().zip(&after) {
            let own = *split == 0 && *fold == changed;
            assert_eq!(before == after, own, "{split} {fold} {changed}");
        }
    }
}

/// A training row is encoded by the rows of the other folds, every other one by all training rows.
#[test]
fn the_numbers_are_those_of_the_other_folds() {
    let rows = chance(|id| format!("c{}", id % 5));
    let numbers = rows["number"].as_primitive::<arrow::datatypes::Float64Type>();
    let table = told(&transformed(
        &Feature::new(target("text", 3.0)),
        &number_label("number"),
        &rows,
    ));
    for (row, (split, fold, values)) in table.iter().enumerate() {
        let others = || {
            let all = table.iter().enumerate();
            all.filter(|(_, (s, f, _))| *s == 0 && (*split != 0 || f != fold))
                .map(|(other, _)| other)
        };
        let mean = others().map(|other| numbers.value(other)).sum::<f64>() / others().count() as f64;
        let alike = || others().filter(|other| other % 5 == row % 5);
        let sum: f64 = alike().map(|other| numbers.value(other) - mean).sum();
        let expected = sum / (alike().count() as f64 + 3.0);
        assert!(
            (f64::from(values[0]) - expected).abs() < 1e-4,
            "{row}: {values:?} {expected}"
        );
    }
}

/// Rare classes that are left out say nothing, and those that are one class are counted as it.
#[test]
fn rare_classes_are_counted_as_the_label_has_them() {
    let rows = chance(|id| format!("c{}", id % 2));
    let classes = rows["label"].as_string::<i32>();
    let rare = |row: usize| {
        if row.is_multiple_of(9) {
            Some("rare")
        } else {
            Some(classes.value(row))
        }
    };
    let with_rare = with_column(
        &rows,
        "label",
        Arc::new((0..900).map(rare).collect::<StringArray>()),
    );
    let feature = Feature::new(target("text", 0.0));
    let outputs = |rare| {
        let table = transformed(&feature, &label(100, rare), &with_rare);
        told(&table).into_iter().map(|(.., values)| values.len()).max()
    };
    assert_eq!((outputs(Rare::Drop), outputs(Rare::Other)), (Some(3), Some(4)));
    let dropped = told(&transformed(&feature, &label(100, Rare::Drop), &with_rare));
    let kept: Vec<bool> = (0..900).map(|row: usize| !row.is_multiple_of(9)).collect();
    let without = arrow::compute::filter_record_batch(&with_rare, &BooleanArray::from(kept)).unwrap();
    assert_eq!(
        dropped,
        told(&transformed(&feature, &label(1, Rare::Drop), &without))
    );
    for (.., values) in told(&transformed(&feature, &label(100, Rare::Other), &with_rare)) {
        assert!(
            values.iter().sum::<f32>().abs() < 1e-6,
            "shares beyond those of all sum to 0: {values:?}"
        );
    }
}

#[test]
fn what_is_null_is_a_category_and_what_is_new_is_none() {
    let rows = texts("c", [Some("a"), Some("a"), None, None, Some("")]);
    let labels: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 3.0, 8.0, 8.0, 0.0]));
    let train = answered(&rows, labels, UInt8Array::from(vec![0; 5]));
    let feature = Feature::new(target("c", 0.0));
    let to = FittedTo {
        classes: &[],
        folds: 1,
        rows: 5,
        rare: None,
    };
    let encoder = feature
        .fitted(&state(feature.pass().as_ref(), &train), &to)
        .unwrap();
    let block = encoder
        .encode(&texts("c", [Some("a"), None, Some(""), Some("new")]))
        .unwrap();
    assert_eq!(block.values, [-2.0, 4.0, -4.0]);
    assert_eq!(block.offsets, [0, 1, 2, 3, 3]);
}
