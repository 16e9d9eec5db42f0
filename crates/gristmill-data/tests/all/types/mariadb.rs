//! What becomes of each MySQL and MariaDB type and of values that have no counterpart, as the documentation says it.

use arrow::datatypes::{DataType, TimeUnit};
use gristmill_data::key::{Bounds, Key, KeyRange};
use gristmill_testkit::TempMariaDb;

use super::documented::{Fate, check_documented};
use crate::support::{read, row, rows_of, source};

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_types() {
    let server = TempMariaDb::shared();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let utf8 = || DataType::Utf8;
    let types = [
        ("boolean", "true", "tinyint(1)", DataType::Boolean, "true"),
        ("tinyint(1)", "0", "tinyint(1)", DataType::Boolean, "false"),
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
    ];
    // How the documentation writes what is declared with more.
    let documented = |declared: &'static str| match declared {
        "decimal(10,2)" | "decimal(10,2) unsigned" | "decimal(5,5)" | "decimal(38,0)" => "decimal(p,s)",
        "bit(9)" => "bit(n)",
        exact @ ("bit(1)" | "bit(64)" | "tinyint(1)") => exact,
        other => match other.find(['(', ' ']) {
            Some(end) if !other.ends_with(" unsigned") => &other[..end],
            _ => other,
        },
    };
    for (declared, value, database_type, arrow_type, shown) in &types {
        server.execute(&format!(
            "SET time_zone = '+01:00'; CREATE OR REPLACE TABLE t (id int, v {declared}); \
             INSERT INTO t VALUES (1, {value}), (2, NULL)"
        ));
        Fate::Is(shown)
            .check(&server.url(), "SELECT * FROM t", database_type, arrow_type)
            .await;
    }
    let refused = [
        ("geometry", "point(1, 2)", "geometry", "ST_AsText(`v`)"),
        (
            "decimal(65,30)",
            "CAST(1 AS DECIMAL(65,30))",
            "decimal(65,30)",
            "CAST(`v` AS DECIMAL(p,s))",
        ),
    ];
    for (_, value, database_type, cast) in refused {
        let query = format!("SELECT 1 AS id, {value} AS v");
        Fate::Cast(cast)
            .check(&server.url(), &query, database_type, &DataType::Null)
            .await;
    }
    let is = types
        .each_ref()
        .map(|case| (documented(case.0), &case.3, &Fate::Is("")));
    let casts = refused.map(|(name, ..)| (name, &DataType::Null, &Fate::Cast("")));
    check_documented("MySQL and MariaDB", is.into_iter().chain(casts));
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
            let source = crate::support::source(&server.url(), &query, "id").await;
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
        let source = crate::support::source(&server.url(), query, "id").await;
        assert_eq!(rows_of(source.as_ref(), 1).await[0][0], "∅", "{declared}");
        // As a bound it would be null to the server, and rows would be lost.
        let source = crate::support::source(&server.url(), "SELECT v FROM zero", "v").await;
        let message = source.boundary(None, 1).await.unwrap_err().to_string();
        assert_eq!(
            message,
            format!("column `v`, as the key of the query: {why}"),
            "{declared}"
        );
    }
}
