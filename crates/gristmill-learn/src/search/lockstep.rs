//! Grid search with cross-validation in one lock-step: the models of all folds and penalties share every scan.
//!
//! `max_iter` is no axis of its own: a family's steps do not depend on how many are allowed, so the iterate at 10 of a run
//! of 100 is the model of `max_iter = 10`, and its score is read off the path.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::contract::trainer::{Next, SearchPoint, Status, Trained, Trainer, WarmStart};
use crate::error::{Error, Result, broken};
use crate::rows::FoldSums;
use crate::rows::summary::{Summary, SummaryPass, weighty};
use crate::search::checkpoint::{self, Checkpoint};
use crate::search::family::{Candidate, Family, Member, Path, Running};
use crate::search::grid::{
    ElasticNetParams, Penalty, PointId, Wanted, choose, finished, folds, longest, scored,
};
use crate::search::halving::Rounds;
use crate::settings::{Metric, SearchSettings};

/// A search under way.
pub(crate) struct Search<F: Family> {
    family: F,
    metric: Metric,
    summary_pass: SummaryPass,
    class_rows: Vec<u64>,
    /// Models that advance together.
    together: usize,
    points: Vec<SearchPoint<ElasticNetParams>>,
    penalties: Vec<Penalty>,
    /// Of the penalties.
    rounds: Rounds,
    /// Models of the search that have not started, last first.
    waiting: Vec<Candidate>,
    running: Vec<Running<F::Member>>,
    phase: Phase,
    scans: u64,
    /// Whether a scan is under way, whose answer is not known yet.
    scanning: bool,
    /// Where the last fit starts.
    warm: Option<Vec<f32>>,
    /// Where an earlier training stood, until the rows are known again.
    restored: Option<Checkpoint<Progress<F::Saved>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before the sums over the rows are known.
    Summary,
    /// Before the rows that the family wants are known.
    Gather,
    Search,
    Refit {
        best: PointId,
    },
}

/// Where a model stands; `M` is what the family keeps of it.
#[derive(Serialize, Deserialize)]
struct Progress<M> {
    candidate: Option<Candidate>,
    member: M,
    path: Path,
}

impl<F: Family> Search<F> {
    /// A search over `points`, whose rows are summed by `classes` and `features`.
    pub(crate) fn new(
        family: F,
        search: &SearchSettings,
        points: Vec<SearchPoint<ElasticNetParams>>,
        classes: usize,
        features: usize,
    ) -> Self {
        let penalties = penalties(&points);
        Self {
            family,
            metric: search.metric,
            summary_pass: SummaryPass {
                folds: FoldSums::all(folds(&points, search)),
                classes,
                features,
            },
            class_rows: Vec::new(),
            together: 1,
            rounds: Rounds::new(penalties.len(), longest(&points), search.halving),
            points,
            penalties,
            waiting: Vec::new(),
            running: Vec::new(),
            phase: Phase::Summary,
            scans: 0,
            scanning: false,
            warm: None,
            restored: None,
        }
    }

    fn take_summary(&mut self, state: &RecordBatch) -> Result<()> {
        let summary = Summary::of(self.summary_pass, state)?;
        let whole = summary.subset(None);
        if whole.rows == 0 {
            return Err(Error::empty_training());
        }
        let held_out = self.summary_pass.folds.held_out();
        if let Some(fold) = held_out.clone().find(|fold| summary.fold_rows(*fold) == 0) {
            return Err(Error::empty_fold(fold.number(), fold.of()));
        }
        self.class_rows.clone_from(&whole.counts);
        for fold in held_out {
            let held_out = Some(fold);
            self.family.hold(held_out, weighty(summary.subset(held_out))?);
        }
        self.family.hold(None, weighty(whole)?);
        if self.family.gather().is_some() {
            self.phase = Phase::Gather;
            return Ok(());
        }
        self.start()
    }

    fn take_rows(&mut self, rows: &RecordBatch) -> Result<()> {
        self.family.take_rows(rows, self.warm.is_some())?;
        self.start()
    }

    fn start(&mut self) -> Result<()> {
        self.together = self.family.together()?;
        match self.restored.take() {
            Some(saved) if saved.running.len() <= self.together => self.resume(saved)?,
            _ if self.summary_pass.folds.len() == 1 => self.start_refit(PointId(0))?,
            _ => self.line_up(),
        }
        Ok(())
    }

    /// Lets every penalty on every fold wait for its start.
    fn line_up(&mut self) {
        // All folds of one penalty end up beside each other; the order changes no result.
        for id in self.rounds.alive().iter().rev() {
            for fold in self.summary_pass.folds.held_out().rev() {
                self.waiting.push(Candidate {
                    id: *id,
                    penalty: self.penalties[id.0],
                    fold: Some(fold),
                });
            }
        }
        self.phase = Phase::Search;
    }

    /// Goes on where an earlier training stood.
    fn resume(&mut self, saved: Checkpoint<Progress<F::Saved>>) -> Result<()> {
        let folds = self.summary_pass.folds.len();
        self.rounds = saved.check(&mut self.points, folds, &self.rounds)?;
        if folds > 1 {
            self.line_up();
        }
        self.waiting.truncate(saved.waiting);
        self.scans = saved.scans;
        if let Some(best) = saved.best {
            choose(&mut self.points, self.metric);
            // The fit is past its start.
            self.warm = None;
            self.phase = Phase::Refit { best };
        }
        for Progress {
            candidate,
            member,
            path,
        } in saved.running
        {
            let penalty = match (candidate, saved.best) {
                (Some(candidate), _) => candidate.penalty,
                (None, Some(best)) => self.points[best.0].params.penalty(),
                (None, None) => return Err(broken("a model is neither searched nor refitted")),
            };
            let held_out = candidate.and_then(|candidate| candidate.fold);
            if held_out.is_some_and(|fold| fold.of() != folds) {
                return Err(broken("there is no such fold"));
            }
            let member = self.family.resume(member, held_out, penalty)?;
            self.running.push(Running::resume(candidate, member, path));
        }
        Ok(())
    }

    fn start_refit(&mut self, best: PointId) -> Result<()> {
        let params = &self.points[best.0].params;
        let warm = self.warm.take();
        let member = self
            .family
            .start(None, params.penalty(), params.max_iter, warm.as_deref())?;
        self.running = vec![Running::start(None, member, Wanted::default())];
        self.phase = Phase::Refit { best };
        Ok(())
    }

    fn start_waiting(&mut self) -> Result<()> {
        while self.running.len() < self.together {
            let Some(candidate) = self.waiting.pop() else {
                break;
            };
            let ahead = (0..self.points.len()).map(PointId).filter(|point| {
                let params = &self.points[point.0].params;
                params.penalty() == candidate.penalty && self.rounds.reaches(params.max_iter)
            });
            let wanted = Wanted {
                ahead: ahead.collect(),
                end: self.rounds.decides(),
            };
            let limit = self.rounds.limit();
            let member = self
                .family
                .start(candidate.fold, candidate.penalty, limit, None)?;
            self.running.push(Running::start(Some(candidate), member, wanted));
        }
        Ok(())
    }

    fn ask(&mut self) -> Result<Option<Next>> {
        self.start_waiting()?;
        Ok(self.family.ask(&self.running))
    }

    fn take(&mut self, answer: Option<RecordBatch>) -> Result<()> {
        for (place, found) in self.family.take(answer)? {
            let running = &mut self.running[place];
            let Some((candidate, fold)) = running.candidate.and_then(|one| Some((one, one.fold?))) else {
                continue;
            };
            let score = found.score(self.metric);
            for point in running.take_due() {
                scored(&mut self.points[point.0], fold, score);
            }
            if running.take_end() {
                self.rounds.score(candidate.id, score);
            }
        }
        self.family.advance(&mut self.running)?;
        for running in &mut self.running {
            running.reach(&self.points);
        }
        if self.phase == Phase::Search {
            self.running
                .retain(|running| !running.member.stopped() || running.wants_score());
        }
        Ok(())
    }

    fn iterations_left(&self) -> Option<u32> {
        let first = self.running.iter().map(|r| r.member.iteration()).min();
        let first = first.unwrap_or(0);
        match self.phase {
            Phase::Summary | Phase::Gather => None,
            Phase::Search => {
                let waves = self.waiting.len().div_ceil(self.together.max(1)) as u32;
                // This wave, those that wait, the rounds to come, and the refit of what may be the longest.
                let round = self.rounds.limit();
                let later = self.rounds.later().saturating_add(longest(&self.points));
                Some(
                    round
                        .saturating_sub(first)
                        .saturating_add(round.saturating_mul(waves))
                        .saturating_add(later),
                )
            }
            Phase::Refit { best } => Some(self.points[best.0].params.max_iter.saturating_sub(first)),
        }
    }

    fn done(&mut self, best: PointId) -> Result<Next> {
        let Some(Running { member, .. }) = self.running.pop() else {
            return Err(Error::State {
                pass: "search",
                why: "no model is under way".to_owned(),
            });
        };
        let (iterations, objective) = (member.iteration(), member.objective());
        let converged = member.converged();
        Ok(Next::Done(Box::new(Trained {
            model: Arc::new(self.family.model(member)),
            search: finished(&self.points),
            best: best.0,
            iterations,
            converged,
            objective: Some(objective),
            class_rows: self.class_rows.clone(),
            cut_short: false,
        })))
    }

    fn what_next(&mut self) -> Result<Next> {
        match self.phase {
            Phase::Summary => return Ok(Next::Scan(Box::new(self.summary_pass))),
            Phase::Gather => {
                if let Some(pass) = self.family.gather() {
                    return Ok(Next::Scan(pass));
                }
            }
            Phase::Search | Phase::Refit { .. } => {}
        }
        if let Some(next) = self.ask()? {
            return Ok(next);
        }
        if let Phase::Refit { best } = self.phase {
            return self.done(best);
        }
        if self.rounds.next(self.metric) {
            self.line_up();
            return Ok(self.ask()?.unwrap_or(Next::Step));
        }
        let best = choose(&mut self.points, self.metric);
        self.start_refit(best)?;
        match self.ask()? {
            Some(next) => Ok(next),
            None => self.done(best),
        }
    }
}

/// The penalties of the grid, in its order.
fn penalties(points: &[SearchPoint<ElasticNetParams>]) -> Vec<Penalty> {
    let mut penalties: Vec<Penalty> = points.iter().map(|p| p.params.penalty()).collect();
    penalties.dedup();
    penalties
}

impl<F: Family> Trainer for Search<F> {
    fn next(&mut self, answer: Option<RecordBatch>) -> Result<Next> {
        match (self.phase, answer) {
            (Phase::Summary | Phase::Gather, None) => {}
            (Phase::Summary, Some(state)) => self.take_summary(&state)?,
            (Phase::Gather, Some(state)) => self.take_rows(&state)?,
            (Phase::Search | Phase::Refit { .. }, answer) => self.take(answer)?,
        }
        let next = self.what_next()?;
        self.scanning = matches!(next, Next::Scan(_));
        self.scans += u64::from(self.scanning);
        Ok(next)
    }

    fn start_from(&mut self, start: WarmStart) -> Result<()> {
        self.warm = Some(start.coefficients);
        Ok(())
    }

    fn save(&self, to: &mut dyn Write) -> Result<bool> {
        let best = match self.phase {
            Phase::Summary | Phase::Gather => return Ok(false),
            Phase::Search => None,
            Phase::Refit { best } => Some(best),
        };
        let mut running = Vec::with_capacity(self.running.len());
        for one in &self.running {
            running.push(Progress {
                candidate: one.candidate,
                member: F::written(&one.member),
                path: one.path().clone(),
            });
        }
        let state = Checkpoint {
            // The scan that was asked for is asked for again.
            scans: self.scans - u64::from(self.scanning),
            best,
            scores: self.points.iter().map(|point| point.scores.clone()).collect(),
            rounds: self.rounds.clone(),
            waiting: self.waiting.len(),
            running,
        };
        checkpoint::write(&state, to)?;
        Ok(true)
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        self.restored = Some(checkpoint::read(from)?);
        Ok(())
    }

    fn status(&self) -> Status {
        let active = || (self.running.iter().map(|r| &r.member)).filter(|member| !member.stopped());
        Status {
            scans: self.scans,
            phase: match self.phase {
                Phase::Summary | Phase::Gather => "summary",
                Phase::Search => "search",
                Phase::Refit { .. } => "refit",
            },
            running: active().count() + self.waiting.len(),
            objective: active()
                .map(Member::objective)
                .filter(|objective| objective.is_finite())
                .reduce(f64::min),
            iteration: (self.running.iter().map(|r| r.member.iteration()).max()).unwrap_or(0),
            iterations_left: self.iterations_left(),
        }
    }
}
