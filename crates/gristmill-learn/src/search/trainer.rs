//! The contract of a trainer: it does no I/O, it asks for scans.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::contract::pass::Pass;
use crate::error::{Error, Result};
use crate::model::LinearModel;
use crate::search::grid::SearchPoint;
use crate::search::warm::WarmStart;

/// Trains by asking for one scan of the features table after another.
pub trait Trainer: Send {
    /// Takes the answer to the last scan (`None` at first) and says what comes next.
    ///
    /// # Errors
    /// When the data cannot be learnt from, or the answer is not to the last question.
    fn next(&mut self, answer: Option<RecordBatch>) -> Result<Next>;

    /// Lets the model that is fitted to all training rows start from there. The models of the search start from nothing: an
    /// earlier model may have learnt from the very rows that score them.
    ///
    /// # Errors
    /// `NoWarmStart` for models that are not found step by step.
    fn start_from(&mut self, _start: WarmStart) -> Result<()> {
        Err(Error::NoWarmStart)
    }

    /// Writes what it needs to go on from here in another process, and says whether there was anything to write: not before
    /// its models are under way.
    ///
    /// # Errors
    /// When writing fails.
    fn save(&self, _to: &mut dyn Write) -> Result<bool> {
        Ok(false)
    }

    /// Takes up what [`Trainer::save`] wrote, on the same features with the same settings, before its first scan. More
    /// memory changes nothing; where there is less than the models under way need, they begin anew.
    ///
    /// # Errors
    /// `State` when that is no state of this training.
    fn restore(&mut self, _from: &mut dyn Read) -> Result<()> {
        Ok(())
    }

    /// How far it has come.
    fn status(&self) -> Status;
}

/// What a trainer wants next.
pub enum Next {
    /// A scan; hand its final state to [`Trainer::next`].
    Scan(Box<dyn Pass>),
    /// No rows: it has all it needs for the next step, and is asked again with `None`.
    Step,
    /// Nothing: it is done.
    Done(Box<Trained>),
}

/// How far a training has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Scans asked for.
    pub scans: u64,
    /// What it is doing, e.g. `search`.
    pub phase: &'static str,
    /// Models that have not converged.
    pub running: usize,
    /// Smallest objective among the models still running.
    pub objective: Option<f64>,
    /// Iterations of the model that is furthest.
    pub iteration: u32,
    /// Iterations that may come one after the other until all is done, where the trainer knows. Each takes a scan; one whose
    /// line search tries more than one step takes more.
    pub iterations_left: Option<u32>,
}

/// The outcome of a training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The model refitted on the whole training split.
    pub model: Arc<LinearModel>,
    /// Every point of the grid with its scores; `scores` is empty where there was nothing to choose.
    pub search: Vec<SearchPoint>,
    /// Which of them was chosen.
    pub best: usize,
    /// Iterations of the final fit.
    pub iterations: u32,
    /// Whether the final fit converged before its iteration limit.
    pub converged: bool,
    /// The final value of the objective, mean loss plus penalty; naive Bayes has none.
    pub objective: Option<f64>,
    /// Training rows of each class.
    pub class_rows: Vec<u64>,
}
