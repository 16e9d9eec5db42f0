//! The stages of a run, each named after what it makes, and the one way in which a stage is found finished or is done.

pub(crate) mod calibrate;
pub(crate) mod choose;
pub(crate) mod dataset;
pub(crate) mod evaluate;
pub(crate) mod fit;
pub(crate) mod model;
pub(crate) mod pull;
pub(crate) mod train;
pub(crate) mod transform;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use gristmill_data::content::FileContent;
use gristmill_data::failpoint;
use serde_json::{Value, json};

use crate::budget::Budget;
use crate::directory::{Directory, FinishedStage};
use crate::engine::Engine;
use crate::error::{Result, io};
use crate::event::{Event, Observe, Pace, StageResult};
use crate::settings::fingerprint;
use dataset::Dataset;

/// A stage after the pull: it makes files of what the stages before it made, and a later run finds them again.
pub(crate) trait Stage {
    /// What it hands to the stages after it.
    type Made;

    /// Its name in `run.json`.
    const NAME: &'static str;

    /// The version of the format of what it makes, which stands beside the code that defines that.
    const FORMAT: u32;

    /// The names under which the observer knows it.
    const TOLD: &'static [&'static str] = &[Self::NAME];

    /// Everything from outside that shapes what it makes.
    fn shape(&self) -> Value;

    /// The files that it makes. Each appears whole or not at all, and together they vouch for all it makes.
    fn files(&self, dir: &Directory) -> Vec<PathBuf>;

    /// Reads what an earlier run made, of which every file was found as it was recorded.
    ///
    /// # Errors
    /// When it does not read as what this stage makes.
    fn reload(&self, dir: &Directory) -> Result<Self::Made>;

    /// Does the work.
    ///
    /// # Errors
    /// Those of the work.
    fn run(&self, dir: &Directory, work: &Work<'_>) -> Result<(Self::Made, Spent)>;
}

/// What every stage works with.
pub(crate) struct Work<'a> {
    /// Runs passes.
    pub(crate) engine: &'a dyn Engine,
    /// Threads for the work between two passes.
    pub(crate) pool: &'a rayon::ThreadPool,
    /// What the engine and the stages live on.
    pub(crate) budget: &'a Budget,
    /// The rows.
    pub(crate) dataset: &'a Dataset,
    /// Is told of it.
    pub(crate) observe: &'a dyn Observe,
}

/// What a stage took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Seconds, in all the runs that worked on it.
    pub(crate) seconds: f64,
    /// Rows it went over.
    pub(crate) rows: u64,
}

/// What is there of a stage.
pub(crate) enum Found<M> {
    /// What it made, and its record.
    Finished(M, FinishedStage),
    /// Nothing, or what was made for another pipeline or other rows.
    Nothing,
    /// What it made for just this, but cannot be relied on; with the reason.
    Unreliable(String),
}

/// The hash of everything that shapes what a stage makes, the version of the code included.
pub(crate) fn fingerprint_of<S: Stage>(stage: &S) -> String {
    fingerprint(json!([
        S::NAME,
        S::FORMAT,
        env!("CARGO_PKG_VERSION"),
        stage.shape()
    ]))
}

/// Looks for what an earlier run made: the record, the fingerprint and the content of the files decide.
pub(crate) fn find<S: Stage>(stage: &S, dir: &Directory) -> Found<S::Made> {
    let Some(record) = dir.recorded(S::NAME) else {
        return Found::Nothing;
    };
    let version = env!("CARGO_PKG_VERSION");
    if record.gristmill.is_empty() {
        return Found::Unreliable("an earlier version of gristmill did it".to_owned());
    }
    if record.gristmill != version {
        let why = format!("gristmill {} did it, and this is {version}", record.gristmill);
        return Found::Unreliable(why);
    }
    if record.format != S::FORMAT {
        let why = format!(
            "it was done in format {}, which is now {}",
            record.format,
            S::FORMAT
        );
        return Found::Unreliable(why);
    }
    if record.fingerprint != fingerprint_of(stage) {
        return Found::Nothing;
    }
    for path in stage.files(dir) {
        let name = dir.name_of(&path);
        let checked = match record.files.get(&name) {
            Some(content) => content.check(&path),
            None => Err("it is not in the record of the stage".to_owned()),
        };
        if let Err(why) = checked {
            return Found::Unreliable(format!("{name}: {why}"));
        }
    }
    match stage.reload(dir) {
        Ok(made) => Found::Finished(made, record.clone()),
        Err(error) => Found::Unreliable(error.to_string()),
    }
}

/// What a stage makes: found finished, or done now. Its record is withdrawn before what it vouches for is touched, and written
/// when all of it is on the disk.
pub(crate) fn perform<S: Stage>(
    stage: &S,
    dir: &mut Directory,
    work: &Work<'_>,
) -> Result<(S::Made, FinishedStage)> {
    match find(stage, dir) {
        Found::Finished(made, record) => {
            for stage in S::TOLD {
                work.observe.event(Event::StageSkipped { stage });
            }
            return Ok((made, record));
        }
        Found::Unreliable(why) => {
            let stage = S::NAME;
            work.observe.event(Event::StageRedone { stage, why });
        }
        Found::Nothing => {}
    }
    dir.withdraw(S::NAME)?;
    failpoint::hit("stage-withdrawn");
    let (made, spent) = stage.run(dir, work)?;
    work.dataset.unchanged()?;
    failpoint::hit("stage-made");
    let files = stage.files(dir).into_iter().map(|path| {
        let content = FileContent::of(&path).map_err(io(&path))?;
        Ok((dir.name_of(&path), content))
    });
    let record = FinishedStage {
        format: S::FORMAT,
        files: files.collect::<Result<_>>()?,
        ..FinishedStage::new(fingerprint_of(stage), spent.seconds, spent.rows)
    };
    dir.finish(S::NAME, record.clone())?;
    failpoint::hit("stage-recorded");
    Ok((made, record))
}

/// Tells the observer of a stage as it goes, and times it.
pub(crate) struct Teller<'a> {
    observe: &'a dyn Observe,
    stage: &'static str,
    started: Instant,
}

impl<'a> Teller<'a> {
    /// A stage begins.
    pub(crate) fn start(
        observe: &'a dyn Observe,
        stage: &'static str,
        unit: &'static str,
        total: Option<u64>,
    ) -> Self {
        observe.event(Event::StageStarted { stage, unit, total });
        Self {
            observe,
            stage,
            started: Instant::now(),
        }
    }

    /// So many units were done by an earlier run.
    pub(crate) fn resumed(&self, done: u64) {
        self.observe.event(Event::StageResumed {
            stage: self.stage,
            done,
        });
    }

    /// Seconds since the stage began.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Whether the stage is to go on.
    pub(crate) fn going_on(&self) -> ControlFlow<()> {
        Self::asked(self.observe)
    }

    /// Whether work for this observer is to go on.
    pub(crate) fn asked(observe: &dyn Observe) -> ControlFlow<()> {
        if observe.stopping() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// So many units are done; says whether to go on.
    pub(crate) fn progress(&self, done: u64, pace: Pace) -> ControlFlow<()> {
        self.observe.event(Event::Progress {
            stage: self.stage,
            done,
            pace,
        });
        self.going_on()
    }

    /// The stage ends; returns its seconds.
    pub(crate) fn finish(self, result: StageResult) -> f64 {
        let seconds = self.seconds();
        self.observe.event(Event::StageFinished {
            stage: self.stage,
            seconds,
            result,
        });
        seconds
    }
}
