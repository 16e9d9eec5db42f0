//! The same bytes on every machine: whatever instructions its processor has, and whatever its C library computes.
//!
//! The hashes are those of all machines. They change where the mathematics does, and then on purpose. Under
//! `qemu-x86_64 -cpu Nehalem` this test runs without AVX and fused multiply-add.

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;
use gristmill_learn::train::{FactorisedSettings, LinearSettings, linear_search};
use gristmill_learn::use_plain_instructions;
use xxhash_rust::xxh3::xxh3_64;

use super::*;

/// Of coefficients, scores and the objective.
fn hash(trained: &Trained) -> String {
    let of_single = |values: &[f32]| values.iter().flat_map(|c| c.to_le_bytes()).collect::<Vec<_>>();
    let mut bytes: Vec<u8> = match trained.model.linear().map(|model| model.coefficients()) {
        Some(Coefficients::F64(c)) => c.iter().flat_map(|c| c.to_le_bytes()).collect(),
        Some(Coefficients::F32(c)) => of_single(&c),
        None => {
            let tensors = trained.model.spec().tensors.into_values();
            tensors
                .flat_map(|tensor| of_single(tensor.values.as_primitive::<Float32Type>().values()))
                .collect()
        }
    };
    for point in &trained.search {
        bytes.extend(
            point
                .scores
                .iter()
                .chain(&point.score)
                .flat_map(|s| s.to_le_bytes()),
        );
    }
    bytes.extend(trained.objective.iter().flat_map(|o| o.to_le_bytes()));
    format!("{:016x}", xxh3_64(&bytes))
}

/// One model of each family and solver.
fn hashes() -> Vec<(&'static str, String)> {
    let (table, size) = table(900);
    let batches = table.batches(200);
    let by_loss = SearchSettings {
        metric: Metric::LogLoss,
        ..SEARCH
    };
    let logistic =
        |settings: LogisticSettings| hash(&train(&batches, size, &settings, &by_loss, PLENTY).unwrap());
    let two_classes: Vec<RecordBatch> = {
        let mut table = table.clone();
        table.labels.iter_mut().for_each(|label| *label %= 2);
        table.batches(200)
    };
    let two = TrainingSize { classes: 2, ..size };
    let (numbers, of_numbers) = linear::numbers_table(900);
    let linear = LinearSettings {
        reg_param: vec![0.1, 1.0].into(),
        elastic_net_param: vec![0.0, 0.7],
        max_iter: vec![20],
        tol: 1e-6,
        fit_intercept: true,
        standardization: true,
    };
    let linear = linear_search(&linear, &linear::BY_RMSE, of_numbers, PLENTY).unwrap();
    let factorised = ModelSettings::new(FactorisedSettings {
        dimension: 12,
        max_iter: 3,
        tol: 1e-6,
        thresholds: None,
    });
    let factorised = factorised
        .trainer(&by_loss, size, Thresholds::default(), PLENTY)
        .unwrap();
    vec![
        (
            "naive Bayes",
            hash(&bayes(&batches, size, &[0.01, 1.0], PLENTY).unwrap()),
        ),
        (
            "L-BFGS",
            logistic(LogisticSettings {
                reg_param: vec![0.0, 0.1].into(),
                ..settings(0.0)
            }),
        ),
        (
            "OWL-QN",
            logistic(LogisticSettings {
                elastic_net_param: vec![0.5],
                ..settings(0.01)
            }),
        ),
        (
            "AdaGrad",
            logistic(LogisticSettings {
                solver: Solver::Adagrad,
                max_iter: vec![5],
                ..settings(0.01)
            }),
        ),
        ("factorised softmax", hash(&drive(factorised, &batches).unwrap())),
        (
            "binomial L-BFGS",
            hash(&train(&two_classes, two, &settings(0.01), &by_loss, PLENTY).unwrap()),
        ),
        (
            "linear regression",
            hash(&drive(linear, &numbers.batches(200)).unwrap()),
        ),
    ]
}

#[test]
fn models_have_the_same_bytes_with_all_instructions_of_the_machine_and_with_the_plain_ones() {
    let expected = [
        ("naive Bayes", "25f4414fd18925aa"),
        ("L-BFGS", "9246caaf3dd30291"),
        ("OWL-QN", "2b82b2c6d1d51fd5"),
        ("AdaGrad", "5784df09611da621"),
        ("factorised softmax", "1011fbff658ad4f0"),
        ("binomial L-BFGS", "dfdb9297e8b40c9b"),
        ("linear regression", "0a412ce154f893c0"),
    ];
    for plain in [false, true] {
        use_plain_instructions(plain);
        let hashes = hashes();
        use_plain_instructions(false);
        for ((name, hash), expected) in hashes.iter().zip(expected) {
            assert_eq!(
                (*name, hash.as_str()),
                expected,
                "plain instructions: {plain}; all: {hashes:?}"
            );
        }
    }
}
