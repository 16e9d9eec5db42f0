//! Training by epochs: near the minimum, the same bits however the work is cut, stopped early, searched.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, ListArray, RecordBatch, UInt8Array,
    UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, UInt8Type};
use gristmill_learn::contract::pass::Pass;
use gristmill_learn::evaluate::ScorePass;
use gristmill_learn::model::{Coefficients, Thresholds};
use gristmill_learn::search::{Next, Trained};
use gristmill_learn::settings::{Choice, Metric, SearchSettings};
use gristmill_learn::statistics::Scores;
use gristmill_learn::train::{Family, LogisticSettings, MANY_MARGINS, Solver, TrainingSize, logistic_search};

const FEATURES: usize = 60;
const PLENTY: u64 = 1 << 32;
const SEARCH: SearchSettings = SearchSettings {
    folds: 3,
    halving: None,
    choose: Choice::Minimum,
    seconds: None,
    metric: Metric::F1,
};

/// A pseudo-random number below `n`.
fn random(seed: usize, n: usize) -> usize {
    let mut x = (seed as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) % n as u64) as usize
}

/// Rows whose class most of their entries tell, `scale` times as large; sorted by class, as keys often are.
fn table(rows: usize, classes: usize, validation: bool, scale: f32) -> RecordBatch {
    let (mut lengths, mut indices, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut labels, mut split, mut fold) = (Vec::new(), Vec::new(), Vec::new());
    for r in 0..rows {
        let class = r * classes / rows;
        let mut entries: Vec<u32> = (0..5)
            .map(|e| {
                let at = random(r * 10 + e, FEATURES);
                let telling = random(r * 10 + e + 7_000_000, 3) > 0;
                (if telling {
                    at / classes * classes + class
                } else {
                    at
                }) as u32
                    % FEATURES as u32
            })
            .collect();
        entries.sort_unstable();
        entries.dedup();
        lengths.push(entries.len());
        values.extend(entries.iter().map(|i| scale * (1.0 + (*i % 3) as f32)));
        indices.extend(entries);
        labels.push(class as i32);
        split.push(match random(r + 9_000_000, 10) {
            0 => 2,
            1 | 2 if validation => 1,
            _ => 0,
        });
        fold.push(random(r + 5_000_000, 3) as u8);
    }
    let list = |item: DataType, values: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new_list_field(item, false));
        let offsets = OffsetBuffer::<i32>::from_lengths(lengths.iter().copied());
        Arc::new(ListArray::new(field, offsets, values, None))
    };
    let columns: [(&str, ArrayRef); 5] = [
        ("label", Arc::new(Int32Array::from(labels))),
        (
            "indices",
            list(DataType::UInt32, Arc::new(UInt32Array::from(indices))),
        ),
        (
            "values",
            list(DataType::Float32, Arc::new(Float32Array::from(values))),
        ),
        ("split", Arc::new(UInt8Array::from(split))),
        ("fold", Arc::new(UInt8Array::from(fold))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn settings(solver: Solver, reg_param: &[f64], max_iter: &[u32]) -> LogisticSettings {
    LogisticSettings {
        reg_param: reg_param.to_vec().into(),
        elastic_net_param: vec![0.0],
        max_iter: max_iter.to_vec(),
        tol: 1e-6,
        fit_intercept: true,
        standardization: true,
        family: Family::Auto,
        solver,
        history: 10,
        thresholds: None,
    }
}

fn fold(pass: &dyn Pass, rows: &RecordBatch, cut: usize) -> RecordBatch {
    let mut accumulator = pass.start();
    for from in (0..rows.num_rows()).step_by(cut) {
        let batch = rows.slice(from, cut.min(rows.num_rows() - from));
        accumulator.update(&batch).unwrap();
    }
    accumulator.state().unwrap()
}

fn train(
    rows: &RecordBatch,
    classes: usize,
    settings: &LogisticSettings,
    cut: usize,
    memory: u64,
) -> Trained {
    let size = TrainingSize {
        features: FEATURES,
        classes,
        entries: 40,
    };
    let mut trainer = logistic_search(settings, &SEARCH, size, Thresholds::default(), memory).unwrap();
    let mut answer = None;
    loop {
        match trainer.next(answer.take()).unwrap() {
            Next::Scan(pass) => answer = Some(fold(pass.as_ref(), rows, cut)),
            Next::Step => {}
            Next::Done(trained) => return *trained,
        }
    }
}

fn scores(trained: &Trained, rows: &RecordBatch) -> Vec<Scores> {
    let pass = ScorePass::new(Arc::clone(&trained.model), Thresholds::default());
    let confusions = ScorePass::confusions(&fold(&pass, rows, 4096)).unwrap();
    confusions.iter().map(|c| c.scores()).collect()
}

fn bits(trained: &Trained) -> Vec<u32> {
    match trained.model.linear().unwrap().coefficients() {
        Coefficients::F32(c) => c.iter().map(|c| c.to_bits()).collect(),
        Coefficients::F64(_) => panic!("trained in double precision"),
    }
}

#[test]
fn it_comes_near_the_minimum_whatever_the_units_of_the_data() {
    for (classes, scale) in [(5, 1.0), (5, 0.01), (5, 2000.0), (2, 1.0)] {
        let rows = table(12_000, classes, true, scale);
        let exact = train(
            &rows,
            classes,
            &settings(Solver::Lbfgs, &[1e-3], &[100]),
            4096,
            PLENTY,
        );
        let near = train(
            &rows,
            classes,
            &settings(Solver::Adagrad, &[1e-3], &[30]),
            4096,
            PLENTY,
        );
        let (exact, near) = (&scores(&exact, &rows)[2], &scores(&near, &rows)[2]);
        assert!(
            (near.log_loss - exact.log_loss).abs() < 0.01 && (near.accuracy - exact.accuracy).abs() < 0.02,
            "{classes} classes at {scale}: {near:?}, exactly {exact:?}"
        );
    }
}

#[test]
fn a_strong_penalty_holds_the_coefficients_where_the_exact_solution_has_them() {
    let rows = table(8_000, 4, true, 1.0);
    let norm = |solver, reg: f64| {
        let trained = train(&rows, 4, &settings(solver, &[reg], &[40]), 4096, PLENTY);
        let coefficients = match trained.model.linear().unwrap().coefficients() {
            Coefficients::F32(c) => c.into_iter().map(f64::from).collect(),
            Coefficients::F64(c) => c,
        };
        coefficients[..FEATURES * 4]
            .iter()
            .map(|c| c * c)
            .sum::<f64>()
            .sqrt()
    };
    for reg in [0.01, 1.0, 100.0] {
        let (exact, near) = (norm(Solver::Lbfgs, reg), norm(Solver::Adagrad, reg));
        assert!(
            (near / exact - 1.0).abs() < 0.1,
            "reg_param {reg}: {near}, exactly {exact}"
        );
    }
}

#[test]
fn no_bit_depends_on_batches_or_threads_or_on_how_many_models_advance_together() {
    let rows = table(70_000, 3, true, 1.0);
    let search = settings(Solver::Adagrad, &[0.001, 0.1], &[1, 2]);
    let on = |threads: usize, cut, memory| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let trained = pool.install(|| train(&rows, 3, &search, cut, memory));
        (bits(&trained), trained.search, trained.best, trained.iterations)
    };
    let reference = on(1, 8192, PLENTY);
    assert_eq!(reference, on(7, 1000, PLENTY));
    assert_eq!(reference, on(2, 65_536, 1 << 26));
}

#[test]
fn it_stops_when_the_validation_rows_no_longer_gain() {
    // Few rows of much noise: more epochs learn the noise.
    let rows = table(600, 3, true, 1.0);
    let trained = train(&rows, 3, &settings(Solver::Adagrad, &[0.0], &[200]), 4096, PLENTY);
    assert!(
        trained.converged && trained.iterations < 200,
        "{}",
        trained.iterations
    );
    let validation = |iterations: u32| {
        let limited = train(
            &rows,
            3,
            &settings(Solver::Adagrad, &[0.0], &[iterations]),
            4096,
            PLENTY,
        );
        scores(&limited, &rows)[1].log_loss
    };
    let stopped = scores(&trained, &rows)[1].log_loss;
    assert_eq!(stopped, validation(trained.iterations));
    let more = validation(trained.iterations + 1);
    assert!(
        stopped < more,
        "{stopped} after {} epochs, {more} after one more",
        trained.iterations
    );
}

#[test]
fn without_validation_rows_the_training_loss_decides() {
    let rows = table(2_000, 3, false, 1.0);
    let mut settings = settings(Solver::Adagrad, &[0.1], &[500]);
    settings.tol = 1e-3;
    let trained = train(&rows, 3, &settings, 4096, PLENTY);
    assert!(
        trained.converged && trained.iterations < 500,
        "{}",
        trained.iterations
    );
}

#[test]
fn states_merge_into_their_weighted_mean() {
    let rows = table(3_000, 3, true, 1.0);
    let size = TrainingSize {
        features: FEATURES,
        classes: 3,
        entries: 40,
    };
    let one = settings(Solver::Adagrad, &[0.1], &[1]);
    let mut trainer = logistic_search(&one, &SEARCH, size, Thresholds::default(), PLENTY).unwrap();
    let Next::Scan(summary) = trainer.next(None).unwrap() else {
        panic!("no summary");
    };
    let Next::Scan(pass) = trainer.next(Some(fold(summary.as_ref(), &rows, 512))).unwrap() else {
        panic!("no epoch");
    };
    let (a, b) = (rows.slice(0, 1000), rows.slice(1000, 2000));
    let weights = |state: &RecordBatch| -> Vec<f32> {
        let epoch = state.column(0).as_struct();
        let list = epoch.column(0).as_list::<i64>();
        list.values().as_primitive::<Float32Type>().values().to_vec()
    };
    let counted = |rows: &RecordBatch| {
        let split = rows.column_by_name("split").unwrap();
        let split = split.as_primitive::<UInt8Type>();
        split.values().iter().filter(|s| **s == 0).count() as f32
    };
    let (first, second) = (fold(pass.as_ref(), &a, 512), fold(pass.as_ref(), &b, 512));
    let mut merged = pass.start();
    merged.merge(&first).unwrap();
    assert_eq!(
        weights(&merged.state().unwrap()),
        weights(&first),
        "a fresh state is neutral"
    );
    let mut merged = pass.start();
    merged.update(&a).unwrap();
    merged.merge(&second).unwrap();
    merged.merge(&pass.start().state().unwrap()).unwrap();
    let share = counted(&b) / (counted(&a) + counted(&b));
    let all = weights(&merged.state().unwrap());
    for ((both, x), y) in all.iter().zip(weights(&first)).zip(weights(&second)) {
        assert!((both - (x + (y - x) * share)).abs() < 1e-5, "{both} {x} {y}");
    }
}

#[test]
fn auto_goes_by_rows_and_classes() {
    let size = TrainingSize {
        features: 10,
        classes: 4,
        entries: 40,
    };
    let auto = settings(Solver::Auto, &[0.0], &[10]);
    assert_eq!(size.solver(&auto, MANY_MARGINS / 4 - 1), (Solver::Lbfgs, None));
    let (solver, why) = size.solver(&auto, MANY_MARGINS / 4);
    assert_eq!(solver, Solver::Adagrad);
    assert_eq!(
        why.unwrap(),
        "solver = \"adagrad\": 268435456 rows times 4 sets of coefficients are 1073741824 margins a scan, \
         and from 1073741824 on mini-batches are faster"
    );
    let mut l1 = auto;
    l1.elastic_net_param = vec![0.0, 0.5];
    assert_eq!(size.solver(&l1, u64::MAX).0, Solver::Lbfgs);
}

#[test]
fn a_row_of_weight_two_pulls_like_two_and_the_unit_of_weights_does_not_matter() {
    let rows = table(6_000, 3, true, 1.0);
    let weighted = |unit: f64| {
        let labels = rows.column(0).as_primitive::<Int32Type>();
        let weights = labels
            .values()
            .iter()
            .map(|label| if *label == 1 { 20.0 * unit } else { unit });
        let weights: ArrayRef = Arc::new(Float64Array::from_iter_values(weights));
        let names = ["label", "indices", "values", "split", "fold"];
        let columns = names.into_iter().zip(rows.columns().iter().cloned());
        RecordBatch::try_from_iter(columns.chain([("weight", weights)])).unwrap()
    };
    let scored = |solver, trained_on: &RecordBatch| {
        let trained = train(trained_on, 3, &settings(solver, &[0.01], &[20]), 4096, PLENTY);
        scores(&trained, &rows)[2].log_loss
    };
    let plain = scored(Solver::Adagrad, &rows);
    let (near, exact) = (weighted(1.0), scored(Solver::Lbfgs, &weighted(1.0)));
    let near = scored(Solver::Adagrad, &near);
    assert!((near - exact).abs() < 0.01, "{near}, exactly {exact}");
    assert!(
        (near - plain).abs() > 0.02,
        "{near} with weights, {plain} without"
    );
    assert!((near - scored(Solver::Adagrad, &weighted(1024.0))).abs() < 1e-6);
}
