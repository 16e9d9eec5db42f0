//! The sums that linear regression is made of: the products of all pairs of columns, by fold of the training rows.
//!
//! Beside its features a row has the columns 1 and the label, so that one symmetric matrix of `features + 2` rows holds
//! every sum there is: `XᵀWX`, `XᵀW1`, `XᵀWy`, the sum of the weights, and those of the labels and their squares. Its upper
//! triangle is kept, row by row. Labels count from the first one seen, so that a large mean costs their squares no digits.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, LargeListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Float64Type, Schema, UInt64Type};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contract::pass::{Accumulate, Grain, Pass};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::rows::features::{self, Rows};
use crate::rows::{Fold, FoldSums, RowSet};

/// Ranges of the matrix's rows that threads share out.
const RANGES: usize = 16;

/// The kind of the pass's spec.
pub(crate) const KIND: &str = "sums of products";

/// Sums the products of the training rows by fold.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ProductsPass {
    /// The folds.
    pub(crate) folds: FoldSums,
    /// Sparse columns.
    pub(crate) features: usize,
}

impl Pass for ProductsPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Products::new(*self))
    }

    fn grain(&self) -> Grain {
        // The sums of a fold are larger than the rows of a grain.
        self.folds.grain()
    }

    fn part(&self, index: usize) -> Result<Box<dyn Pass>> {
        let folds = self.folds.part(index, KIND)?;
        Ok(Box::new(Self { folds, ..*self }))
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self))
    }
}

/// The upper triangle of a symmetric matrix, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Triangle {
    /// Rows and columns of the matrix.
    pub(crate) side: usize,
}

impl Triangle {
    /// That of the products of so many features, 1 and the label.
    pub(crate) fn of(features: usize) -> Self {
        Self { side: features + 2 }
    }

    /// Its elements.
    pub(crate) fn len(self) -> usize {
        self.start(self.side)
    }

    /// Where row `row` begins, with the element on the diagonal.
    pub(crate) fn start(self, row: usize) -> usize {
        row * self.side - row * row.saturating_sub(1) / 2
    }

    /// Row `row` of a triangle, from the diagonal on.
    pub(crate) fn row(self, row: usize) -> Range<usize> {
        self.start(row)..self.start(row + 1)
    }
}

/// The state of a [`ProductsPass`].
#[derive(Debug, Clone)]
pub(crate) struct Products {
    pass: ProductsPass,
    triangle: Triangle,
    /// Training rows of each fold.
    rows: Vec<u64>,
    /// The triangles of the folds, one after the other.
    sums: Vec<f64>,
    /// What labels count from; `None` before the first.
    origin: Option<f64>,
}

/// The sums over some of the folds.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    /// See [`Triangle::of`].
    pub(crate) triangle: Triangle,
    /// Its elements.
    pub(crate) values: Vec<f64>,
    /// What labels count from.
    pub(crate) origin: f64,
}

impl Sums {
    /// The sum of the products of columns `i <= j`.
    pub(crate) fn get(&self, i: usize, j: usize) -> f64 {
        self.values[self.triangle.start(i) + j - i]
    }
}

impl Products {
    fn new(pass: ProductsPass) -> Self {
        let triangle = Triangle::of(pass.features);
        Self {
            pass,
            triangle,
            rows: vec![0; pass.folds.len()],
            sums: vec![0.0; pass.folds.len() * triangle.len()],
            origin: None,
        }
    }

    /// Reads a state back.
    pub(crate) fn of(pass: ProductsPass, state: &RecordBatch) -> Result<Self> {
        let mut products = Self::new(pass);
        products.merge(state)?;
        Ok(products)
    }

    /// Refuses folds without rows, and rows that weigh nothing.
    pub(crate) fn checked(self) -> Result<Self> {
        let folds = self.pass.folds.len();
        if self.rows.iter().all(|rows| *rows == 0) {
            return Err(Error::empty_training());
        }
        if let Some(fold) = self.rows.iter().position(|rows| *rows == 0) {
            return Err(Error::empty_fold(fold, folds));
        }
        let at = self.triangle.start(self.pass.features);
        let weight = |number: usize| self.sums[number * self.triangle.len() + at];
        let outside = |held_out: Option<Fold>| -> f64 {
            (0..folds)
                .filter(|number| held_out.is_none_or(|fold| fold.number() != *number))
                .map(weight)
                .sum()
        };
        let mut held_out = self.pass.folds.held_out().map(Some).chain([None]);
        if held_out.any(|held_out| outside(held_out) <= 0.0) {
            return Err(Error::weightless());
        }
        Ok(self)
    }

    /// The sums over all folds but one, or over all.
    pub(crate) fn without(&self, held_out: Option<Fold>) -> Sums {
        let mut values = vec![0.0; self.triangle.len()];
        let folds = self.sums.chunks_exact(self.triangle.len()).enumerate();
        let outside = folds.filter(|(number, _)| held_out.is_none_or(|fold| fold.number() != *number));
        for (_, sums) in outside {
            values.iter_mut().zip(sums).for_each(|(a, b)| *a += b);
        }
        Sums {
            triangle: self.triangle,
            values,
            origin: self.origin.unwrap_or(0.0),
        }
    }

    /// Lets the labels of one triangle count from `shift` below where they did.
    fn shift(triangle: Triangle, values: &mut [f64], shift: f64) {
        let (one, label) = (triangle.side - 2, triangle.side - 1);
        let at_label = |i: usize| triangle.start(i) + label - i;
        let of_one = values[at_label(one)];
        let weight = values[triangle.start(one)];
        values[at_label(label)] += shift * (2.0 * of_one + shift * weight);
        for i in 0..=one {
            values[at_label(i)] += shift * values[triangle.start(i) + one - i];
        }
    }
}

/// The rows `range` of the matrices of all folds.
struct Task<'a> {
    range: Range<usize>,
    places: FoldSums,
    folds: Vec<&'a mut [f64]>,
}

impl Task<'_> {
    fn update(&mut self, rows: Rows<'_>, labels: &[f64], origin: f64, triangle: Triangle) {
        let (one, label) = (triangle.side - 2, triangle.side - 1);
        let first = triangle.start(self.range.start);
        for r in RowSet::TRAINING.of(rows) {
            let Some(place) = self.places.place(rows.fold[r]) else {
                continue;
            };
            let sums = &mut *self.folds[place];
            let (weight, y) = (rows.weight(r), labels[r] - origin);
            let (indices, values) = rows.row(r);
            let from = indices.partition_point(|i| (*i as usize) < self.range.start);
            for a in from..indices.len() {
                let i = indices[a] as usize;
                if i >= self.range.end {
                    break;
                }
                let row = triangle.row(i);
                let row = &mut sums[row.start - first..row.end - first];
                let weighted = weight * f64::from(values[a]);
                let (others, theirs) = (&indices[a..], &values[a..]);
                // Columns that follow each other need no index.
                if others[others.len() - 1] as usize - i == others.len() - 1 {
                    for (sum, value) in row.iter_mut().zip(theirs) {
                        *sum += weighted * f64::from(*value);
                    }
                } else {
                    for (other, value) in others.iter().zip(theirs) {
                        row[*other as usize - i] += weighted * f64::from(*value);
                    }
                }
                row[one - i] += weighted;
                row[label - i] += weighted * y;
            }
            if self.range.end == triangle.side {
                let at = triangle.start(one) - first;
                sums[at] += weight;
                sums[at + 1] += weight * y;
                sums[at + 2] += weight * y * y;
            }
        }
    }
}

/// Ranges of about as many elements each; the rows of 1 and of the label are in the last.
fn ranges(triangle: Triangle) -> Vec<Range<usize>> {
    let share = triangle.len().div_ceil(RANGES);
    let mut ranges = Vec::with_capacity(RANGES);
    let mut from = 0;
    for row in 0..triangle.side - 1 {
        if row + 2 == triangle.side || triangle.start(row + 1) - triangle.start(from) >= share {
            let to = if row + 2 == triangle.side {
                triangle.side
            } else {
                row + 1
            };
            ranges.push(from..to);
            from = to;
        }
    }
    ranges
}

impl Accumulate for Products {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let (rows, labels) = Rows::with_numbers(batch)?;
        let Some(first) = RowSet::TRAINING.of(rows).next() else {
            return Ok(());
        };
        let origin = *self.origin.get_or_insert(labels[first]);
        let folds = self.pass.folds.len();
        let places = self.pass.folds;
        for place in RowSet::TRAINING
            .of(rows)
            .filter_map(|r| places.place(rows.fold[r]))
        {
            self.rows[place] += 1;
        }
        let triangle = self.triangle;
        let mut tasks: Vec<Task<'_>> = ranges(triangle)
            .into_iter()
            .map(|range| Task {
                range,
                places,
                folds: Vec::with_capacity(folds),
            })
            .collect();
        for mut fold in self.sums.chunks_exact_mut(triangle.len()) {
            for task in &mut tasks {
                let length = triangle.start(task.range.end) - triangle.start(task.range.start);
                let (of_range, rest) = fold.split_at_mut(length);
                task.folds.push(of_range);
                fold = rest;
            }
        }
        tasks
            .par_iter_mut()
            .for_each(|task| task.update(rows, labels, origin, triangle));
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let folds = self.pass.folds.len();
        let column = |name: &str| {
            state
                .column_by_name(name)
                .filter(|column| column.len() == folds)
                .ok_or_else(|| broken(format!("no `{name}` of {folds} folds")))
        };
        let rows = column("rows")?
            .as_primitive_opt::<UInt64Type>()
            .ok_or_else(|| broken("`rows` are no counts".to_owned()))?;
        let origin = column("origin")?
            .as_primitive_opt::<Float64Type>()
            .ok_or_else(|| broken("`origin` is no number".to_owned()))?;
        let sums = column("sums")?
            .as_list_opt::<i64>()
            .ok_or_else(|| broken("`sums` are no lists".to_owned()))?;
        if origin.is_null(0) {
            // No row was seen.
            return Ok(());
        }
        let theirs = origin.value(0);
        let mine = *self.origin.get_or_insert(theirs);
        let triangle = self.triangle;
        for (f, fold) in self.sums.chunks_exact_mut(triangle.len()).enumerate() {
            let sums = sums.value(f);
            let sums = sums
                .as_primitive_opt::<Float64Type>()
                .filter(|sums| sums.len() == fold.len())
                .ok_or_else(|| broken("another number of features".to_owned()))?;
            if theirs == mine {
                fold.iter_mut().zip(sums.values()).for_each(|(a, b)| *a += b);
            } else {
                let mut sums = sums.values().to_vec();
                Self::shift(triangle, &mut sums, theirs - mine);
                fold.iter_mut().zip(&sums).for_each(|(a, b)| *a += b);
            }
            self.rows[f] += rows.value(f);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let folds = self.pass.folds.len();
        let sums = Float64Array::from(self.sums.clone());
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(self.triangle.len(), folds));
        let field = Arc::new(Field::new_list_field(sums.data_type().clone(), false));
        let sums = LargeListArray::try_new(field, offsets, Arc::new(sums), None)?;
        Ok(RecordBatch::try_from_iter_with_nullable([
            ("rows", Arc::new(UInt64Array::from(self.rows.clone())) as _, false),
            (
                "origin",
                Arc::new(Float64Array::from(vec![self.origin; folds])) as _,
                true,
            ),
            ("sums", Arc::new(sums) as _, false),
        ])?)
    }

    fn size(&self) -> usize {
        self.sums.len() * size_of::<f64>()
    }
}

fn broken(why: String) -> Error {
    Error::State { pass: KIND, why }
}
