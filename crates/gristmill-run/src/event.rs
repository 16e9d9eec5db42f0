//! What a run tells its observer: typed events with their data. The observer finds the words for them.

use gristmill_data::source::{KeyAccess, Notice};
use gristmill_learn::evaluate::Uncalibrated;
use gristmill_learn::features::choose::Choice;
use gristmill_learn::search::Status;
use serde::Serialize;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A stage begins; `total` units of work are expected, where known.
    StageStarted {
        /// `pull`, `choose`, `fit`, `transform`, `train`, `evaluate`.
        stage: &'static str,
        /// What a unit is: `rows`, `scans`.
        unit: &'static str,
        /// Expected units.
        total: Option<u64>,
    },
    /// A stage goes on where an earlier run stopped.
    StageResumed {
        /// The stage.
        stage: &'static str,
        /// Units done before.
        done: u64,
    },
    /// Work done, with that of an earlier run.
    Progress {
        /// The stage.
        stage: &'static str,
        /// Units done.
        done: u64,
        /// How it is going.
        pace: Pace,
    },
    /// A stage ended.
    StageFinished {
        /// The stage.
        stage: &'static str,
        /// How long it took.
        seconds: f64,
        /// What came out.
        result: StageResult,
    },
    /// A stage whose work was finished before.
    StageSkipped {
        /// The stage.
        stage: &'static str,
    },
    /// A stage that an earlier run finished is done again, as what it made can no longer be relied on.
    StageRedone {
        /// The stage.
        stage: &'static str,
        /// What was found.
        why: String,
    },
    /// What was chosen that the pipeline leaves open, in this run or an earlier one.
    Chosen(Box<Choice>),
    /// Something the user should know, and can go on without.
    Warning(Warning),
    /// A detail, for `-v`.
    Detail(Detail),
}

/// How the work of a stage is going.
#[derive(Debug, Clone, PartialEq)]
pub enum Pace {
    /// The count of its units says it all.
    Steady,
    /// Of a pull.
    Pull {
        /// Megabytes (10⁶ bytes) of values a second, since this run began.
        megabytes_per_second: f64,
    },
    /// Of a training.
    Training {
        /// How far it is.
        status: Status,
        /// By how much the smallest objective changed when it last did.
        change: f64,
        /// Seconds a scan, once one was timed whose like are to come.
        seconds_per_scan: Option<f64>,
    },
}

/// What came out of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StageResult {
    /// Of a pull.
    Pulled {
        /// Rows read from the database.
        rows_read: u64,
        /// Batches that they came in.
        batches: u64,
        /// Rows that cleaning left.
        rows_kept: u64,
    },
    /// Of a choice.
    Chosen {
        /// Columns that were looked at.
        columns: u64,
        /// Those of them that are no feature.
        left_out: u64,
    },
    /// Of a fit.
    Fitted {
        /// Sparse columns.
        features: u64,
        /// What the label is.
        label: LabelSummary,
    },
    /// Of a transform.
    Transformed {
        /// Rows of features.
        rows: u64,
    },
    /// Of a training.
    Trained {
        /// Scans that the trainer asked for.
        scans: u64,
        /// Iterations of the final fit.
        iterations: u32,
        /// Whether an earlier run began it.
        resumed: bool,
    },
    /// Of a prediction.
    Predicted {
        /// Rows that were predicted.
        rows: u64,
    },
    /// Of the evaluation of a classifier.
    Classified {
        /// Share of the test rows predicted right; NaN where there are none.
        accuracy: f64,
        /// That of the answer that is always the largest class.
        majority: f64,
    },
    /// Of the evaluation of a regression.
    Regressed {
        /// Root of the mean squared error on the test rows; NaN where there are none.
        rmse: f64,
        /// That of the answer that is always the mean.
        mean_rmse: f64,
    },
}

/// What a label is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelSummary {
    /// So many classes.
    Classes(u64),
    /// A number.
    Number {
        /// Mean of the training rows.
        mean: f64,
        /// Their standard deviation.
        std: f64,
    },
}

/// Something the user should know, and can go on without.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Warning {
    /// No index serves the key.
    Unindexed {
        /// Why not, and the index to create.
        why: String,
    },
    /// More threads are wanted than the machine can use.
    Threads {
        /// Threads wanted.
        wanted: usize,
        /// Cores of the machine.
        cores: usize,
        /// Threads that work.
        used: usize,
    },
    /// The rest of the dataset comes from a later snapshot than its beginning.
    LaterSnapshot,
    /// The dataset is complete, and its source is, or may be, another one than it was.
    SourceChanged,
    /// A pull with `--fresh` was begun and not ended.
    FreshLeft {
        /// The folder of what it pulled.
        dir: String,
    },
    /// The dataset was discarded: the database changed, and it is to be of one snapshot.
    StartedAnew {
        /// Rows that were in it.
        rows: u64,
    },
    /// Reading failed and is tried again, or goes on with one connection less.
    Connection {
        /// What failed, why, and what is done.
        why: String,
    },
    /// Another tool cleaned up the log of the dataset, maybe with the hashes of some files.
    LogCleanedUp {
        /// The folder of the dataset.
        dir: String,
        /// Entries of the log that are missing; a checkpoint stands for them.
        entries: u64,
        /// Files without a hash.
        unknown: usize,
        /// All files.
        files: usize,
    },
    /// A class has fewer training rows than there are folds.
    RareInFolds {
        /// The class.
        class: String,
        /// Its training rows.
        rows: u64,
        /// Folds of the search.
        folds: u32,
    },
    /// What an earlier run left of its training cannot be used.
    TrainingBeginsAnew {
        /// Why not.
        why: String,
    },
    /// The state of the training could not be written.
    NoCheckpoint {
        /// Why not.
        why: String,
    },
    /// The model is to have a temperature and has none.
    Uncalibrated {
        /// Why not.
        why: Uncalibrated,
    },
    /// The chosen model stopped at its limit of iterations, which is the largest of the grid.
    NotConverged {
        /// The limit.
        max_iter: u32,
    },
    /// `search.seconds` ended the search along a path.
    SearchCutShort {
        /// The limit.
        seconds: u32,
    },
    /// No row fell into a split that the pipeline gives a share of the entities.
    EmptySplit {
        /// `validation`, `test`.
        split: &'static str,
        /// Its share of the entities.
        share: f64,
    },
    /// Every training row has the same value of a feature, so that a model can learn nothing from it.
    UninformativeFeature {
        /// The feature's columns.
        columns: Vec<String>,
        /// Its kind.
        encode: &'static str,
        /// What was found.
        why: &'static str,
    },
    /// Many test rows have the features of a training row of another entity.
    RepeatedRows {
        /// Their share of the test rows looked at.
        share: f64,
    },
    /// A feature finds nothing known in more rows that are predicted than can be expected.
    Unlike {
        /// Which, and in how many.
        why: String,
    },
    /// What the source noticed about its rows.
    #[serde(untagged)]
    Noticed(Notice),
}

impl Warning {
    /// What is to be said beforehand of a query of so many rows, where they are known, if no index serves its key. One batch
    /// sorts but once.
    pub(crate) fn of_key(access: &KeyAccess, rows: Option<u64>, batch_rows: u64) -> Option<Self> {
        match access {
            KeyAccess::Sort(why) if rows.is_none_or(|rows| rows > batch_rows) => {
                let why = why.to_string();
                Some(Self::Unindexed { why })
            }
            _ => None,
        }
    }
}

/// A detail, for `-v`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Detail {
    /// A pull goes on after the batches that are there.
    PullResumed {
        /// Batches that are there.
        batches: u64,
        /// Rows read for them.
        rows: u64,
    },
    /// Whether the source changed since the dataset was pulled is not known.
    SourceNotAsked {
        /// Why it could not be asked.
        why: String,
    },
    /// The database was asked for the key.
    OwnKey {
        /// The column.
        column: String,
    },
    /// A batch was pulled.
    Batch {
        /// Its number.
        number: u64,
        /// Its key range, as text.
        range: String,
        /// Rows read.
        rows_read: u64,
        /// Rows that cleaning left.
        rows_kept: u64,
        /// Seconds from asking for it until it was on the disk.
        seconds: f64,
        /// Tries that failed before.
        retries: u32,
    },
    /// Batches were committed.
    Committed {
        /// The new version of the dataset.
        version: u64,
        /// How many of them.
        batches: usize,
        /// Seconds that it took.
        seconds: f64,
    },
    /// Files of batches were merged.
    Merged {
        /// Files before.
        from: u64,
        /// Files after.
        into: u64,
        /// Seconds that it took.
        seconds: f64,
    },
    /// The files of the dataset were found as they were committed.
    Intact {
        /// Files.
        files: usize,
        /// Their bytes.
        bytes: u64,
        /// Seconds that it took.
        seconds: f64,
    },
    /// A batch was compared with the database.
    Compared {
        /// Its number.
        batch: u64,
    },
    /// Classes are left out, or together are one.
    RareClasses {
        /// The column of the label.
        label: String,
        /// How many.
        classes: u64,
        /// Training rows that a class needs.
        min_rows: u64,
        /// Their training rows.
        rows: u64,
    },
    /// The solver that `auto` stands for.
    Solver {
        /// Which, and why.
        why: String,
    },
    /// The features do not fit in memory and are streamed.
    Streamed,
    /// What a warm start takes from the earlier model.
    WarmStart {
        /// Features that it knew, of all.
        features: [u64; 2],
        /// Classes that it knew, of all.
        classes: [u64; 2],
    },
}

/// The observer of a run.
pub trait Observe: Send + Sync {
    /// Called from any thread; should return soon.
    fn event(&self, event: Event);

    /// Whether the run is to stop as soon as what it has done is safe.
    fn stopping(&self) -> bool {
        false
    }
}
