//! Solutions against those of Spark ML and scikit-learn, which `tests/goldens/make_spark.py` wrote.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Goldens {
    data: BTreeMap<String, Data>,
    logistic_regression: Vec<Case>,
    naive_bayes: Vec<BayesCase>,
}

#[derive(Deserialize)]
struct Data {
    classes: usize,
    features: usize,
    rows: Vec<Vec<(u32, f32)>>,
    labels: Vec<i32>,
    weights: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Case {
    data: String,
    reg_param: f64,
    elastic_net_param: f64,
    standardization: bool,
    fit_intercept: bool,
    family: Family,
    spark: Solution,
    scikit_learn_objective: Option<f64>,
}

#[derive(Deserialize)]
struct BayesCase {
    data: String,
    smoothing: f64,
    theta: Vec<Vec<f64>>,
    pi: Vec<f64>,
}

#[derive(Deserialize)]
struct Solution {
    objective: f64,
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
}

impl Data {
    fn size(&self) -> TrainingSize {
        TrainingSize {
            features: self.features,
            classes: self.classes,
            entries: 40,
        }
    }

    fn table(&self) -> Table {
        let n = self.rows.len();
        Table {
            numbers: None,
            labels: self.labels.clone(),
            rows: self.rows.clone(),
            split: vec![0; n],
            fold: vec![0; n],
            weights: self.weights.clone(),
        }
    }
}

#[test]
fn the_solutions_are_those_of_spark_and_scikit_learn() {
    let goldens: Goldens = serde_json::from_str(include_str!("../goldens/spark.json")).unwrap();
    assert_eq!((goldens.data.len(), goldens.logistic_regression.len()), (8, 24));
    for case in &goldens.logistic_regression {
        let data = &goldens.data[&case.data];
        let name = format!(
            "{}, reg_param {}, L1 {}",
            case.data, case.reg_param, case.elastic_net_param
        );
        let settings = LogisticSettings {
            elastic_net_param: vec![case.elastic_net_param],
            max_iter: vec![10_000],
            tol: 1e-14,
            standardization: case.standardization,
            fit_intercept: case.fit_intercept,
            family: case.family,
            ..settings(case.reg_param)
        };
        let batches = data.table().batches(data.rows.len());
        let trained = train(&batches, data.size(), &settings, &SEARCH, PLENTY).unwrap();
        let got = trained.objective.unwrap();
        for objective in [Some(case.spark.objective), case.scikit_learn_objective]
            .into_iter()
            .flatten()
        {
            let off = (got - objective) / objective;
            assert!(off.abs() < 1e-8, "{name}: objective {} not {objective}", got);
        }
        let Coefficients::F64(coefficients) = trained.model.linear().unwrap().coefficients() else {
            panic!("not small?")
        };
        let spark = case
            .spark
            .coefficients
            .iter()
            .flatten()
            .chain(&case.spark.intercepts);
        assert_eq!(
            coefficients.len(),
            (data.features + 1) * trained.model.linear().unwrap().sets()
        );
        for (got, expected) in coefficients.iter().zip(spark) {
            assert!((got - expected).abs() < 1e-4, "{name}: {got} not {expected}");
            let zero = case.elastic_net_param > 0.0 && *expected == 0.0;
            assert!(!zero || *got == 0.0, "{name}: {got} is no true zero");
        }
    }
}

#[test]
fn naive_bayes_has_the_probabilities_of_spark() {
    let goldens: Goldens = serde_json::from_str(include_str!("../goldens/spark.json")).unwrap();
    assert_eq!(goldens.naive_bayes.len(), 3);
    for case in &goldens.naive_bayes {
        let data = &goldens.data[&case.data];
        let mut table = data.table();
        table
            .rows
            .iter_mut()
            .flatten()
            .for_each(|entry| entry.1 = entry.1.abs());
        let trained = bayes(&table.batches(50), data.size(), &[case.smoothing], PLENTY).unwrap();
        let Coefficients::F64(coefficients) = trained.model.linear().unwrap().coefficients() else {
            panic!("not small?")
        };
        let spark = case.theta.iter().flatten().chain(&case.pi);
        assert_eq!(coefficients.len(), (data.features + 1) * data.classes);
        for (got, expected) in coefficients.iter().zip(spark) {
            assert!(
                (got - expected).abs() < 1e-12,
                "{}: {got} not {expected}",
                case.data
            );
        }
    }
}
