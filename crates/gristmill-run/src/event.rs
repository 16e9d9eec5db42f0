//! What a run tells whoever watches it.

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A stage begins; `total` units of work are expected, where known.
    StageStarted {
        /// `pull`, `fit`, `transform`, `train`, `evaluate`.
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
        /// Something to say beside it, e.g. the objective; may be empty.
        message: String,
    },
    /// A stage ended.
    StageFinished {
        /// The stage.
        stage: &'static str,
        /// How long it took.
        seconds: f64,
        /// One line of what came out.
        message: String,
    },
    /// A stage whose work was finished before.
    StageSkipped {
        /// The stage.
        stage: &'static str,
        /// Why there was nothing to do.
        message: String,
    },
    /// A stage that an earlier run finished is done again, as what it made can no longer be relied on.
    StageRedone {
        /// The stage.
        stage: &'static str,
        /// What was found.
        why: String,
    },
    /// Something the user should know, and can go on without.
    Warning(String),
    /// A detail, for `-v`.
    Detail(String),
}

/// Whoever watches a run.
pub trait Observe: Send + Sync {
    /// Called from any thread; should return soon.
    fn event(&self, event: Event);

    /// Whether the run is to stop as soon as what it has done is safe.
    fn stopping(&self) -> bool {
        false
    }
}
