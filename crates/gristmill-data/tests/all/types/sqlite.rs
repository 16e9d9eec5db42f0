//! What becomes of each SQLite type, as the documentation says it, and of values that are not of their column's type.

use super::documented::{Fate, check_documented};
use crate::support::{TempSqlite, everything, failure, read, row, rows_of, source};
use arrow::datatypes::DataType;
use gristmill_data::key::{Bounds, Key, KeyRange};

/// The word of the declared type that decides, the declared type, a value, what it becomes.
const TYPES: &[(&str, &str, &str, DataType, Fate)] = &[
    (
        "INT",
        "UNSIGNED BIG INT",
        "-9223372036854775808",
        DataType::Int64,
        Fate::Is("-9223372036854775808"),
    ),
    ("INT", "INTEGER", "2.0", DataType::Int64, Fate::Is("2")),
    (
        "INT",
        "INTEGER",
        "9e99",
        DataType::Int64,
        Fate::Refused("CAST(\"v\" AS REAL)"),
    ),
    ("CHAR", "VARCHAR(3)", "'日本'", DataType::Utf8, Fate::Is("日本")),
    (
        "CLOB",
        "CLOB",
        "'a' || char(0) || 'b'",
        DataType::Utf8,
        Fate::Is("a\0b"),
    ),
    ("TEXT", "TEXT", "5", DataType::Utf8, Fate::Is("5")),
    (
        "TEXT",
        "TEXT",
        "CAST(x'ff' AS TEXT)",
        DataType::Utf8,
        Fate::Refused("CAST(\"v\" AS BLOB)"),
    ),
    ("BLOB", "BLOB", "x'00ff'", DataType::Binary, Fate::Is("00ff")),
    (
        "BLOB",
        "BLOB",
        "'a'",
        DataType::Binary,
        Fate::Refused("CAST(\"v\" AS BLOB)"),
    ),
    (
        "REAL",
        "REAL",
        "0.30000000000000004",
        DataType::Float64,
        Fate::Is("0.30000000000000004"),
    ),
    ("REAL", "REAL", "-9e999", DataType::Float64, Fate::Is("-inf")),
    ("FLOA", "FLOAT", "1", DataType::Float64, Fate::Is("1.0")),
    (
        "DOUB",
        "DOUBLE",
        "'many'",
        DataType::Float64,
        Fate::Refused("CAST(\"v\" AS TEXT)"),
    ),
    ("BOOL", "BOOLEAN", "1", DataType::Boolean, Fate::Is("true")),
    (
        "BOOL",
        "BOOLEAN",
        "2",
        DataType::Boolean,
        Fate::Refused("CAST(\"v\" AS INTEGER)"),
    ),
    (
        "DATE",
        "DATE",
        "'-0044-03-15'",
        DataType::Utf8,
        Fate::Is("-0044-03-15"),
    ),
    ("DATE", "DATE", "20240229", DataType::Int64, Fate::Is("20240229")),
    (
        "NUMERIC",
        "NUMERIC(9,2)",
        "1.5",
        DataType::Float64,
        Fate::Is("1.5"),
    ),
    (
        "NUMERIC",
        "DECIMAL",
        "'1e400'",
        DataType::Float64,
        Fate::Is("inf"),
    ),
    ("JSON", "JSON", "'{}'", DataType::Utf8, Fate::Is("{}")),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_documented_sqlite_type() {
    for (_, declared, value, arrow_type, fate) in TYPES {
        let database = TempSqlite::new(&format!(
            "CREATE TABLE t (id INTEGER, v {declared}); INSERT INTO t VALUES (1, {value}), (2, NULL)"
        ));
        fate.check(&database.url(), "SELECT * FROM t", declared, arrow_type)
            .await;
    }
    check_documented(
        "SQLite",
        TYPES
            .iter()
            .map(|(name, _, _, arrow_type, fate)| (*name, arrow_type, fate)),
    );
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

#[tokio::test]
async fn no_number_is_rounded_to_another() {
    let database = TempSqlite::new(
        "CREATE TABLE reals (id INTEGER PRIMARY KEY, v NUMERIC); \
         INSERT INTO reals VALUES (1, 0.5), (2, 9007199254740992), (3, 9007199254740993); \
         CREATE TABLE texts (id INTEGER PRIMARY KEY, v NUMERIC); \
         INSERT INTO texts VALUES (1, 'x'), (2, 0.30000000000000004), (3, 0.3), (4, 23679115.947604652), (5, 9007199254740993)",
    );
    // Two integers would be one double.
    let reals = source(&database.url(), "SELECT * FROM reals", "id").await;
    let refused = read(reals.as_ref(), &everything()).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "column `v`, row with id = 3: found the integer 9007199254740993, expected a value of type NUMERIC (holds integer and real); \
         write CAST(\"v\" AS TEXT) in source.query"
    );
    // Two doubles would be one text.
    let texts = source(&database.url(), "SELECT * FROM texts", "id").await;
    let rows = rows_of(texts.as_ref(), 100).await;
    let texts: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!((texts[0], texts[2], texts[4]), ("x", "0.3", "9007199254740993"));
    let doubles = [texts[1], texts[3]].map(|text| text.parse::<f64>().unwrap());
    assert_eq!(doubles, [0.300_000_000_000_000_04, 23_679_115.947_604_652]);
}
