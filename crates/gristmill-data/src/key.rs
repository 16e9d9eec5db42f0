//! Values of the key column and the ranges between them, as they are stored in a dataset's history.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A value of the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// An integer.
    Int(i64),
    /// A real number; never NaN. Stored as text, for JSON knows no infinity.
    Real(#[serde(with = "real")] f64),
    /// Text, and on database servers the text form of the types that have no variant here.
    Text(String),
    /// Bytes; stored in hexadecimal.
    Blob(#[serde(with = "hexadecimal")] Vec<u8>),
    /// The values of several key columns, the first before the second; none of them is a row itself.
    Row(Vec<Key>),
}

impl Key {
    /// The key of which these are the values.
    pub(super) fn of_parts(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            parts.remove(0)
        } else {
            Self::Row(parts)
        }
    }

    /// The value for each of `count` key columns.
    pub(super) fn parts(&self, count: usize) -> Result<&[Self]> {
        let parts = match self {
            Self::Row(parts) => parts,
            single => std::slice::from_ref(single),
        };
        if parts.len() == count {
            Ok(parts)
        } else {
            Err(self.misfit())
        }
    }

    /// Says that the history of a dataset holds what cannot be.
    pub(super) fn misfit(&self) -> Error {
        Error::Query {
            why: format!("{self}, where a batch is to end, is no value of source.key"),
        }
    }
}

/// The keys of a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bounds {
    /// The keys after `after` (or from the first on), up to and with `until`.
    Between {
        /// The last key before the range.
        after: Option<Key>,
        /// The last key of the range.
        until: Key,
    },
    /// The rows whose key is null.
    Null,
}

/// A batch: its number and its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyRange {
    /// The number of the batch, from 0 on.
    pub number: u64,
    /// Its keys.
    pub bounds: Bounds,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Real(value) => write!(f, "{value:?}"),
            Self::Text(value) => f.write_str(value),
            Self::Blob(value) => write!(f, "x'{}'", hexadecimal::encode(value)),
            Self::Row(parts) => {
                let parts: Vec<String> = parts.iter().map(Self::to_string).collect();
                write!(f, "({})", parts.join(", "))
            }
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between {
                after: Some(after),
                until,
            } => write!(f, "after {after} up to {until}"),
            Self::Between { after: None, until } => write!(f, "up to {until}"),
            Self::Null => f.write_str("null"),
        }
    }
}

mod real {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        // The shortest form that reads back as the same number.
        serializer.collect_str(&format_args!("{value:?}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

mod hexadecimal {
    use std::fmt::Write;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn encode(bytes: &[u8]) -> String {
        bytes
            .iter()
            .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?))
            .collect();
        bytes
            .filter(|_| rest.is_empty())
            .ok_or_else(|| D::Error::custom(format_args!("{text:?} is not hexadecimal")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_json() {
        for key in [
            Key::Int(i64::MIN),
            Key::Real(f64::NEG_INFINITY),
            Key::Real(0.1 + 0.2),
            Key::Real(1e300),
            Key::Text("é\"\n".to_owned()),
            Key::Blob(vec![0, 255, 16]),
            Key::Blob(vec![]),
            Key::Row(vec![Key::Text("a, b".to_owned()), Key::Int(-1)]),
        ] {
            let range = KeyRange {
                number: 3,
                bounds: Bounds::Between {
                    after: Some(key.clone()),
                    until: key,
                },
            };
            let json = serde_json::to_string(&range).unwrap();
            assert_eq!(serde_json::from_str::<KeyRange>(&json).unwrap(), range, "{json}");
        }
        // As datasets hold them that were made before.
        assert_eq!(serde_json::from_str::<Key>(r#"{"int":5}"#).unwrap(), Key::Int(5));
        assert!(serde_json::from_str::<Key>(r#"{"blob":"0g"}"#).is_err());
        assert!(serde_json::from_str::<Key>(r#"{"blob":"012"}"#).is_err());
    }
}
