//! Brings a column to a type of the dataset, without loss or not at all: the one table of conversions between types.
//!
//! A number is converted as a number, a day or an instant as that, and text is read by the parser of the type. Nothing is
//! rounded, except a fraction to the nearest float; nothing changes its unit; nothing is compared as text that is not text.

mod column;
mod form;
mod moment;
mod number;
mod parse;

use arrow::datatypes::DataType;

pub use column::convert;
pub use form::Form;

/// What a column is, as the tables of types in docs/pipeline.md have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Logical {
    /// Its Arrow type: one that a dataset has.
    pub data_type: DataType,
    /// How its text is written, if it is text that stands for something else.
    pub form: Form,
}

/// Why a column cannot be brought to a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The first row of the column that does not fit, from 0; `None` where no value of its type does.
    pub row: Option<usize>,
    /// What was given, what is expected, and what to write instead.
    pub why: String,
}

impl Logical {
    /// A column of this type, whose text is nothing but text.
    pub fn plain(data_type: DataType) -> Self {
        Self {
            data_type,
            form: Form::Plain,
        }
    }

    /// What a value of it is called.
    pub fn words(&self) -> String {
        match &self.data_type {
            DataType::Boolean => "a boolean".to_owned(),
            kind if kind.is_integer() => format!("an integer ({kind})"),
            DataType::Decimal128(precision, scale) => format!("a decimal({precision},{scale})"),
            DataType::Date32 => "a date".to_owned(),
            DataType::Timestamp(_, None) => "a timestamp without a zone".to_owned(),
            DataType::Timestamp(_, Some(_)) => "a timestamp in UTC".to_owned(),
            kind if kind.is_floating() => format!("a number ({kind})"),
            DataType::Utf8 => self.form.words().to_owned(),
            other => other.to_string(),
        }
    }

    /// What was given, what was expected, and what to write.
    fn expected(&self, given: &str) -> String {
        format!("{given}, expected {}; {}", self.words(), self.instead())
    }

    /// What to write for a value of it.
    fn instead(&self) -> String {
        match &self.data_type {
            DataType::Boolean => "write true or false".to_owned(),
            kind if kind.is_integer() => "write whole numbers that this type holds".to_owned(),
            DataType::Decimal128(precision, scale) => {
                format!("write numbers of at most {precision} digits, {scale} of them after the point")
            }
            DataType::Date32 => "write dates, such as 2024-02-29".to_owned(),
            DataType::Timestamp(_, None) => {
                "write timestamps without a zone, such as 2024-02-29 12:00:00, to the microsecond".to_owned()
            }
            DataType::Timestamp(_, Some(_)) => {
                "write timestamps with their zone, such as 2024-02-29T12:00:00Z, to the microsecond"
                    .to_owned()
            }
            DataType::Utf8 => self.form.instead().to_owned(),
            kind if kind.is_floating() => "write numbers".to_owned(),
            _ => "no value of it can be given".to_owned(),
        }
    }
}
