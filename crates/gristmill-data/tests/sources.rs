//! One battery for every database: the same rows however they are cut, and every wrong setting explained.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::kernels::cast_utils::Parser;
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use futures::StreamExt;
use gristmill_data::source::{Bounds, Key, KeyRange};
use gristmill_testkit::{TempMariaDb, TempPostgres};
use serde_json::json;
use support::files::{TempFiles, columns};
use support::{Rows, TempSqlite, everything, failure, read, read_all, row, rows_of, source};

/// The rows of the battery's table, in both dialects.
const ROWS: &str = "
    (7, 1.5, 'Łukasz', true, '1960-02-29', '2024-01-02T03:04:05.123456Z'),
    (-3, -0.25, '', false, '0001-01-01', '1970-01-01T00:00:00Z'),
    (NULL, 2, 'no key', NULL, NULL, NULL),
    (7, NULL, NULL, true, '2000-01-01', '1969-12-31T23:59:59Z'),
    (9223372036854775807, 1e300, '日本', false, '9999-12-31', '2024-01-02T03:04:05Z'),
    (NULL, 3, 'no key either', true, NULL, NULL),
    (0, 0.1, 'a, \"b\"', NULL, NULL, NULL)";

fn battery_rows() -> Rows {
    let mut rows = vec![
        row(&["-3", "-0.25", "", "false", "0001-01-01", "1970-01-01T00:00:00Z"]),
        row(&["0", "0.1", "a, \"b\"", "∅", "∅", "∅"]),
        row(&[
            "7",
            "1.5",
            "Łukasz",
            "true",
            "1960-02-29",
            "2024-01-02T03:04:05.123456Z",
        ]),
        row(&["7", "∅", "∅", "true", "2000-01-01", "1969-12-31T23:59:59Z"]),
        row(&[
            "9223372036854775807",
            "1e300",
            "日本",
            "false",
            "9999-12-31",
            "2024-01-02T03:04:05Z",
        ]),
        row(&["∅", "2.0", "no key", "∅", "∅", "∅"]),
        row(&["∅", "3.0", "no key either", "true", "∅", "∅"]),
    ];
    rows.sort();
    rows
}

async fn battery(url: &str, query: &str) {
    battery_of(url, query, battery_rows()).await;
}

async fn battery_of(url: &str, query: &str, expected: Rows) {
    let source = source(url, query, "id").await;
    assert_eq!(source.schema().fields().len(), 6);
    assert_eq!(source.column_types().len(), 6);
    assert!(source.schema().fields().iter().all(|f| f.is_nullable()));
    let mut numbers = Vec::new();
    for rows in [1, 2, 7, 1000] {
        let ranges = read_all(source.as_ref(), rows, None, 0).await;
        numbers.push(ranges.len());
        assert!(
            ranges
                .iter()
                .enumerate()
                .all(|(i, (range, _))| range.number == i as u64)
        );
        let mut all: Rows = ranges.into_iter().flat_map(|(_, rows)| rows).collect();
        all.sort();
        assert_eq!(all, expected, "{rows} rows a batch");
    }
    assert_eq!(numbers, [5, 4, 2, 2]);
    assert!(source.has_null_keys().await.unwrap());
    assert!(source.estimated_rows().await.unwrap().is_some());
    // A stream given up does not block what follows.
    let mut stream = source.read(&everything()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(source.boundary(None, 2).await.unwrap(), Some(Key::Int(0)));
    assert_eq!(source.boundary(Some(&Key::Int(i64::MAX)), 2).await.unwrap(), None);
}

fn sqlite_battery() -> TempSqlite {
    TempSqlite::new(&format!(
        "CREATE TABLE t (id INTEGER, ratio REAL, name TEXT, flag BOOLEAN, born DATE, at TIMESTAMP); \
         INSERT INTO t VALUES {ROWS}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn battery_on_sqlite() {
    battery(&sqlite_battery().url(), "SELECT * FROM t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn battery_on_postgres() {
    let server = TempPostgres::shared();
    server.execute(&format!(
        "CREATE TABLE battery (id bigint, ratio float8, name text, flag boolean, born date, at timestamptz); \
         INSERT INTO battery VALUES {ROWS}"
    ));
    battery(&server.url(), "SELECT * FROM battery").await;
    battery(&server.socket_url(), "SELECT * FROM battery").await;
}

/// The battery's rows, in the order of [`ROWS`].
fn battery_batch() -> RecordBatch {
    let at = [
        Some("2024-01-02T03:04:05.123456Z"),
        Some("1970-01-01T00:00:00Z"),
        None,
        Some("1969-12-31T23:59:59Z"),
        Some("2024-01-02T03:04:05Z"),
        None,
        None,
    ];
    let at: TimestampMicrosecondArray = at
        .into_iter()
        .map(|text| text.and_then(TimestampMicrosecondType::parse))
        .collect();
    let born = [
        Some("1960-02-29"),
        Some("0001-01-01"),
        None,
        Some("2000-01-01"),
        Some("9999-12-31"),
        None,
        None,
    ];
    let born: StringArray = born.into_iter().collect();
    columns(vec![
        (
            "id",
            Arc::new(Int64Array::from(vec![
                Some(7),
                Some(-3),
                None,
                Some(7),
                Some(i64::MAX),
                None,
                Some(0),
            ])),
        ),
        (
            "ratio",
            Arc::new(Float64Array::from(vec![
                Some(1.5),
                Some(-0.25),
                Some(2.0),
                None,
                Some(1e300),
                Some(3.0),
                Some(0.1),
            ])),
        ),
        (
            "name",
            Arc::new(StringArray::from(vec![
                Some("Łukasz"),
                Some(""),
                Some("no key"),
                None,
                Some("日本"),
                Some("no key either"),
                Some("a, \"b\""),
            ])),
        ),
        (
            "flag",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                None,
                Some(true),
                Some(false),
                Some(true),
                None,
            ])),
        ),
        ("born", arrow::compute::cast(&born, &DataType::Date32).unwrap()),
        ("at", Arc::new(at.with_timezone("UTC"))),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn battery_on_files() {
    const ALL: &str = "SELECT * FROM input";
    let files = TempFiles::new();
    let rows = battery_batch();
    let take = |order: Vec<u32>| take_record_batch(&rows, &UInt32Array::from(order)).unwrap();
    files.parquet("unsorted/a.parquet", &rows, 2);
    files.parquet("first/a.parquet", &take(vec![2, 5, 1]), 2);
    files.parquet("first/b.parquet", &take(vec![6, 0, 3, 4]), 3);
    files.parquet("last/b.parquet", &take(vec![1, 6]), 2);
    files.parquet("last/c.parquet", &take(vec![0, 3, 4, 5, 2]), 1);
    for name in ["unsorted", "first", "last", "last/?.parquet"] {
        battery(&files.url("parquet", name), ALL).await;
    }
    battery(
        &files.url("parquet", "last"),
        "SELECT * FROM input WHERE id IS NULL OR id > -5",
    )
    .await;

    // By a column that the files do not hold, as Spark does.
    let kept = [0, 1, 2, 4, 5];
    let of = |order: Vec<u32>, flag: serde_json::Value| {
        (take(order).project(&kept).unwrap(), json!({ "flag": flag }))
    };
    let parts = [
        of(vec![0, 3, 5], json!("true")),
        of(vec![1, 4], json!("false")),
        of(vec![2, 6], json!(null)),
    ];
    files.delta("table", &rows.schema(), &parts, &json!({}));
    battery(&files.url("delta", "table"), ALL).await;

    let mut text = Vec::new();
    arrow::csv::Writer::new(&mut text).write(&rows).unwrap();
    files.write("a.csv", text);
    let mut expected = battery_rows();
    // CSV does not tell empty text from none.
    expected
        .iter_mut()
        .flatten()
        .filter(|value| value.is_empty())
        .for_each(|value| *value = "∅".to_owned());
    battery_of(&files.url("csv", "a.csv"), ALL, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn battery_on_mariadb() {
    let server = TempMariaDb::shared();
    server.execute(&format!(
        "CREATE TABLE battery (id bigint, ratio double, name text, flag boolean, born date, at varchar(30)); \
         INSERT INTO battery VALUES {ROWS}"
    ));
    battery(&server.url(), "SELECT * FROM battery").await;
    battery(&server.socket_url(), "SELECT * FROM battery").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_may_be_written_as_people_write_them() {
    let sqlite =
        TempSqlite::new("CREATE TABLE t (\"the \"\"key\" INTEGER, ';' TEXT); INSERT INTO t VALUES (1, 'a')");
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TABLE written (\"the \"\"key\" int, \";\" text); INSERT INTO written VALUES (1, 'a')",
    );
    let mariadb = TempMariaDb::shared();
    mariadb.execute("CREATE TABLE written (`the \"key` int, `;` text); INSERT INTO written VALUES (1, 'a')");
    for (url, table) in [
        (sqlite.url(), "t"),
        (server.url(), "written"),
        (mariadb.url(), "written"),
    ] {
        for query in [
            format!("SELECT * FROM {table}"),
            format!("SELECT * FROM {table};"),
            format!("SELECT * FROM {table} ; -- the end;\n"),
            format!("SELECT * FROM {table} -- the end; really"),
            format!("/* ; */ WITH w AS (SELECT * FROM {table}) SELECT * FROM w ORDER BY 1;"),
        ] {
            let source = source(&url, &query, "the \"key").await;
            assert_eq!(rows_of(source.as_ref(), 1).await, [row(&["1", "a"])], "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_queries_are_explained() {
    let sqlite = sqlite_battery();
    let server = TempPostgres::shared();
    server.execute("CREATE TABLE wrong (id int, name text, data json, \"Count\" int)");
    let (sqlite, postgres) = (sqlite.url(), server.url());
    for (url, query, key, message) in [
        (
            &sqlite,
            "SELECT id,\n nam FROM t",
            "id",
            "the database refused source.query: no such column: nam at line 2, column 2 of the query",
        ),
        (
            &postgres,
            "SELECT id,\n count FROM wrong",
            "id",
            "the database refused source.query: column \"count\" does not exist at line 2, column 2 of the query; \
             hint: Perhaps you meant to reference the column \"wrong.Count\".",
        ),
        (
            &sqlite,
            "SELECT * FROM t",
            "nr",
            "source.key `nr` is not a column of source.query; its columns are: id, ratio, name, flag, born, at",
        ),
        (
            &postgres,
            "SELECT id, name FROM wrong",
            "ID",
            "source.key `ID` is not a column of source.query; its columns are: id, name",
        ),
        (
            &sqlite,
            "SELECT id, name, ratio AS ID FROM t",
            "id",
            "the database refused source.query: the column `ID` occurs twice; give each its own name with AS",
        ),
        (
            &postgres,
            "SELECT a.id, b.id FROM wrong a, wrong b",
            "id",
            "the database refused source.query: the column `id` occurs twice; give each its own name with AS",
        ),
        (
            &sqlite,
            "SELECT id FROM t; DROP TABLE t",
            "id",
            "the database refused source.query: it holds several statements; write a single SELECT",
        ),
        (
            &postgres,
            "SELECT id FROM wrong; DROP TABLE wrong",
            "id",
            "the database refused source.query: cannot insert multiple commands into a prepared statement",
        ),
        (
            &sqlite,
            "DELETE FROM t",
            "id",
            "the database refused source.query: it returns no columns; write a single SELECT",
        ),
        (
            &postgres,
            "DELETE FROM wrong",
            "id",
            "the database refused source.query: it returns no columns; write a single SELECT",
        ),
        (
            &sqlite,
            "",
            "id",
            "the database refused source.query: it returns no columns; write a single SELECT",
        ),
        (
            &postgres,
            "",
            "id",
            "the database refused source.query: it returns no columns; write a single SELECT",
        ),
        (
            &sqlite,
            "SELECT id FROM t WHERE id = ?",
            "id",
            "the database refused source.query: it has parameters; write the values out",
        ),
        (
            &postgres,
            "SELECT id FROM wrong WHERE id = $1",
            "id",
            "the database refused source.query: it has parameters ($1); write the values out",
        ),
        (
            &postgres,
            "SELECT * FROM wrong",
            "data",
            "source.key `data` has type json, which has no order to cut ranges from; \
             use an integer, text, uuid, date, timestamp or numeric(p,s) column",
        ),
        (
            &postgres,
            "SELECT point(1, 2) AS p",
            "p",
            "source.key `p` has type point, which has no order to cut ranges from; \
             use an integer, text, uuid, date, timestamp or numeric(p,s) column",
        ),
        (
            &postgres,
            "SELECT 1 AS id, point(1, 2) AS \"P\"",
            "id",
            "column `P` has type point, which has no counterpart here; write \"P\"::text in source.query",
        ),
        (
            &postgres,
            "SELECT 1 AS id, 1.5::numeric AS price",
            "id",
            "column `price` has type numeric, which has no counterpart here; write \"price\"::numeric(p,s) with \
             0 <= s and p <= 38, which loses nothing within its digits, or \"price\"::double precision in source.query",
        ),
    ] {
        assert_eq!(failure(url, query, key).await, message);
    }
    // A statement that is no SELECT, but returns rows.
    assert!(
        failure(&sqlite, "PRAGMA table_info(t)", "name")
            .await
            .contains("syntax error")
    );
    assert!(
        failure(&postgres, "SHOW ALL", "name")
            .await
            .contains("syntax error")
    );
    assert!(
        failure(&postgres, "DELETE FROM wrong RETURNING id", "id")
            .await
            .contains("syntax error")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_cannot_be_reached_are_explained() {
    let server = TempPostgres::shared();
    let port = server.port();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let dir = tempfile::tempdir().unwrap();
    let (missing, foreign) = (dir.path().join("missing.db"), dir.path().join("foreign.db"));
    std::fs::write(
        &foreign,
        "this is text and not a database, and long enough to see it".repeat(20),
    )
    .unwrap();
    for (url, message) in [
        (
            format!("sqlite:{}", missing.display()),
            format!(
                "cannot connect to sqlite:{0}: there is no file {0}",
                missing.display()
            ),
        ),
        (
            format!("sqlite:{}", foreign.display()),
            format!(
                "cannot connect to sqlite:{}: file is not a database",
                foreign.display()
            ),
        ),
        (
            "oracle://u:secret@h/db".to_owned(),
            "source.url oracle://u:***@h/db: unknown kind of database `oracle`; expected sqlite:path.db, \
             postgres://user@host:port/database, mysql://user@host:port/database, or parquet:, csv: or delta: and a path"
                .to_owned(),
        ),
        (
            format!("postgres://u:secret@127.0.0.1:{free}/db"),
            format!(
                "cannot connect to postgres://u:***@127.0.0.1:{free}/db: error connecting to server: \
                 Connection refused (os error 111) (127.0.0.1:{free})"
            ),
        ),
        (
            server.url_with_password("wrong"),
            format!(
                "cannot connect to postgres://keeper:***@127.0.0.1:{port}/postgres: 127.0.0.1:{port} refused the password \
                 of user `keeper`; the password is the URL's, or else that in PGPASSWORD"
            ),
        ),
        (
            format!("postgres://keeper@127.0.0.1:{port}/postgres"),
            format!(
                "cannot connect to postgres://keeper@127.0.0.1:{port}/postgres: 127.0.0.1:{port} asks for the password \
                 of user `keeper`; give it in the URL or in PGPASSWORD"
            ),
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/nowhere"),
            format!(
                "cannot connect to postgres://postgres@127.0.0.1:{port}/nowhere: database \"nowhere\" does not exist; \
                 end the URL with the name of a database of that server"
            ),
        ),
        (
            format!("postgres://nobody@127.0.0.1:{port}/postgres"),
            format!(
                "cannot connect to postgres://nobody@127.0.0.1:{port}/postgres: role \"nobody\" does not exist"
            ),
        ),
    ] {
        assert_eq!(failure(&url, "SELECT 1 AS id", "id").await, message);
    }
    assert!(!missing.exists());
    let mariadb = TempMariaDb::shared();
    let place = format!("127.0.0.1:{}", mariadb.port());
    for (url, message) in [
        (
            format!("mysql://u:secret@127.0.0.1:{free}/db"),
            format!(
                "cannot connect to mysql://u:***@127.0.0.1:{free}/db: Connection refused (os error 111) \
                 (127.0.0.1:{free})"
            ),
        ),
        (
            mariadb.url_with_password("wrong"),
            format!(
                "cannot connect to mariadb://keeper:***@{place}/test: {place} refused user `keeper` with this password; \
                 the password is the URL's, or else that in MYSQL_PWD"
            ),
        ),
        (
            format!("mysql://keeper@{place}/test"),
            format!(
                "cannot connect to mysql://keeper@{place}/test: {place} refused user `keeper` without a password; \
                 give it in the URL or in MYSQL_PWD"
            ),
        ),
        (
            format!("mysql://root@{place}/nowhere"),
            format!(
                "cannot connect to mysql://root@{place}/nowhere: Unknown database 'nowhere'; \
                 end the URL with the name of a database of that server"
            ),
        ),
    ] {
        assert_eq!(failure(&url, "SELECT 1 AS id", "id").await, message);
    }
    let url = mariadb.url_with_password(TempMariaDb::PASSWORD);
    source(&url, "SELECT 1 AS id", "id").await;
    source(
        &server.url_with_password(TempPostgres::PASSWORD),
        "SELECT 1 AS id",
        "id",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sslmode_means_what_it_means_to_libpq() {
    let server = TempPostgres::shared();
    let query = "SELECT pid, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let root = server.root_certificate();
    let url = |host: &str, parameters: &str| {
        format!(
            "postgres://postgres@{host}:{}/postgres?{parameters}",
            server.port()
        )
    };
    let root = format!("sslrootcert={}", root.display());
    for (host, parameters, encrypted) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), "false"),
        ("127.0.0.1", String::new(), "true"),
        ("127.0.0.1", "sslmode=require".to_owned(), "true"),
        ("127.0.0.1", format!("sslmode=verify-ca&{root}"), "true"),
        ("localhost", format!("sslmode=verify-full&{root}"), "true"),
    ] {
        let source = source(&url(host, &parameters), query, "pid").await;
        assert_eq!(rows_of(source.as_ref(), 1).await[0][1], encrypted, "{parameters}");
    }
    for (parameters, why) in [
        (
            format!("sslmode=verify-full&{root}"),
            "certificate not valid for name",
        ),
        ("sslmode=verify-ca".to_owned(), "UnknownIssuer"),
        (
            "sslmode=verify-full&sslrootcert=/nowhere".to_owned(),
            "sslrootcert /nowhere: No such file",
        ),
    ] {
        let message = failure(&url("127.0.0.1", &parameters), query, "pid").await;
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_types() {
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN price AS numeric(10, 2) CHECK (value >= 0); \
         CREATE EXTENSION citext",
    );
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (expression, database_type, arrow_type, shown) in [
        ("true", "boolean", DataType::Boolean, "true"),
        ("(-32768)::int2", "smallint", DataType::Int16, "-32768"),
        ("(-2147483648)::int4", "integer", DataType::Int32, "-2147483648"),
        (
            "(-9223372036854775808)::int8",
            "bigint",
            DataType::Int64,
            "-9223372036854775808",
        ),
        ("1.5::float4", "real", DataType::Float32, "1.5"),
        ("'NaN'::float8", "double precision", DataType::Float64, "NaN"),
        (
            "'-Infinity'::float8",
            "double precision",
            DataType::Float64,
            "-inf",
        ),
        (
            "(-1234.5)::numeric(10,2)",
            "numeric(10,2)",
            DataType::Decimal128(10, 2),
            "-1234.50",
        ),
        (
            "0.00000001::numeric(38,8)",
            "numeric(38,8)",
            DataType::Decimal128(38, 8),
            "0.00000001",
        ),
        (
            "0.00012::numeric(2,5)",
            "numeric(2,5)",
            DataType::Decimal128(5, 5),
            "0.00012",
        ),
        (
            "99999999999999999999999999999999999999::numeric(38,0)",
            "numeric(38,0)",
            DataType::Decimal128(38, 0),
            "99999999999999999999999999999999999999",
        ),
        (
            "12.5::price",
            "numeric(10,2)",
            DataType::Decimal128(10, 2),
            "12.50",
        ),
        ("'é'::text", "text", DataType::Utf8, "é"),
        ("'untyped'", "text", DataType::Utf8, "untyped"),
        ("'a'::varchar(3)", "character varying(3)", DataType::Utf8, "a"),
        ("'a'::char(3)", "character(3)", DataType::Utf8, "a  "),
        ("'a'::name", "name", DataType::Utf8, "a"),
        ("'a'::citext", "citext", DataType::Utf8, "a"),
        ("'ok'::mood", "mood", DataType::Utf8, "ok"),
        ("'{\"a\": 1}'::json", "json", DataType::Utf8, "{\"a\": 1}"),
        ("'{\"a\":1}'::jsonb", "jsonb", DataType::Utf8, "{\"a\": 1}"),
        ("'<a/>'::xml", "xml", DataType::Utf8, "<a/>"),
        (
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid",
            "uuid",
            DataType::Utf8,
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("'\\x00ff'::bytea", "bytea", DataType::Binary, "00ff"),
        ("'1969-12-31'::date", "date", DataType::Date32, "1969-12-31"),
        ("'0044-03-15 BC'::date", "date", DataType::Date32, "-0043-03-15"),
        (
            "'1999-12-31 23:59:59.999999'::timestamp",
            "timestamp without time zone",
            micros,
            "1999-12-31T23:59:59.999999",
        ),
        (
            "'2000-01-01 00:00:00+01'::timestamptz",
            "timestamp with time zone",
            utc,
            "1999-12-31T23:00:00Z",
        ),
    ] {
        let query = format!("SELECT 1 AS id, {expression} AS v UNION ALL SELECT 2, NULL");
        let query = if expression == "'untyped'" {
            format!("SELECT 1 AS id, {expression} AS v")
        } else {
            query
        };
        // A union forgets the modifier.
        let query = if database_type.contains('(') {
            format!("SELECT 1 AS id, {expression} AS v")
        } else {
            query
        };
        let source = source(&server.url(), &query, "id").await;
        let types = source.column_types();
        assert_eq!(
            (types[1].database_type.as_str(), &types[1].arrow_type),
            (database_type, &arrow_type)
        );
        let rows = read(source.as_ref(), &everything()).await.unwrap();
        assert_eq!(rows[0], ["1", shown], "{expression}");
        assert!(rows.get(1).is_none_or(|row| row == &["2", "∅"]), "{expression}");
    }
    for (expression, why) in [
        (
            "'NaN'::numeric(5,2)",
            "NaN is no decimal number; cast the column to double precision in source.query",
        ),
        ("'infinity'::date", "an infinite date has no counterpart here"),
        (
            "'-infinity'::timestamptz",
            "an infinite timestamp has no counterpart here",
        ),
        (
            "'294276-12-31'::timestamp",
            "the timestamp lies beyond the year 294246",
        ),
    ] {
        let query = format!("SELECT {expression} AS v, 'x\"y'::text AS id");
        let source = source(&server.url(), &query, "id").await;
        let range = KeyRange {
            number: 0,
            bounds: Bounds::Between {
                after: None,
                until: Key::Text("z".into()),
            },
        };
        let message = read(source.as_ref(), &range).await.unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("column `v`, row with id = x\"y: {why}")),
            "{message}"
        );
    }
    for expression in [
        "'1 day'::interval",
        "'{1}'::int[]",
        "'12:00'::time",
        "'::1'::inet",
    ] {
        let message = failure(&server.url(), &format!("SELECT 1 AS id, {expression} AS v"), "id").await;
        assert!(message.contains("write \"v\"::text in source.query"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_and_many_rows_come_in_bounded_batches() {
    let server = TempPostgres::shared();
    let query = "SELECT g AS id, repeat('x', CASE WHEN g = 5 THEN 10000000 ELSE 10 END) AS v FROM generate_series(1, 20000) g";
    let mariadb = TempMariaDb::shared();
    let mariadb_query =
        "SELECT seq AS id, repeat('x', CASE WHEN seq = 5 THEN 10000000 ELSE 10 END) AS v FROM seq_1_to_20000";
    for (url, query) in [(server.url(), query), (mariadb.url(), mariadb_query)] {
        let source = source(&url, query, "id").await;
        let sizes: Vec<(usize, usize)> = source
            .read(&everything())
            .await
            .unwrap()
            .map(|batch| {
                batch
                    .map(|batch| (batch.num_rows(), batch.column(1).get_array_memory_size()))
                    .unwrap()
            })
            .collect()
            .await;
        assert_eq!(
            sizes.iter().map(|(rows, _)| rows).collect::<Vec<_>>(),
            [&5, &8192, &8192, &3611]
        );
        assert!(
            sizes[0].1 >= 10_000_000 && sizes[1..].iter().all(|(_, bytes)| *bytes < 1_000_000),
            "{sizes:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_rows_come_from_one_snapshot_by_the_index() {
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TABLE indexed AS SELECT g AS id, g::text AS name FROM generate_series(1, 20000) g; \
         CREATE INDEX ON indexed (id); CREATE INDEX ON indexed (name); ANALYZE indexed; \
         SELECT pg_stat_force_next_flush()",
    );
    let scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'indexed'";
    let before = server.execute(scans);
    // Two rows more, one less, by the time the second source looks.
    for (key, expected) in [("id", 20_000), ("name", 20_001)] {
        let source = source(&server.url(), "SELECT * FROM indexed", key).await;
        let name = source.snapshot();
        let mut planner = gristmill_data::batch::Planner::new(500, None, 0);
        let mut rows = 0;
        while let Some(range) = planner.next(source.as_ref()).await.unwrap() {
            if range.number == 3 {
                server.execute("INSERT INTO indexed VALUES (0, '0'), (15000, '15000'); DELETE FROM indexed WHERE id = (SELECT max(id) FROM indexed)");
            }
            rows += read(source.as_ref(), &range).await.unwrap().len();
        }
        assert_eq!(rows, expected);
        assert_eq!(source.snapshot(), name);
        let later = support::source(&server.url(), "SELECT * FROM indexed", key).await;
        assert_ne!(later.snapshot(), name);
        assert_eq!(source.estimated_rows().await.unwrap().unwrap() / 1000, 20);
    }
    // DELETE finds its row by the index too; the statistics of a session arrive when it ends.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(server.execute(scans), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_types_are_declared_or_found() {
    let database = TempSqlite::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b DOUBLE, c VARCHAR(9), d BLOB, e BOOLEAN, f DATE, g NUMERIC, h, i, j, k); \
         INSERT INTO t VALUES (1, 2, 3, 'x', x'00ff', 1, '2020-01-02', 1, 1, 'a', NULL, x'01'); \
         INSERT INTO t VALUES (2, 2.0, 1e30, '', x'', 0, '2020', 1.5, 2, 3, NULL, NULL)",
    );
    let source = source(&database.url(), "SELECT *, i || '' AS l, b + 1 AS m FROM t", "id").await;
    let types: Vec<_> = source
        .column_types()
        .into_iter()
        .skip(1)
        .map(|c| (c.database_type, c.arrow_type))
        .collect();
    let expected = [
        ("INT", DataType::Int64),
        ("DOUBLE", DataType::Float64),
        ("VARCHAR(9)", DataType::Utf8),
        ("BLOB", DataType::Binary),
        ("BOOLEAN", DataType::Boolean),
        ("DATE (holds integer and text)", DataType::Utf8),
        ("NUMERIC (holds integer and real)", DataType::Float64),
        ("undeclared (holds integer)", DataType::Int64),
        ("undeclared (holds integer and text)", DataType::Utf8),
        ("undeclared (holds null)", DataType::Utf8),
        ("undeclared (holds blob)", DataType::Binary),
        ("undeclared (holds text)", DataType::Utf8),
        ("undeclared (holds real)", DataType::Float64),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), kind))
        .collect();
    assert_eq!(types, expected);
    assert_eq!(
        rows_of(source.as_ref(), 1).await,
        [
            row(&[
                "1",
                "2",
                "3.0",
                "x",
                "00ff",
                "true",
                "2020-01-02",
                "1.0",
                "1",
                "a",
                "∅",
                "01",
                "a",
                "4.0"
            ]),
            row(&[
                "2", "2", "1e30", "", "", "false", "2020", "1.5", "2", "3", "∅", "∅", "3", "1e30"
            ]),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_values_that_do_not_fit_are_explained() {
    for (declared, value, message) in [
        (
            "INTEGER",
            "1.5",
            "found the real 1.5, expected a value of type INTEGER; write CAST(\"v\" AS REAL) in source.query",
        ),
        (
            "INTEGER",
            "'many'",
            "found the text \"many\", expected a value of type INTEGER; write CAST(\"v\" AS TEXT) in source.query",
        ),
        (
            "REAL",
            "x'00'",
            "found the blob of 1 bytes, expected a value of type REAL; write CAST(\"v\" AS TEXT) in source.query",
        ),
        (
            "BOOLEAN",
            "2",
            "found the integer 2, expected a value of type BOOLEAN; write CAST(\"v\" AS INTEGER) in source.query",
        ),
        (
            "TEXT",
            "CAST(x'ff' AS TEXT)",
            "found the text \"\u{fffd}\", expected a value of type TEXT; write CAST(\"v\" AS BLOB): it is not UTF-8 in source.query",
        ),
    ] {
        let database = TempSqlite::new(&format!(
            "CREATE TABLE t (id TEXT, v {declared}); INSERT INTO t VALUES ('a', NULL), ('b', {value})"
        ));
        let source = source(&database.url(), "SELECT v, id FROM t", "id").await;
        let range = KeyRange {
            number: 0,
            bounds: Bounds::Between {
                after: None,
                until: Key::Text("z".into()),
            },
        };
        let found = read(source.as_ref(), &range).await.unwrap_err().to_string();
        assert_eq!(found, format!("column `v`, row with id = \"b\": {message}"));
    }
    let database = TempSqlite::new("CREATE TABLE t (id, v); INSERT INTO t VALUES (1, x'00'), (2, 'a')");
    assert_eq!(
        failure(&database.url(), "SELECT * FROM t", "id").await,
        "column `v` has type blob and text, which has no counterpart here; write CAST(\"v\" AS TEXT) in source.query"
    );
    // Beyond the values that are looked at.
    let database = TempSqlite::new(
        "CREATE TABLE t (id, v); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, i FROM n; \
         UPDATE t SET v = 'late' WHERE id = 1500",
    );
    let source = source(&database.url(), "SELECT * FROM t", "id").await;
    assert_eq!(
        read(source.as_ref(), &everything())
            .await
            .unwrap_err()
            .to_string(),
        "column `v`, row with id = 1500: found the text \"late\", expected a value of type undeclared (holds integer); \
         write CAST(\"v\" AS TEXT) in source.query"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_rows_come_from_one_snapshot() {
    let database = TempSqlite::new(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1), (2)",
    );
    let writer = database.open();
    let source = source(&database.url(), "SELECT * FROM t", "id").await;
    writer.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    assert_eq!(rows_of(source.as_ref(), 1).await.len(), 2);
    let later = support::source(&database.url(), "SELECT * FROM t", "id").await;
    assert_eq!(rows_of(later.as_ref(), 1).await.len(), 3);
    assert_ne!(later.snapshot(), source.snapshot());
    assert_eq!(
        later.snapshot(),
        support::source(&database.url(), "SELECT * FROM t", "id")
            .await
            .snapshot()
    );
}
