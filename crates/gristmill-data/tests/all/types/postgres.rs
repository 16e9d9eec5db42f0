//! What becomes of each PostgreSQL type and of values that have no counterpart, as the documentation says it.

use super::documented::{
    Fate::{self, Cast, Is, Refused},
    check_documented,
};
use crate::support::{everything, read, rows_of, source};
use arrow::datatypes::{DataType, TimeUnit};
use gristmill_testkit::TempPostgres;

/// The type as it is documented, a value, its type as the server names it, what it becomes.
fn types() -> Vec<(&'static str, &'static str, &'static str, DataType, Fate)> {
    let micros = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let decimal = DataType::Decimal128;
    let (text, unmapped) = (DataType::Utf8, DataType::Null);
    let text = || text.clone();
    let unmapped = || unmapped.clone();
    let isfinite = Refused("CASE WHEN isfinite(\"v\") THEN \"v\" END");
    vec![
        ("boolean", "true", "boolean", DataType::Boolean, Is("true")),
        (
            "smallint",
            "(-32768)::int2",
            "smallint",
            DataType::Int16,
            Is("-32768"),
        ),
        (
            "integer",
            "(-2147483648)::int4",
            "integer",
            DataType::Int32,
            Is("-2147483648"),
        ),
        (
            "bigint",
            "(-9223372036854775808)::int8",
            "bigint",
            DataType::Int64,
            Is("-9223372036854775808"),
        ),
        ("real", "0.1::float4", "real", DataType::Float32, Is("0.1")),
        ("real", "'NaN'::float4", "real", DataType::Float32, Is("NaN")),
        (
            "double precision",
            "0.30000000000000004::float8",
            "double precision",
            DataType::Float64,
            Is("0.30000000000000004"),
        ),
        (
            "double precision",
            "'NaN'::float8",
            "double precision",
            DataType::Float64,
            Is("NaN"),
        ),
        (
            "double precision",
            "'-Infinity'::float8",
            "double precision",
            DataType::Float64,
            Is("-inf"),
        ),
        (
            "numeric(p,s)",
            "(-1234.5)::numeric(10,2)",
            "numeric(10,2)",
            decimal(10, 2),
            Is("-1234.50"),
        ),
        (
            "numeric(p,s)",
            "0.00000001::numeric(38,8)",
            "numeric(38,8)",
            decimal(38, 8),
            Is("0.00000001"),
        ),
        (
            "numeric(p,s)",
            "0.00012::numeric(2,5)",
            "numeric(2,5)",
            decimal(5, 5),
            Is("0.00012"),
        ),
        (
            "numeric(p,s)",
            "99999999999999999999999999999999999999::numeric(38,0)",
            "numeric(38,0)",
            decimal(38, 0),
            Is("99999999999999999999999999999999999999"),
        ),
        (
            "numeric(p,s)",
            "'NaN'::numeric(5,2)",
            "numeric(5,2)",
            decimal(5, 2),
            Refused("NaN is no decimal number; write \"v\"::double precision"),
        ),
        (
            "numeric",
            "1.5::numeric",
            "numeric",
            unmapped(),
            Cast("\"v\"::numeric(p,s) with 0 <= s and p <= 38"),
        ),
        (
            "numeric",
            "1::numeric(39,0)",
            "numeric(39,0)",
            unmapped(),
            Cast("\"v\"::numeric(p,s) with 0 <= s and p <= 38"),
        ),
        (
            "numeric",
            "1200::numeric(5,-2)",
            "numeric(5,-2)",
            unmapped(),
            Cast("\"v\"::numeric(p,s) with 0 <= s and p <= 38"),
        ),
        ("text", "'é日😀'::text", "text", text(), Is("é日😀")),
        ("text", "'untyped'", "text", text(), Is("untyped")),
        ("text", "E'a\\nb'::text", "text", text(), Is("a\nb")),
        (
            "varchar",
            "'a'::varchar(3)",
            "character varying(3)",
            text(),
            Is("a"),
        ),
        ("char(n)", "'a'::char(3)", "character(3)", text(), Is("a  ")),
        ("name", "'a'::name", "name", text(), Is("a")),
        ("citext", "'aB'::citext", "citext", text(), Is("aB")),
        (
            "json",
            "'{\"b\": 1,  \"a\": 2}'::json",
            "json",
            text(),
            Is("{\"b\": 1,  \"a\": 2}"),
        ),
        (
            "jsonb",
            "'{\"b\": 1,  \"a\": 2}'::jsonb",
            "jsonb",
            text(),
            Is("{\"a\": 2, \"b\": 1}"),
        ),
        ("xml", "'<a/>'::xml", "xml", text(), Is("<a/>")),
        ("enum", "'ok'::mood", "mood", text(), Is("ok")),
        (
            "domain",
            "12.5::price",
            "numeric(10,2)",
            decimal(10, 2),
            Is("12.50"),
        ),
        (
            "uuid",
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid",
            "uuid",
            text(),
            Is("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ),
        (
            "time",
            "'12:00'::time",
            "time without time zone",
            text(),
            Is("12:00:00"),
        ),
        (
            "time",
            "'24:00:00'::time(3)",
            "time(3) without time zone",
            text(),
            Is("24:00:00"),
        ),
        (
            "timetz",
            "'12:00:00.5+02'::timetz",
            "time with time zone",
            text(),
            Is("12:00:00.5+02"),
        ),
        (
            "interval",
            "'-1 mon 3 days 04:05:06.7'::interval",
            "interval",
            text(),
            Is("P-1M3DT4H5M6.7S"),
        ),
        ("inet", "'::1'::inet", "inet", text(), Is("::1/128")),
        ("cidr", "'10.0.0.0/8'::cidr", "cidr", text(), Is("10.0.0.0/8")),
        (
            "macaddr",
            "'08:00:2b:01:02:03'::macaddr",
            "macaddr",
            text(),
            Is("08:00:2b:01:02:03"),
        ),
        (
            "macaddr8",
            "'08:00:2b:01:02:03:04:05'::macaddr8",
            "macaddr8",
            text(),
            Is("08:00:2b:01:02:03:04:05"),
        ),
        ("bit(n)", "B'101'::bit(3)", "bit(3)", text(), Is("101")),
        ("varbit", "B'1'::varbit(3)", "bit varying(3)", text(), Is("1")),
        ("bytea", "'\\x00ff'::bytea", "bytea", DataType::Binary, Is("00ff")),
        (
            "date",
            "'1969-12-31'::date",
            "date",
            DataType::Date32,
            Is("1969-12-31"),
        ),
        (
            "date",
            "'0044-03-15 BC'::date",
            "date",
            DataType::Date32,
            Is("-0043-03-15"),
        ),
        ("date", "'infinity'::date", "date", DataType::Date32, isfinite),
        (
            "timestamp",
            "'1999-12-31 23:59:59.999999'::timestamp",
            "timestamp without time zone",
            micros(),
            Is("1999-12-31T23:59:59.999999"),
        ),
        (
            "timestamp",
            "'0044-03-15 12:00 BC'::timestamp",
            "timestamp without time zone",
            micros(),
            Is("-0043-03-15T12:00:00"),
        ),
        (
            "timestamp",
            "'-infinity'::timestamp",
            "timestamp without time zone",
            micros(),
            isfinite,
        ),
        (
            "timestamp",
            "'294276-12-31'::timestamp",
            "timestamp without time zone",
            micros(),
            Refused("the timestamp lies beyond the year 294246"),
        ),
        (
            "timestamptz",
            "'2000-01-01 00:00:00+01'::timestamptz",
            "timestamp with time zone",
            utc(),
            Is("1999-12-31T23:00:00Z"),
        ),
        (
            "timestamptz",
            "'infinity'::timestamptz",
            "timestamp with time zone",
            utc(),
            isfinite,
        ),
        (
            "money",
            "'1.50'::money",
            "money",
            unmapped(),
            Cast("\"v\"::numeric(p,s)"),
        ),
        (
            "integer[]",
            "'{1,2}'::int[]",
            "integer[]",
            unmapped(),
            Cast("\"v\"::text"),
        ),
        (
            "int4range",
            "'[1,2)'::int4range",
            "int4range",
            unmapped(),
            Cast("\"v\"::text"),
        ),
        ("point", "point(1, 2)", "point", unmapped(), Cast("\"v\"::text")),
        (
            "tsvector",
            "'a'::tsvector",
            "tsvector",
            unmapped(),
            Cast("\"v\"::text"),
        ),
        ("oid", "1::oid", "oid", unmapped(), Cast("\"v\"::text")),
        ("record", "pair(1, 2)", "pair", unmapped(), Cast("\"v\"::text")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_documented_postgres_type() {
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN price AS numeric(10, 2) CHECK (value >= 0); \
         CREATE EXTENSION citext; CREATE TYPE pair AS (a int, b int); \
         CREATE FUNCTION pair(int, int) RETURNS pair LANGUAGE sql AS 'SELECT ROW($1, $2)::pair'",
    );
    let types = types();
    for (_, expression, database_type, arrow_type, fate) in &types {
        let query = format!("SELECT 1 AS id, {expression} AS v");
        fate.check(&server.url(), &query, database_type, arrow_type).await;
        // What the message says to write works, and so does null.
        let (query, shown) = match fate {
            Cast(cast) => {
                let cast = cast.split(" with ").next().unwrap().replace("p,s", "38,2");
                (format!("SELECT id, {cast} AS v FROM ({query}) AS t"), None)
            }
            Refused(why) if why.starts_with("CASE") => {
                (format!("SELECT id, {why} AS v FROM ({query}) AS t"), Some("∅"))
            }
            _ => (
                format!("SELECT id, nullif(v::text, v::text) AS v FROM ({query}) AS t"),
                Some("∅"),
            ),
        };
        let source = source(&server.url(), &query, "id").await;
        let rows = rows_of(source.as_ref(), 1).await;
        assert!(shown.is_none_or(|shown| rows[0][1] == shown), "{query}: {rows:?}");
    }
    check_documented(
        "PostgreSQL",
        types
            .iter()
            .map(|(name, _, _, arrow_type, fate)| (*name, arrow_type, fate)),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn text_comes_as_utf_8_or_is_refused() {
    let server = TempPostgres::shared();
    server.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    server.execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0");
    let url = |database: &str| server.url().trim_end_matches("postgres").to_owned() + database;
    let query = "SELECT 1 AS id, chr(233) AS v";
    let source = source(&url("latin"), query, "id").await;
    assert_eq!(read(source.as_ref(), &everything()).await.unwrap()[0][1], "é");
    // Such a database knows nothing of its encoding.
    let broken = crate::support::source(&url("bytes"), query, "id").await;
    let message = read(broken.as_ref(), &everything())
        .await
        .unwrap_err()
        .to_string();
    let write = "convert_from(convert(convert_to(column, 'SQL_ASCII'), 'LATIN1', 'UTF8'), 'SQL_ASCII')";
    assert_eq!(
        message,
        format!(
            "the database refused source.query: invalid byte sequence for encoding \"UTF8\": 0xe9; \
             with the encoding that the text has, write {write} in source.query"
        )
    );
    let write = write.replace("column", "v");
    let query = format!("SELECT id, {write} AS v FROM ({query}) AS t");
    let mended = crate::support::source(&url("bytes"), &query, "id").await;
    assert_eq!(rows_of(mended.as_ref(), 1).await[0][1], "é");
}
