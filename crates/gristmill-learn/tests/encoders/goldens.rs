//! Encoders against scikit-learn's results, which `tests/goldens/make_encoders.py` wrote.

use std::collections::BTreeMap;

use arrow::array::TimestampMicrosecondArray;
use gristmill_learn::contract::step::SparseBlock;
use gristmill_learn::encode::ngrams::ngrams;
use gristmill_learn::encode::{NgramHash, NgramHasher};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Goldens {
    ngrams: Vec<NgramCase>,
    weighting: Vec<WeightingCase>,
    l2: Vec<LengthCase>,
    buckets: Vec<BucketCase>,
    numeric: Vec<NumericCase>,
    scaling: Vec<ScalingCase>,
    hash: Vec<HashCase>,
    multi_hot: Vec<MultiHotCase>,
    bucket: Vec<IntervalCase>,
    date_parts: Vec<DatePartsCase>,
    target: Vec<TargetCase>,
}

#[derive(Deserialize)]
struct NgramCase {
    analyzer: Analyzer,
    range: (u32, u32),
    lowercase: bool,
    normalize: Normalize,
    text: String,
    ngrams: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
struct WeightingCase {
    analyzer: Analyzer,
    range: (u32, u32),
    weighting: Weighting,
    sublinear_tf: bool,
    smooth_idf: bool,
    norm: Norm,
    texts: Vec<String>,
    /// Of each text, its buckets with their values.
    rows: Vec<Vec<(u32, f64)>>,
}

#[derive(Deserialize)]
struct LengthCase {
    text: String,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct BucketCase {
    bits: u32,
    text: String,
    /// Each bucket, and how many n-grams fall into it.
    buckets: Vec<(u32, u32)>,
}

#[derive(Deserialize)]
struct NumericCase {
    values: Vec<Option<f64>>,
    impute: String,
    filled: Vec<f64>,
    scaled: Vec<f64>,
}

#[derive(Deserialize)]
struct ScalingCase {
    values: Vec<Option<f64>>,
    impute: String,
    transform: Transform,
    scale: Scaling,
    scaled: Vec<f64>,
    missing: Vec<f64>,
}

#[derive(Deserialize)]
struct HashCase {
    bits: u32,
    rows: Vec<Vec<String>>,
    buckets: Vec<u32>,
}

#[derive(Deserialize)]
struct MultiHotCase {
    texts: Vec<String>,
    categories: Vec<String>,
    rows: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct IntervalCase {
    values: Vec<f64>,
    quantiles: u32,
    intervals: Vec<u32>,
    bounds: Vec<f64>,
}

#[derive(Deserialize)]
struct DatePartsCase {
    micros: Vec<i64>,
    /// Year, month, weekday, hour and elapsed days, as columns.
    rows: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct TargetCase {
    values: Vec<Option<String>>,
    /// Of a regression.
    numbers: Vec<f64>,
    /// Of a classifier.
    labels: Vec<String>,
    classes: Vec<String>,
    smooth: f64,
    rows: Vec<Vec<f64>>,
}

fn goldens() -> Goldens {
    serde_json::from_str(include_str!("../goldens/encoders.json")).unwrap()
}

#[test]
fn ngrams_are_scikit_learns() {
    for case in goldens().ngrams {
        let settings = NgramSettings {
            analyzer: case.analyzer,
            range: case.range,
            lowercase: case.lowercase,
            normalize: case.normalize,
            ..ngram("name")
        };
        let mut counts = BTreeMap::new();
        for ngram in ngrams(&case.text, &settings) {
            *counts.entry(ngram).or_default() += 1;
        }
        assert_eq!(counts, case.ngrams, "{:?} {settings:?}", case.text);
    }
}

#[test]
fn buckets_are_scikit_learns() {
    for case in goldens().buckets {
        let settings = NgramSettings {
            range: (1, 5),
            bits: case.bits,
            normalize: Normalize::None,
            ..ngram("name")
        };
        let mut counts = BTreeMap::new();
        let mut hasher = NgramHasher::new(&settings, NgramHash::Murmur3);
        hasher.for_each_bucket(&case.text, |bucket| *counts.entry(bucket).or_default() += 1);
        let counts: Vec<(u32, u32)> = counts.into_iter().collect();
        assert_eq!(counts, case.buckets, "{:?} {} bits", case.text, case.bits);
    }
}

#[test]
fn weights_are_those_of_scikit_learns_tfidf_transformer() {
    for case in goldens().weighting {
        let settings = NgramSettings {
            analyzer: case.analyzer,
            range: case.range,
            weighting: case.weighting,
            sublinear_tf: case.sublinear_tf,
            smooth_idf: case.smooth_idf,
            norm: case.norm,
            ..ngram("name")
        };
        let what = format!("{settings:?}");
        let names = StringArray::from_iter_values(&case.texts);
        let rows = table([("name", Arc::new(names) as _)]);
        let encoder = fit(&Feature::new(settings), &rows).unwrap();
        let block = encoder.encode(&rows).unwrap();
        for (row, expected) in case.rows.iter().enumerate() {
            let (indices, values) = block.row(row);
            let number = |index: &u32| {
                encoder
                    .name(*index)
                    .split_once('#')
                    .unwrap()
                    .1
                    .replace("word", "")
            };
            let buckets = indices.iter().map(|index| number(index).parse::<u32>().unwrap());
            let mut given: Vec<(u32, f32)> = buckets.zip(values.iter().copied()).collect();
            given.sort_by_key(|(bucket, _)| *bucket);
            let (buckets, values): (Vec<u32>, Vec<f32>) = given.into_iter().unzip();
            let (of, expected): (Vec<u32>, Vec<f64>) = expected.iter().copied().unzip();
            assert_eq!(buckets, of, "{what}");
            assert_close(&values, &expected, &what);
        }
    }
}

#[test]
fn rows_have_scikit_learns_values_at_unit_length() {
    for case in goldens().l2 {
        let rows = texts("name", [Some(&case.text)]);
        let settings = NgramSettings {
            bits: 20,
            ..ngram("name")
        };
        let block = fit(&Feature::new(settings), &rows)
            .unwrap()
            .encode(&rows)
            .unwrap();
        let mut values = block.values;
        values.sort_by(f32::total_cmp);
        assert_close(&values, &case.values, &case.text);
    }
}

#[test]
fn numbers_are_scikit_learns_imputer_and_scaler() {
    for case in goldens().numeric {
        let rows = table([("x", Arc::new(Float64Array::from(case.values.clone())) as _)]);
        let impute = match case.impute.as_str() {
            "mean" => Impute::Mean,
            "median" => Impute::Median,
            _ => Impute::Constant(2.0),
        };
        for (scale, expected) in [(Scaling::None, &case.filled), (Scaling::Standard, &case.scaled)] {
            let settings = NumericSettings {
                scale,
                ..numeric("x", impute)
            };
            let fitted = fit(&Feature::new(settings), &rows);
            // Single precision would make the three numbers after 1e9 one.
            if scale == Scaling::None && case.values.iter().flatten().any(|value| *value > 1e9) {
                assert!(
                    matches!(fitted, Err(gristmill_learn::Error::Precision { .. })),
                    "{}",
                    case.impute
                );
                continue;
            }
            let block = fitted.unwrap().encode(&rows).unwrap();
            let values: Vec<f32> = (0..block.rows())
                .map(|row| block.row(row).1.first().copied().unwrap_or(0.0))
                .collect();
            assert_close(&values, expected, &format!("{:?} {}", case.values, case.impute));
        }
    }
}

#[test]
fn numbers_are_scaled_as_by_scikit_learns_scalers_and_told_where_they_are_missing() {
    for case in goldens().scaling {
        let rows = table([("x", Arc::new(Float64Array::from(case.values.clone())) as _)]);
        let impute = match case.impute.as_str() {
            "mean" => Impute::Mean,
            _ => Impute::Constant(2.0),
        };
        let settings = NumericSettings {
            missing_indicator: true,
            transform: case.transform,
            scale: case.scale,
            ..numeric("x", impute)
        };
        let what = format!("{:?} {settings:?}", case.values);
        let block = fit(&Feature::new(settings), &rows)
            .unwrap()
            .encode(&rows)
            .unwrap();
        let column = |column: u32| -> Vec<f32> {
            let value = |row| {
                let (indices, values) = block.row(row);
                let place = indices.iter().position(|index| *index == column);
                place.map_or(0.0, |place| values[place])
            };
            (0..block.rows()).map(value).collect()
        };
        assert_close(&column(0), &case.scaled, &what);
        assert_close(&column(1), &case.missing, &what);
    }
}

#[test]
fn categories_become_what_scikit_learns_target_encoder_makes_of_them() {
    for case in goldens().target {
        let rows = table([("c", Arc::new(StringArray::from_iter(&case.values)) as _)]);
        let labels: ArrayRef = match case.classes.is_empty() {
            true => Arc::new(Float64Array::from(case.numbers.clone())),
            false => Arc::new(StringArray::from_iter_values(&case.labels)),
        };
        let folds = (0..case.values.len()).map(|row| (row % 2) as u8);
        let train = answered(&rows, labels, UInt8Array::from_iter_values(folds));
        let feature = Feature::new(TargetSettings {
            columns: vec!["c".into()],
            smooth: case.smooth,
        });
        let to = FittedTo {
            classes: &case.classes,
            folds: 2,
            rows: case.values.len() as u64,
            rare: None,
        };
        let encoder = feature
            .fitted(&state(feature.pass().as_ref(), &train), &to)
            .unwrap();
        let block = encoder.encode(&rows).unwrap();
        for (row, expected) in case.rows.iter().enumerate() {
            let given = dense(&block, row, encoder.width());
            assert_eq!(given.len(), expected.len());
            for (given, expected) in given.iter().zip(expected) {
                let most = 1e-6 * expected.abs().max(1e-6);
                assert!(
                    (f64::from(*given) - expected).abs() <= most,
                    "{row} {given} {expected}"
                );
            }
        }
    }
}

/// Every column of a row, 0 where it has no entry.
fn dense(block: &SparseBlock, row: usize, width: u32) -> Vec<f32> {
    let (indices, values) = block.row(row);
    let mut all = vec![0.0; width as usize];
    for (index, value) in indices.iter().zip(values) {
        all[*index as usize] = *value;
    }
    all
}

#[test]
fn values_are_in_the_buckets_of_scikit_learns_feature_hasher() {
    for case in goldens().hash {
        let columns: Vec<String> = (0..case.rows[0].len())
            .map(|column| format!("c{column}"))
            .collect();
        let fields = columns.iter().enumerate().map(|(place, name)| {
            let texts = StringArray::from_iter_values(case.rows.iter().map(|row| &row[place]));
            (name.clone(), Arc::new(texts) as ArrayRef, true)
        });
        let rows = RecordBatch::try_from_iter_with_nullable(fields).unwrap();
        let settings = HashSettings {
            columns: columns.clone(),
            bits: case.bits,
            min_count: 1,
        };
        let encoder = fit(&Feature::new(settings), &rows).unwrap();
        let block = encoder.encode(&rows).unwrap();
        for (row, bucket) in case.buckets.iter().enumerate() {
            let (indices, values) = block.row(row);
            assert_eq!(values, [1.0]);
            assert_eq!(
                encoder.name(indices[0]),
                format!("{}#value{bucket}", columns.join("×")),
                "{:?} {} bits",
                case.rows[row],
                case.bits
            );
        }
    }
}

#[test]
fn parts_of_a_text_are_scikit_learns_labels() {
    for case in goldens().multi_hot {
        let rows = table([("x", Arc::new(StringArray::from_iter_values(&case.texts)) as _)]);
        let settings = MultiHotSettings {
            column: "x".into(),
            separator: ",".into(),
            min_count: 1,
            max_categories: 100,
        };
        let encoder = fit(&Feature::new(settings), &rows).unwrap();
        let names: Vec<String> = case.categories.iter().map(|name| format!("x={name}")).collect();
        let given: Vec<String> = (0..encoder.width()).map(|index| encoder.name(index)).collect();
        assert_eq!(given, names);
        let block = encoder.encode(&rows).unwrap();
        for (row, expected) in case.rows.iter().enumerate() {
            assert_close(&dense(&block, row, encoder.width()), expected, &case.texts[row]);
        }
    }
}

#[test]
fn intervals_are_those_of_scikit_learns_discretizer() {
    for case in goldens().bucket {
        let rows = table([("x", Arc::new(Float64Array::from(case.values.clone())) as _)]);
        for bounds in [None, Some(case.bounds.clone())] {
            let settings = BucketSettings {
                column: "x".into(),
                quantiles: case.quantiles,
                bounds,
            };
            let what = format!("{settings:?} {:?}", case.values);
            let block = fit(&Feature::new(settings), &rows)
                .unwrap()
                .encode(&rows)
                .unwrap();
            assert_eq!(block.indices, case.intervals, "{what}");
        }
    }
}

#[test]
fn parts_of_instants_are_those_of_the_calendar() {
    for case in goldens().date_parts {
        let micros = TimestampMicrosecondArray::from(case.micros.clone()).with_timezone("UTC");
        let rows = table([("x", Arc::new(micros) as _)]);
        let settings = DatePartsSettings {
            column: "x".into(),
            parts: vec![
                DatePart::Year,
                DatePart::Month,
                DatePart::Weekday,
                DatePart::Hour,
                DatePart::Elapsed,
            ],
            missing_indicator: false,
        };
        let encoder = fit(&Feature::new(settings), &rows).unwrap();
        assert_eq!(encoder.width(), 8);
        let block = encoder.encode(&rows).unwrap();
        for (row, expected) in case.rows.iter().enumerate() {
            for (given, expected) in dense(&block, row, 8).iter().zip(expected) {
                // The golden's zeros are what the C library leaves of a sine.
                assert!(
                    (f64::from(*given) - expected).abs() < 1e-6,
                    "{} {given} {expected}",
                    case.micros[row]
                );
            }
        }
    }
}

fn assert_close(given: &[f32], expected: &[f64], what: &str) {
    assert_eq!(given.len(), expected.len(), "{what}");
    for (given, expected) in given.iter().zip(expected) {
        let difference = (f64::from(*given) - expected).abs();
        assert!(
            difference <= 1e-6 * expected.abs().max(1e-9),
            "{what}: {given} is not {expected}"
        );
    }
}
