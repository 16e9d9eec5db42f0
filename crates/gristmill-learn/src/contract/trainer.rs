//! The contract of a trainer: it does no I/O, it asks for scans. And what comes out of a training.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::contract::model::Model;
use crate::contract::pass::Pass;
use crate::error::{Error, Result};

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

    /// Lets a search whose length the scores decide end with the best of what it has tried.
    fn settle(&mut self) {}

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
    pub model: Arc<dyn Model>,
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
    /// Whether [`Trainer::settle`] ended the search.
    pub cut_short: bool,
}

/// The dimensions of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingSize {
    /// Sparse columns.
    pub features: usize,
    /// Classes, at least 2; 0 of a regression.
    pub classes: usize,
    /// Entries of a row, on average and rounded up.
    pub entries: usize,
}

/// One point of the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchPoint<P = Params> {
    /// What it is made of.
    #[serde(flatten)]
    pub params: P,
    /// Mean over the folds; absent when nothing was searched, and when halving gave it up before.
    pub score: Option<f64>,
    /// The score on each fold held out.
    pub scores: Vec<f64>,
}

/// The settings of a point of the grid, by name, in the order in which they are told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Params(Vec<(String, Value)>);

impl Params {
    /// The same with one more.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The names and the values.
    pub fn columns(&self) -> Vec<(&str, String)> {
        let columns = self.0.iter().map(|(name, value)| {
            let text = match (value.as_str(), value.as_u64(), value.as_f64()) {
                (Some(text), ..) => text.to_owned(),
                (_, Some(integer), _) => integer.to_string(),
                (.., Some(number)) => number.to_string(),
                _ => value.to_string(),
            };
            (name.as_str(), text)
        });
        columns.collect()
    }

    /// The iteration limit, if the model is found by iterating.
    pub fn max_iter(&self) -> Option<u32> {
        u32::try_from(self.get("max_iter")?.as_u64()?).ok()
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Params;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
                let mut params = Params::default();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    params = params.with(&name, value);
                }
                Ok(params)
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Where to start from.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmStart {
    /// `(features + 1) × classes` coefficients, feature by feature, the intercepts last; 0 for what the earlier model did
    /// not know. Only their differences between classes count.
    pub coefficients: Vec<f32>,
    /// Features that the earlier model knew.
    pub features: usize,
    /// Classes that it knew.
    pub classes: usize,
}
