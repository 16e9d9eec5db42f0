//! The grid of a search: its points, their scores, and the best of them.

use serde::{Deserialize, Serialize};

use crate::settings::{LinearSettings, LogisticSettings, Metric, SearchSettings};

/// One point of the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchPoint<P = Params> {
    /// What it is made of.
    #[serde(flatten)]
    pub params: P,
    /// Mean over the folds; absent when nothing was searched, and when halving gave it up before.
    pub score: Option<f64>,
    /// The score on each fold held out.
    pub scores: Vec<f64>,
}

/// What is wanted of a model's path.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The points of the grid to read off it.
    pub(crate) ahead: Vec<usize>,
    /// Whether the score of where it stops is wanted too.
    pub(crate) end: bool,
}

impl<P> SearchPoint<P> {
    /// Writes down its score on a fold.
    pub(crate) fn scored(&mut self, fold: usize, folds: usize, score: f64) {
        self.scores.resize(folds, 0.0);
        self.scores[fold] = score;
    }
}

/// The settings of a point of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Params {
    /// Those of logistic or linear regression.
    ElasticNet(ElasticNetParams),
    /// That of naive Bayes.
    NaiveBayes {
        /// Added to every sum.
        smoothing: f64,
    },
}

/// The settings of a point of the grid of logistic or linear regression.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ElasticNetParams {
    /// Regularisation strength.
    pub reg_param: f64,
    /// Share of L1.
    pub elastic_net_param: f64,
    /// Iteration limit.
    pub max_iter: u32,
}

impl Params {
    /// The names and the values.
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::ElasticNet(p) => vec![
                ("reg_param", p.reg_param.to_string()),
                ("elastic_net_param", p.elastic_net_param.to_string()),
                ("max_iter", p.max_iter.to_string()),
            ],
            Self::NaiveBayes { smoothing } => vec![("smoothing", smoothing.to_string())],
        }
    }

    /// The iteration limit, if the model is found by iterating.
    pub fn max_iter(&self) -> Option<u32> {
        match self {
            Self::ElasticNet(p) => Some(p.max_iter),
            Self::NaiveBayes { .. } => None,
        }
    }
}

impl ElasticNetParams {
    /// The penalty that it asks for.
    pub(crate) fn penalty(&self) -> Penalty {
        Penalty {
            reg_param: self.reg_param,
            elastic_net_param: self.elastic_net_param,
        }
    }
}

/// Every combination of the axes.
pub(crate) fn grid(settings: &LogisticSettings) -> Vec<SearchPoint<ElasticNetParams>> {
    combined(
        &settings.reg_param,
        &settings.elastic_net_param,
        &settings.max_iter,
    )
}

/// The same of linear regression.
pub(crate) fn linear_grid(settings: &LinearSettings) -> Vec<SearchPoint<ElasticNetParams>> {
    combined(
        &settings.reg_param,
        &settings.elastic_net_param,
        &settings.max_iter,
    )
}

fn combined(
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

/// The points as a training gives them.
pub(crate) fn finished(points: &[SearchPoint<ElasticNetParams>]) -> Vec<SearchPoint> {
    let finished = points.iter().map(|point| SearchPoint {
        params: Params::ElasticNet(point.params),
        score: point.score,
        scores: point.scores.clone(),
    });
    finished.collect()
}

/// The best point that was scored, by its mean score, which is written into each; the first where there is nothing to choose.
pub(crate) fn choose<P>(points: &mut [SearchPoint<P>], metric: Metric) -> usize {
    if points.len() < 2 {
        return 0;
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
    best.map_or(0, |(i, _)| i)
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
}

/// The largest of the iterations' limits.
pub(crate) fn longest(points: &[SearchPoint<ElasticNetParams>]) -> u32 {
    points
        .iter()
        .map(|point| point.params.max_iter)
        .max()
        .unwrap_or(0)
}
