//! Predictions into tables of databases: the right rows with the right types, and each key once however often it is killed.

mod killed;
mod written;

use std::process::Output;
use std::sync::LazyLock;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use gristmill_testkit::{TempMariaDb, TempPostgres};
use rusqlite::Connection;

use crate::support::{Place, parquet, pipeline, stderr, table};

const ROWS: u64 = 300;
const MODES: [&str; 4] = ["fail", "append", "replace", "upsert"];

/// A trained model, the rows it learnt from as `rows.parquet`, and what it says of them.
struct Trained {
    place: Place,
    /// By id: the class and its probability.
    expected: Vec<(i64, String, f64)>,
}

static TRAINED: LazyLock<Trained> = LazyLock::new(|| {
    let edits = [
        ("rows = 25", "rows = 1000"),
        ("reg_param = [0.01, 0.1]", "reg_param = 0.1"),
    ];
    let place = Place::with(&table(ROWS), &pipeline(&edits));
    place.run();
    place.write("rows.parquet", place.read("run/dataset/batch-0000000000.parquet"));
    let output = place.gristmill("predict run/model --input rows.parquet --output expected.parquet");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let rows = parquet(&place.path("expected.parquet"))
        .into_iter()
        .flat_map(|batch| {
            let (ids, labels) = (
                batch["id"].as_primitive::<Int64Type>(),
                batch["prediction"].as_string::<i32>(),
            );
            let probabilities = batch["probability"].as_primitive::<Float64Type>();
            let row = |row| {
                (
                    ids.value(row),
                    labels.value(row).to_owned(),
                    probabilities.value(row),
                )
            };
            (0..batch.num_rows()).map(row).collect::<Vec<_>>()
        });
    let expected = rows.collect();
    Trained { place, expected }
});

/// A database of any kind.
enum Database {
    Postgres(TempPostgres),
    MariaDb(TempMariaDb),
    /// A file in a place of its own.
    Sqlite(Place),
}

impl Database {
    fn all() -> [Self; 3] {
        [
            Self::Postgres(TempPostgres::start()),
            Self::MariaDb(TempMariaDb::start()),
            Self::Sqlite(Place::new()),
        ]
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "PostgreSQL",
            Self::MariaDb(_) => "MariaDB",
            Self::Sqlite(_) => "SQLite",
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(server) => server.url(),
            Self::MariaDb(server) => server.url(),
            Self::Sqlite(place) => format!("sqlite:{}", place.path("scores.db").display()),
        }
    }

    /// The rows that SQL gives, their values apart by `|`; `"` quotes a name in it.
    fn rows(&self, sql: &str) -> Vec<String> {
        let text = match self {
            Self::Postgres(server) => server.execute(sql),
            Self::MariaDb(server) => server.execute(&sql.replace('"', "`")).replace('\t', "|"),
            Self::Sqlite(place) => {
                let connection = Connection::open(place.path("scores.db")).unwrap();
                connection.busy_timeout(Duration::from_secs(10)).unwrap();
                let Ok(mut statement) = connection.prepare(sql) else {
                    connection.execute_batch(sql).unwrap();
                    return Vec::new();
                };
                let count = statement.column_count();
                let mut rows = statement.query(()).unwrap();
                let mut lines = Vec::new();
                while let Some(row) = rows.next().unwrap() {
                    let value = |at| match row.get::<_, rusqlite::types::Value>(at).unwrap() {
                        rusqlite::types::Value::Null => "NULL".to_owned(),
                        rusqlite::types::Value::Integer(value) => value.to_string(),
                        rusqlite::types::Value::Real(value) => value.to_string(),
                        rusqlite::types::Value::Text(value) => value,
                        rusqlite::types::Value::Blob(value) => format!("{value:?}"),
                    };
                    lines.push((0..count).map(value).collect::<Vec<_>>().join("|"));
                }
                return lines;
            }
        };
        text.lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn number(&self, sql: &str) -> u64 {
        let rows = self.rows(sql);
        rows[0].parse().unwrap_or_else(|_| panic!("{sql}: {rows:?}"))
    }

    /// The command that predicts `rows.parquet` into a table.
    fn predict(&self, table: &str, more: &str) -> std::process::Command {
        TRAINED.place.command(&format!(
            "predict run/model --input rows.parquet --output {} --table {table} {more}",
            self.url()
        ))
    }

    fn done(&self, table: &str, more: &str) -> String {
        let output = self.predict(table, more).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{}: {said}", self.name());
        said.replace("\n  ", " ")
    }

    fn refused(&self, table: &str, more: &str, code: i32) -> String {
        refused(&self.predict(table, more).output().unwrap(), code)
    }

    /// A table has each row once, of one model and one time.
    fn assert_all(&self, table: &str, case: &str) {
        let case = format!("{}, {case}", self.name());
        let sql = format!("SELECT id, prediction, probability FROM {table} WHERE id <= 1000 ORDER BY id");
        let rows: Vec<(i64, String, f64)> = self
            .rows(&sql)
            .iter()
            .map(|line| {
                let values: Vec<&str> = line.split('|').collect();
                (
                    values[0].parse().unwrap(),
                    values[1].to_owned(),
                    values[2].parse().unwrap(),
                )
            })
            .collect();
        assert_eq!(rows.len() as u64, ROWS, "{case}");
        for (found, expected) in rows.iter().zip(&TRAINED.expected) {
            assert_eq!((found.0, &found.1), (expected.0, &expected.1), "{case}");
            assert!((found.2 - expected.2).abs() < 1e-12, "{case}");
        }
        for column in ["model", "predicted_at"] {
            let sql = format!("SELECT count(DISTINCT {column}) FROM {table} WHERE id <= 1000");
            assert_eq!(self.number(&sql), 1, "{case}");
        }
    }

    /// The tables that are there, but for that of progress.
    fn tables(&self) -> Vec<String> {
        let sql = match self {
            Self::Postgres(_) => "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
            Self::MariaDb(_) => {
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'test'"
            }
            Self::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        };
        let mut tables = self.rows(sql);
        tables.retain(|table| table != "gristmill_progress");
        tables.sort();
        tables
    }
}

fn refused(output: &Output, code: i32) -> String {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said.replace("\n  ", " ")
}
