//! What becomes of each MySQL type.

use arrow::datatypes::{DataType, TimeUnit};
use mysql_async::Column;
use mysql_async::consts::{ColumnFlags, ColumnType as Wire};

use crate::error::{Error, Result};
use crate::source::mysql::dialect::quoted;
use crate::table::Alike;

/// The character set that stands for bytes.
const BINARY: u16 = 63;

/// One column of the query.
#[derive(Debug)]
pub(crate) struct MyColumn {
    pub(super) name: String,
    /// As SQL names it; lengths of text are not told apart.
    pub(super) database_type: String,
    pub(crate) kind: MyKind,
    /// The schema, the table and its column that this is, where it is no expression.
    pub(super) origin: Option<[String; 3]>,
    /// Which of its values are equal there and differ here.
    pub(super) alike: Option<Alike>,
}

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MyKind {
    /// `TINYINT(1)`, which is what `BOOLEAN` stands for.
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    /// `BIGINT UNSIGNED`.
    UInt64,
    /// `BIT(n)`.
    Bits(u32),
    Float32,
    Float64,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Text,
    /// `ENUM` and `SET`, whose order is that of their declaration.
    Members,
    Json,
    Binary,
    Date,
    DateTime,
    Timestamp,
    /// With so many digits after the seconds.
    Time(u8),
}

impl MyColumn {
    pub(crate) fn new(column: &Column) -> Result<Self> {
        let name = column.name_str().into_owned();
        let flags = column.flags();
        let unsigned = flags.contains(ColumnFlags::UNSIGNED_FLAG);
        let binary = column.character_set() == BINARY;
        let integer = |name: &str, signed, wider| {
            if unsigned {
                (format!("{name} unsigned"), wider)
            } else {
                (name.to_owned(), signed)
            }
        };
        let plain = |name: &str, kind| (name.to_owned(), kind);
        let text = |text: &str, bytes: &str| {
            if flags.contains(ColumnFlags::ENUM_FLAG) {
                plain("enum", MyKind::Members)
            } else if flags.contains(ColumnFlags::SET_FLAG) {
                plain("set", MyKind::Members)
            } else if binary {
                plain(bytes, MyKind::Binary)
            } else {
                plain(text, MyKind::Text)
            }
        };
        let unsupported = |given: String, cast: String| {
            Err(Error::ColumnType {
                column: name.clone(),
                given,
                cast,
            })
        };
        let (database_type, kind) = match column.column_type() {
            Wire::MYSQL_TYPE_TINY if column.column_length() == 1 && !unsigned => {
                plain("tinyint(1)", MyKind::Boolean)
            }
            Wire::MYSQL_TYPE_TINY => integer("tinyint", MyKind::Int8, MyKind::Int16),
            Wire::MYSQL_TYPE_SHORT => integer("smallint", MyKind::Int16, MyKind::Int32),
            Wire::MYSQL_TYPE_INT24 => integer("mediumint", MyKind::Int32, MyKind::Int32),
            Wire::MYSQL_TYPE_LONG => integer("int", MyKind::Int32, MyKind::Int64),
            Wire::MYSQL_TYPE_LONGLONG => integer("bigint", MyKind::Int64, MyKind::UInt64),
            Wire::MYSQL_TYPE_YEAR => plain("year", MyKind::Int16),
            Wire::MYSQL_TYPE_BIT => {
                let bits = column.column_length();
                (format!("bit({bits})"), MyKind::Bits(bits))
            }
            Wire::MYSQL_TYPE_FLOAT => plain("float", MyKind::Float32),
            Wire::MYSQL_TYPE_DOUBLE => plain("double", MyKind::Float64),
            Wire::MYSQL_TYPE_DECIMAL | Wire::MYSQL_TYPE_NEWDECIMAL => {
                let (precision, scale) = decimal_size(column.column_length(), column.decimals(), unsigned);
                let database_type = format!("decimal({precision},{scale})");
                if precision > 38 {
                    let cast = format!(
                        "CAST({0} AS DECIMAL(p,s)) with p <= 38, or CAST({0} AS DOUBLE)",
                        quoted(&name)
                    );
                    return unsupported(database_type, cast);
                }
                let kind = MyKind::Decimal {
                    precision,
                    scale: scale as i8,
                };
                (database_type, kind)
            }
            Wire::MYSQL_TYPE_STRING => text("char", "binary"),
            Wire::MYSQL_TYPE_VARCHAR | Wire::MYSQL_TYPE_VAR_STRING => text("varchar", "varbinary"),
            Wire::MYSQL_TYPE_TINY_BLOB
            | Wire::MYSQL_TYPE_MEDIUM_BLOB
            | Wire::MYSQL_TYPE_LONG_BLOB
            | Wire::MYSQL_TYPE_BLOB => text("text", "blob"),
            Wire::MYSQL_TYPE_ENUM => plain("enum", MyKind::Members),
            Wire::MYSQL_TYPE_SET => plain("set", MyKind::Members),
            Wire::MYSQL_TYPE_JSON => plain("json", MyKind::Json),
            // Only ever null.
            Wire::MYSQL_TYPE_NULL => plain("null", MyKind::Text),
            Wire::MYSQL_TYPE_DATE | Wire::MYSQL_TYPE_NEWDATE => plain("date", MyKind::Date),
            Wire::MYSQL_TYPE_DATETIME | Wire::MYSQL_TYPE_DATETIME2 => plain("datetime", MyKind::DateTime),
            Wire::MYSQL_TYPE_TIMESTAMP | Wire::MYSQL_TYPE_TIMESTAMP2 => plain("timestamp", MyKind::Timestamp),
            Wire::MYSQL_TYPE_TIME | Wire::MYSQL_TYPE_TIME2 => {
                plain("time", MyKind::Time(column.decimals().min(6)))
            }
            Wire::MYSQL_TYPE_GEOMETRY => {
                return unsupported("geometry".to_owned(), format!("ST_AsText({})", quoted(&name)));
            }
            other => {
                let given = format!("{other:?}")
                    .trim_start_matches("MYSQL_TYPE_")
                    .to_lowercase();
                return unsupported(given, format!("CAST({} AS CHAR)", quoted(&name)));
            }
        };
        Ok(Self {
            name,
            database_type,
            kind,
            alike: None,
            origin: (!column.org_name_ref().is_empty() && !column.org_table_ref().is_empty()).then(|| {
                [column.schema_str(), column.org_table_str(), column.org_name_str()]
                    .map(|name| name.into_owned())
            }),
        })
    }
}

impl MyKind {
    pub(crate) fn arrow_type(self) -> DataType {
        match self {
            Self::Boolean | Self::Bits(1) => DataType::Boolean,
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 | Self::Bits(..64) => DataType::Int64,
            Self::UInt64 | Self::Bits(64..) => DataType::Decimal128(20, 0),
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Text | Self::Members | Self::Json | Self::Time(_) => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::DateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// Precision and scale from the length in characters, which counts a sign and a point too.
fn decimal_size(length: u32, decimals: u8, unsigned: bool) -> (u8, u8) {
    let digits = length
        .saturating_sub(u32::from(decimals > 0))
        .saturating_sub(u32::from(!unsigned));
    // A scale beyond the precision stands for zeros after the point: digits all the same here.
    let precision = u8::try_from(digits).unwrap_or(u8::MAX).max(decimals).max(1);
    (precision, decimals)
}
