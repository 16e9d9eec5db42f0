//! The entries of a block of rows in the order of their columns: the backward pass then reads and writes each feature's
//! gradient once a block, and holds it in registers between.

use std::ops::Range;

use super::kernel::Shape;
use super::rows::Rows;

/// The entries of at most 2^16 rows, column by column; within a column the rows ascend.
pub(crate) struct Columns {
    /// The columns that have entries, ascending.
    pub(crate) features: Vec<u32>,
    /// Column `features[i]` has the entries `starts[i]..starts[i + 1]`.
    pub(crate) starts: Vec<u32>,
    /// The row of each entry, from the first of the block.
    pub(crate) rows: Vec<u16>,
    /// The value of each entry.
    pub(crate) values: Vec<f32>,
}

impl Columns {
    /// Whether sorting the entries of these rows, by counting, saves more than it costs: a feature must have some
    /// classes, and there must not be many more features than entries.
    pub(crate) fn pay(rows: Rows<'_>, range: Range<usize>, shape: Shape) -> bool {
        let entries = (rows.offsets[range.end] - rows.offsets[range.start]) as usize;
        shape.stride() >= 16 && shape.features <= 4 * entries
    }

    /// The entries of the rows `range`.
    pub(crate) fn of(rows: Rows<'_>, range: Range<usize>, features: usize) -> Self {
        let entries = rows.offsets[range.start] as usize..rows.offsets[range.end] as usize;
        // How many each column has, then where its next goes.
        let mut next = vec![0_u32; features];
        for index in &rows.indices[entries.clone()] {
            next[*index as usize] += 1;
        }
        let (mut filled, mut starts, mut total) = (Vec::new(), Vec::new(), 0);
        for (feature, next) in next.iter_mut().enumerate().filter(|(_, n)| **n > 0) {
            filled.push(feature as u32);
            starts.push(total);
            total += std::mem::replace(next, total);
        }
        starts.push(total);
        let mut columns = Self {
            features: filled,
            starts,
            rows: vec![0; entries.len()],
            values: vec![0.0; entries.len()],
        };
        for r in range.clone() {
            let (indices, values) = rows.row(r);
            for (index, value) in indices.iter().zip(values) {
                let at = &mut next[*index as usize];
                columns.rows[*at as usize] = (r - range.start) as u16;
                columns.values[*at as usize] = *value;
                *at += 1;
            }
        }
        columns
    }
}
