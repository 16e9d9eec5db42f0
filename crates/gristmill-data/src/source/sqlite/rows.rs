//! Rows of a SQLite statement into record batches; a value that is not of its column's type is an error.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
};
use arrow::datatypes::SchemaRef;
use rusqlite::limits::Limit;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};

use crate::budget::RowBudget;
use crate::error::{Error, Result};
use crate::source::names::row_named;
use crate::source::sql::quoted;
use crate::source::sqlite::columns::{SqliteColumn, SqliteKind};
use crate::source::sqlite::errors::{query_error, type_name};
use crate::source::{MAX_BATCH_BYTES, MAX_BATCH_ROWS};

/// Bytes that SQLite may give in any case.
const LEAST_LIMIT: u64 = 1 << 20;

/// What the rows of a query have, and what they may take.
pub(super) struct Shape {
    pub(super) columns: Arc<[SqliteColumn]>,
    pub(super) schema: SchemaRef,
    /// Which columns are the key.
    pub(super) key: Arc<[usize]>,
    pub(super) memory: RowBudget,
}

/// Reads all rows, a record batch at a time, until `send` says that no more are wanted.
pub(super) fn read(
    connection: &Connection,
    sql: &str,
    parameters: Vec<Value>,
    shape: &Shape,
    send: impl Fn(RecordBatch) -> bool,
) -> Result<()> {
    let Shape { columns, memory, .. } = shape;
    // SQLite then refuses a value before it has read it. The limit is also for rows as it puts them together to sort them.
    let most = memory.largest_value().saturating_mul(columns.len() as u64 + 1) + LEAST_LIMIT;
    let before = connection
        .limit(Limit::SQLITE_LIMIT_LENGTH)
        .map_err(|e| query_error(&e, None))?;
    let most = i32::try_from(most).unwrap_or(i32::MAX).min(before);
    connection
        .set_limit(Limit::SQLITE_LIMIT_LENGTH, most)
        .map_err(|e| query_error(&e, None))?;
    let read = read_within(connection, sql, parameters.clone(), shape, send);
    connection
        .set_limit(Limit::SQLITE_LIMIT_LENGTH, before)
        .map_err(|e| query_error(&e, None))?;
    match read {
        Err(Failed::TooBig) => Err(too_big(connection, sql, parameters, shape, most)?),
        Err(Failed::Other(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// Why reading failed.
enum Failed {
    /// A value is longer than the limit.
    TooBig,
    Other(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<arrow::error::ArrowError> for Failed {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Other(error.into())
    }
}

fn failed(error: &rusqlite::Error) -> Failed {
    match error.sqlite_error_code() {
        Some(ErrorCode::TooBig) => Failed::TooBig,
        _ => Failed::Other(query_error(error, None)),
    }
}

/// The error of the first value that has more bytes than SQLite was allowed to give, found by its length alone.
fn too_big(
    connection: &Connection,
    sql: &str,
    parameters: Vec<Value>,
    shape: &Shape,
    most: i32,
) -> Result<Error> {
    let failed = |error: rusqlite::Error| query_error(&error, None);
    let key = |i: &usize| format!("s.{}", quoted(&shape.columns[*i].name));
    let keys = shape.key.iter().map(key).collect::<Vec<_>>().join(", ");
    for column in shape.columns.iter() {
        let length = format!("octet_length(s.{})", quoted(&column.name));
        let sql = format!("SELECT {length}, {keys} FROM ({sql}) AS s WHERE {length} > {most} LIMIT 1");
        let mut statement = connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement
            .query(params_from_iter(parameters.clone()))
            .map_err(failed)?;
        if let Some(row) = rows.next().map_err(failed)? {
            let bytes: i64 = row.get(0).map_err(failed)?;
            let place = |i: usize| shape.key.iter().position(|key| *key == i).map_or(0, |at| at + 1);
            return Ok(Error::Value {
                column: column.name.clone(),
                row: row_named(
                    &shape.key,
                    |i| &shape.columns[i].name,
                    |i| row.get_ref(place(i)).map_or_else(|e| e.to_string(), shown),
                ),
                why: shape.memory.refused(bytes as usize).unwrap_or_default(),
            });
        }
    }
    Ok(Error::Query {
        why: format!(
            "a value that it computes, or a row, has more than {most} bytes; shorten it, or raise run.memory"
        ),
    })
}

/// Reads all rows under the limit.
fn read_within(
    connection: &Connection,
    sql: &str,
    parameters: Vec<Value>,
    shape: &Shape,
    send: impl Fn(RecordBatch) -> bool,
) -> Result<(), Failed> {
    let Shape {
        columns,
        schema,
        key,
        memory,
    } = shape;
    let mut statement = connection.prepare(sql).map_err(|e| failed(&e))?;
    let mut rows = statement
        .query(params_from_iter(parameters))
        .map_err(|e| failed(&e))?;
    let mut builders: Vec<ColumnBuilder> = columns.iter().map(|c| ColumnBuilder::new(c.kind)).collect();
    let (mut count, mut bytes) = (0, 0);
    loop {
        let row = rows.next().map_err(|e| failed(&e))?;
        if count > 0 && (row.is_none() || count >= MAX_BATCH_ROWS || bytes >= MAX_BATCH_BYTES) {
            let arrays: Vec<ArrayRef> = builders.iter_mut().map(ColumnBuilder::finish).collect();
            (count, bytes) = (0, 0);
            if !send(RecordBatch::try_new(schema.clone(), arrays)?) {
                return Ok(());
            }
        }
        let Some(row) = row else { return Ok(()) };
        for (i, builder) in builders.iter_mut().enumerate() {
            let value = row.get_ref(i).map_err(|e| failed(&e))?;
            let length = match value {
                ValueRef::Text(value) | ValueRef::Blob(value) => value.len(),
                _ => 8,
            };
            let column = &columns[i];
            let refused = |why| Error::Value {
                column: column.name.clone(),
                row: row_named(
                    key,
                    |i| &columns[i].name,
                    |i| row.get_ref(i).map_or_else(|e| e.to_string(), shown),
                ),
                why,
            };
            if let Some(why) = memory.refused(length) {
                return Err(refused(why).into());
            }
            bytes += length;
            builder.append(value).map_err(|cast| {
                refused(format!(
                    "found the {} {}, expected a value of type {}; write {} in source.query",
                    type_name(value),
                    shown(value),
                    column.database_type,
                    cast.replace("{column}", &quoted(&column.name)),
                ))
            })?;
        }
        count += 1;
    }
}

/// A value for a message.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => format!("{value:?}"),
        ValueRef::Text(value) => {
            let text = String::from_utf8_lossy(value);
            let short: String = text.chars().take(40).collect();
            format!("{short:?}{}", if short.len() < text.len() { "…" } else { "" })
        }
        ValueRef::Blob(value) => format!("of {} bytes", value.len()),
    }
}

enum ColumnBuilder {
    Integer(Int64Builder),
    Real(Float64Builder),
    Text(StringBuilder),
    Blob(BinaryBuilder),
    Boolean(BooleanBuilder),
}

impl ColumnBuilder {
    fn new(kind: SqliteKind) -> Self {
        match kind {
            SqliteKind::Integer => Self::Integer(Int64Builder::new()),
            SqliteKind::Real => Self::Real(Float64Builder::new()),
            SqliteKind::Text => Self::Text(StringBuilder::new()),
            SqliteKind::Blob => Self::Blob(BinaryBuilder::new()),
            SqliteKind::Boolean => Self::Boolean(BooleanBuilder::new()),
        }
    }

    /// Takes in a value, or says with which cast it could be.
    fn append(&mut self, value: ValueRef<'_>) -> Result<(), &'static str> {
        const AS_TEXT: &str = "CAST({column} AS TEXT)";
        match (self, value) {
            (Self::Integer(b), ValueRef::Null) => b.append_null(),
            (Self::Integer(b), ValueRef::Integer(value)) => b.append_value(value),
            (Self::Integer(b), ValueRef::Real(value)) => {
                // The bounds are exact: 2^63 is the first that does not fit.
                let whole = value.fract() == 0.0 && (-(2_f64.powi(63))..2_f64.powi(63)).contains(&value);
                b.append_value(whole.then_some(value as i64).ok_or("CAST({column} AS REAL)")?);
            }
            (Self::Real(b), ValueRef::Null) => b.append_null(),
            (Self::Real(b), ValueRef::Real(value)) => b.append_value(value),
            // Two integers beyond 2^53 may be one double.
            (Self::Real(b), ValueRef::Integer(value)) => {
                let double = value as f64;
                let exact = double as i128 == i128::from(value);
                b.append_value(exact.then_some(double).ok_or(AS_TEXT)?);
            }
            (Self::Text(b), ValueRef::Null) => b.append_null(),
            (Self::Text(b), ValueRef::Text(value)) => {
                b.append_value(
                    std::str::from_utf8(value).map_err(|_| "CAST({column} AS BLOB): it is not UTF-8")?,
                );
            }
            (Self::Blob(b), ValueRef::Null) => b.append_null(),
            (Self::Blob(b), ValueRef::Blob(value)) => b.append_value(value),
            (Self::Boolean(b), ValueRef::Null) => b.append_null(),
            (Self::Boolean(b), ValueRef::Integer(value @ (0 | 1))) => b.append_value(value == 1),
            (Self::Boolean(_), ValueRef::Integer(_)) => return Err("CAST({column} AS INTEGER)"),
            (Self::Blob(_), _) => return Err("CAST({column} AS BLOB)"),
            _ => return Err(AS_TEXT),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integer(b) => Arc::new(b.finish()),
            Self::Real(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Blob(b) => Arc::new(b.finish()),
            Self::Boolean(b) => Arc::new(b.finish()),
        }
    }
}
