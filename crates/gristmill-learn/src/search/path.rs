//! A path of penalties, each model starting where that of the penalty before stopped: `reg_param = "auto"`.
//!
//! Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear models via coordinate descent" (2010): from
//! the smallest penalty that leaves nothing but the intercepts downwards, in equal steps of its logarithm. Scores are taken on
//! the folds held out, or on the validation rows. The path ends where these rows say that smaller penalties only get worse.
//! The model of the best penalty is then fitted to all training rows as if that value had been typed.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::contract::trainer::{Next, SearchPoint, Status, Trained, Trainer, WarmStart};
use crate::error::{Error, Result, broken};
use crate::rows::summary::{Summary, SummaryPass, weighty};
use crate::rows::{Fold, FoldSums};
use crate::search::checkpoint;
use crate::search::family::{Candidate, Family, Member, Path, Running};
use crate::search::grid::{ElasticNetParams, Penalty, PenaltyId, Wanted, choose_on_path, finished};
use crate::search::ladder::Ladder;
use crate::settings::{Choice, SearchSettings};

/// What a path is to find.
pub(crate) struct Plan {
    /// The penalties.
    pub(crate) ladder: Ladder,
    /// Share of L1.
    pub(crate) elastic_net_param: f64,
    /// Iterations of a model.
    pub(crate) max_iter: u32,
    /// Whether the penalty is on the coefficients of standardised features.
    pub(crate) standardization: bool,
    /// Multiply-adds of a row in a scan.
    pub(crate) row_work: u64,
}

/// Multiply-adds of a scan up to which folds score a path, and beyond which the validation rows do: each model of a path takes
/// some ten scans, and three times as many for the folds. Up to here models that are tried side by side are trained to their
/// end, and beyond for two epochs.
const FEW_WORK: u64 = 1 << 21;

/// A search along a path.
pub(crate) struct PathSearch<F: Family> {
    family: F,
    plan: Plan,
    search: SearchSettings,
    summary_pass: SummaryPass,
    class_rows: Vec<u64>,
    /// Models that advance together.
    together: usize,
    /// What each model of a penalty does not learn from.
    parts: Vec<Option<Fold>>,
    /// The penalties so far, those under way last.
    points: Vec<Point>,
    /// Where the models of the penalty before stopped, by part.
    places: Vec<Option<F::Place>>,
    /// The best of the models that may go on, with its penalty.
    kept: Option<(usize, F::Member)>,
    /// The penalties and parts whose models have not started, last first.
    waiting: Vec<(usize, usize)>,
    running: Vec<Running<F::Member>>,
    phase: Phase,
    scans: u64,
    scanning: bool,
    warm: Option<Vec<f32>>,
    /// Whether no more penalties are to be tried.
    settled: bool,
    restored: Option<Saved<Progress<F::Saved>, F::Place>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Summary,
    Gather,
    Search,
    Refit { best: usize },
}

/// What a model scored on the rows that it did not learn from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Scored {
    /// By the metric of the search.
    score: f64,
    /// What says whether the path goes on.
    loss: f64,
}

/// A penalty, and what its models scored, by part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    reg_param: f64,
    scored: Vec<Option<Scored>>,
}

impl Point {
    fn loss(&self) -> f64 {
        let losses: Vec<f64> = self.scored.iter().flatten().map(|scored| scored.loss).collect();
        mean(&losses)
    }

    fn scores(&self) -> Vec<f64> {
        self.scored.iter().flatten().map(|scored| scored.score).collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The place of a model among the parts.
fn part(candidate: Candidate) -> usize {
    candidate.fold.map_or(0, Fold::number)
}

/// Where a search stands; `R` is one model under way, `P` the place of one that stopped.
#[derive(Serialize, Deserialize)]
struct Saved<R, P> {
    scans: u64,
    best: Option<usize>,
    settled: bool,
    points: Vec<Point>,
    places: Vec<Option<P>>,
    kept: Option<(usize, R)>,
    waiting: Vec<(usize, usize)>,
    running: Vec<R>,
}

/// Where a model stands; `M` is what the family keeps of it.
#[derive(Serialize, Deserialize)]
struct Progress<M> {
    candidate: Option<Candidate>,
    member: M,
    path: Path,
}

impl<F: Family> PathSearch<F> {
    /// A search whose rows are summed by `classes` and `features`.
    pub(crate) fn new(
        family: F,
        plan: Plan,
        search: &SearchSettings,
        classes: usize,
        features: usize,
    ) -> Self {
        Self {
            family,
            plan,
            search: search.clone(),
            summary_pass: SummaryPass {
                folds: FoldSums::all(search.folds.max(2) as usize),
                classes,
                features,
            },
            class_rows: Vec::new(),
            together: 1,
            parts: Vec::new(),
            points: Vec::new(),
            places: Vec::new(),
            kept: None,
            waiting: Vec::new(),
            running: Vec::new(),
            phase: Phase::Summary,
            scans: 0,
            scanning: false,
            warm: None,
            settled: false,
            restored: None,
        }
    }

    fn take_summary(&mut self, state: &RecordBatch) -> Result<()> {
        let summary = Summary::of(self.summary_pass, state)?;
        let whole = summary.subset(None);
        if whole.rows == 0 {
            return Err(Error::empty_training());
        }
        self.class_rows.clone_from(&whole.counts);
        if !self.plan.standardization {
            self.plan.ladder = self.plan.ladder.in_units_of(&whole.deviation);
        }
        if let Some(label) = whole.label {
            self.plan.ladder = self.plan.ladder.times(label.deviation);
        }
        let few = whole.rows.saturating_mul(self.plan.row_work) <= FEW_WORK;
        if !few {
            self.plan.ladder = self.plan.ladder.shortened();
        }
        let held_out = self.summary_pass.folds.held_out();
        let empty = held_out.clone().find(|fold| summary.fold_rows(*fold) == 0);
        let errors = self.search.choose == Choice::OneStandardError;
        let wanted = errors || (few && !self.plan.ladder.begins());
        let by_folds = summary.validation_rows() == 0 || (wanted && empty.is_none());
        if let (true, Some(fold)) = (by_folds, empty) {
            return Err(Error::empty_fold(fold.number(), fold.of()));
        }
        if by_folds {
            for fold in held_out.clone() {
                let held_out = Some(fold);
                self.family.hold(held_out, weighty(summary.subset(held_out))?);
            }
            self.parts = held_out.map(Some).collect();
        } else {
            self.parts = vec![None];
        }
        self.family.hold(None, weighty(whole)?);
        self.places = self.parts.iter().map(|_| None).collect();
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
            Some(saved) if saved.running.len() <= self.together => self.resume(saved),
            _ => {
                self.line_up();
                Ok(())
            }
        }
    }

    /// Lets the models of the next penalties wait for their start.
    fn line_up(&mut self) {
        let ladder = self.plan.ladder;
        for number in self.points.len()..(self.points.len() + ladder.together()).min(ladder.most()) {
            self.points.push(Point {
                reg_param: ladder.rung(number),
                scored: vec![None; self.parts.len()],
            });
            self.waiting
                .extend((0..self.parts.len()).map(|part| (number, part)));
        }
        self.waiting.reverse();
        self.phase = Phase::Search;
    }

    fn penalty(&self, reg_param: f64) -> Penalty {
        Penalty {
            reg_param,
            elastic_net_param: self.plan.elastic_net_param,
        }
    }

    /// Goes on where an earlier training stood.
    fn resume(&mut self, saved: Saved<Progress<F::Saved>, F::Place>) -> Result<()> {
        let parts = self.parts.len();
        let points = saved.points.len();
        // The fit to all rows starts from none.
        let fits = (saved.best.is_some() || saved.places.len() == parts)
            && saved.points.iter().all(|point| point.scored.len() == parts)
            && (saved.waiting.iter()).all(|(point, part)| *point < points && *part < parts)
            && saved.best.is_none_or(|best| best < points);
        if !fits {
            return Err(broken("it is of another search"));
        }
        (self.scans, self.settled) = (saved.scans, saved.settled);
        (self.points, self.places, self.waiting) = (saved.points, saved.places, saved.waiting);
        self.phase = Phase::Search;
        if let Some(best) = saved.best {
            // The fit is past its start.
            self.warm = None;
            self.phase = Phase::Refit { best };
        }
        if let Some((number, kept)) = saved.kept {
            let point = self
                .points
                .get(number)
                .ok_or_else(|| broken("there is no such penalty"))?;
            let member = self
                .family
                .resume(kept.member, None, self.penalty(point.reg_param))?;
            self.kept = Some((number, member));
        }
        for Progress {
            candidate,
            member,
            path,
        } in saved.running
        {
            let penalty = match (candidate, saved.best) {
                (Some(candidate), _) => candidate.penalty,
                (None, Some(best)) => self.penalty(self.points[best].reg_param),
                (None, None) => return Err(broken("a model is neither searched nor refitted")),
            };
            let held_out = candidate.and_then(|candidate| candidate.fold);
            let member = self.family.resume(member, held_out, penalty)?;
            self.running.push(Running::resume(candidate, member, path));
        }
        Ok(())
    }

    fn start_waiting(&mut self) -> Result<()> {
        while self.running.len() < self.together {
            let Some((number, part)) = self.waiting.pop() else {
                break;
            };
            let candidate = Candidate {
                id: PenaltyId(number),
                penalty: self.penalty(self.points[number].reg_param),
                fold: self.parts[part],
            };
            let (fold, penalty) = (candidate.fold, candidate.penalty);
            let limit = self.plan.ladder.iterations(self.plan.max_iter);
            let member = match self.places[part].take() {
                Some(place) => self.family.start_at(fold, penalty, limit, place)?,
                None => self.family.start(fold, penalty, limit, None)?,
            };
            let wanted = Wanted {
                ahead: Vec::new(),
                end: true,
            };
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
            let Some(candidate) = running.candidate.filter(|_| running.take_end()) else {
                continue;
            };
            self.points[candidate.id.0].scored[part(candidate)] = Some(Scored {
                score: found.score(self.search.metric),
                loss: found.loss(),
            });
        }
        self.family.advance(&mut self.running)?;
        if self.phase != Phase::Search {
            return Ok(());
        }
        let mut going = Vec::with_capacity(self.running.len());
        for running in std::mem::take(&mut self.running) {
            match running.candidate {
                Some(candidate) if running.member.stopped() && !running.wants_score() => {
                    self.retire(candidate, running.member);
                }
                _ => going.push(running),
            }
        }
        self.running = going;
        Ok(())
    }

    /// Keeps of a model that stopped what is needed of it.
    fn retire(&mut self, candidate: Candidate, member: F::Member) {
        if !self.plan.ladder.begins() {
            self.places[part(candidate)] = Some(F::place(member));
        } else if candidate.fold.is_none() {
            let number = candidate.id.0;
            let before = self.kept.as_ref().map(|(number, _)| *number);
            let numbers: Vec<usize> = before.into_iter().chain([number]).collect();
            if self.best_of(&numbers) == number {
                self.kept = Some((number, member));
            }
        }
    }

    /// The best of these penalties.
    fn best_of(&self, numbers: &[usize]) -> usize {
        // The largest penalty comes first.
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        let scores: Vec<Vec<f64>> = (numbers.iter())
            .map(|number| self.points[*number].scores())
            .collect();
        numbers[choose_on_path(&scores, self.search.metric, self.search.choose)]
    }

    /// Whether there are penalties to be tried after those that were.
    fn goes_on(&self) -> bool {
        let losses: Vec<f64> = self.points.iter().map(Point::loss).collect();
        !self.settled && self.plan.ladder.goes_on(&losses)
    }

    fn start_refit(&mut self) -> Result<usize> {
        let numbers: Vec<usize> = (0..self.points.len()).collect();
        let best = self.best_of(&numbers);
        let (penalty, limit) = (self.penalty(self.points[best].reg_param), self.plan.max_iter);
        let (warm, kept) = (self.warm.take(), self.kept.take());
        self.places.clear();
        let begun = kept.filter(|(number, _)| *number == best && warm.is_none());
        let member = match begun.and_then(|(_, member)| F::lengthen(member, limit)) {
            Some(member) => member,
            None => self.family.start(None, penalty, limit, warm.as_deref())?,
        };
        self.running = vec![Running::start(None, member, Wanted::default())];
        self.phase = Phase::Refit { best };
        Ok(best)
    }

    fn done(&mut self, best: usize) -> Result<Next> {
        let Some(Running { member, .. }) = self.running.pop() else {
            return Err(Error::State {
                pass: "path",
                why: "no model is under way".to_owned(),
            });
        };
        let (iterations, objective) = (member.iteration(), member.objective());
        let converged = member.converged();
        let points = self.points.iter().map(|point| SearchPoint {
            params: ElasticNetParams {
                reg_param: point.reg_param,
                elastic_net_param: self.plan.elastic_net_param,
                max_iter: self.plan.max_iter,
            },
            score: Some(mean(&point.scores())),
            scores: point.scores(),
        });
        let points: Vec<SearchPoint<ElasticNetParams>> = points.collect();
        Ok(Next::Done(Box::new(Trained {
            model: Arc::new(self.family.model(member)),
            search: finished(&points),
            best,
            iterations,
            converged,
            objective: Some(objective),
            class_rows: self.class_rows.clone(),
            cut_short: self.settled,
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
        if self.goes_on() {
            self.line_up();
            return Ok(self.ask()?.unwrap_or(Next::Step));
        }
        let best = self.start_refit()?;
        match self.ask()? {
            Some(next) => Ok(next),
            None => self.done(best),
        }
    }
}

impl<F: Family> Trainer for PathSearch<F> {
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

    fn settle(&mut self) {
        self.settled |= !matches!(self.phase, Phase::Refit { .. });
    }

    fn save(&self, to: &mut dyn Write) -> Result<bool> {
        let best = match self.phase {
            Phase::Summary | Phase::Gather => return Ok(false),
            Phase::Search => None,
            Phase::Refit { best } => Some(best),
        };
        let running = self.running.iter().map(|one| Progress {
            candidate: one.candidate,
            member: F::written(&one.member),
            path: one.path().clone(),
        });
        let kept = self.kept.as_ref().map(|(number, member)| {
            let progress = Progress {
                candidate: None,
                member: F::written(member),
                path: Path::default(),
            };
            (*number, progress)
        });
        let state = Saved {
            // The scan that was asked for is asked for again.
            scans: self.scans - u64::from(self.scanning),
            best,
            settled: self.settled,
            points: self.points.clone(),
            places: self.places.iter().map(Option::as_ref).collect(),
            kept,
            waiting: self.waiting.clone(),
            running: running.collect(),
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
            // How far the path goes, the scores tell.
            iterations_left: None,
        }
    }
}
