//! MySQL and MariaDB: one connection that writes; a batch is one transaction of inserts of many rows each.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use async_trait::async_trait;
use chrono::{DateTime, Datelike, Timelike};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value as MyValue};

use crate::budget::value_bytes;
use crate::error::{Error, Result};
use crate::settings::SourceUrl;
use crate::sink::database::{Column, Database, Name, Target, Value};
use crate::sink::of_output;
use crate::source::mysql::connect::connect;
use crate::source::mysql::dialect::quoted;
use crate::source::mysql::types::MyColumn;
use crate::source::mysql::{SERVER, no_limits, query_error, table_name};

/// The protocol allows for so many values in a statement.
const MOST_VALUES: usize = 65_535;

/// Rows and bytes of one statement, at most; a server takes packets of 16 MB if it is not told otherwise.
const MOST_ROWS: usize = 1_000;
const MOST_BYTES: u64 = 4 << 20;

pub(super) struct MySql {
    connection: Conn,
    url: String,
    /// What tells texts apart as they are here, byte by byte.
    collation: &'static str,
}

impl MySql {
    pub(super) async fn connect(url: &SourceUrl) -> Result<Self> {
        let shown = url.to_string();
        let (mut connection, _) = connect(url).await?;
        let failed = |error| of_output(&shown, query_error(&shown, &error));
        for sql in [
            &*no_limits(),
            "SET NAMES utf8mb4",
            "SET SESSION time_zone = '+00:00'",
            // What does not fit is refused, and not cut off.
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'",
            "SET SESSION autocommit = 1",
        ] {
            connection.query_drop(sql).await.map_err(failed)?;
        }
        let version: Option<String> = connection.query_first("SELECT version()").await.map_err(failed)?;
        let maria = version.is_some_and(|version| version.contains("MariaDB"));
        Ok(Self {
            connection,
            url: shown,
            collation: if maria {
                "utf8mb4_nopad_bin"
            } else {
                "utf8mb4_0900_bin"
            },
        })
    }

    async fn query(&mut self, sql: &str) -> Result<()> {
        let done = self.connection.query_drop(sql).await;
        done.map_err(|error| failed(&self.url, &error))
    }
}

fn failed(url: &str, error: &mysql_async::Error) -> Error {
    of_output(url, query_error(url, error))
}

#[async_trait]
impl Database for MySql {
    fn url(&self) -> &str {
        &self.url
    }

    fn has_transactional_tables(&self) -> bool {
        false
    }

    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    fn declared(&self, values: &DataType, in_key: bool) -> Option<String> {
        let declared = match values {
            DataType::Boolean => "BOOLEAN",
            DataType::Int8 => "TINYINT",
            DataType::Int16 | DataType::UInt8 => "SMALLINT",
            DataType::Int32 | DataType::UInt16 => "INT",
            DataType::Int64 | DataType::UInt32 => "BIGINT",
            DataType::UInt64 => "BIGINT UNSIGNED",
            DataType::Float16 | DataType::Float32 => "FLOAT",
            DataType::Float64 => "DOUBLE",
            DataType::Decimal128(precision, scale) if (0..=30).contains(scale) => {
                return Some(format!("DECIMAL({precision}, {scale})"));
            }
            DataType::Utf8 | DataType::Null if in_key => {
                return Some(format!(
                    "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {}",
                    self.collation
                ));
            }
            DataType::Utf8 | DataType::Null => {
                return Some(format!(
                    "LONGTEXT CHARACTER SET utf8mb4 COLLATE {}",
                    self.collation
                ));
            }
            DataType::Binary if in_key => "VARBINARY(255)",
            DataType::Binary => "LONGBLOB",
            DataType::Date32 => "DATE",
            DataType::Timestamp(_, None) => "DATETIME(6)",
            DataType::Timestamp(_, Some(_)) if in_key => "TIMESTAMP(6)",
            // Else the first such column would be set to the time of each change.
            DataType::Timestamp(_, Some(_)) => "TIMESTAMP(6) NULL",
            _ => return None,
        };
        Some(declared.to_owned())
    }

    fn table_options(&self) -> &'static str {
        " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    }

    async fn begin(&mut self) -> Result<()> {
        self.query("START TRANSACTION").await
    }

    async fn commit(&mut self) -> Result<()> {
        self.query("COMMIT").await
    }

    async fn rollback(&mut self) -> Result<()> {
        self.query("ROLLBACK").await
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let done = match values {
            [] => self.connection.query_drop(sql).await,
            values => {
                let values: Vec<MyValue> = values.iter().map(to_mysql).collect();
                self.connection.exec_drop(sql, values).await
            }
        };
        done.map_err(|error| failed(&self.url, &error))?;
        Ok(self.connection.affected_rows())
    }

    async fn row(&mut self, sql: &str, values: &[Value]) -> Result<Option<Vec<Value>>> {
        let values: Vec<MyValue> = values.iter().map(to_mysql).collect();
        let row: Option<Row> = self
            .connection
            .exec_first(sql, values)
            .await
            .map_err(|error| failed(&self.url, &error))?;
        Ok(row.map(|row| row.unwrap().into_iter().map(of_mysql).collect()))
    }

    async fn columns(&mut self, table: &Name) -> Result<Option<Vec<Column>>> {
        let sql = "SELECT count(*) FROM information_schema.tables WHERE table_schema = coalesce(?, database()) AND \
                   table_name = ?";
        let schema = table.schema.as_deref().map_or(Value::Null, Value::from);
        let found = self.row(sql, &[schema, table.table.as_str().into()]).await?;
        if found.is_none_or(|count| count[0].number() == 0) {
            return Ok(None);
        }
        let sql = format!("SELECT * FROM {} LIMIT 0", self.table(table));
        let statement = self.connection.prep(sql).await;
        let statement = statement.map_err(|error| failed(&self.url, &error))?;
        let column = |column: &mysql_async::Column| Column {
            name: column.name_str().into_owned(),
            takes: match MyColumn::new(column) {
                Ok(column) => Ok(Some(column.kind.arrow_type())),
                Err(Error::ColumnType { given, .. }) => Err(given),
                Err(error) => Err(error.to_string()),
            },
        };
        Ok(Some(statement.columns().iter().map(column).collect()))
    }

    async fn identity(&mut self, table: &Name) -> Result<Option<String>> {
        let server = self.row(SERVER, &[]).await?;
        let schema = table.schema.as_deref().map_or(Value::Null, Value::from);
        let schema = self.row("SELECT coalesce(?, database())", &[schema]).await?;
        let (Some(server), Some(schema)) = (server, schema) else {
            return Ok(None);
        };
        Ok(Some(table_name(server[0].text(), schema[0].text(), &table.table)))
    }

    /// Views name tables by nothing but their names; foreign keys follow a table that is renamed, and keep it from being dropped.
    async fn dependents(&mut self, table: &Name) -> Result<Vec<String>> {
        let schema = table.schema.as_deref().map_or(Value::Null, Value::from);
        let sql = "SELECT group_concat(DISTINCT concat('foreign key ', constraint_name, ' of ', table_schema, '.', table_name) \
                   SEPARATOR '\n') FROM information_schema.key_column_usage WHERE referenced_table_schema = coalesce(?, database()) \
                   AND referenced_table_name = ? AND (table_schema, table_name) <> (referenced_table_schema, referenced_table_name)";
        let found = self.row(sql, &[schema, table.table.as_str().into()]).await?;
        let found = found.map(|row| row[0].text().to_owned()).unwrap_or_default();
        Ok(found.lines().map(str::to_owned).collect())
    }

    async fn refusal(&mut self, target: &Target) -> Result<Option<String>> {
        let schema = target.table.schema.as_deref().map_or(Value::Null, Value::from);
        let place = [schema, target.table.table.as_str().into()];
        let sql = "SELECT coalesce(e.transactions, 'NO'), t.engine FROM information_schema.tables t LEFT JOIN \
                   information_schema.engines e ON e.engine = t.engine WHERE t.table_schema = coalesce(?, database()) AND \
                   t.table_name = ?";
        let engine = self.row(sql, &place).await?;
        if let Some(engine) = engine.filter(|engine| engine[0].text() != "YES") {
            return Ok(Some(format!(
                "its engine `{}` has no transactions; ALTER TABLE {} ENGINE = InnoDB",
                engine[1].text(),
                self.table(&target.table)
            )));
        }
        let Some(key) = &target.upsert else {
            return Ok(None);
        };
        let sql = "SELECT count(*) FROM (SELECT index_name FROM information_schema.statistics WHERE table_schema = \
                   coalesce(?, database()) AND table_name = ? AND non_unique = 0 GROUP BY index_name HAVING \
                   lower(group_concat(column_name ORDER BY column_name SEPARATOR '\\n')) = lower(?)) AS of_key";
        let mut names = key.clone();
        names.sort_unstable();
        let [schema, table] = place;
        let found = self
            .row(sql, &[schema, table, names.join("\n").as_str().into()])
            .await?;
        if found.is_some_and(|count| count[0].number() > 0) {
            return Ok(None);
        }
        let key: Vec<String> = key.iter().map(|name| quoted(name)).collect();
        Ok(Some(format!(
            "no unique index tells its keys apart; CREATE UNIQUE INDEX … ON {} ({})",
            self.table(&target.table),
            key.join(", ")
        )))
    }

    fn rename(&self, from: &Name, to: &Name) -> String {
        format!("RENAME TABLE {} TO {}", self.table(from), self.table(to))
    }

    async fn begin_rows(&mut self, _: &Target) -> Result<()> {
        Ok(())
    }

    async fn send(&mut self, target: &Target, rows: &RecordBatch) -> Result<()> {
        let bytes = value_bytes(rows) / (rows.num_rows() as u64).max(1);
        let of_bytes = usize::try_from(MOST_BYTES / bytes.max(1)).unwrap_or(MOST_ROWS);
        let most = (MOST_VALUES / target.columns.len().max(1))
            .min(MOST_ROWS)
            .min(of_bytes)
            .max(1);
        let mut start = 0;
        while start < rows.num_rows() {
            let count = most.min(rows.num_rows() - start);
            let values = (start..start + count).flat_map(|row| {
                let columns = rows.columns().iter();
                columns.map(move |column| value(column, row))
            });
            let values: Vec<MyValue> = values.collect();
            let sql = insert(&self.table(&target.table), target, count);
            let sent = self.connection.exec_drop(sql, values).await;
            sent.map_err(|error| failed(&self.url, &error))?;
            start += count;
        }
        Ok(())
    }

    async fn end_rows(&mut self, _: &Target) -> Result<()> {
        Ok(())
    }
}

/// Inserts so many rows.
fn insert(table: &str, target: &Target, rows: usize) -> String {
    let names: Vec<String> = target.columns.iter().map(|field| quoted(field.name())).collect();
    let row = format!("({})", vec!["?"; names.len()].join(", "));
    let mut sql = format!(
        "INSERT INTO {table} ({}) VALUES {}",
        names.join(", "),
        vec![row.as_str(); rows].join(", ")
    );
    if let Some(key) = &target.upsert {
        let key: Vec<String> = key.iter().map(|name| quoted(name)).collect();
        let set = names.iter().filter(|name| !key.contains(name));
        let set: Vec<String> = set.map(|name| format!("{name} = VALUES({name})")).collect();
        sql.push_str(&format!(" ON DUPLICATE KEY UPDATE {}", set.join(", ")));
    }
    sql
}

/// A value of the types that [`MyColumn`] has.
fn value(column: &ArrayRef, row: usize) -> MyValue {
    if column.is_null(row) {
        return MyValue::NULL;
    }
    match column.data_type() {
        DataType::Boolean => MyValue::Int(column.as_boolean().value(row).into()),
        DataType::Int8 => MyValue::Int(column.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => MyValue::Int(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => MyValue::Int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => MyValue::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => MyValue::Float(column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => MyValue::Double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => MyValue::Bytes(
            column
                .as_primitive::<Decimal128Type>()
                .value_as_string(row)
                .into_bytes(),
        ),
        DataType::Utf8 => MyValue::Bytes(column.as_string::<i32>().value(row).as_bytes().to_vec()),
        DataType::Binary => MyValue::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::Date32 => time(i64::from(column.as_primitive::<Date32Type>().value(row)) * 86_400_000_000),
        DataType::Timestamp(..) => time(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        _ => MyValue::NULL,
    }
}

fn time(micros: i64) -> MyValue {
    let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    MyValue::Date(
        u16::try_from(time.year()).unwrap_or_default(),
        time.month() as u8,
        time.day() as u8,
        time.hour() as u8,
        time.minute() as u8,
        time.second() as u8,
        time.timestamp_subsec_micros(),
    )
}

fn to_mysql(value: &Value) -> MyValue {
    match value {
        Value::Null => MyValue::NULL,
        Value::Int(number) => MyValue::Int(*number),
        Value::Text(text) => MyValue::Bytes(text.clone().into_bytes()),
    }
}

fn of_mysql(value: MyValue) -> Value {
    match value {
        MyValue::Int(number) => Value::Int(number),
        MyValue::UInt(number) => Value::from(number),
        MyValue::Bytes(bytes) => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
        _ => Value::Null,
    }
}
