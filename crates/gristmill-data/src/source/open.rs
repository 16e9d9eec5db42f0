//! From the URL of a source to the source.

use std::sync::Arc;

use super::once::readable;
use super::{Source, files, mysql, postgres, sqlite};
use crate::error::{Error, Result};
use crate::guard::caught_async;
use crate::settings::{KeyColumns, SourceSettings, SourceUrl};

/// Connects to the database that the URL names and prepares the query.
pub async fn connect(settings: &SourceSettings) -> Result<Box<dyn Source>> {
    settings.url.usable()?;
    let what = format!("connecting to {}", settings.url);
    // A driver may panic at what a server says, and a library at what is in a file.
    caught_async(&what, open(settings)).await
}

/// Names the snapshot that a source would be read from now, without looking at the query; equal names mean equal data.
///
/// # Errors
/// When the source cannot be reached.
pub async fn current_snapshot(settings: &SourceSettings) -> Result<String> {
    settings.url.usable()?;
    let what = format!("connecting to {}", settings.url);
    let asking = async {
        match settings.url.revealed().split_once(':') {
            Some(("sqlite", path)) => sqlite::Sqlite::current_snapshot(path, settings).await,
            Some(("postgres" | "postgresql", _)) => postgres::Postgres::current_snapshot(settings).await,
            Some(("mysql" | "mariadb", _)) => mysql::MySql::current_snapshot(settings).await,
            Some((scheme, rest)) => files::Files::current_snapshot(scheme, rest, settings).await,
            None => Err(settings.url.wrong("unknown kind of database".to_owned())),
        }
    };
    caught_async(&what, asking).await
}

/// The key of a query for which none is given: the column that is the primary key of a table, where the database says so.
///
/// # Errors
/// `NoKey` when no column is, and when the source cannot be reached.
pub async fn own_key(settings: &SourceSettings) -> Result<KeyColumns> {
    settings.url.usable()?;
    let what = format!("connecting to {}", settings.url);
    let asking = async {
        let database = "no column of source.query is by itself the primary key of a table";
        let (found, why) = match settings.url.revealed().split_once(':') {
            Some(("sqlite", path)) => (sqlite::Sqlite::own_key(path, settings).await?, database),
            Some(("postgres" | "postgresql", _)) => (postgres::Postgres::own_key(settings).await?, database),
            Some(("mysql" | "mariadb", _)) => (mysql::MySql::own_key(settings).await?, database),
            Some((scheme, rest)) => {
                let files = files::Files::own_key(scheme, rest, settings).await?;
                (files, "files do not say which column tells their rows apart")
            }
            None => return Err(settings.url.wrong("unknown kind of database".to_owned())),
        };
        let columns = found.columns;
        let key = found.key.ok_or(Error::NoKey { why, columns })?;
        Ok(KeyColumns::from(&*key))
    };
    caught_async(&what, asking).await
}

async fn open(settings: &SourceSettings) -> Result<Box<dyn Source>> {
    match settings.url.revealed().split_once(':') {
        Some(("sqlite", path)) => readable(sqlite::Sqlite::connect(path, settings).await?, settings),
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
            readable(Arc::new(postgres::Postgres::connect(settings).await?), settings)
        }
        Some(("mysql" | "mariadb", rest)) if rest.starts_with("//") => {
            readable(mysql::MySql::connect(settings).await?, settings)
        }
        Some((scheme @ ("parquet" | "csv" | "delta"), rest)) => {
            Ok(Box::new(files::Files::connect(scheme, rest, settings).await?))
        }
        _ => Err(settings.url.wrong("unknown kind of database".to_owned())),
    }
}

/// The query that stands where none is given, for a source that has one table only.
pub fn default_query(url: &SourceUrl) -> Option<String> {
    let files = ["parquet", "csv", "delta"].contains(&url.scheme());
    files.then(|| format!("SELECT * FROM {}", files::TABLE))
}
