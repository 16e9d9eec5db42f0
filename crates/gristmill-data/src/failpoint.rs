//! Named points at which a test can kill the process; compiled to nothing without the cargo feature `failpoints`.

/// Every point of a pull, in the order in which it comes by.
pub const PULL: [&str; 10] = [
    "batch-read",
    "parquet-written",
    "parquet-renamed",
    "commit-started",
    "commit-written",
    "commit-done",
    "checkpoint-done",
    "final-commit-started",
    "compaction-written",
    "compaction-committed",
];

/// Every point of a stage that is done anew.
pub const STAGE: [&str; 3] = ["stage-withdrawn", "stage-made", "stage-recorded"];

/// Every point at which the outcome of a run is put in the place of an earlier one.
pub const OUTCOME: [&str; 5] = [
    "outcome-written",
    "outcome-removed",
    "model-put",
    "summary-put",
    "metrics-put",
];

/// Every point at which a folder of features is put in the place of another.
pub const FOLDER: [&str; 3] = ["folder-written", "folder-set-aside", "folder-replaced"];

/// Every point of a training.
pub const TRAINING: [&str; 2] = ["training-checkpointed", "training-scanned"];

/// Every point of a prediction into a table of a database.
pub const TABLE: [&str; 6] = [
    "table-begun",
    "rows-written",
    "rows-committed",
    "table-replacing",
    "table-replaced",
    "table-complete",
];

/// How long the batches come together that share a commit: `GRISTMILL_COMMIT_EVERY` milliseconds, else each has its own, so
/// that a kill can come between any two.
#[cfg(feature = "failpoints")]
pub(crate) fn commit_every() -> Option<std::time::Duration> {
    let wanted = std::env::var("GRISTMILL_COMMIT_EVERY").ok();
    let millis = wanted.and_then(|millis| millis.parse().ok()).unwrap_or(0);
    Some(std::time::Duration::from_millis(millis))
}

/// Nothing: the cargo feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn commit_every() -> Option<std::time::Duration> {
    None
}

/// Kills the process with SIGKILL when `GRISTMILL_KILL_AT=name:count` names this point and this is its `count`-th hit.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static HITS: AtomicU64 = AtomicU64::new(0);

    debug_assert!(
        [&PULL[..], &STAGE, &OUTCOME, &FOLDER, &TRAINING, &TABLE]
            .iter()
            .any(|points| points.contains(&name)),
        "{name} is in no list of points"
    );
    let Ok(wanted) = std::env::var("GRISTMILL_KILL_AT") else {
        return;
    };
    let (point, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if point == name && (HITS.fetch_add(1, Ordering::SeqCst) + 1).to_string() == count {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Does nothing: the cargo feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) {}
