//! Keys of several columns: compared one after the other, a null in any of them a key of none.

use crate::support::{TempSqlite, check_ranges, read_all, rows_of, settings, source};
use gristmill_data::key::{Bounds, Key};
use gristmill_data::pull::{Pace, pull};
use gristmill_data::settings::{CleanSettings, Consistency, KeyColumns};
use gristmill_data::table::DatasetIdentity;
use gristmill_testkit::{TempMariaDb, TempPostgres};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// A country, a day, a number.
type Row = (Option<String>, Option<String>, Option<i64>);

fn columns(names: &[&str]) -> KeyColumns {
    KeyColumns::new(names.iter().map(|name| (*name).to_owned()).collect())
}

fn keys() -> impl Strategy<Value = Vec<Row>> {
    let nullable = |some: BoxedStrategy<String>| prop_oneof![1 => Just(None), 9 => some.prop_map(Some)];
    let day = prop_oneof![
        Just("2024-02-29"),
        Just("1999-12-31"),
        Just("2024-01-01"),
        Just("0001-01-01")
    ];
    let number = prop_oneof![3 => -1_i64..3, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    proptest::collection::vec(
        (
            nullable("[aA'é]{0,1}".boxed()),
            nullable(day.prop_map(str::to_owned).boxed()),
            prop_oneof![1 => Just(None), 9 => number.prop_map(Some)],
        ),
        0..40,
    )
}

/// `(1, 'a', DATE '2024-01-01', 5), …`, where `date` stands before the days; nothing where there are no rows.
fn insert(keys: &[Row], date: &str) -> String {
    let quoted = |text: &Option<String>| match text {
        Some(text) => format!("'{}'", text.replace('\'', "''")),
        None => "NULL".to_owned(),
    };
    let row = |(i, (country, day, number)): (usize, &Row)| {
        let day = day
            .as_ref()
            .map_or("NULL".to_owned(), |day| format!("{date}'{day}'"));
        let number = number.map_or("NULL".to_owned(), |number| number.to_string());
        format!("({}, {}, {day}, {number})", i + 1, quoted(country))
    };
    let rows: Vec<String> = keys.iter().enumerate().map(row).collect();
    if rows.is_empty() {
        String::new()
    } else {
        format!("INSERT INTO t VALUES {};", rows.join(", "))
    }
}

/// Each case is (keys, rows of a batch, whether there is an index).
fn run(cases: u32, mut case: impl FnMut(Vec<Row>, u64, bool)) {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let case = std::cell::RefCell::new(&mut case);
    TestRunner::new(config)
        .run(&(keys(), 1_u64..9, any::<bool>()), |(keys, rows, index)| {
            case.borrow_mut()(keys, rows, index);
            Ok(())
        })
        .unwrap();
}

/// Checks the ranges by two and by three columns.
fn check(url: &str, row: &str, rows: u64, count: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let query = format!("SELECT {row}, a, b, c FROM t");
        for key in [&["a", "b"][..], &["a", "b", "c"]] {
            let source = source(url, &query, columns(key)).await;
            check_ranges(source.as_ref(), rows, count, key.len()).await;
        }
        let query = format!("SELECT {row}, c, a, b FROM t");
        let source = source(url, &query, columns(&["c", "a"])).await;
        check_ranges(source.as_ref(), rows, count, 2).await;
    });
}

#[test]
fn any_composite_keys_on_sqlite() {
    run(40, |keys, rows, index| {
        let database = TempSqlite::new("CREATE TABLE t (\"row\" int, a text, b text, c int)");
        let writer = database.open();
        writer.execute_batch(&insert(&keys, "")).unwrap();
        if index {
            writer.execute_batch("CREATE INDEX i ON t (a, b, c)").unwrap();
        }
        check(&database.url(), "\"row\"", rows, keys.len());
    });
}

#[test]
fn any_composite_keys_on_postgres() {
    let server = TempPostgres::shared();
    run(10, |keys, rows, index| {
        server.execute(&format!(
            "SET client_min_messages = error; DROP TABLE IF EXISTS t; \
             CREATE TABLE t (\"row\" int, a text, b date, c bigint); {}",
            insert(&keys, "date ")
        ));
        if index {
            server.execute("CREATE INDEX ON t (a, b, c)");
        }
        check(&server.url(), "\"row\"", rows, keys.len());
    });
}

#[test]
fn any_composite_keys_on_mariadb() {
    let server = TempMariaDb::shared();
    run(10, |keys, rows, index| {
        let index = if index { ", KEY (a, b, c)" } else { "" };
        server.execute(&format!(
            "CREATE OR REPLACE TABLE t (`row` int, a varchar(5) COLLATE utf8mb4_bin, b date, c bigint{index}); {}",
            insert(&keys, "date ")
        ));
        check(&server.socket_url(), "`row`", rows, keys.len());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_on_the_columns_serves_every_batch() {
    let query = "SELECT a, b FROM t";
    let key = || columns(&["a", "b"]);

    let postgres = TempPostgres::shared();
    postgres.execute(
        "CREATE TABLE t AS SELECT n % 4 AS a, n AS b FROM generate_series(1, 20000) AS n; \
         CREATE INDEX ON t (a, b); ANALYZE t",
    );
    let source = source(&postgres.url(), query, key()).await;
    assert_eq!(rows_of(source.as_ref(), 500).await.len(), 20_000);
    drop(source);
    let read = || -> Vec<i64> {
        let read = postgres.execute("SELECT pg_stat_force_next_flush(); SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 't'");
        let read = read.lines().last().unwrap();
        read.split('|').map(|n| n.parse().unwrap()).collect()
    };
    // The connection tells when it ends.
    let mut scanned = read();
    while scanned[1] < 20_000 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        scanned = read();
    }
    // Once when the index was made, once by ANALYZE.
    assert!(scanned[0] <= 60_000 && scanned[1] < 60_000, "{scanned:?}");

    let mariadb = TempMariaDb::shared();
    mariadb.execute(
        "CREATE TABLE t (a int, b int, KEY (a, b)) SELECT seq % 4 AS a, seq AS b FROM seq_1_to_20000; ANALYZE TABLE t",
    );
    let handled = || -> u64 {
        let status = mariadb.execute(
            "SHOW GLOBAL STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_rnd_next')",
        );
        status
            .lines()
            .map(|line| line.split('\t').nth(1).unwrap().parse::<u64>().unwrap())
            .sum()
    };
    let source = crate::support::source(&mariadb.url(), query, key()).await;
    let before = handled();
    assert_eq!(rows_of(source.as_ref(), 500).await.len(), 20_000);
    let handled = handled() - before;
    // Each row is stepped over, read, and looked at once more where it is sorted; 40 scans would be 800,000.
    assert!(handled < 120_000, "{handled} rows handled");

    let sqlite = TempSqlite::new(
        "CREATE TABLE t (a int, b int); CREATE INDEX i ON t (a, b); \
         INSERT INTO t SELECT n % 4, n FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 20000) \
         SELECT n FROM s)",
    );
    let plan: Vec<String> = sqlite
        .open()
        .prepare(
            "EXPLAIN QUERY PLAN SELECT q.a, q.b FROM (SELECT a, b FROM t) AS q \
             WHERE (q.a, q.b) > (1, 2) AND q.b IS NOT NULL AND (q.a, q.b) <= (1, 9) AND q.b IS NOT NULL ORDER BY q.a, q.b",
        )
        .unwrap()
        .query_map((), |row| row.get(3))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(
        plan.len() == 1 && plan[0].contains("USING COVERING INDEX i ((a,b)>(?,?) AND (a,b)<(?,?))"),
        "{plan:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_composite_keys_make_the_same_dataset() {
    let database = TempSqlite::new(
        "CREATE TABLE t (country TEXT, id INTEGER, name TEXT); \
         INSERT INTO t SELECT CASE WHEN n % 11 > 0 THEN substr('FRDEGB', n % 3 * 2 + 1, 2) || ' ' END, \
         CASE WHEN n % 13 > 0 THEN n % 20 END, ' name ' || n % 2 FROM (WITH RECURSIVE s(n) AS \
         (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 500) SELECT n FROM s)",
    );
    let mut settings = settings(
        &database.url(),
        "SELECT name, country, id FROM t",
        columns(&["country", "id"]),
    );
    let clean = CleanSettings {
        trim: true,
        empty_as_null: true,
        require: vec![],
        filter: None,
        distinct: true,
    };
    let mut hashes = Vec::new();
    let dir = tempfile::tempdir().unwrap();
    for rows in [1, 7, 1000] {
        let source = gristmill_data::source::open::connect(&settings).await.unwrap();
        let identity =
            DatasetIdentity::new("", &settings.query, &settings.key, &clean, &source.schema()).unwrap();
        assert_eq!(identity.key(), &settings.key);
        let pace = Pace::new(rows, 2, Consistency::Resume);
        let path = dir.path().join(rows.to_string());
        let totals = pull(source, &settings, identity, &path, pace, &mut |_| ())
            .await
            .unwrap()
            .totals;
        assert_eq!(totals.rows_read, 500);
        assert!(totals.dropped.duplicate > 100);
        hashes.push(totals.hash);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1);
    // The same rows by another key are another dataset.
    settings.key = "country".into();
    let source = gristmill_data::source::open::connect(&settings).await.unwrap();
    let identity =
        DatasetIdentity::new("", &settings.query, &settings.key, &clean, &source.schema()).unwrap();
    let refused = pull(
        source,
        &settings,
        identity,
        &dir.path().join("7"),
        Pace::new(7, 2, Consistency::Resume),
        &mut |_| (),
    )
    .await;
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("source.key: then `country, id`, now `country`;"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_value_of_the_key_is_refused() {
    let database = TempSqlite::new("CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 2), (1, 3)");
    let source = source(&database.url(), "SELECT a, b FROM t", columns(&["b", "a"])).await;
    let ranges = read_all(source.as_ref(), 1, None, 0).await;
    let first = Key::Row(vec![Key::Int(2), Key::Int(1)]);
    assert_eq!(
        ranges[0].0.bounds,
        Bounds::Between {
            after: None,
            until: first.clone()
        }
    );
    assert_eq!(ranges[1].0.bounds.to_string(), "after (2, 1) up to (3, 1)");
    for key in [
        Key::Int(1),
        Key::Row(vec![first.clone(), Key::Int(1)]),
        Key::Row(vec![Key::Int(1)]),
    ] {
        let message = source.boundary(Some(&key), 1).await.unwrap_err().to_string();
        assert!(message.contains("is no value of source.key"), "{message}");
    }
}
