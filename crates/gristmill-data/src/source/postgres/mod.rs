//! PostgreSQL: one connection, one read-only transaction on a snapshot that others can join, rows by binary COPY.
//!
//! Values never enter SQL text. COPY takes no parameters, so the bounds of a range are put into two settings of the
//! transaction, which the planner looks at as it would at constants.

mod connect;
mod copy;
mod decode;
mod numeric;
mod session;
mod tls;
mod types;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio_postgres::error::{ErrorPosition, SqlState};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, SimpleQueryMessage, Statement};

use super::sql::{line_and_column, quoted, without_semicolon};
use super::{BatchStream, Bounds, ColumnType, Key, KeyRange, Source, check_names, redact};
use crate::error::{Error, Result};
use crate::settings::SourceSettings;
use session::Snapshot;
use types::PgColumn;

/// A query on one connection to PostgreSQL.
pub(super) struct Postgres {
    /// Ends the transaction and the connection when dropped.
    client: Client,
    /// Held from setting the bounds to starting the COPY that looks at them.
    bounds: Mutex<()>,
    snapshot: Snapshot,
    query: Arc<Query>,
    first_boundary: Boundary,
    next_boundary: Boundary,
}

/// Finds the key of the `$1`-th row of some: by passing over those before, which of all ways works the server least, and
/// where there are fewer, by looking for the last.
struct Boundary {
    nth: Statement,
    last: Statement,
}

/// What all connections that read the query know.
struct Query {
    settings: SourceSettings,
    /// The URL, redacted.
    url: String,
    columns: Arc<[PgColumn]>,
    /// Which column is the key.
    key: usize,
    /// The key's type as a cast names it.
    key_type: String,
    /// Whether the key travels as `Key::Int`.
    key_is_integer: bool,
    /// The query, ready to stand in parentheses.
    sql: String,
}

impl Postgres {
    pub(super) async fn connect(settings: &SourceSettings) -> Result<Self> {
        let url = redact(&settings.url);
        let client = connect::connect(&settings.url).await?;
        let snapshot = session::begin(&client, &url, None).await?;
        let query = Query::prepare(&client, settings, url).await?;
        Self::new(client, snapshot, Arc::new(query)).await
    }

    /// Another connection, on the same snapshot.
    async fn join(&self) -> Result<Self> {
        let client = connect::connect(&self.query.settings.url).await?;
        let snapshot = session::begin(&client, &self.query.url, Some(&self.snapshot)).await?;
        Self::new(client, snapshot, self.query.clone()).await
    }

    async fn new(client: Client, snapshot: Snapshot, query: Arc<Query>) -> Result<Self> {
        let prepare = async |sql: String| client.prepare(&sql).await.map_err(|error| query.failed(error));
        let boundary = async |condition: &str| {
            Ok::<_, Error>(Boundary {
                nth: prepare(query.nth_key(condition)).await?,
                last: prepare(query.last_key(condition)).await?,
            })
        };
        let next_boundary = boundary(&format!("> $2::text::{}", query.key_type)).await?;
        let first_boundary = boundary("IS NOT NULL").await?;
        Ok(Self {
            client,
            bounds: Mutex::new(()),
            snapshot,
            query,
            first_boundary,
            next_boundary,
        })
    }

    fn failed(&self, error: tokio_postgres::Error) -> Error {
        self.query.failed(error)
    }
}

impl Query {
    /// Has the server look at the query.
    async fn prepare(client: &Client, settings: &SourceSettings, url: String) -> Result<Self> {
        // Prepared as it is written, so that positions in messages are right and a second statement is refused.
        let statement = client.prepare(&settings.query).await.map_err(|error| {
            let Some(server) = error.as_db_error().filter(|server| !session::may_pass(server)) else {
                return query_error(&url, &error);
            };
            let position = match server.position() {
                Some(ErrorPosition::Original(n)) => {
                    let offset = settings.query.char_indices().nth((*n as usize).saturating_sub(1));
                    let offset = offset.map_or(settings.query.len(), |(offset, _)| offset);
                    format!(" {}", line_and_column(&settings.query, offset))
                }
                _ => String::new(),
            };
            Error::Query {
                why: server_message(server, &position),
            }
        })?;
        if !statement.params().is_empty() {
            return Err(Error::Query {
                why: "it has parameters ($1); write the values out".to_owned(),
            });
        }
        let names: Vec<String> = statement.columns().iter().map(|c| c.name().to_owned()).collect();
        check_names(&names, &settings.key, |a, b| a == b)?;
        let key = names
            .iter()
            .position(|name| *name == settings.key)
            .unwrap_or_default();

        let (oids, modifiers): (Vec<u32>, Vec<i32>) = statement
            .columns()
            .iter()
            .map(|c| (c.type_().oid(), c.type_modifier()))
            .unzip();
        // Without its modifier, a type's name is a cast that loses nothing.
        let rows = client
            .query(
                "SELECT format_type(t.oid, t.modifier), format_type(t.oid, -1) \
                 FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS t(oid, modifier, n) ORDER BY t.n",
                &[&oids, &modifiers],
            )
            .await
            .map_err(|error| query_error(&url, &error))?;
        let type_names: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();

        let key_is_integer = matches!(
            *statement.columns()[key].type_(),
            Type::INT2 | Type::INT4 | Type::INT8
        );
        let key_type = if key_is_integer {
            "bigint".to_owned()
        } else {
            type_names[key].1.clone()
        };
        let (column, sql) = (quoted(&settings.key), without_semicolon(&settings.query));
        let ordered = format!("SELECT FROM ({sql}\n) AS q WHERE q.{column} > q.{column} ORDER BY q.{column}");
        client
            .prepare(&ordered)
            .await
            .map_err(|error| match error.code() {
                Some(&SqlState::UNDEFINED_FUNCTION) => Error::KeyType {
                    key: settings.key.clone(),
                    given: type_names[key].0.clone(),
                    expected: "an integer, text, uuid, date, timestamp or numeric(p,s) column",
                },
                _ => query_error(&url, &error),
            })?;
        let columns = statement
            .columns()
            .iter()
            .zip(&type_names)
            .map(|(column, (name, _))| PgColumn::new(column, name))
            .collect::<Result<Arc<[_]>>>()?;
        Ok(Self {
            settings: settings.clone(),
            url,
            columns,
            key,
            key_type,
            key_is_integer,
            sql: sql.to_owned(),
        })
    }

    /// Finds the key after the first `$1` rows of those whose key meets a condition. Only that one is made text.
    fn nth_key(&self, condition: &str) -> String {
        format!(
            "SELECT s.k::text FROM ({} OFFSET $1 LIMIT 1) AS s",
            self.keys(condition)
        )
    }

    /// Finds the last key of the first `$1` rows of those whose key meets a condition.
    fn last_key(&self, condition: &str) -> String {
        let keys = self.keys(condition);
        format!("SELECT s.k::text FROM ({keys} LIMIT $1) AS s ORDER BY s.k DESC LIMIT 1")
    }

    fn keys(&self, condition: &str) -> String {
        let (column, sql) = (quoted(&self.settings.key), &self.sql);
        format!("SELECT q.{column} AS k FROM ({sql}\n) AS q WHERE q.{column} {condition} ORDER BY q.{column}")
    }

    /// `SELECT` of the query's rows, one way or another.
    fn select(&self, what: &str, rest: &str) -> String {
        format!("SELECT {what} FROM ({}\n) AS q {rest}", self.sql)
    }

    fn key_column(&self) -> String {
        format!("q.{}", quoted(&self.columns[self.key].name))
    }

    /// Under some collations texts that differ are equal; their bytes then tell which comes first, so that equal rows
    /// are neighbours. An index on the key still serves: only equal keys are sorted.
    fn key_order(&self) -> String {
        let key = self.key_column();
        match self.columns[self.key].kind.arrow_type() {
            DataType::Utf8 => format!("{key}, {key}::text COLLATE \"C\""),
            _ => key,
        }
    }

    fn schema(&self) -> SchemaRef {
        let field = |c: &PgColumn| Field::new(&c.name, c.kind.arrow_type(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    fn failed(&self, error: tokio_postgres::Error) -> Error {
        query_error(&self.url, &error)
    }
}

impl Source for Postgres {
    fn describe(&self) -> String {
        self.query.url.clone()
    }

    fn schema(&self) -> SchemaRef {
        self.query.schema()
    }

    fn column_types(&self) -> Vec<ColumnType> {
        let described = |c: &PgColumn| ColumnType {
            name: c.name.clone(),
            database_type: c.database_type.clone(),
            arrow_type: c.kind.arrow_type(),
        };
        self.query.columns.iter().map(described).collect()
    }

    fn snapshot(&self) -> String {
        self.snapshot.name.clone()
    }

    fn fork(&self) -> BoxFuture<'_, Result<Option<Box<dyn Source>>>> {
        async { Ok(Some(Box::new(self.join().await?) as Box<dyn Source>)) }.boxed()
    }

    fn estimated_rows(&self) -> BoxFuture<'_, Result<Option<u64>>> {
        async {
            let sql = format!("EXPLAIN (FORMAT JSON) {}", self.query.select("*", ""));
            let messages = self.client.simple_query(&sql).await.map_err(|e| self.failed(e))?;
            let plan = messages.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row
                    .get(0)
                    .and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok()),
                _ => None,
            });
            // Whole, but written as a float from some server versions on.
            Ok(plan
                .and_then(|plan| plan[0]["Plan"]["Plan Rows"].as_f64())
                .map(|rows| rows as u64))
        }
        .boxed()
    }

    fn boundary<'a>(&'a self, after: Option<&'a Key>, rows: u64) -> BoxFuture<'a, Result<Option<Key>>> {
        async move {
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            let key = async |statement: &Statement, number: i64| {
                let after = after.map(Key::to_string);
                let parameters: &[&(dyn ToSql + Sync)] = match &after {
                    None => &[&number],
                    Some(after) => &[&number, after],
                };
                let row = self.client.query_opt(statement, parameters).await;
                row.map_err(|e| self.failed(e))
            };
            let boundary = match after {
                None => &self.first_boundary,
                Some(_) => &self.next_boundary,
            };
            let mut row = key(&boundary.nth, rows - 1).await?;
            if row.is_none() {
                row = key(&boundary.last, rows).await?;
            }
            let Some(row) = row else {
                return Ok(None);
            };
            let text: String = row.try_get(0).map_err(|e| self.failed(e))?;
            match text.parse() {
                Ok(value) if self.query.key_is_integer => Ok(Some(Key::Int(value))),
                _ => Ok(Some(Key::Text(text))),
            }
        }
        .boxed()
    }

    fn has_null_keys(&self) -> BoxFuture<'_, Result<bool>> {
        async {
            let rows = self
                .query
                .select("1", &format!("WHERE {} IS NULL", self.query.key_column()));
            let row = self
                .client
                .query_one(&format!("SELECT EXISTS ({rows})"), &[])
                .await;
            row.and_then(|row| row.try_get(0)).map_err(|e| self.failed(e))
        }
        .boxed()
    }

    fn read<'a>(&'a self, range: &'a KeyRange) -> BoxFuture<'a, Result<BatchStream>> {
        async move {
            let (key, key_type) = (self.query.key_column(), &self.query.key_type);
            let bound = |name: &str| format!("current_setting('gristmill.{name}')::{key_type}");
            let (condition, after, until) = match &range.bounds {
                Bounds::Null => (format!("{key} IS NULL"), String::new(), String::new()),
                Bounds::Between { after: None, until } => (
                    format!("{key} <= {}", bound("until")),
                    String::new(),
                    until.to_string(),
                ),
                Bounds::Between {
                    after: Some(after),
                    until,
                } => (
                    format!("{key} > {} AND {key} <= {}", bound("after"), bound("until")),
                    after.to_string(),
                    until.to_string(),
                ),
            };
            let rows = self.query.select(
                "*",
                &format!("WHERE {condition} ORDER BY {}", self.query.key_order()),
            );
            let guard = self.bounds.lock().await;
            self.client
                .execute(
                    "SELECT set_config('gristmill.after', $1, true), set_config('gristmill.until', $2, true)",
                    &[&after, &until],
                )
                .await
                .map_err(|e| self.failed(e))?;
            let copy = format!("COPY ({rows}) TO STDOUT (FORMAT binary)");
            let stream = self.client.copy_out(&copy).await.map_err(|e| self.failed(e))?;
            drop(guard);
            Ok(copy::batches(
                stream,
                self.query.columns.clone(),
                self.schema(),
                self.query.key,
                self.query.url.clone(),
            ))
        }
        .boxed()
    }
}

/// What the server or the connection said.
fn query_error(url: &str, error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(server) if !session::may_pass(server) => Error::Query {
            why: server_message(server, ""),
        },
        Some(server) => Error::Unavailable {
            url: url.to_owned(),
            why: server_message(server, ""),
        },
        None => Error::Unavailable {
            url: url.to_owned(),
            why: format!("the connection failed: {}", chain(error)),
        },
    }
}

/// A server's message with all that it adds to it.
fn server_message(server: &tokio_postgres::error::DbError, position: &str) -> String {
    let mut message = format!("{}{position}", server.message());
    for (name, more) in [("detail", server.detail()), ("hint", server.hint())] {
        if let Some(more) = more {
            message.push_str(&format!("; {name}: {more}"));
        }
    }
    message
}

/// An error with its causes: the driver's own words alone are only `db error` or `error connecting to server`.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        // Some causes are already part of the text of what they caused.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
