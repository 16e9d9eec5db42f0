//! Files made to break a reader, each with the right checksum: refused with a reason, before their sizes cost anything.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use gristmill_learn::model::bundle::Bundle;
use gristmill_learn::registry::built_in;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::support::{FEATURES, Tensors, edited, rows};
use crate::written;

type Edit = Box<dyn FnOnce(&mut Value, &mut Tensors)>;

fn numbers<const N: usize>(numbers: &[f64], shape: [usize; N]) -> (Dtype, Vec<usize>, Vec<u8>) {
    let bytes = numbers.iter().flat_map(|n| n.to_le_bytes());
    (Dtype::F64, shape.to_vec(), bytes.collect())
}

fn bits(numbers: &[u32]) -> (Dtype, Vec<usize>, Vec<u8>) {
    let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    (Dtype::U32, vec![numbers.len()], bytes)
}

/// The steps in the file: 0 cleaning, 1 one-hot, 2 n-grams, 3 number, 4 label, 5 split.
fn attacks() -> Vec<(&'static str, Edit, &'static str)> {
    let header = |path: &'static str, value: Value| -> Edit {
        Box::new(move |header: &mut Value, _: &mut Tensors| *header.pointer_mut(path).unwrap() = value)
    };
    let tensor = |name: &'static str, tensor: (Dtype, Vec<usize>, Vec<u8>)| -> Edit {
        Box::new(move |_: &mut Value, tensors: &mut Tensors| drop(tensors.insert(name.to_owned(), tensor)))
    };
    let most = [1e300; (FEATURES + 1) * 3];
    let coefficients = |value: f64| numbers(&[value; FEATURES * 3], [FEATURES, 3]);
    vec![
        (
            "more classes than thresholds",
            tensor("thresholds", numbers(&[0.5, 0.5], [2])),
            "thresholds are not one number a class",
        ),
        (
            "more classes than the label has",
            Box::new(move |header, tensors| {
                header["model"]["classes"] = json!(4);
                header["model"]["sets"] = json!(4);
                tensors.insert(
                    "coefficients".to_owned(),
                    numbers(&[0.0; FEATURES * 4], [FEATURES, 4]),
                );
                tensors.insert("intercepts".to_owned(), numbers(&[0.0; 4], [4]));
                tensors.insert("thresholds".to_owned(), numbers(&[0.5; 4], [4]));
            }),
            "its steps give 3 classes, and its model has 4",
        ),
        (
            "more features than the encoders have columns",
            Box::new(move |header, tensors| {
                header["model"]["features"] = json!(FEATURES + 1);
                tensors.insert(
                    "coefficients".to_owned(),
                    numbers(&most[..(FEATURES + 1) * 3], [FEATURES + 1, 3]),
                );
            }),
            "its steps give 20 features, and its model has 21",
        ),
        (
            "fewer features than the encoders have columns",
            Box::new(move |header, tensors| {
                header["model"]["features"] = json!(FEATURES - 1);
                let coefficients = numbers(&[0.0; (FEATURES - 1) * 3], [FEATURES - 1, 3]);
                tensors.insert("coefficients".to_owned(), coefficients);
            }),
            "its steps give 20 features, and its model has 19",
        ),
        (
            "features that no memory holds",
            header("/model/features", json!(u64::MAX)),
            "do not have the shape",
        ),
        (
            "no sets",
            header("/model/sets", json!(0)),
            "do not have the shape",
        ),
        (
            "a class that is there twice",
            tensor("step4.classes.bytes", (Dtype::U8, vec![6], b"ababab".to_vec())),
            "classes",
        ),
        (
            "a regression of classes",
            Box::new(move |header, tensors| {
                header["model"] =
                    json!({"kind": "linear_regression", "classes": 0, "sets": 1, "features": FEATURES});
                tensors.insert(
                    "coefficients".to_owned(),
                    numbers(&[0.0; FEATURES], [FEATURES, 1]),
                );
                tensors.insert("intercepts".to_owned(), numbers(&[0.0], [1]));
                tensors.remove("thresholds");
            }),
            "its label is not one of a linear_regression",
        ),
        (
            "n-grams of 4 billion characters",
            header("/steps/2/settings/range", json!([1, u32::MAX])),
            "from 1 to 8 characters",
        ),
        (
            "n-grams of no characters",
            header("/steps/2/settings/range", json!([0, 1])),
            "from 1 to 8 characters",
        ),
        (
            "n-grams from long to short",
            header("/steps/2/settings/range", json!([3, 2])),
            "its range is [3, 2]",
        ),
        (
            "a hash of 4 billion buckets",
            header("/steps/2/settings/bits", json!(32)),
            "it has 32 bits, and may have from 1 to 24",
        ),
        (
            "a bucket beyond the hash",
            tensor("step2.buckets", bits(&[1024; 16])),
            "not below 2^bits",
        ),
        (
            "more buckets than the hash has",
            Box::new(|header, tensors| {
                header["steps"][2]["settings"]["bits"] = json!(3);
                tensors.insert("step2.buckets".to_owned(), bits(&[0; 16]));
            }),
            "holds one twice",
        ),
        (
            "a coefficient of 1e308",
            tensor("coefficients", coefficients(1e308)),
            "a coefficient is not a number of at most 1e250",
        ),
        (
            "an infinite coefficient",
            tensor("coefficients", coefficients(f64::NEG_INFINITY)),
            "a coefficient is not a number",
        ),
        (
            "an intercept that is no number",
            tensor("intercepts", numbers(&[0.0, f64::NAN, 0.0], [3])),
            "a coefficient is not a number",
        ),
        (
            "a mean that is no number",
            tensor("step3.fill_mean_std", numbers(&[0.0, f64::NAN, 1.0], [3])),
            "three finite numbers",
        ),
        (
            "text beyond its bytes",
            tensor("step1.categories.offsets", bits(&[0, 7, 400_000])),
            "`step1.categories.bytes` is damaged",
        ),
        (
            "text that runs backwards",
            tensor("step1.categories.offsets", bits(&[0, 13, 7])),
            "`step1.categories.bytes` is damaged",
        ),
        (
            "text with a place of 3 billion",
            tensor("step1.categories.offsets", bits(&[0, 7, 3_000_000_000])),
            "`step1.categories.bytes` is damaged",
        ),
        (
            "text cut inside a character",
            tensor("step1.categories.offsets", bits(&[0, 2, 13])),
            "`step1.categories.bytes` is damaged",
        ),
        (
            "text without places",
            tensor("step1.categories.offsets", bits(&[])),
            "`step1.categories.bytes` is damaged",
        ),
        (
            "places of text that are no integers",
            tensor("step1.categories.offsets", numbers(&[0.0, 7.0, 13.0], [3])),
            "has no offsets",
        ),
        (
            "no coefficients",
            Box::new(|_, tensors| drop(tensors.remove("coefficients"))),
            "tensor `coefficients` is missing",
        ),
        (
            "coefficients of another type",
            Box::new(|_, tensors| {
                tensors.insert(
                    "coefficients".to_owned(),
                    (Dtype::I64, vec![FEATURES, 3], vec![0; FEATURES * 24]),
                );
                tensors.insert("intercepts".to_owned(), (Dtype::I64, vec![3], vec![0; 24]));
            }),
            "coefficients of type Int64",
        ),
        (
            "a model of another kind",
            header("/model/kind", json!("oracle")),
            "`oracle`, which this build does not know",
        ),
        (
            "an encoder of another kind",
            header("/steps/1/kind", json!("tardis")),
            "the encoders are",
        ),
        ("no folds", header("/steps/5/settings/folds", json!(0)), "folds"),
        (
            "a share that is no number",
            tensor("step5.shares", numbers(&[f64::NAN, 0.5, 0.5], [3])),
            "shares",
        ),
        ("no steps", header("/steps", json!([])), "it has no steps"),
        (
            "no cleaning",
            header("/steps/0/kind", json!("one_hot")),
            "its first step is `one_hot`, not `clean`",
        ),
        (
            "cleaning and nothing else",
            header("/steps", json!([{"kind": "clean", "settings": {}}])),
            "too few",
        ),
    ]
}

#[test]
fn a_forged_bundle_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    for (name, edit, why) in attacks() {
        std::fs::write(&path, edited(&bytes, edit)).unwrap();
        let error = Bundle::read(&path, &built_in()).expect_err(name).to_string();
        assert!(error.contains(why), "{name}: {error}");
        assert!(!error.contains("checksum"), "{name}: {error}");
    }
}

/// A file of a few bytes that claims more: nothing of that size is read or allocated.
#[test]
fn a_file_that_is_larger_than_a_model_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let header = |length: u64, text: &[u8]| [&length.to_le_bytes()[..], text].concat();
    let tensor = |bytes: u64| {
        let text = format!(r#"{{"t":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[0,{bytes}]}}}}"#);
        header(text.len() as u64, text.as_bytes())
    };
    let cases = [
        (
            "6 GB, sparse",
            tensor(6 << 30),
            6 << 30,
            "a model has 4294967296 at most",
        ),
        (
            "60 GB, sparse",
            tensor(60 << 30),
            60 << 30,
            "a model has 4294967296 at most",
        ),
        (
            "a header of 40 MB",
            header(40 << 20, b"{"),
            41 << 20,
            "its header has 41943040 bytes",
        ),
        (
            "a header of 3 GB",
            header(3 << 30, b"{"),
            3500 << 20,
            "its header has 3221225472 bytes",
        ),
        (
            "a header beyond the file",
            header(1 << 20, b"{"),
            1 << 19,
            "its header is longer than the file",
        ),
        (
            "tensors beyond the file",
            tensor(3 << 30),
            1 << 20,
            "its tensors would have 3221225472 bytes",
        ),
        (
            "tensors short of the file",
            tensor(100),
            3 << 30,
            "its tensors would have 100 bytes",
        ),
    ];
    for (name, start, length, why) in cases {
        let mut file = File::create(&path).unwrap();
        file.write_all(&start).unwrap();
        file.set_len(length).unwrap();
        let begun = Instant::now();
        let error = Bundle::read(&path, &built_in()).expect_err(name).to_string();
        assert!(error.contains(why), "{name}: {error}");
        assert!(
            begun.elapsed() < Duration::from_millis(500),
            "{name}: {:?}",
            begun.elapsed()
        );
    }
}

/// Sixty tables of 2^24 buckets would be 4 GB; what is kept follows from the buckets there are.
#[test]
fn sixty_hashes_of_24_bits_cost_what_their_buckets_do() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = written(dir.path());
    let forged = edited(&bytes, |header, tensors| {
        let ngrams = header["steps"][2].clone();
        let steps = header["steps"].as_array_mut().unwrap();
        let rest = steps.split_off(4);
        steps.truncate(1);
        tensors.retain(|name, _| {
            !name.starts_with("step") || name.starts_with("step4") || name.starts_with("step5")
        });
        let renamed: Vec<_> = (tensors.extract_if(.., |name, _| name.starts_with("step")))
            .map(|(name, tensor)| {
                let step: usize = name[4..5].parse().unwrap();
                (format!("step{}{}", step + 57, &name[5..]), tensor)
            })
            .collect();
        tensors.extend(renamed);
        for step in 1..=60 {
            let mut ngrams = ngrams.clone();
            ngrams["settings"]["bits"] = json!(24);
            steps.push(ngrams);
            tensors.insert(format!("step{step}.buckets"), bits(&[step]));
        }
        steps.extend(rest);
        header["model"]["features"] = json!(60);
        tensors.insert("coefficients".to_owned(), numbers(&[0.5; 180], [60, 3]));
    });
    std::fs::write(&path, forged).unwrap();
    let begun = Instant::now();
    let bundle = Bundle::read(&path, &built_in()).unwrap();
    assert_eq!(bundle.assembler.width(), 60);
    assert_eq!(bundle.assembler.encode(&rows()).unwrap().rows(), 2);
    // Clearing 4 GB alone takes longer.
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
}
