//! What accumulators say that they hold, beside what is allocated: an engine plans by their word.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, ListArray, RecordBatch, StringArray, UInt8Array,
    UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use gristmill_learn::contract::learner::ModelSettings;
use gristmill_learn::contract::pass::{Accumulate, Grain, Pass};
use gristmill_learn::encode::ngrams::{Analyzer, Buckets, NgramSettings, Norm, Normalize, Weighting};
use gristmill_learn::evaluate::HeldOutPass;
use gristmill_learn::model::Thresholds;
use gristmill_learn::search::Next;
use gristmill_learn::settings::{Choice, Metric, SearchSettings};
use gristmill_learn::statistics::{Many, Moments, Quantiles, Vocabulary};
use gristmill_learn::train::{Family, LogisticSettings, NaiveBayesSettings, Solver, TrainingSize};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What an accumulator may hold besides, whatever its rows: buffers that threads work in.
const BESIDE: usize = 256 << 10;
const ROWS: usize = 4_096;
const BATCHES: usize = 8;
const FEATURES: usize = 4_000;
const CLASSES: usize = 30;

/// Rows before they are encoded, all different.
fn raw(batch: usize) -> RecordBatch {
    let rows = batch * ROWS..(batch + 1) * ROWS;
    let names = rows
        .clone()
        .map(|row| format!("name {:06} {}", row, "x".repeat(row % 40)));
    let numbers = rows.map(|row| row as f64 * 1.5);
    let columns: [(&str, ArrayRef); 2] = [
        ("name", Arc::new(StringArray::from_iter_values(names))),
        ("number", Arc::new(Float64Array::from_iter_values(numbers))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Rows of features, of which one in eight is for validation.
fn features(batch: usize) -> RecordBatch {
    const ENTRIES: usize = 12;
    let rows = batch * ROWS..(batch + 1) * ROWS;
    let offsets = OffsetBuffer::<i32>::from_lengths(rows.clone().map(|_| ENTRIES));
    let step = FEATURES / ENTRIES;
    let indices = rows
        .clone()
        .flat_map(|row| (0..ENTRIES).map(move |entry| (entry * step + (row * 31 + entry * 7) % step) as u32));
    let values = rows
        .clone()
        .flat_map(|row| (0..ENTRIES).map(move |entry| 1.0 + ((row + entry) % 5) as f32));
    let list = |item: DataType, values: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new_list_field(item, false));
        Arc::new(ListArray::new(field, offsets.clone(), values, None))
    };
    let split = rows.clone().map(|row| if row % 8 == 0 { 1 } else { 0 });
    let columns: [(&str, ArrayRef); 5] = [
        (
            "label",
            Arc::new(Int32Array::from_iter_values(
                rows.clone().map(|row| (row % CLASSES) as i32),
            )),
        ),
        (
            "indices",
            list(DataType::UInt32, Arc::new(UInt32Array::from_iter_values(indices))),
        ),
        (
            "values",
            list(
                DataType::Float32,
                Arc::new(Float32Array::from_iter_values(values)),
            ),
        ),
        ("split", Arc::new(UInt8Array::from_iter_values(split))),
        (
            "fold",
            Arc::new(UInt8Array::from_iter_values(rows.map(|row| (row % 2) as u8))),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn fill(accumulator: &mut dyn Accumulate, batch: fn(usize) -> RecordBatch, batches: std::ops::Range<usize>) {
    batches.for_each(|number| accumulator.update(&batch(number)).unwrap());
}

/// What was found wrong.
type Wrong = Vec<String>;

/// Fills an accumulator and compares; gives its state.
fn compared(what: &str, pass: &dyn Pass, batch: fn(usize) -> RecordBatch, wrong: &mut Wrong) -> RecordBatch {
    let cut = matches!(pass.grain(), Grain::Rows(_));
    let other = cut.then(|| {
        let mut other = pass.start();
        fill(other.as_mut(), batch, BATCHES..2 * BATCHES);
        other.state().unwrap()
    });
    let before = ALLOCATED.current_usage();
    let mut accumulator = pass.start();
    fill(accumulator.as_mut(), batch, 0..BATCHES);
    let (held, said) = (ALLOCATED.current_usage() - before, accumulator.size());
    if said.abs_diff(held) > held / 5 + BESIDE {
        wrong.push(format!("{what}: it holds {held} bytes and says {said}"));
    }
    let said = accumulator.peak();
    let mut peak =
        |doing: &str, accumulator: &mut dyn Accumulate, work: &mut dyn FnMut(&mut dyn Accumulate)| {
            ALLOCATED.reset_peak_usage();
            work(accumulator);
            let peak = ALLOCATED.peak_usage() - before;
            if cut && peak > said + BESIDE {
                wrong.push(format!(
                    "{what}, {doing}: it held {peak} bytes at most and said {said}"
                ));
            }
        };
    let mut state = None;
    peak("its state", accumulator.as_mut(), &mut |of| {
        state = Some(of.state().unwrap())
    });
    if let Some(other) = other {
        state = None;
        peak("a merge", accumulator.as_mut(), &mut |of| {
            of.merge(&other).unwrap()
        });
    }
    state.unwrap_or_else(|| accumulator.state().unwrap())
}

fn compared_scans(what: &str, settings: &ModelSettings, wrong: &mut Wrong) {
    let size = TrainingSize {
        features: FEATURES,
        classes: CLASSES,
        entries: 12,
    };
    let search = SearchSettings {
        folds: 2,
        metric: Metric::Accuracy,
        halving: None,
        choose: Choice::Minimum,
        seconds: None,
    };
    let mut trainer = settings
        .trainer(&search, size, Thresholds::default(), 4 << 30)
        .unwrap();
    let (mut answer, mut scans) = (None, 0);
    loop {
        match trainer.next(answer.take()).unwrap() {
            Next::Scan(pass) => {
                scans += 1;
                answer = Some(compared(
                    &format!("{what}, scan {scans}"),
                    pass.as_ref(),
                    features,
                    wrong,
                ));
            }
            Next::Step => {}
            Next::Done(_) => break,
        }
    }
    assert!(scans > 0);
}

#[test]
fn accumulators_say_what_they_hold() {
    // Threads and what they hold are there before it is measured.
    rayon::broadcast(|_| {});
    let mut wrong = Wrong::new();
    let ngrams = NgramSettings {
        column: "name".into(),
        range: (1, 3),
        bits: 20,
        analyzer: Analyzer::Char,
        lowercase: true,
        normalize: Normalize::Nfc,
        weighting: Weighting::Tf,
        sublinear_tf: false,
        smooth_idf: true,
        norm: Norm::L2,
        min_count: 1,
    };
    let passes: Vec<(&str, Box<dyn Pass>)> = vec![
        ("categories", Box::new(Vocabulary::new("name", "test"))),
        ("medians", Box::new(Quantiles::new("number"))),
        ("moments", Box::new(Moments::new("number"))),
        ("buckets", Box::new(Buckets::new(&ngrams))),
        (
            "many",
            Box::new(Many::new(vec![
                Box::new(Vocabulary::new("name", "test")),
                Box::new(Quantiles::new("number")),
            ])),
        ),
    ];
    for (what, pass) in passes {
        compared(what, pass.as_ref(), raw, &mut wrong);
    }
    compared(
        "hashes of rows held out",
        &HeldOutPass::new(1),
        features,
        &mut wrong,
    );
    let logistic = |solver| {
        ModelSettings::new(LogisticSettings {
            family: Family::Auto,
            solver,
            reg_param: vec![0.01, 0.1].into(),
            elastic_net_param: vec![0.0],
            standardization: true,
            fit_intercept: true,
            max_iter: vec![2],
            tol: 1e-6,
            history: 3,
            thresholds: None,
        })
    };
    compared_scans("L-BFGS", &logistic(Solver::Lbfgs), &mut wrong);
    compared_scans("AdaGrad", &logistic(Solver::Adagrad), &mut wrong);
    let bayes = NaiveBayesSettings {
        smoothing: vec![1.0],
        thresholds: None,
    };
    compared_scans("naive Bayes", &ModelSettings::new(bayes), &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
