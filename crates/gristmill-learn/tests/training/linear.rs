//! Linear regression as a trainer: the solutions of Spark ML and scikit-learn (`tests/goldens/make_linear.py`), its search,
//! its merges, and what it refuses.

use std::collections::BTreeMap;

use gristmill_learn::evaluate::RegressionPass;
use gristmill_learn::train::linear_search;
use gristmill_learn::train::{LinearSettings, MAX_LINEAR_FEATURES};

use super::*;

pub(super) const BY_RMSE: SearchSettings = SearchSettings {
    folds: 3,
    halving: None,
    metric: Metric::Rmse,
};

/// Rows with numbers as labels.
#[derive(Clone)]
pub(super) struct Numbers {
    table: Table,
    labels: Vec<f64>,
}

impl Numbers {
    fn batch(&self, range: std::ops::Range<usize>) -> RecordBatch {
        let batch = self.table.batch(range.clone());
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(f, c)| {
            let labels = Float64Array::from(self.labels[range.clone()].to_vec());
            let column = if f.name() == "label" {
                Arc::new(labels) as arrow::array::ArrayRef
            } else {
                Arc::clone(c)
            };
            (f.name().clone(), column)
        });
        RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap()
    }

    pub(super) fn batches(&self, rows: usize) -> Vec<RecordBatch> {
        (0..self.labels.len())
            .step_by(rows)
            .map(|r| self.batch(r..(r + rows).min(self.labels.len())))
            .collect()
    }
}

/// The classes of [`table`] as numbers, with what the features add and noise.
pub(super) fn numbers_table(rows: usize) -> (Numbers, TrainingSize) {
    let (table, size) = table(rows);
    let labels = (0..rows).map(|r| {
        let row: f64 = table.rows[r]
            .iter()
            .map(|(i, v)| f64::from(*i % 7) * f64::from(*v))
            .sum();
        1000.0 + 3.0 * f64::from(table.labels[r]) + row / 4.0 + (r % 16) as f64 / 8.0
    });
    let labels = labels.collect();
    let size = TrainingSize { classes: 0, ..size };
    (Numbers { table, labels }, size)
}

fn settings(reg_param: &[f64], elastic_net_param: &[f64]) -> LinearSettings {
    LinearSettings {
        reg_param: reg_param.to_vec(),
        elastic_net_param: elastic_net_param.to_vec(),
        max_iter: vec![100],
        tol: 1e-6,
        fit_intercept: true,
        standardization: true,
    }
}

fn grid() -> LinearSettings {
    LinearSettings {
        max_iter: vec![3, 20],
        ..settings(&[0.0, 0.1, 1.0], &[0.0, 0.7])
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

/// Of coefficients, scores and the objective.
fn bits(trained: &Trained) -> Vec<u64> {
    let scores = trained
        .search
        .iter()
        .flat_map(|p| p.scores.iter().chain(&p.score));
    let all = coefficients(trained);
    let all = all.iter().chain(scores).chain(&trained.objective);
    all.map(|x| x.to_bits()).collect()
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
        let numbers = Numbers {
            table: Table {
                labels: vec![0; n],
                rows: data.rows.clone(),
                split: vec![0; n],
                fold: vec![0; n],
                weights: data.weights.clone(),
            },
            labels: data.labels.clone(),
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

#[test]
fn batches_and_threads_change_no_bit() {
    let (numbers, size) = numbers_table(900);
    let whole = linear(&numbers.batches(900), size, &grid()).unwrap();
    assert!(whole.search.iter().all(|p| p.scores.len() == 3));
    for (threads, rows) in [(1, 1), (2, 7), (7, 400)] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let other = pool
            .install(|| linear(&numbers.batches(rows), size, &grid()))
            .unwrap();
        assert_eq!(bits(&whole), bits(&other), "{threads} threads, batches of {rows}");
    }
}

#[test]
fn the_search_equals_independent_fits() {
    let (numbers, size) = numbers_table(600);
    let searched = linear(&numbers.batches(600), size, &grid()).unwrap();
    assert_eq!(searched.search.len(), 12);
    for point in &searched.search {
        let ElasticNet {
            reg_param,
            elastic_net_param,
            max_iter,
        } = elastic_net(&point.params);
        for fold in 0..3_u8 {
            let mut alone = numbers.clone();
            for row in 0..600 {
                alone.table.split[row] = match (numbers.table.split[row], numbers.table.fold[row]) {
                    (0, f) if f == fold => 1,
                    (0, _) => 0,
                    _ => 2,
                };
            }
            let batches = alone.batches(600);
            let settings = LinearSettings {
                max_iter: vec![max_iter],
                ..settings(&[reg_param], &[elastic_net_param])
            };
            let trained = linear(&batches, size, &settings).unwrap();
            let scoring = RegressionPass::on_splits(&[Arc::clone(&trained.model)]);
            let mut score = scoring.start();
            score.update(&batches[0]).unwrap();
            let scores = scoring.scores(&score.state().unwrap()).unwrap();
            let (got, expected) = (scores[1].rmse, point.scores[usize::from(fold)]);
            assert!((got - expected).abs() < 1e-9, "{point:?} fold {fold}: {got}");
        }
    }
    let best = searched.search.iter().filter_map(|p| p.score);
    assert_eq!(
        searched.search[searched.best].score,
        best.reduce(f64::min),
        "the smallest error"
    );
}

#[test]
fn states_merge_to_the_whole() {
    let (table, size) = numbers_table(600);
    let mut trainer = linear_search(&grid(), &BY_RMSE, size, PLENTY).unwrap();
    let (mut answer, mut scans) = (None, 0);
    loop {
        let pass = match trainer.next(answer.take()).unwrap() {
            Next::Scan(pass) => pass,
            Next::Step => continue,
            Next::Done(_) => break,
        };
        scans += 1;
        let fold = |range: std::ops::Range<usize>| {
            let mut accumulator = pass.start();
            accumulator.update(&table.batch(range)).unwrap();
            accumulator
        };
        let whole = fold(0..600).state().unwrap();
        let mut left = fold(0..100);
        left.merge(&fold(100..350).state().unwrap()).unwrap();
        left.merge(&fold(350..600).state().unwrap()).unwrap();
        let mut tail = fold(100..350);
        tail.merge(&fold(350..600).state().unwrap()).unwrap();
        let mut right = fold(0..100);
        right.merge(&tail.state().unwrap()).unwrap();
        let mut fresh = pass.start();
        fresh.merge(&whole).unwrap();
        fresh.merge(&pass.start().state().unwrap()).unwrap();
        let expected = numbers(&whole);
        for mut merged in [left, right, fresh] {
            let merged = numbers(&merged.state().unwrap());
            assert_eq!(merged.len(), expected.len());
            for (m, w) in merged.iter().zip(&expected) {
                assert!((m - w).abs() <= 1e-9 * (1.0 + w.abs()), "{m} {w}");
            }
        }
        answer = Some(whole);
    }
    assert_eq!(scans, 2, "one for the sums, one for the scores");
}

#[test]
fn a_foreign_state_is_refused() {
    let (numbers, size) = numbers_table(50);
    let narrow = Numbers {
        table: Table {
            rows: vec![vec![(0, 1.0)]; 50],
            ..numbers.table
        },
        ..numbers
    };
    let of_fewer_features = TrainingSize { features: 3, ..size };
    for (settings, size_of_it) in [(grid(), of_fewer_features), (settings(&[0.1], &[0.0]), size)] {
        let mut foreign = linear_search(&settings, &BY_RMSE, size_of_it, PLENTY).unwrap();
        let mut trainer = linear_search(&grid(), &BY_RMSE, size, PLENTY).unwrap();
        let (Next::Scan(other), Next::Scan(_)) = (foreign.next(None).unwrap(), trainer.next(None).unwrap())
        else {
            panic!("no scan")
        };
        let mut accumulator = other.start();
        accumulator.update(&narrow.batch(0..50)).unwrap();
        let error = trainer.next(Some(accumulator.state().unwrap())).err().unwrap();
        assert!(matches!(error, Error::State { .. }), "{error}");
    }
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let (mut numbers, size) = numbers_table(60);
    let many = TrainingSize {
        features: MAX_LINEAR_FEATURES + 1,
        ..size
    };
    let error = linear_search(&grid(), &BY_RMSE, many, PLENTY).err().unwrap();
    assert!(error.to_string().contains("at most 4096 features"), "{error}");
    let model = ModelSettings::new(grid());
    let needed = model.sums_bytes(&BY_RMSE, size) + model.model_bytes(size);
    assert!(linear_search(&grid(), &BY_RMSE, size, needed).is_ok());
    let error = linear_search(&grid(), &BY_RMSE, size, needed - 1).err().unwrap();
    assert!(matches!(error, Error::Budget { .. }), "{error}");

    let mut one_fold = numbers.clone();
    one_fold.table.fold.iter_mut().for_each(|f| *f = 0);
    let error = linear(&one_fold.batches(60), size, &grid()).err().unwrap();
    assert!(matches!(error, Error::EmptySplit { .. }), "{error}");
    let mut weightless = numbers.clone();
    weightless.table.weights = Some(vec![0.0; 60]);
    let error = linear(&weightless.batches(60), size, &grid()).err().unwrap();
    assert!(error.to_string().contains("weight 0"), "{error}");

    numbers.labels.iter_mut().for_each(|label| *label = -2.5);
    let constant = linear(&numbers.batches(60), size, &grid()).unwrap();
    let constant = coefficients(&constant);
    assert!(constant[..40].iter().all(|c| *c == 0.0) && constant[40] == -2.5);
    let bare = LinearSettings {
        fit_intercept: false,
        ..settings(&[0.1], &[0.0])
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
    for (r, label) in numbers.labels.iter_mut().enumerate() {
        *label = 1.7e9 + (r % 4) as f64 * 0.25;
    }
    let trained = linear(&numbers.batches(80), size, &settings(&[0.0], &[0.0])).unwrap();
    let scoring = RegressionPass::on_splits(&[Arc::clone(&trained.model)]);
    let mut score = scoring.start();
    score.update(&numbers.batch(0..80)).unwrap();
    let scores = scoring.scores(&score.state().unwrap()).unwrap();
    assert!(scores[0].r2 > 0.1, "{:?}", scores[0]);
}
