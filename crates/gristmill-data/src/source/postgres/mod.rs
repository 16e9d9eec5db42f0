//! PostgreSQL: one connection, one read-only transaction on a snapshot that others can join, rows by binary COPY.
//!
//! Values never enter SQL text. COPY takes no parameters, so the bounds of a range are put into two settings of the
//! transaction, which the planner looks at as it would at constants.

pub(crate) mod connect;
mod copy;
pub(crate) mod decode;
mod density;
mod equality;
pub(crate) mod errors;
mod hosts;
pub(crate) mod numeric;
mod onward;
mod order;
mod passfile;
mod plan;
mod primary;
mod service;
pub(crate) mod session;
mod stability;
mod tls;
pub(crate) mod types;
mod whole;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use futures::FutureExt;
use futures::future::{BoxFuture, try_join};
use tokio::sync::Mutex;
use tokio_postgres::error::{ErrorPosition, SqlState};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use crate::error::{Error, Result};
use crate::key::{Bounds, Key, KeyRange};
use crate::settings::SourceSettings;
use crate::source::limits::Limits;
use crate::source::names::find_key;
use crate::source::sql::{line_and_column, quoted, without_semicolon};
use crate::source::stability::Stability;
use crate::source::{BatchStream, ColumnType, Estimate, KeyAccess, OpenRange, Source};
#[cfg(any(test, feature = "fuzzing"))]
pub use copy::fuzz::copy_stream;

use connect::Connected;
use density::Density;
use errors::{LastWords, may_pass, query_error, server_message, with_last_words};
use order::Order;
use session::Snapshot;
use types::{PgColumn, PgKind};

/// Sets settings of the transaction.
const SET_BOUNDS: &str =
    "SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS t(name, value)";

/// A query on one connection to PostgreSQL.
pub(super) struct Postgres {
    /// Ends the transaction and the connection when dropped.
    client: Client,
    last_words: LastWords,
    limits: Limits,
    /// Those prepared so far, by their SQL, of which there are few: that the next range is asked for in one round trip
    /// counts, for until then the server rests.
    statements: Mutex<HashMap<String, Statement>>,
    /// Held from setting the bounds to starting the COPY that looks at them.
    bounds: Mutex<()>,
    snapshot: Snapshot,
    query: Arc<Query>,
}

/// What all connections that read the query know.
struct Query {
    settings: SourceSettings,
    /// The URL, redacted.
    url: String,
    columns: Arc<[PgColumn]>,
    /// Which columns are the key.
    key: Arc<[usize]>,
    key_parts: Vec<KeyPart>,
    /// The tables and views it reads, by their numbers in the server's catalogue.
    relations: String,
    tables: Vec<String>,
    /// Whether the rows after a key can be asked for by their number.
    reads_on: bool,
    /// The parallel workers that a range may have, as the server is set.
    workers: String,
    density: Density,
    stability: Stability,
    /// The query, ready to stand in parentheses.
    sql: String,
}

/// A column of the key.
struct KeyPart {
    /// It, in the query `q`.
    column: String,
    /// Its type as a cast names it.
    cast: String,
    /// Whether it travels as `Key::Int`.
    is_integer: bool,
    is_text: bool,
}

impl Postgres {
    pub(super) async fn connect(settings: &SourceSettings) -> Result<Self> {
        let url = settings.url.to_string();
        let (connected, snapshot) = Self::begin(settings).await?;
        let query = Query::prepare(&connected.client, settings, url.clone()).await;
        let query = query.map_err(|error| connected.told(&url, error))?;
        Ok(Self::new(connected, snapshot, Arc::new(query)))
    }

    /// What a connection made now would read.
    pub(super) async fn current_snapshot(settings: &SourceSettings) -> Result<String> {
        Ok(Self::begin(settings).await?.1.name)
    }

    /// Connects, and begins a transaction on a snapshot of its own.
    async fn begin(settings: &SourceSettings) -> Result<(Connected, Snapshot)> {
        let url = settings.url.to_string();
        let connected = connect::connect(&settings.url).await?;
        let begin = session::begin(&connected.client, &url, None);
        let snapshot = connected.limits.connecting(&url, "the server", begin).await;
        let snapshot = snapshot.map_err(|error| connected.told(&url, error))?;
        Ok((connected, snapshot))
    }

    /// Another connection, on the same snapshot.
    async fn join(&self) -> Result<Self> {
        let connected = connect::connect(&self.query.settings.url).await?;
        let (client, url) = (&connected.client, &self.query.url);
        let begin = session::begin(client, url, Some(&self.snapshot));
        let snapshot = connected.limits.connecting(url, "the server", begin).await?;
        // From here on its tables are locked against being replaced. Had one been before, it would be seen without rows.
        let prepared = client.prepare(&self.query.settings.query).await;
        prepared.map_err(|error| query_error(url, &error))?;
        if session::relations(client, url).await? != self.query.relations {
            return Err(Error::SnapshotGone {
                url: url.clone(),
                why: "a table of the query was replaced meanwhile".to_owned(),
            });
        }
        Ok(Self::new(connected, snapshot, self.query.clone()))
    }

    fn new(connected: Connected, snapshot: Snapshot, query: Arc<Query>) -> Self {
        Self {
            client: connected.client,
            last_words: connected.last_words,
            limits: connected.limits,
            statements: Mutex::default(),
            bounds: Mutex::default(),
            snapshot,
            query,
        }
    }

    async fn prepared(&self, sql: &str) -> Result<Statement> {
        let mut statements = self.statements.lock().await;
        if let Some(statement) = statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await.map_err(|e| self.failed(e))?;
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn failed(&self, error: tokio_postgres::Error) -> Error {
        with_last_words(
            &self.last_words,
            &self.query.url,
            query_error(&self.query.url, &error),
        )
    }
}

impl Query {
    /// Has the server look at the query.
    async fn prepare(client: &Client, settings: &SourceSettings, url: String) -> Result<Self> {
        // Prepared as it is written, so that positions in messages are right and a second statement is refused.
        let statement = client.prepare(&settings.query).await.map_err(|error| {
            let Some(server) = error.as_db_error().filter(|server| !may_pass(server)) else {
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
        let relations = session::relations(client, &url).await?;
        let tables = session::tables(client, &relations).await;
        let names: Vec<String> = statement.columns().iter().map(|c| c.name().to_owned()).collect();
        let key = find_key(&names, &settings.key, |a, b| a == b)?;

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
        let names_of = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let type_names: Result<Vec<(String, String)>, _> = rows.iter().map(names_of).collect();
        let type_names = type_names.map_err(|error| query_error(&url, &error))?;
        if type_names.len() != names.len() {
            return Err(Error::Answer {
                url,
                why: format!("{} types for {} columns", type_names.len(), names.len()),
            });
        }

        let sql = without_semicolon(&settings.query);
        for &i in &*key {
            let column = format!("q.{}", quoted(&names[i]));
            let ordered = format!("SELECT FROM ({sql}\n) AS q WHERE {column} > {column} ORDER BY {column}");
            client
                .prepare(&ordered)
                .await
                .map_err(|error| match error.code() {
                    Some(&SqlState::UNDEFINED_FUNCTION) => Error::KeyType {
                        key: names[i].clone(),
                        given: type_names[i].0.clone(),
                        expected: "an integer, text, uuid, date, timestamp or numeric(p,s) column",
                    },
                    _ => query_error(&url, &error),
                })?;
        }
        let mut columns = statement
            .columns()
            .iter()
            .zip(&type_names)
            .map(|(column, (name, _))| PgColumn::new(column, name))
            .collect::<Result<Vec<_>>>()?;
        let collations = equality::collations(client, sql, statement.columns()).await;
        let collations = collations.map_err(|error| query_error(&url, &error))?;
        let read: Vec<u32> = relations.split(' ').filter_map(|oid| oid.parse().ok()).collect();
        let loose = equality::loose(client, &read).await;
        let loose = loose.map_err(|error| query_error(&url, &error))?;
        let wire = statement.columns().iter().zip(&collations);
        for (column, (wire, collation)) in columns.iter_mut().zip(wire) {
            column.alike = equality::alike(wire, collation.as_ref(), loose.as_deref());
        }
        let columns: Arc<[PgColumn]> = columns.into();
        let stability = stability::of(client, sql).await;
        let stability = stability.map_err(|error| query_error(&url, &error))?;
        let key_part = |&i: &usize| {
            let is_integer = matches!(columns[i].kind, PgKind::Int2 | PgKind::Int4 | PgKind::Int8);
            KeyPart {
                column: format!("q.{}", quoted(&columns[i].name)),
                // A bound may lie beyond a narrower type.
                cast: if is_integer { "bigint" } else { &type_names[i].1 }.to_owned(),
                is_integer,
                is_text: columns[i].kind.arrow_type() == DataType::Utf8,
            }
        };
        let key_parts: Vec<KeyPart> = key.iter().map(key_part).collect();
        // `WITH TIES` came with version 13. Of integers, a row's value tells the key; of other types, only the server does.
        let row = client
            .query_one(
                "SELECT current_setting('server_version_num')::int4 >= 130000, \
                 current_setting('max_parallel_workers_per_gather')",
                &[],
            )
            .await
            .map_err(|error| query_error(&url, &error))?;
        let settings_of = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let (with_ties, workers) = settings_of(&row).map_err(|error| query_error(&url, &error))?;
        let reads_on = with_ties && matches!(key_parts.as_slice(), [part] if part.is_integer);
        Ok(Self {
            tables,
            settings: settings.clone(),
            url,
            columns,
            key,
            key_parts,
            relations,
            reads_on,
            workers,
            density: Density::default(),
            stability,
            sql: sql.to_owned(),
        })
    }

    /// Finds the key after the first `$1` rows of those whose key meets a condition. Only that one is made text.
    fn nth_key(&self, condition: &str) -> String {
        let keys = self.keys(condition);
        format!(
            "SELECT {} FROM ({keys} OFFSET $1 LIMIT 1) AS s",
            self.of_parts("s.k{}::text")
        )
    }

    /// Finds the last key of the first `$1` rows of those whose key meets a condition.
    fn last_key(&self, condition: &str) -> String {
        let (texts, last_first) = (self.of_parts("s.k{}::text"), self.of_parts("s.k{} DESC"));
        let keys = self.keys(condition);
        format!("SELECT {texts} FROM ({keys} LIMIT $1) AS s ORDER BY {last_first} LIMIT 1")
    }

    fn keys(&self, condition: &str) -> String {
        let parts = self.key_parts.iter().enumerate();
        let keys = list(parts.map(|(i, part)| format!("{} AS k{i}", part.column)));
        let order = list(self.key_parts.iter().map(|part| part.column.clone()));
        self.select(&keys, &format!("WHERE {condition} ORDER BY {order}"))
    }

    /// For each part of the key the pattern, with its number for `{}`.
    fn of_parts(&self, pattern: &str) -> String {
        list((0..self.key_parts.len()).map(|i| pattern.replace("{}", &i.to_string())))
    }

    /// The condition that the key compares with a value, whose parts `value` gives as text, and has no null.
    fn compared(&self, operator: &str, value: impl Fn(usize) -> String) -> String {
        let parts = self.key_parts.iter().enumerate();
        let columns = list(parts.clone().map(|(_, part)| part.column.clone()));
        let values = list(parts.map(|(i, part)| format!("{}::{}", value(i), part.cast)));
        match self.key_parts.len() {
            1 => format!("{columns} {operator} {values}"),
            // Where the first parts differ, the others are not looked at.
            _ => format!("({columns}) {operator} ({values}) AND {}", self.not_null(1)),
        }
    }

    /// The condition that no part of the key is null, from one of them on.
    fn not_null(&self, from: usize) -> String {
        let parts = self.key_parts[from..].iter();
        let conditions: Vec<String> = parts.map(|part| format!("{} IS NOT NULL", part.column)).collect();
        conditions.join(" AND ")
    }

    /// The condition that some part of the key is null.
    fn null(&self) -> String {
        let parts = self.key_parts.iter();
        let conditions: Vec<String> = parts.map(|part| format!("{} IS NULL", part.column)).collect();
        conditions.join(" OR ")
    }

    /// The parts of a key as text.
    fn texts(&self, key: &Key) -> Result<Vec<String>> {
        Ok(key
            .parts(self.key_parts.len())?
            .iter()
            .map(Key::to_string)
            .collect())
    }

    /// `SELECT` of the query's rows, one way or another.
    fn select(&self, what: &str, rest: &str) -> String {
        format!("SELECT {what} FROM ({}\n) AS q {rest}", self.sql)
    }

    /// Under some collations texts that differ are equal; their bytes then tell which comes first, so that equal rows
    /// are neighbours. An index on the key still serves: only equal keys are sorted.
    fn key_order(&self) -> String {
        let columns = self.key_parts.iter().map(|part| part.column.clone());
        let texts = self.key_parts.iter().filter(|part| part.is_text);
        list(columns.chain(texts.map(|part| format!("{}::text COLLATE \"C\"", part.column))))
    }

    /// What asks for rows in some order, with the settings that it looks at.
    fn order(&self, order: Order) -> (String, Vec<(&'static str, String)>) {
        const ROWS: &str = "gristmill.rows";
        const WORKERS: &str = "max_parallel_workers_per_gather";
        let rows = format!("(current_setting('{ROWS}')::bigint)");
        let workers = (WORKERS, self.workers.clone());
        let by_key = format!("ORDER BY {}", self.key_order());
        match order {
            Order::ByKey => (by_key, vec![workers]),
            Order::FirstByKey(most) => (
                format!("{by_key} FETCH FIRST {rows} ROWS WITH TIES"),
                vec![workers, (ROWS, most.to_string())],
            ),
            // Workers would mix the rows of theirs.
            Order::AsTheyCome(most) => (
                format!("LIMIT {rows}"),
                vec![(WORKERS, "0".to_owned()), (ROWS, most.to_string())],
            ),
        }
    }

    fn schema(&self) -> SchemaRef {
        let field = |c: &PgColumn| Field::new(&c.name, c.kind.arrow_type(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}

/// Shared, for rows on their way may ask their connection for more.
impl Source for Arc<Postgres> {
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
            alike: c.alike.clone(),
        };
        self.query.columns.iter().map(described).collect()
    }

    fn tables(&self) -> Vec<String> {
        self.query.tables.clone()
    }

    fn snapshot(&self) -> String {
        self.snapshot.name.clone()
    }

    fn fork(&self) -> BoxFuture<'_, Result<Option<Box<dyn Source>>>> {
        async { Ok(Some(Box::new(Arc::new(self.join().await?)) as Box<dyn Source>)) }.boxed()
    }

    fn estimate(&self) -> BoxFuture<'_, Result<Estimate>> {
        self.expected().boxed()
    }

    fn key_access(&self, rows: u64) -> BoxFuture<'_, Result<KeyAccess>> {
        self.access(rows).boxed()
    }

    fn boundary<'a>(&'a self, after: Option<&'a Key>, rows: u64) -> BoxFuture<'a, Result<Option<Key>>> {
        async move {
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            let (condition, after) = match after {
                None => (self.query.not_null(0), Vec::new()),
                Some(after) => (
                    self.query.compared(">", |i| format!("${}::text", i + 2)),
                    self.query.texts(after)?,
                ),
            };
            let key = async |sql: String, number: i64| {
                let statement = self.prepared(&sql).await?;
                let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&number];
                parameters.extend(after.iter().map(|text| text as &(dyn ToSql + Sync)));
                let row = self.client.query_opt(&statement, &parameters).await;
                row.map_err(|e| self.failed(e))
            };
            // To pass over the rows before works the server least; where there are fewer, the last is looked for.
            let mut row = key(self.query.nth_key(&condition), rows - 1).await?;
            if row.is_none() {
                row = key(self.query.last_key(&condition), rows).await?;
            }
            let Some(row) = row else {
                return Ok(None);
            };
            let part = |(i, part): (usize, &KeyPart)| {
                let text: String = row.try_get(i).map_err(|e| self.failed(e))?;
                Ok(match text.parse() {
                    Ok(value) if part.is_integer => Key::Int(value),
                    _ => Key::Text(text),
                })
            };
            let parts = self.query.key_parts.iter().enumerate().map(part);
            Ok(Some(Key::of_parts(parts.collect::<Result<_>>()?)))
        }
        .boxed()
    }

    fn has_null_keys(&self) -> BoxFuture<'_, Result<bool>> {
        async {
            let rows = self.query.select("1", &format!("WHERE {}", self.query.null()));
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
            match &range.bounds {
                Bounds::Null => self.copy(Some(self.query.null()), &[], Order::ByKey).await,
                Bounds::Between { after, until } => {
                    let after = after.as_ref().map(|key| (">", "after", key));
                    let bounds: Vec<_> = after.into_iter().chain([("<=", "until", until)]).collect();
                    self.copy(None, &bounds, Order::ByKey).await
                }
            }
        }
        .boxed()
    }

    fn can_read_on(&self) -> bool {
        self.query.reads_on
    }

    fn read_on<'a>(&'a self, after: Option<&'a Key>, rows: u64) -> BoxFuture<'a, Result<OpenRange>> {
        async move {
            Ok(OpenRange {
                rows: self.onward(after, rows).await?,
                key: self.query.key[0],
                key_of: |keys, row| {
                    let keys = cast(&keys.slice(row, 1), &DataType::Int64).ok()?;
                    let keys = keys.as_primitive::<Int64Type>();
                    keys.is_valid(0).then(|| Key::Int(keys.value(0)))
                },
            })
        }
        .boxed()
    }
}

impl Postgres {
    /// The rows that meet a condition and whose key is within bounds (operator, name, key).
    async fn copy(
        &self,
        condition: Option<String>,
        bounds: &[(&str, &str, &Key)],
        order: Order,
    ) -> Result<BatchStream> {
        let (mut conditions, mut names, mut values) = (Vec::from_iter(condition), Vec::new(), Vec::new());
        for (operator, name, key) in bounds {
            let texts = self.query.texts(key)?;
            conditions.push(
                self.query
                    .compared(operator, |i| format!("current_setting('gristmill.{name}{i}')")),
            );
            names.extend((0..texts.len()).map(|i| format!("gristmill.{name}{i}")));
            values.extend(texts);
        }
        let columns = list(self.query.columns.iter().map(PgColumn::selected));
        let (order, settings) = self.query.order(order);
        for (name, value) in settings {
            names.push(name.to_owned());
            values.push(value);
        }
        let rows = format!("WHERE {} {order}", conditions.join(" AND "));
        let rows = self.query.select(&columns, &rows);
        let set = self.prepared(SET_BOUNDS).await?;
        let copy = self
            .prepared(&format!("COPY ({rows}) TO STDOUT (FORMAT binary)"))
            .await?;
        let guard = self.bounds.lock().await;
        // Sent one after the other without waiting.
        let bounds: [&(dyn ToSql + Sync); 2] = [&names, &values];
        let set = self.client.execute(&set, &bounds);
        let started = try_join(set, self.client.copy_out(&copy)).await;
        let (_, stream) = started.map_err(|e| self.failed(e))?;
        drop(guard);
        Ok(copy::batches(
            stream,
            self.query.columns.clone(),
            self.query.schema(),
            self.query.key.clone(),
            self.query.settings.memory,
            copy::Server {
                url: self.query.url.clone(),
                limits: self.limits,
                last_words: self.last_words.clone(),
            },
        ))
    }
}

impl Connected {
    /// The error, with what ended the connection.
    fn told(&self, url: &str, error: Error) -> Error {
        with_last_words(&self.last_words, url, error)
    }
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
