//! Linear regression as a trainer: the solutions of Spark ML and scikit-learn (`tests/goldens/make_linear.py`), and what
//! it refuses.

use std::collections::BTreeMap;

use gristmill_learn::evaluate::RegressionPass;
use gristmill_learn::train::linear_search;
use gristmill_learn::train::{LinearSettings, MAX_LINEAR_FEATURES};

use super::*;

pub(super) const BY_RMSE: SearchSettings = SearchSettings {
    folds: 3,
    halving: None,
    choose: Choice::Minimum,
    seconds: None,
    metric: Metric::Rmse,
};

/// The classes of [`table`] as numbers, with what the features add and noise.
pub(super) fn numbers_table(rows: usize) -> (Table, TrainingSize) {
    let (mut table, size) = table(rows);
    let numbers = (0..rows).map(|r| {
        let row: f64 = table.rows[r]
            .iter()
            .map(|(i, v)| f64::from(*i % 7) * f64::from(*v))
            .sum();
        1000.0 + 3.0 * f64::from(table.labels[r]) + row / 4.0 + (r % 16) as f64 / 8.0
    });
    table.numbers = Some(numbers.collect());
    (table, TrainingSize { classes: 0, ..size })
}

fn settings(reg_param: &[f64], elastic_net_param: &[f64]) -> LinearSettings {
    LinearSettings {
        reg_param: reg_param.to_vec().into(),
        elastic_net_param: elastic_net_param.to_vec(),
        max_iter: vec![100],
        tol: 1e-6,
        fit_intercept: true,
        standardization: true,
    }
}

fn linear(
    batches: &[RecordBatch],
    size: TrainingSize,
    settings: &LinearSettings,
) -> gristmill_learn::Result<Trained> {
    drive(linear_search(settings, &BY_RMSE, size, PLENTY)?, batches)
}

fn coefficients(trained: &Trained) -> Vec<f64> {
    let Coefficients::F64(coefficients) = trained.model.linear().unwrap().coefficients() else {
        panic!("not double?")
    };
    coefficients
}

#[derive(Deserialize)]
struct Goldens {
    data: BTreeMap<String, Data>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Data {
    features: usize,
    rows: Vec<Vec<(u32, f32)>>,
    labels: Vec<f64>,
    weights: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Case {
    data: String,
    reg_param: f64,
    elastic_net_param: f64,
    standardization: bool,
    fit_intercept: bool,
    spark: Solution,
    scikit_learn_objective: Option<f64>,
}

#[derive(Deserialize)]
struct Solution {
    objective: f64,
    coefficients: Vec<f64>,
    intercept: f64,
}

fn predicted(row: &[(u32, f32)], weights: &[f64]) -> f64 {
    let met: f64 = row
        .iter()
        .map(|(i, v)| weights[*i as usize] * f64::from(*v))
        .sum();
    met + weights[weights.len() - 1]
}

#[test]
fn the_solutions_are_those_of_spark_and_scikit_learn() {
    let goldens: Goldens = serde_json::from_str(include_str!("../goldens/linear.json")).unwrap();
    assert_eq!((goldens.data.len(), goldens.cases.len()), (11, 116));
    for case in &goldens.cases {
        let data = &goldens.data[&case.data];
        let name = format!(
            "{}, reg_param {}, L1 {}, standardization {}, intercept {}",
            case.data, case.reg_param, case.elastic_net_param, case.standardization, case.fit_intercept
        );
        let n = data.labels.len();
        let numbers = Table {
            labels: vec![0; n],
            numbers: Some(data.labels.clone()),
            rows: data.rows.clone(),
            split: vec![0; n],
            fold: vec![0; n],
            weights: data.weights.clone(),
        };
        let settings = LinearSettings {
            max_iter: vec![10_000],
            tol: 1e-14,
            standardization: case.standardization,
            fit_intercept: case.fit_intercept,
            ..settings(&[case.reg_param], &[case.elastic_net_param])
        };
        let size = TrainingSize {
            features: data.features,
            classes: 0,
            entries: 40,
        };
        let trained = linear(&numbers.batches(n), size, &settings).unwrap();
        let got = trained.objective.unwrap();
        for objective in [Some(case.spark.objective), case.scikit_learn_objective]
            .into_iter()
            .flatten()
        {
            let off = (got - objective).abs();
            assert!(
                off <= 1e-10 * objective,
                "{name}: objective {got} not {objective}"
            );
        }
        let got = coefficients(&trained);
        let mut spark = case.spark.coefficients.clone();
        spark.push(case.spark.intercept);
        assert_eq!(got.len(), spark.len(), "{name}");
        for row in &data.rows {
            let (got, expected) = (predicted(row, &got), predicted(row, &spark));
            assert!(
                (got - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{name}: {got} not {expected}"
            );
        }
        // Two equal columns may share an L1 penalty as they like.
        if case.data.starts_with("collinear") && case.elastic_net_param == 1.0 {
            continue;
        }
        for (got, expected) in got.iter().zip(&spark) {
            assert!(
                (got - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{name}: {got} not {expected}"
            );
            let zero = case.elastic_net_param > 0.0 && *expected == 0.0;
            assert!(!zero || *got == 0.0, "{name}: {got} is no true zero");
        }
    }
}

/// With so many features that it is minimised by scans, the same rows have the same coefficients.
#[test]
fn scans_find_what_the_equations_say() {
    let (numbers, size) = numbers_table(300);
    let wide = TrainingSize {
        features: MAX_LINEAR_FEATURES + 1,
        ..size
    };
    let batches = numbers.batches(300);
    for standardization in [true, false] {
        for fit_intercept in [true, false] {
            for (reg_param, share) in [(0.0, 0.0), (0.3, 0.0), (0.05, 0.6)] {
                let settings = LinearSettings {
                    max_iter: vec![2000],
                    tol: 1e-12,
                    standardization,
                    fit_intercept,
                    ..settings(&[reg_param], &[share])
                };
                let narrow = coefficients(&linear(&batches, size, &settings).unwrap());
                let by_scans = coefficients(&linear(&batches, wide, &settings).unwrap());
                assert_eq!(by_scans.len(), wide.features + 1);
                let (features, intercept) = (size.features, wide.features);
                let found = by_scans[..features].iter().chain(&by_scans[intercept..]);
                for (place, (found, expected)) in found.zip(&narrow).enumerate() {
                    assert!(
                        (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                        "{place} of {settings:?}: {found} not {expected}"
                    );
                }
                assert!(by_scans[features..intercept].iter().all(|c| *c == 0.0));
            }
        }
    }
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let (mut numbers, size) = numbers_table(60);
    let penalised = settings(&[0.1], &[0.0]);
    numbers.numbers = Some(vec![-2.5; 60]);
    let constant = coefficients(&linear(&numbers.batches(60), size, &penalised).unwrap());
    assert!(constant[..40].iter().all(|c| *c == 0.0) && constant[40] == -2.5);
    let bare = LinearSettings {
        fit_intercept: false,
        ..penalised
    };
    let error = linear(&numbers.batches(60), size, &bare).err().unwrap();
    assert!(
        matches!(error, Error::ConstantLabel { value: -2.5 }),
        "as in Spark: {error}"
    );
}

#[test]
fn a_label_far_from_0_keeps_its_deviation() {
    // Sums of its squares leave no digit for that; those from an origin do.
    let (mut numbers, size) = numbers_table(80);
    for (r, label) in numbers.numbers.iter_mut().flatten().enumerate() {
        *label = 1.7e9 + (r % 4) as f64 * 0.25;
    }
    let trained = linear(&numbers.batches(80), size, &settings(&[0.0], &[0.0])).unwrap();
    let scoring = RegressionPass::on_splits(&[Arc::clone(&trained.model)]);
    let mut score = scoring.start();
    score.update(&numbers.batch(0..80)).unwrap();
    let scores = scoring.scores(&score.state().unwrap()).unwrap();
    assert!(scores[0].r2 > 0.1, "{:?}", scores[0]);
}
