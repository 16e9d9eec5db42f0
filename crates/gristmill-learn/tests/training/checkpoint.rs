//! A training that is stopped between any two scans and goes on as another trainer ends in the same bits.

use super::*;

/// The coefficients, the scores, and how the fit ended.
fn outcome(trained: &Trained) -> (Vec<u64>, Vec<u64>, usize, u32, bool, Option<u64>) {
    let coefficients = match trained.model.linear().unwrap().coefficients() {
        Coefficients::F32(c) => c.iter().map(|c| u64::from(c.to_bits())).collect(),
        Coefficients::F64(c) => c.iter().map(|c| c.to_bits()).collect(),
    };
    let scores = trained
        .search
        .iter()
        .flat_map(|point| point.scores.iter().chain(&point.score));
    (
        coefficients,
        scores.map(|score| score.to_bits()).collect(),
        trained.best,
        trained.iterations,
        trained.converged,
        trained.objective.map(f64::to_bits),
    )
}

/// A training that needs more stands still.
const MOST_LIVES: usize = 10_000;

/// Trains in many lives: each but the last is stopped when it asks its `questions`-th question after there is something to
/// keep, or that number of questions later. Returns how many lives it took.
fn in_lives(
    new: &dyn Fn() -> Box<dyn Trainer>,
    batches: &[RecordBatch],
    questions: usize,
) -> (Trained, usize) {
    let mut kept: Option<Vec<u8>> = None;
    for life in 1..=MOST_LIVES {
        let mut trainer = new();
        if let Some(kept) = &kept {
            trainer.restore(&mut kept.as_slice()).unwrap();
        }
        let (mut answer, mut asked) = (None, 0);
        while asked <= questions {
            match trainer.next(answer.take()).unwrap() {
                Next::Scan(pass) => {
                    let mut accumulator = pass.start();
                    batches.iter().for_each(|b| accumulator.update(b).unwrap());
                    answer = Some(accumulator.state().unwrap());
                }
                Next::Step => {}
                Next::Done(trained) => return (*trained, life),
            }
            let mut bytes = Vec::new();
            if trainer.save(&mut bytes).unwrap() {
                asked += 1;
                kept = Some(bytes);
            }
        }
    }
    panic!("after {MOST_LIVES} lives there is no end in sight")
}

fn assert_the_same(name: &str, new: &dyn Fn() -> Box<dyn Trainer>, batches: &[RecordBatch]) {
    let whole = drive(new(), batches).unwrap();
    for questions in [1, 2, 5] {
        let (trained, lives) = in_lives(new, batches, questions);
        assert!(lives > 1, "{name}: {lives} lives");
        assert!(
            outcome(&trained) == outcome(&whole),
            "{name}: {questions} questions a life"
        );
    }
}

#[test]
fn large_models_and_those_of_lifted_problems_go_on_in_the_same_bits() {
    let (mut table, size) = table(200);
    let features = F64_ELEMENTS / 8 + 1;
    let large = TrainingSize { features, ..size };
    let settings = LogisticSettings {
        history: 3,
        max_iter: vec![3, 6],
        ..settings(0.01)
    };
    let new = |size| logistic_search(&settings, &SEARCH, size, Thresholds::default(), PLENTY).unwrap();
    assert_the_same("single precision", &|| new(large), &table.batches(200));

    // Rows of one column each, which only their class tells apart.
    table.rows = (0..200).map(|r| vec![(r, 1.0)]).collect();
    let one_hot = TrainingSize {
        features: 200,
        classes: 3,
        entries: 40,
    };
    assert_the_same("lifted", &|| new(one_hot), &table.batches(200));
}

#[test]
fn what_is_no_checkpoint_of_this_training_is_refused() {
    let (table, size) = table(200);
    let batches = table.batches(200);
    let new = |settings: &LogisticSettings, size| {
        logistic_search(settings, &SEARCH, size, Thresholds::default(), PLENTY).unwrap()
    };
    let mut trainer = new(&grid(), size);
    let mut bytes = Vec::new();
    let mut answer = None;
    while !trainer.save(&mut bytes).unwrap() {
        let Next::Scan(pass) = trainer.next(answer.take()).unwrap() else {
            panic!("no scan")
        };
        let mut accumulator = pass.start();
        batches.iter().for_each(|b| accumulator.update(b).unwrap());
        answer = Some(accumulator.state().unwrap());
    }
    assert!(
        new(&grid(), size)
            .restore(&mut &bytes[..bytes.len() / 2])
            .is_err()
    );

    let other_grid = LogisticSettings {
        max_iter: vec![3],
        ..grid()
    };
    let wider = TrainingSize {
        features: size.features + 1,
        ..size
    };
    for (settings, size) in [(other_grid, size), (grid(), wider)] {
        let mut trainer = new(&settings, size);
        trainer.restore(&mut bytes.as_slice()).unwrap();
        assert!(matches!(drive(trainer, &batches), Err(Error::State { .. })));
    }
}
