//! The canonical order of rows, which is the same for every batch size.
//!
//! Rows keep the order in which the database sorts their keys. Rows with equal keys, which a database may return in any
//! order, are sorted by the bytes of Arrow's row format over all their columns. They are never in two batches, so this is
//! an order of the whole dataset.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, partition, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};

use crate::budget::{Held, value_bytes};
use crate::error::Result;
use crate::prepare::spill::Spill;

/// At most so many rows with equal keys, or so many bytes of them, are put together at once.
const ROWS_OUT: usize = 8_192;
const BYTES_OUT: usize = 1 << 20;

/// What is held in memory beside the values of a row: its place and its number, and where it begins encoded.
const ROW_BYTES: u64 = 48;

/// Rows that were too many to be held.
struct Spilled {
    converter: RowConverter,
    schema: SchemaRef,
    /// The key, in columns of one row.
    key: Vec<ArrayRef>,
    runs: Spill,
}

/// Puts the rows of a batch, which come piece by piece and sorted by the columns `key`, into canonical order. Only the rows
/// with the last key so far are held back, for more of them may come; where they are too many for the memory, they are
/// sorted over the disk.
pub struct CanonicalOrder {
    key: Vec<usize>,
    distinct: bool,
    held: Held,
    /// Rows with one and the same key.
    open: Vec<RecordBatch>,
    open_bytes: u64,
    /// More rows with that key.
    spilled: Option<Spilled>,
    duplicates: u64,
}

impl CanonicalOrder {
    /// Begins a batch. With `distinct`, of equal rows only one is kept: they have equal keys.
    pub fn new(key: Vec<usize>, distinct: bool, held: Held) -> Self {
        Self {
            key,
            distinct,
            held,
            open: Vec::new(),
            open_bytes: 0,
            spilled: None,
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
            self.hold(slice(rows, &runs.remove(0)))?;
        }
        let Some(last) = runs.pop() else {
            return Ok(());
        };
        self.close(out)?;
        self.hold(slice(rows, &last))?;
        let Some(first) = runs.first() else {
            return Ok(());
        };
        let settled = first.start..last.start;
        let certain = slice(rows, &settled);
        if runs.iter().all(|run| run.len() == 1) {
            return out(certain);
        }
        let converter = converter(&certain)?;
        let encoded = encode(&converter, std::slice::from_ref(&certain), value_bytes(&certain))?;
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

    /// Holds rows back with those of the same key.
    fn hold(&mut self, rows: RecordBatch) -> Result<()> {
        self.open_bytes += value_bytes(&rows) + ROW_BYTES * rows.num_rows() as u64;
        self.open.push(rows);
        if self.open_bytes > self.held.bytes {
            self.spill()?;
        }
        Ok(())
    }

    /// Sorts the rows held back into a run on the disk.
    fn spill(&mut self) -> Result<()> {
        let open = std::mem::take(&mut self.open);
        let Some(last) = open.last() else {
            return Ok(());
        };
        let mut spilled = match self.spilled.take() {
            Some(spilled) => spilled,
            None => Spilled {
                converter: converter(last)?,
                schema: last.schema(),
                key: self.last_key(last)?,
                runs: Spill::create(&self.held.folder)?,
            },
        };
        let encoded = encode(&spilled.converter, &open, std::mem::take(&mut self.open_bytes))?;
        drop(open);
        let order = self.sorted(&encoded, 0..encoded.num_rows());
        let rows = order.iter().map(|&row| encoded.row(row as usize).data());
        spilled.runs.write(rows)?;
        self.spilled = Some(spilled);
        Ok(())
    }

    /// Gives `out` the rows held back.
    fn close(&mut self, out: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        if self.spilled.is_some() {
            self.spill()?;
            return self.merge(out);
        }
        let bytes = std::mem::take(&mut self.open_bytes);
        let open = std::mem::take(&mut self.open);
        let count: usize = open.iter().map(RecordBatch::num_rows).sum();
        if count <= 1 {
            return open.into_iter().try_for_each(out);
        }
        let Some(first) = open.first() else {
            return Ok(());
        };
        let encoded = encode(&converter(first)?, &open, bytes)?;
        let order = self.sorted(&encoded, 0..count);
        let places: Vec<(usize, usize)> = open
            .iter()
            .enumerate()
            .flat_map(|(piece, rows)| (0..rows.num_rows()).map(move |row| (piece, row)))
            .collect();
        let pieces: Vec<&RecordBatch> = open.iter().collect();
        let mut order = order.as_slice();
        while !order.is_empty() {
            let mut bytes = 0;
            let count = order.iter().take(ROWS_OUT).take_while(|&&row| {
                let before = bytes;
                bytes += encoded.row_len(row as usize);
                before == 0 || bytes <= BYTES_OUT
            });
            let (some, rest) = order.split_at(count.count().max(1));
            let some: Vec<_> = some.iter().map(|&row| places[row as usize]).collect();
            out(interleave_record_batch(&pieces, &some)?)?;
            order = rest;
        }
        Ok(())
    }

    /// Gives `out` the rows on the disk.
    fn merge(&mut self, out: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let Some(spilled) = self.spilled.take() else {
            return Ok(());
        };
        let Spilled {
            converter,
            schema,
            runs,
            ..
        } = spilled;
        let parser = converter.parser();
        let decode = |rows: &[Vec<u8>]| -> Result<RecordBatch> {
            let columns = converter.convert_rows(rows.iter().map(|row| parser.parse(row)))?;
            Ok(RecordBatch::try_new(schema.clone(), columns)?)
        };
        let (mut rows, mut bytes): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
        // Equal rows may be in several runs.
        let mut last: Option<Vec<u8>> = None;
        let (distinct, duplicates) = (self.distinct, &mut self.duplicates);
        runs.merge(self.held.bytes, &mut |row| {
            if distinct {
                if last.as_deref() == Some(&row) {
                    *duplicates += 1;
                    return Ok(());
                }
                last = Some(row.clone());
            }
            bytes += row.len();
            rows.push(row);
            if rows.len() >= ROWS_OUT || bytes >= BYTES_OUT {
                bytes = 0;
                out(decode(&std::mem::take(&mut rows))?)?;
            }
            Ok(())
        })?;
        if rows.is_empty() {
            return Ok(());
        }
        out(decode(&rows)?)
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
        let before = match (self.open.last(), &self.spilled) {
            (Some(open), _) => self.last_key(open)?,
            (None, Some(spilled)) => spilled.key.clone(),
            (None, None) => return Ok(false),
        };
        let both = before.iter().zip(&self.key).map(|(before, &i)| {
            let next = rows.column(i).slice(0, 1);
            arrow::compute::concat(&[before.as_ref(), next.as_ref()])
        });
        let both = both.collect::<Result<Vec<_>, _>>()?;
        Ok(partition(&both)?.len() == 1)
    }

    /// The key of the last row, in columns of their own.
    fn last_key(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let last = UInt32Array::from(vec![rows.num_rows().saturating_sub(1) as u32]);
        let keys = self.key.iter().map(|&i| take(rows.column(i), &last, None));
        Ok(keys.collect::<Result<_, _>>()?)
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

fn converter(rows: &RecordBatch) -> Result<RowConverter> {
    let columns = rows.columns().iter();
    let fields = columns.map(|column| SortField::new(column.data_type().clone()));
    Ok(RowConverter::new(fields.collect())?)
}

/// Rows in the form that compares; they have about so many bytes.
fn encode(converter: &RowConverter, pieces: &[RecordBatch], bytes: u64) -> Result<Rows> {
    let rows = pieces.iter().map(RecordBatch::num_rows).sum();
    let mut encoded = converter.empty_rows(rows, usize::try_from(bytes).unwrap_or_default());
    for piece in pieces {
        converter.append(&mut encoded, piece.columns())?;
    }
    Ok(encoded)
}

fn slice(rows: &RecordBatch, range: &Range<usize>) -> RecordBatch {
    rows.slice(range.start, range.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
        StructArray,
    };
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field, Int64Type};
    use proptest::prelude::*;

    use super::*;

    /// Rows of a key, null in the last of them, with a column of each kind that the row format writes in a way of its own.
    fn rows(numbers: &[(Option<i64>, u8)]) -> RecordBatch {
        let every = |present: fn(u8) -> bool| {
            let numbers = numbers.iter();
            numbers.map(move |(_, number)| present(*number).then_some(*number))
        };
        let texts = every(|n| n % 5 > 0).map(|n| n.map(|n| "text ".repeat(usize::from(n) % 40)));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let floats = every(|n| n % 3 > 0).map(|n| {
            n.map(|n| match n % 4 {
                0 => -0.0,
                1 => f64::NAN,
                2 => 0.0,
                _ => -1.5,
            })
        });
        let lists =
            every(|n| n % 4 > 0).map(|n| n.map(|n| (0..i64::from(n % 3)).map(Some).collect::<Vec<_>>()));
        let flags = every(|n| n % 2 > 0).map(|n| n.map(|n| n > 100));
        let decimals = every(|n| n % 6 > 0).map(|n| n.map(|n| i128::from(n) - 100));
        let bytes: Vec<Option<Vec<u8>>> = every(|n| n % 7 > 0).map(|n| n.map(|n| vec![n; 3])).collect();
        let fields = vec![Arc::new(Field::new("inner", DataType::Utf8, true))];
        let columns: [(&str, ArrayRef); 8] = [
            (
                "key",
                Arc::new(numbers.iter().map(|(key, _)| *key).collect::<Int64Array>()),
            ),
            ("text", texts.clone()),
            ("float", Arc::new(floats.collect::<Float64Array>())),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)),
            ),
            ("flag", Arc::new(flags.collect::<BooleanArray>())),
            (
                "decimal",
                Arc::new(
                    decimals
                        .collect::<Decimal128Array>()
                        .with_precision_and_scale(10, 2)
                        .unwrap(),
                ),
            ),
            ("bytes", Arc::new(BinaryArray::from_iter(bytes))),
            (
                "struct",
                Arc::new(StructArray::new(fields.into(), vec![texts], None)),
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    /// The rows in order, of which so many bytes are held, with how many were left out; and whether the disk was used.
    fn ordered(pieces: &[RecordBatch], distinct: bool, bytes: u64) -> (RecordBatch, u64, bool) {
        let folder = std::env::temp_dir();
        let mut order = CanonicalOrder::new(vec![0], distinct, Held { bytes, folder });
        let mut rows = Vec::new();
        let mut spilled = false;
        let mut out = |piece| {
            rows.push(piece);
            Ok(())
        };
        for piece in pieces {
            order.push(piece, &mut out).unwrap();
            spilled |= order.spilled.is_some();
        }
        let duplicates = order.finish(&mut out).unwrap();
        (
            concat_batches(&pieces[0].schema(), &rows).unwrap(),
            duplicates,
            spilled,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn rows_of_one_key_have_the_same_order_in_memory_and_over_the_disk(
            runs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 1..6),
            piece in 1_usize..25,
            held in 1_u64..4_000,
            distinct in any::<bool>(),
        ) {
            let last = runs.len() - 1;
            let numbers: Vec<(Option<i64>, u8)> = runs
                .iter()
                .enumerate()
                .flat_map(|(key, run)| run.iter().map(move |n| ((key < last).then_some(key as i64), *n)))
                .collect();
            let pieces: Vec<_> = numbers.chunks(piece).map(rows).collect();
            let (expected, left_out, spilled) = ordered(&pieces, distinct, u64::MAX);
            prop_assert!(!spilled);
            let (found, found_left_out, _) = ordered(&pieces, distinct, held);
            // Floats are compared by their bits.
            prop_assert_eq!(found, expected);
            prop_assert_eq!(found_left_out, left_out);
        }
    }

    #[test]
    fn rows_beyond_what_is_held_are_on_the_disk() {
        let numbers: Vec<_> = (0..5_000_u64).map(|n| (None, (n * 97 % 251) as u8)).collect();
        let pieces: Vec<_> = numbers.chunks(100).map(rows).collect();
        let (all, _, spilled) = ordered(&pieces, false, 10_000);
        assert!(spilled);
        assert_eq!(all.num_rows(), 5_000);
        let (few, left_out, _) = ordered(&pieces, true, 10_000);
        assert_eq!((few.num_rows() as u64 + left_out, few.num_rows()), (5_000, 251));
    }
}
