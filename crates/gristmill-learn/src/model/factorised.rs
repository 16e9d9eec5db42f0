//! A fitted factorised softmax.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array};
use serde_json::{Map, Value};

use crate::contract::model::{Model, ModelSpec, ModelTensor};
use crate::contract::step::SparseBlock;
use crate::error::{Error, Result};
use crate::rows::PAD;
use crate::rows::factors::{Dimensions, Factors, KIND, Room};
use crate::rows::features::Rows;
use crate::rows::kernel::softmax;

/// The names of its tensors.
const VECTORS: &str = "vectors";
const OUTPUT: &str = "output";
const INTERCEPTS: &str = "intercepts";

/// Rows that are predicted at a time.
const BLOCK_ROWS: usize = 1024;

/// A multinomial logistic regression whose coefficients are the product of a vector a feature and a vector a class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FactorisedModel {
    factors: Factors,
}

impl FactorisedModel {
    /// The largest dimension.
    pub(crate) const MOST_DIMENSIONS: u64 = 1024;

    pub(crate) fn new(factors: Factors) -> Self {
        Self { factors }
    }

    /// The model that [`Model::spec`] described.
    ///
    /// # Errors
    /// `Spec` when it describes none.
    pub(crate) fn from_spec(spec: &ModelSpec) -> Result<Self> {
        let hidden = spec.settings.get("dimension").and_then(Value::as_u64);
        let hidden = hidden.filter(|hidden| (1..=Self::MOST_DIMENSIONS).contains(hidden));
        let dimensions = Dimensions {
            features: spec.features,
            classes: spec.classes,
            hidden: hidden.ok_or_else(|| spec.bad("it does not say its dimension"))? as usize,
        };
        let Dimensions {
            features,
            classes,
            hidden,
        } = dimensions;
        if classes < 2 {
            return Err(spec.bad("it has fewer than two classes"));
        }
        // Its sizes are those of what is there before anything is computed from them.
        let tensor = |name: &str, rows: usize, width: usize| -> Result<Vec<f32>> {
            let values: Option<&Float32Array> = spec.tensor(name)?;
            let values = values.filter(|values| Some(values.len()) == rows.checked_mul(width));
            let values = values.ok_or_else(|| {
                spec.bad(format!(
                    "`{name}` does not hold {rows} × {width} numbers of single precision"
                ))
            })?;
            let stride = width.next_multiple_of(PAD);
            let mut padded = vec![0.0; rows * stride];
            for (to, from) in padded
                .chunks_exact_mut(stride)
                .zip(values.values().chunks_exact(width))
            {
                to[..width].copy_from_slice(from);
            }
            Ok(padded)
        };
        let intercepts = tensor(INTERCEPTS, 1, classes)?;
        let mut output = tensor(OUTPUT, hidden, classes)?;
        output.resize(dimensions.output(), 0.0);
        Ok(Self::new(Factors {
            vectors: tensor(VECTORS, features, hidden)?,
            output,
            intercepts,
            dimensions,
        }))
    }

    /// The probability of every class for the rows `chosen`, by [`Dimensions::class_stride`], in `room`.
    pub(crate) fn probabilities(&self, rows: Rows<'_>, chosen: &[u32], room: &mut Room) {
        let classes = self.factors.dimensions.classes;
        self.factors.forward(
            rows,
            chosen,
            room,
            #[inline(always)]
            |margins, _, _| {
                softmax(margins, classes);
            },
        );
    }

    /// The probabilities of one row, computed in double precision: where single precision overflows.
    fn in_double_precision(&self, (indices, values): (&[u32], &[f32])) -> Vec<f64> {
        let Dimensions { classes, .. } = self.factors.dimensions;
        let (hidden_stride, class_stride) = (
            self.factors.dimensions.hidden_stride(),
            self.factors.dimensions.class_stride(),
        );
        let mut hidden = vec![0.0_f64; hidden_stride];
        for (index, value) in indices.iter().zip(values) {
            let vector = &self.factors.vectors[*index as usize * hidden_stride..][..hidden_stride];
            for (h, v) in hidden.iter_mut().zip(vector) {
                *h += f64::from(*v) * f64::from(*value);
            }
        }
        let mut margins: Vec<f64> = self.factors.intercepts.iter().map(|b| f64::from(*b)).collect();
        for (h, weights) in hidden.iter().zip(self.factors.output.chunks_exact(class_stride)) {
            for (margin, weight) in margins.iter_mut().zip(weights) {
                *margin += h * f64::from(*weight);
            }
        }
        softmax(&mut margins, classes);
        margins
    }
}

impl Model for FactorisedModel {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn features(&self) -> usize {
        self.factors.dimensions.features
    }

    fn classes(&self) -> usize {
        self.factors.dimensions.classes
    }

    fn scores(&self, block: &SparseBlock) -> Result<Vec<f64>> {
        let Dimensions {
            features, classes, ..
        } = self.factors.dimensions;
        if let Some(index) = block.indices.iter().find(|index| **index as usize >= features) {
            return Err(Error::State {
                pass: "prediction",
                why: format!("feature {index}, but the model has {features}"),
            });
        }
        let offsets: Vec<i32> = block.offsets.iter().map(|offset| *offset as i32).collect();
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
        let all: Vec<u32> = (0..block.rows() as u32).collect();
        let mut scores = Vec::with_capacity(all.len() * classes);
        let mut room = Room::default();
        for chosen in all.chunks(BLOCK_ROWS) {
            self.probabilities(rows, chosen, &mut room);
            let probabilities = room.margins.chunks_exact(self.factors.dimensions.class_stride());
            for (r, p) in chosen.iter().zip(probabilities) {
                let p = &p[..classes];
                if p.iter().all(|p| p.is_finite()) {
                    // In single precision they sum to 1 up to its rounding only.
                    let sum: f64 = p.iter().map(|p| f64::from(*p)).sum();
                    scores.extend(p.iter().map(|p| f64::from(*p) / sum));
                } else {
                    scores.extend_from_slice(&self.in_double_precision(rows.row(*r as usize))[..classes]);
                }
            }
        }
        Ok(scores)
    }

    fn spec(&self) -> ModelSpec {
        let Dimensions {
            features,
            classes,
            hidden,
        } = self.factors.dimensions;
        let plain = |padded: &[f32], rows: usize, width: usize, stride: usize| {
            let rows_of = padded.chunks_exact(stride).take(rows);
            let values: Vec<f32> = rows_of.flat_map(|row| &row[..width]).copied().collect();
            ModelTensor {
                values: Arc::new(Float32Array::from(values)) as ArrayRef,
                shape: vec![rows, width],
            }
        };
        let (hidden_stride, class_stride) = (
            self.factors.dimensions.hidden_stride(),
            self.factors.dimensions.class_stride(),
        );
        ModelSpec {
            kind: KIND.to_owned(),
            classes,
            features,
            settings: Map::from_iter([("dimension".to_owned(), hidden.into())]),
            tensors: BTreeMap::from([
                (
                    VECTORS.to_owned(),
                    plain(&self.factors.vectors, features, hidden, hidden_stride),
                ),
                (
                    OUTPUT.to_owned(),
                    plain(&self.factors.output, hidden, classes, class_stride),
                ),
                (
                    INTERCEPTS.to_owned(),
                    plain(&self.factors.intercepts, 1, classes, class_stride),
                ),
            ]),
        }
    }

    fn tempered(&self, inverse: f64) -> Option<Arc<dyn Model>> {
        let mut factors = self.factors.clone();
        for parameter in factors.output.iter_mut().chain(&mut factors.intercepts) {
            *parameter = (f64::from(*parameter) * inverse) as f32;
        }
        Some(Arc::new(Self::new(factors)))
    }

    fn check(&self) -> Result<(), String> {
        let parameters = [
            &self.factors.vectors,
            &self.factors.output,
            &self.factors.intercepts,
        ];
        if parameters
            .into_iter()
            .flatten()
            .all(|parameter| parameter.is_finite())
        {
            return Ok(());
        }
        Err("a parameter is not a number".to_owned())
    }
}
