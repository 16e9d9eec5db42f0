//! The weight of a row in training: the value of a column, times that of the row's class.

use arrow::array::{Array, Float64Array, Int32Array, RecordBatch};
use arrow::datatypes::Schema;
use serde_json::json;

use crate::contract::reads::Reads;
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::label::Label;
use crate::settings::{ClassWeight, LabelSettings};
use crate::statistics::column::numbers;

const STEP: &str = "weight";
/// The array of its spec.
const CLASSES: &str = "classes";

/// Gives rows their weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Weigher {
    column: Option<String>,
    /// The weight of each class; empty where all weigh 1.
    classes: Vec<f64>,
}

impl Weigher {
    /// The weights that the settings ask for, if they ask for any, of the classes that were fitted.
    ///
    /// # Errors
    /// When a class is given a weight that is no class.
    pub fn fitted(settings: &LabelSettings, label: &Label) -> Result<Option<Self>> {
        let names = label.classes();
        let classes = match &settings.class_weight {
            None => Vec::new(),
            Some(ClassWeight::Balanced) => {
                let of_classes = match label {
                    Label::Class(label) => label.rows(),
                    Label::Number(_) => &[],
                };
                let rows = of_classes.iter().sum::<u64>() as f64;
                let each = of_classes.iter().map(|of_class| *of_class as f64);
                each.map(|of_class| rows / (names.len() as f64 * of_class))
                    .collect()
            }
            Some(ClassWeight::Each(table)) => {
                Error::check_classes("label.class_weight", table, names)?;
                names
                    .iter()
                    .map(|name| table.get(name).copied().unwrap_or(1.0))
                    .collect()
            }
        };
        let column = settings.weight.clone();
        Ok((column.is_some() || !classes.is_empty()).then_some(Self { column, classes }))
    }

    /// What it can be rebuilt from.
    pub fn spec(&self) -> StepSpec {
        StepSpec::new(STEP, json!(self.column)).with(CLASSES, Float64Array::from(self.classes.clone()))
    }

    /// The weigher that [`Weigher::spec`] described.
    ///
    /// # Errors
    /// `Spec` when it describes none.
    pub fn from_spec(spec: &StepSpec) -> Result<Self> {
        let classes = spec.array::<Float64Array>(CLASSES)?.values().to_vec();
        if spec.kind != STEP || !classes.iter().all(|weight| *weight >= 0.0) {
            return Err(spec.bad("it does not hold the weights of classes"));
        }
        let column = spec.settings()?;
        Ok(Self { column, classes })
    }

    /// The column it reads.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// Checks that the column of weights is there and holds numbers.
    ///
    /// # Errors
    /// When it is not, or does not.
    pub fn check(column: &str, schema: &Schema) -> Result<()> {
        Reads::Number.check(schema, column, STEP)
    }

    /// The weight of every row; `classes` has no nulls, and a regression none of them.
    ///
    /// # Errors
    /// When the column holds no weight but null, NaN, infinity or a negative number.
    pub fn weights(&self, batch: &RecordBatch, classes: Option<&Int32Array>) -> Result<Float64Array> {
        let of_class = |row: usize| {
            let class = classes.and_then(|classes| self.classes.get(classes.value(row) as usize));
            class.copied().unwrap_or(1.0)
        };
        let rows = 0..batch.num_rows();
        let Some(column) = &self.column else {
            return Ok(Float64Array::from_iter_values(rows.map(of_class)));
        };
        let weights = numbers(batch, column, STEP)?;
        let wrong = |value: String| Error::Weight {
            column: column.clone(),
            value,
        };
        let weights: Result<Vec<f64>> = rows
            .map(|row| {
                if weights.is_null(row) {
                    return Err(wrong("null or NaN".to_owned()));
                }
                match weights.value(row) {
                    weight if weight >= 0.0 => Ok(weight * of_class(row)),
                    negative => Err(wrong(negative.to_string())),
                }
            })
            .collect();
        Ok(weights?.into())
    }
}
