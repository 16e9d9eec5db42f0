//! Training as its users see it: the solutions of scikit-learn, and the same bits however the work is cut.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "training/battery.rs"]
mod battery;
#[path = "support/centroids.rs"]
mod centroids;
#[path = "training/checkpoint.rs"]
mod checkpoint;
#[path = "training/halving.rs"]
mod halving;
#[path = "training/instructions.rs"]
mod instructions;
#[path = "training/linear.rs"]
mod linear;
#[path = "training/naive_bayes.rs"]
mod naive_bayes;
#[path = "training/passes.rs"]
mod passes;
#[path = "training/spark.rs"]
mod spark;
#[path = "training/warm.rs"]
mod warm;
#[path = "support/ways.rs"]
mod ways;
#[path = "training/weights.rs"]
mod weights;

use std::sync::Arc;

use arrow::array::{Float32Array, Float64Array, Int32Array, ListArray, RecordBatch, UInt8Array, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use gristmill_learn::Error;
use gristmill_learn::contract::learner::ModelKind as _;
use gristmill_learn::contract::learner::ModelSettings;
use gristmill_learn::contract::pass::Pass;
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::contract::step::SparseBlock;
use gristmill_learn::evaluate::ScorePass;
use gristmill_learn::model::{Coefficients, Thresholds};
use gristmill_learn::registry::built_in;
use gristmill_learn::search::{Next, Params, Trained, Trainer};
use gristmill_learn::settings::{Choice, Metric, SearchSettings};
use gristmill_learn::train::{
    F64_ELEMENTS, Family, LogisticSettings, NaiveBayesSettings, Solver, TrainingSize, logistic_search,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// All kinds, with one from outside.
fn kinds() -> Registry {
    built_in().with_model(&centroids::NearestCentroid)
}

/// Rows of a features table.
#[derive(Clone)]
struct Table {
    labels: Vec<i32>,
    /// What a regression learns instead.
    numbers: Option<Vec<f64>>,
    rows: Vec<Vec<(u32, f32)>>,
    split: Vec<u8>,
    fold: Vec<u8>,
    weights: Option<Vec<f64>>,
}

impl Table {
    /// The rows `range` as a batch.
    fn batch(&self, range: std::ops::Range<usize>) -> RecordBatch {
        let rows = &self.rows[range.clone()];
        let offsets = OffsetBuffer::<i32>::from_lengths(rows.iter().map(Vec::len));
        let indices = UInt32Array::from_iter_values(rows.iter().flatten().map(|e| e.0));
        let values = Float32Array::from_iter_values(rows.iter().flatten().map(|e| e.1));
        let list = |item: DataType, values: arrow::array::ArrayRef| -> arrow::array::ArrayRef {
            let field = Arc::new(Field::new_list_field(item, false));
            Arc::new(ListArray::new(field, offsets.clone(), values, None))
        };
        let weights = self.weights.as_ref().map(|weights| {
            let weights = Float64Array::from(weights[range.clone()].to_vec());
            ("weight", Arc::new(weights) as arrow::array::ArrayRef)
        });
        let label: arrow::array::ArrayRef = match &self.numbers {
            None => Arc::new(Int32Array::from(self.labels[range.clone()].to_vec())),
            Some(numbers) => Arc::new(Float64Array::from(numbers[range.clone()].to_vec())),
        };
        let columns = [
            ("label", label),
            ("indices", list(DataType::UInt32, Arc::new(indices))),
            ("values", list(DataType::Float32, Arc::new(values))),
            (
                "split",
                Arc::new(UInt8Array::from(self.split[range.clone()].to_vec())) as _,
            ),
            ("fold", Arc::new(UInt8Array::from(self.fold[range].to_vec())) as _),
        ];
        RecordBatch::try_from_iter(columns.into_iter().chain(weights)).unwrap()
    }

    /// Batches of so many rows.
    fn batches(&self, rows: usize) -> Vec<RecordBatch> {
        (0..self.rows.len())
            .step_by(rows)
            .map(|r| self.batch(r..(r + rows).min(self.rows.len())))
            .collect()
    }
}

/// The memory in which so many models advance together.
fn bytes(settings: &LogisticSettings, size: TrainingSize, models: u64) -> u64 {
    let settings = ModelSettings::new(settings.clone());
    settings.sums_bytes(&SEARCH, size) + models * settings.model_bytes(size)
}

/// Trains on batches, in this thread's pool.
fn train(
    batches: &[RecordBatch],
    size: TrainingSize,
    settings: &LogisticSettings,
    search: &SearchSettings,
    memory: u64,
) -> gristmill_learn::Result<Trained> {
    drive(
        logistic_search(settings, search, size, Thresholds::default(), memory)?,
        batches,
    )
}

/// Answers a trainer until it is done.
fn drive(mut trainer: Box<dyn Trainer>, batches: &[RecordBatch]) -> gristmill_learn::Result<Trained> {
    let mut answer = None;
    loop {
        match trainer.next(answer.take())? {
            Next::Scan(pass) => {
                answer = Some(ways::fold(pass.as_ref(), batches)?);
            }
            Next::Step => {}
            Next::Done(trained) => return Ok(*trained),
        }
    }
}

/// Trains naive Bayes on batches.
fn bayes(
    batches: &[RecordBatch],
    size: TrainingSize,
    smoothing: &[f64],
    memory: u64,
) -> gristmill_learn::Result<Trained> {
    let settings = ModelSettings::new(NaiveBayesSettings {
        smoothing: smoothing.to_vec(),
        thresholds: None,
    });
    drive(
        settings.trainer(&SEARCH, size, Thresholds::default(), memory)?,
        batches,
    )
}

fn settings(reg_param: f64) -> LogisticSettings {
    LogisticSettings {
        reg_param: vec![reg_param].into(),
        elastic_net_param: vec![0.0],
        max_iter: vec![100],
        tol: 1e-6,
        fit_intercept: true,
        standardization: true,
        family: Family::Auto,
        solver: Solver::Lbfgs,
        history: 10,
        thresholds: None,
    }
}

const SEARCH: SearchSettings = SearchSettings {
    folds: 3,
    halving: None,
    choose: Choice::Minimum,
    seconds: None,
    metric: Metric::F1,
};
const PLENTY: u64 = 1 << 32;

#[derive(Deserialize)]
struct Golden {
    name: String,
    classes: usize,
    features: usize,
    reg_param: f64,
    standardization: bool,
    rows: Vec<Vec<(u32, f32)>>,
    labels: Vec<i32>,
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    objective: f64,
}

#[test]
fn the_solutions_are_those_of_scikit_learn() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("goldens/training.json")).unwrap();
    assert_eq!(goldens.len(), 5);
    for golden in goldens {
        let n = golden.rows.len();
        let table = Table {
            labels: golden.labels,
            numbers: None,
            rows: golden.rows,
            split: vec![0; n],
            fold: vec![0; n],
            weights: None,
        };
        let settings = LogisticSettings {
            max_iter: vec![10_000],
            tol: 1e-14,
            standardization: golden.standardization,
            ..settings(golden.reg_param)
        };
        let size = TrainingSize {
            features: golden.features,
            classes: golden.classes,
            entries: 40,
        };
        let trained = train(&table.batches(n), size, &settings, &SEARCH, PLENTY).unwrap();
        let objective = trained.objective.unwrap();
        let off = (objective - golden.objective) / golden.objective;
        assert!(
            off.abs() < 1e-9,
            "{}: objective {} not {}",
            golden.name,
            objective,
            golden.objective
        );
        let Coefficients::F64(coefficients) = trained.model.linear().unwrap().coefficients() else {
            panic!("not small?")
        };
        let expected = golden.coefficients.iter().flatten().chain(&golden.intercepts);
        assert_eq!(
            coefficients.len(),
            (golden.features + 1) * trained.model.linear().unwrap().sets()
        );
        for (got, expected) in coefficients.iter().zip(expected) {
            assert!(
                (got - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{}: {got} {expected}",
                golden.name
            );
        }
    }
}

/// A table of three classes with three folds, a validation and a test split.
fn table(rows: usize) -> (Table, TrainingSize) {
    let mut state = 12_345_u64;
    let mut random = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut table = Table {
        labels: vec![],
        numbers: None,
        rows: vec![],
        split: vec![],
        fold: vec![],
        weights: None,
    };
    for _ in 0..rows {
        let label = random(3);
        let mut row: Vec<(u32, f32)> = (0..4)
            .map(|_| (random(30) as u32, 0.5 + random(8) as f32 / 8.0))
            .collect();
        row.push((30 + label as u32 * 3 + random(3) as u32, 1.0));
        if random(3) == 0 {
            row.push((30 + random(9) as u32, 1.0));
        }
        row.sort_by_key(|e| e.0);
        row.dedup_by_key(|e| e.0);
        table.labels.push(label as i32);
        table.rows.push(row);
        table.split.push([0, 0, 0, 0, 0, 0, 0, 1, 2][random(9) as usize]);
        table.fold.push(random(3) as u8);
    }
    (
        table,
        TrainingSize {
            features: 40,
            classes: 3,
            entries: 40,
        },
    )
}

fn grid() -> LogisticSettings {
    LogisticSettings {
        reg_param: vec![0.001, 0.01, 0.1].into(),
        elastic_net_param: vec![0.0, 0.6],
        max_iter: vec![2, 5, 15],
        ..settings(0.0)
    }
}

#[test]
fn scores_merge_to_the_whole() {
    let (table, size) = table(600);
    let model = train(&table.batches(600), size, &settings(0.01), &SEARCH, PLENTY)
        .unwrap()
        .model;
    let pass = ScorePass::new(model, Thresholds::default());
    let fold = |range: std::ops::Range<usize>| {
        let mut accumulator = pass.start();
        accumulator.update(&table.batch(range)).unwrap();
        accumulator
    };
    let whole = ScorePass::confusions(&fold(0..600).state().unwrap()).unwrap();
    assert_eq!(whole.iter().map(|c| c.scores().rows).sum::<u64>(), 600);
    let mut left = fold(0..100);
    left.merge(&fold(100..350).state().unwrap()).unwrap();
    left.merge(&fold(350..600).state().unwrap()).unwrap();
    let mut tail = fold(100..350);
    tail.merge(&fold(350..600).state().unwrap()).unwrap();
    let mut right = fold(0..100);
    right.merge(&tail.state().unwrap()).unwrap();
    for merged in [left, right] {
        let mut merged = merged;
        let confusions = ScorePass::confusions(&merged.state().unwrap()).unwrap();
        for (merged, whole) in confusions.iter().zip(&whole) {
            assert_eq!(merged.clone().into_counts(), whole.clone().into_counts());
            assert!((merged.log_loss_sum() - whole.log_loss_sum()).abs() < 1e-9);
        }
    }
}

/// Every number of a state.
fn numbers(state: &RecordBatch) -> Vec<f64> {
    fn collect(array: &arrow::array::ArrayRef, out: &mut Vec<f64>) {
        use arrow::array::AsArray;
        match array.data_type() {
            DataType::Struct(_) => array.as_struct().columns().iter().for_each(|c| collect(c, out)),
            DataType::List(_) => collect(array.as_list::<i32>().values(), out),
            DataType::LargeList(_) => collect(array.as_list::<i64>().values(), out),
            _ => {
                let cast = arrow::compute::cast(array, &DataType::Float64).unwrap();
                let values = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(&cast);
                out.extend(values.values());
            }
        }
    }
    let mut out = Vec::new();
    state.columns().iter().for_each(|c| collect(c, &mut out));
    out
}

#[test]
fn a_budget_below_one_model_is_refused() {
    let size = TrainingSize {
        features: 1 << 20,
        classes: 100,
        entries: 40,
    };
    // Rows that have no symmetries.
    let (table, _) = table(50);
    let error = train(&table.batches(50), size, &settings(0.1), &SEARCH, 1 << 30)
        .err()
        .unwrap();
    assert!(
        matches!(error, Error::Budget { needed, .. } if needed > 1 << 30),
        "{error}"
    );
    let model = ModelSettings::new(settings(0.1));
    let ways = model.ways_out(&SEARCH, size, 1 << 30);
    assert!(ways.iter().all(|way| way.bytes <= 1 << 30), "{ways:?}");
    let changes: Vec<&str> = ways.iter().map(|way| way.change.as_str()).collect();
    assert_eq!(changes, ["have at most 97000 features, by bits or min_count"]);
    let ways = model.ways_out(&SEARCH, size, 6 << 30);
    assert_eq!(ways[0].change, "set model.history = 4");
    assert_eq!(ways[1].change, "set model.solver = \"adagrad\"");
    assert_eq!(ways[3].change, "set model.kind = \"naive_bayes\"");
}

#[test]
fn large_models_are_trained_in_single_precision() {
    let (mut table, _) = table(300);
    let features = 700_000;
    table
        .rows
        .iter_mut()
        .for_each(|row| row.push((features as u32 - 1, 0.25)));
    let size = TrainingSize {
        features,
        classes: 3,
        entries: 40,
    };
    assert!(features * 8 > F64_ELEMENTS);
    let settings = LogisticSettings {
        history: 2,
        max_iter: vec![4],
        ..settings(0.01)
    };
    let trained = train(&table.batches(300), size, &settings, &SEARCH, PLENTY).unwrap();
    let Coefficients::F32(large) = trained.model.linear().unwrap().coefficients() else {
        panic!("not large?")
    };
    // The same problem without the constant last column, whose coefficient is 0, in double precision.
    table.rows.iter_mut().for_each(|row| row.truncate(row.len() - 1));
    let size = TrainingSize {
        features: 40,
        classes: 3,
        entries: 40,
    };
    let small = train(&table.batches(300), size, &settings, &SEARCH, PLENTY).unwrap();
    let Coefficients::F64(small) = small.model.linear().unwrap().coefficients() else {
        panic!("not small?")
    };
    for (l, s) in large.iter().take(120).zip(&small) {
        assert!((f64::from(*l) - s).abs() < 1e-3 * (1.0 + s.abs()), "{l} {s}");
    }
    assert!(large[120..3 * features].iter().all(|w| *w == 0.0));
}
