//! The stages of a run, each named after what it makes.

pub(crate) mod evaluate;
pub(crate) mod fit;
pub(crate) mod pull;
pub(crate) mod train;
pub(crate) mod transform;

use std::ops::ControlFlow;
use std::time::Instant;

use crate::event::{Event, Observe};

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
        if self.observe.stopping() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// So many units are done; says whether to go on.
    pub(crate) fn progress(&self, done: u64, message: String) -> ControlFlow<()> {
        self.observe.event(Event::Progress {
            stage: self.stage,
            done,
            message,
        });
        self.going_on()
    }

    /// The stage ends; returns its seconds.
    pub(crate) fn finish(self, message: String) -> f64 {
        let seconds = self.seconds();
        self.observe.event(Event::StageFinished {
            stage: self.stage,
            seconds,
            message,
        });
        seconds
    }
}
