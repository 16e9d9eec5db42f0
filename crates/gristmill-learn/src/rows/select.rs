//! Sets of rows of the features table: a split, a fold of the training rows, or the training rows outside a fold.

use crate::rows::features::Rows;

/// The names of splits 0, 1 and 2, as the features table numbers them.
pub const SPLIT_NAMES: [&str; 3] = ["train", "validation", "test"];

/// A split of the rows. Its number is that of the column `split`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Rows that a pass looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowSet {
    /// The rows of a split.
    Split(Split),
    /// The training rows of one of so many folds.
    Fold { fold: usize, folds: usize },
    /// The training rows outside one of so many folds.
    OutsideFold { fold: usize, folds: usize },
}

impl RowSet {
    /// All training rows.
    pub(crate) const TRAINING: Self = Self::Split(Split::Train);

    /// The training rows outside the fold held out, or all of them.
    pub(crate) fn outside(held_out: Option<usize>, folds: usize) -> Self {
        held_out.map_or(Self::TRAINING, |fold| Self::OutsideFold { fold, folds })
    }

    /// Whether row `r` of `rows` is in the set.
    pub(crate) fn contains(self, rows: Rows<'_>, r: usize) -> bool {
        let trains = Split::Train.is(rows.split[r]);
        match self {
            Self::Split(split) => split.is(rows.split[r]),
            Self::Fold { fold, folds } => trains && usize::from(rows.fold[r]) % folds == fold,
            Self::OutsideFold { fold, folds } => trains && usize::from(rows.fold[r]) % folds != fold,
        }
    }

    /// The rows of a batch that are in the set, in order.
    pub(crate) fn of<'r>(self, rows: Rows<'r>) -> impl Iterator<Item = usize> + use<'r> {
        (0..rows.len()).filter(move |r| self.contains(rows, *r))
    }
}
