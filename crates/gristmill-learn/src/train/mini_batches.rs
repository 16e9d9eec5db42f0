//! Mini-batches of training rows: gathered window by window, visited in an order of their own, their entries sorted by feature.

use std::ops::Range;

use rayon::prelude::*;

use crate::rows::RowSet;
use crate::rows::columns::Columns;
use crate::rows::features::Rows;
use crate::rows::window::{Window, shuffled};

/// Training rows from which mini-batches are large.
const MANY_ROWS: u64 = 1 << 18;
/// Ranges of features that threads share out.
pub(crate) const PARTS: usize = 32;
/// What a feature costs in a step beside its entries, in units of one: a root and a quotient for each class, and
/// coefficients that are in no cache.
const FEATURE_COST: usize = 24;
/// Rows whose mini-batches are sorted at a time, each by itself.
const SLAB_ROWS: usize = 8192;

/// Rows of a mini-batch at most.
pub(crate) const MOST_BATCH_ROWS: usize = 512;

/// Rows of a mini-batch, for a training on so many.
fn batch_rows(rows: u64) -> usize {
    if rows < MANY_ROWS { 128 } else { MOST_BATCH_ROWS }
}

/// A mini-batch: some rows, and their entries by feature.
#[derive(Debug, Default)]
pub(crate) struct MiniBatch {
    /// The rows, in the order in which they are learnt from.
    pub(crate) rows: Vec<u32>,
    pub(crate) columns: Columns,
    /// The ranges of columns, of about equal cost, that threads share out: at most [`PARTS`].
    pub(crate) parts: Vec<Range<usize>>,
}

impl MiniBatch {
    /// Takes in `chosen`, some of the `rows`, in place of those it had.
    fn fill(&mut self, rows: Rows<'_>, chosen: &[u32], features: usize) {
        self.rows.clear();
        self.rows.extend_from_slice(chosen);
        self.columns
            .fill(rows, chosen.iter().map(|r| *r as usize), features);
        self.share_out();
    }

    fn share_out(&mut self) {
        let columns = self.columns.features.len();
        let cost = |columns| self.columns.entries(columns).len();
        let part = (cost(0..columns) + columns * FEATURE_COST).div_ceil(PARTS);
        self.parts.clear();
        let (mut start, mut spent) = (0, 0);
        for column in 0..columns {
            spent += cost(column..column + 1) + FEATURE_COST;
            if spent >= part || column + 1 == columns {
                self.parts.push(start..column + 1);
                (start, spent) = (column + 1, 0);
            }
        }
    }
}

/// The mini-batches of one epoch over a set of rows.
pub(crate) struct MiniBatches {
    set: RowSet,
    /// Brings the weights of the rows to a mean of 1.
    weight_factor: f64,
    batch_rows: usize,
    /// Epochs before this one: each has an order of its own.
    epoch: u32,
    features: usize,
    window: Window,
    /// Windows visited.
    windows: u64,
    /// The mini-batches that are learnt from, and those that are sorted meanwhile.
    slabs: [Vec<MiniBatch>; 2],
}

impl MiniBatches {
    /// Those of `set`, which has `rows` rows of `features` columns, in the epoch after `epoch` others.
    pub(crate) fn new(set: RowSet, rows: u64, weight_factor: f64, epoch: u32, features: usize) -> Self {
        Self {
            set,
            weight_factor,
            batch_rows: batch_rows(rows),
            epoch,
            features,
            window: Window::default(),
            windows: 0,
            slabs: Default::default(),
        }
    }

    /// Whether they are those of `set` in the epoch after `epoch` others.
    pub(crate) fn are(&self, set: RowSet, epoch: u32) -> bool {
        (self.set, self.epoch) == (set, epoch)
    }

    /// Takes in rows of the table, and lets `learn` have the mini-batches of each window that is full.
    pub(crate) fn take(&mut self, rows: Rows<'_>, mut learn: impl FnMut(Rows<'_>, &[MiniBatch]) + Send) {
        let chosen: Vec<u32> = self.set.of(rows).map(|r| r as u32).collect();
        let mut rest = chosen.as_slice();
        while !rest.is_empty() {
            let taken = self.window.extend(rows, rest, self.weight_factor);
            rest = &rest[taken..];
            if self.window.full() {
                self.visit(&mut learn);
            }
        }
    }

    /// Lets `learn` have those that are left at the end of the table.
    pub(crate) fn finish(&mut self, mut learn: impl FnMut(Rows<'_>, &[MiniBatch]) + Send) {
        if self.window.len() > 0 {
            self.visit(&mut learn);
        }
    }

    /// Visits the rows of the window in an order of its own. While mini-batches are learnt from, the next are sorted: that fills
    /// the gaps in which threads wait for each other.
    fn visit(&mut self, learn: &mut (impl FnMut(Rows<'_>, &[MiniBatch]) + Send)) {
        let (rows, size, features) = (self.window.rows(), self.batch_rows, self.features);
        let order = shuffled(self.window.len(), (u64::from(self.epoch) << 32) + self.windows);
        let sort = |chosen: &[u32], slab: &mut Vec<MiniBatch>| {
            slab.resize_with(chosen.len().div_ceil(size), MiniBatch::default);
            slab.par_iter_mut()
                .zip(chosen.par_chunks(size))
                .for_each(|(batch, chosen)| batch.fill(rows, chosen, features));
        };
        let [slab, following] = &mut self.slabs;
        let mut slabs = order.chunks(SLAB_ROWS);
        sort(slabs.next().unwrap_or_default(), slab);
        while !slab.is_empty() {
            rayon::join(
                || learn(rows, slab),
                || sort(slabs.next().unwrap_or_default(), following),
            );
            std::mem::swap(slab, following);
        }
        self.windows += 1;
        self.window.clear();
    }

    /// Bytes held by the window.
    pub(crate) fn size(&self) -> usize {
        self.window.size()
    }
}
