//! What SQLite said, as an error of this crate.

use rusqlite::types::ValueRef;

use crate::error::Error;
use crate::source::sql::line_and_column;

/// What SQLite said, and where in the query.
pub(super) fn query_error(error: &rusqlite::Error, query: Option<&str>) -> Error {
    let why = match (error, query) {
        (rusqlite::Error::SqlInputError { msg, offset, .. }, Some(query)) if *offset >= 0 => {
            format!("{msg} {}", line_and_column(query, *offset as usize))
        }
        (rusqlite::Error::SqlInputError { msg, .. }, _) => msg.clone(),
        (rusqlite::Error::MultipleStatement, _) => {
            "it holds several statements; write a single SELECT".to_owned()
        }
        _ => error.to_string(),
    };
    Error::Query { why }
}

/// What SQLite calls the type of a value.
pub(super) fn type_name(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "null",
        ValueRef::Integer(_) => "integer",
        ValueRef::Real(_) => "real",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "blob",
    }
}
