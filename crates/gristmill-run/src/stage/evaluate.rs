//! Evaluate: the chosen model, and the majority class beside it, on every split.

use std::collections::BTreeMap;
use std::sync::Arc;

use gristmill_data::table::TableVersion;
use gristmill_learn::evaluate::{ScorePass, Scores};
use gristmill_learn::split::SPLIT_NAMES;
use gristmill_learn::train::Trained;

use super::Teller;
use crate::engine::Engine;
use crate::error::Result;
use crate::event::Observe;
use crate::metrics::{Baseline, BaselineScores};

/// Scores of every split, and of the majority class.
pub(crate) struct Evaluated {
    /// By the split's name.
    pub(crate) splits: BTreeMap<String, Scores>,
    /// The majority class.
    pub(crate) baseline: Baseline,
}

/// Evaluates; returns the scores with the seconds that took.
pub(crate) fn run(
    engine: &dyn Engine,
    features: &TableVersion,
    trained: &Trained,
    classes: &[String],
    observe: &dyn Observe,
) -> Result<(Evaluated, f64)> {
    let teller = Teller::start(observe, "evaluate", "rows", Some(features.rows));
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
        let right = confusion.class_rows().get(majority).copied().unwrap_or(0);
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
    let seconds = teller.finish(format!("test accuracy {accuracy:.4}, majority class {plain:.4}"));
    let class = classes.get(majority).cloned().unwrap_or_default();
    Ok((
        Evaluated {
            splits,
            baseline: Baseline {
                class,
                splits: baseline,
            },
        },
        seconds,
    ))
}
