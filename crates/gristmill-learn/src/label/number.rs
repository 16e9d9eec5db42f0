//! The label of a regression: a number, as it is.

use arrow::array::{Array, Float64Array, RecordBatch};
use arrow::datatypes::Schema;
use serde_json::json;

use crate::contract::reads::Reads;
use crate::contract::step::StepSpec;
use crate::error::{Error, Result};
use crate::settings::LabelSettings;
use crate::statistics::column::numbers;
use crate::statistics::{Moments, MomentsState};

pub(super) const KIND: &str = "target";
const STEP: &str = "the label of a regression";

/// Reads the label, and knows its moments in the training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    column: String,
    rows: u64,
    mean: f64,
    std: f64,
}

impl Target {
    /// The pass that takes the moments.
    pub fn pass(settings: &LabelSettings) -> Moments {
        Moments::new(&settings.column)
    }

    /// The target fitted from the final state of that pass.
    ///
    /// # Errors
    /// When no training row has a label.
    pub fn fitted(settings: &LabelSettings, state: &RecordBatch) -> Result<Self> {
        let moments = MomentsState::from_state(state)?;
        if moments.count == 0 {
            return Err(Error::LabelAllNull {
                column: settings.column.clone(),
                rows: moments.rows,
            });
        }
        Ok(Self {
            column: settings.column.clone(),
            rows: moments.count,
            mean: moments.mean,
            std: moments.std(),
        })
    }

    /// The target that [`Target::spec`] described.
    pub fn from_spec(spec: &StepSpec) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Small {
            column: String,
            rows: u64,
        }
        let Small { column, rows } = spec.settings()?;
        let moments: &Float64Array = spec.array("moments")?;
        match moments.values()[..] {
            [mean, std] if mean.is_finite() && std.is_finite() => Ok(Self {
                column,
                rows,
                mean,
                std,
            }),
            _ => Err(spec.bad("`moments` are not a mean and a deviation")),
        }
    }

    /// What it can be rebuilt from.
    pub fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!({"column": self.column, "rows": self.rows}))
            .with("moments", Float64Array::from(vec![self.mean, self.std]))
    }

    /// The label column.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// Mean of the training rows with a label.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Their unbiased standard deviation.
    pub fn std(&self) -> f64 {
        self.std
    }

    /// Checks that the label is there with a type that is a quantity.
    pub fn check(column: &str, schema: &Schema) -> Result<()> {
        Reads::Quantity.check(schema, column, STEP)
    }

    /// The number of every row, null for rows to leave out, and how many these are.
    ///
    /// # Errors
    /// When one is infinite.
    pub fn values(&self, batch: &RecordBatch) -> Result<(Float64Array, u64)> {
        let values = numbers(batch, &self.column, STEP)?;
        let nulls = values.null_count() as u64;
        Ok((values, nulls))
    }
}
