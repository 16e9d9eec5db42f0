//! Count, mean and squared deviations of a numeric column, or of numbers computed from one.

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, UInt64Array};
use arrow::datatypes::Schema;
use serde_json::json;

use crate::contract::pass::{Accumulate, Pass};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::statistics::derived::{Derived, Transform};
use crate::statistics::state_column;

const NAME: &str = "moments";
/// The kind of its spec.
pub(crate) const KIND: &str = NAME;

/// Moments of the values that are neither null nor NaN, by Welford's update row by row and Chan's merge.
///
/// Merging is associative up to rounding; the engine's fixed order of merging makes the result exact to the bit.
#[derive(Debug, Clone)]
pub struct Moments {
    column: String,
    derived: Derived,
    /// What errors about the column name.
    step: String,
}

/// The state of [`Moments`]: one row `{rows, count, mean, m2}`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MomentsState {
    /// Rows, missing ones included.
    pub rows: u64,
    /// Rows with a value.
    pub count: u64,
    /// Mean of the values.
    pub mean: f64,
    /// Sum of the squared deviations from the mean.
    pub m2: f64,
}

impl Moments {
    /// The moments of `column`.
    pub fn new(column: &str) -> Self {
        Self::derived(column, Derived::Number(Transform::None), "numeric")
    }

    /// The moments of what is computed from `column`, on behalf of `step`, whose name errors carry.
    pub(crate) fn derived(column: &str, derived: Derived, step: &str) -> Self {
        Self {
            column: column.to_owned(),
            derived,
            step: step.to_owned(),
        }
    }

    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        let (column, derived, step) = spec.settings()?;
        Ok(Self {
            column,
            derived,
            step,
        })
    }
}

impl MomentsState {
    /// Reads a state.
    pub fn from_state(state: &RecordBatch) -> Result<Self> {
        let rows: &UInt64Array = state_column(state, "rows", NAME)?;
        let count: &UInt64Array = state_column(state, "count", NAME)?;
        let mean: &Float64Array = state_column(state, "mean", NAME)?;
        let m2: &Float64Array = state_column(state, "m2", NAME)?;
        if state.num_rows() != 1 {
            return Err(Error::State {
                pass: NAME,
                why: format!("it has {} rows, not one", state.num_rows()),
            });
        }
        Ok(Self {
            rows: rows.value(0),
            count: count.value(0),
            mean: mean.value(0),
            m2: m2.value(0),
        })
    }

    /// The moments once every missing value is `fill`.
    pub fn imputed(self, fill: f64) -> Self {
        let mut all = self;
        all.merge(&Self {
            rows: 0,
            count: self.rows - self.count,
            mean: fill,
            m2: 0.0,
        });
        all
    }

    /// The unbiased standard deviation; 0 below two values.
    pub fn std(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        (self.m2 / (self.count - 1) as f64).sqrt()
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (value - self.mean);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = Self {
                rows: self.rows,
                ..*other
            };
            return;
        }
        let count = self.count + other.count;
        let share = other.count as f64 / count as f64;
        let delta = other.mean - self.mean;
        self.mean += delta * share;
        self.m2 += other.m2 + delta * delta * self.count as f64 * share;
        self.count = count;
    }
}

impl Pass for Moments {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        self.derived.check(schema, &self.column, &self.step)?;
        Ok(vec![self.column.clone()])
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            pass: self.clone(),
            moments: MomentsState::default(),
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!([self.column, self.derived, self.step]))
    }
}

struct Accumulator {
    pass: Moments,
    moments: MomentsState,
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let values = self.pass.derived.of(batch, &self.pass.column, &self.pass.step)?;
        self.moments.rows += values.len() as u64;
        values.iter().flatten().for_each(|value| self.moments.add(value));
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        self.moments.merge(&MomentsState::from_state(state)?);
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let MomentsState {
            rows,
            count,
            mean,
            m2,
        } = self.moments;
        Ok(RecordBatch::try_from_iter([
            ("rows", Arc::new(UInt64Array::from(vec![rows])) as _),
            ("count", Arc::new(UInt64Array::from(vec![count])) as _),
            ("mean", Arc::new(Float64Array::from(vec![mean])) as _),
            ("m2", Arc::new(Float64Array::from(vec![m2])) as _),
        ])?)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.pass.column.capacity()
    }
}
