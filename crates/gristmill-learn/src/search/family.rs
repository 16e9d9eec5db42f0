//! The contract of a family of models that a search trains: one model for each penalty and fold, all sharing every scan.

use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::contract::pass::Pass;
use crate::contract::trainer::{Next, SearchPoint};
use crate::error::Result;
use crate::model::LinearModel;
use crate::rows::summary::Subset;
use crate::rows::{Fold, RowSet, Split};
use crate::search::grid::{ElasticNetParams, Penalty, PenaltyId, PointId, Wanted};
use crate::settings::Metric;
use crate::statistics::{Confusion, Errors};

/// A family of models, with what its members share: the settings, and the sums over the rows that each trains on.
pub(crate) trait Family: Send {
    /// One model under way.
    type Member: Member;
    /// A member as a checkpoint is read.
    type Saved: DeserializeOwned + Send;
    /// A member as a checkpoint is written.
    type Written<'m>: Serialize
    where
        Self: 'm;

    /// Where a member stopped: what the next one on a path of penalties starts from.
    type Place: Serialize + DeserializeOwned + Send;

    /// Takes in the sums over the rows of one training: with each fold held out, in order, and at last with none.
    fn hold(&mut self, held_out: Option<Fold>, subset: Arc<Subset>);

    /// A pass over the rows that the family wants before its members start.
    fn gather(&self) -> Option<Box<dyn Pass>> {
        None
    }

    /// Takes in the rows of [`Family::gather`]; `warm` says whether the last fit starts from an earlier model.
    fn take_rows(&mut self, _rows: &RecordBatch, _warm: bool) -> Result<()> {
        Ok(())
    }

    /// How many members fit into the memory together.
    ///
    /// # Errors
    /// `Budget` when not even one does.
    fn together(&self) -> Result<usize>;

    /// Starts a member on the rows outside a fold, or on all.
    ///
    /// # Errors
    /// `State` when there is no such fold.
    fn start(
        &mut self,
        held_out: Option<Fold>,
        penalty: Penalty,
        max_iter: u32,
        warm: Option<&[f32]>,
    ) -> Result<Self::Member>;

    /// Goes on where a member stood.
    ///
    /// # Errors
    /// `State` when it stood in another training.
    fn resume(
        &mut self,
        saved: Self::Saved,
        held_out: Option<Fold>,
        penalty: Penalty,
    ) -> Result<Self::Member>;

    /// Starts a member where another one of the same rows stopped, under another penalty. It need not meet its minimum more
    /// closely than the score of a path tells.
    ///
    /// # Errors
    /// `State` when there is no such fold, or the place is another training's.
    fn start_at(
        &mut self,
        held_out: Option<Fold>,
        penalty: Penalty,
        max_iter: u32,
        place: Self::Place,
    ) -> Result<Self::Member>;

    /// Where a member stopped.
    fn place(member: Self::Member) -> Self::Place;

    /// Lets a member that stopped at its limit of iterations go on to a larger one, if it then ends where one does that had the
    /// larger limit from its start.
    fn lengthen(_member: Self::Member, _max_iter: u32) -> Option<Self::Member> {
        None
    }

    /// Where a member stands: what [`Family::resume`] needs besides the rows.
    fn written(member: &Self::Member) -> Self::Written<'_>;

    /// What comes next for the members that want something; `None` when all have stopped and are scored.
    fn ask(&mut self, running: &[Running<Self::Member>]) -> Option<Next>;

    /// Reads the answer to the scan asked for (`None` after a step without one): what each member that was scored was found to
    /// do on its rows, by its place among those running.
    ///
    /// # Errors
    /// `State` when it is no answer to the question.
    fn take(&mut self, answer: Option<RecordBatch>) -> Result<Vec<(usize, Found)>>;

    /// Lets the members go on with what the scan found.
    fn advance(&mut self, running: &mut [Running<Self::Member>]) -> Result<()>;

    /// The finished model.
    fn model(&self, member: Self::Member) -> LinearModel;
}

/// What a model was found to do on the rows that score it.
#[derive(Debug)]
pub(crate) enum Found {
    /// Of a classifier.
    Classes(Confusion),
    /// Of a regression.
    Numbers(Errors),
}

impl Found {
    /// Its score by a metric.
    pub(crate) fn score(&self, metric: Metric) -> f64 {
        match self {
            Self::Classes(confusion) => confusion.scores().get(metric),
            Self::Numbers(errors) => errors.scores().get(metric),
        }
    }

    /// What the models minimise: the log loss, or the root of the mean squared error.
    pub(crate) fn loss(&self) -> f64 {
        match self {
            Self::Classes(_) => self.score(Metric::LogLoss),
            Self::Numbers(_) => self.score(Metric::Rmse),
        }
    }
}

/// One model under way.
pub(crate) trait Member: Send {
    /// Iterations so far.
    fn iteration(&self) -> u32;

    /// Mean loss plus penalty; infinite before it is known.
    fn objective(&self) -> f64;

    /// Whether it has stopped.
    fn stopped(&self) -> bool;

    /// Whether it stopped before its limit of iterations.
    fn converged(&self) -> bool;
}

/// A penalty on one fold.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) id: PenaltyId,
    pub(crate) penalty: Penalty,
    /// The fold that is not trained on and scored; `None`: all training rows are trained on, and the validation rows scored.
    pub(crate) fold: Option<Fold>,
}

/// A model under way, as the search sees it.
pub(crate) struct Running<M> {
    /// `None` for the fit to all training rows.
    pub(crate) candidate: Option<Candidate>,
    pub(crate) member: M,
    path: Path,
}

/// The points of the grid on the path of a model.
#[derive(Serialize, Deserialize, Clone, Default)]
pub(crate) struct Path {
    /// Points that are reached and not scored yet.
    due: Vec<PointId>,
    /// Points further along.
    ahead: Vec<PointId>,
    /// Whether the score of where the model stops is wanted, and not known yet.
    end: bool,
}

impl<M: Member> Running<M> {
    /// A model at its start.
    pub(crate) fn start(candidate: Option<Candidate>, member: M, wanted: Wanted) -> Self {
        // A model with nothing to optimise is scored straight away.
        let (due, ahead) = if member.stopped() {
            (wanted.ahead, Vec::new())
        } else {
            (Vec::new(), wanted.ahead)
        };
        let end = wanted.end;
        Self::resume(candidate, member, Path { due, ahead, end })
    }

    /// A model that goes on.
    pub(crate) fn resume(candidate: Option<Candidate>, member: M, path: Path) -> Self {
        Self {
            candidate,
            member,
            path,
        }
    }

    /// The points on its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The fold that is not trained on.
    pub(crate) fn held_out(&self) -> Option<Fold> {
        self.candidate.and_then(|candidate| candidate.fold)
    }

    /// The rows on which its score is wanted now.
    pub(crate) fn scored_rows(&self) -> Option<RowSet> {
        let candidate = self.candidate.filter(|_| self.wants_score())?;
        let validation = RowSet::Split(Split::Validation);
        Some(candidate.fold.map_or(validation, RowSet::Fold))
    }

    /// Whether it is at a point whose score is wanted.
    pub(crate) fn wants_score(&self) -> bool {
        !self.path.due.is_empty() || (self.path.end && self.member.stopped())
    }

    /// The points that its score is of, which are scored now.
    pub(crate) fn take_due(&mut self) -> Vec<PointId> {
        std::mem::take(&mut self.path.due)
    }

    /// Whether its score is that of where it stopped, which is known now.
    pub(crate) fn take_end(&mut self) -> bool {
        let ended = self.path.end && self.member.stopped();
        self.path.end &= !ended;
        ended
    }

    /// Moves the points that it has reached from those ahead to those due.
    pub(crate) fn reach(&mut self, points: &[SearchPoint<ElasticNetParams>]) {
        let (iteration, stopped) = (self.member.iteration(), self.member.stopped());
        let reached = |point: &PointId| points[point.0].params.max_iter <= iteration || stopped;
        let (due, ahead): (Vec<PointId>, Vec<PointId>) =
            self.path.ahead.iter().partition(|point| reached(point));
        self.path.due.extend(due);
        self.path.ahead = ahead;
    }
}
