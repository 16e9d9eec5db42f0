//! The columns of a dataset: what a query's columns become in a Delta table.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::StructType;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;

use crate::error::{Error, Result};

/// Characters that no column of a Delta table may have in its name.
const NOT_IN_NAMES: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

/// The schema of the dataset that holds these columns: every one nullable, with the type Delta has for it.
///
/// Unsigned integers become the next wider signed ones (64 bits: `decimal(20,0)`), 16-bit floats 32-bit ones, every
/// form of text and binary the plain one, timestamps microseconds (with a zone: UTC), decimals 128 bits, every form of list
/// the plain one. Nothing loses anything; a type for which that cannot be is an error that names the column.
pub fn delta_schema(schema: &Schema) -> Result<SchemaRef> {
    let mut names = HashSet::new();
    let fields = schema.fields().iter().map(|field| {
        let name = field.name();
        if name.is_empty() || name.contains(NOT_IN_NAMES) {
            let why = "has a name that a Delta table cannot hold (none of space , ; { } ( ) = may be in it)";
            return Err(Error::ColumnName { column: name.clone(), why });
        }
        if !names.insert(name.to_lowercase()) {
            let why = "has the name of another column but for upper and lower case, which a Delta table does not tell apart";
            return Err(Error::ColumnName { column: name.clone(), why });
        }
        Ok(Field::new(name, delta_type(field)?, true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// The rows with the columns of [`delta_schema`].
pub fn to_delta(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions {
        safe: false,
        ..Default::default()
    };
    let columns = rows.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            Ok(column.clone())
        } else {
            cast_with_options(column, field.data_type(), &options)
        }
    });
    Ok(RecordBatch::try_new(
        schema.clone(),
        columns.collect::<Result<_, _>>()?,
    )?)
}

/// The schema as the Delta log writes it.
pub(crate) fn to_kernel(schema: &Schema) -> Result<StructType> {
    Ok(schema.try_into_kernel()?)
}

/// Whether there is a timestamp without a zone, which readers must know of.
pub(crate) fn has_timestamp_ntz(fields: &Fields) -> bool {
    fields.iter().any(|field| match field.data_type() {
        DataType::Timestamp(_, None) => true,
        DataType::List(item) => has_timestamp_ntz(&Fields::from(vec![item.clone()])),
        DataType::Struct(fields) => has_timestamp_ntz(fields),
        _ => false,
    })
}

fn delta_type(field: &Field) -> Result<DataType> {
    let unsupported = |cast: &str| {
        Err(Error::ColumnType {
            column: field.name().clone(),
            given: field.data_type().to_string(),
            cast: cast.replace("{}", field.name()),
        })
    };
    let list = |item: &FieldRef| -> Result<DataType> {
        let kind = delta_type(&Field::new(field.name(), item.data_type().clone(), true))?;
        Ok(DataType::List(Arc::new(Field::new("element", kind, true))))
    };
    Ok(match field.data_type() {
        kind @ (DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32) => kind.clone(),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, value) => {
            delta_type(&Field::new(field.name(), value.as_ref().clone(), true))?
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => return unsupported("CAST({} AS timestamp(6))"),
        DataType::Timestamp(_, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into()))
        }
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
            if *scale >= 0 && *scale as u8 <= *precision =>
        {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => return unsupported("CAST({} AS decimal(38, 9))"),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => list(item)?,
        DataType::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|field| Ok(Field::new(field.name(), delta_type(field)?, true)));
            DataType::Struct(fields.collect::<Result<_>>()?)
        }
        _ => return unsupported("CAST({} AS text)"),
    })
}
