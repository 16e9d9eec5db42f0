//! The entries of some rows in the order of their columns: a gradient then reads and writes each feature once for all of the
//! rows, and holds it in registers between.

use std::cell::RefCell;
use std::ops::Range;

use crate::rows::features::Rows;
use crate::rows::shape::Shape;

/// So many columns for each entry may be counted: more would take longer to go over than the entries to sort.
const COLUMNS_PER_ENTRY: usize = 4;

thread_local! {
    /// Where the next entry of each column goes. Kept by each thread, for it stays in its cache from rows to rows.
    static NEXT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// The entries of at most 2^16 rows, column by column; within a column the rows ascend.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// The columns that have entries, ascending.
    pub(crate) features: Vec<u32>,
    /// Column `features[i]` has the entries `starts[i]..starts[i + 1]`.
    pub(crate) starts: Vec<u32>,
    /// The row of each entry, counted among those chosen.
    pub(crate) rows: Vec<u16>,
    /// The value of each entry.
    pub(crate) values: Vec<f32>,
}

impl Columns {
    /// Whether going by column saves more than sorting costs: a feature must have some classes, and there must not be many
    /// more features than entries.
    pub(crate) fn pay(rows: Rows<'_>, range: Range<usize>, shape: Shape) -> bool {
        let entries = (rows.offsets[range.end] - rows.offsets[range.start]) as usize;
        shape.stride() >= 16 && shape.features <= COLUMNS_PER_ENTRY * entries
    }

    /// Takes the entries of the rows `chosen`, of columns `0..features`, in place of those it had.
    pub(crate) fn fill(
        &mut self,
        rows: Rows<'_>,
        chosen: impl Iterator<Item = usize> + Clone,
        features: usize,
    ) {
        let len = chosen.clone().map(|r| rows.row(r).0.len()).sum();
        self.features.clear();
        self.starts.clear();
        // Every element is written below.
        self.rows.resize(len, 0);
        self.values.resize(len, 0.0);
        if features <= COLUMNS_PER_ENTRY * len {
            NEXT.with_borrow_mut(|next| self.count(rows, chosen, features, next));
        } else {
            self.sort(rows, chosen);
        }
        self.starts.push(len as u32);
    }

    /// Puts each entry in its place by counting those of each column first.
    fn count(
        &mut self,
        rows: Rows<'_>,
        chosen: impl Iterator<Item = usize> + Clone,
        features: usize,
        next: &mut Vec<u32>,
    ) {
        next.clear();
        next.resize(features, 0);
        for r in chosen.clone() {
            for feature in rows.row(r).0 {
                next[*feature as usize] += 1;
            }
        }
        let mut total = 0;
        for (feature, next) in next.iter_mut().enumerate().filter(|(_, n)| **n > 0) {
            self.features.push(feature as u32);
            self.starts.push(total);
            total += std::mem::replace(next, total);
        }
        for (row, r) in (0..).zip(chosen) {
            let (indices, values) = rows.row(r);
            for (feature, value) in indices.iter().zip(values) {
                let at = &mut next[*feature as usize];
                self.rows[*at as usize] = row;
                self.values[*at as usize] = *value;
                *at += 1;
            }
        }
    }

    /// Does the same where there are too many columns to count.
    fn sort(&mut self, rows: Rows<'_>, chosen: impl Iterator<Item = usize>) {
        let mut entries: Vec<(u32, u16, f32)> = Vec::with_capacity(self.rows.len());
        for (row, r) in (0..).zip(chosen) {
            let (indices, values) = rows.row(r);
            entries.extend(
                indices
                    .iter()
                    .zip(values)
                    .map(|(feature, value)| (*feature, row, *value)),
            );
        }
        entries.sort_unstable_by_key(|(feature, row, _)| (u64::from(*feature) << 16) | u64::from(*row));
        for (at, (feature, row, value)) in entries.into_iter().enumerate() {
            if self.features.last() != Some(&feature) {
                self.features.push(feature);
                self.starts.push(at as u32);
            }
            (self.rows[at], self.values[at]) = (row, value);
        }
    }

    /// The places of the entries of some columns.
    #[inline(always)]
    pub(crate) fn entries(&self, columns: Range<usize>) -> Range<usize> {
        self.starts[columns.start] as usize..self.starts[columns.end] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::features::tests::Table;

    #[test]
    fn entries_go_by_column_and_then_by_row_however_many_features_there_are() {
        for features in [1_usize, 3, 1500, 40_000, 1 << 24] {
            let mut columns = Columns::default();
            // Twice, the second time with fewer rows: nothing is left of the first.
            for count in [50_usize, 7] {
                let mut table = Table::default();
                for r in 0..count {
                    let mut row: Vec<u32> = (0..r % 9)
                        .map(|i| ((r * 7919 + i * 104_729) % features) as u32)
                        .collect();
                    row.sort_unstable();
                    row.dedup();
                    let values: Vec<f32> = (0..row.len()).map(|i| (r * 10 + i) as f32).collect();
                    table.push(0, &row, &values);
                }
                let rows = table.rows();
                // Rows in an order of their own.
                let chosen = (0..count).rev().step_by(2);
                columns.fill(rows, chosen.clone(), features);
                let mut expected: Vec<(u32, u16, f32)> = Vec::new();
                for (slot, r) in (0..).zip(chosen) {
                    let (indices, values) = rows.row(r);
                    expected.extend(indices.iter().zip(values).map(|(i, v)| (*i, slot, *v)));
                }
                expected.sort_by_key(|(feature, row, _)| (*feature, *row));
                let mut given = Vec::new();
                for (c, feature) in columns.features.iter().enumerate() {
                    let entries = columns.entries(c..c + 1);
                    assert!(!entries.is_empty());
                    given.extend(entries.map(|at| (*feature, columns.rows[at], columns.values[at])));
                }
                assert_eq!(given, expected, "{features} {count}");
                assert!(columns.features.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
