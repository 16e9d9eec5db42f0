//! PostgreSQL: one connection that writes; a batch is one transaction with one binary COPY, over a temporary table where rows
//! that are there are replaced.

mod encode;

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use async_trait::async_trait;
use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::CopyInSink;
use tokio_postgres::types::{ToSql, Type};

use crate::error::{Error, Result};
use crate::settings::SourceUrl;
use crate::sink::database::{Column, Database, Name, Target, Value};
use crate::sink::of_output;
use crate::source::postgres::connect::{Connected, connect};
use crate::source::postgres::errors::{query_error, with_last_words};
use crate::source::postgres::session::DATABASE;
use crate::source::postgres::types::{PgColumn, PgKind};
use crate::source::sql::quoted;
use encode::{END, HEADER, encode};

/// The table that a batch is copied to before it is merged.
const BATCH: &str = "gristmill_batch";

/// The column with the number of a row in it: of rows with equal keys the last one counts.
const ROW: &str = "gristmill_row";

/// What keeps a table from being dropped: what depends on it or on the type of its rows, and is not dropped with it.
const DEPENDENTS: &str = "\
    WITH t AS (SELECT oid, reltype FROM pg_class WHERE oid = to_regclass(?)), \
    d AS (SELECT d.* FROM pg_depend d, t WHERE (d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid \
     OR d.refclassid = 'pg_type'::regclass AND d.refobjid = t.reltype)), \
    own AS (SELECT classid, objid FROM d WHERE deptype IN ('a', 'i')) \
    SELECT string_agg(DISTINCT coalesce( \
     (SELECT 'view ' || r.ev_class::regclass FROM pg_rewrite r WHERE d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid), \
     (SELECT 'foreign key ' || quote_ident(c.conname) || ' of ' || c.conrelid::regclass FROM pg_constraint c \
      WHERE d.classid = 'pg_constraint'::regclass AND c.oid = d.objid AND c.contype = 'f'), \
     pg_describe_object(d.classid, d.objid, d.objsubid), 'parent table ' || d.objid::regclass), E'\\n') \
    FROM (SELECT classid, objid, objsubid FROM d WHERE d.deptype = 'n' AND NOT EXISTS \
     (SELECT FROM own WHERE (own.classid, own.objid) = (d.classid, d.objid)) \
     UNION ALL SELECT NULL, inhparent, 0 FROM pg_inherits, t WHERE inhrelid = t.oid) AS d";

pub(super) struct Postgres {
    connected: Connected,
    url: String,
    copy: Option<Pin<Box<CopyInSink<Bytes>>>>,
    /// Rows sent by it.
    sent: u64,
    /// How the values of the columns travel.
    kinds: Vec<PgKind>,
}

impl Postgres {
    pub(super) async fn connect(url: &SourceUrl) -> Result<Self> {
        Ok(Self {
            connected: connect(url).await?,
            url: url.to_string(),
            copy: None,
            sent: 0,
            kinds: Vec::new(),
        })
    }

    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        let error = with_last_words(
            &self.connected.last_words,
            &self.url,
            query_error(&self.url, error),
        );
        of_output(&self.url, error)
    }

    async fn batch(&self, sql: &str) -> Result<()> {
        let done = self.connected.client.batch_execute(sql).await;
        done.map_err(|error| self.failed(&error))
    }
}

#[async_trait]
impl Database for Postgres {
    fn url(&self) -> &str {
        &self.url
    }

    fn has_transactional_tables(&self) -> bool {
        true
    }

    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    fn declared(&self, values: &DataType, _: bool) -> Option<String> {
        let declared = match values {
            DataType::Boolean => "boolean",
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
            DataType::Int32 | DataType::UInt16 => "integer",
            DataType::Int64 | DataType::UInt32 => "bigint",
            DataType::UInt64 => "numeric(20, 0)",
            DataType::Float16 | DataType::Float32 => "real",
            DataType::Float64 => "double precision",
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                return Some(format!("numeric({precision}, {scale})"));
            }
            DataType::Utf8 | DataType::Null => "text",
            DataType::Binary => "bytea",
            DataType::Date32 => "date",
            DataType::Timestamp(_, None) => "timestamp",
            DataType::Timestamp(_, Some(_)) => "timestamptz",
            _ => return None,
        };
        Some(declared.to_owned())
    }

    async fn begin(&mut self) -> Result<()> {
        self.batch("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            .await
    }

    async fn commit(&mut self) -> Result<()> {
        self.batch("COMMIT").await
    }

    async fn rollback(&mut self) -> Result<()> {
        self.copy = None;
        self.batch("ROLLBACK").await
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(parameter).collect();
        let done = self.connected.client.execute(&numbered(sql), &values).await;
        done.map_err(|error| self.failed(&error))
    }

    async fn row(&mut self, sql: &str, values: &[Value]) -> Result<Option<Vec<Value>>> {
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(parameter).collect();
        let row = self.connected.client.query_opt(&numbered(sql), &values).await;
        let Some(row) = row.map_err(|error| self.failed(&error))? else {
            return Ok(None);
        };
        let value = |(at, column): (usize, &tokio_postgres::Column)| {
            Ok(if *column.type_() == Type::INT8 {
                row.try_get::<_, Option<i64>>(at)?.map_or(Value::Null, Value::Int)
            } else {
                row.try_get::<_, Option<String>>(at)?
                    .map_or(Value::Null, Value::Text)
            })
        };
        let values = row.columns().iter().enumerate().map(value);
        let values: Result<_, tokio_postgres::Error> = values.collect();
        values.map(Some).map_err(|error| self.failed(&error))
    }

    async fn columns(&mut self, table: &Name) -> Result<Option<Vec<Column>>> {
        let name = self.table(table);
        let found = self
            .row("SELECT to_regclass(?)::text", &[name.as_str().into()])
            .await?;
        if found.is_none_or(|found| found[0] == Value::Null) {
            return Ok(None);
        }
        let statement = self
            .connected
            .client
            .prepare(&format!("SELECT * FROM {name}"))
            .await;
        let statement = statement.map_err(|error| self.failed(&error))?;
        let column = |column: &tokio_postgres::Column| Column {
            name: column.name().to_owned(),
            takes: match PgColumn::new(column, column.type_().name()) {
                Ok(column) if !column.as_text => Ok(Some(column.kind.arrow_type())),
                _ => Err(column.type_().name().to_owned()),
            },
        };
        Ok(Some(statement.columns().iter().map(column).collect()))
    }

    async fn identity(&mut self, table: &Name) -> Result<Option<String>> {
        let sql = format!("SELECT ({DATABASE}) || ' ' || to_regclass(?)::oid");
        let name = self.table(table);
        let found = self.row(&sql, &[name.as_str().into()]).await?;
        Ok(found.map(|row| row[0].text().to_owned()))
    }

    async fn dependents(&mut self, table: &Name) -> Result<Vec<String>> {
        let name = self.table(table);
        let found = self.row(DEPENDENTS, &[name.as_str().into()]).await?;
        let found = found.map(|row| row[0].text().to_owned()).unwrap_or_default();
        Ok(found.lines().map(str::to_owned).collect())
    }

    async fn refusal(&mut self, target: &Target) -> Result<Option<String>> {
        let Some(key) = &target.upsert else {
            return Ok(None);
        };
        // Planned, but not executed.
        let explain = format!("EXPLAIN {}", self.merge(target, "VALUES"));
        match self.connected.client.simple_query(&explain).await {
            Ok(_) => Ok(None),
            Err(error) if error.code().is_some_and(|code| code.code() == "42P10") => {
                let key: Vec<String> = key.iter().map(|name| quoted(name)).collect();
                Ok(Some(format!(
                    "no unique index tells its keys apart; CREATE UNIQUE INDEX ON {} ({})",
                    self.table(&target.table),
                    key.join(", ")
                )))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn rename(&self, from: &Name, to: &Name) -> String {
        format!(
            "ALTER TABLE {} RENAME TO {}",
            self.table(from),
            self.quoted(&to.table)
        )
    }

    async fn begin_rows(&mut self, target: &Target) -> Result<()> {
        let (mut names, mut table) = (columns(target), self.table(&target.table));
        if self.kinds.is_empty() {
            let rows = self
                .connected
                .client
                .prepare(&format!("SELECT {names} FROM {table}"))
                .await;
            let rows = rows.map_err(|error| self.failed(&error))?;
            let kinds = rows
                .columns()
                .iter()
                .map(|column| Ok(PgColumn::new(column, "")?.kind));
            self.kinds = kinds.collect::<Result<_>>()?;
        }
        if target.upsert.is_some() {
            self.batch(&format!(
                "CREATE TEMPORARY TABLE {BATCH} ON COMMIT DROP AS SELECT {names}, 0::bigint AS {ROW} FROM {table} WITH NO DATA"
            ))
            .await?;
            (names, table) = (format!("{names}, {ROW}"), format!("pg_temp.{BATCH}"));
        }
        let sql = format!("COPY {table} ({names}) FROM STDIN (FORMAT binary)");
        let copy = self.connected.client.copy_in::<_, Bytes>(&sql).await;
        let mut copy = Box::pin(copy.map_err(|error| self.failed(&error))?);
        let begun = copy.send(Bytes::from_static(HEADER)).await;
        begun.map_err(|error| self.failed(&error))?;
        (self.copy, self.sent) = (Some(copy), 0);
        Ok(())
    }

    async fn send(&mut self, target: &Target, rows: &RecordBatch) -> Result<()> {
        let first = target.upsert.is_some().then_some(self.sent);
        let bytes = encode(rows, &self.kinds, first).map_err(|(row, why)| Error::Write {
            url: self.url.clone(),
            why: format!(
                "table `{}`, row {} of the batch: {why}",
                target.table.table,
                self.sent + row as u64 + 1
            ),
        })?;
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.send(bytes.into()).await
        {
            return Err(self.failed(&error));
        }
        self.sent += rows.num_rows() as u64;
        Ok(())
    }

    async fn end_rows(&mut self, target: &Target) -> Result<()> {
        let Some(mut copy) = self.copy.take() else {
            return Ok(());
        };
        let ended = async {
            copy.send(Bytes::from_static(END)).await?;
            copy.as_mut().finish().await
        };
        let rows = ended.await.map_err(|error| self.failed(&error))?;
        if rows != self.sent {
            return Err(Error::Answer {
                url: self.url.clone(),
                why: format!("{} rows were sent, and {rows} were taken", self.sent),
            });
        }
        if target.upsert.is_some() {
            self.batch(&self.merge(target, BATCH)).await?;
        }
        Ok(())
    }
}

impl Postgres {
    /// Puts the rows of the batch into the table, in the place of those with their keys. From `VALUES` it takes none.
    fn merge(&self, target: &Target, from: &str) -> String {
        let names = columns(target);
        let key: Vec<String> = target.upsert.iter().flatten().map(|name| quoted(name)).collect();
        let set = target.columns.iter().map(|field| quoted(field.name()));
        let set: Vec<String> = set
            .filter(|name| !key.contains(name))
            .map(|name| format!("{name} = EXCLUDED.{name}"))
            .collect();
        let key = key.join(", ");
        let table = self.table(&target.table);
        let rows = match from {
            "VALUES" => format!("SELECT {names} FROM {table} LIMIT 0"),
            from => {
                format!("SELECT DISTINCT ON ({key}) {names} FROM pg_temp.{from} ORDER BY {key}, {ROW} DESC")
            }
        };
        format!(
            "INSERT INTO {table} ({names}) {rows} ON CONFLICT ({key}) DO UPDATE SET {}",
            set.join(", ")
        )
    }
}

fn columns(target: &Target) -> String {
    let names = target.columns.iter().map(|field| quoted(field.name()));
    names.collect::<Vec<_>>().join(", ")
}

/// With `$1`, `$2`, … for the values.
fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (number, part) in parts.enumerate() {
        numbered.push_str(&format!("${}{part}", number + 1));
    }
    numbered
}

fn parameter(value: &Value) -> &(dyn ToSql + Sync) {
    match value {
        Value::Null => &None::<String>,
        Value::Int(number) => number,
        Value::Text(text) => text,
    }
}
