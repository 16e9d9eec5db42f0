//! What every trainer keeps, whatever kind of model it trains: one list of subjects, one test for each promise and subject.

use gristmill_learn::contract::model::ModelSpec;
use gristmill_learn::evaluate::RegressionPass;
use gristmill_learn::settings::{LabelKind, RegParam};
use gristmill_learn::train::{FactorisedSettings, LinearSettings, MAX_LINEAR_FEATURES};

use super::centroids::NearestCentroid;
use super::*;

/// A model to be trained, with what is particular to its kind.
struct Subject {
    settings: ModelSettings,
    search: SearchSettings,
    weights: Weights,
    /// Whether its states are sums over rows. Those of AdaGrad are means of models, which depend on the order of the rows.
    sums: bool,
    /// Whether it searches along a path, whose models start where others stopped, and whose scores say how long it is.
    path: bool,
    /// Sparse columns of its tables, where they are more than those that hold anything.
    features: Option<usize>,
}

/// What the weights of rows are to a trainer.
#[derive(Clone, Copy, PartialEq)]
enum Weights {
    /// Shares of a mean: their unit does not matter.
    Shares,
    /// How often a row is there.
    Counts,
}

fn lbfgs() -> Subject {
    Subject {
        settings: ModelSettings::new(LogisticSettings {
            reg_param: vec![0.001, 0.1].into(),
            max_iter: vec![2, 9],
            ..settings(0.0)
        }),
        search: SEARCH,
        weights: Weights::Shares,
        sums: true,
        path: false,
        features: None,
    }
}

/// There is nothing to choose, and so no fold.
fn one_point() -> Subject {
    Subject {
        settings: ModelSettings::new(settings(0.01)),
        ..lbfgs()
    }
}

fn owlqn() -> Subject {
    Subject {
        settings: ModelSettings::new(LogisticSettings {
            reg_param: vec![0.01, 0.1].into(),
            elastic_net_param: vec![0.6],
            max_iter: vec![3, 8],
            ..settings(0.0)
        }),
        ..lbfgs()
    }
}

fn halving() -> Subject {
    Subject {
        search: SearchSettings {
            halving: Some(2),
            ..SEARCH
        },
        ..lbfgs()
    }
}

fn adagrad() -> Subject {
    Subject {
        settings: ModelSettings::new(LogisticSettings {
            solver: Solver::Adagrad,
            reg_param: vec![0.001, 0.1].into(),
            max_iter: vec![1, 2, 4],
            ..settings(0.0)
        }),
        sums: false,
        ..lbfgs()
    }
}

/// A path of penalties by L-BFGS, on folds.
fn path() -> Subject {
    Subject {
        settings: ModelSettings::new(LogisticSettings {
            reg_param: RegParam::Auto,
            max_iter: vec![60],
            ..settings(0.0)
        }),
        search: SearchSettings {
            metric: Metric::LogLoss,
            ..SEARCH
        },
        path: true,
        ..lbfgs()
    }
}

/// A path with an L1 share, of which one standard error chooses.
fn sparse_path() -> Subject {
    Subject {
        settings: ModelSettings::new(LogisticSettings {
            reg_param: RegParam::Auto,
            elastic_net_param: vec![0.5],
            max_iter: vec![100],
            ..settings(0.0)
        }),
        search: SearchSettings {
            choose: Choice::OneStandardError,
            ..SEARCH
        },
        ..path()
    }
}

/// A path of AdaGrad, on the validation rows.
fn epochs_path() -> Subject {
    Subject {
        settings: ModelSettings::new(LogisticSettings {
            solver: Solver::Adagrad,
            reg_param: RegParam::Auto,
            max_iter: vec![4],
            ..settings(0.0)
        }),
        sums: false,
        ..path()
    }
}

/// A path of least squares.
fn least_squares_path() -> Subject {
    Subject {
        settings: ModelSettings::new(LinearSettings {
            reg_param: RegParam::Auto,
            elastic_net_param: vec![0.0],
            max_iter: vec![20],
            tol: 1e-6,
            fit_intercept: true,
            standardization: true,
        }),
        search: linear::BY_RMSE,
        path: true,
        ..lbfgs()
    }
}

fn factorised() -> Subject {
    Subject {
        settings: ModelSettings::new(FactorisedSettings {
            dimension: 6,
            max_iter: 4,
            tol: 1e-6,
            thresholds: None,
        }),
        ..adagrad()
    }
}

fn least_squares() -> Subject {
    Subject {
        settings: ModelSettings::new(LinearSettings {
            reg_param: vec![0.0, 0.1, 1.0].into(),
            elastic_net_param: vec![0.0, 0.7],
            max_iter: vec![3, 20],
            tol: 1e-6,
            fit_intercept: true,
            standardization: true,
        }),
        search: linear::BY_RMSE,
        ..lbfgs()
    }
}

/// Least squares of more features than are solved from their products.
fn scans() -> Subject {
    Subject {
        features: Some(MAX_LINEAR_FEATURES + 1),
        ..least_squares()
    }
}

/// A path of these.
fn scans_path() -> Subject {
    Subject {
        features: Some(MAX_LINEAR_FEATURES + 1),
        ..least_squares_path()
    }
}

fn naive_bayes() -> Subject {
    Subject {
        settings: ModelSettings::new(NaiveBayesSettings {
            smoothing: vec![0.01, 1.0, 30.0],
            thresholds: None,
        }),
        weights: Weights::Counts,
        ..lbfgs()
    }
}

/// A kind from outside.
fn nearest_centroid() -> Subject {
    Subject {
        settings: NearestCentroid.settings(json!({"sharpness": 4.0})).unwrap(),
        ..lbfgs()
    }
}

/// A test for each promise and subject.
macro_rules! battery {
    ($($subject:ident)*) => {
        const SUBJECTS: &[fn() -> Subject] = &[$($subject),*];

        $(mod $subject {
            battery!(@promises $subject
                no_bit_depends_on_batches_threads_or_memory
                stopped_anywhere_it_ends_in_the_same_bits
                its_states_merge
                its_search_equals_fits_of_one_point
                its_search_scores_what_a_fit_outside_the_fold_scores
                weights_mean_what_they_say
                what_cannot_be_trained_is_refused_in_words
                one_answer_is_learnt
                its_memory_is_kept_to
                answers_to_other_questions_are_refused
                its_model_is_rebuilt_from_its_spec
                classes_that_training_never_saw_stop_nothing
            );
        })*
    };
    (@promises $subject:ident $($promise:ident)*) => {
        $(#[test]
        fn $promise() {
            super::$promise(&super::$subject());
        })*
    };
}

battery! {
    lbfgs one_point owlqn halving path sparse_path adagrad epochs_path factorised least_squares least_squares_path scans scans_path
    naive_bayes nearest_centroid
}

#[test]
fn every_kind_of_model_is_a_subject() {
    let subjects: Vec<&str> = SUBJECTS.iter().map(|subject| subject().settings.kind()).collect();
    for kind in kinds().models() {
        assert!(subjects.contains(&kind.name()), "{}", kind.name());
    }
}

impl Subject {
    /// Rows that it can learn from.
    fn table(&self, rows: usize) -> (Table, TrainingSize) {
        let (table, mut size) = match self.settings.label() {
            LabelKind::Class => table(rows),
            LabelKind::Number => linear::numbers_table(rows),
        };
        size.features = self.features.unwrap_or(size.features);
        (table, size)
    }

    /// Its trainer with memory for so many models.
    fn trainer(&self, size: TrainingSize, models: Option<u64>) -> Box<dyn Trainer> {
        let memory = models.map_or(PLENTY, |models| {
            self.settings.sums_bytes(&self.search, size) + models * self.settings.model_bytes(size)
        });
        self.settings
            .trainer(&self.search, size, Thresholds::default(), memory)
            .unwrap()
    }

    fn train(&self, size: TrainingSize, batches: &[RecordBatch]) -> gristmill_learn::Result<Trained> {
        drive(self.trainer(size, None), batches)
    }

    /// The score of a model on the rows of a split.
    fn score(&self, trained: &Trained, batches: &[RecordBatch], split: usize) -> f64 {
        let model = Arc::clone(&trained.model);
        match self.settings.label() {
            LabelKind::Class => {
                let state = ways::fold(&ScorePass::new(model, Thresholds::default()), batches).unwrap();
                ScorePass::confusions(&state).unwrap()[split]
                    .scores()
                    .get(self.search.metric)
            }
            LabelKind::Number => {
                let pass = RegressionPass::on_splits(&[model]);
                let state = ways::fold(&pass, batches).unwrap();
                pass.scores(&state).unwrap()[split].rmse
            }
        }
    }

    /// The same with one point of its grid.
    fn at(&self, point: &Params) -> Self {
        let mut settings = self.settings.settings();
        for (name, _) in point.columns() {
            let value = point.get(name).unwrap().clone();
            settings[name] = match settings[name] {
                Value::Array(_) => json!([value]),
                // `"auto"`
                Value::String(_) => json!([value]),
                _ => value,
            };
        }
        let kinds = kinds();
        let mut known = kinds.models().iter();
        let kind = known.find(|kind| kind.name() == self.settings.kind()).unwrap();
        Self {
            settings: kind.settings(settings).unwrap(),
            search: self.search.clone(),
            ..*self
        }
    }
}

/// All that a training gives, floats by their bits.
fn outcome(trained: &Trained) -> impl PartialEq + use<> {
    let points = trained.search.iter().map(|point| {
        let scores = point.scores.iter().chain(&point.score);
        (
            point.params.clone(),
            scores.map(|score| score.to_bits()).collect::<Vec<_>>(),
        )
    });
    (
        trained.model.spec(),
        points.collect::<Vec<_>>(),
        trained.best,
        (trained.iterations, trained.converged),
        trained.objective.map(f64::to_bits),
        trained.class_rows.clone(),
    )
}

fn no_bit_depends_on_batches_threads_or_memory(subject: &Subject) {
    let (table, size) = subject.table(1300);
    let whole = outcome(&subject.train(size, &table.batches(1300)).unwrap());
    for (threads, sizes) in [(1, vec![1, 7]), (2, vec![7, 1000]), (7, vec![1025])] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        for rows in sizes {
            let batches = table.batches(rows);
            let other = pool.install(|| subject.train(size, &batches)).unwrap();
            assert!(whole == outcome(&other), "{threads} threads, batches of {rows}");
        }
    }
    for models in [1, 2] {
        let waves = drive(subject.trainer(size, Some(models)), &table.batches(1300)).unwrap();
        assert!(whole == outcome(&waves), "{models} models at a time");
    }
}

/// Answers so many questions, if there are as many; gives the outcome, or what was kept last.
fn answered(
    trainer: &mut dyn Trainer,
    batches: &[RecordBatch],
    questions: usize,
) -> Result<Trained, Option<Vec<u8>>> {
    let (mut answer, mut kept) = (None, None);
    for _ in 0..=questions {
        match trainer.next(answer.take()).unwrap() {
            Next::Scan(pass) => {
                let mut accumulator = pass.start();
                batches.iter().for_each(|b| accumulator.update(b).unwrap());
                answer = Some(accumulator.state().unwrap());
            }
            Next::Step => {}
            Next::Done(trained) => return Ok(*trained),
        }
        let mut bytes = Vec::new();
        if trainer.save(&mut bytes).unwrap() {
            kept = Some(bytes);
        }
    }
    Err(kept)
}

/// A training that asks more stands still.
const MOST_QUESTIONS: usize = 10_000;

fn stopped_anywhere_it_ends_in_the_same_bits(subject: &Subject) {
    let (table, size) = subject.table(400);
    let batches = table.batches(150);
    let new = |models| subject.trainer(size, models);
    let whole = outcome(&subject.train(size, &batches).unwrap());
    let mut saves = false;
    for (before, after) in [(None, None), (Some(2), Some(2)), (Some(2), None), (None, Some(2))] {
        // A path asks a hundred times and more, and many features take their time.
        let step = match (subject.path, subject.features) {
            (true, _) => 29,
            (false, Some(_)) => 11,
            (false, None) => 1,
        };
        for questions in (0..).step_by(step) {
            assert!(questions < MOST_QUESTIONS, "it asks for ever");
            let kept = match answered(new(before).as_mut(), &batches, questions) {
                Ok(_) => break,
                Err(kept) => kept,
            };
            saves |= kept.is_some();
            let mut next = new(after);
            if let Some(kept) = &kept {
                next.restore(&mut kept.as_slice()).unwrap();
            }
            let trained = answered(next.as_mut(), &batches, MOST_QUESTIONS);
            assert!(
                trained.is_ok_and(|trained| outcome(&trained) == whole),
                "stopped after {questions} questions; models together: {before:?}, then {after:?}"
            );
        }
    }
    // Stopped time and again, a few questions after it went on: what keeps nothing would never end.
    for questions in [1, 5].into_iter().filter(|_| saves) {
        let mut kept: Option<Vec<u8>> = None;
        let mut lives = 0;
        let trained = loop {
            lives += 1;
            assert!(lives < MOST_QUESTIONS, "there is no end in sight");
            let mut trainer = new(None);
            if let Some(kept) = &kept {
                trainer.restore(&mut kept.as_slice()).unwrap();
            }
            // What is before its first models is done anew in each life.
            let before = 2;
            match answered(trainer.as_mut(), &batches, before + questions) {
                Ok(trained) => break trained,
                Err(Some(bytes)) => kept = Some(bytes),
                Err(None) => panic!("there is nothing to keep after {} questions", before + questions),
            }
        };
        assert!(outcome(&trained) == whole, "{lives} lives");
    }
}

fn its_states_merge(subject: &Subject) {
    let (table, size) = subject.table(600);
    let mut trainer = subject.trainer(size, None);
    let mut answer = None;
    for _ in 0..6 {
        let pass = match trainer.next(answer.take()).unwrap() {
            Next::Scan(pass) => pass,
            Next::Step => continue,
            Next::Done(_) => return,
        };
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
        let [left, right, fresh] = [left, right, fresh].map(|mut all| numbers(&all.state().unwrap()));
        let whole_numbers = numbers(&whole);
        // A mean of models is rounded to single precision.
        let (exactly, nearly) = if subject.sums { (0.0, 1e-9) } else { (1e-6, 1e-5) };
        assert_near(&fresh, &whole_numbers, exactly, "a fresh state is neutral");
        assert_near(&left, &right, nearly, "merging is associative");
        if subject.sums {
            assert_near(&left, &whole_numbers, 1e-9, "parts are the whole");
        }
        answer = Some(whole);
    }
}

fn assert_near(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        let off = (got - expected).abs();
        assert!(
            off <= tolerance * (1.0 + expected.abs()),
            "{what}: {got} not {expected}"
        );
    }
}

fn its_search_equals_fits_of_one_point(subject: &Subject) {
    let (table, size) = subject.table(900);
    let batches = table.batches(900);
    let searched = subject.train(size, &batches).unwrap();
    let points = &searched.search;
    if subject.path {
        let penalties: Vec<f64> = (points.iter())
            .map(|point| point.params.get("reg_param").unwrap().as_f64().unwrap())
            .collect();
        assert!(
            (2..=subject.settings.points()).contains(&points.len()),
            "{penalties:?}"
        );
        assert!(penalties.is_sorted_by(|a, b| a > b), "{penalties:?}");
    } else {
        assert_eq!(points.len(), subject.settings.points());
    }
    let best = &points[searched.best];
    let alone = subject.at(&best.params).train(size, &batches).unwrap();
    assert_eq!(alone.search.len(), 1);
    assert_eq!(alone.search[0].params, best.params);
    assert!(alone.search[0].score.is_none(), "there is nothing to choose");
    assert_eq!(alone.model.spec(), searched.model.spec());
    if points.len() > 1 {
        let metric = subject.search.metric;
        let scores = points.iter().filter_map(|point| point.score);
        let most = scores.reduce(|a, b| if metric.better(b, a) { b } else { a });
        match subject.search.choose {
            Choice::Minimum => assert_eq!(best.score, most),
            Choice::OneStandardError => assert!(
                points[..searched.best]
                    .iter()
                    .all(|point| point.score < best.score)
            ),
        }
    }
}

fn its_search_scores_what_a_fit_outside_the_fold_scores(subject: &Subject) {
    let (table, size) = subject.table(900);
    let searched = subject.train(size, &table.batches(900)).unwrap();
    // AdaGrad's fits stop by the validation rows, which the rows of the fold are below.
    let points = searched.search.iter().filter(|_| subject.sums);
    // Models of a path meet their minimum as closely as its tolerance says.
    let off = if subject.path { 2e-3 } else { 1e-9 };
    for point in points.filter(|point| point.score.is_some()) {
        let alone = subject.at(&point.params);
        for fold in 0..3_u8 {
            let mut outside = table.clone();
            for row in 0..outside.rows.len() {
                outside.split[row] = match (table.split[row], table.fold[row]) {
                    (0, f) if f == fold => 1,
                    (0, _) => 0,
                    _ => 2,
                };
            }
            let batches = outside.batches(900);
            let trained = alone.train(size, &batches).unwrap();
            let score = alone.score(&trained, &batches, 1);
            let searched = point.scores[usize::from(fold)];
            assert!((score - searched).abs() < off, "{point:?} fold {fold}: {score}");
        }
        assert_eq!(point.score, Some(point.scores.iter().sum::<f64>() / 3.0));
    }
}

fn weights_mean_what_they_say(subject: &Subject) {
    let (plain, size) = subject.table(600);
    let rows = block(&plain);
    let trained = |weights: Option<Vec<f64>>| {
        let table = Table {
            weights,
            ..plain.clone()
        };
        subject.train(size, &table.batches(600)).unwrap().model
    };
    let alike = trained(None).spec();
    let ones = trained(Some(vec![1.0; 600])).spec();
    assert_eq!(ones, alike, "weights of 1 are none");
    let weights = |unit: f64| (0..600).map(|row| unit * [1.0, 4.0, 0.5][row % 3]).collect();
    let weighted = trained(Some(weights(1.0)));
    assert_ne!(weighted.spec(), alike, "weights are not looked at");
    match subject.weights {
        Weights::Shares => {
            let other_unit = trained(Some(weights(1024.0))).scores(&rows).unwrap();
            let scores = weighted.scores(&rows).unwrap();
            // As in Spark, L-BFGS starts from ln(1 + weight) of each class: a few iterations on, that still tells.
            assert_near(&other_unit, &scores, 1e-3, "the unit matters");
        }
        Weights::Counts => {
            let twice = Table {
                labels: plain.labels.repeat(2),
                rows: [plain.rows.clone(), plain.rows.clone()].concat(),
                split: plain.split.repeat(2),
                fold: plain.fold.repeat(2),
                ..plain.clone()
            };
            let twice = subject.train(size, &twice.batches(1200)).unwrap();
            assert_eq!(trained(Some(vec![2.0; 600])).spec(), twice.model.spec());
        }
    }
}

fn what_cannot_be_trained_is_refused_in_words(subject: &Subject) {
    let (table, size) = subject.table(60);
    let refused = |table: Table| subject.train(size, &table.batches(60)).unwrap_err();
    let untrained = Table {
        split: vec![1; 60],
        ..table.clone()
    };
    let error = refused(untrained);
    assert!(
        matches!(&error, Error::EmptySplit { what, .. } if what == "the training split"),
        "{error}"
    );
    if subject.settings.points() > 1 {
        let one_fold = Table {
            fold: vec![0; 60],
            ..table.clone()
        };
        match subject.train(size, &one_fold.batches(60)) {
            Err(error) => assert!(matches!(error, Error::EmptySplit { .. }), "{error}"),
            // A path by scans goes by the validation rows then.
            Ok(_) => assert!(subject.path),
        }
    }
    let weightless = Table {
        weights: Some(vec![0.0; 60]),
        ..table
    };
    let error = refused(weightless);
    assert!(error.to_string().contains("label.weight"), "{error}");
}

fn one_answer_is_learnt(subject: &Subject) {
    let (mut table, size) = subject.table(90);
    table.labels = vec![1; 90];
    table.numbers = table.numbers.map(|_| vec![-2.5; 90]);
    let trained = subject.train(size, &table.batches(90)).unwrap();
    let scores = trained.model.scores(&block(&table)).unwrap();
    match size.classes {
        0 => assert!(scores.iter().all(|score| *score == -2.5), "{scores:?}"),
        classes => {
            for row in scores.chunks(classes) {
                let sum: f64 = row.iter().sum();
                assert!(
                    (sum - 1.0).abs() < 1e-6 && row.iter().all(|p| *p >= 0.0),
                    "{row:?}"
                );
                assert!(row[1] > row[0] && row[1] > row[2], "{row:?}");
            }
        }
    }
}

/// The features of a table.
fn block(table: &Table) -> SparseBlock {
    let mut block = SparseBlock::with_capacity(table.rows.len());
    for row in &table.rows {
        row.iter().for_each(|(index, value)| block.push(*index, *value));
        block.end_row();
    }
    block
}

fn its_memory_is_kept_to(subject: &Subject) {
    let (_, size) = subject.table(10);
    let (settings, search) = (&subject.settings, &subject.search);
    let least = settings.sums_bytes(search, size) + settings.model_bytes(size);
    let trained = |memory| {
        let (table, size) = subject.table(300);
        let trainer = settings.trainer(search, size, Thresholds::default(), memory)?;
        drive(trainer, &table.batches(300))
    };
    assert!(trained(least).is_ok());
    let error = trained(least - 1).unwrap_err();
    assert!(
        matches!(error, Error::Budget { needed, available, .. } if needed == least && available == least - 1),
        "{error}"
    );
    let ways = settings.ways_out(search, size, least / 2);
    assert!(ways.iter().all(|way| way.bytes <= least / 2), "{ways:?}");
}

fn answers_to_other_questions_are_refused(subject: &Subject) {
    let (table, size) = subject.table(300);
    let batches = table.batches(300);
    let foreign = RecordBatch::try_from_iter([("other", Arc::new(UInt8Array::from(vec![0])) as _)]).unwrap();
    for questions in 0..4 {
        let mut trainer = subject.trainer(size, None);
        if answered(trainer.as_mut(), &batches, questions).is_ok() {
            break;
        }
        let error = trainer.next(Some(foreign.clone())).err();
        assert!(
            matches!(
                error,
                Some(Error::State { .. } | Error::Arrow(_) | Error::MissingColumn { .. })
            ),
            "question {questions}: {error:?}"
        );
    }
    // What is no checkpoint is refused, or was never written.
    let mut trainer = subject.trainer(size, None);
    let saves = matches!(answered(trainer.as_mut(), &batches, 3), Err(Some(_)));
    let restored = subject.trainer(size, None).restore(&mut &[7_u8; 40][..]);
    assert_eq!(restored.is_err(), saves);
}

fn its_model_is_rebuilt_from_its_spec(subject: &Subject) {
    let (table, size) = subject.table(300);
    let trained = subject.train(size, &table.batches(300)).unwrap();
    let (model, rows) = (&trained.model, block(&table));
    let spec = model.spec();
    assert_eq!(
        (model.kind(), model.features(), model.classes()),
        (subject.settings.kind(), size.features, size.classes)
    );
    model.check().unwrap();
    let rebuilt = kinds().model_from_spec(&spec).unwrap();
    assert_eq!(rebuilt.spec(), spec);
    let scores = model.scores(&rows).unwrap();
    assert_eq!(scores.len(), 300 * size.classes.max(1));
    assert_eq!(rebuilt.scores(&rows).unwrap(), scores);
    if let Some(tempered) = model.tempered(0.5) {
        let tempered = tempered.scores(&rows).unwrap();
        for (p, tempered) in scores.chunks(size.classes).zip(tempered.chunks(size.classes)) {
            let sum: f64 = p.iter().map(|p| p.sqrt()).sum();
            for (p, tempered) in p.iter().zip(tempered) {
                assert!((p.sqrt() / sum - tempered).abs() < 1e-5, "{p} {tempered}");
            }
        }
    }
    let mut beyond = SparseBlock::with_capacity(1);
    beyond.push(size.features as u32, 1.0);
    beyond.end_row();
    assert!(model.scores(&beyond).is_err());
    // A file may say anything of its sizes.
    for (features, classes) in [
        (usize::MAX, size.classes),
        (1 << 40, size.classes),
        (size.features, usize::MAX),
    ] {
        let forged = ModelSpec {
            features,
            classes,
            ..spec.clone()
        };
        assert!(kinds().model_from_spec(&forged).is_err(), "{features} {classes}");
    }
}

/// Validation rows of such a class, which have the label -1, are to a training as if they were not there.
fn classes_that_training_never_saw_stop_nothing(subject: &Subject) {
    if subject.settings.label() == LabelKind::Number {
        return;
    }
    let (table, size) = subject.table(300);
    let (mut unseen, mut elsewhere) = (table.clone(), table);
    let validation = (0..unseen.split.len()).filter(|r| unseen.split[*r] == 1);
    let half: Vec<usize> = validation.step_by(2).collect();
    assert!(!half.is_empty());
    for r in half {
        unseen.labels[r] = -1;
        elsewhere.split[r] = 2;
    }
    let trained = |table: &Table| outcome(&subject.train(size, &table.batches(70)).unwrap());
    assert!(trained(&unseen) == trained(&elsewhere));
}
