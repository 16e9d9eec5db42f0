//! Key ranges cover every row exactly once, whatever the keys are, and go on from any of them.
mod composite;
mod onward;

use std::sync::{Arc, LazyLock};

use crate::support::files::{TempFiles, columns};
use crate::support::{TempSqlite, check_ranges, read_all, rows_of, source};
use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::compute::{SortOptions, cast, sort};
use arrow::datatypes::{DataType, TimeUnit};
use gristmill_data::key::Bounds;
use gristmill_data::source::Source;
use gristmill_testkit::{TempMariaDb, TempPostgres};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rusqlite::types::Value;

async fn check(source: &dyn Source, batch_rows: u64, row_count: usize) {
    check_ranges(source, batch_rows, row_count, 1).await;
}

/// Integers in clusters, with gaps, repeats and both signs.
fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -3_i64..4,
        2 => any::<i64>(),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[aAbB' ]{0,2}", 1 => "[ -~é日ß\"\\\\]{0,6}", 1 => "-?[0-9]{1,2}(\\.5)?"]
}

fn value() -> impl Strategy<Value = Value> {
    // Among reals an integer that no double holds is refused.
    let held = |integer: i64| match integer.unsigned_abs() {
        0..=0x20_0000_0000_0000 => integer,
        _ => integer >> 11 << 11,
    };
    prop_oneof![
        integer().prop_map(move |integer| Value::Integer(held(integer))),
        prop_oneof![-2.0..2.0, Just(f64::INFINITY), Just(-1e300), Just(0.5)].prop_map(Value::Real),
        text().prop_map(Value::Text),
    ]
}

/// Declarations of a key column with keys that it may hold.
fn sqlite_keys() -> impl Strategy<Value = (&'static str, Vec<Value>)> {
    let keys = |key: BoxedStrategy<Value>| {
        proptest::collection::vec(prop_oneof![1 => Just(Value::Null), 6 => key], 0..30)
    };
    let blob = proptest::collection::vec(0_u8..3, 0..3).prop_map(Value::Blob);
    prop_oneof![
        keys(integer().prop_map(Value::Integer).boxed()).prop_map(|keys| ("INTEGER", keys)),
        keys(text().prop_map(Value::Text).boxed()).prop_map(|keys| ("TEXT", keys)),
        keys(blob.boxed()).prop_map(|keys| ("BLOB", keys)),
        // Numbers and text in one column, of each affinity that lets them be.
        keys(value().boxed()).prop_map(|keys| ("", keys)),
        keys(value().boxed()).prop_map(|keys| ("NUMERIC", keys)),
    ]
}

#[test]
fn any_keys_on_sqlite() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(
            &(sqlite_keys(), 1_u64..9, any::<bool>()),
            |((declared, keys), batch_rows, index)| {
                let database = TempSqlite::new(&format!("CREATE TABLE t (k {declared})"));
                let writer = database.open();
                let transaction = writer.unchecked_transaction().unwrap();
                for key in &keys {
                    transaction.execute("INSERT INTO t VALUES (?)", [key]).unwrap();
                }
                if index {
                    transaction.execute_batch("CREATE INDEX i ON t (k)").unwrap();
                }
                transaction.commit().unwrap();
                runtime.block_on(async {
                    let query = "SELECT rowid AS row, typeof(k) || quote(k) AS shown, k FROM t";
                    // `shown` tells 1 and '1' apart, which a column of text does not; but it is null for null.
                    let query = format!(
                        "SELECT row, CASE WHEN k IS NOT NULL THEN shown END AS shown, k FROM ({query})"
                    );
                    let source = source(&database.url(), &query, "k").await;
                    check(source.as_ref(), batch_rows, keys.len()).await;
                });
                Ok(())
            },
        )
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn text_keys_of_a_collation_on_sqlite() {
    let database = TempSqlite::new(
        "CREATE TABLE t (k TEXT COLLATE NOCASE); \
         INSERT INTO t VALUES ('b'), ('A'), ('a'), ('B'), ('c'), ('a'), (NULL), ('_'), ('Z'), ('z')",
    );
    for query in [
        "SELECT rowid AS row, lower(k) AS folded, k FROM t",
        // Not flattened into the outer query.
        "SELECT DISTINCT row, folded, k FROM (SELECT rowid AS row, lower(k) AS folded, k FROM t)",
    ] {
        let source = source(&database.url(), query, "k").await;
        for rows in 1..6 {
            check(source.as_ref(), rows, 10).await;
        }
    }
}

/// Rows for a table (row, k) of text forms.
fn insert(table: &str, keys: &[Option<String>], key_type: &str) -> String {
    let rows: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(i, key)| match key {
            // Only the test does this: backslashes are plain in such literals.
            Some(key) => format!("({}, '{}'::{key_type})", i + 1, key.replace('\'', "''")),
            None => format!("({}, NULL)", i + 1),
        })
        .collect();
    if rows.is_empty() {
        String::new()
    } else {
        format!("INSERT INTO {table} VALUES {};", rows.join(", "))
    }
}

#[test]
fn any_keys_on_postgres() {
    let server = TempPostgres::shared();
    server.execute("CREATE COLLATION natural_order (provider = icu, locale = 'en-u-kn-true')");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let keys = |key: BoxedStrategy<String>| {
        proptest::collection::vec(prop_oneof![1 => Just(None), 6 => key.prop_map(Some)], 0..30)
    };
    let keys = prop_oneof![
        keys(integer().prop_map(|k| k.to_string()).boxed()).prop_map(|keys| ("bigint", "bigint", keys)),
        keys(text().boxed()).prop_map(|keys| ("text", "text", keys)),
        keys(text().boxed()).prop_map(|keys| ("text COLLATE \"C\"", "text", keys)),
        keys(text().boxed()).prop_map(|keys| ("text COLLATE natural_order", "text", keys)),
    ];
    let config = ProptestConfig {
        cases: 16,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(
            &(keys, 1_u64..9),
            |((column_type, key_type, keys), batch_rows)| {
                let rows = insert("any_keys", &keys, key_type);
                server.execute(&format!(
                    "SET client_min_messages = error; DROP TABLE IF EXISTS any_keys; \
                 CREATE TABLE any_keys (\"row\" int, k {column_type}); {rows}"
                ));
                runtime.block_on(async {
                    let source = source(&server.url(), "SELECT \"row\", k FROM any_keys", "k").await;
                    check(source.as_ref(), batch_rows, keys.len()).await;
                });
                Ok(())
            },
        )
        .unwrap();
}

/// Columns of keys in files: of each kind of value, in the types that it can have.
fn file_keys() -> impl Strategy<Value = ArrayRef> {
    let keys = |key: BoxedStrategy<i64>| {
        proptest::collection::vec(prop_oneof![1 => Just(None), 6 => key.prop_map(Some)], 0..30)
    };
    let of = |kinds: &'static [DataType]| {
        move |(keys, kind): (Vec<Option<i64>>, usize)| cast(&Int64Array::from(keys), &kinds[kind]).unwrap()
    };
    // What fits into each.
    let small = (keys((0_i64..7).boxed()), 0..SMALL_KEYS.len()).prop_map(of(SMALL_KEYS.as_slice()));
    let large = (keys(integer().boxed()), 0..LARGE_KEYS.len()).prop_map(of(LARGE_KEYS.as_slice()));
    let bits = prop_oneof![3 => any::<u64>(), 1 => Just(u64::MAX), 1 => Just(1 << 63), 1 => Just(0), 1 => Just(f64::NAN.to_bits())];
    let reals = proptest::collection::vec(proptest::option::weighted(0.9, bits), 0..30);
    let reals = reals.prop_map(|bits| {
        Arc::new(
            bits.into_iter()
                .map(|bits| bits.map(f64::from_bits))
                .collect::<Float64Array>(),
        ) as ArrayRef
    });
    let texts = proptest::collection::vec(proptest::option::weighted(0.9, text()), 0..30);
    let texts = (texts, 0..TEXT_KEYS.len()).prop_map(|(texts, kind)| {
        cast(&texts.into_iter().collect::<StringArray>(), &TEXT_KEYS[kind]).unwrap()
    });
    prop_oneof![3 => small, 2 => large, 1 => reals, 2 => texts]
}

static SMALL_KEYS: LazyLock<[DataType; 9]> = LazyLock::new(|| {
    use DataType as T;
    let dictionary = T::Dictionary(T::Int8.into(), T::Utf8.into());
    let seconds = T::Timestamp(TimeUnit::Second, None);
    [
        T::Boolean,
        T::UInt8,
        T::UInt64,
        T::Float16,
        T::Float32,
        T::Date32,
        dictionary,
        seconds,
        T::Decimal128(9, 3),
    ]
});
static LARGE_KEYS: LazyLock<[DataType; 4]> = LazyLock::new(|| {
    use DataType as T;
    let micros = |zone: Option<&str>| T::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    [
        T::Int64,
        T::Decimal128(38, 4),
        micros(None),
        micros(Some("+02:00")),
    ]
});
static TEXT_KEYS: [DataType; 4] = [
    DataType::Utf8,
    DataType::Utf8View,
    DataType::LargeUtf8,
    DataType::Binary,
];

/// Read in place where they are sorted, from a sorted copy where not.
#[test]
fn any_keys_in_files() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let order = prop_oneof![Just(None), any::<bool>().prop_map(Some)];
    TestRunner::new(config)
        .run(
            &(file_keys(), order, 1_u64..9, 1_usize..5, 0_usize..30),
            |(keys, order, batch_rows, group_rows, cut)| {
                let keys = match order {
                    None => keys,
                    Some(nulls_first) => {
                        let options = SortOptions {
                            descending: false,
                            nulls_first,
                        };
                        sort(&keys, Some(options)).unwrap()
                    }
                };
                let numbers = Arc::new(Int64Array::from_iter_values(1..=keys.len() as i64));
                let rows = columns(vec![("row", numbers), ("k", keys)]);
                let files = TempFiles::new();
                let cut = cut.min(rows.num_rows());
                files.parquet("b.parquet", &rows.slice(0, cut), group_rows);
                files.parquet("a.parquet", &rows.slice(cut, rows.num_rows() - cut), group_rows);
                runtime.block_on(async {
                    // Numbers of different bits are different keys, which their text does not always show.
                    let source = source(&files.url("parquet", "?.parquet"), "SELECT * FROM input", "k").await;
                    if rows.column(1).data_type() == &DataType::Float64 {
                        let seen = rows_of(source.as_ref(), batch_rows).await;
                        prop_assert_eq!(seen.len(), rows.num_rows());
                    } else {
                        check(source.as_ref(), batch_rows, rows.num_rows()).await;
                    }
                    Ok(())
                })
            },
        )
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ordered_type_on_postgres() {
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TYPE \"Size\" AS ENUM ('small', 'large', 'huge'); CREATE DOMAIN code AS varchar(4); CREATE EXTENSION citext; \
         CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    );
    let types = [
        ("smallint", &["3", "-32768", "3", "32767", "0"][..]),
        ("integer", &["3", "-2147483648", "3", "2147483647"]),
        (
            "bigint",
            &["-9223372036854775808", "9223372036854775807", "0", "-1", "0"],
        ),
        ("real", &["0.1", "0.10000001", "-1e-30", "NaN", "Infinity", "NaN"]),
        (
            "double precision",
            &["0.1", "0.30000000000000004", "-Infinity", "NaN", "1e300", "0.1"],
        ),
        ("numeric(20,10)", &["0.1", "0.1000000001", "-9999999999.9", "0.1"]),
        ("varchar(3)", &["a", "ab", "b", "", "a"]),
        ("char(4)", &["a", "ab", "abcd", "b", "ab"]),
        ("name", &["a", "B", "_c"]),
        ("boolean", &["true", "false", "true"]),
        (
            "uuid",
            &[
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "00000000-0000-0000-0000-000000000000",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
            ],
        ),
        (
            "date",
            &["2000-01-01", "1999-12-31", "0044-03-15 BC", "5874897-12-31"],
        ),
        (
            "timestamp",
            &["2000-01-01 00:00:00.000001", "2000-01-01", "0044-03-15 BC"],
        ),
        (
            "timestamptz",
            &[
                "2000-01-01 00:00:00+01",
                "2000-01-01 00:00:00+02",
                "1999-12-31 23:00:00+00",
            ],
        ),
        ("bytea", &["\\x00", "\\x0001", "\\xff", "\\x"]),
        ("jsonb", &["1", "\"a\"", "{\"b\": [1, 2]}", "null"]),
        ("enum", &["small", "large", "huge", "large"]),
        ("domain", &["ab", "c", "ab", ""]),
        ("citext", &["b", "C", "a"]),
        ("time", &["12:00", "24:00", "00:00:00.000001", "12:00"]),
        ("timetz", &["12:00+02", "10:00+00", "12:00+00"]),
        ("interval", &["1 day", "23:59", "-1 mon", "1 year -3 days"]),
        ("inet", &["::1", "10.0.0.1", "10.0.0.0/8", "fe80::1"]),
        ("text COLLATE folded", &["b", "C", "a"]),
    ];
    check_documented_keys("PostgreSQL", &types.map(|(name, _)| name));
    for (key_type, keys) in types {
        let key_type = match key_type {
            "enum" => "\"Size\"",
            "domain" => "code",
            built_in => built_in,
        };
        let plain = key_type.split(" COLLATE").next().unwrap();
        let mut all: Vec<Option<String>> = keys.iter().map(|key| Some((*key).to_owned())).collect();
        all.push(None);
        server.execute(&format!(
            "SET client_min_messages = error; DROP TABLE IF EXISTS ordered; \
             CREATE TABLE ordered (\"row\" int, k {key_type}); {}",
            insert("ordered", &all, plain)
        ));
        let source = source(&server.url(), "SELECT \"row\", k FROM ordered", "k").await;
        for rows in [1, 2, 100] {
            check(source.as_ref(), rows, all.len()).await;
        }
        let order = server.execute(
            "SELECT \"row\" FROM (SELECT min(\"row\") AS \"row\", k FROM ordered GROUP BY k) s ORDER BY k",
        );
        let mut ranges = read_all(source.as_ref(), 1, None, 0).await;
        let first_rows: Vec<String> = ranges
            .iter_mut()
            .map(|(_, rows)| {
                rows.iter()
                    .map(|row| row[0].parse::<u32>().unwrap())
                    .min()
                    .unwrap()
                    .to_string()
            })
            .collect();
        assert_eq!(first_rows, order.lines().collect::<Vec<_>>(), "{key_type}");
    }
    // Keys that the collation takes for equal stay together.
    server.execute(
        "CREATE TABLE equal_keys (\"row\" int, folded text, k text COLLATE folded); \
         INSERT INTO equal_keys SELECT n, lower(k), k FROM unnest('{a,B,A,b,c,a}'::text[]) WITH ORDINALITY AS t(k, n)",
    );
    let source = source(&server.url(), "SELECT * FROM equal_keys", "k").await;
    for rows in 1..5 {
        check(source.as_ref(), rows, 6).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ordered_type_on_sqlite() {
    let types = [
        (
            "INTEGER",
            &["3", "-9223372036854775808", "3", "9223372036854775807"][..],
        ),
        ("REAL", &["0.1", "0.30000000000000004", "-9e999", "9e999", "0.1"]),
        ("BOOLEAN", &["1", "0", "1"]),
        ("TEXT", &["'b'", "''", "'B'", "'é'", "'b'"]),
        ("BLOB", &["x'00'", "x''", "x'0001'", "x'ff'", "x'00'"]),
        ("DATE", &["'2024-02-29'", "'0044-03-15'", "'9999-12-31'"]),
        (
            "TIMESTAMP",
            &["'2024-02-29 12:00:00'", "'2024-02-29'", "'1999-12-31 23:59:59'"],
        ),
    ];
    check_documented_keys("SQLite", &types.map(|(name, _)| name));
    for (key_type, keys) in types {
        let rows: Vec<String> = keys
            .iter()
            .chain(&["NULL"])
            .enumerate()
            .map(|(i, key)| format!("({}, {key})", i + 1))
            .collect();
        let database = TempSqlite::new(&format!(
            "CREATE TABLE t (\"row\" INTEGER, k {key_type}); INSERT INTO t VALUES {}",
            rows.join(", ")
        ));
        let source = source(&database.url(), "SELECT * FROM t", "k").await;
        for rows in [1, 2, 100] {
            check(source.as_ref(), rows, keys.len() + 1).await;
        }
        let order = database
            .open()
            .prepare("SELECT min(\"row\") FROM t WHERE k IS NOT NULL GROUP BY k ORDER BY k")
            .unwrap()
            .query_map((), |row| row.get::<_, i64>(0))
            .unwrap()
            .map(|row| row.unwrap().to_string())
            .collect::<Vec<_>>();
        let ranges = read_all(source.as_ref(), 1, None, 0).await;
        let first_rows: Vec<&String> = ranges
            .iter()
            .filter(|(range, _)| range.bounds != Bounds::Null)
            .map(|(_, rows)| rows.iter().map(|row| &row[0]).min().unwrap())
            .collect();
        assert_eq!(first_rows, order.iter().collect::<Vec<_>>(), "{key_type}");
    }
}

/// Half of the rows have one key; the others lie far apart on both sides of it.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_may_have_a_hundred_thousand_rows() {
    let (postgres, mariadb) = (TempPostgres::shared(), TempMariaDb::shared());
    let sqlite = TempSqlite::new("CREATE TABLE t (n)");
    let key = "CASE WHEN n % 2 = 0 THEN 0 ELSE (n - 100000) * 40000000000000 END AS k";
    let numbers = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 200000)";
    for (url, query) in [
        (
            postgres.url(),
            format!("SELECT n AS \"row\", {key} FROM generate_series(1::bigint, 200000) AS n"),
        ),
        (
            mariadb.url(),
            format!(
                "SELECT seq AS n, {} FROM seq_1_to_200000",
                key.replace("(n ", "(CAST(seq AS SIGNED) ")
                    .replace("n %", "seq %")
            ),
        ),
        (sqlite.url(), format!("{numbers} SELECT n, {key} FROM s")),
    ] {
        let source = source(&url, &query, "k").await;
        let mut rows = Vec::new();
        for (range, read) in read_all(source.as_ref(), 40_000, None, 0).await {
            assert_eq!(range.number, rows.len() as u64);
            rows.push(read.len());
        }
        assert_eq!(rows, [40_000, 110_000, 40_000, 10_000], "{query}");
    }
}

/// A table (row, k) of MariaDB with these keys in their text forms.
fn mariadb_table(server: &TempMariaDb, key_type: &str, keys: &[Option<String>]) {
    let rows: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(i, key)| match key {
            // Only the test does this.
            Some(key) => format!("({}, '{}')", i + 1, key.replace('\\', "\\\\").replace('\'', "''")),
            None => format!("({}, NULL)", i + 1),
        })
        .collect();
    let insert = if rows.is_empty() {
        String::new()
    } else {
        format!("INSERT INTO t VALUES {}", rows.join(", "))
    };
    server.execute(&format!(
        "CREATE OR REPLACE TABLE t (`row` int, k {key_type}); {insert}"
    ));
}

#[test]
fn any_keys_on_mariadb() {
    let server = TempMariaDb::shared();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let keys = |key: BoxedStrategy<String>| {
        proptest::collection::vec(prop_oneof![1 => Just(None), 6 => key.prop_map(Some)], 0..30)
    };
    let texts = |key_type: &'static str, shown: &'static str| {
        keys(text().boxed()).prop_map(move |keys| (key_type, shown, keys))
    };
    let keys = prop_oneof![
        keys(integer().prop_map(|k| k.to_string()).boxed()).prop_map(|keys| ("bigint", "k", keys)),
        keys(
            prop_oneof![0_u64..4, any::<u64>(), Just(u64::MAX)]
                .prop_map(|k| k.to_string())
                .boxed()
        )
        .prop_map(|keys| ("bigint unsigned", "k", keys)),
        // Equal are texts of equal weights, but for blanks at the end where the collation pads.
        texts(
            "varchar(9) COLLATE utf8mb4_general_ci",
            "hex(weight_string(rtrim(k)))"
        ),
        texts("text COLLATE utf8mb4_unicode_ci", "hex(weight_string(rtrim(k)))"),
        texts("varchar(9) COLLATE utf8mb4_bin", "hex(rtrim(k))"),
        texts("varchar(9) COLLATE utf8mb4_nopad_bin", "hex(k)"),
        texts(
            "text COLLATE utf8mb4_uca1400_ai_ci",
            "hex(weight_string(rtrim(k)))"
        ),
    ];
    let config = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(
            &(keys, 1_u64..9, any::<bool>()),
            |((key_type, shown, keys), batch_rows, index)| {
                mariadb_table(server, key_type, &keys);
                if index {
                    server.execute(
                        "CREATE INDEX i ON t (k(5))"
                            .replace("(5)", if key_type.starts_with("text") { "(5)" } else { "" })
                            .as_str(),
                    );
                }
                runtime.block_on(async {
                    let query = format!("SELECT `row`, {shown} AS shown, k FROM t");
                    let source = source(&server.socket_url(), &query, "k").await;
                    check(source.as_ref(), batch_rows, keys.len()).await;
                });
                Ok(())
            },
        )
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ordered_type_on_mariadb() {
    let server = TempMariaDb::shared();
    let types = [
        ("tinyint", &["3", "-128", "3", "127", "0"][..]),
        ("boolean", &["1", "0", "1"]),
        ("smallint unsigned", &["3", "65535", "3", "0"]),
        ("mediumint", &["3", "-8388608", "3"]),
        ("int unsigned", &["3", "4294967295", "3"]),
        (
            "bigint unsigned",
            &["3", "18446744073709551615", "9223372036854775808", "3"],
        ),
        ("year", &["1970", "0000", "2155", "1901", "1970"]),
        ("decimal(20,10)", &["0.1", "0.1000000001", "-9999999999.9", "0.1"]),
        (
            "decimal(38,0)",
            &[
                "99999999999999999999999999999999999999",
                "99999999999999999999999999999999999998",
                "-1",
            ],
        ),
        ("float", &["0.1", "0.10000001", "-1e-30", "0.1", "1e30"]),
        ("double", &["0.1", "0.30000000000000004", "0.3", "-1e300", "0.1"]),
        ("date", &["2000-01-01", "1999-12-31", "9999-12-31", "2000-01-01"]),
        (
            "datetime(6)",
            &[
                "2000-01-01 00:00:00.000001",
                "2000-01-01",
                "2000-01-01 00:00:00.000001",
            ],
        ),
        (
            "timestamp(6) NULL",
            &["2000-01-01 00:00:00.000001", "2000-01-01", "2038-01-19 03:14:07"],
        ),
        (
            "time(6)",
            &[
                "-838:59:59",
                "12:00:00.000001",
                "-00:00:01",
                "100:00:00",
                "12:00:00.000001",
            ],
        ),
        ("char(4)", &["a", "ab", "abcd", "b", "ab"]),
        ("varchar(3)", &["a", "ab", "b", "", "é", "z"]),
        ("varchar(3) CHARACTER SET latin1", &["é", "z", "a", "ÿ"]),
        ("text COLLATE utf8mb4_bin", &["a", "B", "_c", "é", "😀"]),
        ("json", &["1", "\"a\"", "{\"b\": [1, 2]}"]),
        ("binary(2)", &["\0", "a", "aa", "b"]),
        ("varbinary(3)", &["a", "A", "", "a\u{1}", "é"]),
        ("blob", &["a", "A", "", "é", "a"]),
        ("bit(9)", &["a", "b", "\u{1}"]),
        (
            "enum('small', 'large', 'huge')",
            &["small", "large", "huge", "large"],
        ),
        ("set('b', 'a', 'c')", &["a", "b", "c,a", "", "c", "b,a"]),
        (
            "uuid",
            &[
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "00000000-0000-0000-0000-000000000000",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
                "b0eebc99-9c0b-4ef8-ab6d-6bb9bd380a11",
            ],
        ),
        ("inet6", &["::1", "fe80::1", "::ffff:192.0.2.1", "::1"]),
    ];
    check_documented_keys("MySQL, MariaDB", &types.map(|(name, _)| name));
    for (key_type, keys) in types {
        let mut all: Vec<Option<String>> = keys.iter().map(|key| Some((*key).to_owned())).collect();
        all.push(None);
        mariadb_table(server, key_type, &all);
        for query in ["SELECT `row`, k FROM t", "SELECT DISTINCT `row`, k FROM t"] {
            let source = source(&server.socket_url(), query, "k").await;
            for rows in [1, 2] {
                check(source.as_ref(), rows, all.len()).await;
            }
            let order = server.execute(
                "SELECT `row` FROM (SELECT min(`row`) AS `row`, k FROM t WHERE k IS NOT NULL GROUP BY k) s ORDER BY k",
            );
            let ranges = read_all(source.as_ref(), 1, None, 0).await;
            let first_rows: Vec<String> = ranges
                .iter()
                .filter(|(range, _)| range.bounds != Bounds::Null)
                .map(|(_, rows)| {
                    let numbers = rows.iter().map(|row| row[0].parse::<u32>().unwrap());
                    numbers.min().unwrap().to_string()
                })
                .collect();
            assert_eq!(
                first_rows,
                order.lines().collect::<Vec<_>>(),
                "{key_type}: {query}"
            );
        }
    }
    // Keys that the collation takes for equal stay together, equal ones among them side by side.
    mariadb_table(
        server,
        "varchar(5) COLLATE utf8mb4_general_ci",
        &["a", "B", "A", "b", "c", "a", "á", "a "].map(|key| Some(key.to_owned())),
    );
    let source = source(
        &server.socket_url(),
        "SELECT `row`, hex(weight_string(rtrim(k))) AS s, k FROM t",
        "k",
    )
    .await;
    for rows in 1..5 {
        check(source.as_ref(), rows, 8).await;
    }
    let keys: Vec<String> = crate::support::rows_of(source.as_ref(), 100)
        .await
        .into_iter()
        .map(|row| row[2].clone())
        .collect();
    assert_eq!(keys, ["A", "a", "a", "a ", "á", "B", "b", "c"]);
}

/// Checks that the table of keys of docs/pipeline.md has in a column what the cases, declared types, begin with, and nothing
/// more.
fn check_documented_keys(database: &str, cases: &[&str]) {
    let path = gristmill_testkit::repository().join("docs/pipeline.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, chapter) = text.split_once("\n### Keys\n").unwrap();
    let (_, table) = chapter.split_once("\n| Key | ").unwrap();
    let mut lines = table.lines();
    let heads = lines.next().unwrap().trim_matches('|').split(" | ");
    let column = 1 + heads.map(str::trim).position(|head| head == database).unwrap();
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let documented: Vec<&str> = rows
        .filter_map(|line| line.trim_matches('|').split('|').nth(column))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    for name in &documented {
        assert!(
            cases.iter().any(|case| case.starts_with(name)),
            "no case for the key `{name}`"
        );
    }
    for case in cases {
        assert!(
            documented.iter().any(|name| case.starts_with(name)),
            "`{case}` is not documented"
        );
    }
}
