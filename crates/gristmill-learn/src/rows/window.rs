//! A window of training rows, copied out of the batches they came in, and an order to visit them in.
//!
//! Rows come in the order of the key, which often goes with the class. A solver that steps from mini-batch to
//! mini-batch would follow it, so the rows of a window are visited in a pseudo-random order that depends only on
//! their number and on the seed.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::rows::features::Rows;

/// Rows of a window. It holds what a few tens of batches do: 22 MB at 40 entries a row.
pub(crate) const WINDOW_ROWS: usize = 1 << 16;

/// Bytes of an entry, of what else a row has, and of its place in an order.
const ENTRY_BYTES: usize = 8;
const ROW_BYTES: usize = 17;
const ORDER_BYTES: usize = 4;

/// Rows gathered until there are [`WINDOW_ROWS`].
#[derive(Default)]
pub(crate) struct Window {
    labels: Vec<i32>,
    offsets: Vec<i32>,
    indices: Vec<u32>,
    values: Vec<f32>,
    zeros: Vec<u8>,
    /// What each row weighs; empty where all weigh the same.
    weights: Vec<f64>,
}

impl Window {
    /// Takes in the first of the rows `chosen`, until it is full, their weights times `factor`. Returns how many.
    pub(crate) fn extend(&mut self, rows: Rows<'_>, chosen: &[u32], factor: f64) -> usize {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        let mut taken = 0;
        while taken < chosen.len() && !self.full() {
            let r = chosen[taken] as usize;
            let len = rows.offsets[r + 1] - rows.offsets[r];
            self.offsets.push(self.entries() + len);
            self.labels.push(rows.labels[r]);
            self.zeros.push(0);
            if rows.weights.is_some() {
                self.weights.push(rows.weight(r) * factor);
            }
            taken += 1;
        }
        let chosen = || chosen[..taken].iter().map(|r| rows.row(*r as usize));
        let (indices, values) = (&mut self.indices, &mut self.values);
        rayon::join(
            || chosen().for_each(|row| indices.extend_from_slice(row.0)),
            || chosen().for_each(|row| values.extend_from_slice(row.1)),
        );
        taken
    }

    /// Whether it is time to visit the rows: offsets are 32 bits wide, so very long rows fill it earlier.
    pub(crate) fn full(&self) -> bool {
        self.len() >= WINDOW_ROWS || self.entries() >= 1 << 30
    }

    fn entries(&self) -> i32 {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Rows held.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The rows, of no particular split or fold.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows {
            labels: &self.labels,
            offsets: if self.offsets.is_empty() {
                &[0]
            } else {
                &self.offsets
            },
            indices: &self.indices,
            values: &self.values,
            split: &self.zeros,
            fold: &self.zeros,
            weights: (!self.weights.is_empty()).then_some(self.weights.as_slice()),
        }
    }

    /// Forgets the rows and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.labels.clear();
        self.offsets.clear();
        self.indices.clear();
        self.values.clear();
        self.zeros.clear();
        self.weights.clear();
    }

    /// Bytes of a window of rows with so many entries each, whose room is doubled while it fills, and of its order.
    pub(crate) fn bytes(entries: usize) -> u64 {
        let row = ENTRY_BYTES * entries + ROW_BYTES + ORDER_BYTES;
        (WINDOW_ROWS * row) as u64 * 3 / 2
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        let numbers = self.labels.capacity() + self.offsets.capacity();
        let entries = self.indices.capacity() + self.values.capacity();
        (numbers + entries) * 4 + self.zeros.capacity() + self.weights.capacity() * 8
    }
}

/// The numbers `0..n` in a pseudo-random order (Fisher and Yates' shuffle).
pub(crate) fn shuffled(n: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        let hash = u128::from(xxh3_64_with_seed(&(i as u64).to_le_bytes(), seed));
        order.swap(i, ((hash * (i as u128 + 1)) >> 64) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_every_row_once_and_its_seed_decides_it() {
        let order = shuffled(1000, 7);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(i, r)| i == *r as usize));
        assert_eq!(order, shuffled(1000, 7));
        assert_ne!(order, shuffled(1000, 8));
        // Neighbours end up far from each other.
        let apart: u64 = order.windows(2).map(|w| u64::from(w[0].abs_diff(w[1]))).sum();
        assert!(apart / 999 > 250, "{apart}");
        assert!(shuffled(0, 7).is_empty());
    }
}
