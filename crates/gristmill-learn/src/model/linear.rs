//! A fitted model whose margins are linear in the features: a logistic regression, naive Bayes, a linear regression.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Float64Array};
use serde_json::{Map, Value};

use crate::contract::model::{Model, ModelSpec, ModelTensor};
use crate::contract::step::SparseBlock;
use crate::error::Result;
use crate::rows::Shape;
use crate::rows::features::Rows;
use crate::rows::kernel::Block;
use crate::rows::real::Real;

/// A binomial or multinomial logistic regression over sparse columns `0..features`, or what predicts as one: the log
/// posterior of naive Bayes is linear too, and the margin of a linear regression is its prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearModel {
    kind: LinearKind,
    shape: Shape,
    classes: usize,
    weights: Weights,
}

/// What a model's coefficients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinearKind {
    /// Those of a logistic regression.
    #[default]
    LogisticRegression,
    /// The log probabilities of a multinomial naive Bayes, its intercepts the log priors.
    NaiveBayes,
    /// Those of a linear regression, which has no classes.
    LinearRegression,
}

impl LinearKind {
    /// As the pipeline file and the bundle write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LogisticRegression => "logistic_regression",
            Self::NaiveBayes => "naive_bayes",
            Self::LinearRegression => "linear_regression",
        }
    }
}

impl Model for LinearModel {
    fn kind(&self) -> &'static str {
        self.kind.name()
    }

    fn features(&self) -> usize {
        self.shape.features
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn scores(&self, rows: &SparseBlock) -> Result<Vec<f64>> {
        match self.kind {
            LinearKind::LinearRegression => self.predictions(rows),
            LinearKind::LogisticRegression | LinearKind::NaiveBayes => self.probabilities(rows),
        }
    }

    fn spec(&self) -> ModelSpec {
        let Shape { features, sets } = self.shape;
        let all: ArrayRef = match self.coefficients() {
            Coefficients::F32(c) => Arc::new(Float32Array::from(c)),
            Coefficients::F64(c) => Arc::new(Float64Array::from(c)),
        };
        let split = features * sets;
        let tensor = |values, shape| ModelTensor { values, shape };
        let coefficients = tensor(all.slice(0, split), vec![features, sets]);
        let intercepts = tensor(all.slice(split, sets), vec![sets]);
        ModelSpec {
            kind: self.kind.name().to_owned(),
            classes: self.classes,
            features,
            settings: Map::from_iter([("sets".to_owned(), sets.into())]),
            tensors: BTreeMap::from([
                ("coefficients".to_owned(), coefficients),
                ("intercepts".to_owned(), intercepts),
            ]),
        }
    }

    fn tempered(&self, inverse: f64) -> Option<Arc<dyn Model>> {
        let weights = match &self.weights {
            Weights::F32(weights) => {
                let scaled = weights.iter().map(|w| (f64::from(*w) * inverse) as f32);
                Weights::F32(Arc::new(scaled.collect()))
            }
            Weights::F64(weights) => Weights::F64(Arc::new(weights.iter().map(|w| w * inverse).collect())),
        };
        let is_classifier = self.classes > 0;
        is_classifier.then(|| Arc::new(Self::new(self.shape, self.classes, weights).of_kind(self.kind)) as _)
    }

    fn check(&self) -> Result<(), String> {
        if self.is_bounded() {
            return Ok(());
        }
        Err(format!(
            "a coefficient is not a number of at most {:e}",
            Self::LARGEST_COEFFICIENT
        ))
    }
}

impl dyn Model {
    /// Its coefficients, if it is linear: the loops over the rows of a training take these, and another training may start
    /// from them.
    pub fn linear(&self) -> Option<&LinearModel> {
        (self as &dyn Any).downcast_ref()
    }
}

/// Coefficients, as the kernels lay them out, in the precision they were trained in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Weights {
    F32(Arc<Vec<f32>>),
    F64(Arc<Vec<f64>>),
}

/// Coefficients in plain form, in the precision they were trained in.
#[derive(Debug, Clone, PartialEq)]
pub enum Coefficients {
    /// Single precision: models of more than [`crate::train::F64_ELEMENTS`] coefficients.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

impl LinearModel {
    /// What a coefficient of a bundle is at most: with values of single precision, no margin overflows.
    pub const LARGEST_COEFFICIENT: f64 = 1e250;

    pub(crate) fn new(shape: Shape, classes: usize, weights: Weights) -> Self {
        Self {
            kind: LinearKind::default(),
            shape,
            classes,
            weights,
        }
    }

    /// The linear regression of these coefficients of `features` features, and at last the intercept.
    pub(crate) fn linear(features: usize, weights: Vec<f64>) -> Self {
        let shape = Shape { features, sets: 1 };
        Self::new(shape, 0, Weights::F64(Arc::new(weights))).of_kind(LinearKind::LinearRegression)
    }

    /// The regression that predicts `value` whatever the features are.
    pub fn constant(features: usize, value: f64) -> Self {
        let mut weights = vec![0.0; features + 1];
        weights[features] = value;
        Self::linear(features, weights)
    }

    /// The same coefficients as a model of another kind.
    pub fn of_kind(self, kind: LinearKind) -> Self {
        Self { kind, ..self }
    }

    /// What the coefficients are.
    pub fn linear_kind(&self) -> LinearKind {
        self.kind
    }

    /// From `(features + 1) × sets` coefficients, feature by feature, the intercepts last.
    /// `sets` is 1 (binomial: class 1 against class 0; or a regression, which has 0 classes) or the number of classes.
    /// `None` when the lengths or the kind do not fit.
    pub fn from_coefficients(
        kind: LinearKind,
        features: usize,
        sets: usize,
        classes: usize,
        coefficients: &Coefficients,
    ) -> Option<Self> {
        let expected = features.checked_add(1)?.checked_mul(sets)?;
        match coefficients {
            Coefficients::F32(c) if c.len() == expected => {
                let (c, intercepts) = c.split_at(features * sets);
                Self::of_parts(
                    kind,
                    Shape { features, sets },
                    classes,
                    c,
                    intercepts,
                    Weights::F32,
                )
            }
            Coefficients::F64(c) if c.len() == expected => {
                let (c, intercepts) = c.split_at(features * sets);
                Self::of_parts(
                    kind,
                    Shape { features, sets },
                    classes,
                    c,
                    intercepts,
                    Weights::F64,
                )
            }
            Coefficients::F32(_) | Coefficients::F64(_) => None,
        }
    }

    /// From coefficients and intercepts, as [`LinearModel::from_coefficients`].
    fn of_parts<F: Real>(
        kind: LinearKind,
        shape: Shape,
        classes: usize,
        coefficients: &[F],
        intercepts: &[F],
        wrap: fn(Arc<Vec<F>>) -> Weights,
    ) -> Option<Self> {
        let Shape { features, sets } = shape;
        let fits = match kind {
            LinearKind::LinearRegression => sets == 1 && classes == 0,
            LinearKind::LogisticRegression | LinearKind::NaiveBayes => {
                classes >= 2 && (sets == classes || sets == 1 && classes == 2)
            }
        };
        if !fits || coefficients.len() != features.checked_mul(sets)? || intercepts.len() != sets {
            return None;
        }
        let mut weights = vec![F::default(); shape.len()];
        let plain = coefficients.chunks_exact(sets).chain([intercepts]);
        for (to, from) in weights.chunks_exact_mut(shape.stride()).zip(plain) {
            to[..sets].copy_from_slice(from);
        }
        Some(Self::new(shape, classes, wrap(Arc::new(weights))).of_kind(kind))
    }

    /// The model that [`Model::spec`] described.
    ///
    /// # Errors
    /// `Spec` when it describes none.
    pub(crate) fn from_spec(kind: LinearKind, spec: &ModelSpec) -> Result<Self> {
        let sets = spec.settings.get("sets").and_then(Value::as_u64);
        let sets = sets.and_then(|sets| usize::try_from(sets).ok());
        let shape = Shape {
            features: spec.features,
            sets: sets.ok_or_else(|| spec.bad("it does not say how many sets of coefficients it has"))?,
        };
        let (c, i) = ("coefficients", "intercepts");
        if spec.values(c)?.data_type() != spec.values(i)?.data_type() {
            return Err(spec.bad("coefficients and intercepts have different types"));
        }
        let single = (spec.tensor::<Float32Array>(c)?, spec.tensor::<Float32Array>(i)?);
        let double = (spec.tensor::<Float64Array>(c)?, spec.tensor::<Float64Array>(i)?);
        let model = match (single, double) {
            ((Some(c), Some(i)), _) => {
                Self::of_parts(kind, shape, spec.classes, c.values(), i.values(), Weights::F32)
            }
            (_, (Some(c), Some(i))) => {
                Self::of_parts(kind, shape, spec.classes, c.values(), i.values(), Weights::F64)
            }
            _ => {
                return Err(spec.bad(format!("coefficients of type {}", spec.values(c)?.data_type())));
            }
        };
        model.ok_or_else(|| spec.bad("the coefficients do not have the shape that the header states"))
    }

    /// The coefficients: `(features + 1) × sets`, feature by feature, the intercepts last.
    pub fn coefficients(&self) -> Coefficients {
        fn strip<F: Real>(weights: &[F], shape: Shape) -> Vec<F> {
            weights
                .chunks_exact(shape.stride())
                .flat_map(|row| &row[..shape.sets])
                .copied()
                .collect()
        }
        match &self.weights {
            Weights::F32(w) => Coefficients::F32(strip(w, self.shape)),
            Weights::F64(w) => Coefficients::F64(strip(w, self.shape)),
        }
    }

    /// Sets of coefficients: 1 for the binomial family, else the classes.
    pub fn sets(&self) -> usize {
        self.shape.sets
    }

    /// Whether every coefficient is a number of at most [`LinearModel::LARGEST_COEFFICIENT`].
    fn is_bounded(&self) -> bool {
        match &self.weights {
            Weights::F32(w) => w.iter().all(|w| w.is_finite()),
            Weights::F64(w) => w.iter().all(|w| w.abs() <= Self::LARGEST_COEFFICIENT),
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The probability of every class for every row: rows × classes.
    ///
    /// # Errors
    /// When an index of the rows is not below [`LinearModel::features`].
    pub fn probabilities(&self, rows: &SparseBlock) -> Result<Vec<f64>> {
        self.check_rows(rows)?;
        Ok(match &self.weights {
            Weights::F32(w) => self.each_block(rows, w, Block::probabilities, Self::softmax, Self::expand),
            Weights::F64(w) => self.each_block(rows, w, Block::probabilities, Self::softmax, Self::expand),
        })
    }

    /// What a regression predicts for every row.
    ///
    /// # Errors
    /// As [`LinearModel::probabilities`].
    pub fn predictions(&self, rows: &SparseBlock) -> Result<Vec<f64>> {
        self.check_rows(rows)?;
        Ok(match &self.weights {
            Weights::F32(w) => self.each_block(
                rows,
                w,
                Block::margins,
                |m| m,
                |_, m, out| out.push(m[0].to_f64()),
            ),
            Weights::F64(w) => self.each_block(rows, w, Block::margins, |m| m, |_, m, out| out.push(m[0])),
        })
    }

    fn check_rows(&self, rows: &SparseBlock) -> Result<()> {
        if let Some(index) = rows.indices.iter().find(|i| **i as usize >= self.shape.features) {
            return Err(crate::Error::State {
                pass: "prediction",
                why: format!("feature {index}, but the model has {}", self.shape.features),
            });
        }
        Ok(())
    }

    /// What `values` computes for every row, as `take` makes numbers of it. A row whose values overflow is computed once
    /// more in double precision, from its margins by `of_margins`.
    fn each_block<F: Real>(
        &self,
        block: &SparseBlock,
        weights: &[F],
        values: impl Fn(&mut Block<F>, Rows<'_>, &[F], Shape),
        of_margins: impl Fn(Vec<f64>) -> Vec<f64>,
        take: impl Fn(&Self, &[F], &mut Vec<f64>),
    ) -> Vec<f64> {
        let offsets: Vec<i32> = block.offsets.iter().map(|o| *o as i32).collect();
        let zeros = vec![0; block.rows()];
        let rows = Rows {
            labels: &[],
            offsets: &offsets,
            indices: &block.indices,
            values: &block.values,
            split: &zeros,
            fold: &zeros,
            weights: None,
        };
        let mut out = Vec::with_capacity(block.rows() * self.classes.max(1));
        let mut scratch = Block::new();
        let mut from = 0;
        while from < rows.len() {
            let to = (from + Block::<F>::rows(self.shape)).min(rows.len());
            scratch.select(from..to, |_| true);
            values(&mut scratch, rows, weights, self.shape);
            for (r, row) in (from..to).zip(scratch.values().chunks_exact(self.shape.stride())) {
                if row[..self.shape.sets]
                    .iter()
                    .all(|value| value.to_f64().is_finite())
                {
                    take(self, row, &mut out);
                } else {
                    out.extend(of_margins(self.margins(rows.row(r), weights)));
                }
            }
            from = to;
        }
        out
    }

    /// The margins of one row in double precision, in which those of a bounded model are finite.
    fn margins<F: Real>(&self, (indices, values): (&[u32], &[f32]), weights: &[F]) -> Vec<f64> {
        let row = |number: usize| weights[number * self.shape.stride()..][..self.shape.sets].iter();
        let mut margins: Vec<f64> = row(self.shape.features).map(|w| w.to_f64()).collect();
        for (index, value) in indices.iter().zip(values) {
            for (margin, weight) in margins.iter_mut().zip(row(*index as usize)) {
                *margin += weight.to_f64() * f64::from(*value);
            }
        }
        margins
    }

    /// The probability of every class, from the margins of one row.
    fn softmax(margins: Vec<f64>) -> Vec<f64> {
        let margins = match margins[..] {
            [second] => vec![0.0, second],
            _ => margins,
        };
        let largest = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = margins.iter().map(|m| (m - largest).exp_of_negative()).collect();
        let sum: f64 = shares.iter().sum();
        shares.into_iter().map(|share| share / sum).collect()
    }

    /// The probability of every class from those that the kernel gives.
    fn expand<F: Real>(&self, p: &[F], out: &mut Vec<f64>) {
        if self.shape.sets == 1 {
            out.extend([1.0 - p[0].to_f64(), p[0].to_f64()]);
        } else {
            // In single precision they sum to 1 up to its rounding only.
            let sum: f64 = p[..self.classes].iter().map(|p| p.to_f64()).sum();
            out.extend(p[..self.classes].iter().map(|p| p.to_f64() / sum));
        }
    }
}
