//! What can go wrong in a run.

use gristmill_learn::contract::step::LeftOut;

use crate::shortage::Shortage;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, with the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading the database, or reading or writing files failed.
    #[error(transparent)]
    Data(#[from] gristmill_data::Error),
    /// Fitting, training or the model file failed.
    #[error(transparent)]
    Learn(#[from] gristmill_learn::Error),
    /// Another run works in the same folder.
    #[error("another run is working in {dir}; wait for it, or give this one its own run.dir")]
    Locked {
        /// The run's folder.
        dir: String,
    },
    /// `run.dir` is taken by something that is not a folder.
    #[error("run.dir = {dir} is not a folder; set another, or move away what is there")]
    NoFolder {
        /// The path.
        dir: String,
    },
    /// `run.dir` holds files, and none of a run.
    #[error(
        "run.dir = {dir} holds `{holds}` and is no folder of a run, which would replace and remove files in it; set one that is \
         empty or not there yet"
    )]
    ForeignFolder {
        /// The folder.
        dir: String,
        /// The first of what is in it.
        holds: String,
    },
    /// A later version of gristmill worked in the folder.
    #[error(
        "{path} was written by a later version of gristmill: its layout has version {version}, and this build knows \
         {known}; use that version of gristmill, or set another run.dir"
    )]
    NewerRun {
        /// The records.
        path: String,
        /// Their version.
        version: u64,
        /// The latest version known here.
        known: u32,
    },
    /// The records of a run cannot be read.
    #[error(
        "{path}, which records the finished stages, cannot be read: {why}; delete it and run again, which keeps the \
         dataset and does the other stages again"
    )]
    Records {
        /// The records.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A session was opened without its database, as it had no work for one, or has let go of it.
    #[error("the session is not connected to the database; open another with `Session::connect`")]
    NotConnected,
    /// A file that a run left does not read as what it should be.
    #[error("{path} is damaged, or was not written by a run: {why}; delete it and run again")]
    State {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The memory budget is too small.
    #[error("{0}")]
    Memory(Shortage),
    /// Every row of the dataset is left out of the features.
    #[error("no row is left to train on: all {rows} rows of the dataset are left out, {}", reasons(.left_out))]
    NoRows {
        /// Rows of the dataset.
        rows: u64,
        /// Why they are left out.
        left_out: LeftOut,
    },
    /// The primary key that the rows are split by is the label.
    #[error(
        "the label `{label}` is also the primary key, by which the rows would be split, and the model would never see the classes of the \
         test rows; set split.by to the column that tells entities apart, and source.key to one with an order"
    )]
    SplitByLabel {
        /// The label.
        label: String,
    },
    /// No column was chosen to be a feature.
    #[error(
        "no column of the query can be a feature by itself: {}; select others, or say how one is encoded, with [[feature]], column and \
         encode", listed(.left_out)
    )]
    NoFeatures {
        /// Each column with why it is left out.
        left_out: Vec<String>,
    },
    /// The column of `split.by` does not tell entities apart.
    #[error(
        "split.by = `{column}` cannot tell entities apart: it is {}, where {} are equal, so one entity could be on both sides of \
         the split; add {} to source.query, and set split.by = \"entity\"",
        .alike.of, .alike.values, .alike.instead
    )]
    Entity {
        /// The column.
        column: String,
        /// Which of its values are equal though they differ.
        alike: gristmill_data::table::Alike,
    },
    /// An input or output file of `predict` cannot be used.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong, what is expected.
        why: String,
    },
    /// Whoever read the output stopped reading it.
    #[error("the output is no longer read")]
    NobodyReads,
    /// A prediction was asked to stop, of which nothing is kept.
    #[error("the prediction is not complete; run the same command to begin again")]
    Cancelled,
    /// Too many rows are unlike those of the training, and the prediction was to be strict.
    #[error(
        "{path}: {why}; the prediction is strict and is not finished: write the column as it was in training, or train on \
         rows like these"
    )]
    Unlike {
        /// The rows.
        path: String,
        /// Which feature, and in how many.
        why: String,
    },
    /// The run was asked to stop.
    #[error("finished work is kept; run the same command to continue")]
    Interrupted,
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {why}")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// What the system said.
        why: String,
    },
}

/// Some of the reasons, or that there are none.
fn listed(left_out: &[String]) -> String {
    const SHOWN: usize = 10;
    match left_out {
        [] => "it has none beside the key, the label and the weight".to_owned(),
        all => {
            let more = if all.len() > SHOWN { "; …" } else { "" };
            let shown: Vec<&str> = all.iter().take(SHOWN).map(String::as_str).collect();
            format!("{}{more}", shown.join("; "))
        }
    }
}

impl Error {
    /// Whether the same may go on where it ended, as if it had not.
    pub(crate) fn goes_on(&self) -> bool {
        match self {
            Self::Interrupted | Self::Cancelled => true,
            Self::Data(error) => error.may_pass(),
            _ => false,
        }
    }
}

/// How many rows were left out for each reason, and the ways out.
fn reasons(left_out: &LeftOut) -> String {
    let LeftOut {
        null_label,
        rare_label,
        unseen,
    } = left_out;
    let reasons = [
        (null_label, "without a label", "read rows that have one"),
        (
            rare_label,
            "of a class with fewer training rows than label.min_rows",
            "lower label.min_rows",
        ),
        (
            unseen,
            "with a category that unseen = \"skip\" leaves out",
            "set unseen = \"keep\", or lower min_count",
        ),
    ];
    let reasons = reasons.iter().filter(|(rows, ..)| **rows > 0);
    let (counts, ways): (Vec<String>, Vec<&str>) = reasons
        .map(|(rows, which, way)| (format!("{rows} {which}"), *way))
        .unzip();
    format!("{}; {}", counts.join(", "), ways.join(", or "))
}

/// What the system said of a file or folder, as an error of this crate.
pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let failed = gristmill_data::durable::io(path);
    move |source| failed(source).into()
}

/// The error of a file, or of what stands for one, that cannot be used.
pub(crate) fn bad_file(path: &std::path::Path, why: &impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}

/// The error of a file that is not what a run leaves behind.
pub(crate) fn broken_state(path: &std::path::Path, why: &impl ToString) -> Error {
    Error::State {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}
