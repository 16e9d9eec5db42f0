//! The smallest and the largest number of a column.

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, UInt64Array};
use arrow::datatypes::Schema;
use serde_json::json;

use crate::contract::pass::{Accumulate, Pass};
use crate::contract::reads::Reads;
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::statistics::column::numbers;
use crate::statistics::state_column;

const NAME: &str = "extremes";
/// The kind of its spec.
pub(crate) const KIND: &str = NAME;

/// The smallest and the largest of the values that are neither null nor NaN.
#[derive(Debug, Clone)]
pub struct Extremes {
    column: String,
}

/// The state of [`Extremes`]: one row `{missing, least, most}`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExtremesState {
    /// Rows without a value.
    pub missing: u64,
    /// The smallest value; infinite where there is none.
    pub least: f64,
    /// The largest value; minus infinity where there is none.
    pub most: f64,
}

impl Extremes {
    /// Those of `column`.
    pub fn new(column: &str) -> Self {
        Self {
            column: column.to_owned(),
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        Ok(Self {
            column: spec.settings()?,
        })
    }
}

impl ExtremesState {
    const NONE: Self = Self {
        missing: 0,
        least: f64::INFINITY,
        most: f64::NEG_INFINITY,
    };

    /// Reads a state.
    pub fn from_state(state: &RecordBatch) -> Result<Self> {
        let missing: &UInt64Array = state_column(state, "missing", NAME)?;
        let least: &Float64Array = state_column(state, "least", NAME)?;
        let most: &Float64Array = state_column(state, "most", NAME)?;
        if state.num_rows() != 1 {
            return Err(Error::State {
                pass: NAME,
                why: format!("it has {} rows, not one", state.num_rows()),
            });
        }
        Ok(Self {
            missing: missing.value(0),
            least: least.value(0),
            most: most.value(0),
        })
    }

    /// The smallest and the largest value once every missing one is `fill`.
    pub fn imputed(&self, fill: f64) -> (f64, f64) {
        match self.missing {
            0 => (self.least, self.most),
            _ => (self.least.min(fill), self.most.max(fill)),
        }
    }
}

impl Pass for Extremes {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        Reads::Number.check(schema, &self.column, "numeric")?;
        Ok(vec![self.column.clone()])
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            column: self.column.clone(),
            state: ExtremesState::NONE,
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self.column))
    }
}

struct Accumulator {
    column: String,
    state: ExtremesState,
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        for value in &numbers(batch, &self.column, "numeric")? {
            match value {
                // Adding zero makes -0 and 0 one value, whichever comes first.
                Some(value) => {
                    self.state.least = self.state.least.min(value + 0.0);
                    self.state.most = self.state.most.max(value + 0.0);
                }
                None => self.state.missing += 1,
            }
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let other = ExtremesState::from_state(state)?;
        self.state = ExtremesState {
            missing: self.state.missing + other.missing,
            least: self.state.least.min(other.least),
            most: self.state.most.max(other.most),
        };
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let ExtremesState { missing, least, most } = self.state;
        Ok(RecordBatch::try_from_iter([
            ("missing", Arc::new(UInt64Array::from(vec![missing])) as _),
            ("least", Arc::new(Float64Array::from(vec![least])) as _),
            ("most", Arc::new(Float64Array::from(vec![most])) as _),
        ])?)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.column.capacity()
    }
}
