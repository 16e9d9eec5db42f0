//! Sets of rows of the features table: a split, a fold of the training rows, or the training rows outside a fold.

use serde::{Deserialize, Serialize};

use crate::contract::pass::Grain;
use crate::error::{Error, Result};
use crate::rows::features::{Rows, UNSEEN};

/// The names of splits 0, 1 and 2, as the features table numbers them.
pub const SPLIT_NAMES: [&str; 3] = ["train", "validation", "test"];

/// A split of the rows. Its number is that of the column `split`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Split {
    /// The rows that everything is fitted on.
    Train = 0,
    /// The rows that early stopping looks at.
    Validation = 1,
    /// The rows that no fit has seen.
    Test = 2,
}

impl Split {
    /// Every split, in the order of its number.
    pub const ALL: [Self; SPLIT_NAMES.len()] = [Self::Train, Self::Validation, Self::Test];

    /// Whether a row of this split number belongs to it.
    pub fn is(self, number: u8) -> bool {
        self as u8 == number
    }
}

/// One of the folds of a cross-validation, which are two or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(usize, usize)", try_from = "(usize, usize)")]
pub(crate) struct Fold {
    number: usize,
    of: usize,
}

impl Fold {
    /// Each of so many folds; none of one, for then there is no cross-validation.
    pub(crate) fn each(of: usize) -> impl DoubleEndedIterator<Item = Self> + Clone {
        let folds = if of > 1 { of } else { 0 };
        (0..folds).map(move |number| Self { number, of })
    }

    /// Its number, from 0.
    pub(crate) fn number(self) -> usize {
        self.number
    }

    /// How many folds there are.
    pub(crate) fn of(self) -> usize {
        self.of
    }

    /// Whether a training row with this number in the column `fold` belongs to it.
    fn contains(self, fold: u8) -> bool {
        usize::from(fold) % self.of == self.number
    }
}

impl From<Fold> for (usize, usize) {
    fn from(fold: Fold) -> Self {
        (fold.number, fold.of)
    }
}

/// As a spec or a checkpoint writes it.
impl TryFrom<(usize, usize)> for Fold {
    type Error = &'static str;

    fn try_from((number, of): (usize, usize)) -> std::result::Result<Self, Self::Error> {
        let mut folds = Self::each(of);
        folds.nth(number).ok_or("there is no such fold")
    }
}

/// Rows that a pass looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RowSet {
    /// The rows of a split.
    Split(Split),
    /// The training rows of a fold.
    Fold(Fold),
    /// The training rows outside a fold.
    OutsideFold(Fold),
}

impl RowSet {
    /// All training rows.
    pub(crate) const TRAINING: Self = Self::Split(Split::Train);

    /// The training rows outside the fold held out, or all of them.
    pub(crate) fn outside(held_out: Option<Fold>) -> Self {
        held_out.map_or(Self::TRAINING, Self::OutsideFold)
    }

    /// Whether row `r` of `rows` is in the set. A row of a class that training never saw is in none: it says nothing of how far a
    /// training got.
    pub(crate) fn contains(self, rows: Rows<'_>, r: usize) -> bool {
        let trains = Split::Train.is(rows.split[r]);
        rows.labels.get(r).is_none_or(|label| *label != UNSEEN)
            && match self {
                Self::Split(split) => split.is(rows.split[r]),
                Self::Fold(fold) => trains && fold.contains(rows.fold[r]),
                Self::OutsideFold(fold) => trains && !fold.contains(rows.fold[r]),
            }
    }

    /// The rows of a batch that are in the set, in order.
    pub(crate) fn of<'r>(self, rows: Rows<'r>) -> impl Iterator<Item = usize> + use<'r> {
        (0..rows.len()).filter(move |r| self.contains(rows, *r))
    }
}

/// The folds that a pass sums the training rows of: all of so many, or one of them, whose sums are a part of its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(usize, Option<usize>)", try_from = "(usize, Option<usize>)")]
pub(crate) struct FoldSums {
    folds: usize,
    only: Option<usize>,
}

impl FoldSums {
    /// The sums of each of `folds >= 1` folds; 1 when there is no cross-validation.
    pub(crate) fn all(folds: usize) -> Self {
        Self { folds, only: None }
    }

    /// Those of one of the folds: the part of a pass's results of this number.
    ///
    /// # Errors
    /// `State` when it is not among them.
    pub(crate) fn part(self, fold: usize, pass: &'static str) -> Result<Self> {
        let only = Some(fold);
        if fold < self.folds && self.only.is_none() {
            Ok(Self { only, ..self })
        } else {
            Err(Error::no_part(pass, fold))
        }
    }

    /// The folds that are held out of a cross-validation, all of them.
    pub(crate) fn held_out(self) -> impl DoubleEndedIterator<Item = Fold> + Clone {
        Fold::each(self.folds)
    }

    /// How many folds are summed.
    pub(crate) fn len(self) -> usize {
        if self.only.is_some() { 1 } else { self.folds }
    }

    /// The place of the sums of a row's fold; `None` where they are another part's.
    pub(crate) fn place(self, fold: u8) -> Option<usize> {
        let fold = usize::from(fold) % self.folds;
        match self.only {
            None => Some(fold),
            Some(only) => (fold == only).then_some(0),
        }
    }

    /// How the work of the pass may be divided: by fold.
    pub(crate) fn grain(self) -> Grain {
        match self.len() {
            1 => Grain::Ordered,
            folds => Grain::Results(folds),
        }
    }
}

impl From<FoldSums> for (usize, Option<usize>) {
    fn from(sums: FoldSums) -> Self {
        (sums.folds, sums.only)
    }
}

/// As a spec from another process writes them: there are folds, and the one is among them.
impl TryFrom<(usize, Option<usize>)> for FoldSums {
    type Error = &'static str;

    fn try_from((folds, only): (usize, Option<usize>)) -> std::result::Result<Self, Self::Error> {
        if folds > 0 && only.is_none_or(|fold| fold < folds) {
            Ok(Self { folds, only })
        } else {
            Err("there is no such fold")
        }
    }
}
