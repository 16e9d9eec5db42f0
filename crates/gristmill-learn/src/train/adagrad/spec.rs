//! Problems and states of AdaGrad as specs, for an epoch in another process.

use std::sync::Arc;

use arrow::array::{Float64Array, UInt64Array};
use serde_json::json;

use crate::contract::spec::StepSpec;
use crate::error::Result;
use crate::rows::Shape;
use crate::rows::real::Real;
use crate::rows::summary::Subset;
use crate::train::adagrad::state::{Problem, Seen, State};

impl Problem {
    /// What it can be rebuilt from.
    pub(crate) fn spec(&self) -> StepSpec {
        let settings = json!([self.standardization, self.fit_intercept, self.subset.rows]);
        let Subset {
            counts,
            weights,
            mean,
            deviation,
            members,
            ..
        } = &*self.subset;
        StepSpec::new("adagrad problem", settings)
            .with(
                "numbers",
                Float64Array::from(vec![self.reg_param, self.subset.weight]),
            )
            .with("counts", UInt64Array::from(counts.clone()))
            .with("weights", Float64Array::from(weights.clone()))
            .with("mean", Float64Array::from(mean.clone()))
            .with("deviation", Float64Array::from(deviation.clone()))
            .with("members", Float64Array::from(members.clone()))
    }

    pub(crate) fn from_spec(spec: &StepSpec, shape: Shape) -> Result<Self> {
        let (standardization, fit_intercept, rows) = spec.settings()?;
        let floats =
            |name: &str| -> Result<Vec<f64>> { Ok(spec.array::<Float64Array>(name)?.values().to_vec()) };
        let [reg_param, weight] = floats("numbers")?[..] else {
            return Err(spec.bad("it does not have two numbers"));
        };
        let subset = Subset {
            rows,
            counts: spec.array::<UInt64Array>("counts")?.values().to_vec(),
            weight,
            weights: floats("weights")?,
            mean: floats("mean")?,
            deviation: floats("deviation")?,
            members: floats("members")?,
            label: None,
        };
        if subset.deviation.len() != shape.features {
            return Err(spec.bad("it has another number of features"));
        }
        Ok(Self {
            shape,
            subset: Arc::new(subset),
            reg_param,
            standardization,
            fit_intercept,
        })
    }
}

impl State {
    /// What only scores: coefficients without a past.
    pub(crate) fn scored(weights: Vec<f32>) -> Self {
        Self {
            weights,
            squares: Vec::new(),
            seen: Vec::new(),
            epochs: 0,
        }
    }

    /// What it can be rebuilt from.
    pub(crate) fn spec(&self) -> StepSpec {
        let of_seen = |of: fn(&Seen) -> f64| Float64Array::from_iter_values(self.seen.iter().map(of));
        StepSpec::new("adagrad state", json!(self.epochs))
            .with("weights", f32::into_array(self.weights.clone()))
            .with("squares", f32::into_array(self.squares.clone()))
            .with("entries_seen", of_seen(|seen| seen.entries))
            .with("squares_seen", of_seen(|seen| seen.squares))
    }

    pub(crate) fn from_spec(spec: &StepSpec, shape: Shape) -> Result<Self> {
        let entries = spec.array::<Float64Array>("entries_seen")?.values();
        let squares = spec.array::<Float64Array>("squares_seen")?.values();
        let seen = entries.iter().zip(squares).map(|(entries, squares)| Seen {
            entries: *entries,
            squares: *squares,
        });
        let state = Self {
            weights: shape.coefficients(spec, "weights")?,
            squares: shape.coefficients(spec, "squares")?,
            seen: seen.collect(),
            epochs: spec.settings()?,
        };
        if state.seen.len() != shape.features {
            return Err(spec.bad("it has another number of features"));
        }
        Ok(state)
    }
}
