//! The canonical order of rows, which is the same for every batch size.
//!
//! Rows keep the order in which the database sorts their keys. Rows with equal keys, which a database may return in any
//! order, are sorted by the bytes of Arrow's row format over all their columns. They are never in two batches, so this is
//! an order of the whole dataset.

use std::ops::Range;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{partition, take_record_batch};
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::Result;

/// Puts a whole batch, whose rows come sorted by column `key`, into canonical order. With `distinct`, of equal rows only
/// one is kept: they have equal keys, so they are all here. Also returns how many rows were left out.
pub fn canonical(batch: &RecordBatch, key: usize, distinct: bool) -> Result<(RecordBatch, u64)> {
    if batch.num_rows() == 0 {
        return Ok((batch.clone(), 0));
    }
    let runs = partition(&[batch.column(key).clone()])?.ranges();
    if runs.len() == batch.num_rows() {
        return Ok((batch.clone(), 0));
    }
    let fields = batch
        .columns()
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(fields.collect())?.convert_columns(batch.columns())?;
    let mut order = Vec::with_capacity(batch.num_rows());
    for run in runs {
        sort_run(&rows, run, distinct, &mut order);
    }
    let dropped = (batch.num_rows() - order.len()) as u64;
    Ok((take_record_batch(batch, &UInt32Array::from(order))?, dropped))
}

fn sort_run(rows: &Rows, run: Range<usize>, distinct: bool, order: &mut Vec<u32>) {
    let mut run: Vec<u32> = run.map(|row| row as u32).collect();
    let row = |index: u32| rows.row(index as usize);
    run.sort_unstable_by(|&a, &b| row(a).cmp(&row(b)));
    if distinct {
        run.dedup_by(|a, b| row(*a) == row(*b));
    }
    order.append(&mut run);
}
