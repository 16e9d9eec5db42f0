//! Predictions into tables of databases: the right rows with the right types, and each key once however often it is killed.

use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use gristmill_data::failpoint::TABLE;
use gristmill_testkit::{TempMariaDb, TempPostgres, cases};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rusqlite::Connection;

use crate::support::{Place, parquet, pipeline, stderr, table};

const ROWS: u64 = 300;
const SIGKILL: i32 = 9;
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

#[test]
fn a_table_has_the_right_rows_and_types_and_a_rerun_does_nothing() {
    for database in Database::all() {
        let said = database.done("scores", "");
        assert!(said.contains("300 rows written to table `scores` of "), "{said}");
        database.assert_all("scores", "created");
        let types: &[&str] = match &database {
            Database::Postgres(_) => &[
                "id|bigint",
                "prediction|text",
                "probability|double precision",
                "prediction_2|text",
                "probability_2|double precision",
                "model|text",
                "predicted_at|timestamp with time zone",
            ],
            Database::MariaDb(_) => &[
                "id|bigint(20)",
                "prediction|longtext",
                "probability|double",
                "prediction_2|longtext",
                "probability_2|double",
                "model|longtext",
                "predicted_at|timestamp(6)",
            ],
            Database::Sqlite(_) => &[
                "id|INTEGER",
                "prediction|TEXT",
                "probability|REAL",
                "prediction_2|TEXT",
                "probability_2|REAL",
                "model|TEXT",
                "predicted_at|TEXT",
            ],
        };
        database.done("likely", "--top 2");
        let sql = match &database {
            Database::Postgres(_) => {
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'likely' ORDER BY \
                 ordinal_position"
            }
            Database::MariaDb(_) => {
                "SELECT column_name, column_type FROM information_schema.columns WHERE table_name = 'likely' ORDER BY \
                 ordinal_position"
            }
            Database::Sqlite(_) => "SELECT name, type FROM pragma_table_info('likely')",
        };
        assert_eq!(database.rows(sql), types);

        let said = database.done("scores", "");
        assert!(
            said.contains("300 rows of this prediction are in table `scores`"),
            "{said}"
        );
        assert_eq!(database.number("SELECT count(*) FROM scores"), ROWS);
        // Another prediction, for which the table is not.
        let said = database.refused("scores", "--prefix new_", 2);
        assert!(
            said.contains("is there already; --if-exists append adds rows"),
            "{said}"
        );
        let said = database.refused("scores", "--fresh", 2);
        assert!(said.contains("is there already"), "{said}");
        // It is gone, and so it is written again.
        database.rows("DROP TABLE scores");
        database.done("scores", "");
        database.assert_all("scores", "created again");
    }
}

#[test]
fn rows_are_added_replaced_or_merged_as_asked() {
    for database in Database::all() {
        let time = |table: &str| database.rows(&format!("SELECT max(predicted_at) FROM {table}"));
        database.done("added", "");
        for rows in [2 * ROWS, 2 * ROWS] {
            database.done("added", "--if-exists append");
            assert_eq!(database.number("SELECT count(*) FROM added"), rows);
        }
        database.done("added", "--if-exists append --fresh");
        assert_eq!(database.number("SELECT count(*) FROM added"), 3 * ROWS);

        let said = database.refused("added", "--if-exists upsert", 2);
        assert!(
            said.contains("no unique index tells its keys apart; CREATE UNIQUE INDEX"),
            "{said}"
        );
        database.done("merged", "--if-exists upsert");
        let before = time("merged");
        database.rows("DELETE FROM merged WHERE id > 100");
        database.rows("UPDATE merged SET prediction = 'nowhere'");
        database.done("merged", "--if-exists upsert --fresh --batch-rows 7");
        database.assert_all("merged", "merged");
        assert_ne!(time("merged"), before);

        database.rows("CREATE TABLE replaced (other INTEGER)");
        database.rows("INSERT INTO replaced VALUES (1)");
        database.done("replaced", "--if-exists replace");
        database.assert_all("replaced", "replaced");
        let said = database.done("replaced", "--if-exists replace");
        assert!(said.contains("nothing was to be done"), "{said}");
        database.done("replaced", "--if-exists replace --fresh");
        database.assert_all("replaced", "replaced again");
        // Another takes its place, and then the first has to be made anew.
        database.done("replaced", "--if-exists replace --top 2");
        database.done("replaced", "--if-exists replace");
        database.assert_all("replaced", "replaced in turn");
        assert_eq!(database.tables(), ["added", "merged", "replaced"]);
    }
}

/// Types of a table that the user made, keys that are text in a file of text, and keys that come twice.
#[test]
fn values_fit_the_table_that_is_there_or_are_refused_by_their_row() {
    for database in Database::all() {
        let (double, time) = match &database {
            Database::Postgres(_) => ("DOUBLE PRECISION", "TIMESTAMPTZ"),
            Database::MariaDb(_) => ("DOUBLE", "TIMESTAMP(6) NULL"),
            Database::Sqlite(_) => ("REAL", "TEXT"),
        };
        database.rows(&format!(
            "CREATE TABLE mine (note VARCHAR(9) DEFAULT 'mine', id INTEGER PRIMARY KEY, prediction VARCHAR(20), \
             probability {double}, model VARCHAR(40), predicted_at {time})"
        ));
        let place = &TRAINED.place;
        place.write(
            "twice.csv",
            "id,name,kind,size\n7,schuber,person,1\n8,kato,person,2\n7,kato,person,2\n",
        );
        let into = |file: &str, more: &str| {
            let command = format!(
                "predict run/model --input {file} --output {} --table mine {more}",
                database.url()
            );
            place.gristmill(&command)
        };
        let output = into("twice.csv", "--if-exists upsert");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(
            database.rows("SELECT note, id, prediction FROM mine ORDER BY id"),
            ["mine|7|Japan", "mine|8|Japan"],
            "{}",
            database.name()
        );
        place.write(
            "odd.csv",
            "id,name,kind,size\n1,kato,person,2\nx1,kato,person,2\n",
        );
        if !matches!(database, Database::Sqlite(_)) {
            let said = refused(&into("odd.csv", "--if-exists append"), 1);
            assert!(said.contains("row 2: `x1` of column `id` does not fit"), "{said}");
        }
        place.write("null.csv", "id,name,kind,size\n1,kato,person,2\n,kato,person,2\n");
        let said = refused(&into("null.csv", "--if-exists upsert"), 1);
        assert!(said.contains("row 2: the key `id` is null"), "{said}");
        assert_eq!(database.number("SELECT count(*) FROM mine"), 2);
        let said = refused(&into("rows.parquet", "--if-exists append --top 2"), 2);
        assert!(
            said.contains("it has no column `prediction_2`; its columns are: note, id,"),
            "{said}"
        );
        let said = refused(&into("rows.parquet", "--key ident --if-exists append"), 2);
        assert!(
            said.contains("the input has no column `ident` for --key; its columns are: id, "),
            "{said}"
        );
    }
}

#[test]
fn a_query_is_predicted_back_into_its_database() {
    for database in Database::all() {
        for statement in table(ROWS)
            .split_inclusive(';')
            .filter(|sql| !sql.trim().is_empty())
        {
            database.rows(statement);
        }
        if let Database::Sqlite(_) = &database {
            database.rows("PRAGMA journal_mode = WAL");
        }
        let query = "SELECT id, name, kind, size FROM artist";
        let url = database.url();
        let predict = |output: &[&str]| {
            let mut command = TRAINED
                .place
                .command("predict run/model --key id --batch-rows 64");
            command
                .args(["--input", &url, "--query", query, "--output"])
                .args(output);
            let output = command.output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(0), "{}: {said}", database.name());
            said
        };
        let said = predict(&[&url, "--table", "scores"]);
        assert!(said.contains("300 rows written to table"), "{said}");
        database.assert_all("scores", "of a query");
        let said = predict(&[&url, "--table", "scores"]);
        assert!(said.contains("nothing was to be done"), "{said}");
        predict(&["query.parquet", "--overwrite"]);
        let batches = parquet(&TRAINED.place.path("query.parquet"));
        let ids = batches
            .iter()
            .flat_map(|batch| batch["id"].as_primitive::<Int64Type>().values().to_vec());
        assert!(ids.eq(1..=ROWS as i64), "{}", database.name());
        // The pipeline's own source, whose key need not be said again.
        let text = pipeline(&[("url = \"sqlite:data.db\"", &format!("url = \"{url}\""))]);
        TRAINED.place.write("back.toml", text);
        let command = format!("predict run/model --pipeline back.toml --output {url} --table back");
        let output = TRAINED.place.gristmill(&command);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        database.assert_all("back", "of a pipeline");
    }
}

/// Kills a prediction at every point of its way, then runs it again.
fn kill_at_every_point(database: &Database) {
    // Where a table takes the place of another there are more points; elsewhere the modes differ in the rows alone.
    let replacing = TABLE.map(|point| ("replace", point, 1)).into_iter();
    let others = ["fail", "append", "upsert"].into_iter().flat_map(|mode| {
        [
            ("table-begun", 1),
            ("rows-written", 3),
            ("rows-committed", 8),
            ("table-complete", 1),
        ]
        .map(|(point, count)| (mode, point, count))
    });
    for (number, (mode, point, count)) in replacing.chain(others).enumerate() {
        let (case, table) = (format!("{mode}, {point}:{count}"), format!("t{number}"));
        let more = format!("--if-exists {mode} --batch-rows 40");
        let killed = database
            .predict(&table, &more)
            .env("GRISTMILL_KILL_AT", format!("{point}:{count}"))
            .output()
            .unwrap();
        assert_eq!(
            killed.status.signal(),
            Some(SIGKILL),
            "{case}: {}",
            stderr(&killed)
        );
        database.done(&table, &more);
        database.assert_all(&table, &case);
        assert_eq!(
            database.number(&format!("SELECT count(*) FROM {table}")),
            ROWS,
            "{case}"
        );
        database.rows(&format!("DROP TABLE {table}"));
    }
    assert_eq!(database.tables(), [""; 0], "{}", database.name());
}

#[test]
fn a_kill_at_every_point_into_postgres() {
    kill_at_every_point(&Database::Postgres(TempPostgres::start()));
}

#[test]
fn a_kill_at_every_point_into_mariadb() {
    kill_at_every_point(&Database::MariaDb(TempMariaDb::start()));
}

#[test]
fn a_kill_at_every_point_into_sqlite() {
    kill_at_every_point(&Database::Sqlite(Place::new()));
}

/// Kills predictions of a file or a query into a database, so many in all, at random times.
fn kill(database: &Database, kills: u32) {
    for statement in table(ROWS)
        .split_inclusive(';')
        .filter(|sql| !sql.trim().is_empty())
    {
        database.rows(statement);
    }
    if let Database::Sqlite(_) = database {
        database.rows("PRAGMA journal_mode = WAL");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(kills.into());
    let command = |table: &str, mode: &str, query: bool| {
        let url = database.url();
        let mut command = TRAINED
            .place
            .command("predict run/model --key id --batch-rows 16 --output");
        command.args([&url, "--table", table, "--if-exists", mode, "--input"]);
        match query {
            true => command.args([&url, "--query", "SELECT id, name, kind, size FROM artist"]),
            false => command.arg("rows.parquet"),
        };
        command
    };
    let started = Instant::now();
    assert!(command("whole", "fail", true).output().unwrap().status.success());
    let whole = started.elapsed();
    let (mut killed, mut round) = (0, 0);
    while killed < kills {
        let (mode, query) = (MODES[round % 4], round % 8 >= 4);
        let table = format!("scores_{round}");
        if mode == "append" {
            // Rows of others, which stay.
            let sql = "CREATE TABLE {} AS SELECT id + 10000 AS id, prediction, probability, model, predicted_at FROM whole";
            database.rows(&sql.replace("{}", &table));
        }
        for _ in 0..rng.random_range(1..=4) {
            let mut child = command(&table, mode, query)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(whole.mul_f64(rng.random_range(0.0..1.0)));
            child.kill().unwrap();
            killed += u32::from(child.wait().unwrap().signal() == Some(SIGKILL));
        }
        let case = format!("round {round}: {mode}, of a query: {query}, after {killed} kills");
        let output = command(&table, mode, query).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{case}: {}", stderr(&output));
        database.assert_all(&table, &case);
        let rows = database.number(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(rows, if mode == "append" { 2 * ROWS } else { ROWS }, "{case}");
        round += 1;
    }
    let own = |table: &String| table.starts_with("gristmill_");
    assert!(!database.tables().iter().any(own), "{:?}", database.tables());
}

#[test]
fn kills_of_a_prediction_into_postgres() {
    kill(&Database::Postgres(TempPostgres::start()), cases(8));
}

#[test]
fn kills_of_a_prediction_into_mariadb() {
    kill(&Database::MariaDb(TempMariaDb::start()), cases(8));
}

#[test]
fn kills_of_a_prediction_into_sqlite() {
    kill(&Database::Sqlite(Place::new()), cases(8));
}

/// The password of the output is a secret as that of a source is.
#[test]
fn the_password_of_an_output_is_not_told() {
    let server = TempPostgres::start();
    let url = server.url_with_password("wrong-SECRET");
    for more in ["", "-vv", "--log-format json"] {
        let command = format!("predict run/model --input rows.parquet --output {url} --table scores {more}");
        let output = TRAINED.place.gristmill(&command);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("refused the password") && !said.contains("SECRET"),
            "{said}"
        );
    }
    let output = TRAINED
        .place
        .gristmill(&format!("predict run/model --input rows.parquet --output {url}"));
    assert!(
        refused(&output, 2).contains("--table says which"),
        "{}",
        stderr(&output)
    );
    assert!(!stderr(&output).contains("SECRET"));
}
