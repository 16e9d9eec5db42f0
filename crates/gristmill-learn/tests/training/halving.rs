//! Successive halving: the better part of the grid goes on, and what it reaches is what a whole search reaches.

use super::*;

fn wide(solver: Solver) -> LogisticSettings {
    LogisticSettings {
        reg_param: vec![0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0].into(),
        max_iter: vec![2, 8, 18],
        solver,
        ..settings(0.0)
    }
}

const HALVED: SearchSettings = SearchSettings {
    halving: Some(3),
    ..SEARCH
};

fn searched(settings: &LogisticSettings, search: &SearchSettings, memory: Option<u64>) -> (Trained, u64) {
    let (table, size) = table(500);
    let memory = memory.map_or(PLENTY, |models| bytes(settings, size, models));
    let mut trainer = logistic_search(settings, search, size, Thresholds::default(), memory).unwrap();
    let (mut answer, mut iterations) = (None, 0);
    let batches = table.batches(500);
    loop {
        match trainer.next(answer.take()).unwrap() {
            Next::Scan(pass) => {
                let mut accumulator = pass.start();
                batches.iter().for_each(|b| accumulator.update(b).unwrap());
                answer = Some(accumulator.state().unwrap());
                iterations += trainer.status().running as u64;
            }
            Next::Step => {}
            Next::Done(trained) => return (*trained, iterations),
        }
    }
}

#[test]
fn what_is_reached_scores_as_in_a_whole_search() {
    for solver in [Solver::Lbfgs, Solver::Adagrad] {
        let (whole, all) = searched(&wide(solver), &SEARCH, None);
        let (halved, fewer) = searched(&wide(solver), &HALVED, None);
        assert_eq!(halved.search.len(), 27);
        let mut reached = 0;
        for (h, w) in halved.search.iter().zip(&whole.search) {
            assert_eq!(h.params, w.params);
            match h.score {
                Some(_) => assert_eq!(h, w),
                None => assert!(h.scores.is_empty()),
            }
            reached += usize::from(h.score.is_some());
        }
        // 9 penalties reach 2 iterations, one of them 18; 8 lies between the rounds of 6 and of 18.
        assert_eq!(reached, 9 + 1 + 1, "{solver:?}");
        assert!(halved.search[halved.best].score.is_some());
        assert!(3 * fewer < 2 * all, "{solver:?}: {fewer} of {all} iterations");
    }
}

#[test]
fn rounds_depend_on_no_memory() {
    for solver in [Solver::Lbfgs, Solver::Adagrad] {
        let (plenty, _) = searched(&wide(solver), &HALVED, None);
        let (little, _) = searched(&wide(solver), &HALVED, Some(2));
        assert_eq!(plenty.search, little.search);
        assert_eq!(plenty.model.spec(), little.model.spec());
    }
}
