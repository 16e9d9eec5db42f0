//! What a training that was stopped needs to go on: where it stood between two scans, as a stream of bytes.
//!
//! The sums over the rows are not in it: they are taken again, in the two scans that every training begins with. All else
//! is kept to the last bit, so that a training that goes on ends in the same bytes as one that was not stopped.

use std::io::{Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::contract::trainer::SearchPoint;
use crate::error::{Result, broken};
use crate::search::grid::PointId;
use crate::search::halving::Rounds;

/// Bytes of the stack that decoding may need for a number.
const SCRATCH: usize = 64;

/// Where a search stands; `R` is one model under way.
#[derive(Serialize, Deserialize)]
pub(crate) struct Checkpoint<R> {
    /// Scans done.
    pub(crate) scans: u64,
    /// The point that is refitted on all rows; none while the search goes on.
    pub(crate) best: Option<PointId>,
    /// The scores on every fold of each point of the grid.
    pub(crate) scores: Vec<Vec<f64>>,
    /// The round of the search.
    pub(crate) rounds: Rounds,
    /// How many models of the round have not started.
    pub(crate) waiting: usize,
    /// Those under way.
    pub(crate) running: Vec<R>,
}

impl<R> Checkpoint<R> {
    /// Refuses one of another grid, and puts its scores into `points`; returns the round.
    pub(crate) fn check<P>(
        &self,
        points: &mut [SearchPoint<P>],
        folds: usize,
        first: &Rounds,
    ) -> Result<Rounds> {
        let scored = self.scores.len() == points.len()
            && (self.scores.iter()).all(|scores| scores.is_empty() || scores.len() == folds);
        let best = self.best.is_none_or(|best| best.0 < points.len());
        if !scored || !best || !self.rounds.follow(first) {
            return Err(broken("it is of another grid"));
        }
        for (point, scores) in points.iter_mut().zip(&self.scores) {
            point.scores.clone_from(scores);
        }
        Ok(self.rounds.clone())
    }
}

/// Writes a state.
pub(crate) fn write(state: &impl Serialize, to: &mut dyn Write) -> Result<()> {
    postcard::to_io(state, to).map_err(broken)?;
    Ok(())
}

/// Reads a state back.
pub(crate) fn read<T: DeserializeOwned>(from: &mut dyn Read) -> Result<T> {
    let mut scratch = [0; SCRATCH];
    let (state, _) = postcard::from_io((from, &mut scratch)).map_err(broken)?;
    Ok(state)
}
