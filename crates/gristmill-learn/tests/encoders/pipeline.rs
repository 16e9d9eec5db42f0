//! The fit of a whole pipeline, and the assembler it gives.

use arrow::array::{AsArray, Int32Array};
use arrow::datatypes::{Float32Type, Int32Type, UInt8Type, UInt32Type};
use gristmill_learn::contract::pass::Pass;
use gristmill_learn::contract::step::{LeftOut, Transformer};
use gristmill_learn::features::Assembler;
use gristmill_learn::features::split::Splitter;
use gristmill_learn::features::{FitPipeline, Fitted};
use gristmill_learn::label::{Label, LabelIndexer};
use gristmill_learn::{Error, Result};

use super::*;

/// 400 rows of 200 entities: names tell the country, a language, a year with gaps; two countries are rare.
fn artists() -> RecordBatch {
    let ids = 0..400i64;
    let country = |id: i64| match id % 40 {
        0 => None,
        1 => Some("Malta"),
        3 => Some("Andorra"),
        n if n % 3 == 0 => Some("France"),
        _ => Some("Germany"),
    };
    let name = |id: i64| format!("{} {}", country(id).unwrap_or("?"), id % 7);
    let language = |id: i64| (id % 5 != 0).then(|| format!("l{}", id % 4));
    table([
        (
            "id",
            Arc::new(Int64Array::from_iter_values(ids.clone().map(|id| id / 2))) as _,
        ),
        (
            "name",
            Arc::new(StringArray::from_iter_values(ids.clone().map(name))),
        ),
        (
            "language",
            Arc::new(StringArray::from_iter(ids.clone().map(language))),
        ),
        (
            "year",
            Arc::new(Int32Array::from_iter(
                ids.clone().map(|id| (id % 3 > 0).then_some(1900 + id as i32)),
            )),
        ),
        ("label", Arc::new(StringArray::from_iter(ids.map(country)))),
    ])
}

fn features() -> Vec<Feature> {
    vec![
        Feature::new(one_hot("language")),
        Feature::new(ngram("name")),
        Feature::new(numeric("year", Impute::Median)),
    ]
}

fn fit_all(features: &[Feature], label: &LabelSettings, folds: u32, rows: &RecordBatch) -> Result<Fitted> {
    let pipeline = FitPipeline::new(features, label, &split(), folds);
    pipeline.pass().columns(rows.schema_ref()).unwrap();
    pipeline.fitted(&state(pipeline.pass(), rows))
}

fn fitted(label: &LabelSettings) -> Fitted {
    fit_all(&features(), label, 3, &artists()).unwrap()
}

fn error_of(label: &LabelSettings, rows: &RecordBatch) -> Error {
    fit_all(&features(), label, 3, rows).err().unwrap()
}

fn transformed(assembler: &Assembler, rows: &RecordBatch) -> (RecordBatch, LeftOut) {
    let transformed = assembler.transform(rows).unwrap();
    (transformed.rows, transformed.left_out)
}

#[test]
fn counts_are_of_all_rows_and_classes_of_training_rows() {
    let rows = artists();
    let (splits, _) = Splitter::new(&split(), 3).assign(rows.column(0)).unwrap();
    let labels = rows.column(4).as_string::<i32>();
    let count = |split: u8, class: Option<&str>| {
        splits
            .iter()
            .zip(labels)
            .filter(|(s, label)| **s == split && *label == class)
            .count() as u64
    };
    let fitted = fitted(&label(20, Rare::Drop));
    for split in 0..3u8 {
        assert_eq!(
            fitted.rows[split as usize],
            splits.iter().filter(|s| **s == split).count() as u64
        );
        assert_eq!(fitted.null_label[split as usize], count(split, None));
    }
    assert_eq!(fitted.assembler.classes(), ["Germany", "France"]);
    let Label::Class(indexer) = fitted.assembler.label() else {
        panic!("no classes")
    };
    assert_eq!(
        indexer.rows(),
        [count(0, Some("Germany")), count(0, Some("France"))]
    );
    assert_eq!(fitted.rare_classes, 2);
    assert_eq!(
        fitted.rare_rows,
        count(0, Some("Malta")) + count(0, Some("Andorra"))
    );
}

#[test]
fn nothing_is_learnt_from_rows_that_are_not_for_training() {
    let rows = artists();
    let (splits, _) = Splitter::new(&split(), 3).assign(rows.column(0)).unwrap();
    let poison = |column: &ArrayRef| -> ArrayRef {
        let values = column.as_string::<i32>().iter().zip(&splits);
        Arc::new(
            values
                .map(|(value, split)| if *split == 0 { value } else { Some("Zz") })
                .collect::<StringArray>(),
        )
    };
    let mut poisoned = rows.clone();
    for (index, column) in [(1, "name"), (2, "language"), (4, "label")] {
        poisoned = with_column(&poisoned, column, poison(rows.column(index)));
    }
    let label = label(1, Rare::Drop);
    let clean = fit_all(&features(), &label, 3, &rows).unwrap().assembler;
    let other = fit_all(&features(), &label, 3, &poisoned).unwrap().assembler;
    assert_eq!(format!("{:?}", clean.specs()), format!("{:?}", other.specs()));
}

#[test]
fn rows_are_labelled_joined_and_split() {
    let rows = artists();
    let assembler = fitted(&label(20, Rare::Drop)).assembler;
    let (out, left_out) = transformed(&assembler, &rows);
    assert_eq!(out.schema(), assembler.output_schema(rows.schema_ref()).unwrap());
    let expected = LeftOut {
        null_label: 10,
        rare_label: 20,
        unseen: 0,
    };
    assert_eq!(left_out, expected);
    assert_eq!(out.num_rows(), 370);

    let kept: BooleanArray = rows
        .column(4)
        .as_string::<i32>()
        .iter()
        .map(|l| Some(matches!(l, Some("France" | "Germany"))))
        .collect();
    let kept = arrow::compute::filter_record_batch(&rows, &kept).unwrap();
    let labels = out.column(0).as_primitive::<Int32Type>();
    for (number, class) in labels.values().iter().zip(kept.column(4).as_string::<i32>()) {
        assert_eq!(assembler.classes()[*number as usize], class.unwrap());
    }
    assert_eq!(out.column(5), kept.column(0));
    let (splits, folds) = Splitter::new(&split(), 3).assign(kept.column(0)).unwrap();
    assert_eq!(out.column(3).as_primitive::<UInt8Type>().values()[..], splits);
    assert_eq!(out.column(4).as_primitive::<UInt8Type>().values()[..], folds);

    // Each encoder's entries stand where its columns start.
    let (indices, values) = (out.column(1).as_list::<i32>(), out.column(2).as_list::<i32>());
    for row in 0..out.num_rows() {
        let (mut expected, mut start) = ((vec![], vec![]), 0);
        for encoder in assembler.encoders() {
            let block = encoder.encode(&kept.slice(row, 1)).unwrap();
            expected.0.extend(block.indices.iter().map(|index| index + start));
            expected.1.extend(block.values);
            start += encoder.width();
        }
        assert_eq!(
            indices.value(row).as_primitive::<UInt32Type>().values()[..],
            expected.0
        );
        assert_eq!(
            values.value(row).as_primitive::<Float32Type>().values()[..],
            expected.1
        );
        assert_eq!(start, assembler.width());
    }
    assert!(assembler.feature_name(0).starts_with("language=l"));
    assert_eq!(assembler.feature_name(4), "language=(unseen)");
    assert!(assembler.feature_name(5).starts_with("name#"));
    assert_eq!(assembler.feature_name(assembler.width() - 1), "year");
}

#[test]
fn the_result_is_the_same_for_any_cutting_and_rebuilt_elsewhere() {
    let rows = artists();
    let kinds = built_in();
    let weighed = |class_weight| LabelSettings {
        weight: Some("year".into()),
        class_weight: Some(class_weight),
        ..label(20, Rare::Other)
    };
    // Not the shortest decimal of any sum that JSON would keep.
    let each = ClassWeight::Each([("France".into(), 0.1 + 0.2), ("Germany".into(), 1e-300 / 3.0)].into());
    let balanced = LabelSettings {
        weight: None,
        ..weighed(ClassWeight::Balanced)
    };
    let full = with_column(&rows, "year", Arc::new(Int32Array::from_iter_values(0..400)));
    for (label, rows) in [
        (label(20, Rare::Other), &rows),
        (balanced, &rows),
        (weighed(each), &full),
        (number_label("year"), &full),
    ] {
        let features = &features()[..2];
        let assembler = fit_all(features, &label, 3, rows).unwrap().assembler;
        maps::map(&assembler, rows, &|spec| {
            Ok(Box::new(Assembler::from_spec(spec, &kinds)?))
        });
        let rebuilt = Assembler::from_spec(&assembler.spec(), &kinds).unwrap();
        assert_eq!(rebuilt.classes(), assembler.classes());

        let mut damaged = assembler.spec();
        damaged.arrays.retain(|name, _| !name.ends_with(".classes"));
        let whole = damaged.arrays.len() == assembler.spec().arrays.len();
        assert_eq!(Assembler::from_spec(&damaged, &kinds).is_ok(), whole);
    }
}

#[test]
fn prediction_needs_no_label_and_leaves_no_row_out() {
    let rows = artists();
    let skipping = OneHotSettings {
        unseen: Unseen::Skip,
        ..one_hot("language")
    };
    let features = [
        Feature::new(skipping),
        Feature::new(numeric("year", Impute::Mean)),
    ];
    let assembler = fit_all(&features, &label(1, Rare::Drop), 3, &rows)
        .unwrap()
        .assembler;
    let (out, left_out) = transformed(&assembler, &rows);
    assert!(left_out.unseen > 0);
    assert_eq!(out.num_rows() as u64 + left_out.unseen + left_out.null_label, 400);

    let bare = rows.project(&[2, 3]).unwrap();
    assembler.check_features(bare.schema_ref()).unwrap();
    let block = assembler.encode(&bare).unwrap();
    assert_eq!((block.rows(), block.skip.len()), (400, 400));
    for (row, language) in rows.column(2).as_string::<i32>().iter().enumerate() {
        assert_eq!(block.skip[row], language.is_none());
    }
    assert!(matches!(
        assembler.columns(bare.schema_ref()),
        Err(Error::MissingColumn { .. })
    ));
}

#[test]
fn labels_are_in_sparks_order_and_rare_ones_dropped_or_other() {
    let rows = texts(
        "label",
        [
            Some("b"),
            Some("a"),
            Some("c"),
            Some("a"),
            Some("b"),
            Some("d"),
            Some("other"),
        ],
    );
    let indexed = |min_rows, rare| {
        let settings = label(min_rows, rare);
        let indexer = LabelIndexer::fitted(&settings, &state(&LabelIndexer::pass(&settings), &rows)).unwrap();
        let test = texts("label", [Some("c"), None, Some("new"), Some("a"), Some("other")]);
        let (index, nulls) = indexer.index(&test).unwrap();
        assert_eq!(nulls, 1);
        let rebuilt = LabelIndexer::from_spec(&indexer.spec()).unwrap();
        assert_eq!(rebuilt.index(&test).unwrap().0, index);
        (
            indexer.classes().to_vec(),
            indexer.rows().to_vec(),
            index.iter().collect::<Vec<_>>(),
        )
    };
    let strings = |classes: &[&str]| classes.iter().map(|class| class.to_string()).collect::<Vec<_>>();
    assert_eq!(
        indexed(1, Rare::Drop),
        (
            strings(&["a", "b", "c", "d", "other"]),
            vec![2, 2, 1, 1, 1],
            // A class that training never saw stays, as one that no prediction can be right about.
            vec![Some(2), None, Some(-1), Some(0), Some(4)]
        )
    );
    assert_eq!(
        indexed(2, Rare::Drop),
        (
            strings(&["a", "b"]),
            vec![2, 2],
            vec![None, None, None, Some(0), None]
        )
    );
    // A class "other" of its own, rare or not, is not mixed with the rare ones.
    let refused = |min_rows| {
        let settings = label(min_rows, Rare::Other);
        LabelIndexer::fitted(&settings, &state(&LabelIndexer::pass(&settings), &rows)).unwrap_err()
    };
    assert!(
        matches!(refused(2), Error::OtherExists { rows: 1, .. }),
        "{}",
        refused(2)
    );
    assert!(
        matches!(refused(1), Error::OtherExists { rows: 1, .. }),
        "{}",
        refused(1)
    );
    // Without it the two rare classes are together as frequent as the others.
    let rows = rows.slice(0, rows.num_rows() - 1);
    let settings = label(2, Rare::Other);
    let indexer = LabelIndexer::fitted(&settings, &state(&LabelIndexer::pass(&settings), &rows)).unwrap();
    assert_eq!(indexer.classes(), strings(&["a", "b", "other"]));
    let test = texts("label", [Some("c"), None, Some("new"), Some("a")]);
    let index = indexer.index(&test).unwrap().0;
    assert_eq!(
        index.iter().collect::<Vec<_>>(),
        [Some(2), None, Some(2), Some(0)]
    );
    // Nor where only rows to test with have it.
    let of_its_own = texts("label", [Some("a"), Some("other")]);
    let refused = indexer.index(&of_its_own).unwrap_err();
    assert!(matches!(refused, Error::OtherExists { rows: 1, .. }), "{refused}");
}

#[test]
fn a_class_with_fewer_rows_than_folds_is_named() {
    let rows = artists();
    let fewer = |folds| {
        fit_all(&features(), &label(1, Rare::Drop), folds, &rows)
            .unwrap()
            .fewer_rows_than_folds
    };
    assert!(matches!(fewer(9), Some((_, rows)) if rows < 9));
    assert_eq!(fewer(2), None);
}

#[test]
fn labels_that_cannot_be_learnt_are_refused() {
    let rows = artists();
    let all_null = error_of(&label(1, Rare::Drop), &with_nulls(&rows, "label"));
    assert!(
        matches!(all_null, Error::LabelAllNull { rows, .. } if rows > 200),
        "{all_null}"
    );
    let one = error_of(&label(100, Rare::Drop), &rows).to_string();
    assert!(
        one.starts_with("label `label` has one class (\"Germany\") with at least min_rows = 100"),
        "{one}"
    );
    let none = error_of(&label(1000, Rare::Drop), &rows).to_string();
    assert!(none.starts_with("label `label` has no class"), "{none}");
    let one_other = error_of(&label(1000, Rare::Other), &rows);
    assert!(matches!(one_other, Error::TooFewClasses { .. }), "{one_other}");
    let empty = error_of(&label(1, Rare::Drop), &rows.slice(0, 0));
    assert!(matches!(empty, Error::EmptySplit { .. }), "{empty}");
    let untyped = with_column(&rows, "label", Arc::new(arrow::array::NullArray::new(400)));
    assert!(matches!(
        error_of(&label(1, Rare::Drop), &untyped),
        Error::LabelAllNull { .. }
    ));
}
