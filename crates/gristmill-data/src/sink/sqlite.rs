//! SQLite: one connection that writes; a batch is one transaction of prepared inserts.

use std::path::Path;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use rusqlite::types::Value as SqliteValue;
use rusqlite::{Connection, ErrorCode, params_from_iter};

use crate::error::{Error, Result};
use crate::settings::SourceUrl;
use crate::sink::TableSettings;
use crate::sink::database::{Column, Database, Name, Target, Value};
use crate::source::sql::quoted;
use crate::source::sqlite::table_name;

/// So long is waited for others who write to the file.
const BUSY: Duration = Duration::from_secs(30);

pub(super) struct Sqlite {
    connection: Connection,
    url: String,
}

impl Sqlite {
    /// Opens the file, or makes it.
    pub(super) fn open(settings: &TableSettings) -> Result<Self> {
        let path = path_of(&settings.url);
        let url = settings.url.to_string();
        let failed = |error: rusqlite::Error| Error::Connect {
            url: url.clone(),
            why: error.to_string(),
        };
        let connection = Connection::open(path).map_err(failed)?;
        // Views that name a table are not in the way of putting another in its place.
        let pragmas = "PRAGMA legacy_alter_table = ON; PRAGMA foreign_keys = OFF";
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.execute_batch(pragmas).map_err(failed)?;
        let journal = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        let journal = connection
            .query_row("PRAGMA journal_mode", (), journal)
            .map_err(failed)?;
        let is_read = settings.reads.as_ref().is_some_and(|reads| {
            reads.scheme() == "sqlite"
                && path_of(reads)
                    .canonicalize()
                    .is_ok_and(|read| path.canonicalize().is_ok_and(|path| path == read))
        });
        if is_read && journal != "wal" {
            return Err(Error::Table {
                url,
                table: settings.table.clone(),
                why: "it is in the file that the rows are read from, which nobody can write to meanwhile unless it has a \
                      write-ahead log; PRAGMA journal_mode = WAL gives it one, or give another file"
                    .to_owned(),
            });
        }
        Ok(Self { connection, url })
    }

    fn failed(&self, error: &rusqlite::Error) -> Error {
        let locked = [Some(ErrorCode::DatabaseBusy), Some(ErrorCode::DatabaseLocked)];
        let mut why = error.to_string();
        if locked.contains(&error.sqlite_error_code()) {
            why.push_str(
                "; another program reads it or writes to it: PRAGMA journal_mode = WAL lets a file be read and written at a time",
            );
        }
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            return Error::DiskFull {
                path: self.url.clone(),
            };
        }
        Error::Write {
            url: self.url.clone(),
            why,
        }
    }

    fn batch(&self, sql: &str) -> Result<()> {
        self.connection
            .execute_batch(sql)
            .map_err(|error| self.failed(&error))
    }
}

#[async_trait]
impl Database for Sqlite {
    fn url(&self) -> &str {
        &self.url
    }

    fn has_transactional_tables(&self) -> bool {
        true
    }

    /// A name with a dot is one name here.
    fn name(&self, written: &str) -> Name {
        Name {
            schema: None,
            table: written.to_owned(),
        }
    }

    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    fn declared(&self, values: &DataType, _: bool) -> Option<String> {
        let declared = match values {
            DataType::Boolean => "BOOLEAN",
            other if other.is_integer() => "INTEGER",
            other if other.is_floating() => "REAL",
            DataType::Binary => "BLOB",
            DataType::Utf8 | DataType::Date32 | DataType::Timestamp(..) | DataType::Null => "TEXT",
            other if other.is_decimal() => "TEXT",
            DataType::Time32(_) | DataType::Time64(_) => "TEXT",
            _ => return None,
        };
        Some(declared.to_owned())
    }

    async fn begin(&mut self) -> Result<()> {
        self.batch("BEGIN IMMEDIATE")
    }

    async fn commit(&mut self) -> Result<()> {
        self.batch("COMMIT")
    }

    async fn rollback(&mut self) -> Result<()> {
        self.batch("ROLLBACK")
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let values = values.iter().map(to_sqlite);
        let changed = self.connection.execute(sql, params_from_iter(values));
        changed
            .map(|rows| rows as u64)
            .map_err(|error| self.failed(&error))
    }

    async fn row(&mut self, sql: &str, values: &[Value]) -> Result<Option<Vec<Value>>> {
        let found = || {
            let mut statement = self.connection.prepare(sql)?;
            let count = statement.column_count();
            let mut rows = statement.query(params_from_iter(values.iter().map(to_sqlite)))?;
            let Some(row) = rows.next()? else {
                return Ok(None);
            };
            let value = |at| Ok(of_sqlite(row.get::<_, SqliteValue>(at)?));
            (0..count).map(value).collect::<rusqlite::Result<_>>().map(Some)
        };
        found().map_err(|error| self.failed(&error))
    }

    async fn columns(&mut self, table: &Name) -> Result<Option<Vec<Column>>> {
        let found = || {
            let mut statement = self
                .connection
                .prepare("SELECT name, type FROM pragma_table_info(?1)")?;
            let columns = statement.query_map([&table.table], |row| Ok((row.get(0)?, row.get(1)?)))?;
            columns.collect::<rusqlite::Result<Vec<(String, String)>>>()
        };
        let columns = found().map_err(|error| self.failed(&error))?;
        let column = |(name, declared): (String, String)| Column {
            name,
            takes: Ok(Affinity::of(&declared).takes()),
        };
        Ok((!columns.is_empty()).then(|| columns.into_iter().map(column).collect()))
    }

    async fn identity(&mut self, table: &Name) -> Result<Option<String>> {
        Ok(self
            .connection
            .path()
            .map(|path| table_name(Path::new(path), &table.table)))
    }

    /// Views name tables by nothing but their names, and then mean the new one. So do foreign keys, but those need a unique key of it.
    async fn dependents(&mut self, table: &Name) -> Result<Vec<String>> {
        let found = || {
            let mut statement = self.connection.prepare(
                "SELECT DISTINCT 'foreign key of ' || m.name FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f \
                 WHERE m.type = 'table' AND lower(f.\"table\") = lower(?1) AND lower(m.name) <> lower(?1) ORDER BY 1",
            )?;
            let names = statement.query_map([&table.table], |row| row.get(0))?;
            names.collect::<rusqlite::Result<Vec<String>>>()
        };
        found().map_err(|error| self.failed(&error))
    }

    async fn refusal(&mut self, target: &Target) -> Result<Option<String>> {
        for field in &target.columns {
            if !matches!(field.data_type(), DataType::Utf8 | DataType::UInt64)
                && !field.data_type().is_decimal()
            {
                continue;
            }
            let declared = self.connection.query_row(
                "SELECT type FROM pragma_table_info(?1) WHERE lower(name) = lower(?2)",
                [&target.table.table, field.name()],
                |row| row.get::<_, String>(0),
            );
            let declared = declared.map_err(|error| self.failed(&error))?;
            if Affinity::of(&declared) == Affinity::Numeric {
                return Ok(Some(format!(
                    "its column `{}` is declared {declared}, of which SQLite makes numbers, as 7 of 007; declare it TEXT",
                    field.name()
                )));
            }
        }
        // Whether an index tells the keys apart is looked at where the statement is prepared.
        match self.connection.prepare(&insert(target)) {
            Ok(_) => Ok(None),
            Err(error) if error.to_string().contains("ON CONFLICT") => Ok(Some(format!(
                "no unique index tells its keys apart; CREATE UNIQUE INDEX … ON {} ({})",
                quoted(&target.table.table),
                target
                    .upsert
                    .iter()
                    .flatten()
                    .map(|name| quoted(name))
                    .collect::<Vec<_>>()
                    .join(", ")
            ))),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn rename(&self, from: &Name, to: &Name) -> String {
        format!("ALTER TABLE {} RENAME TO {}", self.table(from), self.table(to))
    }

    async fn begin_rows(&mut self, _: &Target) -> Result<()> {
        Ok(())
    }

    async fn send(&mut self, target: &Target, rows: &RecordBatch) -> Result<()> {
        let columns: Vec<Values> = rows
            .columns()
            .iter()
            .zip(&target.columns)
            .map(|(values, field)| Values::of(values.as_ref(), field))
            .collect::<Result<_>>()?;
        let sent = || {
            let mut insert = self.connection.prepare_cached(&insert(target))?;
            for row in 0..rows.num_rows() {
                insert.execute(params_from_iter(columns.iter().map(|column| column.value(row))))?;
            }
            Ok(())
        };
        sent().map_err(|error| self.failed(&error))
    }

    async fn end_rows(&mut self, _: &Target) -> Result<()> {
        Ok(())
    }
}

fn path_of(url: &SourceUrl) -> &Path {
    let path = url.revealed().split_once(':').map_or("", |(_, path)| path);
    Path::new(path.strip_prefix("//").unwrap_or(path))
}

/// What SQLite makes of the values of a column (https://sqlite.org/datatype3.html, 3.1).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Affinity {
    Integer,
    Real,
    /// Integers and reals, also of texts that look like them.
    Numeric,
    /// Values stay what they are.
    Any,
}

impl Affinity {
    fn of(declared: &str) -> Self {
        let declared = declared.to_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Self::Integer
        } else if declared.is_empty() || has(&["CHAR", "CLOB", "TEXT", "BLOB"]) {
            Self::Any
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// The type of the values of a column; `None` where it keeps or is refused what it gets.
    fn takes(self) -> Option<DataType> {
        match self {
            Self::Integer => Some(DataType::Int64),
            Self::Real => Some(DataType::Float64),
            Self::Numeric | Self::Any => None,
        }
    }
}

/// Inserts one row.
fn insert(target: &Target) -> String {
    let names: Vec<String> = target.columns.iter().map(|field| quoted(field.name())).collect();
    let mut sql = format!(
        "INSERT INTO {} ({}) VALUES ({})",
        quoted(&target.table.table),
        names.join(", "),
        vec!["?"; names.len()].join(", ")
    );
    if let Some(key) = &target.upsert {
        let key: Vec<String> = key.iter().map(|name| quoted(name)).collect();
        let set = names.iter().filter(|name| !key.contains(name));
        let set: Vec<String> = set.map(|name| format!("{name} = excluded.{name}")).collect();
        sql.push_str(&format!(
            " ON CONFLICT ({}) DO UPDATE SET {}",
            key.join(", "),
            set.join(", ")
        ));
    }
    sql
}

/// The values of a column as SQLite has them.
enum Values {
    Integers(arrow::array::Int64Array),
    Reals(arrow::array::Float64Array),
    Blobs(arrow::array::BinaryArray),
    Texts(Vec<Option<String>>),
}

impl Values {
    fn of(values: &dyn Array, field: &Field) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::UInt64 => Self::Texts(texts(values)?),
            other if other.is_integer() || *other == DataType::Boolean => Self::Integers(
                cast(values, &DataType::Int64)?
                    .as_primitive::<Int64Type>()
                    .clone(),
            ),
            other if other.is_floating() => Self::Reals(
                cast(values, &DataType::Float64)?
                    .as_primitive::<Float64Type>()
                    .clone(),
            ),
            DataType::Binary => Self::Blobs(values.as_binary::<i32>().clone()),
            _ => Self::Texts(texts(values)?),
        })
    }

    fn value(&self, row: usize) -> SqliteValue {
        fn some(value: Option<SqliteValue>) -> SqliteValue {
            value.unwrap_or(SqliteValue::Null)
        }
        match self {
            Self::Integers(values) => some(
                values
                    .is_valid(row)
                    .then(|| SqliteValue::Integer(values.value(row))),
            ),
            Self::Reals(values) => some(values.is_valid(row).then(|| SqliteValue::Real(values.value(row)))),
            Self::Blobs(values) => some(
                values
                    .is_valid(row)
                    .then(|| SqliteValue::Blob(values.value(row).to_vec())),
            ),
            Self::Texts(values) => some(values[row].clone().map(SqliteValue::Text)),
        }
    }
}

/// Values as text: of times, in the form of SQLite's own functions.
fn texts(values: &dyn Array) -> Result<Vec<Option<String>>> {
    let options = FormatOptions::default()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.6f"));
    let format = ArrayFormatter::try_new(values, &options)?;
    let text = |row| values.is_valid(row).then(|| format.value(row).to_string());
    Ok((0..values.len()).map(text).collect())
}

fn to_sqlite(value: &Value) -> SqliteValue {
    match value {
        Value::Null => SqliteValue::Null,
        Value::Int(number) => SqliteValue::Integer(*number),
        Value::Text(text) => SqliteValue::Text(text.clone()),
    }
}

fn of_sqlite(value: SqliteValue) -> Value {
    match value {
        SqliteValue::Integer(number) => Value::Int(number),
        SqliteValue::Text(text) => Value::Text(text),
        SqliteValue::Null | SqliteValue::Real(_) | SqliteValue::Blob(_) => Value::Null,
    }
}
