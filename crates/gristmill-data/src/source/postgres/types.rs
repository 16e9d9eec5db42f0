//! What becomes of each PostgreSQL type.

use arrow::datatypes::{DataType, TimeUnit};
use tokio_postgres::Column;
use tokio_postgres::types::{Kind, Type};

use crate::error::{Error, Result};
use crate::table::Alike;

/// One column of the query.
#[derive(Debug)]
pub(crate) struct PgColumn {
    pub(super) name: String,
    /// As the catalogue names it, with its modifier.
    pub(super) database_type: String,
    pub(crate) kind: PgKind,
    /// The table and the number of its column that this is, where it is no expression.
    pub(super) origin: Option<(u32, i16)>,
    /// Which of its values are equal there and differ here.
    pub(super) alike: Option<Alike>,
    /// Whether the server is to write it as text, which its binary form says no more than.
    pub(crate) as_text: bool,
}

/// How a column's values come over the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PgKind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric { precision: u8, scale: i8 },
    Text,
    Jsonb,
    Uuid,
    Bytea,
    Date,
    Timestamp,
    Timestamptz,
}

impl PgColumn {
    /// Finds the counterpart; domains arrive here as the type they are made of.
    pub(crate) fn new(column: &Column, database_type: &str) -> Result<Self> {
        let as_text = matches!(
            *column.type_(),
            Type::TIME
                | Type::TIMETZ
                | Type::INTERVAL
                | Type::INET
                | Type::CIDR
                | Type::MACADDR
                | Type::MACADDR8
                | Type::BIT
                | Type::VARBIT
        );
        let kind = match *column.type_() {
            _ if as_text => Some(PgKind::Text),
            Type::BOOL => Some(PgKind::Bool),
            Type::INT2 => Some(PgKind::Int2),
            Type::INT4 => Some(PgKind::Int4),
            Type::INT8 => Some(PgKind::Int8),
            Type::FLOAT4 => Some(PgKind::Float4),
            Type::FLOAT8 => Some(PgKind::Float8),
            Type::NUMERIC => numeric(column.type_modifier()),
            Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::JSON
            | Type::XML
            | Type::UNKNOWN => Some(PgKind::Text),
            Type::JSONB => Some(PgKind::Jsonb),
            Type::UUID => Some(PgKind::Uuid),
            Type::BYTEA => Some(PgKind::Bytea),
            Type::DATE => Some(PgKind::Date),
            Type::TIMESTAMP => Some(PgKind::Timestamp),
            Type::TIMESTAMPTZ => Some(PgKind::Timestamptz),
            ref other => match other.kind() {
                Kind::Enum(_) => Some(PgKind::Text),
                Kind::Simple if other.name() == "citext" => Some(PgKind::Text),
                _ => None,
            },
        };
        let name = column.name().to_owned();
        let Some(kind) = kind else {
            let quoted = crate::source::sql::quoted(&name);
            let cast = match *column.type_() {
                Type::NUMERIC => format!(
                    "{quoted}::numeric(p,s) with 0 <= s and p <= 38, which loses nothing within its digits, \
                     or {quoted}::double precision"
                ),
                Type::MONEY => format!("{quoted}::numeric(p,s)"),
                _ => format!("{quoted}::text"),
            };
            return Err(Error::ColumnType {
                column: name,
                given: database_type.to_owned(),
                cast,
            });
        };
        Ok(Self {
            name,
            database_type: database_type.to_owned(),
            kind,
            origin: column.table_oid().zip(column.column_id()),
            alike: None,
            as_text,
        })
    }

    /// The column as it is selected from the query `q`.
    pub(super) fn selected(&self) -> String {
        let column = format!("q.{}", crate::source::sql::quoted(&self.name));
        if self.as_text {
            format!("{column}::text")
        } else {
            column
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn of_kind(name: &str, kind: PgKind) -> Self {
        Self {
            name: name.to_owned(),
            database_type: String::new(),
            kind,
            origin: None,
            alike: None,
            as_text: false,
        }
    }
}

impl PgKind {
    pub(crate) fn arrow_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Text | Self::Jsonb | Self::Uuid => DataType::Utf8,
            Self::Bytea => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// Reads the modifier of `numeric(p,s)`; `None` for an unconstrained one and for what no Decimal128 can hold.
fn numeric(modifier: i32) -> Option<PgKind> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    // The scale is a signed number of 11 bits.
    let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
    // A scale above the precision stands for zeros after the point: digits all the same here.
    let precision = (packed >> 16 & 0xffff).max(scale);
    (scale >= 0 && precision <= 38).then_some(PgKind::Numeric {
        precision: precision as u8,
        scale: scale as i8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_modifiers() {
        let modifier = |precision: i32, scale: i32| (precision << 16 | scale & 0x7ff) + 4;
        assert_eq!(
            numeric(modifier(10, 2)),
            Some(PgKind::Numeric {
                precision: 10,
                scale: 2
            })
        );
        assert_eq!(
            numeric(modifier(38, 38)),
            Some(PgKind::Numeric {
                precision: 38,
                scale: 38
            })
        );
        assert_eq!(
            numeric(modifier(2, 5)),
            Some(PgKind::Numeric {
                precision: 5,
                scale: 5
            })
        );
        assert_eq!(numeric(modifier(39, 0)), None);
        assert_eq!(numeric(modifier(5, -2)), None);
        assert_eq!(numeric(-1), None);
    }
}
