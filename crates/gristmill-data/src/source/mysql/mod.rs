//! MySQL and MariaDB: one connection, one read-only transaction, rows by prepared statements.
//!
//! Values never enter SQL text: they are parameters. A transaction cannot be told to join another one's snapshot. But where
//! a snapshot is named by its place in the binary log, two that were made at the same place are the same.

pub(crate) mod connect;
pub(crate) mod dialect;
mod equality;
mod keys;
mod plan;
mod primary;
mod snapshot;
mod stability;
pub(crate) mod types;
mod values;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as MyError, Row, Statement, Value};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::{Error, Result};
use crate::key::{Bounds, Key, KeyRange};
use crate::settings::SourceSettings;
use crate::source::limits::Limits;
use crate::source::names::find_key;
use crate::source::once::Whole;
use crate::source::produced::{Taker, on_task};
use crate::source::stability::Stability;
use crate::source::{BatchStream, ColumnType, Estimate, KeyAccess, Source};
use dialect::{Side, compared, without_semicolon};
use snapshot::Snapshot;
use types::{MyColumn, MyKind};
use values::Batches;

type Columns = Arc<[MyColumn]>;

/// The longest that the server's settings allow, in seconds.
const YEAR: u32 = 31_536_000;

/// All rows, however many and however long they take: a user's or the server's limits are meant for small questions, which a
/// batch is not, nor the wait for one being written. `DEFAULT` would be the server's own. What is behind `M!` is for MariaDB only,
/// which passes over what is behind `!50708`.
pub(crate) fn no_limits() -> String {
    format!(
        "SET SESSION sql_select_limit = 18446744073709551615, sql_big_selects = 1, net_read_timeout = {YEAR}, \
         net_write_timeout = {YEAR}, wait_timeout = {YEAR}, lock_wait_timeout = {YEAR} \
         /*!50708 , max_execution_time = 0 */ \
         /*M!100300 , max_statement_time = 0, idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0 */"
    )
}

/// Which server this is.
pub(crate) const SERVER: &str = "SELECT concat(@@hostname, ' ', @@port, ' ', @@datadir)";

/// A table by a name that no table of another server has.
pub(crate) fn table_name(server: &str, schema: &str, table: &str) -> String {
    format!("{server} {schema}.{table}").to_lowercase()
}

const ORDERED: &str = "an integer, decimal, text, binary, date or time column";

/// A query on MySQL or MariaDB.
pub(super) struct MySql {
    /// Ends the transaction and the connection when dropped.
    connection: Arc<Mutex<Conn>>,
    limits: Limits,
    settings: SourceSettings,
    /// The URL, redacted.
    url: String,
    snapshot: Snapshot,
    columns: Columns,
    /// Which columns are the key.
    key: Arc<[usize]>,
    stability: Stability,
    /// Whether the server explains the query to this account.
    explained: bool,
    tables: Vec<String>,
    /// The query, ready to stand in parentheses.
    query: String,
}

impl MySql {
    pub(super) async fn connect(settings: &SourceSettings) -> Result<Self> {
        let url = settings.url.to_string();
        let failed = |error| query_error(&url, &error);
        let Begun {
            mut connection,
            limits,
            snapshot,
            sql_mode,
        } = Begun::new(settings).await?;
        let backslash = !sql_mode.is_some_and(|mode| mode.contains("NO_BACKSLASH_ESCAPES"));

        // Prepared as it is written, so that lines in messages are right and a second statement is refused.
        let statement = connection.prep(&*settings.query).await.map_err(failed)?;
        if statement.num_params() > 0 {
            return Err(parameters_refused());
        }
        let (mut columns, key) = columns(&statement, &settings.key)?;
        let query = without_semicolon(&settings.query, backslash).to_owned();
        equality::find_alike(&mut connection, &query, &mut columns)
            .await
            .map_err(failed)?;
        let known = stability::of(&mut connection, &query, backslash).await;
        let known = known.map_err(failed)?;
        let server: Option<String> = connection.query_first(SERVER).await.map_err(failed)?;
        let server = server.unwrap_or_default();
        let tables = known.tables.iter();
        let columns: Columns = columns.into();
        let source = Self {
            connection: Arc::new(Mutex::new(connection)),
            limits,
            settings: settings.clone(),
            url: url.clone(),
            snapshot,
            columns,
            key,
            tables: tables
                .map(|(schema, table)| table_name(&server, schema, table))
                .collect(),
            stability: known.stability,
            explained: known.explained,
            query,
        };
        // What cannot be a subquery is refused here.
        let mut connection = source.connection.lock().await;
        connection
            .prep(source.boundary_sql(&source.not_null()))
            .await
            .map_err(failed)?;
        drop(connection);
        Ok(source)
    }

    /// What a connection made now would read.
    pub(super) async fn current_snapshot(settings: &SourceSettings) -> Result<String> {
        Ok(Begun::new(settings).await?.snapshot.name)
    }

    /// `SELECT` of the query's rows, one way or another.
    fn select(&self, what: &str, rest: &str) -> String {
        format!("SELECT {what} FROM ({}\n) AS q {rest}", self.query)
    }

    fn key_columns(&self) -> impl Iterator<Item = &MyColumn> {
        self.key.iter().map(|&i| &self.columns[i])
    }

    /// The columns of the key, as `shown` writes each, put together.
    fn key_list(&self, shown: impl FnMut(&MyColumn) -> String, between: &str) -> String {
        self.key_columns().map(shown).collect::<Vec<_>>().join(between)
    }

    /// The condition that some part of the key is null.
    fn null(&self) -> String {
        self.key_list(|column| format!("{} IS NULL", column.key()), " OR ")
    }

    /// The condition that the key lies on a side of `key`, or is equal to it, and has no null; with its parameters.
    fn compared(&self, side: Side, key: &Key) -> Result<(String, Vec<Value>)> {
        let columns: Vec<&MyColumn> = self.key_columns().collect();
        let parts = key.parts(columns.len())?;
        let names: Vec<(String, String)> = columns.iter().map(|c| (c.key(), c.parameter())).collect();
        let bounds = columns.iter().zip(parts).map(|(column, part)| column.bound(part));
        let bounds: Vec<Value> = bounds.collect::<Result<_>>()?;
        let (condition, order) = compared(&names, side);
        Ok((condition, order.into_iter().map(|i| bounds[i].clone()).collect()))
    }

    /// Under most collations texts that differ can be equal; their bytes then tell which comes first, so that equal rows
    /// are neighbours.
    fn key_order(&self) -> String {
        let texts = self.key_columns().filter(|column| column.kind == MyKind::Text);
        let bytes = texts.map(|column| format!("CAST({} AS BINARY)", column.key()));
        let order: Vec<String> = self.key_columns().map(MyColumn::key).chain(bytes).collect();
        order.join(", ")
    }

    /// Finds the last key of the first rows, whose number is the last parameter, of those that meet a condition.
    fn boundary_sql(&self, condition: &str) -> String {
        let mut number = 0..;
        let named = self.key_list(
            |column| format!("{} AS k{}", column.key(), number.next().unwrap_or_default()),
            ", ",
        );
        let order = self.key_list(MyColumn::key, ", ");
        let steps = self.select(&named, &format!("WHERE {condition} ORDER BY {order} LIMIT ?"));
        let last: Vec<String> = (0..self.key.len()).map(|i| format!("s.k{i} DESC")).collect();
        format!(
            "SELECT s.* FROM ({steps}) AS s ORDER BY {} LIMIT 1",
            last.join(", ")
        )
    }

    fn not_null(&self) -> String {
        self.key_list(|column| format!("{} IS NOT NULL", column.key()), " AND ")
    }

    /// Asks for one row.
    async fn ask(&self, sql: String, parameters: Vec<Value>) -> Result<Option<Row>> {
        let mut connection = self.connection.lock().await;
        let row = connection.exec_first(sql, parameters).await;
        row.map_err(|error| query_error(&self.url, &error))
    }
}

impl Source for MySql {
    fn describe(&self) -> String {
        self.url.clone()
    }

    fn schema(&self) -> SchemaRef {
        let field = |c: &MyColumn| Field::new(&c.name, c.kind.arrow_type(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    fn column_types(&self) -> Vec<ColumnType> {
        let described = |c: &MyColumn| ColumnType {
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
        self.snapshot.name.clone()
    }

    fn fork(&self) -> BoxFuture<'_, Result<Option<Box<dyn Source>>>> {
        async {
            if !self.snapshot.is_place {
                return Ok(None);
            }
            // Between the two nothing was committed, or the other one sees more.
            let other = Self::connect(&self.settings).await?;
            Ok((other.snapshot.name == self.snapshot.name).then(|| Box::new(other) as Box<dyn Source>))
        }
        .boxed()
    }

    fn estimate(&self) -> BoxFuture<'_, Result<Estimate>> {
        self.expected().boxed()
    }

    fn key_access(&self, rows: u64) -> BoxFuture<'_, Result<KeyAccess>> {
        self.access(rows).boxed()
    }

    fn boundary<'a>(&'a self, after: Option<&'a Key>, rows: u64) -> BoxFuture<'a, Result<Option<Key>>> {
        async move {
            let (condition, mut parameters) = match after {
                None => (self.not_null(), Vec::new()),
                Some(after) => self.compared(Side::After, after)?,
            };
            parameters.push(Value::UInt(rows));
            let Some(row) = self.ask(self.boundary_sql(&condition), parameters).await? else {
                return Ok(None);
            };
            let parts = self.key_columns().zip(row.unwrap());
            let parts = parts.map(|(column, value)| column.to_key(value));
            Ok(parts.collect::<Result<Option<_>>>()?.map(Key::of_parts))
        }
        .boxed()
    }

    fn has_null_keys(&self) -> BoxFuture<'_, Result<bool>> {
        async {
            let sql = self.select("1", &format!("WHERE {} LIMIT 1", self.null()));
            Ok(self.ask(sql, Vec::new()).await?.is_some())
        }
        .boxed()
    }

    fn read<'a>(&'a self, range: &'a KeyRange) -> BoxFuture<'a, Result<BatchStream>> {
        async move {
            let (condition, parameters) = match &range.bounds {
                Bounds::Null => (self.null(), vec![]),
                Bounds::Between { after: None, until } => self.compared(Side::UpTo, until)?,
                Bounds::Between {
                    after: Some(after),
                    until,
                } => {
                    let (after, mut parameters) = self.compared(Side::After, after)?;
                    let (until, more) = self.compared(Side::UpTo, until)?;
                    parameters.extend(more);
                    (format!("{after} AND {until}"), parameters)
                }
            };
            let what = format!("reading {} ({})", self.url, range.bounds);
            self.rows(what, &condition, parameters).await
        }
        .boxed()
    }
}

impl Whole for MySql {
    fn stability(&self) -> &Stability {
        &self.stability
    }

    fn key(&self) -> &[usize] {
        &self.key
    }

    fn all(&self) -> BoxFuture<'_, Result<BatchStream>> {
        let what = format!("reading {}", self.url);
        async move { self.rows(what, "true", vec![]).await }.boxed()
    }
}

impl MySql {
    /// The rows that meet a condition, in the order of the key.
    async fn rows(&self, what: String, condition: &str, parameters: Vec<Value>) -> Result<BatchStream> {
        let sql = self.select("q.*", &format!("WHERE {condition} ORDER BY {}", self.key_order()));
        let batches = Batches::new(
            self.columns.clone(),
            self.schema(),
            self.key.clone(),
            self.settings.memory,
        )?;
        let connection = self.connection.clone().lock_owned().await;
        let (url, limits) = (self.url.clone(), self.limits);
        // Rows are borrowed from the connection, and the stream must not be.
        Ok(on_task(what, |taker| {
            send_rows(connection, sql, parameters, batches, taker, url, limits)
        }))
    }
}

/// A connection with its transaction.
struct Begun {
    connection: Conn,
    limits: Limits,
    snapshot: Snapshot,
    sql_mode: Option<String>,
}

impl Begun {
    async fn new(settings: &SourceSettings) -> Result<Self> {
        let url = settings.url.to_string();
        let (mut connection, limits) = connect::connect(&settings.url).await?;
        let begin = begin(&mut connection);
        let begin = async { begin.await.map_err(|error| query_error(&url, &error)) };
        let (snapshot, sql_mode) = limits.connecting(&url, "the server", begin).await?;
        Ok(Self {
            connection,
            limits,
            snapshot,
            sql_mode,
        })
    }
}

/// Begins the transaction; returns its snapshot and the server's `sql_mode`. Instants are in UTC.
async fn begin(connection: &mut Conn) -> mysql_async::Result<(Snapshot, Option<String>)> {
    for sql in [
        &*no_limits(),
        "SET NAMES utf8mb4",
        "SET SESSION time_zone = '+00:00'",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ] {
        connection.query_drop(sql).await?;
    }
    let snapshot = snapshot::begin(connection).await?;
    let sql_mode = connection.query_first("SELECT @@sql_mode").await?;
    Ok((snapshot, sql_mode))
}

/// Sends all rows, a record batch at a time, until nobody wants the rest. The server waits while the channel is full.
async fn send_rows(
    mut connection: OwnedMutexGuard<Conn>,
    sql: String,
    parameters: Vec<Value>,
    mut batches: Batches,
    taker: Taker,
    url: String,
    limits: Limits,
) -> Result<()> {
    let failed = |error| query_error(&url, &error);
    let mut rows = connection
        .exec_stream::<Row, _, _>(sql, parameters)
        .await
        .map_err(failed)?;
    // The query takes as long as it takes.
    let mut next = rows.try_next().await.map_err(failed)?;
    while let Some(row) = next {
        if let Some(batch) = batches.push(row)?
            && !taker.give(batch).await
        {
            return Ok(());
        }
        next = limits.next(&url, rows.try_next()).await?.map_err(failed)?;
    }
    if let Some(batch) = batches.finish()? {
        taker.give(batch).await;
    }
    Ok(())
}

/// The columns of the query, and which of them are the key.
fn columns(statement: &Statement, key: &[String]) -> Result<(Vec<MyColumn>, Arc<[usize]>)> {
    let wire = statement.columns();
    let names: Vec<String> = wire.iter().map(|c| c.name_str().into_owned()).collect();
    let key = find_key(&names, key, |a, b| a.to_lowercase() == b.to_lowercase())?;
    let no_order = |i: usize, given| Error::KeyType {
        key: names[i].clone(),
        given,
        expected: ORDERED,
    };
    let columns = wire
        .iter()
        .enumerate()
        .map(|(i, column)| match MyColumn::new(column) {
            Err(Error::ColumnType { given, .. }) if key.contains(&i) => Err(no_order(i, given)),
            Ok(column) if key.contains(&i) && column.kind == MyKind::Json => {
                Err(no_order(i, column.database_type))
            }
            result => result,
        })
        .collect::<Result<Vec<_>>>()?;
    Ok((columns, key))
}

fn parameters_refused() -> Error {
    Error::Query {
        why: "it has parameters; write the values out".to_owned(),
    }
}

/// What the server or the connection said.
pub(crate) fn query_error(url: &str, error: &MyError) -> Error {
    match error {
        MyError::Server(server) if connect::may_pass(server) => Error::Unavailable {
            url: url.to_owned(),
            why: server.message.clone(),
        },
        MyError::Server(server) => Error::Query {
            why: server.message.clone(),
        },
        MyError::Driver(mysql_async::DriverError::MixedParams) => parameters_refused(),
        error if connect::broke_off(error) => Error::Lost {
            url: url.to_owned(),
            why: connect::transport_error(error),
        },
        error => Error::Answer {
            url: url.to_owned(),
            why: connect::transport_error(error),
        },
    }
}
