//! Numbers: missing ones imputed, then standardised, as Spark ML's `Imputer` and `StandardScaler` with centring.

use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::Schema;
use serde_json::json;

use crate::contract::pass::Pass;
use crate::contract::step::{Encoder, Estimator, SparseBlock, StepSpec};
use crate::error::{Error, Result};
use crate::settings::{Impute, NumericSettings, Scale};
use crate::statistics::column::{Reads, numbers};
use crate::statistics::{Many, Moments, MomentsState, Quantiles};

pub(super) const KIND: &str = "numeric";

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
    fn pass(&self) -> Box<dyn Pass> {
        let mut passes: Vec<Box<dyn Pass>> = vec![Box::new(Moments::new(&self.column))];
        if self.impute == Impute::Median {
            passes.push(Box::new(Quantiles::new(&self.column)));
        }
        Box::new(Many::new(passes))
    }

    fn fitted(&self, state: &RecordBatch) -> Result<Box<dyn Encoder>> {
        let states = Many::states(state)?;
        let part = |number: usize| {
            states.get(number).ok_or_else(|| Error::State {
                pass: KIND,
                why: format!("it holds {} states", states.len()),
            })
        };
        let moments = MomentsState::from_state(part(0)?)?;
        let (statistic, fill) = match self.impute {
            Impute::Constant(constant) => ("constant", Some(constant)),
            Impute::Mean => ("mean", (moments.count > 0).then_some(moments.mean)),
            Impute::Median => ("median", Quantiles::median(part(1)?)?),
        };
        let fill = fill.ok_or_else(|| Error::NothingToImpute {
            column: self.column.clone(),
            statistic,
        })?;
        let all = moments.imputed(fill);
        let (mean, std) = match self.scale {
            Scale::Standard => (all.mean, all.std()),
            Scale::None => (0.0, 1.0),
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
    pub(super) fn from_spec(spec: &StepSpec) -> Result<Self> {
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
    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!({"column": self.column})).with(
            "fill_mean_std",
            Float64Array::from(vec![self.fill, self.mean, self.std]),
        )
    }

    fn column(&self) -> &str {
        &self.column
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        Reads::Number.check(schema, &self.column, KIND)
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
