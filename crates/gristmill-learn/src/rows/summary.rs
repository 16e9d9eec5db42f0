//! What training must know of the features before it starts: rows, classes and moments of every fold.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, LargeListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, UInt64Type};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contract::pass::{Accumulate, Grain, Pass};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::rows::features::{self, Rows};
use crate::rows::select::{Fold, FoldSums, RowSet, Split};

/// The kind of the pass's spec.
pub(crate) const KIND: &str = "features summary";

/// Gathers, for each fold of the training split: class counts and weights, and each feature's weighted sum and sum of
/// squares.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SummaryPass {
    /// The folds.
    pub(crate) folds: FoldSums,
    /// Classes; 0 where labels are numbers.
    pub(crate) classes: usize,
    /// Sparse columns.
    pub(crate) features: usize,
}

impl Pass for SummaryPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Summary::new(*self))
    }

    fn grain(&self) -> Grain {
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

/// The sums of one fold.
#[derive(Debug, Clone)]
struct Sums {
    /// Rows by class; of numbers all of them.
    counts: Vec<u64>,
    /// Their weights.
    weights: Vec<f64>,
    /// The weighted sum of numbers, and that of their squares.
    label: [f64; 2],
    /// Sum of the squares of the rows' weights.
    weight_squares: f64,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn add(&mut self, rows: Rows<'_>, numbers: Option<&[f64]>, r: usize) {
        let weight = rows.weight(r);
        let class = match numbers {
            None => rows.labels[r] as usize,
            Some(numbers) => {
                self.label[0] += weight * numbers[r];
                self.label[1] += weight * numbers[r] * numbers[r];
                0
            }
        };
        self.counts[class] += 1;
        self.weights[class] += weight;
        self.weight_squares += weight * weight;
        let (indices, values) = rows.row(r);
        for (index, value) in indices.iter().zip(values) {
            let value = f64::from(*value);
            self.sum[*index as usize] += weight * value;
            self.squares[*index as usize] += weight * value * value;
        }
    }
}

/// The state of a [`SummaryPass`].
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pass: SummaryPass,
    folds: Vec<Sums>,
    /// Rows of the validation split.
    validation: u64,
}

impl Summary {
    fn new(pass: SummaryPass) -> Self {
        let fold = Sums {
            counts: vec![0; pass.classes.max(1)],
            weights: vec![0.0; pass.classes.max(1)],
            label: [0.0; 2],
            weight_squares: 0.0,
            sum: vec![0.0; pass.features],
            squares: vec![0.0; pass.features],
        };
        Self {
            pass,
            folds: vec![fold; pass.folds.len()],
            validation: 0,
        }
    }

    /// Reads a state back.
    pub(crate) fn of(pass: SummaryPass, state: &RecordBatch) -> Result<Self> {
        let mut summary = Self::new(pass);
        summary.merge(state)?;
        Ok(summary)
    }

    /// The training rows outside `held_out`, or all of them.
    ///
    /// The deviation is Spark's: unbiased for weights that tell how reliable a row is, i.e. over the sum of the weights
    /// minus that of their squares divided by it.
    pub(crate) fn subset(&self, held_out: Option<Fold>) -> Subset {
        let mut counts = vec![0_u64; self.pass.classes.max(1)];
        let mut weights = vec![0.0; self.pass.classes.max(1)];
        let mut label = [0.0; 2];
        let mut weight_squares = 0.0;
        let mut sum = vec![0.0; self.pass.features];
        let mut squares = vec![0.0; self.pass.features];
        for (_, fold) in self
            .folds
            .iter()
            .enumerate()
            .filter(|(number, _)| held_out.is_none_or(|fold| fold.number() != *number))
        {
            counts.iter_mut().zip(&fold.counts).for_each(|(a, b)| *a += b);
            weights.iter_mut().zip(&fold.weights).for_each(|(a, b)| *a += b);
            label.iter_mut().zip(&fold.label).for_each(|(a, b)| *a += b);
            weight_squares += fold.weight_squares;
            sum.iter_mut().zip(&fold.sum).for_each(|(a, b)| *a += b);
            squares.iter_mut().zip(&fold.squares).for_each(|(a, b)| *a += b);
        }
        let rows: u64 = counts.iter().sum();
        let weight: f64 = weights.iter().sum();
        // A linear regression has the deviations of the population, as in Spark too.
        let freedom = match self.pass.classes {
            0 => weight,
            _ => weight - weight_squares / weight,
        };
        let deviation = sum
            .iter()
            .zip(&squares)
            .map(|(s, q)| {
                let m2 = q - s * s / weight;
                // A constant column's rounding noise is not a spread; and one row has none.
                if m2 > 1e-12 * q && freedom > 0.0 {
                    (m2 / freedom).sqrt()
                } else {
                    0.0
                }
            })
            .collect();
        Subset {
            rows,
            counts,
            weight,
            weights,
            mean: sum.iter().map(|sum| sum / weight).collect(),
            deviation,
            members: Vec::new(),
            label: (self.pass.classes == 0).then(|| NumberLabel::of(label, weight)),
        }
    }

    /// Rows of the validation split.
    pub(crate) fn validation_rows(&self) -> u64 {
        self.validation
    }

    /// Training rows of one fold.
    pub(crate) fn fold_rows(&self, fold: Fold) -> u64 {
        self.folds[fold.number()].counts.iter().sum()
    }
}

/// A set of training rows, summed up.
#[derive(Debug, Clone)]
pub(crate) struct Subset {
    /// Rows.
    pub(crate) rows: u64,
    /// Rows of each class.
    pub(crate) counts: Vec<u64>,
    /// Sum of the weights.
    pub(crate) weight: f64,
    /// The same of each class.
    pub(crate) weights: Vec<f64>,
    /// Mean of each feature.
    pub(crate) mean: Vec<f64>,
    /// Unbiased standard deviation of each feature; 0 where it is constant.
    pub(crate) deviation: Vec<f64>,
    /// How many columns each feature stands for, their mean then the sum of theirs, and their deviation one's times the
    /// root of that; empty where one each.
    pub(crate) members: Vec<f64>,
    /// What the labels are, if they are numbers.
    pub(crate) label: Option<NumberLabel>,
}

/// Labels that are numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NumberLabel {
    /// Their weighted mean.
    pub(crate) mean: f64,
    /// Their deviation, that of the population: what a penalty is relative to. Where they do not deviate, their size.
    pub(crate) deviation: f64,
}

impl NumberLabel {
    fn of([sum, squares]: [f64; 2], weight: f64) -> Self {
        let (mean, square) = (sum / weight, squares / weight);
        let variance = square - mean * mean;
        let deviation = if variance > 1e-12 * square {
            variance.sqrt()
        } else if mean == 0.0 {
            1.0
        } else {
            mean.abs()
        };
        Self { mean, deviation }
    }
}

impl Subset {
    /// What the square of a feature's coefficient (in the units of the data) counts in the penalty.
    pub(crate) fn penalty_unit(&self, feature: usize, standardization: bool) -> f64 {
        if standardization {
            self.deviation[feature] * self.deviation[feature]
        } else {
            self.members(feature)
        }
    }

    /// What the size of a feature's coefficient (in the units of the data) counts in the penalty.
    pub(crate) fn l1_unit(&self, feature: usize, standardization: bool) -> f64 {
        if standardization {
            self.deviation[feature] * self.members(feature).sqrt()
        } else {
            self.members(feature)
        }
    }

    fn members(&self, feature: usize) -> f64 {
        self.members.get(feature).copied().unwrap_or(1.0)
    }
}

impl Accumulate for Summary {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let (rows, numbers) = match self.pass.classes {
            0 => Rows::with_numbers(batch).map(|(rows, numbers)| (rows, Some(numbers)))?,
            _ => (Rows::of(batch)?, None),
        };
        let folds = self.pass.folds;
        let validation = RowSet::Split(Split::Validation);
        self.validation += validation.of(rows).count() as u64;
        self.folds.par_iter_mut().enumerate().for_each(|(place, fold)| {
            let of_fold = |r: &usize| folds.place(rows.fold[*r]) == Some(place);
            RowSet::TRAINING
                .of(rows)
                .filter(of_fold)
                .for_each(|r| fold.add(rows, numbers, r));
        });
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let column = |name: &str| {
            state
                .column_by_name(name)
                .and_then(|c| c.as_list_opt::<i64>())
                .ok_or_else(|| broken(format!("no list `{name}`")))
        };
        let weight_squares = state
            .column_by_name("weight_squares")
            .and_then(|c| c.as_primitive_opt::<Float64Type>())
            .ok_or_else(|| broken("no `weight_squares`".to_owned()))?;
        // Of the folds that are parts of the pass's results, each counts all of them.
        let validation = state
            .column_by_name("validation")
            .and_then(|c| c.as_primitive_opt::<UInt64Type>())
            .ok_or_else(|| broken("no `validation`".to_owned()))?;
        self.validation += validation.values().first().copied().unwrap_or(0);
        let counts = column("counts")?;
        if state.num_rows() != self.folds.len() {
            return Err(broken(format!(
                "{} folds, not {}",
                state.num_rows(),
                self.folds.len()
            )));
        }
        for (f, fold) in self.folds.iter_mut().enumerate() {
            let c = counts.value(f);
            let c = c
                .as_primitive_opt::<UInt64Type>()
                .filter(|c| c.len() == fold.counts.len())
                .ok_or_else(|| broken("counts".to_owned()))?;
            fold.counts.iter_mut().zip(c.values()).for_each(|(a, b)| *a += b);
            fold.weight_squares += weight_squares.value(f);
            let sums = [
                ("weights", &mut fold.weights[..]),
                ("label", &mut fold.label[..]),
                ("sum", &mut fold.sum[..]),
                ("squares", &mut fold.squares[..]),
            ];
            for (name, mine) in sums {
                let theirs = column(name)?.value(f);
                let theirs = theirs
                    .as_primitive_opt::<Float64Type>()
                    .filter(|theirs| theirs.len() == mine.len())
                    .ok_or_else(|| broken(format!("another number of classes or features in `{name}`")))?;
                mine.iter_mut().zip(theirs.values()).for_each(|(a, b)| *a += b);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let lists = |item: DataType, width: usize, values: ArrayRef| -> Result<ArrayRef> {
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, self.folds.len()));
            let field = Arc::new(Field::new_list_field(item, false));
            Ok(Arc::new(LargeListArray::try_new(field, offsets, values, None)?))
        };
        let floats = |of: fn(&Sums) -> &[f64]| -> ArrayRef {
            let each: Vec<&[f64]> = self.folds.iter().map(of).collect();
            Arc::new(Float64Array::from(each.concat()))
        };
        let counts: Vec<&[u64]> = self.folds.iter().map(|f| f.counts.as_slice()).collect();
        let counts: ArrayRef = Arc::new(UInt64Array::from(counts.concat()));
        Ok(RecordBatch::try_from_iter([
            (
                "counts",
                lists(DataType::UInt64, self.pass.classes.max(1), counts)?,
            ),
            (
                "weights",
                lists(
                    DataType::Float64,
                    self.pass.classes.max(1),
                    floats(|f| &f.weights),
                )?,
            ),
            ("label", lists(DataType::Float64, 2, floats(|f| &f.label))?),
            (
                "validation",
                Arc::new(UInt64Array::from(vec![self.validation; self.folds.len()])),
            ),
            (
                "weight_squares",
                Arc::new(Float64Array::from_iter_values(
                    self.folds.iter().map(|f| f.weight_squares),
                )),
            ),
            (
                "sum",
                lists(DataType::Float64, self.pass.features, floats(|f| &f.sum))?,
            ),
            (
                "squares",
                lists(DataType::Float64, self.pass.features, floats(|f| &f.squares))?,
            ),
        ])?)
    }

    fn size(&self) -> usize {
        self.folds.len() * (self.pass.features * 16 + self.pass.classes * 16 + 8)
    }
}

/// Refuses rows that weigh nothing.
pub(crate) fn weighty(subset: Subset) -> Result<Arc<Subset>> {
    if subset.weight > 0.0 {
        return Ok(Arc::new(subset));
    }
    Err(Error::weightless())
}

fn broken(why: String) -> Error {
    Error::State { pass: KIND, why }
}
