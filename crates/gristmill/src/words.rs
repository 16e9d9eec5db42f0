//! The words for what a run tells: one line for each event.

use gristmill_run::event::{Detail, LabelSummary, Pace, StageResult, Warning};
use gristmill_run::report::thousands;

/// How a stage is going; empty where the count says it all.
pub(crate) fn pace(pace: &Pace) -> String {
    match pace {
        Pace::Steady => String::new(),
        Pace::Pull { megabytes_per_second } => format!("{megabytes_per_second:.1} MB/s"),
        Pace::Training {
            status,
            change,
            seconds_per_scan,
        } => {
            let mut text = format!(
                "{}: {} running, iteration {}",
                status.phase, status.running, status.iteration
            );
            if let Some(objective) = status.objective {
                text.push_str(&format!(", objective {objective:.6} ({change:+.1e})"));
            }
            if let (Some(each), Some(left)) = (seconds_per_scan, status.iterations_left) {
                let left = minutes(each * f64::from(left));
                text.push_str(&format!(", {each:.1} s a scan, {left} left at most"));
            }
            text
        }
    }
}

/// `12 s`, `3 min`, `2.5 h`
fn minutes(seconds: f64) -> String {
    match seconds {
        ..100.0 => format!("{seconds:.0} s"),
        ..6000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// What came out of a stage.
pub(crate) fn result(result: &StageResult) -> String {
    match result {
        StageResult::Pulled {
            rows_read,
            batches,
            rows_kept,
        } => format!(
            "{} rows read in {} {}, {} kept",
            thousands(*rows_read),
            thousands(*batches),
            if *batches == 1 { "batch" } else { "batches" },
            thousands(*rows_kept)
        ),
        StageResult::Fitted { features, label } => {
            let label = match label {
                LabelSummary::Classes(classes) => format!("{classes} classes"),
                LabelSummary::Number { mean, std } => format!("label {mean:.4} ± {std:.4}"),
            };
            format!("{} features, {label}", thousands(*features))
        }
        StageResult::Transformed { rows } => format!("{} rows of features", thousands(*rows)),
        StageResult::Trained {
            scans,
            iterations,
            resumed,
        } => format!(
            "{scans} scans, {iterations} iterations of the final fit{}",
            if *resumed { ", begun in an earlier run" } else { "" }
        ),
        StageResult::Classified { accuracy: score, .. } | StageResult::Regressed { rmse: score, .. }
            if score.is_nan() =>
        {
            "no test rows to score".to_owned()
        }
        StageResult::Classified { accuracy, majority } => {
            format!("test accuracy {accuracy:.4}, majority class {majority:.4}")
        }
        StageResult::Regressed { rmse, mean_rmse } => {
            format!("test rmse {rmse:.4}, mean label {mean_rmse:.4}")
        }
    }
}

/// Why a stage had nothing to do.
pub(crate) fn skipped(stage: &str) -> &'static str {
    match stage {
        "pull" => "the dataset is complete; set another run.dir to read the database again",
        _ => "finished before",
    }
}

/// What the user should know, and what can be done.
pub(crate) fn warning(warning: &Warning) -> String {
    match warning {
        Warning::Unindexed { why } | Warning::Connection { why } => why.clone(),
        Warning::Threads { wanted, cores, used } => {
            format!("run.threads = {wanted} is more than {cores} cores can use; {used} threads work")
        }
        Warning::LaterSnapshot => {
            "the rest of the dataset comes from a later snapshot of the database than its beginning"
                .to_owned()
        }
        Warning::StartedAnew { rows } => format!(
            "the {} rows pulled before came from an earlier snapshot of the database, and source.consistency = \"strict\": \
             the dataset is started anew",
            thousands(*rows)
        ),
        Warning::KnownBySizes { dir, unknown, files } => format!(
            "another tool cleaned up the log of {dir}, so that {unknown} of its {files} files are known by their sizes alone; \
             `gristmill verify {dir}` compares their rows with the hash of the dataset"
        ),
        Warning::RareInFolds { class, rows, folds } => format!(
            "class \"{class}\" has {rows} training rows, fewer than search.folds = {folds}, so some folds do without it; \
             set label.min_rows to {folds} or more to leave such classes out"
        ),
        Warning::TrainingBeginsAnew { why } => format!("training starts again: {why}"),
        Warning::NoCheckpoint { why } => format!("no checkpoint: {why}"),
        Warning::NotConverged { max_iter } => format!(
            "the model had not converged after max_iter = {max_iter} iterations; \
             raise model.max_iter or model.reg_param if the score still improves with it"
        ),
        Warning::EmptySplit { split, share } => format!(
            "no row is left in the {split} split, which split.{split} = {share} gives that share of the entities, so it has no scores; \
             read more rows, or raise split.{split}"
        ),
        Warning::UninformativeFeature { columns, encode, why } => format!(
            "feature `{}` (encode = \"{encode}\") tells the model nothing: {why}",
            columns.join("`, `")
        ),
        Warning::RepeatedRows { share } => format!(
            "{:.1} % of the test rows have the very features of a training row of another entity, so the scores may tell what the \
             model remembers; if these rows are copies, keep one of each in source.query, or set split.by to what copies have in common",
            share * 100.0
        ),
    }
}

/// A detail, for `-v`.
pub(crate) fn detail(detail: &Detail) -> String {
    match detail {
        Detail::PullResumed { batches, rows } => {
            format!("pull: going on after {batches} batches ({rows} rows)")
        }
        Detail::Batch {
            number,
            range,
            rows_read,
            rows_kept,
            seconds,
            retries,
        } => {
            let retries = match retries {
                0 => String::new(),
                1 => ", 1 retry".to_owned(),
                retries => format!(", {retries} retries"),
            };
            format!(
                "batch {number} ({range}): {rows_read} rows read, {rows_kept} kept, {seconds:.2} s{retries}"
            )
        }
        Detail::Committed {
            version,
            batches,
            seconds,
        } => format!("commit {version}: {batches} batches, {seconds:.3} s"),
        Detail::Merged { from, into, seconds } => {
            format!("pull: {from} files of batches merged into {into}, {seconds:.3} s")
        }
        Detail::Intact {
            files,
            bytes,
            seconds,
        } => format!(
            "dataset: {files} files with {:.1} MB are as they were committed, {seconds:.3} s",
            *bytes as f64 / 1e6
        ),
        Detail::Compared { batch } => format!("batch {batch} compared"),
        Detail::RareClasses {
            label,
            classes,
            min_rows,
            rows,
        } => format!(
            "label `{label}`: {classes} classes with fewer than {min_rows} training rows ({rows} rows)"
        ),
        Detail::Solver { why } => format!("train: {why}"),
        Detail::Streamed => "train: the features do not fit in memory and are streamed".to_owned(),
        Detail::WarmStart {
            features: [known, features],
            classes: [known_classes, classes],
        } => format!(
            "train: the earlier model knew {known} of the {features} features and {known_classes} of the {classes} classes"
        ),
    }
}

#[cfg(test)]
mod tests {
    use gristmill_learn::search::Status;

    use super::*;

    #[test]
    fn the_pace_of_a_training_tells_what_changed_and_what_is_left() {
        let mut training = Status {
            scans: 3,
            phase: "refit",
            running: 1,
            objective: None,
            iteration: 0,
            iterations_left: Some(30),
        };
        let said = |status: &Status, seconds_per_scan| {
            pace(&Pace::Training {
                status: status.clone(),
                change: -0.25,
                seconds_per_scan,
            })
        };
        assert_eq!(said(&training, None), "refit: 1 running, iteration 0");
        (training.iteration, training.iterations_left, training.objective) = (2, Some(28), Some(2.5));
        assert_eq!(
            said(&training, Some(2.0)),
            "refit: 1 running, iteration 2, objective 2.500000 (-2.5e-1), 2.0 s a scan, 56 s left at most"
        );
        assert_eq!([minutes(1800.0), minutes(9000.0)], ["30 min", "2.5 h"]);
    }
}
