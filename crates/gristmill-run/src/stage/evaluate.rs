//! Evaluate: the chosen model, and an answer without features beside it, on every split.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use gristmill_data::table::TableVersion;
use gristmill_learn::contract::pass::Pass;
use gristmill_learn::evaluate::{HeldOutPass, RegressionPass, Repeated, RepeatedPass, ScorePass, UnseenPass};
use gristmill_learn::features::Assembler;
use gristmill_learn::features::split::{SPLIT_NAMES, Split};
use gristmill_learn::label::{Label, Target};
use gristmill_learn::model::{LinearModel, Thresholds};
use gristmill_learn::search::Trained;
use gristmill_learn::statistics::{Many, RegressionScores};

use super::Teller;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::event::{Event, Observe, Pace, StageResult, Warning};
use crate::report::metrics::{Baseline, BaselineScores, Splits};

/// Scores of every split, and of the answer without features.
pub(crate) struct Evaluated {
    /// Of the model.
    pub(crate) splits: Splits,
    /// The majority class, or the mean.
    pub(crate) baseline: Baseline,
    /// Rows with the features of a training row, by split.
    pub(crate) repeated: BTreeMap<String, Repeated>,
    /// For each encoder that tells what it has seen, the share of the validation rows in which there is nothing of that; `None`
    /// where there are no validation rows.
    pub(crate) unseen: Option<Vec<f64>>,
}

/// From this share of the test rows on, a warning tells of those that have the features of a training row.
const MANY_REPEATED: f64 = 0.05;

/// Where on average so many test rows have the same features, features take few values, and rows repeat without being copies.
const FEW_VALUES: u64 = 20;

/// Evaluates; returns the scores with the seconds that took.
pub(crate) fn run(
    engine: &dyn Engine,
    features: &TableVersion,
    trained: &Trained,
    thresholds: &Thresholds,
    assembler: &Assembler,
    observe: &dyn Observe,
) -> Result<(Evaluated, f64)> {
    let teller = Teller::start(observe, "evaluate", "rows", Some(features.rows));
    let scan = Scan {
        engine,
        features,
        teller: &teller,
        unseen: UnseenPass::new(assembler.seen().into_iter().flatten().collect()),
    };
    let (scored, (held_out, unseen)) = match assembler.label() {
        Label::Class(label) => classifier(&scan, trained, thresholds, label.classes())?,
        Label::Number(label) => regression(&scan, trained, label)?,
    };
    let (splits, baseline, result) = scored;
    let repeated = repeated(&scan, &held_out)?;
    if let Some(warning) = repeated.get("test").and_then(warning) {
        observe.event(Event::Warning(warning));
    }
    let evaluated = Evaluated {
        splits,
        baseline,
        repeated,
        unseen,
    };
    let seconds = teller.finish(result);
    Ok((evaluated, seconds))
}

/// The features table, scanned under a teller's eyes.
struct Scan<'a> {
    engine: &'a dyn Engine,
    features: &'a TableVersion,
    teller: &'a Teller<'a>,
    unseen: UnseenPass,
}

/// The pass that finds repeated rows, and the shares of the validation rows with nothing that training had.
type Others = (RepeatedPass, Option<Vec<f64>>);

/// The scores of every split and of the baseline, and the result of the stage.
type Scored = (Splits, Baseline, StageResult);

impl Scan<'_> {
    /// The state of a pass that scores, and what shares its scan: the first half of finding repeated rows, and the rows with
    /// nothing that training had.
    fn score(&self, pass: impl Pass + 'static) -> Result<(RecordBatch, Others)> {
        let held_out = HeldOutPass::new(self.features.rows);
        let unseen = Box::new(self.unseen.clone());
        let all = Many::new(vec![Box::new(pass), Box::new(held_out), unseen]);
        let watch = |done| self.teller.progress(done, Pace::Steady);
        let states = Many::states(&self.engine.fold(self.features, &all, &watch)?)?;
        let [scores, rows, unseen] = <[RecordBatch; 3]>::try_from(states).map_err(|states| Error::State {
            path: self.features.dir.display().to_string(),
            why: format!("{} states of three passes", states.len()),
        })?;
        Ok((scores, (held_out.next(&rows)?, self.unseen.shares(&unseen)?)))
    }
}

/// Counts the validation and test rows that have the features of a training row.
fn repeated(scan: &Scan<'_>, pass: &RepeatedPass) -> Result<BTreeMap<String, Repeated>> {
    let state = scan
        .engine
        .fold(scan.features, pass, &|_| scan.teller.going_on())?;
    let counts = pass.repeated(&state)?;
    let named = SPLIT_NAMES.iter().zip(counts);
    let held_out = named.filter(|(name, _)| **name != SPLIT_NAMES[Split::Train as usize]);
    Ok(held_out
        .map(|(name, counts)| ((*name).to_owned(), counts))
        .collect())
}

/// What is to be said of so many repeated test rows.
fn warning(test: &Repeated) -> Option<Warning> {
    let copies = test.share > MANY_REPEATED && test.looked_at < FEW_VALUES * test.distinct;
    copies.then_some(Warning::RepeatedRows { share: test.share })
}

fn classifier(
    scan: &Scan<'_>,
    trained: &Trained,
    thresholds: &Thresholds,
    classes: &[String],
) -> Result<(Scored, Others)> {
    let (state, held_out) = scan.score(ScorePass::new(Arc::clone(&trained.model), thresholds.clone()))?;
    let confusions = ScorePass::confusions(&state)?;
    // Of equally large classes the first, as the vocabulary orders them.
    let largest = trained.class_rows.iter().max().copied().unwrap_or(0);
    let majority = trained
        .class_rows
        .iter()
        .position(|rows| *rows == largest)
        .unwrap_or(0);
    let mut splits = BTreeMap::new();
    let mut baseline = BTreeMap::new();
    for (name, confusion) in SPLIT_NAMES.iter().zip(&confusions) {
        let scores = confusion.scores();
        let right = confusion.class_rows().nth(majority).unwrap_or(0);
        let accuracy = right as f64 / scores.rows as f64;
        baseline.insert((*name).to_owned(), BaselineScores { accuracy });
        splits.insert((*name).to_owned(), scores);
    }
    let accuracy = splits.get("test").map_or(f64::NAN, |s| s.accuracy);
    let plain = baseline.get("test").map_or(f64::NAN, |s| s.accuracy);
    let result = StageResult::Classified {
        accuracy,
        majority: plain,
    };
    let class = classes.get(majority).cloned().unwrap_or_default();
    let baseline = Baseline::Class {
        class,
        splits: baseline,
    };
    Ok(((Splits::Class(splits), baseline, result), held_out))
}

fn regression(scan: &Scan<'_>, trained: &Trained, label: &Target) -> Result<(Scored, Others)> {
    let mean = Arc::new(LinearModel::constant(trained.model.features(), label.mean()));
    let pass = RegressionPass::on_splits(&[Arc::clone(&trained.model), mean]);
    let (state, held_out) = scan.score(pass.clone())?;
    let scores = pass.scores(&state)?;
    let by_name = |scores: &[RegressionScores]| -> BTreeMap<String, RegressionScores> {
        let named = SPLIT_NAMES.iter().zip(scores);
        named
            .map(|(name, scores)| ((*name).to_owned(), *scores))
            .collect()
    };
    let (model, mean) = scores.split_at(SPLIT_NAMES.len().min(scores.len()));
    let (splits, baseline) = (by_name(model), by_name(mean));
    let rmse = |of: &BTreeMap<String, RegressionScores>| of.get("test").map_or(f64::NAN, |s| s.rmse);
    let result = StageResult::Regressed {
        rmse: rmse(&splits),
        mean_rmse: rmse(&baseline),
    };
    let baseline = Baseline::Number {
        mean: label.mean(),
        splits: baseline,
    };
    Ok(((Splits::Number(splits), baseline, result), held_out))
}
