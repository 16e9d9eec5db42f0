//! Predictions into tables that are killed anywhere, or made twice at a time: each key is there once.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Instant;

use gristmill_data::failpoint::TABLE;
use gristmill_testkit::{TempMariaDb, TempPostgres, cases};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Database, MODES, ROWS, TRAINED};
use crate::support::{Place, stderr, table};

const SIGKILL: i32 = 9;

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

/// Two at a time write each row once: one of them does, or both in turn, and who is late is told.
#[test]
fn two_predictions_at_a_time_leave_each_key_once() {
    for database in Database::all() {
        for (number, mode) in MODES.into_iter().enumerate() {
            let (table, more) = (
                format!("t{number}"),
                format!("--if-exists {mode} --batch-rows 16"),
            );
            let start = || {
                let mut command = database.predict(&table, &more);
                command
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            };
            let ends = [start(), start()].map(|child| child.wait_with_output().unwrap());
            for output in &ends {
                assert!(
                    matches!(output.status.code(), Some(0 | 1)),
                    "{}: {}",
                    database.name(),
                    stderr(output)
                );
            }
            database.done(&table, &more);
            database.assert_all(&table, mode);
            assert_eq!(
                database.number(&format!("SELECT count(*) FROM {table}")),
                ROWS,
                "{mode}"
            );
        }
    }
}
