//! SQLite: one read-only connection, one read transaction, on blocking threads.

mod columns;
mod equality;
mod errors;
mod plan;
mod primary;
mod rows;
mod snapshot;
mod stability;
mod uses;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::FutureExt;
use futures::future::BoxFuture;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::error::{Error, Result};
use crate::key::{Bounds, Key, KeyRange};
use crate::settings::SourceSettings;
use crate::source::names::find_key;
use crate::source::once::Whole;
use crate::source::produced::on_thread;
use crate::source::sql::{quoted, without_semicolon};
use crate::source::stability::Stability;
use crate::source::{BatchStream, ColumnType, Estimate, KeyAccess, Source};
use columns::SqliteColumn;
use errors::query_error;
use snapshot::State;

/// Times that the transaction is begun anew because somebody wrote to the file in just that moment.
const TRIES: usize = 20;

/// A query on a SQLite file.
pub(super) struct Sqlite {
    connection: Arc<Mutex<Connection>>,
    path: PathBuf,
    settings: SourceSettings,
    /// The name of the state that it reads.
    snapshot: String,
    state: State,
    columns: Arc<[SqliteColumn]>,
    /// Which columns are the key.
    key: Arc<[usize]>,
    stability: Stability,
    tables: Vec<String>,
    /// The query, ready to stand in parentheses.
    query: String,
}

/// A table by a name that no table of another file has.
pub(crate) fn table_name(path: &Path, table: &str) -> String {
    let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    format!("{} {}", file.display(), table.to_lowercase())
}

impl Sqlite {
    /// `path` is what follows `sqlite:`.
    pub(super) async fn connect(path: &str, settings: &SourceSettings) -> Result<Self> {
        let path = path.strip_prefix("//").unwrap_or(path).to_owned();
        let settings = settings.clone();
        spawn_blocking(move || Self::open(Path::new(&path), settings))
            .await
            .unwrap_or_else(|e| Err(stopped(&e)))
    }

    /// What a connection made now would read.
    pub(super) async fn current_snapshot(path: &str, settings: &SourceSettings) -> Result<String> {
        let path = path.strip_prefix("//").unwrap_or(path).to_owned();
        let settings = settings.clone();
        let begun = spawn_blocking(move || Self::begin(Path::new(&path), &settings));
        let (_connection, state) = begun.await.unwrap_or_else(|e| Err(stopped(&e)))?;
        Ok(state.name())
    }

    /// Opens the file, and begins a transaction.
    fn begin(path: &Path, settings: &SourceSettings) -> Result<(Connection, State)> {
        let failed = |why: String| Error::Connect {
            url: settings.url.to_string(),
            why,
        };
        if !path.is_file() {
            return Err(Error::NoFile {
                url: settings.url.to_string(),
                why: format!("there is no file {}", path.display()),
            });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|e| failed(e.to_string()))?;
        let state = begin(&connection, path).map_err(|why| match has_log(path) {
            true => failed(format!(
                "{why}; a file in WAL mode is read by way of a file {}-shm beside it: let the folder be written to, copy the file \
                 with its -wal elsewhere, or have its owner set PRAGMA journal_mode = DELETE",
                path.display()
            )),
            false => failed(why),
        })?;
        Ok((connection, state))
    }

    fn open(path: &Path, settings: SourceSettings) -> Result<Self> {
        let (connection, state) = Self::begin(path, &settings)?;

        // Prepared as it is written, so that positions in messages are right and a second statement is refused.
        let statement = connection
            .prepare(&settings.query)
            .map_err(|e| query_error(&e, Some(&settings.query)))?;
        if statement.parameter_count() > 0 {
            return Err(Error::Query {
                why: "it has parameters; write the values out".to_owned(),
            });
        }
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let key = find_key(&names, &settings.key, str::eq_ignore_ascii_case)?;
        let declared: Vec<Option<String>> = statement
            .columns()
            .iter()
            .map(|column| column.decl_type().map(str::to_owned))
            .collect();
        drop(statement);

        let query = without_semicolon(&settings.query).to_owned();
        let mut columns = names
            .into_iter()
            .zip(declared)
            .map(|(name, declared)| SqliteColumn::new(name, declared, &connection, &query))
            .collect::<Result<Vec<_>>>()?;
        equality::find_alike(&mut columns, &connection, &query)?;
        let stability = stability::of(&connection, &query).map_err(|e| query_error(&e, None))?;
        let used = uses::uses(&connection, &query).map_err(|e| query_error(&e, None))?;
        let tables = used.columns.iter().filter(|(database, ..)| database == "main");
        let tables = tables.map(|(_, table, _)| table_name(path, table));
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            path: path.to_owned(),
            settings,
            snapshot: state.name(),
            state,
            columns: columns.into(),
            key,
            stability,
            tables: tables.collect(),
            query,
        })
    }

    /// `SELECT` of the query's rows, one way or another.
    fn select(&self, what: &str, rest: &str) -> String {
        format!("SELECT {what} FROM ({}\n) AS q {rest}", self.query)
    }

    /// The columns of the key, each put into a pattern for its `{}`.
    fn key(&self, pattern: &str) -> Vec<String> {
        let column = |&i: &usize| pattern.replace("{}", &format!("q.{}", quoted(&self.columns[i].name)));
        self.key.iter().map(column).collect()
    }

    /// The condition that the key compares with the parameters from number `first` on, and has no null.
    fn compared(&self, operator: &str, first: usize) -> String {
        let columns = self.key("{}");
        if let [column] = &columns[..] {
            return format!("{column} {operator} ?{first}");
        }
        let parameters: Vec<String> = (first..).take(columns.len()).map(|i| format!("?{i}")).collect();
        // Where the first parts differ, the others are not looked at.
        let not_null = self.key("{} IS NOT NULL")[1..].join(" AND ");
        format!(
            "({}) {operator} ({}) AND {not_null}",
            columns.join(", "),
            parameters.join(", ")
        )
    }

    fn parameters(&self, key: &Key) -> Result<Vec<Value>> {
        key.parts(self.key.len())?.iter().map(to_value).collect()
    }

    /// Under some collations texts that differ are equal; their bytes then tell which comes first, so that equal rows
    /// are neighbours.
    fn key_order(&self) -> String {
        let mut order = self.key("{}");
        let bytes = self.key("{} COLLATE BINARY").into_iter().zip(&*self.key);
        let texts = bytes.filter(|(_, i)| self.columns[**i].kind.arrow_type() == DataType::Utf8);
        order.extend(texts.map(|(bytes, _)| bytes));
        order.join(", ")
    }

    /// Asks for one row.
    async fn ask(&self, sql: String, parameters: Vec<Value>) -> Result<Option<Vec<Value>>> {
        Ok(self.ask_all(sql, parameters, 1).await?.pop())
    }

    /// Asks for a few rows, so many at most.
    async fn ask_all(&self, sql: String, parameters: Vec<Value>, most: usize) -> Result<Vec<Vec<Value>>> {
        let connection = self.connection.clone().lock_owned().await;
        spawn_blocking(move || {
            let mut statement = connection.prepare(&sql)?;
            let count = statement.column_count();
            let rows = statement.query_map(params_from_iter(parameters), |row| {
                (0..count).map(|i| row.get(i)).collect()
            })?;
            rows.take(most).collect::<rusqlite::Result<_>>()
        })
        .await
        .map_err(|e| stopped(&e))?
        .map_err(|e| query_error(&e, None))
    }
}

impl Source for Sqlite {
    fn describe(&self) -> String {
        self.settings.url.to_string()
    }

    fn schema(&self) -> SchemaRef {
        let field = |c: &SqliteColumn| Field::new(&c.name, c.kind.arrow_type(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    fn column_types(&self) -> Vec<ColumnType> {
        let described = |c: &SqliteColumn| ColumnType {
            name: c.name.clone(),
            database_type: c.database_type.clone(),
            arrow_type: c.kind.arrow_type(),
            alike: c.alike.clone(),
        };
        self.columns.iter().map(described).collect()
    }

    fn tables(&self) -> Vec<String> {
        self.tables.clone()
    }

    fn snapshot(&self) -> String {
        self.snapshot.clone()
    }

    /// While this connection reads, nobody can write to a file without a log. With a log they can, and a second connection
    /// sees what they wrote.
    fn fork(&self) -> BoxFuture<'_, Result<Option<Box<dyn Source>>>> {
        async {
            let (path, settings) = (self.path.clone(), self.settings.clone());
            let other = spawn_blocking(move || Self::open(&path, settings))
                .await
                .unwrap_or_else(|e| Err(stopped(&e)))?;
            let same = other.state.is_known() && other.state == self.state;
            Ok(same.then(|| Box::new(other) as Box<dyn Source>))
        }
        .boxed()
    }

    fn estimate(&self) -> BoxFuture<'_, Result<Estimate>> {
        async {
            let count = self.ask(self.select("count(*)", ""), Vec::new()).await?;
            let rows = count.and_then(|count| match count[..] {
                [Value::Integer(count)] => u64::try_from(count).ok(),
                _ => None,
            });
            Ok(Estimate { rows, bytes: None })
        }
        .boxed()
    }

    fn key_access(&self, rows: u64) -> BoxFuture<'_, Result<KeyAccess>> {
        self.access(rows).boxed()
    }

    fn boundary<'a>(&'a self, after: Option<&'a Key>, rows: u64) -> BoxFuture<'a, Result<Option<Key>>> {
        async move {
            let mut parameters = vec![Value::Integer(i64::try_from(rows).unwrap_or(i64::MAX))];
            let condition = match after {
                None => self.key("{} IS NOT NULL").join(" AND "),
                Some(after) => {
                    parameters.extend(self.parameters(after)?);
                    self.compared(">", 2)
                }
            };
            let columns = self.key("{}");
            let named: Vec<String> = columns
                .iter()
                .enumerate()
                .map(|(i, c)| format!("{c} AS k{i}"))
                .collect();
            let steps = self.select(
                &named.join(", "),
                &format!("WHERE {condition} ORDER BY {} LIMIT ?1", columns.join(", ")),
            );
            let last: Vec<String> = (0..columns.len()).map(|i| format!("s.k{i} DESC")).collect();
            let sql = format!(
                "SELECT s.* FROM ({steps}) AS s ORDER BY {} LIMIT 1",
                last.join(", ")
            );
            let Some(values) = self.ask(sql, parameters).await? else {
                return Ok(None);
            };
            let parts: Option<Vec<Key>> = values.into_iter().map(to_key).collect();
            Ok(parts.map(Key::of_parts))
        }
        .boxed()
    }

    fn has_null_keys(&self) -> BoxFuture<'_, Result<bool>> {
        async {
            let sql = self.select(
                "1",
                &format!("WHERE {} LIMIT 1", self.key("{} IS NULL").join(" OR ")),
            );
            Ok(self.ask(sql, Vec::new()).await?.is_some())
        }
        .boxed()
    }

    fn read<'a>(&'a self, range: &'a KeyRange) -> BoxFuture<'a, Result<BatchStream>> {
        async move {
            let (condition, parameters) = match &range.bounds {
                Bounds::Null => (self.key("{} IS NULL").join(" OR "), vec![]),
                Bounds::Between { after: None, until } => (self.compared("<=", 1), self.parameters(until)?),
                Bounds::Between {
                    after: Some(after),
                    until,
                } => {
                    let mut parameters = self.parameters(after)?;
                    parameters.extend(self.parameters(until)?);
                    let until = self.compared("<=", 1 + self.key.len());
                    (format!("{} AND {until}", self.compared(">", 1)), parameters)
                }
            };
            let what = format!("reading {} ({})", self.settings.url, range.bounds);
            self.rows(what, &condition, parameters).await
        }
        .boxed()
    }
}

impl Whole for Sqlite {
    fn stability(&self) -> &Stability {
        &self.stability
    }

    fn key(&self) -> &[usize] {
        &self.key
    }

    fn all(&self) -> BoxFuture<'_, Result<BatchStream>> {
        let what = format!("reading {}", self.settings.url);
        async move { self.rows(what, "true", vec![]).await }.boxed()
    }
}

impl Sqlite {
    /// The rows that meet a condition, in the order of the key.
    async fn rows(&self, what: String, condition: &str, parameters: Vec<Value>) -> Result<BatchStream> {
        let columns: Vec<String> = self.columns.iter().map(SqliteColumn::selected).collect();
        let sql = self.select(
            &columns.join(", "),
            &format!("WHERE {condition} ORDER BY {}", self.key_order()),
        );
        let shape = rows::Shape {
            columns: self.columns.clone(),
            schema: self.schema(),
            key: self.key.clone(),
            memory: self.settings.memory,
        };
        let connection = self.connection.clone().lock_owned().await;
        Ok(on_thread(what, move |taker| {
            let send = |batch| taker.give_blocking(batch);
            rows::read(&connection, &sql, parameters, &shape, send)
        }))
    }
}

/// Whether the header of a file says that it is in WAL mode.
fn has_log(path: &Path) -> bool {
    let mut header = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[18..20] == [2, 2]
}

/// Begins a read transaction, and tells which state of the file it reads.
fn begin(connection: &Connection, path: &Path) -> Result<State, String> {
    let mut before: Option<State> = None;
    for _ in 0..TRIES {
        if before.is_some() {
            connection.execute_batch("COMMIT").map_err(|e| e.to_string())?;
        }
        // The transaction begins with its first read.
        connection
            .execute_batch("BEGIN")
            .and_then(|()| connection.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(())))
            .map_err(|e| e.to_string())?;
        let state = State::of(path).map_err(|e| e.to_string())?;
        if state.is_held() || (state.is_known() && before.as_ref() == Some(&state)) {
            return Ok(state);
        }
        before = Some(state);
    }
    let state = State::of(path).map_err(|e| e.to_string())?;
    Ok(state.unknown())
}

fn to_value(key: &Key) -> Result<Value> {
    Ok(match key {
        Key::Int(value) => Value::Integer(*value),
        Key::Real(value) => Value::Real(*value),
        Key::Text(value) => Value::Text(value.clone()),
        Key::Blob(value) => Value::Blob(value.clone()),
        Key::Row(_) => return Err(key.misfit()),
    })
}

/// `None` for null.
fn to_key(value: Value) -> Option<Key> {
    match value {
        Value::Null => None,
        Value::Integer(value) => Some(Key::Int(value)),
        Value::Real(value) => Some(Key::Real(value)),
        Value::Text(value) => Some(Key::Text(value)),
        Value::Blob(value) => Some(Key::Blob(value)),
    }
}

/// A blocking thread that panicked or was cancelled by the end of the program.
fn stopped(error: &tokio::task::JoinError) -> Error {
    Error::Query {
        why: format!("reading stopped: {error}"),
    }
}
