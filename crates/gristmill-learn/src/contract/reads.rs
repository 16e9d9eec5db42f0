//! What a step reads a column as, and the types that can be read so.

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Schema};

use crate::error::{Error, Result};

/// What a step reads a column as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Anything with a text form of its own.
    Category,
    /// Text.
    Text,
    /// Anything with a place on the number line: dates are days, timestamps seconds since 1970-01-01 UTC.
    Number,
    /// A date or a timestamp.
    Moment,
    /// A number proper, and no date, moment or boolean: what a regression can learn.
    Quantity,
}

impl Reads {
    /// Whether it has a place on the number line, and is no text.
    pub fn is_number(self) -> bool {
        match self {
            Self::Number | Self::Quantity | Self::Moment => true,
            Self::Category | Self::Text => false,
        }
    }

    /// Checks that `schema` has `column` with a type that can be read so.
    pub fn check(self, schema: &Schema, column: &str, step: &str) -> Result<()> {
        let field = schema
            .field_with_name(column)
            .map_err(|_| Error::missing_column(column, schema))?;
        let (accepted, expected) = match self {
            Self::Category => (
                is_category(field.data_type()),
                "text, a number, a boolean or a date",
            ),
            Self::Text => (is_text(field.data_type()), "text"),
            Self::Number => (
                is_number(field.data_type()),
                "a number, a boolean, a date or a timestamp",
            ),
            Self::Moment => (is_moment(field.data_type()), "a date or a timestamp"),
            Self::Quantity => (
                field.data_type().is_numeric() || *field.data_type() == DataType::Null,
                "an integer, a float or a decimal: convert it in the query, or let a classifier learn its values",
            ),
        };
        if accepted {
            return Ok(());
        }
        Err(Error::ColumnType {
            column: column.to_owned(),
            step: step.to_owned(),
            expected,
            given: field.data_type().to_string(),
        })
    }
}

/// Whether every value of this type has a text form of its own.
pub(crate) fn is_category(data_type: &DataType) -> bool {
    !data_type.is_nested() && !data_type.is_binary() && can_cast_types(data_type, &DataType::Utf8)
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_moment(data_type: &DataType) -> bool {
    use DataType::{Date32, Date64, Null, Timestamp};
    matches!(data_type, Date32 | Date64 | Timestamp(..) | Null)
}

/// Whether a type has a place on the number line.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    use DataType::{Boolean, Date32, Date64, Null, Timestamp};
    data_type.is_numeric() || matches!(data_type, Boolean | Date32 | Date64 | Timestamp(..) | Null)
}
