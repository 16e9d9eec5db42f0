//! The outcome of a run as text, at 80 columns.

use std::fmt::Write;

use crate::metrics::Metrics;
use crate::settings::Pipeline;

/// What `summary.txt` holds.
pub(crate) fn summary(pipeline: &Pipeline, metrics: &Metrics) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_summary(&mut text, pipeline, metrics);
    text
}

fn write_summary(out: &mut String, pipeline: &Pipeline, m: &Metrics) -> std::fmt::Result {
    writeln!(
        out,
        "Label `{}`: {} classes, {} features",
        pipeline.label.column,
        m.classes,
        thousands(m.features)
    )?;
    writeln!(out)?;
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
            "Search: {} folds, by {}",
            pipeline.folds(),
            metric_name(pipeline)
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
            writeln!(
                out,
                "  {:>8.4}  {:>8.4}{}",
                point.score.unwrap_or(f64::NAN),
                high - low,
                if point.params == m.best.params {
                    "  chosen"
                } else {
                    ""
                }
            )?;
        }
    }
    writeln!(out)?;
    writeln!(
        out,
        "{:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "Split", "rows", "accuracy", "f1", "macro f1", "log loss", "majority"
    )?;
    for name in ["train", "validation", "test"] {
        if let (Some(s), Some(b)) = (m.splits.get(name), m.baseline.splits.get(name)) {
            writeln!(
                out,
                "{name:<12}{:>10}{:>10.4}{:>10.4}{:>10.4}{:>10.4}{:>10.4}",
                thousands(s.rows),
                s.accuracy,
                s.f1,
                s.macro_f1,
                s.log_loss,
                b.accuracy
            )?;
        }
    }
    writeln!(out)?;
    let fit = m.best.fit();
    writeln!(
        out,
        "The majority class is \"{}\". The model: {fit}.",
        m.baseline.class
    )?;
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

fn metric_name(pipeline: &Pipeline) -> &'static str {
    use gristmill_learn::settings::Metric;
    match pipeline.search.metric {
        Metric::F1 => "f1",
        Metric::MacroF1 => "macro f1",
        Metric::Accuracy => "accuracy",
        Metric::LogLoss => "log loss",
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
