//! A small model whose steps are of every kind, and the means to forge its file.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use gristmill_learn::contract::step::StepSpec;
use gristmill_learn::features::Assembler;
use gristmill_learn::model::bundle::Provenance;
use gristmill_learn::model::{Coefficients, LinearKind, LinearModel, Thresholds};
use gristmill_learn::registry::built_in;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// Sparse columns of [`assembler`].
pub(crate) const FEATURES: usize = 20;

/// What [`model`] gave for [`rows`] before format 3, when n-grams had another hash.
pub(crate) const PROBABILITIES_OF_XXH3: [f64; 6] = [
    0.007_605_426_561_775_663,
    0.987_259_958_287_096_3,
    0.005_134_615_151_127_9,
    0.129_467_708_302_308_83,
    0.475_540_427_543_192_4,
    0.394_991_864_154_498_83,
];

/// What it gives since.
pub(crate) const PROBABILITIES: [f64; 6] = [
    0.001_556_566_462_968_338_5,
    0.995_571_402_678_668_2,
    0.002_872_030_858_363_539,
    0.129_467_708_302_308_83,
    0.475_540_427_543_192_4,
    0.394_991_864_154_498_83,
];

/// Tensors by name: type, shape and bytes.
pub(crate) type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

pub(crate) fn fixture(name: &str) -> PathBuf {
    // At run time, as the checkout that was compiled may be another one that shares the target directory.
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("tests/fixtures")
        .join(name)
}

pub(crate) fn spec(kind: &str, settings: Value, arrays: Vec<(&str, ArrayRef)>) -> StepSpec {
    let arrays = arrays.into_iter().map(|(name, array)| (name.to_owned(), array));
    StepSpec {
        kind: kind.to_owned(),
        settings,
        arrays: arrays.collect(),
    }
}

pub(crate) fn clean() -> StepSpec {
    spec("clean", json!({"trim": true, "empty_as_null": true}), vec![])
}

pub(crate) fn target() -> StepSpec {
    let moments: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 0.5]));
    spec(
        "target",
        json!({"column": "id", "rows": 84}),
        vec![("moments", moments)],
    )
}

pub(crate) fn split() -> StepSpec {
    let shares: ArrayRef = Arc::new(Float64Array::from(vec![0.8, 0.1, 0.1]));
    spec(
        "split",
        json!({"by": "id", "seed": 42, "folds": 3, "version": 2}),
        vec![("shares", shares)],
    )
}

/// Two steps of one column each.
pub(crate) fn numbers() -> Vec<StepSpec> {
    vec![steps()[2].clone(), steps()[2].clone()]
}

pub(crate) fn steps() -> Vec<StepSpec> {
    // The first ten are those of n-grams of [`rows`].
    let buckets = vec![
        72, 92, 193, 434, 468, 556, 637, 665, 680, 742, 0, 61, 122, 183, 244, 305,
    ];
    vec![
        spec(
            "one_hot",
            json!({"column": "city", "unseen": "keep"}),
            vec![
                ("categories", Arc::new(StringArray::from(vec!["Zürich", "日本"]))),
                ("values", Arc::new(Float32Array::from(vec![1.0, 1.0, 0.5]))),
            ],
        ),
        spec(
            "ngrams",
            json!({
                "column": "name", "range": [1, 2], "bits": 10, "analyzer": "char_wb", "lowercase": true,
                "normalize": "nfc", "weighting": "tf", "sublinear_tf": false, "smooth_idf": true, "norm": "l2", "min_count": 1, "hash": "murmur3_32"
            }),
            vec![("buckets", Arc::new(UInt32Array::from(buckets)))],
        ),
        spec(
            "numeric",
            json!({"column": "age"}),
            vec![(
                "fill_mean_std",
                Arc::new(Float64Array::from(vec![40.0, 38.5, 12.25])),
            )],
        ),
        spec(
            "label",
            json!({"column": "kind", "rare": "other"}),
            vec![
                (
                    "classes",
                    Arc::new(StringArray::from(vec!["person", "group", "other"])),
                ),
                ("rows", Arc::new(UInt64Array::from(vec![50, 30, 4]))),
            ],
        ),
        split(),
    ]
}

pub(crate) fn assembler() -> Assembler {
    Assembler::from_specs(&steps(), &built_in()).unwrap()
}

pub(crate) fn model() -> LinearModel {
    let coefficients = (0..63).map(|i| f64::from(i * 37 % 63) / 16.0 - 2.0);
    let coefficients = Coefficients::F64(coefficients.collect());
    LinearModel::from_coefficients(LinearKind::default(), FEATURES, 3, 3, &coefficients).unwrap()
}

/// Those of [`model`].
pub(crate) fn thresholds() -> Thresholds {
    Thresholds::from_values(vec![0.5, 0.25, 0.25]).unwrap()
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        gristmill: "0.1.0".to_owned(),
        settings: json!({"b": 1, "a": [1, 2]}),
        settings_hash: "00".to_owned(),
        warm_start: None,
        dataset_hash: "11".to_owned(),
        rows: json!({"read": 10}),
        best: json!({"reg_param": 0.1}),
        metrics: json!({}),
    }
}

/// Two rows for [`assembler`].
pub(crate) fn rows() -> RecordBatch {
    let columns: [(&str, ArrayRef); 3] = [
        ("city", Arc::new(StringArray::from(vec!["日本", "Bonn"]))),
        (
            "name",
            Arc::new(StringArray::from(vec![Some("Anna Ärmel"), None])),
        ),
        ("age", Arc::new(Float64Array::from(vec![Some(7.0), None]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A file with this header and these tensors, and the right checksum.
pub(crate) fn sealed(mut header: Value, tensors: &Tensors) -> Vec<u8> {
    header.as_object_mut().unwrap().remove("checksum");
    let zeros = "0".repeat(32);
    let text = format!("{{\"checksum\":\"{zeros}\",{}", &header.to_string()[1..]);
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let metadata = HashMap::from([("gristmill".to_owned(), text)]);
    let mut file = safetensors::serialize(views, Some(metadata)).unwrap();
    let at = file
        .windows(32)
        .position(|part| part == zeros.as_bytes())
        .unwrap();
    let digits = format!("{:032x}", xxh3_128(&file));
    file[at..at + 32].copy_from_slice(digits.as_bytes());
    file
}

/// The file with its header and tensors changed, and the right checksum.
pub(crate) fn edited(file: &[u8], edit: impl FnOnce(&mut Value, &mut Tensors)) -> Vec<u8> {
    let (_, metadata) = SafeTensors::read_metadata(file).unwrap();
    let mut header: Value =
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()["gristmill"]).unwrap();
    let tensors = SafeTensors::deserialize(file).unwrap();
    let mut tensors: Tensors = (tensors.tensors().into_iter())
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    edit(&mut header, &mut tensors);
    sealed(header, &tensors)
}
