//! What a model was trained on: each column that its steps read, with its type and what was done to its text.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::contract::step::Transformer;
use crate::error::Result;
use crate::features::Assembler;
use crate::statistics::ColumnProfile;

/// A column that the steps read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputColumn {
    /// Its name.
    pub name: String,
    /// Its type in training, as PyArrow writes it: `string`, `int64`, `double`, `timestamp[us, tz=UTC]`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// What its text stands for, such as `uuid`; `None` where it is text, or no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Whether its text was not cleaned: the key keeps the text that the database orders by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncleaned: bool,
    /// What the training rows have in it, if a feature reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ColumnProfile>,
}

impl InputColumn {
    /// The columns of `schema` that the steps read.
    ///
    /// # Errors
    /// When one is missing, or has a type that its step cannot read.
    pub fn of(assembler: &Assembler, schema: &Schema) -> Result<Vec<Self>> {
        let names = assembler.columns(schema)?;
        let columns = names.into_iter().map(|name| {
            Ok(Self {
                data_type: type_name(schema.field_with_name(&name)?.data_type()),
                name,
                form: None,
                uncleaned: false,
                profile: None,
            })
        });
        columns.collect()
    }

    /// The type that [`InputColumn::data_type`] names; `None` where no column that a step reads has it.
    pub fn arrow_type(&self) -> Option<DataType> {
        let name = self.data_type.as_str();
        let plain = [
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Utf8,
            DataType::Binary,
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ];
        if let Some(plain) = plain.into_iter().find(|plain| type_name(plain) == name) {
            return Some(plain);
        }
        let digits = name.strip_prefix("decimal128(")?.strip_suffix(')')?;
        let (precision, scale) = digits.split_once(", ")?;
        let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
        let exists = (1..=38).contains(&precision) && (0..=precision as i8).contains(&scale);
        exists.then_some(DataType::Decimal128(precision, scale))
    }
}

/// The name of a type in PyArrow, which says the same in every version.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "bool".to_owned(),
        DataType::Float16 => "halffloat".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 | DataType::Utf8View => "string".to_owned(),
        DataType::LargeUtf8 => "large_string".to_owned(),
        DataType::Binary | DataType::BinaryView => "binary".to_owned(),
        DataType::Date32 => "date32[day]".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal128({precision}, {scale})"),
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second => "s",
                TimeUnit::Millisecond => "ms",
                TimeUnit::Microsecond => "us",
                TimeUnit::Nanosecond => "ns",
            };
            match zone {
                None => format!("timestamp[{unit}]"),
                Some(zone) => format!("timestamp[{unit}, tz={zone}]"),
            }
        }
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_by_its_name() {
        for data_type in [
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Utf8,
            DataType::Date32,
            DataType::Decimal128(38, 0),
            DataType::Decimal128(5, 5),
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ] {
            let mut column = InputColumn {
                name: "a".to_owned(),
                data_type: type_name(&data_type),
                form: None,
                uncleaned: false,
                profile: None,
            };
            assert_eq!(column.arrow_type(), Some(data_type));
            column.data_type.push('x');
            assert_eq!(column.arrow_type(), None);
        }
    }
}
