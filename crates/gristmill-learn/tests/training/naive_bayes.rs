//! Naive Bayes as a trainer: its search, its merges, and what it refuses.

use gristmill_learn::evaluate::ScorePass;

use super::*;

fn coefficients(trained: &Trained) -> Vec<u64> {
    let Coefficients::F64(coefficients) = trained.model.linear().unwrap().coefficients() else {
        panic!("not small?")
    };
    let scores = trained
        .search
        .iter()
        .flat_map(|p| p.scores.iter().chain(&p.score));
    coefficients.iter().chain(scores).map(|x| x.to_bits()).collect()
}

const SMOOTHING: [f64; 3] = [0.01, 1.0, 30.0];

#[test]
fn batches_and_threads_and_waves_change_no_bit() {
    let (table, size) = table(900);
    let whole = bayes(&table.batches(900), size, &SMOOTHING, PLENTY).unwrap();
    for (threads, rows) in [(1, 1), (2, 7), (7, 400)] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let other = pool
            .install(|| bayes(&table.batches(rows), size, &SMOOTHING, PLENTY))
            .unwrap();
        assert_eq!(
            coefficients(&whole),
            coefficients(&other),
            "{threads} threads, batches of {rows}"
        );
    }
    let settings = ModelSettings::new(NaiveBayesSettings {
        smoothing: SMOOTHING.to_vec(),
        thresholds: None,
    });
    let two = settings.sums_bytes(&SEARCH, size) + 2 * settings.model_bytes(size);
    let waves = bayes(&table.batches(900), size, &SMOOTHING, two).unwrap();
    assert_eq!(coefficients(&whole), coefficients(&waves), "two models at a time");
    let error = bayes(&table.batches(900), size, &SMOOTHING, two / 2).unwrap_err();
    assert!(matches!(error, Error::Budget { .. }), "{error}");
}

#[test]
fn the_search_equals_independent_models() {
    let (table, size) = table(900);
    let searched = bayes(&table.batches(900), size, &SMOOTHING, PLENTY).unwrap();
    for (point, smoothing) in searched.search.iter().zip(SMOOTHING) {
        assert_eq!(point.params, Params::default().with("smoothing", smoothing));
        for fold in 0..3_u8 {
            let mut alone = table.clone();
            for row in 0..alone.rows.len() {
                alone.split[row] = match (table.split[row], table.fold[row]) {
                    (0, f) if f == fold => 1,
                    (0, _) => 0,
                    _ => 2,
                };
            }
            let batches = alone.batches(900);
            let trained = bayes(&batches, size, &[smoothing], PLENTY).unwrap();
            assert!(trained.search[0].score.is_none());
            let mut score = ScorePass::new(trained.model, Thresholds::default()).start();
            score.update(&batches[0]).unwrap();
            let confusions = ScorePass::confusions(&score.state().unwrap()).unwrap();
            assert_eq!(confusions[1].scores().f1, point.scores[usize::from(fold)]);
        }
    }
    let best = searched.search.iter().filter_map(|p| p.score).fold(0.0, f64::max);
    assert_eq!(searched.search[searched.best].score, Some(best));
    assert!(best > 0.5, "{best}");
}

#[test]
fn a_negative_feature_is_refused_where_it_would_be_counted() {
    let (mut table, size) = table(100);
    let row = table.split.iter().position(|split| *split == 1).unwrap();
    table.rows[row][0].1 = -0.5;
    assert!(
        bayes(&table.batches(100), size, &[1.0], PLENTY).is_ok(),
        "a row that is not for training"
    );
    table.split[row] = 0;
    let error = bayes(&table.batches(100), size, &[1.0], PLENTY).unwrap_err();
    let expected = table.rows[row][0].0;
    assert!(
        matches!(error, Error::NegativeFeature { index, value: -0.5, .. } if index == expected),
        "{error}"
    );
}

#[test]
fn counts_merge_to_the_whole() {
    let (table, size) = table(300);
    let settings = ModelSettings::new(NaiveBayesSettings {
        smoothing: SMOOTHING.to_vec(),
        thresholds: None,
    });
    let mut trainer = settings
        .trainer(&SEARCH, size, Thresholds::default(), PLENTY)
        .unwrap();
    let Next::Scan(pass) = trainer.next(None).unwrap() else {
        panic!("no scan")
    };
    let fold = |range: std::ops::Range<usize>| {
        let mut accumulator = pass.start();
        accumulator.update(&table.batch(range)).unwrap();
        accumulator
    };
    let whole = fold(0..300).state().unwrap();
    let mut left = fold(0..100);
    left.merge(&fold(100..200).state().unwrap()).unwrap();
    left.merge(&fold(200..300).state().unwrap()).unwrap();
    // The values are eighths: no sum is rounded.
    assert_eq!(numbers(&left.state().unwrap()), numbers(&whole));
    let mut fresh = pass.start();
    fresh.merge(&whole).unwrap();
    assert_eq!(numbers(&fresh.state().unwrap()), numbers(&whole));
}
