//! Evaluate: the chosen model, and an answer without features beside it, on every split.

use std::collections::BTreeMap;
use std::sync::Arc;

use gristmill_data::table::TableVersion;
use gristmill_learn::evaluate::{RegressionPass, ScorePass};
use gristmill_learn::features::split::SPLIT_NAMES;
use gristmill_learn::label::{Label, Target};
use gristmill_learn::model::LinearModel;
use gristmill_learn::search::Trained;
use gristmill_learn::statistics::RegressionScores;

use super::Teller;
use crate::engine::Engine;
use crate::error::Result;
use crate::event::Observe;
use crate::report::metrics::{Baseline, BaselineScores, Splits};

/// Scores of every split, and of the answer without features.
pub(crate) struct Evaluated {
    /// Of the model.
    pub(crate) splits: Splits,
    /// The majority class, or the mean.
    pub(crate) baseline: Baseline,
}

/// Evaluates; returns the scores with the seconds that took.
pub(crate) fn run(
    engine: &dyn Engine,
    features: &TableVersion,
    trained: &Trained,
    label: &Label,
    observe: &dyn Observe,
) -> Result<(Evaluated, f64)> {
    let teller = Teller::start(observe, "evaluate", "rows", Some(features.rows));
    let (evaluated, message) = match label {
        Label::Class(label) => classifier(engine, features, trained, label.classes(), &teller)?,
        Label::Number(label) => regression(engine, features, trained, label, &teller)?,
    };
    let seconds = teller.finish(message);
    Ok((evaluated, seconds))
}

fn classifier(
    engine: &dyn Engine,
    features: &TableVersion,
    trained: &Trained,
    classes: &[String],
    teller: &Teller<'_>,
) -> Result<(Evaluated, String)> {
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
    Ok((
        Evaluated {
            splits: Splits::Class(splits),
            baseline: Baseline::Class {
                class,
                splits: baseline,
            },
        },
        message,
    ))
}

fn regression(
    engine: &dyn Engine,
    features: &TableVersion,
    trained: &Trained,
    label: &Target,
    teller: &Teller<'_>,
) -> Result<(Evaluated, String)> {
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
    Ok((
        Evaluated {
            splits: Splits::Number(splits),
            baseline: Baseline::Number {
                mean: label.mean(),
                splits: baseline,
            },
        },
        message,
    ))
}
