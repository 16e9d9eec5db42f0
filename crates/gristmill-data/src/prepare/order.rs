//! The canonical order of rows, which is the same for every batch size.
//!
//! Rows keep the order in which the database sorts their keys. Rows with equal keys, which a database may return in any
//! order, are sorted by the bytes of Arrow's row format over all their columns. They are never in two batches, so this is
//! an order of the whole dataset.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, partition, take_record_batch};
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::Result;

/// At most so many rows with equal keys are put together at once.
const ROWS_OUT: usize = 8_192;

/// Puts the rows of a batch, which come piece by piece and sorted by the columns `key`, into canonical order. Only the rows
/// with the last key so far are held back, for more of them may come.
pub struct CanonicalOrder {
    key: Vec<usize>,
    distinct: bool,
    /// Rows with one and the same key.
    open: Vec<RecordBatch>,
    duplicates: u64,
}

impl CanonicalOrder {
    /// Begins a batch. With `distinct`, of equal rows only one is kept: they have equal keys.
    pub fn new(key: Vec<usize>, distinct: bool) -> Self {
        Self {
            key,
            distinct,
            open: Vec::new(),
            duplicates: 0,
        }
    }

    /// Takes in more rows and gives `out` those whose place is certain.
    pub fn push(&mut self, rows: &RecordBatch, out: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let mut runs = self.runs(rows)?;
        if runs.is_empty() {
            return Ok(());
        }
        if self.goes_on(rows)? {
            self.open.push(slice(rows, &runs.remove(0)));
        }
        let Some(last) = runs.pop() else {
            return Ok(());
        };
        self.close(out)?;
        self.open.push(slice(rows, &last));
        let Some(first) = runs.first() else {
            return Ok(());
        };
        let settled = first.start..last.start;
        let certain = slice(rows, &settled);
        if runs.iter().all(|run| run.len() == 1) {
            return out(certain);
        }
        let encoded = self.encode(std::slice::from_ref(&certain))?;
        let mut order = Vec::with_capacity(certain.num_rows());
        for run in runs {
            order.extend(self.sorted(&encoded, run.start - settled.start..run.end - settled.start));
        }
        out(take_record_batch(&certain, &UInt32Array::from(order))?)
    }

    /// Ends the batch: gives `out` the last rows, and returns how many were left out as duplicates.
    pub fn finish(mut self, out: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<u64> {
        self.close(out)?;
        Ok(self.duplicates)
    }

    /// Gives `out` the rows held back.
    fn close(&mut self, out: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let open = std::mem::take(&mut self.open);
        let count: usize = open.iter().map(RecordBatch::num_rows).sum();
        if count <= 1 {
            return open.into_iter().try_for_each(out);
        }
        let encoded = self.encode(&open)?;
        let order = self.sorted(&encoded, 0..count);
        drop(encoded);
        let places: Vec<(usize, usize)> = open
            .iter()
            .enumerate()
            .flat_map(|(piece, rows)| (0..rows.num_rows()).map(move |row| (piece, row)))
            .collect();
        let pieces: Vec<&RecordBatch> = open.iter().collect();
        for order in order.chunks(ROWS_OUT) {
            let order: Vec<_> = order.iter().map(|&row| places[row as usize]).collect();
            out(interleave_record_batch(&pieces, &order)?)?;
        }
        Ok(())
    }

    /// The ranges of rows with equal keys.
    fn runs(&self, rows: &RecordBatch) -> Result<Vec<Range<usize>>> {
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let keys: Vec<ArrayRef> = self.key.iter().map(|&i| rows.column(i).clone()).collect();
        Ok(partition(&keys)?.ranges())
    }

    /// Whether the first of these rows has the key of those held back.
    fn goes_on(&self, rows: &RecordBatch) -> Result<bool> {
        let Some(before) = self.open.last() else {
            return Ok(false);
        };
        let both = |&i: &usize| {
            let last = before.column(i).slice(before.num_rows() - 1, 1);
            arrow::compute::concat(&[&last, &rows.column(i).slice(0, 1)])
        };
        let both = self.key.iter().map(both).collect::<Result<Vec<_>, _>>()?;
        Ok(partition(&both)?.len() == 1)
    }

    fn encode(&self, pieces: &[RecordBatch]) -> Result<Rows> {
        let columns = pieces.iter().take(1).flat_map(RecordBatch::columns);
        let fields = columns.map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let mut encoded = converter.empty_rows(pieces.iter().map(RecordBatch::num_rows).sum(), 0);
        for piece in pieces {
            converter.append(&mut encoded, piece.columns())?;
        }
        Ok(encoded)
    }

    /// The rows of a run in their order, without duplicates if so asked.
    fn sorted(&mut self, encoded: &Rows, run: Range<usize>) -> Vec<u32> {
        let before = run.len();
        let mut run: Vec<u32> = run.map(|row| row as u32).collect();
        let row = |index: u32| encoded.row(index as usize);
        run.sort_unstable_by(|&a, &b| row(a).cmp(&row(b)));
        if self.distinct {
            run.dedup_by(|a, b| row(*a) == row(*b));
        }
        self.duplicates += (before - run.len()) as u64;
        run
    }
}

fn slice(rows: &RecordBatch, range: &Range<usize>) -> RecordBatch {
    rows.slice(range.start, range.len())
}
