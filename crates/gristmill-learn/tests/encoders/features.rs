//! What single encoders do, worked out by hand.

use arrow::array::{
    Decimal128Array, DictionaryArray, Int8Array, LargeStringArray, NullArray, StringViewArray,
};
use arrow::array::{TimestampMicrosecondArray, TimestampMillisecondArray, TimestampSecondArray};
use arrow::datatypes::Int32Type;
use gristmill_learn::Error;
use gristmill_learn::contract::step::SparseBlock;

use super::*;

fn one_hot_of(settings: OneHotSettings, train: &RecordBatch) -> Box<dyn Encoder> {
    fit(&Feature::new(settings), train).unwrap()
}

fn languages() -> RecordBatch {
    texts(
        "l",
        [
            Some("de"),
            Some("fr"),
            Some("en"),
            None,
            Some("en"),
            Some("fr"),
            Some("it"),
            Some("en"),
        ],
    )
}

fn names(encoder: &dyn Encoder) -> Vec<String> {
    (0..encoder.width()).map(|index| encoder.name(index)).collect()
}

/// Each row as (column, value) pairs.
fn entries(block: &SparseBlock) -> Vec<Vec<(u32, f32)>> {
    let row = |row| {
        let (indices, values) = block.row(row);
        indices.iter().copied().zip(values.iter().copied()).collect()
    };
    (0..block.rows()).map(row).collect()
}

#[test]
fn categories_are_in_sparks_order_and_the_unseen_slot_is_last() {
    let encoder = one_hot_of(one_hot("l"), &languages());
    assert_eq!(
        names(encoder.as_ref()),
        ["l=en", "l=fr", "l=de", "l=it", "l=(unseen)"]
    );
    let block = encoder
        .encode(&texts("l", [Some("it"), None, Some("xx"), Some("en")]))
        .unwrap();
    assert_eq!(entries(&block), [[(3, 1.0)], [(4, 1.0)], [(4, 1.0)], [(0, 1.0)]]);
}

#[test]
fn rare_categories_are_pruned_into_the_unseen_slot() {
    let settings = OneHotSettings {
        min_count: 2,
        ..one_hot("l")
    };
    let encoder = one_hot_of(settings, &languages());
    assert_eq!(names(encoder.as_ref()), ["l=en", "l=fr", "l=(unseen)"]);
    assert_eq!(
        entries(&encoder.encode(&texts("l", [Some("de")])).unwrap()),
        [[(2, 1.0)]]
    );
}

#[test]
fn skip_flags_the_row_and_error_names_the_category() {
    let with = |unseen| {
        let settings = OneHotSettings {
            unseen,
            ..one_hot("l")
        };
        one_hot_of(settings, &languages())
    };
    let skip = with(Unseen::Skip);
    assert_eq!(skip.width(), 4);
    let block = skip.encode(&texts("l", [Some("en"), None, Some("xx")])).unwrap();
    assert_eq!(block.skip, [false, true, true]);
    assert_eq!(entries(&block), [vec![(0, 1.0)], vec![], vec![]]);
    assert!(skip.encode(&texts("l", [Some("en")])).unwrap().skip.is_empty());

    let error = with(Unseen::Error);
    for (value, written) in [(Some("xx"), "\"xx\""), (None, "null")] {
        let message = error.encode(&texts("l", [value])).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("column `l` holds {written}, a category that was not")),
            "{message}"
        );
    }
}

#[test]
fn scaled_categories_hold_one_over_their_deviation() {
    let settings = OneHotSettings {
        scale: Scale::Standard,
        ..one_hot("l")
    };
    let encoder = one_hot_of(settings.clone(), &languages());
    let block = encoder
        .encode(&texts("l", [Some("en"), Some("fr"), Some("it"), None]))
        .unwrap();
    // The unbiased deviation of a 0/1 column with c ones in 8 rows is sqrt(c (8 - c) / 56).
    for (value, ones) in block.values.iter().zip([3.0, 2.0, 1.0, 1.0f64]) {
        let expected = 1.0 / (ones * (8.0 - ones) / 56.0).sqrt();
        assert!((f64::from(*value) - expected).abs() < 1e-6, "{value} {expected}");
    }
    // A constant column deviates by 0 and is left out, as is the slot that no training row fills.
    let constant = one_hot_of(settings, &texts("l", [Some("en"), Some("en")]));
    let block = constant.encode(&texts("l", [Some("en"), None])).unwrap();
    assert_eq!((constant.width(), entries(&block)), (2, vec![vec![], vec![]]));
}

#[test]
fn too_many_categories_are_refused() {
    let settings = OneHotSettings {
        max_categories: 3,
        ..one_hot("l")
    };
    let error = fit(&Feature::new(settings), &languages()).err().unwrap();
    assert!(
        matches!(
            error,
            Error::TooManyCategories {
                given: 4,
                allowed: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn text_is_read_alike_in_every_encoding() {
    let values = [Some("Ann"), None, Some("Zoë"), Some("Ann")];
    let plain = texts("c", values);
    let others: [ArrayRef; 3] = [
        Arc::new(LargeStringArray::from_iter(values)),
        Arc::new(StringViewArray::from_iter(values)),
        Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>()),
    ];
    for feature in [Feature::new(one_hot("c")), Feature::new(ngram("c"))] {
        let encoder = fit(&feature, &plain).unwrap();
        for other in &others {
            let other = with_column(&plain, "c", other.clone());
            assert_eq!(encoder.encode(&other).unwrap(), encoder.encode(&plain).unwrap());
            let refitted = fit(&feature, &other).unwrap();
            assert_eq!(refitted.encode(&plain).unwrap(), encoder.encode(&plain).unwrap());
        }
        let untyped = with_column(&plain, "c", Arc::new(NullArray::new(4)));
        assert_eq!(encoder.encode(&untyped).unwrap().rows(), 4);
    }
}

#[test]
fn only_buckets_that_enough_training_rows_fill_are_columns() {
    let train = texts("n", [Some("aa"), Some("ab"), None, Some("c")]);
    let settings = |min_count| NgramSettings {
        range: (1, 1),
        norm: Norm::None,
        min_count,
        ..ngram("n")
    };
    let all = fit(&Feature::new(settings(1)), &train).unwrap();
    assert_eq!(all.width(), 3);
    // Two rows hold an "a"; how often one of them does counts for nothing here.
    let shared = fit(&Feature::new(settings(2)), &train).unwrap();
    assert_eq!(shared.width(), 1);
    let block = shared
        .encode(&texts("n", [Some("Aba"), Some("bz"), None]))
        .unwrap();
    assert_eq!(entries(&block), [vec![(0, 2.0)], vec![], vec![]]);
}

#[test]
fn unit_length_is_over_the_entries_that_are_kept() {
    let settings = NgramSettings {
        range: (1, 1),
        ..ngram("n")
    };
    let encoder = fit(&Feature::new(settings), &texts("n", [Some("ab")])).unwrap();
    let block = encoder.encode(&texts("n", [Some("abbzzzzz")])).unwrap();
    let square: f32 = block.values.iter().map(|value| value * value).sum();
    assert_eq!(block.values.len(), 2);
    assert!((square - 1.0).abs() < 1e-6);
}

#[test]
fn dates_are_days_and_timestamps_seconds() {
    let unscaled = |column: ArrayRef| {
        let rows = table([("x", column)]);
        let settings = NumericSettings {
            scale: Scaling::None,
            ..numeric("x", Impute::Constant(0.0))
        };
        fit(&Feature::new(settings), &rows)
            .unwrap()
            .encode(&rows)
            .unwrap()
            .values
    };
    assert_eq!(unscaled(Arc::new(Date32Array::from(vec![10, -1]))), [10.0, -1.0]);
    assert_eq!(
        unscaled(Arc::new(arrow::array::Date64Array::from(vec![86_400_000 * 3]))),
        [3.0]
    );
    assert_eq!(unscaled(Arc::new(TimestampSecondArray::from(vec![90]))), [90.0]);
    let micros = TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("Europe/Vienna");
    assert_eq!(unscaled(Arc::new(micros.clone())), [1.5]);
    let decimals = Decimal128Array::from(vec![125, -50])
        .with_precision_and_scale(10, 2)
        .unwrap();
    assert_eq!(unscaled(Arc::new(decimals)), [1.25, -0.5]);
    assert_eq!(unscaled(Arc::new(Int8Array::from(vec![-3]))), [-3.0]);
    assert_eq!(unscaled(Arc::new(BooleanArray::from(vec![true]))), [1.0]);

    // As a category, an instant is the same in every time zone.
    let encoder = one_hot_of(one_hot("x"), &table([("x", Arc::new(micros) as _)]));
    assert_eq!(encoder.name(0), "x=1970-01-01T00:00:01.500");
}

#[test]
fn nan_is_missing_and_infinity_is_an_error_at_once() {
    let column = |values: Vec<f64>| table([("x", Arc::new(Float64Array::from(values)) as _)]);
    let feature = Feature::new(numeric("x", Impute::Mean));
    let encoder = fit(&feature, &column(vec![1.0, f64::NAN, 3.0])).unwrap();
    assert_eq!(
        entries(&encoder.encode(&column(vec![f64::NAN, 3.0])).unwrap()),
        [vec![], vec![(0, 1.0)]]
    );
    for bad in [f64::INFINITY, f64::NEG_INFINITY, 1e200] {
        let rows = column(vec![1.0, bad]);
        for error in [
            feature.pass().start().update(&rows).unwrap_err(),
            encoder.encode(&rows).unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::NotFinite { column, value, .. } if column == "x" && *value == bad),
                "{error}"
            );
        }
    }
    // A value whose scaled form is beyond the entries' type is refused as well.
    assert!(matches!(
        encoder.encode(&column(vec![1e40])),
        Err(Error::NotFinite { .. })
    ));
}

/// A few numbers far from the others make the deviation large: what becomes equal is counted.
#[test]
fn numbers_of_two_sizes_that_single_precision_makes_equal_are_refused() {
    let with_none = |none: f64, values: &dyn Fn(u32) -> f64| -> ArrayRef {
        let value = |i: u32| if i.is_multiple_of(2) { none } else { values(i) };
        Arc::new(Float64Array::from_iter_values((0..2000).map(value)))
    };
    for (column, merged) in [
        (with_none(0.0, &|i| 1.7e9 + f64::from(i)), Some((1001, 1000))),
        (
            with_none(-1.0, &|i| 1.7e12 + 1e3 * f64::from(i)),
            Some((1001, 1000)),
        ),
        (with_none(0.0, &|i| 2e7 + f64::from(i)), Some((1001, 998))),
        (with_none(0.0, &|i| 1.7e9 + 86_400.0 * f64::from(i)), None),
        (with_none(0.0, &|i| 1.0 + f64::from(i) / 1999.0), None),
        (with_none(1e30, &|i| f64::from(i)), None),
    ] {
        let rows = table([("x", column)]);
        let unscaled = NumericSettings {
            scale: Scaling::None,
            ..numeric("x", Impute::Mean)
        };
        let found = match fit(&Feature::new(unscaled), &rows) {
            Err(Error::Merged { distinct, merged, .. }) => Some((distinct, merged)),
            Err(other) => panic!("{other}"),
            Ok(_) => None,
        };
        assert_eq!(found, merged, "{:?}", rows.column(0).slice(0, 2));
    }
}

#[test]
fn numbers_that_single_precision_makes_equal_are_refused_unless_they_are_scaled() {
    let seconds = |first: i64, step: i64| -> ArrayRef {
        let values = (0..2000).map(|i| 1000 * (first + step * i));
        Arc::new(TimestampMillisecondArray::from_iter_values(values))
    };
    let integers = |first: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(first..first + 2000)) };
    let floats = |first: f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(
            (0..2000).map(|i| first + f64::from(i) / 16.0),
        ))
    };
    let same = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value; 2000])) };
    for (column, refused) in [
        (seconds(1_700_000_000, 1), true),
        (seconds(-1_700_000_000, 1), true),
        (seconds(1_700_000_000, 86_400), false),
        (integers(1 << 40), true),
        (integers(9_007_199_254_738_000), true),
        (integers(1990), false),
        (integers(10_000), false),
        (floats(1e9), true),
        (floats(273.15), false),
        (same(1e9 + 0.1), false),
        (same(0.1), false),
    ] {
        let rows = table([("x", column)]);
        let unscaled = NumericSettings {
            scale: Scaling::None,
            ..numeric("x", Impute::Mean)
        };
        let fitted = fit(&Feature::new(unscaled), &rows);
        let is_refused = matches!(&fitted, Err(Error::Precision { column, .. }) if column == "x");
        assert_eq!(is_refused, refused, "{:?}", rows.column(0).slice(0, 2));
        let scaled = fit(&Feature::new(numeric("x", Impute::Mean)), &rows).unwrap();
        let block = scaled.encode(&rows).unwrap();
        let distinct = entries(&block)
            .iter()
            .map(|row| format!("{row:?}"))
            .collect::<std::collections::BTreeSet<_>>();
        assert!(!refused || distinct.len() == 2000, "{}", distinct.len());
    }
}

#[test]
fn a_column_without_values_tells_nothing() {
    let rows = table([("x", Arc::new(Float64Array::from(vec![None, Some(f64::NAN)])) as _)]);
    let asked = table([("x", Arc::new(Float64Array::from(vec![None, Some(7.0)])) as _)]);
    for impute in [Impute::Mean, Impute::Median, Impute::Constant(3.0)] {
        for scale in [Scaling::Standard, Scaling::None] {
            let settings = NumericSettings {
                scale,
                ..numeric("x", impute)
            };
            let encoder = fit(&Feature::new(settings), &rows).unwrap();
            // A constant is a number like any other, and nothing is scaled.
            let known = matches!(impute, Impute::Constant(_)) && scale == Scaling::None;
            assert_eq!(encoder.uninformative().is_some(), !known, "{impute:?} {scale:?}");
            if !known {
                assert_eq!(entries(&encoder.encode(&asked).unwrap()), [vec![], vec![]]);
            }
        }
    }
}

#[test]
fn features_of_which_all_training_rows_are_alike_are_told_of() {
    let rows = table([
        ("x", Arc::new(Float64Array::from(vec![Some(2.0), Some(2.0)])) as _),
        ("c", Arc::new(StringArray::from(vec!["a", "b"])) as _),
    ]);
    let category = |min_count| {
        Feature::new(OneHotSettings {
            column: "c".to_owned(),
            unseen: Unseen::Skip,
            min_count,
            max_categories: 10,
            scale: Scale::None,
        })
    };
    let ngrams_of = |min_count| {
        Feature::new(NgramSettings {
            min_count,
            ..ngram("c")
        })
    };
    for (feature, alike) in [
        (Feature::new(numeric("x", Impute::Mean)), true),
        (category(1), false),
        (category(2), true),
        (ngrams_of(1), false),
        (ngrams_of(3), true),
    ] {
        let encoder = fit(&feature, &rows).unwrap();
        assert_eq!(encoder.uninformative().is_some(), alike, "{feature:?}");
    }
}

#[test]
fn what_was_not_seen_or_is_missing_has_no_bucket() {
    let settings = HashSettings {
        columns: vec!["x".into()],
        bits: 24,
        min_count: 2,
    };
    let train = texts("x", [Some("a"), Some("b"), None, Some("a")]);
    let encoder = fit(&Feature::new(settings), &train).unwrap();
    let block = encoder
        .encode(&texts("x", [Some("a"), Some("b"), None, Some("new")]))
        .unwrap();
    assert_eq!(entries(&block), [vec![(0, 1.0)], vec![], vec![], vec![]]);
}

/// `a` and `b,c` are another combination than `a,b` and `c`, and equal numbers are one whatever type holds them.
#[test]
fn combinations_are_hashed_by_their_values() {
    let two = |first: [Option<&str>; 3], second: ArrayRef| {
        table([("x", Arc::new(StringArray::from_iter(first)) as _), ("y", second)])
    };
    let settings = HashSettings {
        columns: vec!["x".into(), "y".into()],
        bits: 24,
        min_count: 1,
    };
    let numbers = Arc::new(Int8Array::from(vec![Some(1), Some(1), None]));
    let rows = two([Some("a"), Some("b"), Some("a")], numbers);
    let encoder = fit(&Feature::new(settings.clone()), &rows).unwrap();
    assert_eq!(encoder.width(), 2);
    assert_eq!(encoder.encode(&rows).unwrap().row(2).0.len(), 0);
    let wider = two(
        [Some("a"), Some("b"), Some("a")],
        Arc::new(arrow::array::Int64Array::from(vec![Some(1), Some(1), None])),
    );
    assert_eq!(encoder.encode(&wider).unwrap(), encoder.encode(&rows).unwrap());
    let texts = |values: [Option<&str>; 3]| Arc::new(StringArray::from_iter(values)) as ArrayRef;
    let rows = two(
        [Some("a"), Some("a\",\"b"), Some("a,b")],
        texts([Some("b\",\"c"), Some("c"), Some("c")]),
    );
    assert_eq!(fit(&Feature::new(settings), &rows).unwrap().width(), 3);
}

#[test]
fn intervals_begin_with_their_bound_and_missing_numbers_have_one_of_their_own() {
    let column = |values: Vec<Option<f64>>| table([("x", Arc::new(Float64Array::from(values)) as _)]);
    let settings = |bounds| BucketSettings {
        column: "x".into(),
        quantiles: 2,
        bounds,
    };
    let train = column(vec![Some(1.0), Some(2.0), Some(3.0), None]);
    let given = fit(&Feature::new(settings(Some(vec![0.0, 2.5]))), &train).unwrap();
    assert_eq!(
        names(given.as_ref()),
        ["x<0", "0<=x<2.5", "x>=2.5", "x (missing)"]
    );
    let asked = column(vec![
        Some(-1.0),
        Some(-0.0),
        Some(2.5),
        Some(1e99),
        None,
        Some(f64::NAN),
    ]);
    assert_eq!(given.encode(&asked).unwrap().indices, [0, 1, 2, 2, 3, 3]);
    let median = fit(&Feature::new(settings(None)), &train).unwrap();
    assert_eq!(names(median.as_ref()), ["x<2", "x>=2", "x (missing)"]);
    for values in [vec![Some(7.0), Some(7.0)], vec![None, None]] {
        let constant = fit(&Feature::new(settings(None)), &column(values)).unwrap();
        assert_eq!(names(constant.as_ref()), ["x (any)", "x (missing)"]);
        assert!(constant.uninformative().is_some());
    }
}

/// A date and the timestamps of its day have the same parts, in any unit, and what is null has none.
#[test]
fn parts_of_a_date_are_those_of_its_midnight() {
    let settings = DatePartsSettings {
        column: "x".into(),
        parts: vec![DatePart::Year, DatePart::Month, DatePart::Hour, DatePart::Elapsed],
        missing_indicator: true,
    };
    let days = [Some(19_782), None, Some(-1), Some(0)];
    let dates = table([("x", Arc::new(Date32Array::from_iter(days)) as ArrayRef)]);
    let seconds = days.map(|day| day.map(|day| i64::from(day) * 86_400));
    let instants = table([(
        "x",
        Arc::new(TimestampSecondArray::from_iter(seconds)) as ArrayRef,
    )]);
    let encoder = fit(&Feature::new(settings), &dates).unwrap();
    let block = encoder.encode(&dates).unwrap();
    assert_eq!(block, encoder.encode(&instants).unwrap());
    assert_eq!(entries(&block)[1], [(6, 1.0)]);
    assert_eq!(
        names(encoder.as_ref()),
        [
            "year(x)",
            "sin month(x)",
            "cos month(x)",
            "sin hour(x)",
            "cos hour(x)",
            "elapsed(x)",
            "x (missing)"
        ]
    );
}
