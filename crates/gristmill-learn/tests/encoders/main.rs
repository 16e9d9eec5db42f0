//! Fits and encoders, each against one battery of contracts, scikit-learn's results and hand-made cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod choose;
mod contract;
mod features;
mod goldens;
#[path = "../support/maps.rs"]
mod maps;
mod out_of_fold;
mod passes;
mod pipeline;
mod target;
#[path = "../support/ways.rs"]
mod ways;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, UInt8Array,
};
use arrow::datatypes::{DataType, Field, Schema};
use gristmill_learn::contract::encoder::{Encoder, Feature, FittedTo};
use gristmill_learn::contract::pass::Pass;
use gristmill_learn::encode::{
    Analyzer, BucketSettings, DatePart, DatePartsSettings, HashSettings, Impute, MultiHotSettings,
    NgramSettings, Norm, Normalize, NumericSettings, OneHotSettings, Scaling, TargetSettings, Unseen,
    Weighting,
};
use gristmill_learn::registry::{built_in, built_in as kinds};
use gristmill_learn::settings::*;
use gristmill_learn::statistics::Transform;
use proptest::prelude::*;

/// A row of the columns that the batteries read.
#[derive(Debug, Clone)]
struct Row {
    id: Option<i64>,
    text: Option<String>,
    number: Option<f64>,
    label: Option<&'static str>,
}

/// Rows with repeated and missing values of every kind.
fn rows(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Row>> {
    let id = prop::option::of(-9i64..9);
    let text = prop::option::of(prop_oneof!["[ab ]{0,4}", "\\PC{0,6}"]);
    let number = prop_oneof![
        1 => Just(None),
        1 => Just(Some(f64::NAN)),
        4 => (-8000i32..8000).prop_map(|n| Some(f64::from(n) / 8.0)),
        4 => (-3i32..3).prop_map(|n| Some(f64::from(n))),
    ];
    let label = prop::option::of(prop::sample::select(vec!["x", "y", "z"]));
    let row = (id, text, number, label).prop_map(|(id, text, number, label)| Row {
        id,
        text,
        number,
        label,
    });
    prop::collection::vec(row, count)
}

/// The rows as a batch, with a few columns of other types made from the same values.
fn batch(rows: &[Row]) -> RecordBatch {
    let ids = || rows.iter().map(|row| row.id);
    table([
        ("id", Arc::new(Int64Array::from_iter(ids())) as _),
        (
            "text",
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.text.as_deref()))),
        ),
        (
            "number",
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.number))),
        ),
        (
            "label",
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.label))),
        ),
        (
            "flag",
            Arc::new(BooleanArray::from_iter(ids().map(|id| id.map(|id| id > 2)))),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter(
                ids().map(|id| id.map(|id| id as i32 * 1000)),
            )),
        ),
    ])
}

/// A batch whose columns are all nullable, so that its schema does not depend on its values.
fn table<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.map(|(_, column)| column).to_vec()).unwrap()
}

/// A batch of one text column.
fn texts<const N: usize>(column: &str, values: [Option<&str>; N]) -> RecordBatch {
    table([(column, Arc::new(StringArray::from_iter(values)) as _)])
}

/// `batch` with `column` all null.
fn with_nulls(batch: &RecordBatch, column: &str) -> RecordBatch {
    let nulls = arrow::array::new_null_array(
        batch.column_by_name(column).unwrap().data_type(),
        batch.num_rows(),
    );
    with_column(batch, column, nulls)
}

/// `batch` with `column` replaced.
fn with_column(batch: &RecordBatch, column: &str, values: ArrayRef) -> RecordBatch {
    let index = batch.schema().index_of(column).unwrap();
    let mut fields: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    fields[index] = Field::new(column, values.data_type().clone(), true);
    let mut columns = batch.columns().to_vec();
    columns[index] = values;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// The state of a pass over one batch.
fn state(pass: &dyn Pass, batch: &RecordBatch) -> RecordBatch {
    ways::fold(pass, std::slice::from_ref(batch)).unwrap()
}

/// The rows beside their labels and folds, as a fit gives them to what asks for these.
fn answered(rows: &RecordBatch, labels: ArrayRef, folds: UInt8Array) -> RecordBatch {
    let mut fields = rows.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(
        "label of the row",
        labels.data_type().clone(),
        true,
    )));
    fields.push(Arc::new(Field::new("fold of the row", DataType::UInt8, false)));
    let columns = rows
        .columns()
        .iter()
        .cloned()
        .chain([labels, Arc::new(folds) as _]);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect()).unwrap()
}

/// The encoder of a feature, fitted on one batch.
fn fit(feature: &Feature, batch: &RecordBatch) -> gristmill_learn::Result<Box<dyn Encoder>> {
    let to = FittedTo {
        classes: &[],
        folds: 3,
        rows: batch.num_rows() as u64,
        rare: None,
    };
    let rows = 0..batch.num_rows();
    let labels = Arc::new(Float64Array::from_iter_values(rows.clone().map(|row| row as f64)));
    let folds = UInt8Array::from_iter_values(rows.map(|row| (row % 3) as u8));
    let batch = match feature.sees_answers() {
        true => &answered(batch, labels, folds),
        false => batch,
    };
    feature.fitted(&state(feature.pass().as_ref(), batch), &to)
}

fn one_hot(column: &str) -> OneHotSettings {
    OneHotSettings {
        column: column.into(),
        unseen: Unseen::Keep,
        min_count: 1,
        max_categories: 100_000,
        scale: Scale::None,
    }
}

fn ngram(column: &str) -> NgramSettings {
    NgramSettings {
        column: column.into(),
        range: (1, 3),
        bits: 18,
        analyzer: Analyzer::Char,
        lowercase: true,
        normalize: Normalize::Nfc,
        weighting: Weighting::Tf,
        sublinear_tf: false,
        smooth_idf: true,
        norm: Norm::L2,
        min_count: 1,
    }
}

fn numeric(column: &str, impute: Impute) -> NumericSettings {
    NumericSettings {
        column: column.into(),
        impute,
        missing_indicator: false,
        transform: Transform::None,
        scale: Scaling::Standard,
    }
}

/// A number to learn.
fn number_label(column: &str) -> LabelSettings {
    LabelSettings {
        column: column.into(),
        kind: LabelKind::Number,
        ..label(1, Rare::Drop)
    }
}

fn label(min_rows: u64, rare: Rare) -> LabelSettings {
    LabelSettings {
        kind: LabelKind::Class,
        column: "label".into(),
        min_rows,
        rare,
        weight: None,
        class_weight: None,
    }
}

fn split() -> SplitSettings {
    SplitSettings {
        by: "id".into(),
        train: 0.7,
        validation: 0.15,
        test: 0.15,
        seed: 42,
        column: None,
    }
}

/// One of every feature, and of every setting that changes its ways.
fn all_features() -> Vec<Feature> {
    let standard = |unseen, min_count| {
        Feature::new(OneHotSettings {
            unseen,
            min_count,
            scale: Scale::Standard,
            ..one_hot("text")
        })
    };
    let mut all = vec![
        Feature::new(one_hot("text")),
        Feature::new(one_hot("id")),
        Feature::new(one_hot("flag")),
        Feature::new(one_hot("day")),
        Feature::new(one_hot("number")),
        standard(Unseen::Keep, 1),
        standard(Unseen::Keep, 2),
        standard(Unseen::Skip, 2),
        Feature::new(ngram("text")),
        Feature::new(NgramSettings {
            bits: 4,
            min_count: 2,
            ..ngram("text")
        }),
        Feature::new(NgramSettings {
            analyzer: Analyzer::CharWb,
            norm: Norm::None,
            lowercase: false,
            range: (2, 4),
            ..ngram("text")
        }),
        Feature::new(NgramSettings {
            analyzer: Analyzer::Word,
            range: (1, 2),
            normalize: Normalize::Nfkc,
            weighting: Weighting::TfIdf,
            sublinear_tf: true,
            ..ngram("text")
        }),
        Feature::new(NgramSettings {
            analyzer: Analyzer::Word,
            bits: 3,
            normalize: Normalize::None,
            weighting: Weighting::TfIdf,
            smooth_idf: false,
            norm: Norm::None,
            ..ngram("text")
        }),
        Feature::new(NgramSettings {
            weighting: Weighting::Binary,
            norm: Norm::None,
            ..ngram("text")
        }),
    ];
    for scale in [Scaling::MinMax, Scaling::MaxAbs, Scaling::Robust, Scaling::None] {
        for (transform, impute) in [
            (Transform::None, Impute::Constant(-700.0)),
            (Transform::Log1p, Impute::Mean),
            (Transform::Sqrt, Impute::Median),
        ] {
            all.push(Feature::new(NumericSettings {
                scale,
                transform,
                missing_indicator: transform != Transform::Sqrt,
                ..numeric("number", impute)
            }));
        }
    }
    all.extend([("text", 18), ("id", 3), ("number", 24)].map(|(column, bits)| {
        Feature::new(HashSettings {
            columns: vec![column.into()],
            bits,
            min_count: 1,
        })
    }));
    all.push(Feature::new(HashSettings {
        columns: vec!["text".into(), "id".into(), "flag".into()],
        bits: 10,
        min_count: 2,
    }));
    all.extend([(",", 1), ("a", 2)].map(|(separator, min_count)| {
        Feature::new(MultiHotSettings {
            column: "text".into(),
            separator: separator.into(),
            min_count,
            max_categories: 100,
        })
    }));
    all.extend(
        [
            ("number", None),
            ("id", None),
            ("flag", None),
            ("day", Some(vec![-0.5, 1e3])),
        ]
        .map(|(column, bounds)| {
            Feature::new(BucketSettings {
                column: column.into(),
                quantiles: 4,
                bounds,
            })
        }),
    );
    all.extend(
        [
            (vec![DatePart::Year, DatePart::Month, DatePart::Weekday], false),
            (vec![DatePart::Hour, DatePart::Elapsed], true),
            (vec![DatePart::Hour], true),
        ]
        .map(|(parts, missing_indicator)| {
            Feature::new(DatePartsSettings {
                column: "day".into(),
                parts,
                missing_indicator,
            })
        }),
    );
    all.extend(
        [
            (vec!["text"], 0.0),
            (vec!["id"], 2.5),
            (vec!["text", "flag"], 10.0),
        ]
        .map(|(columns, smooth)| {
            Feature::new(TargetSettings {
                columns: columns.into_iter().map(String::from).collect(),
                smooth,
            })
        }),
    );
    for impute in [Impute::Mean, Impute::Median, Impute::Constant(-1.5)] {
        all.extend(["number", "id", "flag", "day"].map(|column| Feature::new(numeric(column, impute))));
    }
    all
}
