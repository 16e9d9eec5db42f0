//! The words for what a run tells: one line for each event.

use gristmill_data::source::Notice;
use gristmill_learn::evaluate::Uncalibrated;
use gristmill_run::event::{Detail, LabelSummary, Pace, StageResult, Warning};
use gristmill_run::report::{counted, named, thousands};
use gristmill_run::visible;

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
            "{} read in {}, {} kept",
            counted(*rows_read, "row"),
            counted(*batches, "batch"),
            thousands(*rows_kept)
        ),
        StageResult::Chosen { columns, left_out } => {
            let left_out = match left_out {
                0 => String::new(),
                left_out => format!(", {} left out", thousands(*left_out)),
            };
            format!("{} looked at{left_out}", counted(*columns, "column"))
        }
        StageResult::Fitted { features, label } => {
            let label = match label {
                LabelSummary::Classes(classes) => counted(*classes, "class"),
                LabelSummary::Number { mean, std } => format!("label {mean:.4} ± {std:.4}"),
            };
            format!("{}, {label}", counted(*features, "feature"))
        }
        StageResult::Transformed { rows } => counted(*rows, "row of features"),
        StageResult::Predicted { rows } => counted(*rows, "row"),
        StageResult::Trained {
            scans,
            iterations,
            resumed,
        } => format!(
            "{}, {}{}",
            counted(*scans, "scan"),
            counted((*iterations).into(), "iteration of the final fit"),
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
            format!("test rmse {rmse:.4}, of the mean label {mean_rmse:.4}")
        }
    }
}

/// Why a stage had nothing to do.
pub(crate) fn skipped(stage: &str) -> &'static str {
    match stage {
        "pull" => "the dataset is complete; --fresh pulls it again",
        _ => "finished before",
    }
}

/// What the user should know, and what can be done.
pub(crate) fn warning(warning: &Warning) -> String {
    match warning {
        Warning::Unindexed { why } | Warning::Connection { why } => why.clone(),
        Warning::Noticed(Notice::SwallowedRows {
            file,
            rows,
            first_line,
            last_line,
        }) => format!(
            "{file}: {} as if stray quotation marks (\") had made one of several: lines {first_line} to {last_line} are one row, \
             though each has the fields of a row. If that is not meant, remove the marks, or write each twice within quotes; where \
             they are plain characters, add quote=none to source.url (csv:…?quote=none)",
            match rows {
                1 => "1 row looks".to_owned(),
                rows => format!("{} look", counted(*rows, "row")),
            }
        ),
        Warning::Noticed(Notice::DecimalCommas {
            column,
            value,
            file,
            line,
        }) => format!(
            "column `{0}` is text, because its numbers have a decimal comma, such as {value:?} in line {line} of {file}; to read \
             them as numbers, write CAST(replace(\"{0}\", ',', '.') AS DOUBLE) AS \"{0}\" in source.query",
            visible::name(column),
        ),
        Warning::Noticed(Notice::Rewritten {
            column,
            of,
            read_as,
            value,
            file,
            line,
        }) => format!(
            "column `{0}` is made of `{1}`, whose values are read as {read_as}, so that {value:?}, in line {line} of {file}, is not \
             there as it is written; if it is text, add types={1}:text to source.url (csv:…?types={1}:text)",
            visible::name(column),
            visible::name(of),
        ),
        Warning::Noticed(Notice::OddValues {
            column,
            otherwise,
            value,
            file,
            line,
            odd,
            values,
        }) => format!(
            "column `{0}` is text because of {1} of its {2}; the others are {otherwise}. The first is {3:?}, in line {line} of {file}: \
             fix it there, name it as null (csv:…?null=…), or write TRY_CAST(\"{0}\" AS …) in source.query, which makes such values null",
            visible::name(column),
            thousands(*odd),
            counted(*values, "value"),
            value,
        ),
        Warning::Threads { wanted, cores, used } => {
            format!(
                "run.threads = {wanted} is more than {} can use; {} at work",
                counted(*cores as u64, "core"),
                counted(*used as u64, "thread")
            )
        }
        Warning::LaterSnapshot => {
            "the rest of the dataset comes from a later snapshot of the source than its beginning".to_owned()
        }
        Warning::FreshLeft { dir } => format!(
            "a pull with --fresh was begun and not ended, and what it has is in {dir}: `gristmill run --fresh` goes on with it; to \
             do without it, remove that folder"
        ),
        Warning::SourceChanged => "the source was written to, or may have been, since the dataset was pulled; \
             `gristmill run --fresh` pulls it again, and keeps the dataset that is there until the new one is complete"
            .to_owned(),
        Warning::StartedAnew { rows } => format!(
            "what was pulled before ({}) came from an earlier snapshot of the source, and source.consistency = \"strict\" or a \
             query that is read by one statement allows no other: the dataset is started anew",
            counted(*rows, "row")
        ),
        Warning::LogCleanedUp {
            dir,
            entries,
            unknown,
            files,
        } => {
            let unknown = match unknown {
                0 => String::new(),
                unknown => format!(
                    "; so {} of its {} can be known by nothing but size, and `gristmill verify {dir}` compares their rows with the \
                     hash of the dataset",
                    thousands(*unknown as u64),
                    counted(*files as u64, "file")
                ),
            };
            format!(
                "another tool cleaned up the log of {dir}: {} {} missing, for which a checkpoint stands{unknown}",
                counted(*entries, "entry"),
                if *entries == 1 { "is" } else { "are" }
            )
        }
        Warning::RareInFolds { class, rows, folds } => format!(
            "class \"{class}\" has {}, fewer than search.folds = {folds}, so some folds do without it; \
             set label.min_rows to {folds} or more to leave such classes out",
            counted(*rows, "training row")
        ),
        Warning::TrainingBeginsAnew { why } => format!("training starts again: {why}"),
        Warning::NoCheckpoint { why } => format!("no checkpoint: {why}"),
        Warning::Uncalibrated { why } => {
            let why = match why {
                Uncalibrated::NoRows => "there are no validation rows of classes that training saw",
                Uncalibrated::NoMinimum => {
                    "the validation rows are all predicted right, or no better than by chance, so no temperature is best for them"
                }
            };
            format!("model.calibrate leaves the probabilities as they are: {why}")
        }
        Warning::NotConverged { max_iter } => format!(
            "the model had not converged after max_iter = {max_iter} {}; \
             raise model.max_iter or model.reg_param if the score still improves with it",
            named((*max_iter).into(), "iteration")
        ),
        Warning::SearchCutShort { seconds } => format!(
            "the search for model.reg_param ended after search.seconds = {seconds}, with the best penalty so far: \
             another machine may choose another one"
        ),
        Warning::EmptySplit { split, share } => format!(
            "no row is left in the {split} split, which split.{split} = {share} gives that share of the entities, so it has no scores; \
             read more rows, or raise split.{split}"
        ),
        Warning::UninformativeFeature { columns, encode, why } => format!(
            "feature `{}` (encode = \"{encode}\") tells the model nothing: {why}",
            columns.join("`, `")
        ),
        Warning::Unlike { why } => format!(
            "{why}: is the column written as it was in training? `gristmill inspect` shows what the model was trained on"
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
            format!(
                "pull: going on after {} ({})",
                counted(*batches, "batch"),
                counted(*rows, "row")
            )
        }
        Detail::OwnKey { column } => {
            format!("source.key = \"{column}\": the primary key, for the file gives none")
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
                retries => format!(", {}", counted((*retries).into(), "retry")),
            };
            format!(
                "batch {number} ({range}): {} read, {} kept, {seconds:.2} s{retries}",
                counted(*rows_read, "row"),
                thousands(*rows_kept)
            )
        }
        Detail::Committed {
            version,
            batches,
            seconds,
        } => format!(
            "commit {version}: {}, {seconds:.3} s",
            counted(*batches as u64, "batch")
        ),
        Detail::Merged { from, into, seconds } => {
            format!(
                "pull: {} merged into {}, {seconds:.3} s",
                counted(*from, "file of batches"),
                thousands(*into)
            )
        }
        Detail::Intact {
            files,
            bytes,
            seconds,
        } => format!(
            "dataset: {} with {:.1} MB as committed, {seconds:.3} s",
            counted(*files as u64, "file"),
            *bytes as f64 / 1e6
        ),
        Detail::SourceNotAsked { why } => {
            format!("whether the source changed since the dataset was pulled is not known: {why}")
        }
        Detail::Compared { batch } => format!("batch {batch} compared"),
        Detail::RareClasses {
            label,
            classes,
            min_rows,
            rows,
        } => format!(
            "label `{label}`: {} with fewer than {} ({})",
            counted(*classes, "class"),
            counted(*min_rows, "training row"),
            counted(*rows, "row")
        ),
        Detail::Solver { why } => format!("train: {why}"),
        Detail::Streamed => "train: the features do not fit in memory and are streamed".to_owned(),
        Detail::WarmStart {
            features: [known, features],
            classes: [known_classes, classes],
        } => format!(
            "train: the earlier model knew {} of {} and {} of {}",
            thousands(*known),
            counted(*features, "feature"),
            thousands(*known_classes),
            counted(*classes, "class")
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
