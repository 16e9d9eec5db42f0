//! The outcome of a run as text, at 80 columns.

use std::fmt::Write;

use gristmill_learn::features::split::SPLIT_NAMES;
use gristmill_learn::statistics::SMALLEST_PROBABILITY;

use crate::report::chosen::chosen;
use crate::report::metrics::{Baseline, Metrics, Splits};
use crate::settings::Pipeline;
use crate::settings::diagnose::{WIDTH, wrap};
use crate::visible;
use gristmill_data::count::{counted, thousands};

/// What `summary.txt` holds.
pub(crate) fn summary(pipeline: &Pipeline, metrics: &Metrics) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_summary(&mut text, pipeline, metrics);
    text
}

fn write_summary(out: &mut String, pipeline: &Pipeline, m: &Metrics) -> std::fmt::Result {
    let label = match &m.baseline {
        Baseline::Class { .. } => counted(m.classes, "class"),
        Baseline::Number { .. } => "a number".to_owned(),
    };
    let features = counted(m.features, "feature");
    writeln!(
        out,
        "Label `{}`: {label}, {features}",
        visible::name(&pipeline.label.column)
    )?;
    writeln!(out)?;
    if let Some(choice) = &m.chosen {
        writeln!(out, "Chosen by the training rows")?;
        for line in chosen(choice) {
            writeln!(out, "  {}", wrap(&line, WIDTH - 4).replace('\n', "\n    "))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "Rows")?;
    let d = m.rows.dropped;
    let rows = [
        ("read", m.rows.read),
        ("dropped: null", d.null),
        ("dropped: filter", d.filter),
        ("dropped: duplicate", d.duplicate),
        ("dropped: rare label", d.rare_label),
        ("dropped: unseen category", d.unseen),
        ("kept", m.rows.kept),
    ];
    for (name, count) in rows
        .iter()
        .filter(|(name, count)| *count > 0 || !name.starts_with("dropped"))
    {
        writeln!(out, "  {name:<26}{:>13}", thousands(*count))?;
    }
    if !m.search.is_empty() && m.search.len() > 1 {
        writeln!(out)?;
        writeln!(
            out,
            "Search: {}, by {}",
            counted(pipeline.folds().into(), "fold"),
            pipeline.search.metric.name()
        )?;
        write!(out, " ")?;
        for (name, _) in m.best.params.columns() {
            write!(out, " {name:>10}")?;
        }
        writeln!(out, "  {:>8}  {:>8}", "mean", "spread")?;
        for point in &m.search {
            let (low, high) = point
                .scores
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), s| {
                    (l.min(*s), h.max(*s))
                });
            write!(out, " ")?;
            for (name, value) in point.params.columns() {
                write!(out, " {value:>width$}", width = name.len().max(10))?;
            }
            let Some(score) = point.score else {
                writeln!(out, "  eliminated by halving")?;
                continue;
            };
            writeln!(
                out,
                "  {:>8}  {:>8}{}",
                score_text(score),
                score_text(high - low),
                if point.params == m.best.params {
                    "  chosen"
                } else {
                    ""
                }
            )?;
        }
    }
    writeln!(out)?;
    write_splits(out, &m.splits, Some(&m.baseline))?;
    if let Splits::Class(splits) = &m.splits {
        let unseen = SPLIT_NAMES
            .iter()
            .filter_map(|name| Some((name, splits.get(*name)?.unseen_class)));
        for (name, rows) in unseen.filter(|(_, rows)| *rows > 0) {
            writeln!(
                out,
                "{} of the {name} rows {} of a class that training never saw: errors.",
                thousands(rows),
                if rows == 1 { "is" } else { "are" }
            )?;
        }
        writeln!(
            out,
            "In the log loss a probability counts as {SMALLEST_PROBABILITY:.1e} at least."
        )?;
    }
    let repeated = SPLIT_NAMES
        .iter()
        .filter_map(|name| Some((name, m.repeated.get(*name)?)));
    for (name, rows) in repeated.filter(|(_, rows)| rows.repeated > 0) {
        writeln!(
            out,
            "{:.1} % of the {name} rows have the features of a training row.",
            rows.share * 100.0
        )?;
    }
    if let Some(c) = &m.calibration {
        writeln!(
            out,
            "Temperature {:.3}: on the validation rows the log loss was {:.4} and is {:.4}, the\nexpected calibration error was {:.4} and is {:.4}.",
            c.temperature, c.log_loss[0], c.log_loss[1], c.calibration_error[0], c.calibration_error[1]
        )?;
    }
    writeln!(out)?;
    let fit = m.best.fit();
    match &m.baseline {
        Baseline::Class { class, .. } => writeln!(
            out,
            "The majority class is \"{}\". The model: {fit}.",
            visible::name(class)
        )?,
        Baseline::Number { mean, .. } => writeln!(out, "The mean label is {mean:.4}. The model: {fit}.")?,
    }
    let stages: Vec<String> = m
        .stages
        .iter()
        .map(|s| format!("{} {:.1}", s.name, s.seconds))
        .collect();
    writeln!(
        out,
        "Seconds: {:.1} ({}).\nPeak memory: {} MB.",
        m.seconds,
        stages.join(", "),
        m.peak_rss_bytes / 1_000_000
    )
}

/// A table of the scores of each split, and beside them of the baseline if it is given.
///
/// # Errors
/// Those of writing.
pub fn write_splits(out: &mut String, splits: &Splits, baseline: Option<&Baseline>) -> std::fmt::Result {
    let (mut headings, width) = match splits {
        Splits::Class(_) => (vec!["accuracy", "f1", "macro f1", "log loss"], 10),
        Splits::Number(_) => (vec!["rmse", "mae", "r2"], 14),
    };
    headings.extend(baseline.map(|baseline| match baseline {
        Baseline::Class { .. } => "majority",
        Baseline::Number { .. } => "rmse of mean",
    }));
    write!(out, "{:<12}{:>10}", "Split", "rows")?;
    headings
        .iter()
        .try_for_each(|heading| write!(out, "{heading:>width$}"))?;
    writeln!(out)?;
    for name in SPLIT_NAMES {
        let Some((rows, mut scores)) = scores_of(splits, name) else {
            continue;
        };
        scores.extend(baseline.and_then(|baseline| match baseline {
            Baseline::Class { splits, .. } => Some(splits.get(name)?.accuracy),
            Baseline::Number { splits, .. } => Some(splits.get(name)?.rmse),
        }));
        write!(out, "{name:<12}{:>10}", thousands(rows))?;
        scores
            .iter()
            .try_for_each(|score| write!(out, "{:>width$}", score_text(*score)))?;
        writeln!(out)?;
    }
    Ok(())
}

/// The rows and the scores of a split, in the order of the table's columns.
fn scores_of(splits: &Splits, name: &str) -> Option<(u64, Vec<f64>)> {
    Some(match splits {
        Splits::Class(splits) => {
            let s = splits.get(name)?;
            (s.rows, vec![s.accuracy, s.f1, s.macro_f1, s.log_loss])
        }
        Splits::Number(splits) => {
            let s = splits.get(name)?;
            (s.rows, vec![s.rmse, s.mae, s.r2])
        }
    })
}

/// Four digits behind the point; errors of very large labels as powers of ten; a dash for a score of no rows.
fn score_text(score: f64) -> String {
    if score.is_nan() {
        "-".to_owned()
    } else if score.abs() < 1e7 {
        format!("{score:.4}")
    } else {
        format!("{score:.4e}")
    }
}
