//! The model file: what is written is read, the same content has the same bytes, and a damaged file is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod support;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use gristmill_learn::contract::step::SparseBlock;
use gristmill_learn::encode::{NgramHash, NgramHasher, NgramSettings, Normalize};
use gristmill_learn::features::Assembler;
use gristmill_learn::model::bundle::{Bundle, Contents};
use gristmill_learn::model::{Coefficients, InputColumn, LinearKind, LinearModel, Model, Thresholds};
use gristmill_learn::registry::built_in;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;
use support::{FEATURES, assembler, clean, edited, fixture, model, provenance, steps};

/// Writes a bundle of these steps and this model.
fn write(path: &Path, assembler: &Assembler, model: &LinearModel) -> std::io::Result<()> {
    let thresholds = if *model == support::model() {
        support::thresholds()
    } else {
        Thresholds::default()
    };
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("city", DataType::Utf8, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("age", DataType::Decimal128(10, 2), true),
        Field::new("kind", DataType::Utf8, true),
    ]);
    Contents {
        clean: &clean(),
        assembler,
        model,
        thresholds: &thresholds,
        input: &InputColumn::of(assembler, &schema).unwrap(),
        provenance: &provenance(),
    }
    .write(&mut File::create(path)?)
}

fn written(dir: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let path = dir.join("model.safetensors");
    write(&path, &assembler(), &model()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let numbers = (0..(FEATURES + 1) * 3).map(|i| i as f64 / 3.0);
    for coefficients in [
        Coefficients::F64(numbers.clone().collect()),
        Coefficients::F32(numbers.clone().map(|c| c as f32).collect()),
    ] {
        let model =
            LinearModel::from_coefficients(LinearKind::NaiveBayes, FEATURES, 3, 3, &coefficients).unwrap();
        write(&path, &assembler(), &model).unwrap();
        let read = Bundle::read(&path, &built_in()).unwrap();
        let linear = read.model.linear().unwrap();
        assert_eq!(*linear, model);
        assert_eq!(linear.coefficients(), coefficients);
        assert_eq!(read.thresholds, Thresholds::default());
        assert_eq!(read.provenance, provenance());
        assert_eq!(read.clean.settings, clean().settings);
        let specs = read.assembler.specs();
        assert_eq!(specs.len(), steps().len());
        for (read, original) in specs.iter().zip(steps()) {
            assert_eq!((&read.kind, &read.settings), (&original.kind, &original.settings));
            assert_eq!(read.arrays, original.arrays);
        }
        let input: Vec<(&str, &str)> = (read.input.iter())
            .map(|column| (column.name.as_str(), column.data_type.as_str()))
            .collect();
        assert_eq!(
            input,
            [
                ("id", "int64"),
                ("city", "string"),
                ("name", "string"),
                ("age", "decimal128(10, 2)"),
                ("kind", "string")
            ]
        );
    }
}

#[test]
fn a_slice_of_an_array_is_written_as_what_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let mut sliced = steps();
    let longer = StringArray::from(vec!["Wien", "Zürich", "日本", "Oslo"]);
    let of_two = Arc::new(longer.slice(1, 2));
    sliced[0].arrays.insert("categories".to_owned(), of_two);
    write(
        &path,
        &Assembler::from_specs(&sliced, &built_in()).unwrap(),
        &model(),
    )
    .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), written(dir.path()).1);
}

#[test]
fn the_same_content_has_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (_, first) = written(dir.path());
    for _ in 0..20 {
        assert_eq!(written(dir.path()).1, first);
    }
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = Bundle::read(&path, &built_in()).unwrap_err().to_string();
        assert!(
            error.contains("model.safetensors is not a readable gristmill model"),
            "{length}: {error}"
        );
    }
}

/// The header too: settings decide what the coefficients mean.
#[test]
fn a_changed_byte_is_refused_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).unwrap();
        assert!(Bundle::read(&path, &built_in()).is_err(), "{at}");
    }
    let range = br#"\"range\":[1,2]"#;
    let at = bytes.windows(range.len()).position(|part| part == range).unwrap();
    let mut shorter = bytes;
    shorter[at + range.len() - 2] = b'1';
    std::fs::write(&path, &shorter).unwrap();
    let error = Bundle::read(&path, &built_in()).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn a_header_that_promises_too_much_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    for length in [u64::MAX, 1 << 40, bytes.len() as u64, 0] {
        let mut damaged = bytes.clone();
        damaged[..8].copy_from_slice(&length.to_le_bytes());
        std::fs::write(&path, &damaged).unwrap();
        assert!(Bundle::read(&path, &built_in()).is_err(), "{length}");
    }
}

#[test]
fn foreign_files_and_other_versions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    let view = TensorView::new(Dtype::U8, vec![2], &[1, 2]).unwrap();
    let foreign = |metadata: Option<&str>| {
        let metadata = metadata.map(|m| HashMap::from([("gristmill".to_owned(), m.to_owned())]));
        safetensors::serialize([("x", view.clone())], metadata).unwrap()
    };
    let refused = |bytes: &[u8], why: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = Bundle::read(&path, &built_in()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(
        b"PK\x03\x04 not a model",
        "it is cut short, or not a model at all",
    );
    refused(&foreign(None), "not written by gristmill");
    refused(&foreign(Some("{}")), "does not say which format");
    refused(&foreign(Some("{\"format\":2}")), "which reader it needs");
    refused(
        &foreign(Some("{\"format\":7,\"min_reader\":6}")),
        "it needs a reader of format 6, and this build reads formats 1 to 5",
    );
    refused(&foreign(Some("{\"format\":1}")), "checksum");
    refused(&foreign(Some("{\"format\":2,\"min_reader\":2}")), "checksum");
    std::fs::write(&path, bytes).unwrap();
    assert!(Bundle::read(&path, &built_in()).is_ok());
    assert!(
        Bundle::read(&dir.path().join("none"), &built_in())
            .unwrap_err()
            .to_string()
            .contains("none")
    );
}

#[test]
fn a_model_predicts_probabilities_and_refuses_features_it_does_not_have() {
    let model = LinearModel::from_coefficients(
        LinearKind::default(),
        2,
        1,
        2,
        &Coefficients::F64(vec![1.0, -2.0, 0.5]),
    )
    .unwrap();
    let rows = SparseBlock {
        offsets: vec![0, 1, 3],
        indices: vec![0, 0, 1],
        values: vec![2.0, 1.0, 1.0],
        skip: vec![],
    };
    let p = model.probabilities(&rows).unwrap();
    let sigmoid = |m: f64| 1.0 / (1.0 + (-m).exp());
    for (got, expected) in p.iter().zip([
        1.0 - sigmoid(2.5),
        sigmoid(2.5),
        1.0 - sigmoid(-0.5),
        sigmoid(-0.5),
    ]) {
        assert!((got - expected).abs() < 1e-12);
    }
    let outside = SparseBlock {
        offsets: vec![0, 1],
        indices: vec![2],
        values: vec![1.0],
        skip: vec![],
    };
    assert!(model.probabilities(&outside).is_err());
    let wrong = Coefficients::F64(vec![0.0; 8]);
    assert!(LinearModel::from_coefficients(LinearKind::default(), 2, 3, 3, &wrong).is_none());
    assert!(LinearModel::from_coefficients(LinearKind::default(), 2, 2, 3, &wrong).is_none());
}

/// What a later version may add without asking for a later reader.
#[test]
fn what_a_later_version_adds_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    let later = edited(&bytes, |header, tensors| {
        header["format"] = json!(6);
        header["licence"] = json!({"name": "MIT"});
        header["input"][0]["unit"] = json!("metre");
        header["steps"][1]["since"] = json!(3);
        tensors.insert("calibration".to_owned(), (Dtype::BF16, vec![2], vec![0; 4]));
        tensors.insert("step1.notes".to_owned(), (Dtype::I64, vec![1], vec![0; 8]));
    });
    std::fs::write(&path, later).unwrap();
    let read = Bundle::read(&path, &built_in()).unwrap();
    assert_eq!(read.model.linear(), Some(&model()));
    assert_eq!(read.thresholds, support::thresholds());
}

/// Bundles that earlier versions wrote. They are never made anew: a change of format adds one.
#[test]
fn bundles_of_every_format_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let first = Bundle::read(&fixture("format-1.safetensors"), &built_in()).unwrap();
    let second = Bundle::read(&fixture("format-2.safetensors"), &built_in()).unwrap();
    let third = Bundle::read(&fixture("format-3.safetensors"), &built_in()).unwrap();
    let fourth = Bundle::read(&fixture("format-4.safetensors"), &built_in()).unwrap();
    let fifth = Bundle::read(&fixture("format-5.safetensors"), &built_in()).unwrap();
    for (bundle, expected) in [
        (&first, support::PROBABILITIES_OF_XXH3),
        (&second, support::PROBABILITIES_OF_XXH3),
        (&third, support::PROBABILITIES),
        (&fourth, support::PROBABILITIES),
        (&fifth, support::PROBABILITIES),
    ] {
        assert_eq!(bundle.model.linear(), Some(&model()));
        assert_eq!(bundle.thresholds, support::thresholds());
        assert_eq!(bundle.clean.settings["trim"], json!(true));
        assert_eq!(bundle.provenance.gristmill, "0.1.0");
        let classes: Vec<&str> = bundle.assembler.classes().iter().map(String::as_str).collect();
        assert_eq!(classes, ["person", "group", "other"]);
        let rows = bundle.assembler.encode(&support::rows()).unwrap();
        let probabilities = bundle.model.scores(&rows).unwrap();
        for (p, expected) in probabilities.iter().zip(expected) {
            assert!((p - expected).abs() < 1e-12, "{probabilities:?}");
        }
    }
    assert!(first.input.is_empty());
    assert_eq!([second.input.len(), third.input.len()], [5, 5]);
    assert!(
        third
            .input
            .iter()
            .all(|column| column.form.is_none() && !column.uncleaned)
    );
    assert!(fourth.input[0].uncleaned && !fourth.input[1].uncleaned);
    assert_eq!(fourth.input[1].form.as_deref(), Some("uuid"));
    let normalized = |bundle: &Bundle| {
        bundle.assembler.encoders()[1]
            .spec()
            .settings
            .get("normalize")
            .cloned()
    };
    assert_eq!(
        [normalized(&fourth), normalized(&fifth)],
        [Some(json!("none")), Some(json!("nfc"))]
    );
    fifth.contents().write(&mut File::create(&path).unwrap()).unwrap();
    assert_eq!(
        std::fs::read(&path).unwrap(),
        std::fs::read(fixture("format-5.safetensors")).unwrap(),
        "the same content has other bytes than it had"
    );
}

/// Their specs do not say which form of Unicode, for there was none.
#[test]
fn ngrams_of_old_bundles_are_of_characters_as_they_are() {
    let old: NgramSettings = serde_json::from_value(support::steps()[1].settings.clone()).unwrap();
    assert_eq!(old.normalize, Normalize::Nfc);
    let mut settings = json!(old);
    settings.as_object_mut().unwrap().remove("normalize");
    let old: NgramSettings = serde_json::from_value(settings).unwrap();
    assert_eq!(old.normalize, Normalize::None);
    let buckets = |text: &str| {
        let mut buckets = Vec::new();
        NgramHasher::new(&old, NgramHash::Murmur3).for_each_bucket(text, |bucket| buckets.push(bucket));
        buckets
    };
    assert_ne!(buckets("e\u{301}"), buckets("\u{e9}"));
}

/// Their specs do not say which hash it was, and hold buckets of XXH3.
#[test]
fn ngrams_of_old_bundles_keep_their_hash() {
    let mut spec = support::steps()[1].clone();
    let rows = support::rows();
    let settings: NgramSettings = serde_json::from_value(spec.settings.clone()).unwrap();
    for (hash, name) in [(NgramHash::Murmur3, Some("murmur3_32")), (NgramHash::Xxh3, None)] {
        let mut buckets = std::collections::BTreeSet::new();
        NgramHasher::new(&settings, hash).for_each_bucket("Anna Ärmel", |bucket| {
            buckets.insert(bucket);
        });
        spec.arrays.insert(
            "buckets".to_owned(),
            Arc::new(UInt32Array::from_iter_values(buckets.iter().copied())),
        );
        let object = spec.settings.as_object_mut().unwrap();
        object.remove("hash");
        object.extend(name.map(|name| ("hash".to_owned(), json!(name))));
        let encoder = built_in().encoder_from_spec(&spec).unwrap();
        assert_eq!(
            encoder.encode(&rows).unwrap().row(0).0.len(),
            buckets.len(),
            "{hash:?}"
        );
        assert_eq!(encoder.spec().settings, spec.settings);
    }
}

/// In single precision the margins of these rows are infinite, and their differences no numbers.
#[test]
fn margins_that_overflow_give_probabilities() {
    let rows = SparseBlock {
        offsets: vec![0, 2, 3],
        indices: vec![0, 1, 0],
        values: vec![3e38, -3e38, 1.0],
        skip: vec![],
    };
    let kind = LinearKind::default();
    for (sets, classes) in [(1, 2), (3, 3)] {
        let large: Vec<f32> = (0..3 * sets).map(|i| 3e38 - i as f32 * 1e37).collect();
        let exact = Coefficients::F64(large.iter().map(|c| f64::from(*c)).collect());
        let model = |c| LinearModel::from_coefficients(kind, 2, sets, classes, &c).unwrap();
        let p = model(Coefficients::F32(large)).probabilities(&rows).unwrap();
        assert_eq!(p.len(), 2 * classes);
        for (p, exact) in p.iter().zip(model(exact).probabilities(&rows).unwrap()) {
            assert!((p - exact).abs() < 1e-6, "{p} {exact}");
        }
    }
    let largest = LinearModel::LARGEST_COEFFICIENT;
    let c = Coefficients::F64([largest, -largest, largest].repeat(3));
    let p = LinearModel::from_coefficients(kind, 2, 3, 3, &c).unwrap();
    assert!(p.probabilities(&rows).unwrap().iter().all(|p| p.is_finite()));
    let regression = LinearKind::LinearRegression;
    let c = Coefficients::F32(vec![3e38, 3e38, 1.0]);
    let p = LinearModel::from_coefficients(regression, 2, 1, 0, &c).unwrap();
    assert_eq!(p.predictions(&rows).unwrap(), [0.0, f64::from(3e38_f32)]);
}

#[test]
fn a_regression_is_written_and_read_to_the_bit_and_predicts_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let coefficients = Coefficients::F64(vec![0.1, -1.0 / 3.0, 1e-300]);
    let kind = LinearKind::LinearRegression;
    let regression = LinearModel::from_coefficients(kind, 2, 1, 0, &coefficients).unwrap();
    let mut with_number = support::numbers();
    with_number.extend([support::target(), support::split()]);
    write(
        &path,
        &Assembler::from_specs(&with_number, &built_in()).unwrap(),
        &regression,
    )
    .unwrap();
    let read = Bundle::read(&path, &built_in()).unwrap().model;
    let model = read.linear().unwrap();
    assert_eq!(*model, regression);
    assert_eq!((model.linear_kind(), model.classes(), model.sets()), (kind, 0, 1));
    let rows = SparseBlock {
        offsets: vec![0, 1, 3, 3],
        indices: vec![0, 0, 1],
        values: vec![2.0, 1.0, 3.0],
        skip: vec![],
    };
    let predictions = model.predictions(&rows).unwrap();
    for (got, expected) in predictions.iter().zip([0.2, 0.1 - 1.0, 1e-300]) {
        assert!((got - expected).abs() < 1e-15, "{got} {expected}");
    }
    assert_eq!(predictions.len(), 3);
    // Neither classes nor several sets make a regression.
    for (sets, classes) in [(1, 2), (1, 1), (0, 0), (3, 3)] {
        assert!(LinearModel::from_coefficients(kind, 2, sets, classes, &coefficients).is_none());
    }
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 8]).unwrap();
    assert!(Bundle::read(&path, &built_in()).is_err());
    let mut damaged = whole;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    assert!(
        Bundle::read(&path, &built_in())
            .unwrap_err()
            .to_string()
            .contains("checksum")
    );
}
