//! The contract of passes, over every pass that fits.

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Float64Type};
use gristmill_learn::contract::pass::{Accumulate, Pass};
use gristmill_learn::encode::ngrams::Buckets;
use gristmill_learn::features::FitPipeline;
use gristmill_learn::settings::Rare;
use gristmill_learn::statistics::{Content, Extremes, Many, Moments, Quantiles, Vocabulary};
use proptest::prelude::*;

use super::*;

fn passes() -> Vec<(&'static str, Box<dyn Pass>)> {
    vec![
        ("vocabulary of text", Box::new(Vocabulary::new("text", "test"))),
        ("vocabulary of integers", Box::new(Vocabulary::new("id", "test"))),
        (
            "vocabulary of parts",
            Box::new(Vocabulary::of_parts("text", "test", "a")),
        ),
        (
            "buckets of values",
            Box::new(Buckets::of_values(&HashSettings {
                columns: vec!["text".into(), "id".into()],
                bits: 6,
                min_count: 1,
            })),
        ),
        ("content of text", Box::new(Content::new("text"))),
        ("content of numbers", Box::new(Content::new("number"))),
        ("content of flags", Box::new(Content::new("flag"))),
        ("moments", Box::new(Moments::new("number"))),
        ("extremes", Box::new(Extremes::new("number"))),
        ("quantiles", Box::new(Quantiles::new("number"))),
        (
            "quantiles in buckets",
            Box::new(Quantiles::exact_up_to("number", 5)),
        ),
        (
            "buckets",
            Box::new(Buckets::new(&NgramSettings {
                bits: 6,
                ..ngram("text")
            })),
        ),
        (
            "many",
            Box::new(Many::new(vec![
                Box::new(Moments::new("id")),
                Box::new(Many::new(vec![Box::new(Vocabulary::new("flag", "test"))])),
            ])),
        ),
        (
            "fit",
            Box::new(FitPipeline::new(&small_features(), &label(1, Rare::Drop), &split(), 3).into_pass()),
        ),
        (
            "fit of a regression",
            Box::new(
                FitPipeline::new(
                    &[Feature::new(one_hot("text"))],
                    &number_label("number"),
                    &split(),
                    3,
                )
                .into_pass(),
            ),
        ),
    ]
}

/// All features, but with n-gram counters that are quick to start.
fn small_features() -> Vec<Feature> {
    let small = |feature: Feature| {
        let mut settings = feature.settings();
        if let Some(bits) = settings.get_mut("bits") {
            *bits = bits.as_u64().unwrap().min(6).into();
        }
        let kinds = built_in();
        let mut kinds = kinds.encoders().iter();
        let kind = kinds.find(|kind| kind.name() == feature.kind()).unwrap();
        kind.feature(settings).unwrap()
    };
    all_features().into_iter().map(small).collect()
}

fn start(pass: &dyn Pass, rows: &[Row]) -> Box<dyn Accumulate> {
    let mut accumulator = pass.start();
    accumulator.update(&batch(rows)).unwrap();
    accumulator
}

fn merged(pass: &dyn Pass, states: &[&RecordBatch]) -> RecordBatch {
    let mut accumulator = pass.start();
    for state in states {
        accumulator.merge(state).unwrap();
    }
    accumulator.state().unwrap()
}

/// Equal but for the rounding of floats.
fn close(a: &dyn Array, b: &dyn Array) -> bool {
    if a.data_type() != b.data_type() || a.len() != b.len() {
        return false;
    }
    match a.data_type() {
        DataType::Float64 => {
            let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
            a.values()
                .iter()
                .zip(b.values())
                .all(|(a, b)| a == b || (a - b).abs() <= 1e-9 * (1.0 + a.abs()))
        }
        DataType::List(_) => {
            let (a, b) = (a.as_list::<i32>(), b.as_list::<i32>());
            a.offsets() == b.offsets() && close(a.values(), b.values())
        }
        DataType::Struct(_) => {
            let (a, b) = (a.as_struct(), b.as_struct());
            a.columns().iter().zip(b.columns()).all(|(a, b)| close(a, b))
        }
        _ => a.to_data() == b.to_data(),
    }
}

fn assert_close(name: &str, a: &RecordBatch, b: &RecordBatch) {
    let same = close(&StructArray::from(a.clone()), &StructArray::from(b.clone()));
    assert!(same, "{name}: {a:?} is not {b:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn update_does_not_see_how_rows_are_cut(rows in rows(0..40), size in 1usize..9) {
        for (name, pass) in passes() {
            let mut cut = pass.start();
            rows.chunks(size).for_each(|chunk| cut.update(&batch(chunk)).unwrap());
            prop_assert_eq!(cut.state().unwrap(), state(pass.as_ref(), &batch(&rows)), "{}", name);
        }
    }

    #[test]
    fn merge_is_associative_and_agrees_with_one_scan(a in rows(0..20), b in rows(0..20), c in rows(0..20)) {
        let all = [a.clone(), b.clone(), c.clone()].concat();
        for (name, pass) in passes() {
            let pass = pass.as_ref();
            let [a, b, c] = [&a, &b, &c].map(|rows| state(pass, &batch(rows)));
            let left = merged(pass, &[&merged(pass, &[&a, &b]), &c]);
            let right = merged(pass, &[&a, &merged(pass, &[&b, &c])]);
            assert_close(name, &left, &right);
            assert_close(name, &left, &state(pass, &batch(&all)));
        }
    }

    #[test]
    fn a_fresh_state_is_neutral(rows in rows(0..20)) {
        for (name, pass) in passes() {
            let fresh = pass.start().state().unwrap();
            let of_rows = start(pass.as_ref(), &rows).state().unwrap();
            prop_assert_eq!(&merged(pass.as_ref(), &[&fresh, &of_rows]), &of_rows, "{}", name);
            let mut after = start(pass.as_ref(), &rows);
            after.merge(&fresh).unwrap();
            prop_assert_eq!(&after.state().unwrap(), &of_rows, "{}", name);
        }
    }

    #[test]
    fn the_median_is_the_lower_middle_value(mut values in prop::collection::vec(-1e9f64..1e9, 1..60)) {
        let column = || Arc::new(Float64Array::from(values.clone())) as _;
        let exact = state(&Quantiles::new("x"), &table([("x", column())]));
        let bucketed = state(&Quantiles::exact_up_to("x", 0), &table([("x", column())]));
        values.sort_by(f64::total_cmp);
        let median = values[(values.len() - 1) / 2];
        prop_assert_eq!(Quantiles::median(&exact).unwrap(), Some(median));
        let near = Quantiles::median(&bucketed).unwrap().unwrap();
        prop_assert!((near - median).abs() <= median.abs() / 8192.0, "{} for {}", near, median);
    }
}

#[test]
fn columns_are_checked_before_the_scan() {
    let rows = batch(&[]);
    let renamed = |column: &str| {
        let columns = rows
            .schema()
            .fields()
            .iter()
            .filter(|f| f.name() != column)
            .cloned()
            .collect::<Vec<_>>();
        Schema::new(columns)
    };
    for (name, pass) in passes() {
        let columns = pass.columns(rows.schema_ref()).unwrap();
        assert!(!columns.is_empty(), "{name}");
        for column in columns {
            let message = pass.columns(&renamed(&column)).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("column `{column}` is not in the data")),
                "{name}: {message}"
            );
        }
    }
}

#[test]
fn a_foreign_state_is_refused() {
    let foreign = texts("something", [Some("else")]);
    for (name, pass) in passes() {
        let error = pass.start().merge(&foreign).unwrap_err();
        assert!(
            matches!(error, gristmill_learn::Error::State { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_vocabulary_counts_each_value_in_its_text_form() {
    let counts = state(
        &Vocabulary::new("c", "test"),
        &texts("c", [Some("b"), None, Some("a"), Some("b")]),
    );
    let expected = table([
        (
            "value",
            Arc::new(StringArray::from(vec![None, Some("a"), Some("b")])) as _,
        ),
        (
            "count",
            Arc::new(arrow::array::UInt64Array::from(vec![1, 1, 2])) as _,
        ),
    ]);
    assert_eq!(counts.columns(), expected.columns());
}
