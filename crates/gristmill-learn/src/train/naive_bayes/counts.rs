//! The sums that naive Bayes is made of: each feature's by fold and class, of the training rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, LargeListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Float64Type, Schema, UInt64Type};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contract::pass::{Accumulate, Grain, Pass};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::rows::features::{self, Rows};
use crate::rows::real::Real;
use crate::rows::{Fold, FoldSums, RowSet, Shape};
use crate::statistics::logarithm::ln;

/// The kind of the pass's spec.
pub(crate) const KIND: &str = "naive Bayes counts";

/// Sums the features of the training rows by fold and class.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct CountsPass {
    /// The folds.
    pub(crate) folds: FoldSums,
    /// Features × classes; the last row holds the weights of the classes' rows.
    pub(crate) shape: Shape,
}

impl Pass for CountsPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Counts::new(*self))
    }

    fn grain(&self) -> Grain {
        // The sums of a fold are as large as the model: too many for every grain of rows.
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

/// The sums of some rows.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    /// Rows of each class.
    pub(crate) rows: Vec<u64>,
    /// As a coefficient matrix of the pass's shape.
    sums: Vec<f64>,
}

/// The state of a [`CountsPass`].
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pass: CountsPass,
    folds: Vec<Sums>,
}

impl Sums {
    fn new(shape: Shape) -> Self {
        Self {
            rows: vec![0; shape.sets],
            sums: vec![0.0; shape.len()],
        }
    }

    fn add(&mut self, other: &Self) {
        self.rows.iter_mut().zip(&other.rows).for_each(|(a, b)| *a += b);
        self.sums.iter_mut().zip(&other.sums).for_each(|(a, b)| *a += b);
    }

    /// Log probabilities of the features in each class, and the log priors last.
    pub(crate) fn weights<F: Real>(&self, smoothing: f64, shape: Shape) -> Vec<F> {
        let Shape { features, sets } = shape;
        let stride = shape.stride();
        let (of_features, of_rows) = self.sums.split_at(features * stride);
        let mut totals = vec![smoothing * features as f64; sets];
        for row in of_features.chunks_exact(stride) {
            totals.iter_mut().zip(row).for_each(|(total, sum)| *total += sum);
        }
        totals.iter_mut().for_each(|total| *total = ln(*total));
        let of_rows = &of_rows[..sets];
        let prior = ln(of_rows.iter().sum::<f64>() + smoothing * sets as f64);
        let mut weights = vec![F::default(); shape.len()];
        let (to_features, to_rows) = weights.split_at_mut(features * stride);
        to_features
            .par_chunks_mut(stride)
            .zip(of_features.par_chunks(stride))
            .for_each(|(to, row)| {
                for ((to, sum), total) in to.iter_mut().zip(row).zip(&totals) {
                    *to = F::from_f64(ln(sum + smoothing) - total);
                }
            });
        for (to, weight) in to_rows.iter_mut().zip(of_rows) {
            *to = F::from_f64(ln(weight + smoothing) - prior);
        }
        weights
    }
}

impl Counts {
    fn new(pass: CountsPass) -> Self {
        Self {
            pass,
            folds: vec![Sums::new(pass.shape); pass.folds.len()],
        }
    }

    /// Reads a state back.
    pub(crate) fn of(pass: CountsPass, state: &RecordBatch) -> Result<Self> {
        let mut counts = Self::new(pass);
        counts.merge(state)?;
        Ok(counts)
    }

    /// Refuses folds without rows, and rows that weigh nothing.
    pub(crate) fn checked(self) -> Result<Self> {
        let weight = |held_out: Option<Fold>| -> f64 {
            let at = self.pass.shape.features * self.pass.shape.stride();
            self.without(held_out).sums[at..].iter().sum()
        };
        let rows = |fold: &Sums| fold.rows.iter().sum::<u64>();
        if self.folds.iter().all(|fold| rows(fold) == 0) {
            return Err(Error::empty_training());
        }
        if let Some(fold) = self.folds.iter().position(|fold| rows(fold) == 0) {
            return Err(Error::empty_fold(fold, self.folds.len()));
        }
        let mut held_out = self.pass.folds.held_out().map(Some).chain([None]);
        if held_out.any(|held_out| weight(held_out) <= 0.0) {
            return Err(Error::weightless());
        }
        Ok(self)
    }

    /// The sums over all folds but one, or over all.
    pub(crate) fn without(&self, held_out: Option<Fold>) -> Sums {
        let mut sums = Sums::new(self.pass.shape);
        let folds = self.folds.iter().enumerate();
        folds
            .filter(|(number, _)| held_out.is_none_or(|fold| fold.number() != *number))
            .for_each(|(_, fold)| sums.add(fold));
        sums
    }
}

impl Accumulate for Counts {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch)?;
        let shape = self.pass.shape;
        let stride = shape.stride();
        // Before any is added, so that each part of the folds refuses alike.
        for r in RowSet::TRAINING.of(rows) {
            let (indices, values) = rows.row(r);
            if let Some((index, value)) = indices.iter().zip(values).find(|(_, value)| **value < 0.0) {
                return Err(Error::NegativeFeature {
                    feature: format!("number {index}"),
                    index: *index,
                    value: *value,
                });
            }
        }
        let folds = self.pass.folds;
        self.folds.par_iter_mut().enumerate().for_each(|(place, fold)| {
            let of_fold = |r: &usize| folds.place(rows.fold[*r]) == Some(place);
            for r in RowSet::TRAINING.of(rows).filter(of_fold) {
                let (class, weight) = (rows.labels[r] as usize, rows.weight(r));
                fold.rows[class] += 1;
                fold.sums[shape.features * stride + class] += weight;
                let (indices, values) = rows.row(r);
                for (index, value) in indices.iter().zip(values) {
                    fold.sums[*index as usize * stride + class] += weight * f64::from(*value);
                }
            }
        });
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        if state.num_rows() != self.folds.len() {
            return Err(broken(format!(
                "{} folds, not {}",
                state.num_rows(),
                self.folds.len()
            )));
        }
        let column = |name: &str| {
            state
                .column_by_name(name)
                .and_then(|c| c.as_list_opt::<i64>())
                .ok_or_else(|| broken(format!("no list `{name}`")))
        };
        let (rows, sums) = (column("rows")?, column("sums")?);
        for (f, fold) in self.folds.iter_mut().enumerate() {
            let (rows, sums) = (rows.value(f), sums.value(f));
            let (Some(rows), Some(sums)) = (
                rows.as_primitive_opt::<UInt64Type>(),
                sums.as_primitive_opt::<Float64Type>(),
            ) else {
                return Err(broken("not lists of numbers".to_owned()));
            };
            if rows.len() != fold.rows.len() || sums.len() != fold.sums.len() {
                return Err(broken("another number of classes or features".to_owned()));
            }
            fold.rows.iter_mut().zip(rows.values()).for_each(|(a, b)| *a += b);
            fold.sums.iter_mut().zip(sums.values()).for_each(|(a, b)| *a += b);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let lists = |width: usize, values: ArrayRef| -> Result<ArrayRef> {
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, self.folds.len()));
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
            Ok(Arc::new(LargeListArray::try_new(field, offsets, values, None)?))
        };
        let rows: Vec<&[u64]> = self.folds.iter().map(|f| f.rows.as_slice()).collect();
        let sums: Vec<&[f64]> = self.folds.iter().map(|f| f.sums.as_slice()).collect();
        // In one piece: a vector that grows is held twice.
        let (rows, sums) = (
            UInt64Array::from(rows.concat()),
            Float64Array::from(sums.concat()),
        );
        Ok(RecordBatch::try_from_iter([
            ("rows", lists(self.pass.shape.sets, Arc::new(rows))?),
            ("sums", lists(self.pass.shape.len(), Arc::new(sums))?),
        ])?)
    }

    fn size(&self) -> usize {
        self.folds.len() * (self.pass.shape.len() + self.pass.shape.sets) * size_of::<f64>()
    }
}

fn broken(why: String) -> Error {
    Error::State { pass: KIND, why }
}
