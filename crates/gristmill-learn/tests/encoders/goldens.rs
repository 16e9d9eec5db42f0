//! Encoders against scikit-learn's results, which `tests/goldens/make_encoders.py` wrote.

use std::collections::BTreeMap;

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
