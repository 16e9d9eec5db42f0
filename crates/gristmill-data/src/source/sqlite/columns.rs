//! What becomes of each SQLite column: by its declared type, or else by its first values.

use arrow::datatypes::DataType;
use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::source::sql::quoted;
use crate::source::sqlite::errors::query_error;
use crate::table::Alike;

/// Values looked at where the declared type says nothing.
const SAMPLE: u32 = 1_000;

/// One column of the query.
#[derive(Debug)]
pub(super) struct SqliteColumn {
    pub(super) name: String,
    /// As declared, or what was found.
    pub(super) database_type: String,
    pub(super) kind: SqliteKind,
    /// Whether a type is declared for it, as for no expression.
    pub(super) is_declared: bool,
    /// Which of its values are equal there and differ here.
    pub(super) alike: Option<Alike>,
    /// Numbers among text: SQLite reads them as text.
    cast: bool,
}

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum SqliteKind {
    Integer,
    Real,
    Text,
    Blob,
    Boolean,
}

impl SqliteColumn {
    pub(super) fn new(
        name: String,
        declared: Option<String>,
        connection: &Connection,
        query: &str,
    ) -> Result<Self> {
        let is_declared = declared.is_some();
        if let Some((declared, kind)) = declared
            .as_deref()
            .and_then(|d| Some((d, SqliteKind::of_declared(d)?)))
        {
            return Ok(Self {
                name,
                database_type: declared.to_owned(),
                kind,
                is_declared,
                alike: None,
                cast: false,
            });
        }
        let found = found_types(&name, connection, query).map_err(|e| query_error(&e, None))?;
        let has = |kind: &str| found.iter().any(|found| found == kind);
        let number = has("integer") || has("real");
        let kind = match (has("blob"), has("text")) {
            (true, false) if !number => SqliteKind::Blob,
            (true, _) => {
                let (given, cast) = (found.join(" and "), format!("CAST({} AS TEXT)", quoted(&name)));
                return Err(Error::ColumnType {
                    column: name,
                    given,
                    cast,
                });
            }
            (false, false) if has("real") => SqliteKind::Real,
            (false, false) if number => SqliteKind::Integer,
            (false, _) => SqliteKind::Text,
        };
        let found = if found.is_empty() {
            "null".to_owned()
        } else {
            found.join(" and ")
        };
        let database_type = match declared {
            Some(declared) => format!("{declared} (holds {found})"),
            None => format!("undeclared (holds {found})"),
        };
        Ok(Self {
            name,
            database_type,
            kind,
            is_declared,
            alike: None,
            cast: number && kind == SqliteKind::Text,
        })
    }

    /// The column as it is selected from the query `q`.
    pub(super) fn selected(&self) -> String {
        let name = quoted(&self.name);
        if self.cast {
            // SQLite's own text of a real has 15 digits, by which not every double is told apart.
            format!(
                "CASE WHEN typeof(q.{name}) = 'real' AND CAST(CAST(q.{name} AS TEXT) AS REAL) <> q.{name} \
                 THEN printf('%!.17g', q.{name}) ELSE CAST(q.{name} AS TEXT) END AS {name}"
            )
        } else {
            format!("q.{name}")
        }
    }
}

impl SqliteKind {
    /// By SQLite's rules of affinity, in their order; `None` where these leave it open.
    fn of_declared(declared: &str) -> Option<Self> {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Some(Self::Integer)
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Some(Self::Text)
        } else if has(&["BLOB"]) {
            Some(Self::Blob)
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Some(Self::Real)
        } else if has(&["BOOL"]) {
            Some(Self::Boolean)
        } else {
            None
        }
    }

    pub(super) fn arrow_type(self) -> DataType {
        match self {
            Self::Integer => DataType::Int64,
            Self::Real => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Blob => DataType::Binary,
            Self::Boolean => DataType::Boolean,
        }
    }
}

/// The types of the first values of a column that are not null.
fn found_types(name: &str, connection: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    let column = quoted(name);
    let sql = format!(
        "SELECT DISTINCT typeof(s.v) FROM (SELECT q.{column} AS v FROM ({query}\n) AS q \
         WHERE q.{column} IS NOT NULL LIMIT {SAMPLE}) AS s ORDER BY 1"
    );
    let mut statement = connection.prepare(&sql)?;
    let types = statement.query_map((), |row| row.get(0))?;
    types.collect()
}
