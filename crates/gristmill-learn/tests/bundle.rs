//! The model file: what is written is read, the same content has the same bytes, and a damaged file is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, StringArray, UInt32Array, UInt64Array,
};
use gristmill_learn::contract::step::{SparseBlock, StepSpec};
use gristmill_learn::model::bundle::{Bundle, Provenance};
use gristmill_learn::model::{Coefficients, LinearModel, ModelKind};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

fn bundle(coefficients: Coefficients) -> Bundle {
    let arrays: BTreeMap<String, ArrayRef> = BTreeMap::from([
        (
            "values".to_owned(),
            Arc::new(StringArray::from(vec!["Zürich", "", "日本"])) as ArrayRef,
        ),
        ("counts".to_owned(), Arc::new(UInt64Array::from(vec![3, 2, 1]))),
        ("buckets".to_owned(), Arc::new(UInt32Array::from(vec![7, 9]))),
        ("scales".to_owned(), Arc::new(Float32Array::from(vec![0.5, -1.5]))),
        (
            "moments".to_owned(),
            Arc::new(Float64Array::from(vec![0.1, 1e300])),
        ),
    ]);
    Bundle {
        steps: vec![
            StepSpec {
                kind: "one_hot".to_owned(),
                settings: json!({"column": "city", "min": 1}),
                arrays,
            },
            StepSpec {
                kind: "empty".to_owned(),
                settings: json!(null),
                arrays: BTreeMap::new(),
            },
        ],
        model: LinearModel::from_coefficients(ModelKind::default(), 2, 3, 3, &coefficients).unwrap(),
        provenance: Provenance {
            gristmill: "0.1.0".to_owned(),
            settings: json!({"b": 1, "a": [1, 2]}),
            settings_hash: "00".to_owned(),
            warm_start: None,
            dataset_hash: "11".to_owned(),
            rows: json!({"read": 10}),
            best: json!({"reg_param": 0.1}),
            metrics: json!({}),
        },
    }
}

fn written(dir: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let path = dir.join("model.safetensors");
    bundle(Coefficients::F64((0..9).map(f64::from).collect()))
        .write(&mut File::create(&path).unwrap())
        .unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    for coefficients in [
        Coefficients::F64((0..9).map(|i| f64::from(i) / 3.0).collect()),
        Coefficients::F32((0..9).map(|i| i as f32 / 3.0).collect()),
    ] {
        let original = bundle(coefficients.clone());
        original.write(&mut File::create(&path).unwrap()).unwrap();
        let read = Bundle::read(&path).unwrap();
        assert_eq!(read.model, original.model);
        assert_eq!(read.model.coefficients(), coefficients);
        assert_eq!(read.provenance, original.provenance);
        assert_eq!(read.steps.len(), 2);
        for (read, original) in read.steps.iter().zip(&original.steps) {
            assert_eq!((&read.kind, &read.settings), (&original.kind, &original.settings));
            assert_eq!(read.arrays, original.arrays);
        }
        assert_eq!(read.steps[0].arrays["values"].as_string::<i32>().value(2), "日本");
    }
}

#[test]
fn a_slice_of_an_array_is_written_as_what_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let mut bundle = bundle(Coefficients::F64(vec![0.0; 9]));
    for array in bundle.steps[0].arrays.values_mut() {
        *array = array.slice(1, array.len() - 1);
    }
    bundle.write(&mut File::create(&path).unwrap()).unwrap();
    assert_eq!(
        Bundle::read(&path).unwrap().steps[0].arrays,
        bundle.steps[0].arrays
    );
}

#[test]
fn the_same_content_has_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (_, first) = written(dir.path());
    for _ in 0..20 {
        assert_eq!(written(dir.path()).1, first);
    }
    assert!(!dir.path().join("model.partial").exists());
}

#[cfg(unix)]
#[test]
fn a_model_is_as_readable_as_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = written(dir.path());
    let other = dir.path().join("other");
    std::fs::write(&other, b"").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&other));
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = Bundle::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("model.safetensors is not a readable gristmill model"),
            "{length}: {error}"
        );
    }
}

#[test]
fn a_changed_tensor_byte_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for at in 8 + header..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let error = Bundle::read(&path).unwrap_err().to_string();
        assert!(error.contains("checksum"), "{at}: {error}");
    }
}

#[test]
fn a_header_that_promises_too_much_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    for length in [u64::MAX, 1 << 40, bytes.len() as u64, 0] {
        let mut damaged = bytes.clone();
        damaged[..8].copy_from_slice(&length.to_le_bytes());
        std::fs::write(&path, &damaged).unwrap();
        assert!(Bundle::read(&path).is_err(), "{length}");
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
        let error = Bundle::read(&path).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(
        b"PK\x03\x04 not a model",
        "it is cut short, or not a model at all",
    );
    refused(&foreign(None), "not written by gristmill");
    refused(
        &foreign(Some("{\"format\":2}")),
        "its format is version 2; this build reads version 1",
    );
    refused(&foreign(Some("{}")), "its format is version null");
    refused(&foreign(Some("{\"format\":1}")), "missing field");
    std::fs::write(&path, bytes).unwrap();
    assert!(Bundle::read(&path).is_ok());
    assert!(
        Bundle::read(&dir.path().join("none"))
            .unwrap_err()
            .to_string()
            .contains("none")
    );
}

#[test]
fn a_model_predicts_probabilities_and_refuses_features_it_does_not_have() {
    let model = LinearModel::from_coefficients(
        ModelKind::default(),
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
    assert!(LinearModel::from_coefficients(ModelKind::default(), 2, 3, 3, &wrong).is_none());
    assert!(LinearModel::from_coefficients(ModelKind::default(), 2, 2, 3, &wrong).is_none());
}

#[test]
fn a_regression_is_written_and_read_to_the_bit_and_predicts_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let coefficients = Coefficients::F64(vec![0.1, -1.0 / 3.0, 1e-300]);
    let kind = ModelKind::LinearRegression;
    let regression = Bundle {
        model: LinearModel::from_coefficients(kind, 2, 1, 0, &coefficients).unwrap(),
        ..bundle(Coefficients::F64(vec![0.0; 9]))
    };
    regression.write(&mut File::create(&path).unwrap()).unwrap();
    let model = Bundle::read(&path).unwrap().model;
    assert_eq!(model, regression.model);
    assert_eq!((model.kind(), model.classes(), model.sets()), (kind, 0, 1));
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
    assert!(Bundle::read(&path).is_err());
    let mut damaged = whole;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    assert!(Bundle::read(&path).unwrap_err().to_string().contains("checksum"));
}
