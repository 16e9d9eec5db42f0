//! Numbers: missing ones imputed, then standardised, as Spark ML's `Imputer` and `StandardScaler` with centring.

use arrow::array::{Float64Array, RecordBatch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::contract::encoder::{Encoder, EncoderKind, Estimator, Feature, FittedTo, Input, Negative};
use crate::contract::pass::Pass;
use crate::contract::reads::Reads;
use crate::contract::spec::read_settings;
use crate::contract::step::{SparseBlock, StepSpec};
use crate::error::{Error, Result};
use crate::settings::{Key, Preset, Scale, Values};
use crate::statistics::column::numbers;
use crate::statistics::{Many, Moments, MomentsState, Quantiles};

const KIND: &str = "numeric";

/// The relative rounding of a value of the features, which is a single-precision number.
const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;
/// Values that are not scaled may be rounded by so much of their standard deviation. Scaled ones are by 2^-24.
const COARSEST: f64 = 1.0 / 4096.0;

/// `encode = "numeric"`.
pub(super) struct Numeric;

impl EncoderKind for Numeric {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A number is imputed, then scaled: Spark ML's `Imputer` and `StandardScaler` with centring. Reads integers, floats,\n\
         decimals, booleans, dates and timestamps."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: "impute",
                values: Values::WordOrNumber(&["mean", "median"]),
                default: Preset::Word("mean"),
                doc: "What stands for null and NaN: a statistic of the training rows, or this number.",
            },
            Key {
                name: "scale",
                values: Scale::WORDS,
                default: Preset::Word("standard"),
                doc: "Minus the mean, over the standard deviation (0 for a constant column); or as it is.",
            },
        ]
    }

    fn feature(&self, mut settings: Value) -> Result<Feature> {
        if let Some(impute) = settings.get_mut("impute").filter(|impute| impute.is_number()) {
            *impute = json!({"constant": impute});
        }
        read_settings::<NumericSettings>(KIND, settings).map(Feature::new)
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(NumericEncoder::from_spec(spec)?))
    }
}

/// Settings of `encode = "numeric"`: Spark ML's `Imputer`, then `StandardScaler` with centring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumericSettings {
    /// The column: any integer, float, decimal, boolean, date or timestamp.
    pub column: String,
    /// What stands for null and NaN. Default `mean`.
    pub impute: Impute,
    /// Scaling. Default `standard`: minus the mean, over the (unbiased) standard deviation; 0 for a constant column.
    pub scale: Scale,
}

/// What stands for a missing number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impute {
    /// The mean of the training rows.
    Mean,
    /// Their median (the lower one of two).
    Median,
    /// This number.
    Constant(f64),
}

/// A number becomes one column, `(x - mean) / std`; null and NaN are `fill` first.
#[derive(Debug, Clone)]
pub struct NumericEncoder {
    column: String,
    fill: f64,
    mean: f64,
    /// 0 makes every value 0.
    std: f64,
}

impl Estimator for NumericSettings {
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

    fn negative(&self) -> Option<Negative> {
        (self.scale == Scale::Standard).then_some(Negative {
            setting: "scale = \"standard\"",
            effect: "scaled to mean 0",
            instead: "scale = \"none\"",
        })
    }

    fn pass(&self) -> Box<dyn Pass> {
        let mut passes: Vec<Box<dyn Pass>> = vec![Box::new(Moments::new(&self.column))];
        if self.impute == Impute::Median {
            passes.push(Box::new(Quantiles::new(&self.column)));
        }
        Box::new(Many::new(passes))
    }

    fn fitted(&self, state: &RecordBatch, _to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let states = Many::states(state)?;
        let part = |number: usize| {
            states.get(number).ok_or_else(|| Error::State {
                pass: KIND,
                why: format!("it holds {} states", states.len()),
            })
        };
        let moments = MomentsState::from_state(part(0)?)?;
        let fill = match self.impute {
            Impute::Constant(constant) => Some(constant),
            Impute::Mean => (moments.count > 0).then_some(moments.mean),
            Impute::Median => Quantiles::median(part(1)?)?,
        };
        let (mean, deviation) = (moments.mean, moments.std());
        // The deviation of equal values is what rounding leaves of it.
        let differ = deviation > mean.abs() * 1e-15;
        if self.scale == Scale::None && differ && mean.abs() * ROUNDING > deviation * COARSEST {
            return Err(Error::Precision {
                column: self.column.clone(),
                mean,
                deviation,
            });
        }
        let (fill, mean, std) = match (fill, self.scale) {
            (Some(fill), Scale::Standard) => {
                let all = moments.imputed(fill);
                (fill, all.mean, all.std())
            }
            (Some(fill), Scale::None) => (fill, 0.0, 1.0),
            // A column that is null tonight should not end the run of every night.
            (None, _) => (0.0, 0.0, 0.0),
        };
        Ok(Box::new(NumericEncoder {
            column: self.column.clone(),
            fill,
            mean,
            std,
        }))
    }
}

impl NumericEncoder {
    fn from_spec(spec: &StepSpec) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Small {
            column: String,
        }
        let Small { column } = spec.settings()?;
        match &spec.array::<Float64Array>("fill_mean_std")?.values()[..] {
            &[fill, mean, std] if fill.is_finite() && mean.is_finite() && std.is_finite() => Ok(Self {
                column,
                fill,
                mean,
                std,
            }),
            _ => Err(spec.bad("`fill_mean_std` does not hold three finite numbers")),
        }
    }
}

impl Encoder for NumericEncoder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!({"column": self.column})).with(
            "fill_mean_std",
            Float64Array::from(vec![self.fill, self.mean, self.std]),
        )
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input {
            column: &self.column,
            reads: Reads::Number,
        }]
    }

    fn width(&self) -> u32 {
        1
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.column.capacity()
    }

    fn name(&self, _index: u32) -> String {
        self.column.clone()
    }

    fn uninformative(&self) -> Option<&'static str> {
        (self.std == 0.0).then_some("all training rows have the same number in it, or none at all")
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        let values = numbers(batch, &self.column, KIND)?;
        let mut block = SparseBlock::with_capacity(values.len());
        for value in &values {
            let value = value.unwrap_or(self.fill);
            let scaled = if self.std == 0.0 {
                0.0
            } else {
                (value - self.mean) / self.std
            } as f32;
            if !scaled.is_finite() {
                return Err(Error::NotFinite {
                    column: self.column.clone(),
                    step: KIND.to_owned(),
                    value,
                });
            }
            if scaled != 0.0 {
                block.push(0, scaled);
            }
            block.end_row();
        }
        Ok(block)
    }
}
