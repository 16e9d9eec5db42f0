//! Evaluate: the chosen model, and an answer without features beside it, on every split.

use std::collections::BTreeMap;
use std::sync::Arc;

use gristmill_data::table::TableVersion;
use gristmill_learn::evaluate::{HeldOutPass, RegressionPass, Repeated, ScorePass};
use gristmill_learn::features::split::{SPLIT_NAMES, Split};
use gristmill_learn::label::{Label, Target};
use gristmill_learn::model::LinearModel;
use gristmill_learn::search::Trained;
use gristmill_learn::statistics::RegressionScores;

use super::Teller;
use crate::engine::Engine;
use crate::error::Result;
use crate::event::{Event, Observe};
use crate::report::metrics::{Baseline, BaselineScores, Splits};

/// Scores of every split, and of the answer without features.
pub(crate) struct Evaluated {
    /// Of the model.
    pub(crate) splits: Splits,
    /// The majority class, or the mean.
    pub(crate) baseline: Baseline,
    /// Rows with the features of a training row, by split.
    pub(crate) repeated: BTreeMap<String, Repeated>,
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
    label: &Label,
    observe: &dyn Observe,
) -> Result<(Evaluated, f64)> {
    let teller = Teller::start(observe, "evaluate", "rows", Some(features.rows));
    let (splits, baseline, message) = match label {
        Label::Class(label) => classifier(engine, features, trained, label.classes(), &teller)?,
        Label::Number(label) => regression(engine, features, trained, label, &teller)?,
    };
    let repeated = repeated(engine, features, &teller)?;
    if let Some(warning) = repeated.get("test").and_then(warning) {
        observe.event(Event::Warning(warning));
    }
    let evaluated = Evaluated {
        splits,
        baseline,
        repeated,
    };
    let seconds = teller.finish(message);
    Ok((evaluated, seconds))
}

/// Counts the validation and test rows that have the features of a training row.
fn repeated(
    engine: &dyn Engine,
    features: &TableVersion,
    teller: &Teller<'_>,
) -> Result<BTreeMap<String, Repeated>> {
    let going_on = |_| teller.going_on();
    let first = HeldOutPass::new(features.rows);
    let second = first.next(&engine.fold(features, &first, &going_on)?)?;
    let counts = second.repeated(&engine.fold(features, &second, &going_on)?)?;
    let named = SPLIT_NAMES.iter().zip(counts);
    let held_out = named.filter(|(name, _)| **name != SPLIT_NAMES[Split::Train as usize]);
    Ok(held_out
        .map(|(name, counts)| ((*name).to_owned(), counts))
        .collect())
}

/// What is to be said of so many repeated test rows.
fn warning(test: &Repeated) -> Option<String> {
    let copies = test.share > MANY_REPEATED && test.looked_at < FEW_VALUES * test.distinct;
    copies.then(|| {
        format!(
            "{:.1} % of the test rows have the very features of a training row of another entity, so the scores may tell what the \
             model remembers; if these rows are copies, keep one of each in source.query, or set split.by to what copies have in common",
            test.share * 100.0
        )
    })
}

fn classifier(
    engine: &dyn Engine,
    features: &TableVersion,
    trained: &Trained,
    classes: &[String],
    teller: &Teller<'_>,
) -> Result<(Splits, Baseline, String)> {
    let pass = ScorePass::new(Arc::clone(&trained.model));
    let state = engine.fold(features, &pass, &|done| teller.progress(done, String::new()))?;
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
        let accuracy = if scores.rows == 0 {
            0.0
        } else {
            right as f64 / scores.rows as f64
        };
        baseline.insert((*name).to_owned(), BaselineScores { accuracy });
        splits.insert((*name).to_owned(), scores);
    }
    let accuracy = splits.get("test").map_or(0.0, |s| s.accuracy);
    let plain = baseline.get("test").map_or(0.0, |s| s.accuracy);
    let message = format!("test accuracy {accuracy:.4}, majority class {plain:.4}");
    let class = classes.get(majority).cloned().unwrap_or_default();
    let baseline = Baseline::Class {
        class,
        splits: baseline,
    };
    Ok((Splits::Class(splits), baseline, message))
}

fn regression(
    engine: &dyn Engine,
    features: &TableVersion,
    trained: &Trained,
    label: &Target,
    teller: &Teller<'_>,
) -> Result<(Splits, Baseline, String)> {
    let mean = Arc::new(LinearModel::constant(trained.model.features(), label.mean()));
    let pass = RegressionPass::on_splits(&[Arc::clone(&trained.model), mean]);
    let state = engine.fold(features, &pass, &|done| teller.progress(done, String::new()))?;
    let scores = pass.scores(&state)?;
    let by_name = |scores: &[RegressionScores]| -> BTreeMap<String, RegressionScores> {
        let named = SPLIT_NAMES.iter().zip(scores);
        named
            .map(|(name, scores)| ((*name).to_owned(), *scores))
            .collect()
    };
    let (model, mean) = scores.split_at(SPLIT_NAMES.len().min(scores.len()));
    let (splits, baseline) = (by_name(model), by_name(mean));
    let rmse = |of: &BTreeMap<String, RegressionScores>| of.get("test").map_or(0.0, |s| s.rmse);
    let message = format!(
        "test rmse {:.4}, mean label {:.4}",
        rmse(&splits),
        rmse(&baseline)
    );
    let baseline = Baseline::Number {
        mean: label.mean(),
        splits: baseline,
    };
    Ok((Splits::Number(splits), baseline, message))
}
