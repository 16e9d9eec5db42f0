//! Which values of each SQLite column are equal by `=` and yet differ as they are written here.

use std::collections::BTreeSet;

use rusqlite::Connection;

use crate::error::Result;
use crate::source::sql::quoted;
use crate::source::sqlite::columns::{SqliteColumn, SqliteKind};
use crate::source::sqlite::errors::query_error;
use crate::source::sqlite::uses::uses;
use crate::table::Alike;

/// Finds the columns that have such values.
///
/// A column of a table has a collation. An expression over it may have lost that, as `coalesce(name, '')` does, and its values are
/// those of the column all the same; SQLite does not tell which columns they come from. So where the query reads any
/// column under `NOCASE`, an expression is taken only if the query calls `lower` or `upper` and its values are of one case, as
/// those of `lower(name)` are. (Those of `hex(name)` are too, and `a` and `A` differ in them.)
pub(super) fn find_alike(columns: &mut [SqliteColumn], connection: &Connection, query: &str) -> Result<()> {
    let failed = |error: rusqlite::Error| query_error(&error, None);
    let mut origins = None;
    for column in columns.iter_mut() {
        if !matches!(column.kind, SqliteKind::Text | SqliteKind::Blob) {
            continue;
        }
        let name = quoted(&column.name);
        if let Some(collation) = collation(&format!("SELECT q.{name} AS v FROM ({query}\n) AS q"), connection)
        {
            column.alike = Some(alike(column, format!("text under {collation}")));
            continue;
        }
        let origins = match &origins {
            Some(origins) => origins,
            None => origins.insert(Origins::of(connection, query).map_err(failed)?),
        };
        if column.is_declared && !origins.mixed {
            continue;
        }
        if let Some(under) = &origins.collated
            && !(folds(query) && is_of_one_case(&name, connection, query).map_err(failed)?)
        {
            column.alike = Some(alike(column, format!("made by the query, which reads {under}")));
        }
    }
    Ok(())
}

fn alike(column: &SqliteColumn, of: String) -> Alike {
    let name = quoted(&column.name);
    let instead = match column.kind {
        SqliteKind::Blob => format!("lower(CAST({name} AS TEXT))"),
        _ => format!("lower({name})"),
    };
    Alike::new(of, "`a` and `A`", instead)
}

/// The collation of the column `v` of a `SELECT`, if its equal values may differ.
///
/// SQLite does not tell the collation of a column, but compares with it what stands below the column in a `UNION`. `BINARY` compares
/// bytes, `RTRIM` these without blanks at the end, which the split leaves aside too.
fn collation(select: &str, connection: &Connection) -> Option<String> {
    let sql = format!("SELECT s.v = 'A' FROM ({select} WHERE 0 UNION ALL SELECT 'a') AS s");
    match connection.query_row(&sql, (), |row| row.get(0)) {
        Ok(false) => None,
        Ok(true) => Some("the collation NOCASE".to_owned()),
        // That of a program which this is not.
        Err(error) => Some(format!("a collation that is not known here ({error})")),
    }
}

/// Whether the query calls a function that makes text of one case.
fn folds(query: &str) -> bool {
    let text: String = query.split_whitespace().collect();
    let text = text.replace('"', "").to_ascii_lowercase();
    ["lower(", "upper("].iter().any(|call| text.contains(call))
}

/// Where the values of the query come from.
struct Origins {
    /// Whether a column with a declared type may hold the values of other columns: where the query puts the rows of several
    /// together, selects a value by a query of its own, or reads a table with generated columns.
    mixed: bool,
    /// A column that the query reads and whose equal values may differ, with its collation.
    collated: Option<String>,
}

impl Origins {
    fn of(connection: &Connection, query: &str) -> rusqlite::Result<Self> {
        let mut mixed = is_compound(connection, query)?;
        let mut all = uses(connection, query)?.columns;
        let tables = all
            .iter()
            .map(|(database, table, _)| (database.clone(), table.clone()));
        for (database, table) in tables.collect::<BTreeSet<_>>() {
            let columns = columns_of(connection, &database, &table)?;
            // A generated column that is stored is read without those that it was computed from.
            if columns.iter().any(|(_, generated)| *generated) {
                mixed = true;
                let columns = columns.into_iter();
                all.extend(columns.map(|(column, _)| (database.clone(), table.clone(), column)));
            }
        }
        let collated = all.into_iter().find_map(|(database, table, column)| {
            let (table_name, column_name) = (quoted(&table), quoted(&column));
            let select = format!(
                "SELECT {column_name} AS v FROM {}.{table_name}",
                quoted(&database)
            );
            let collation = collation(&select, connection)?;
            Some(format!("`{table}.{column}` under {collation}"))
        });
        Ok(Self { mixed, collated })
    }
}

/// Whether the query puts the rows of several together, or selects a value by a query of its own.
fn is_compound(connection: &Connection, query: &str) -> rusqlite::Result<bool> {
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
    let steps = plan.query_map((), |row| row.get::<_, String>("detail"))?;
    for step in steps {
        let step = step?;
        let signs = ["COMPOUND", "UNION", "SCALAR SUBQUERY"];
        if signs.iter().any(|sign| step.contains(sign)) || step.starts_with("MERGE (") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The columns of a table, and whether each is computed from others.
fn columns_of(connection: &Connection, database: &str, table: &str) -> rusqlite::Result<Vec<(String, bool)>> {
    let mut columns = connection.prepare("SELECT name, hidden IN (2, 3) FROM pragma_table_xinfo(?1, ?2)")?;
    let columns = columns.query_map((table, database), |row| Ok((row.get(0)?, row.get(1)?)))?;
    columns.collect()
}

/// Whether no value of a column has letters of both cases by which another could differ: all are as `lower` leaves them, or all as
/// `upper` does.
fn is_of_one_case(name: &str, connection: &Connection, query: &str) -> rusqlite::Result<bool> {
    for fold in ["lower", "upper"] {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM ({query}\n) AS q WHERE {fold}(CAST(q.{name} AS TEXT)) <> CAST(q.{name} AS TEXT) COLLATE BINARY)"
        );
        if !connection.query_row(&sql, (), |row| row.get::<_, bool>(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}
