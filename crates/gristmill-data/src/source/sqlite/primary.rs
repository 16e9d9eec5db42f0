//! The primary key of the table that a query reads.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;
use tokio::task::spawn_blocking;

use crate::error::Result;
use crate::settings::SourceSettings;
use crate::source::names::OwnKey;
use crate::source::sqlite::errors::query_error;
use crate::source::sqlite::uses::uses;
use crate::source::sqlite::{Sqlite, stopped};

impl Sqlite {
    /// The column of the query that has the name and the type of the primary key of the one table that it reads.
    pub(in crate::source) async fn own_key(path: &str, settings: &SourceSettings) -> Result<OwnKey> {
        let path = path.strip_prefix("//").unwrap_or(path).to_owned();
        let settings = settings.clone();
        let finding = spawn_blocking(move || {
            let (connection, _) = Self::begin(Path::new(&path), &settings)?;
            find(&connection, &settings.query).map_err(|error| query_error(&error, Some(&settings.query)))
        });
        finding.await.unwrap_or_else(|e| Err(stopped(&e)))
    }
}

fn find(connection: &Connection, query: &str) -> rusqlite::Result<OwnKey> {
    let statement = connection.prepare(query)?;
    let columns = statement.columns();
    let mut found = OwnKey {
        key: None,
        columns: columns.iter().map(|column| column.name().to_owned()).collect(),
    };
    let read = uses(connection, query)?.columns.into_iter();
    let tables: BTreeSet<(String, String)> = read.map(|(database, table, _)| (database, table)).collect();
    let mut tables = tables.into_iter();
    let (Some((database, table)), None) = (tables.next(), tables.next()) else {
        return Ok(found);
    };
    let mut keys = connection.prepare("SELECT name, type FROM pragma_table_info(?1, ?2) WHERE pk > 0")?;
    let keys = keys.query_map([table, database], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let keys: Vec<(String, String)> = keys.collect::<rusqlite::Result<_>>()?;
    if let [(name, declared)] = &keys[..] {
        // An expression has no declared type.
        let is_it = |column: &&rusqlite::Column<'_>| {
            column.name().eq_ignore_ascii_case(name) && column.decl_type() == Some(declared)
        };
        found.key = columns.iter().find(is_it).map(|column| column.name().to_owned());
    }
    Ok(found)
}
