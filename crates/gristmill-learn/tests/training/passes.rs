//! Every pass of the project gives the same bytes whole, divided, and shipped to other processes: see `support/ways.rs`.

use std::collections::BTreeSet;

use arrow::array::{Int64Array, StringArray, UInt8Array};
use gristmill_learn::contract::encoder::Feature;
use gristmill_learn::contract::model::Model;
use gristmill_learn::encode::ngrams::Buckets;
use gristmill_learn::encode::{
    Analyzer, HashSettings, Impute, NgramSettings, Norm, Normalize, NumericSettings, OneHotSettings, Scaling,
    TargetSettings, Unseen, Weighting,
};
use gristmill_learn::evaluate::{Calibrating, Calibrator, HeldOutPass, RegressionPass, UnseenPass};
use gristmill_learn::features::FitPipeline;
use gristmill_learn::passes;
use gristmill_learn::settings::{LabelKind, LabelSettings, Rare, Scale, SplitSettings};
use gristmill_learn::statistics::{
    Content, Extremes, Many, Moments, Profile, Quantiles, Transform, Vocabulary,
};
use gristmill_learn::train::{FactorisedSettings, LinearSettings, MAX_LINEAR_FEATURES, linear_search};

use super::*;

/// More than one piece of a pass whose rows may be cut.
const ROWS: usize = 70_000;

/// Folds in all three ways, and notes the kind of the pass.
struct Fold(BTreeSet<String>);

impl Fold {
    fn over(&mut self, pass: &dyn Pass, batches: &[RecordBatch]) -> RecordBatch {
        self.0.insert(pass.spec().kind);
        ways::fold(pass, batches).unwrap()
    }

    /// Answers a trainer until it is done.
    fn train(&mut self, mut trainer: Box<dyn Trainer>, batches: &[RecordBatch]) -> Trained {
        let mut answer = None;
        loop {
            match trainer.next(answer.take()).unwrap() {
                Next::Scan(pass) => answer = Some(self.over(pass.as_ref(), batches)),
                Next::Step => {}
                Next::Done(trained) => return *trained,
            }
        }
    }
}

fn dataset() -> RecordBatch {
    let number = |id: usize| ((id * 7_919) % 1_013) as f64 * 0.1 + 1e6 / (id as f64 + 1.0);
    let text = |id: usize| format!("name {}", id * id % 977);
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..ROWS as i64)) as _),
        (
            "number",
            Arc::new(Float64Array::from_iter_values((0..ROWS).map(number))) as _,
        ),
        (
            "text",
            Arc::new(StringArray::from_iter_values((0..ROWS).map(text))) as _,
        ),
        (
            "label",
            Arc::new(StringArray::from_iter((0..ROWS).map(|id| ["a", "b"].get(id % 3)))) as _,
        ),
    ])
    .unwrap()
}

fn ngrams() -> NgramSettings {
    NgramSettings {
        column: "text".to_owned(),
        range: (1, 2),
        bits: 10,
        analyzer: Analyzer::Char,
        lowercase: true,
        normalize: Normalize::Nfc,
        weighting: Weighting::Tf,
        sublinear_tf: false,
        smooth_idf: true,
        norm: Norm::L2,
        min_count: 1,
    }
}

fn fits(fold: &mut Fold) {
    let dataset = [dataset()];
    fold.over(&Moments::new("number"), &dataset);
    fold.over(&Profile::new("number"), &dataset);
    fold.over(&Content::new("number"), &dataset);
    fold.over(&Content::new("text"), &dataset);
    fold.over(&Profile::new("text"), &dataset);
    fold.over(&Extremes::new("number"), &dataset);
    fold.over(&Quantiles::exact_up_to("number", 100), &dataset);
    fold.over(&Vocabulary::new("text", "one_hot"), &dataset);
    fold.over(&Vocabulary::of_parts("text", "multi_hot", " "), &dataset);
    fold.over(&Buckets::new(&ngrams()), &dataset);
    let hash = HashSettings {
        columns: vec!["text".to_owned(), "id".to_owned()],
        bits: 10,
        min_count: 1,
    };
    fold.over(&Buckets::of_values(&hash), &dataset);
    let both: Vec<Box<dyn Pass>> = vec![Box::new(Moments::new("id")), Box::new(Buckets::new(&ngrams()))];
    fold.over(&Many::new(both), &dataset);
    let features = [
        Feature::new(NumericSettings {
            column: "number".to_owned(),
            impute: Impute::Median,
            missing_indicator: false,
            transform: Transform::None,
            scale: Scaling::Standard,
        }),
        Feature::new(OneHotSettings {
            column: "text".to_owned(),
            unseen: Unseen::Keep,
            min_count: 1,
            max_categories: 10_000,
            scale: Scale::None,
        }),
        Feature::new(ngrams()),
        Feature::new(TargetSettings {
            columns: vec!["text".to_owned()],
            smooth: 1.0,
        }),
    ];
    let label = LabelSettings {
        kind: LabelKind::Class,
        column: "label".to_owned(),
        min_rows: 1,
        rare: Rare::Drop,
        weight: None,
        class_weight: None,
    };
    let split = SplitSettings {
        by: "id".to_owned(),
        train: 0.7,
        validation: 0.1 + 0.2 - 0.15,
        test: 0.15,
        seed: 42,
        column: None,
    };
    let fit = FitPipeline::new(&features, &label, &split, 3);
    fold.over(fit.pass(), &dataset);
    let label = RecordBatch::try_from_iter([
        ("text", dataset[0]["text"].clone()),
        ("label of the row", dataset[0]["number"].clone()),
        (
            "fold of the row",
            Arc::new(UInt8Array::from_iter_values((0..ROWS).map(|row| (row % 3) as u8))) as _,
        ),
    ]);
    fold.over(features[3].pass().as_ref(), &[label.unwrap()]);
}

fn classifiers(fold: &mut Fold) {
    let (mut table, size) = table(ROWS);
    let training = table.split.iter().position(|split| *split == 0).unwrap();
    let test = table.split.iter().position(|split| *split == 2).unwrap();
    table.rows[test] = table.rows[training].clone();
    let batches = table.batches(9_000);
    let thresholds = Thresholds::from_values(vec![0.3, 0.1, 0.4]).unwrap();
    let few = LogisticSettings {
        reg_param: vec![0.01, 0.1].into(),
        max_iter: vec![2],
        ..settings(0.0)
    };
    let lbfgs = logistic_search(&few, &SEARCH, size, thresholds.clone(), PLENTY).unwrap();
    let model = fold.train(lbfgs, &batches).model;
    let adagrad = LogisticSettings {
        solver: Solver::Adagrad,
        ..few.clone()
    };
    let adagrad = logistic_search(&adagrad, &SEARCH, size, thresholds.clone(), PLENTY).unwrap();
    fold.train(adagrad, &batches);
    let bayes = ModelSettings::new(NaiveBayesSettings {
        smoothing: vec![0.01, 1.0],
        thresholds: None,
    });
    let bayes = bayes
        .trainer(&SEARCH, size, Thresholds::default(), PLENTY)
        .unwrap();
    fold.train(bayes, &batches);
    let factorised = ModelSettings::new(FactorisedSettings {
        dimension: 4,
        max_iter: 2,
        tol: 1e-6,
        thresholds: None,
    });
    let factorised = factorised
        .trainer(&SEARCH, size, Thresholds::default(), PLENTY)
        .unwrap();
    fold.train(factorised, &batches);

    // So many coefficients are of single precision.
    let large = TrainingSize {
        features: F64_ELEMENTS,
        ..size
    };
    let large = logistic_search(&few, &SEARCH, large, Thresholds::default(), PLENTY).unwrap();
    fold.train(large, &self::table(300).0.batches(100));

    let scores: Vec<Box<dyn Pass>> = vec![
        Box::new(ScorePass::new(Arc::clone(&model), thresholds.clone())),
        Box::new(HeldOutPass::new(1 << 22)),
    ];
    fold.over(&Many::new(scores), &batches);
    calibration(fold, &model, &batches);
    fold.over(&ScorePass::new(model, thresholds), &batches);
    let unseen = UnseenPass::new(vec![0..3, 3..4]);
    let shares = unseen.shares(&fold.over(&unseen, &batches)).unwrap();
    assert_eq!(shares.map(|shares| shares.len()), Some(2));
    let held_out = HeldOutPass::new(1 << 22);
    let repeated = held_out.next(&fold.over(&held_out, &batches)).unwrap();
    let found = repeated.repeated(&fold.over(&repeated, &batches)).unwrap();
    assert!(found[2].looked_at > 0 && found[2].repeated > 0, "{found:?}");
}

/// A model that was made too sure is given back what it was, near enough, and a model whose loss is least stays.
fn calibration(fold: &mut Fold, model: &Arc<dyn Model>, batches: &[RecordBatch]) {
    let mut calibrate = |model: Arc<dyn Model>| {
        let mut calibrator = Calibrator::new(Arc::clone(&model));
        loop {
            let state = fold.over(&calibrator.pass(), batches);
            if let Calibrating::Done(found) = calibrator.next(&state).unwrap() {
                let found = found.unwrap();
                let [before, after] = found.log_loss;
                assert!(after <= before, "{found:?}");
                return (calibrator.calibrated(&found).unwrap(), found);
            }
        }
    };
    let (best, found) = calibrate(Arc::clone(model));
    let (_, sure) = calibrate(best.tempered(3.0).unwrap());
    assert!(sure.log_loss[0] > sure.log_loss[1], "{sure:?}");
    assert!(
        (sure.log_loss[1] - found.log_loss[1]).abs() < 1e-3,
        "{sure:?} {found:?}"
    );
    assert!((sure.temperature / 3.0 - 1.0).abs() < 0.06, "{sure:?}");
}

fn regressions(fold: &mut Fold) {
    let (numbers, size) = linear::numbers_table(2_000);
    let settings = LinearSettings {
        reg_param: vec![0.1, 1.0].into(),
        elastic_net_param: vec![0.5],
        max_iter: vec![20],
        tol: 1e-6,
        fit_intercept: true,
        standardization: true,
    };
    let batches = numbers.batches(300);
    let linear = linear_search(&settings, &linear::BY_RMSE, size, PLENTY).unwrap();
    let model = fold.train(linear, &batches).model;
    fold.over(&RegressionPass::on_splits(&[model]), &batches);
    // So many features are not solved from their products.
    let wide = TrainingSize {
        features: MAX_LINEAR_FEATURES + 1,
        ..size
    };
    let wide = linear_search(&settings, &linear::BY_RMSE, wide, PLENTY).unwrap();
    fold.train(wide, &numbers_of_a_few(300));
}

fn numbers_of_a_few(rows: usize) -> Vec<RecordBatch> {
    linear::numbers_table(rows).0.batches(100)
}

#[test]
fn every_pass_gives_the_same_bytes_whole_divided_and_shipped() {
    let mut fold = Fold(BTreeSet::new());
    fits(&mut fold);
    classifiers(&mut fold);
    regressions(&mut fold);
    assert_eq!(fold.0, passes::kinds().map(str::to_owned).collect());
}
