//! What is MariaDB's own: its types, its messages, TLS, and one snapshot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use arrow::datatypes::{DataType, TimeUnit};
use gristmill_data::source::{Bounds, Key, KeyRange};
use gristmill_testkit::TempMariaDb;
use support::{everything, failure, read, row, rows_of, source};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_queries_on_mariadb_are_explained() {
    let server = TempMariaDb::shared();
    server.execute("CREATE TABLE wrong (id int, name text, data json, spot point)");
    let url = server.url();
    let no_columns = "it returns no columns; write a single SELECT";
    // Where a message ends in a place, its name differs from version to version.
    for (query, key, message) in [
        (
            "SELECT id,\n nam FROM wrong",
            "id",
            "the database refused source.query: Unknown column 'nam' in '",
        ),
        (
            "SELECT id FROM wrong; DROP TABLE wrong",
            "id",
            "the database refused source.query: You have an error in your SQL syntax; ",
        ),
        (
            "SELECT id FROM wrong\n GROUP ID",
            "id",
            "the database refused source.query: You have an error in your SQL syntax; ",
        ),
        ("", "id", "the database refused source.query: Query was empty"),
        (
            "SELECT * FROM nowhere",
            "id",
            "the database refused source.query: Table 'test.nowhere' doesn't exist",
        ),
        (
            "SELECT id, name FROM wrong",
            "ID",
            "source.key `ID` is not a column of source.query; its columns are: id, name",
        ),
        (
            "SELECT id, name AS ID FROM wrong",
            "id",
            "the database refused source.query: the column `ID` occurs twice; give each its own name with AS",
        ),
        (
            "SELECT id FROM wrong WHERE id = ?",
            "id",
            "the database refused source.query: it has parameters; write the values out",
        ),
        (
            "SELECT id FROM wrong WHERE id = :id",
            "id",
            "the database refused source.query: it has parameters; write the values out",
        ),
        (
            "SELECT id FROM wrong WHERE id = :id OR id = ?",
            "id",
            "the database refused source.query: it has parameters; write the values out",
        ),
        (
            "DO 1",
            "id",
            &format!("the database refused source.query: {no_columns}"),
        ),
        (
            "DELETE FROM wrong",
            "id",
            "the database refused source.query: Cannot execute statement in a READ ONLY transaction",
        ),
        (
            "DELETE FROM wrong RETURNING id",
            "id",
            "the database refused source.query: Cannot execute statement in a READ ONLY transaction",
        ),
        (
            "SHOW TABLES",
            "Tables_in_test",
            "the database refused source.query: You have an error in your SQL syntax; ",
        ),
        (
            "SELECT * FROM wrong",
            "spot",
            "source.key `spot` has type geometry, which has no order to cut ranges from; \
             use an integer, decimal, text, binary, date or time column",
        ),
        (
            "SELECT id, spot AS `S``` FROM wrong",
            "id",
            "column `S`` has type geometry, which has no counterpart here; write ST_AsText(`S```) in source.query",
        ),
        (
            "SELECT 1 AS id, CAST(1 AS DECIMAL(65,30)) AS price",
            "id",
            "column `price` has type decimal(65,30), which has no counterpart here; write CAST(`price` AS DECIMAL(p,s)) \
             with p <= 38, or CAST(`price` AS DOUBLE) in source.query",
        ),
    ] {
        let found = failure(&url, query, key).await;
        assert!(found.starts_with(message), "{found}");
    }
    assert_eq!(server.execute("SELECT count(*) FROM wrong"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn sslmode_means_the_same_to_mariadb() {
    let server = TempMariaDb::shared();
    let query = "SELECT 1 AS id, VARIABLE_VALUE <> '' AS encrypted FROM information_schema.SESSION_STATUS \
                 WHERE VARIABLE_NAME = 'Ssl_version'";
    server.execute("CREATE USER visitor@'%'; GRANT ALL ON test.* TO visitor@'%'");
    let url =
        |host: &str, parameters: &str| format!("mysql://visitor@{host}:{}/test?{parameters}", server.port());
    let root = format!("sslrootcert={}", server.root_certificate().display());
    for (host, parameters, encrypted) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), "0"),
        ("127.0.0.1", String::new(), "1"),
        ("127.0.0.1", "sslmode=require".to_owned(), "1"),
        ("localhost", format!("sslmode=verify-full&{root}"), "1"),
    ] {
        let source = source(&url(host, &parameters), query, "id").await;
        assert_eq!(rows_of(source.as_ref(), 1).await[0][1], encrypted, "{parameters}");
    }
    for (parameters, why) in [
        (
            format!("sslmode=verify-full&{root}"),
            "certificate not valid for name",
        ),
        ("sslmode=verify-full".to_owned(), "UnknownIssuer"),
        (
            "sslmode=verify-full&sslrootcert=/nowhere".to_owned(),
            "sslrootcert /nowhere: No such file",
        ),
    ] {
        let message = failure(&url("127.0.0.1", &parameters), query, "id").await;
        assert!(message.contains(why), "{message}");
    }
    let plain = TempMariaDb::start_with(&["--skip-ssl"]);
    source(&plain.url(), "SELECT 1 AS id", "id").await;
    let message = failure(
        &format!("{}?sslmode=require", plain.url()),
        "SELECT 1 AS id",
        "id",
    )
    .await;
    assert!(
        message.ends_with("does not offer TLS, which sslmode asks for"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_types() {
    let server = TempMariaDb::shared();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let utf8 = || DataType::Utf8;
    for (declared, value, database_type, arrow_type, shown) in [
        ("boolean", "true", "tinyint(1)", DataType::Boolean, "true"),
        ("tinyint", "-128", "tinyint", DataType::Int8, "-128"),
        (
            "tinyint unsigned",
            "255",
            "tinyint unsigned",
            DataType::Int16,
            "255",
        ),
        ("smallint", "-32768", "smallint", DataType::Int16, "-32768"),
        (
            "smallint unsigned",
            "65535",
            "smallint unsigned",
            DataType::Int32,
            "65535",
        ),
        ("mediumint", "-8388608", "mediumint", DataType::Int32, "-8388608"),
        (
            "mediumint unsigned",
            "16777215",
            "mediumint unsigned",
            DataType::Int32,
            "16777215",
        ),
        ("int", "-2147483648", "int", DataType::Int32, "-2147483648"),
        (
            "int unsigned",
            "4294967295",
            "int unsigned",
            DataType::Int64,
            "4294967295",
        ),
        (
            "bigint",
            "-9223372036854775808",
            "bigint",
            DataType::Int64,
            "-9223372036854775808",
        ),
        (
            "bigint unsigned",
            "18446744073709551615",
            "bigint unsigned",
            DataType::Decimal128(20, 0),
            "18446744073709551615",
        ),
        ("bit(1)", "b'1'", "bit(1)", DataType::Boolean, "true"),
        ("bit(9)", "b'100000001'", "bit(9)", DataType::Int64, "257"),
        (
            "bit(64)",
            "~0",
            "bit(64)",
            DataType::Decimal128(20, 0),
            "18446744073709551615",
        ),
        ("year", "2155", "year", DataType::Int16, "2155"),
        ("float", "0.1", "float", DataType::Float32, "0.1"),
        (
            "double",
            "0.30000000000000004",
            "double",
            DataType::Float64,
            "0.30000000000000004",
        ),
        (
            "decimal(10,2)",
            "-1234.5",
            "decimal(10,2)",
            DataType::Decimal128(10, 2),
            "-1234.50",
        ),
        (
            "decimal(10,2) unsigned",
            "0.5",
            "decimal(10,2)",
            DataType::Decimal128(10, 2),
            "0.50",
        ),
        (
            "decimal(5,5)",
            "-0.00012",
            "decimal(5,5)",
            DataType::Decimal128(5, 5),
            "-0.00012",
        ),
        (
            "decimal(38,0)",
            "99999999999999999999999999999999999999",
            "decimal(38,0)",
            DataType::Decimal128(38, 0),
            "99999999999999999999999999999999999999",
        ),
        ("char(3)", "'é'", "char", utf8(), "é"),
        ("varchar(3)", "'日本'", "varchar", utf8(), "日本"),
        ("varchar(3) CHARACTER SET latin1", "'é'", "varchar", utf8(), "é"),
        ("tinytext", "'a'", "text", utf8(), "a"),
        ("text", "'😀'", "text", utf8(), "😀"),
        ("longtext", "'a'", "text", utf8(), "a"),
        ("json", "'{\"a\": [1]}'", "text", utf8(), "{\"a\": [1]}"),
        ("enum('sad', 'ok')", "'ok'", "enum", utf8(), "ok"),
        ("set('a', 'b', 'c')", "'c,a'", "set", utf8(), "a,c"),
        (
            "uuid",
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "char",
            utf8(),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("inet6", "'::1'", "char", utf8(), "::1"),
        ("binary(3)", "x'00ff'", "binary", DataType::Binary, "00ff00"),
        ("varbinary(3)", "x'00ff'", "varbinary", DataType::Binary, "00ff"),
        ("blob", "x'00ff'", "blob", DataType::Binary, "00ff"),
        ("date", "'1000-01-01'", "date", DataType::Date32, "1000-01-01"),
        (
            "datetime(6)",
            "'9999-12-31 23:59:59.999999'",
            "datetime",
            micros.clone(),
            "9999-12-31T23:59:59.999999",
        ),
        (
            "datetime",
            "'1969-12-31 23:59:59'",
            "datetime",
            micros,
            "1969-12-31T23:59:59",
        ),
        (
            "timestamp(3) NULL",
            "'2000-01-01 00:00:00.5'",
            "timestamp",
            utc,
            "1999-12-31T23:00:00.500Z",
        ),
        ("time", "'-838:59:59'", "time", utf8(), "-838:59:59"),
        ("time(2)", "'12:00:00.5'", "time", utf8(), "12:00:00.50"),
    ] {
        server.execute(&format!(
            "SET time_zone = '+01:00'; CREATE OR REPLACE TABLE t (id int, v {declared}); \
             INSERT INTO t VALUES (1, {value}), (2, NULL)"
        ));
        let source = source(&server.url(), "SELECT * FROM t", "id").await;
        let types = source.column_types();
        assert_eq!(
            (types[1].database_type.as_str(), &types[1].arrow_type),
            (database_type, &arrow_type),
            "{declared}"
        );
        let rows = read(source.as_ref(), &everything()).await.unwrap();
        assert_eq!(rows, [row(&["1", shown]), row(&["2", "∅"])], "{declared}");
    }
    let source = source(&server.url(), "SELECT 1 AS id, NULL AS v, 1.50 AS w", "id").await;
    assert_eq!(rows_of(source.as_ref(), 1).await, [row(&["1", "∅", "1.50"])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_values_without_counterpart_are_explained() {
    let server = TempMariaDb::shared();
    let keep = "write CAST(`v` AS CHAR) in source.query to keep it, \
                or CASE WHEN MONTH(`v`) > 0 AND DAY(`v`) > 0 THEN `v` END to make it null";
    for (declared, value, why) in [
        (
            "date",
            "'0000-00-00'",
            format!("the date 0000-00-00 is none; {keep}"),
        ),
        (
            "date",
            "'2024-02-00'",
            format!("the date 2024-02-00 is none; {keep}"),
        ),
        (
            "datetime",
            "'0000-00-00'",
            format!("the date 0000-00-00 is none; {keep}"),
        ),
        (
            "timestamp",
            "'0000-00-00'",
            format!("the date 0000-00-00 is none; {keep}"),
        ),
        (
            "boolean",
            "2",
            "found 2, expected 0 or 1, for tinyint(1) stands for a boolean; write CAST(`v` AS SIGNED) in source.query"
                .to_owned(),
        ),
    ] {
        server.execute(&format!(
            "SET sql_mode = ''; CREATE OR REPLACE TABLE zero (v {declared}, id text); \
             INSERT INTO zero VALUES ({value}, 'x\"y')"
        ));
        let query = "SELECT v, id FROM zero";
        let source = source(&server.url(), query, "id").await;
        let range = KeyRange {
            number: 0,
            bounds: Bounds::Between {
                after: None,
                until: Key::Text("z".into()),
            },
        };
        let message = read(source.as_ref(), &range).await.unwrap_err().to_string();
        assert_eq!(message, format!("column `v`, row with id = \"x\\\"y\": {why}"));
        // What the message says to write works.
        for cast in why
            .split("write ")
            .nth(1)
            .unwrap()
            .split(" in source.query")
            .take(1)
        {
            let query = format!("SELECT {cast} AS v, id FROM zero");
            let source = support::source(&server.url(), &query, "id").await;
            let expected = value.trim_matches('\'');
            assert!(
                rows_of(source.as_ref(), 1).await[0][0].starts_with(expected),
                "{declared}"
            );
        }
        if declared == "boolean" {
            continue;
        }
        let query = "SELECT CASE WHEN MONTH(v) > 0 AND DAY(v) > 0 THEN v END AS v, id FROM zero";
        let source = support::source(&server.url(), query, "id").await;
        assert_eq!(rows_of(source.as_ref(), 1).await[0][0], "∅", "{declared}");
        // As a bound it would be null to the server, and rows would be lost.
        let source = support::source(&server.url(), "SELECT v FROM zero", "v").await;
        let message = source.boundary(None, 1).await.unwrap_err().to_string();
        assert_eq!(
            message,
            format!("column `v`, as the key of the query: {why}"),
            "{declared}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_rows_come_from_one_snapshot_by_the_index() {
    let server = TempMariaDb::shared();
    server.execute(
        "CREATE TABLE indexed (id int, name varchar(20), KEY (id), KEY (name)) SELECT seq AS id, seq AS name FROM seq_1_to_20000; \
         ANALYZE TABLE indexed",
    );
    let scanned = || -> u64 {
        let status = server.execute("SHOW GLOBAL STATUS LIKE 'Handler_read_rnd_next'");
        status.split('\t').nth(1).unwrap().parse().unwrap()
    };
    // Two rows more, one less, by the time the second source looks.
    for (key, expected) in [("id", 20_000), ("name", 20_001)] {
        let source = source(&server.url(), "SELECT * FROM indexed", key).await;
        let name = source.snapshot();
        assert_eq!(
            support::source(&server.url(), "SELECT * FROM indexed", key)
                .await
                .snapshot(),
            name
        );
        let before = scanned();
        let mut planner = gristmill_data::batch::Planner::new(500, None, 0);
        let mut rows = 0;
        while let Some(range) = planner.next(source.as_ref()).await.unwrap() {
            if range.number == 3 {
                server.execute("INSERT INTO indexed VALUES (0, '0'), (15000, '15000'); DELETE FROM indexed ORDER BY id DESC LIMIT 1");
            }
            rows += read(source.as_ref(), &range).await.unwrap().len();
        }
        assert_eq!(rows, expected);
        // Each batch's steps and rows are looked at again where they are sorted; 40 scans would be 800,000.
        let scanned = scanned() - before;
        assert!(scanned < 100_000, "{scanned} rows scanned by {key}");
        assert_eq!(source.snapshot(), name);
        let later = support::source(&server.url(), "SELECT * FROM indexed", key).await;
        assert_ne!(later.snapshot(), name);
        let estimate = source.estimated_rows().await.unwrap().unwrap();
        assert!((15_000..25_000).contains(&estimate), "{estimate}");
    }
    // Without a binary log, no two connections are known to see the same.
    let unlogged = TempMariaDb::start_with(&["--skip-log-bin"]);
    let query = "SELECT 1 AS id";
    let (a, b) = (
        source(&unlogged.url(), query, "id").await,
        source(&unlogged.url(), query, "id").await,
    );
    assert!(
        a.snapshot().starts_with("connection ") && a.snapshot() != b.snapshot(),
        "{}",
        a.snapshot()
    );
}
