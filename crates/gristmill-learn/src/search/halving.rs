//! Rounds of a search: one, or with successive halving several, after each of which the better part goes on.
//!
//! Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization" (2016), with what
//! scikit-learn's `HalvingGridSearchCV` calls `factor`; the resource is the iterations. As there, who goes on begins anew:
//! nothing has to be kept of models that do not fit into memory together, and with a factor of 3 that costs half as much again.

use serde::{Deserialize, Serialize};

use crate::search::grid::PenaltyId;
use crate::settings::Metric;

/// The round that a search is in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rounds {
    factor: u32,
    /// Iterations of the last round.
    longest: u32,
    /// Rounds that come after this one.
    left: u32,
    /// Iterations of the round before; 0 in the first.
    before: u32,
    /// The candidates of this round, in their order.
    alive: Vec<PenaltyId>,
    /// Of every candidate the scores on the folds at the end of this round.
    scores: Vec<Vec<f64>>,
}

impl Rounds {
    /// So many candidates, of which one in `factor` goes on after each round until one is left; without a factor all go
    /// through one round of `longest` iterations.
    pub(crate) fn new(candidates: usize, longest: u32, factor: Option<u32>) -> Self {
        let factor = factor.unwrap_or(1);
        Self {
            factor,
            longest,
            left: if factor > 1 {
                (candidates.max(1) as u32).ilog(factor)
            } else {
                0
            },
            before: 0,
            alive: (0..candidates).map(PenaltyId).collect(),
            scores: vec![Vec::new(); candidates],
        }
    }

    /// The candidates of this round.
    pub(crate) fn alive(&self) -> &[PenaltyId] {
        &self.alive
    }

    /// Most iterations in this round.
    pub(crate) fn limit(&self) -> u32 {
        self.limit_with(self.left)
    }

    fn limit_with(&self, left: u32) -> u32 {
        (self.longest / self.factor.saturating_pow(left)).max(1)
    }

    /// Iterations of all rounds after this one.
    pub(crate) fn later(&self) -> u32 {
        (0..self.left).map(|left| self.limit_with(left)).sum()
    }

    /// Whether a point of the grid is first reached in this round.
    pub(crate) fn reaches(&self, max_iter: u32) -> bool {
        max_iter > self.before && max_iter <= self.limit()
    }

    /// Whether the scores at the end of this round decide who goes on.
    pub(crate) fn decides(&self) -> bool {
        self.left > 0
    }

    /// The score of a candidate on a fold at the end of this round.
    pub(crate) fn score(&mut self, candidate: PenaltyId, score: f64) {
        self.scores[candidate.0].push(score);
    }

    /// Whether this is a round of the search that begins with `first`.
    pub(crate) fn follow(&self, first: &Self) -> bool {
        let candidates = first.scores.len();
        (self.factor, self.longest, self.scores.len()) == (first.factor, first.longest, candidates)
            && self.left <= first.left
            && self.alive.iter().all(|candidate| candidate.0 < candidates)
    }

    /// Lets the better part go on to the next round; says whether there is one.
    pub(crate) fn next(&mut self, metric: Metric) -> bool {
        if self.left == 0 {
            return false;
        }
        // The order in which folds are scored depends on memory: sorted, the sum does not.
        let mean = |candidate: &PenaltyId| {
            let mut scores = self.scores[candidate.0].clone();
            scores.sort_by(f64::total_cmp);
            scores.iter().sum::<f64>() / scores.len().max(1) as f64
        };
        let mut ranked: Vec<(PenaltyId, f64)> = self.alive.iter().map(|c| (*c, mean(c))).collect();
        // Of equals the first stays, for the sort is stable.
        ranked.sort_by(|(_, a), (_, b)| {
            let (better, worse) = (metric.better(*a, *b), metric.better(*b, *a));
            worse.cmp(&better)
        });
        ranked.truncate(self.alive.len().div_ceil(self.factor as usize));
        self.before = self.limit();
        self.left -= 1;
        self.alive = ranked.into_iter().map(|(candidate, _)| candidate).collect();
        self.alive.sort_unstable();
        self.scores.iter_mut().for_each(Vec::clear);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_third_goes_on_with_three_times_the_iterations() {
        let mut rounds = Rounds::new(9, 100, Some(3));
        let mut seen = Vec::new();
        loop {
            seen.push((rounds.alive().to_vec(), rounds.limit(), rounds.later()));
            for candidate in rounds.alive().to_vec() {
                // 4 is the best, then 3 and 5.
                let score = 1.0 - (candidate.0 as f64 - 4.0).abs();
                rounds.score(candidate, score);
                rounds.score(candidate, score);
            }
            if !rounds.next(Metric::Accuracy) {
                break;
            }
        }
        assert_eq!(
            seen,
            [
                ((0..9).map(PenaltyId).collect(), 11, 133),
                ([3, 4, 5].map(PenaltyId).to_vec(), 33, 100),
                (vec![PenaltyId(4)], 100, 0)
            ]
        );
    }

    #[test]
    fn points_are_reached_once() {
        let mut rounds = Rounds::new(4, 20, Some(2));
        let mut reached = Vec::new();
        loop {
            reached.push((1..=20).filter(|n| rounds.reaches(*n)).collect::<Vec<u32>>());
            if !rounds.next(Metric::LogLoss) {
                break;
            }
        }
        assert_eq!(reached.concat(), (1..=20).collect::<Vec<_>>());
        assert_eq!(reached[0].len(), 5);
    }

    #[test]
    fn without_a_factor_there_is_one_round() {
        let mut rounds = Rounds::new(9, 100, None);
        assert_eq!((rounds.limit(), rounds.later()), (100, 0));
        assert!(!rounds.decides() && !rounds.next(Metric::F1));
        assert_eq!(rounds.alive().len(), 9);
    }
}
