//! Numbers that are computed from a column before anything else is done with them.

use arrow::array::{Array, Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use serde::{Deserialize, Serialize};

use crate::contract::reads::Reads;
use crate::error::Result;
use crate::statistics::calendar::Parts;
use crate::statistics::column::{as_number, find, numbers};
use crate::statistics::logarithm::ln_1p;

/// A function of a number. Each is odd and increasing, and defined for every number: order, median and sign stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// The number.
    #[default]
    None,
    /// `ln(1 + x)`, and `-ln(1 - x)` below 0.
    Log1p,
    /// The square root of `x`, and minus that of `-x` below 0.
    Sqrt,
}

impl Transform {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Of one number.
    pub(crate) fn of(self, x: f64) -> f64 {
        match self {
            Self::None => x,
            Self::Log1p => ln_1p(x.abs()).copysign(x),
            Self::Sqrt => x.abs().sqrt().copysign(x),
        }
    }

    /// The name of a column that is transformed so.
    pub(crate) fn named(self, column: &str) -> String {
        match self {
            Self::None => column.to_owned(),
            Self::Log1p => format!("log1p({column})"),
            Self::Sqrt => format!("sqrt({column})"),
        }
    }
}

/// What is computed from a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Derived {
    /// A function of its number.
    Number(Transform),
    /// The year of its instant.
    Year,
    /// Days since 1970-01-01, with their fraction.
    Days,
}

impl Derived {
    fn reads(self) -> Reads {
        match self {
            Self::Number(_) => Reads::Number,
            Self::Year | Self::Days => Reads::Moment,
        }
    }

    /// Seconds since 1970-01-01 UTC of every row.
    pub(crate) fn seconds(batch: &RecordBatch, column: &str, step: &str) -> Result<Float64Array> {
        Reads::Moment.check(batch.schema_ref(), column, step)?;
        let given = find(batch, column)?;
        let seconds = match given.data_type() {
            DataType::Date32 | DataType::Date64 => 86_400.0,
            _ => 1.0,
        };
        Ok(as_number(given)?.unary(|number| number * seconds))
    }

    /// The days of so many seconds.
    pub(crate) fn days(seconds: f64) -> f64 {
        seconds / 86_400.0
    }

    /// Checks that it can be computed from a column.
    pub(crate) fn check(self, schema: &Schema, column: &str, step: &str) -> Result<()> {
        self.reads().check(schema, column, step)
    }

    /// It of every row; null where the column has no number.
    pub(crate) fn of(self, batch: &RecordBatch, column: &str, step: &str) -> Result<Float64Array> {
        match self {
            Self::Number(transform) => Ok(numbers(batch, column, step)?.unary(|x| transform.of(x))),
            Self::Year => Ok(Self::seconds(batch, column, step)?
                .unary(|seconds| Parts::of(seconds.floor() as i64).year as f64)),
            Self::Days => Ok(Self::seconds(batch, column, step)?.unary(Self::days)),
        }
    }
}
