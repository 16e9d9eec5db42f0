//! Numbers by the interval that they lie in, as scikit-learn's `KBinsDiscretizer` and Spark ML's `Bucketizer`.

use arrow::array::{Float64Array, RecordBatch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::contract::encoder::{Encoder, EncoderKind, Estimator, Feature, FittedTo, Input};
use crate::contract::pass::Pass;
use crate::contract::reads::Reads;
use crate::contract::spec::read_settings;
use crate::contract::step::{SparseBlock, StepSpec};
use crate::error::Result;
use crate::settings::{Key, Preset, Values};
use crate::statistics::column::numbers;
use crate::statistics::{Quantiles, Sorted};

const KIND: &str = "bucket";

/// `encode = "bucket"`.
pub(super) struct Bucket;

impl EncoderKind for Bucket {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A number becomes 1 in the 0/1 column of the interval that it lies in: from a bound on, and below the next one; the first\n\
         and the last interval have no end. Null and NaN have a column of their own. The bounds are quantiles of the training rows, as\n\
         those of scikit-learn's `KBinsDiscretizer` (interpolated linearly; equal ones once; of more than 65,536 different values within\n\
         0.013 %), or given, as those of Spark ML's `Bucketizer`. Reads what `numeric` reads."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: "quantiles",
                values: Values::Integer {
                    least: 2,
                    most: MOST as u64,
                },
                default: Preset::Integer(10),
                doc: "So many intervals, each with about as many training rows.",
            },
            Key {
                name: "bounds",
                values: Values::Increasing,
                default: Preset::Nothing,
                doc: "The bounds between the intervals, `[18, 65]`, instead of quantiles.",
            },
        ]
    }

    fn feature(&self, settings: Value) -> Result<Feature> {
        read_settings::<BucketSettings>(KIND, settings).map(Feature::new)
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(BucketEncoder::from_spec(spec)?))
    }
}

/// Intervals at most, where quantiles make them.
const MOST: u32 = 10_000;

/// Settings of `encode = "bucket"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BucketSettings {
    /// The column: any integer, float, decimal, boolean, date or timestamp.
    pub column: String,
    /// Intervals of about as many training rows. Default 10.
    pub quantiles: u32,
    /// The bounds between the intervals, increasing. Default: quantiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Vec<f64>>,
}

/// A number becomes 1 in the column of its interval, or in the last one where it is missing.
#[derive(Debug, Clone)]
pub struct BucketEncoder {
    column: String,
    /// Where each interval but the first begins.
    bounds: Vec<f64>,
}

impl Estimator for BucketSettings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> &[String] {
        std::slice::from_ref(&self.column)
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn reads(&self) -> Reads {
        Reads::Number
    }

    fn pass(&self) -> Box<dyn Pass> {
        match self.bounds {
            // Given bounds need no values: the sketch is coarse from the first one on, and small.
            Some(_) => Box::new(Quantiles::exact_up_to(&self.column, 0).of_step(KIND)),
            None => Box::new(Quantiles::new(&self.column).of_step(KIND)),
        }
    }

    fn fitted(&self, state: &RecordBatch, _to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let sorted = Sorted::from_state(state)?;
        let bounds = match &self.bounds {
            Some(bounds) => bounds.clone(),
            None if sorted.rows() == 0 => Vec::new(),
            None => {
                let quantile = |n: u32| sorted.quantile(f64::from(n) / f64::from(self.quantiles), |x| x);
                let least = quantile(0);
                let mut bounds: Vec<f64> = (1..self.quantiles).map(quantile).collect();
                bounds.dedup();
                // Nothing lies below the smallest value.
                bounds.retain(|bound| *bound > least);
                bounds
            }
        };
        Ok(Box::new(BucketEncoder {
            column: self.column.clone(),
            bounds,
        }))
    }
}

impl BucketEncoder {
    fn from_spec(spec: &StepSpec) -> Result<Self> {
        #[derive(Deserialize)]
        struct Small {
            column: String,
        }
        let Small { column } = spec.settings()?;
        let bounds = spec.array::<Float64Array>("bounds")?.values().to_vec();
        let increasing = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        if !increasing
            || bounds.iter().any(|bound| !bound.is_finite())
            || bounds.len() > u32::MAX as usize - 2
        {
            return Err(spec.bad("`bounds` does not hold increasing finite numbers"));
        }
        Ok(Self { column, bounds })
    }
}

impl Encoder for BucketEncoder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!({"column": self.column}))
            .with("bounds", Float64Array::from(self.bounds.clone()))
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input {
            column: &self.column,
            reads: Reads::Number,
        }]
    }

    fn width(&self) -> u32 {
        self.bounds.len() as u32 + 2
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.column.capacity() + self.bounds.len() * size_of::<f64>()
    }

    fn name(&self, index: u32) -> String {
        let (column, index) = (&self.column, index as usize);
        let below = index.checked_sub(1).and_then(|before| self.bounds.get(before));
        match (below, self.bounds.get(index)) {
            _ if index > self.bounds.len() => format!("{column} (missing)"),
            (None, None) => format!("{column} (any)"),
            (None, Some(high)) => format!("{column}<{high}"),
            (Some(low), None) => format!("{column}>={low}"),
            (Some(low), Some(high)) => format!("{low}<={column}<{high}"),
        }
    }

    fn meaning(&self) -> Value {
        json!({"column": self.column})
    }

    fn uninformative(&self) -> Option<&'static str> {
        self.bounds
            .is_empty()
            .then_some("all training rows have the same number in it, or none at all")
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        let values = numbers(batch, &self.column, KIND)?;
        let mut block = SparseBlock::with_capacity(values.len());
        for value in &values {
            let index = match value {
                Some(value) => self.bounds.partition_point(|bound| *bound <= value),
                None => self.bounds.len() + 1,
            };
            block.push(index as u32, 1.0);
            block.end_row();
        }
        Ok(block)
    }
}
