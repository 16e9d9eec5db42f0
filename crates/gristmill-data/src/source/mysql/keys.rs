//! How a key of each MySQL type travels: in the query, from the server, and back to it.

use mysql_async::Value;

use crate::error::{Error, Result};
use crate::key::Key;
use crate::source::mysql::dialect::quoted;
use crate::source::mysql::types::{MyColumn, MyKind};
use crate::source::mysql::values;

impl MyColumn {
    /// The column of `q` as keys are compared and ordered by it.
    ///
    /// MySQL orders the members of an `ENUM` by their numbers but compares them as text: by the number it is for both.
    pub(super) fn key(&self) -> String {
        let column = format!("q.{}", quoted(&self.name));
        match self.kind {
            MyKind::Members | MyKind::Bits(_) => format!("CAST({column} AS UNSIGNED)"),
            _ => column,
        }
    }

    /// A parameter that compares with the key as values of its own type do.
    pub(super) fn parameter(&self) -> String {
        match self.kind {
            MyKind::Decimal { precision, scale } => format!("CAST(? AS DECIMAL({precision},{scale}))"),
            MyKind::Date => "CAST(? AS DATE)".to_owned(),
            MyKind::DateTime | MyKind::Timestamp => "CAST(? AS DATETIME(6))".to_owned(),
            MyKind::Time(_) => "CAST(? AS TIME(6))".to_owned(),
            // As bytes, a parameter would have to be text.
            MyKind::Binary => "UNHEX(?)".to_owned(),
            _ => "?".to_owned(),
        }
    }

    /// What the server sent for [`Self::key`].
    pub(super) fn to_key(&self, value: Value) -> Result<Option<Key>> {
        let failed = |why| Error::Value {
            column: self.name.clone(),
            row: "as the key of the query".to_owned(),
            why,
        };
        Ok(Some(match value {
            Value::NULL => return Ok(None),
            Value::Int(value) => Key::Int(value),
            Value::UInt(value) => match i64::try_from(value) {
                Ok(value) => Key::Int(value),
                Err(_) => Key::Text(value.to_string()),
            },
            Value::Float(value) => Key::Real(value.into()),
            Value::Double(value) => Key::Real(value),
            Value::Bytes(bytes) if self.kind == MyKind::Binary => Key::Blob(bytes),
            Value::Bytes(bytes) => Key::Text(values::text(&bytes, self).map_err(failed)?.to_owned()),
            // No bound can be made of a date that is none: the server would take it for null.
            value @ Value::Date(..) => Key::Text(values::date_text(&value, self).map_err(failed)?),
            value @ Value::Time(..) => Key::Text(values::time_text(&value, 6).map_err(failed)?),
        }))
    }

    /// The value for [`Self::parameter`].
    pub(super) fn bound(&self, key: &Key) -> Result<Value> {
        Ok(match key {
            Key::Row(_) => return Err(key.misfit()),
            Key::Int(value) => Value::Int(*value),
            Key::Real(value) => Value::Double(*value),
            Key::Text(text) => match (self.kind, text.parse()) {
                (MyKind::UInt64 | MyKind::Members | MyKind::Bits(_), Ok(value)) => Value::UInt(value),
                _ => Value::Bytes(text.clone().into_bytes()),
            },
            Key::Blob(bytes) => Value::Bytes(
                bytes
                    .iter()
                    .flat_map(|b| format!("{b:02x}").into_bytes())
                    .collect(),
            ),
        })
    }
}
