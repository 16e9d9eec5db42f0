//! Linear regression of up to 4,096 features: one scan that sums the products of all pairs of columns, from which every model follows without rows,
//! and a second scan that scores them on the folds held out.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::contract::model::Model;
use crate::contract::trainer::{Next, SearchPoint, Status, Trained, Trainer, TrainingSize};
use crate::error::{Error, Result};
use crate::evaluate::RegressionPass;
use crate::model::{LinearModel, Thresholds};
use crate::rows::kernel::Block;
use crate::rows::{Fold, FoldSums, RowSet, Shape};
use crate::search::grid::{ElasticNetParams, PointId, choose, choose_on_path, finished};
use crate::settings::SearchSettings;
use crate::train::least_squares::products::{Products, ProductsPass, Triangle};
use crate::train::least_squares::quadratic::Quadratic;
use crate::train::least_squares::settings::{LinearSettings, MAX_LINEAR_FEATURES};
use crate::train::logistic::{self, logistic_search};

/// A search over the grid of `settings`, then the best point's model of all training rows.
///
/// # Errors
/// `Budget` when the sums and one model do not fit.
pub fn linear_search(
    settings: &LinearSettings,
    search: &SearchSettings,
    size: TrainingSize,
    memory: u64,
) -> Result<Box<dyn Trainer>> {
    if size.features > MAX_LINEAR_FEATURES {
        let by_scans = settings.by_scans();
        return logistic_search(&by_scans, search, size, Thresholds::default(), memory);
    }
    let needed = sums_bytes(settings, search, size) + model_bytes(settings, size);
    if needed > memory {
        return Err(Error::Budget {
            what: format!("a linear regression of {} features", size.features),
            needed,
            available: memory,
        });
    }
    Ok(Box::new(LinearSearch {
        settings: settings.clone(),
        search: search.clone(),
        pass: ProductsPass {
            folds: FoldSums::all(settings.folds(search)),
            features: size.features,
        },
        points: settings.grid(&[]),
        phase: Phase::Sum,
        jobs: Vec::new(),
        scans: 0,
    }))
}

/// Bytes of the sums by fold, and of the models that are scored.
pub(crate) fn sums_bytes(settings: &LinearSettings, search: &SearchSettings, size: TrainingSize) -> u64 {
    if size.features > MAX_LINEAR_FEATURES {
        return logistic::sums_bytes(&settings.by_scans(), size, settings.folds(search));
    }
    let folds = settings.folds(search);
    // As they are summed, as a state, and those of one model.
    let sums = (2 * folds + 1) * Triangle::of(size.features).len();
    let models = settings.points() * folds * (size.features + 1);
    ((sums + models) * size_of::<f64>()) as u64
}

/// Bytes of the one model that is being solved.
pub(crate) fn model_bytes(settings: &LinearSettings, size: TrainingSize) -> u64 {
    if size.features > MAX_LINEAR_FEATURES {
        return logistic::model_bytes(&settings.by_scans(), size);
    }
    let shape = Shape {
        features: size.features,
        sets: 1,
    };
    Quadratic::bytes(size.features) + Block::<f64>::bytes(shape) as u64
}

struct LinearSearch {
    settings: LinearSettings,
    search: SearchSettings,
    pass: ProductsPass,
    points: Vec<SearchPoint<ElasticNetParams>>,
    phase: Phase,
    /// The models of the folds solved so far, point by point.
    jobs: Vec<(Arc<dyn Model>, RowSet)>,
    scans: u64,
}

enum Phase {
    /// The products are being summed.
    Sum,
    /// The models of this fold are to be solved.
    Solve { products: Products, fold: Fold },
    /// The models are being scored.
    Score {
        products: Products,
        scoring: RegressionPass,
    },
    /// All is done but the model of this point.
    Refit { products: Products, best: PointId },
    /// Nothing is left to do.
    Done,
}

impl LinearSearch {
    /// The models of every point on the rows outside a fold.
    fn solve(&mut self, products: &Products, fold: Fold) -> Result<()> {
        let form = Quadratic::of(&products.without(Some(fold)), self.settings.fit_intercept);
        // The limits of the iterations are the innermost axis: points on the path of one penalty.
        for points in self.points.chunks(self.settings.max_iter.len().max(1)) {
            let limits: Vec<u32> = points.iter().map(|p| p.params.max_iter).collect();
            let penalty = points[0].params.penalty();
            for solution in form.solve(penalty, &self.settings, &limits)? {
                let model = LinearModel::linear(self.pass.features, solution.weights);
                self.jobs.push((Arc::new(model) as _, RowSet::Fold(fold)));
            }
        }
        Ok(())
    }

    fn take_scores(&mut self, scoring: &RegressionPass, state: &RecordBatch) -> Result<PointId> {
        let scores = scoring.scores(state)?;
        let (metric, choice) = (self.search.metric, self.search.choose);
        for of_fold in scores.chunks(self.points.len()) {
            for (point, scores) in self.points.iter_mut().zip(of_fold) {
                point.scores.push(scores.get(metric));
            }
        }
        let best = choose(&mut self.points, metric);
        if !self.settings.reg_param.is_auto() {
            return Ok(best);
        }
        let scores: Vec<Vec<f64>> = self.points.iter().map(|point| point.scores.clone()).collect();
        Ok(PointId(choose_on_path(&scores, metric, choice)))
    }

    fn refit(&self, products: &Products, best: PointId) -> Result<Trained> {
        let params = self.points[best.0].params;
        let form = Quadratic::of(&products.without(None), self.settings.fit_intercept);
        let solved = form.solve(params.penalty(), &self.settings, &[params.max_iter])?;
        let Some(solution) = solved.into_iter().next() else {
            return Err(unasked());
        };
        Ok(Trained {
            model: Arc::new(LinearModel::linear(self.pass.features, solution.weights)),
            search: finished(&self.points),
            best: best.0,
            iterations: solution.iterations,
            converged: solution.converged,
            objective: Some(solution.objective),
            class_rows: Vec::new(),
            cut_short: false,
        })
    }
}

impl Trainer for LinearSearch {
    fn next(&mut self, answer: Option<RecordBatch>) -> Result<Next> {
        let (phase, next) = match (std::mem::replace(&mut self.phase, Phase::Done), answer) {
            (Phase::Sum, None) => (Phase::Sum, Next::Scan(Box::new(self.pass))),
            (Phase::Sum, Some(state)) => {
                let products = Products::of(self.pass, &state)?.checked()?;
                if self.settings.reg_param.is_auto() {
                    let form = Quadratic::of(&products.without(None), self.settings.fit_intercept);
                    self.points = self.settings.grid(&form.path(&self.settings));
                }
                let phase = match self.pass.folds.held_out().next() {
                    None => Phase::Refit {
                        products,
                        best: PointId(0),
                    },
                    Some(fold) => Phase::Solve { products, fold },
                };
                (phase, Next::Step)
            }
            (Phase::Solve { products, fold }, None) => {
                self.solve(&products, fold)?;
                if let Some(fold) = self.pass.folds.held_out().nth(fold.number() + 1) {
                    (Phase::Solve { products, fold }, Next::Step)
                } else {
                    let scoring = RegressionPass::on_sets(std::mem::take(&mut self.jobs));
                    let scan = Next::Scan(Box::new(scoring.clone()));
                    (Phase::Score { products, scoring }, scan)
                }
            }
            (Phase::Score { products, scoring }, Some(state)) => {
                let best = self.take_scores(&scoring, &state)?;
                (Phase::Refit { products, best }, Next::Step)
            }
            (Phase::Refit { products, best }, None) => {
                let trained = self.refit(&products, best)?;
                (Phase::Done, Next::Done(Box::new(trained)))
            }
            _ => return Err(unasked()),
        };
        self.phase = phase;
        self.scans += u64::from(matches!(next, Next::Scan(_)));
        Ok(next)
    }

    fn status(&self) -> Status {
        let folds = self.pass.folds.len();
        let (phase, running) = match &self.phase {
            Phase::Sum => ("products", 0),
            Phase::Solve { fold, .. } => ("search", (folds - fold.number()) * self.points.len()),
            Phase::Score { .. } => ("search", folds * self.points.len()),
            Phase::Refit { .. } => ("refit", 1),
            Phase::Done => ("refit", 0),
        };
        Status {
            scans: self.scans,
            phase,
            running,
            objective: None,
            iteration: 0,
            iterations_left: None,
        }
    }
}

fn unasked() -> Error {
    Error::State {
        pass: "linear regression",
        why: "an answer to no question".to_owned(),
    }
}
