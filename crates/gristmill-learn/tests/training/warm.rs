//! A training that starts from an earlier model.

use gristmill_learn::search::WarmStart;

use super::*;

fn start(trained: &Trained) -> WarmStart {
    let coefficients = match trained.model.linear().unwrap().coefficients() {
        Coefficients::F32(c) => c,
        Coefficients::F64(c) => c.into_iter().map(|c| c as f32).collect(),
    };
    WarmStart {
        features: trained.model.features(),
        classes: trained.model.classes(),
        coefficients,
    }
}

#[test]
fn from_its_own_solution_a_fit_ends_at_once() {
    let (table, size) = table(800);
    let batches = table.batches(800);
    let exact = LogisticSettings {
        tol: 1e-9,
        max_iter: vec![500],
        ..settings(0.01)
    };
    let new = || logistic_search(&exact, &SEARCH, size, Thresholds::default(), PLENTY).unwrap();
    let cold = drive(new(), &batches).unwrap();
    let mut trainer = new();
    trainer.start_from(start(&cold)).unwrap();
    let warm = drive(trainer, &batches).unwrap();
    assert!(
        cold.iterations > 20 && warm.iterations <= 3,
        "{} {}",
        cold.iterations,
        warm.iterations
    );
    let (cold, warm) = (cold.objective.unwrap(), warm.objective.unwrap());
    assert!((cold - warm).abs() < 1e-8 * cold, "{cold} {warm}");
}

#[test]
fn the_models_of_the_search_start_from_nothing() {
    let (table, size) = table(800);
    let batches = table.batches(800);
    let new = || logistic_search(&grid(), &SEARCH, size, Thresholds::default(), PLENTY).unwrap();
    let cold = drive(new(), &batches).unwrap();
    let mut trainer = new();
    trainer.start_from(start(&cold)).unwrap();
    let warm = drive(trainer, &batches).unwrap();
    assert_eq!(cold.search, warm.search);
    assert!(warm.objective.unwrap() < cold.objective.unwrap());
}

#[test]
fn epochs_go_on_from_an_earlier_model() {
    let (table, size) = table(800);
    let batches = table.batches(800);
    let one = LogisticSettings {
        solver: Solver::Adagrad,
        max_iter: vec![1],
        ..settings(0.001)
    };
    let new = || logistic_search(&one, &SEARCH, size, Thresholds::default(), PLENTY).unwrap();
    let cold = drive(new(), &batches).unwrap();
    let mut trainer = new();
    trainer.start_from(start(&cold)).unwrap();
    let warm = drive(trainer, &batches).unwrap();
    assert!(warm.objective.unwrap() < cold.objective.unwrap());
}

#[test]
fn naive_bayes_has_nothing_to_start_from() {
    let (table, size) = table(100);
    let model = ModelSettings::new(NaiveBayesSettings {
        smoothing: vec![1.0],
        thresholds: None,
    });
    let trained = bayes(&table.batches(100), size, &[1.0], PLENTY).unwrap();
    let mut trainer = model
        .trainer(&SEARCH, size, Thresholds::default(), PLENTY)
        .unwrap();
    assert!(matches!(
        trainer.start_from(start(&trained)),
        Err(Error::NoWarmStart)
    ));
}
