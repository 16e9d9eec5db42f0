//! The grid of a search: its points, their scores, and the best of them.

use serde::{Deserialize, Serialize};

use crate::contract::trainer::{Params, SearchPoint};
use crate::rows::Fold;
use crate::settings::{Choice, Metric, SearchSettings};

/// A point of the grid, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PointId(pub(crate) usize);

/// A penalty of the grid, by its number: the points that only differ in their limit of iterations have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct PenaltyId(pub(crate) usize);

/// What is wanted of a model's path.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The points of the grid to read off it.
    pub(crate) ahead: Vec<PointId>,
    /// Whether the score of where it stops is wanted too.
    pub(crate) end: bool,
}

/// The settings of a point of the grid of logistic or linear regression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ElasticNetParams {
    /// Regularisation strength.
    pub reg_param: f64,
    /// Share of L1.
    pub elastic_net_param: f64,
    /// Iteration limit.
    pub max_iter: u32,
}

impl ElasticNetParams {
    /// As a training tells them.
    fn params(&self) -> Params {
        Params::default()
            .with("reg_param", self.reg_param)
            .with("elastic_net_param", self.elastic_net_param)
            .with("max_iter", self.max_iter)
    }

    /// The penalty that it asks for.
    pub(crate) fn penalty(&self) -> Penalty {
        Penalty {
            reg_param: self.reg_param,
            elastic_net_param: self.elastic_net_param,
        }
    }
}

/// Every combination of the axes.
pub(crate) fn combined(
    reg_params: &[f64],
    elastic_net_params: &[f64],
    max_iters: &[u32],
) -> Vec<SearchPoint<ElasticNetParams>> {
    let mut points = Vec::new();
    for reg_param in reg_params {
        for elastic_net_param in elastic_net_params {
            for max_iter in max_iters {
                points.push(SearchPoint {
                    params: ElasticNetParams {
                        reg_param: *reg_param,
                        elastic_net_param: *elastic_net_param,
                        max_iter: *max_iter,
                    },
                    score: None,
                    scores: Vec::new(),
                });
            }
        }
    }
    points
}

/// Folds of the search; 1, which is none, where there is nothing to choose.
pub(crate) fn folds<P>(points: &[SearchPoint<P>], search: &SearchSettings) -> usize {
    if points.len() > 1 {
        search.folds.max(2) as usize
    } else {
        1
    }
}

/// Writes down the score of a point on a fold.
pub(crate) fn scored<P>(point: &mut SearchPoint<P>, fold: Fold, score: f64) {
    point.scores.resize(fold.of(), 0.0);
    point.scores[fold.number()] = score;
}

/// The points as a training gives them.
pub(crate) fn finished(points: &[SearchPoint<ElasticNetParams>]) -> Vec<SearchPoint> {
    let finished = points.iter().map(|point| SearchPoint {
        params: point.params.params(),
        score: point.score,
        scores: point.scores.clone(),
    });
    finished.collect()
}

/// The best point that was scored, by its mean score, which is written into each; the first where there is nothing to choose.
pub(crate) fn choose<P>(points: &mut [SearchPoint<P>], metric: Metric) -> PointId {
    if points.len() < 2 {
        return PointId(0);
    }
    let mut best: Option<(usize, f64)> = None;
    for (i, point) in points
        .iter_mut()
        .enumerate()
        .filter(|(_, p)| !p.scores.is_empty())
    {
        let score = point.scores.iter().sum::<f64>() / point.scores.len() as f64;
        point.score = Some(score);
        if best.is_none_or(|(_, before)| metric.better(score, before)) {
            best = Some((i, score));
        }
    }
    PointId(best.map_or(0, |(i, _)| i))
}

/// The point of a path, from the largest penalty to the smallest, that is chosen by its scores on the folds.
pub(crate) fn choose_on_path(scores: &[Vec<f64>], metric: Metric, choice: Choice) -> usize {
    let mean = |scores: &Vec<f64>| scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    let means: Vec<f64> = scores.iter().map(mean).collect();
    let mut best = 0;
    for (at, score) in means.iter().enumerate() {
        if metric.better(*score, means[best]) {
            best = at;
        }
    }
    let error = match (choice, scores.get(best)) {
        (Choice::OneStandardError, Some(of_best)) => {
            let squares = of_best.iter().map(|score| (score - means[best]).powi(2));
            let (n, freedom) = (of_best.len() as f64, (of_best.len() as f64 - 1.0).max(1.0));
            (squares.sum::<f64>() / freedom / n).sqrt()
        }
        _ => 0.0,
    };
    let near = |score: &f64| (score - means[best]).abs() <= error;
    means.iter().position(near).unwrap_or(best)
}

/// An elastic net.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Penalty {
    /// Strength.
    pub(crate) reg_param: f64,
    /// Share of L1.
    pub(crate) elastic_net_param: f64,
}

impl Penalty {
    /// Strength of the L1 part.
    pub(crate) fn l1(self) -> f64 {
        self.elastic_net_param * self.reg_param
    }

    /// Strength of the L2 part.
    pub(crate) fn l2(self) -> f64 {
        (1.0 - self.elastic_net_param) * self.reg_param
    }

    /// The same where the L2 part is relative to a label's deviation, as that of a linear regression is.
    pub(crate) fn of_label(self, deviation: Option<f64>) -> Self {
        let Some(deviation) = deviation else { return self };
        let (l1, l2) = (self.l1(), self.l2() / deviation);
        let reg_param = l1 + l2;
        Self {
            reg_param,
            elastic_net_param: if reg_param > 0.0 { l1 / reg_param } else { 0.0 },
        }
    }
}

/// The largest of the iterations' limits.
pub(crate) fn longest(points: &[SearchPoint<ElasticNetParams>]) -> u32 {
    points
        .iter()
        .map(|point| point.params.max_iter)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_chosen_from_by_the_minimum_or_the_standard_error() {
        // Of the best, the standard error over the folds is 0.2 / √3.
        let scores = [
            [1.0, 1.0, 1.0],
            [0.6, 0.6, 0.6],
            [0.3, 0.5, 0.7],
            [0.5, 0.5, 0.5],
            [0.9, 0.9, 0.9],
        ];
        let scores = scores.map(|folds| folds.to_vec());
        assert_eq!(choose_on_path(&scores, Metric::LogLoss, Choice::Minimum), 2);
        assert_eq!(
            choose_on_path(&scores, Metric::LogLoss, Choice::OneStandardError),
            1
        );
        // The larger the better.
        assert_eq!(
            choose_on_path(&scores, Metric::Accuracy, Choice::OneStandardError),
            0
        );
        let once = [vec![0.5], vec![0.4], vec![0.45]];
        assert_eq!(
            choose_on_path(&once, Metric::LogLoss, Choice::OneStandardError),
            1
        );
    }
}
