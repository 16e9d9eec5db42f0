//! No entity is on both sides of a split: values that a database calls equal are one entity, or their column is refused.

use std::fmt::Write;

use crate::support::{Place, stderr};
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use gristmill_data::budget::RowBudget;
use gristmill_data::key::{Bounds, Key, KeyRange};
use gristmill_data::settings::{SourceSettings, TextReading};
use gristmill_data::source::open::connect;
use gristmill_data::table::Alike;
use gristmill_learn::features::split::Splitter;
use gristmill_learn::settings::SplitSettings;
use gristmill_testkit::{TempMariaDb, TempPostgres};

/// What is to become of a column as `split.by`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// Its equal values are one entity.
    Taken,
    /// It is refused, for there are equal values which are not.
    Refused,
    /// It is refused for what other values might be.
    RefusedAnyway,
}
use Fate::{Refused, RefusedAnyway, Taken};

/// A type as it is declared, values of it, how many pairs of them are equal, and what becomes of it.
type Case = (&'static str, &'static [&'static str], usize, Fate);

const POSTGRES: &[Case] = &[
    ("boolean", &["true", "'t'", "'yes'"], 3, Taken),
    ("smallint", &["7", "'07'"], 1, Taken),
    ("integer", &["7", "7.0"], 1, Taken),
    ("bigint", &["7", "-7"], 0, Taken),
    ("real", &["0", "'-0'", "'NaN'", "'nan'", "0.1", "0.10"], 3, Taken),
    (
        "double precision",
        &["0", "'-0'", "'NaN'", "'nan'", "1e3", "1000"],
        3,
        Taken,
    ),
    ("numeric(10,2)", &["1.5", "1.50", "0", "-0.00"], 2, Taken),
    ("text", &["'a'", "'A'", "'a '"], 0, Taken),
    (
        "text COLLATE german",
        &["'a'", "'A'", "'a '", "U&'\\00e9'", "U&'e\\0301'"],
        0,
        Taken,
    ),
    (
        "text COLLATE anycase",
        &["'a'", "'A'", "U&'\\00e9'", "U&'e\\0301'"],
        2,
        Refused,
    ),
    (
        "varchar(9) COLLATE other.base",
        &["'e'", "'E'", "'é'"],
        3,
        Refused,
    ),
    ("anycase_text", &["'a'", "'A'"], 1, Refused),
    ("citext", &["'a'", "'A'", "'b'"], 1, Refused),
    ("citext_domain", &["'a'", "'A'"], 1, Refused),
    ("char(4)", &["'a'", "'a  '", "'A'"], 1, Taken),
    ("bpchar", &["'a'", "'a  '", "'a   '"], 3, Taken),
    ("name", &["'a'", "'A'"], 0, Taken),
    ("mood", &["'sad'", "'Sad'"], 0, Taken),
    (
        "uuid",
        &[
            "'00000000-0000-0000-0000-00000000000a'",
            "'{00000000-0000-0000-0000-00000000000A}'",
        ],
        1,
        Taken,
    ),
    ("bytea", &["'\\x61'", "'a'", "'a '"], 1, Taken),
    ("date", &["'2024-02-29'", "'29 Feb 2024'"], 1, Taken),
    (
        "timestamp",
        &["'2024-02-29'", "'2024-02-29 00:00:00.000'"],
        1,
        Taken,
    ),
    (
        "timestamptz",
        &[
            "'2024-02-29 12:00+00'",
            "'2024-02-29 14:00+02'",
            "'2024-02-29 12:00:00.0Z'",
        ],
        3,
        Taken,
    ),
    (
        "time",
        &["'12:00'", "'12:00:00.000'", "'24:00'", "'0:00'"],
        1,
        Taken,
    ),
    ("timetz", &["'12:00+00'", "'12:00:00.0Z'", "'14:00+02'"], 1, Taken),
    (
        "interval",
        &["'1 day'", "'24 hours'", "'1 mon'", "'30 days'", "'1 mon -1 day'"],
        2,
        Refused,
    ),
    (
        "jsonb",
        &["'{\"id\": 1}'", "'{\"id\": 1.0}'", "'{\"id\":1, \"id\": 1}'"],
        3,
        Refused,
    ),
    (
        "inet",
        &["'10.0.0.1'", "'10.0.0.1/32'", "'::1'", "'0::1'"],
        2,
        Taken,
    ),
    ("cidr", &["'10.1.0.0/16'", "'10.1/16'"], 1, Taken),
    ("macaddr", &["'08:00:2b:01:02:03'", "'08002B-010203'"], 1, Taken),
    (
        "macaddr8",
        &["'08:00:2b:01:02:03:04:05'", "'08002B0102030405'"],
        1,
        Taken,
    ),
    ("bit(3)", &["B'101'", "'101'", "B'001'"], 1, Taken),
    ("varbit", &["B'101'", "B'0101'", "B'1010'"], 0, Taken),
];

const MARIADB: &[Case] = &[
    ("boolean", &["true", "1"], 1, Taken),
    ("int", &["7", "'7.0'"], 1, Taken),
    (
        "bigint unsigned",
        &["18446744073709551615", "'18446744073709551615'"],
        1,
        Taken,
    ),
    ("year", &["2024", "24"], 1, Taken),
    ("bit(9)", &["5", "b'101'"], 1, Taken),
    ("float", &["0e0", "-0e0", "0.1"], 1, Taken),
    ("double", &["0e0", "-0e0", "1e3", "1000"], 2, Taken),
    ("decimal(9,2)", &["1.5", "1.50"], 1, Taken),
    (
        "varchar(9) COLLATE utf8mb4_general_ci",
        &["'a'", "'A'", "_utf8mb4 x'C3A1'"],
        3,
        Refused,
    ),
    ("char(4) COLLATE utf8mb4_unicode_ci", &["'a'", "'A'"], 1, Refused),
    (
        "text COLLATE utf8mb4_unicode_nopad_ci",
        &["'a'", "'A'", "'a '"],
        1,
        Refused,
    ),
    (
        "varchar(9) CHARACTER SET latin1 COLLATE latin1_general_cs",
        &["'a'", "'A'"],
        0,
        RefusedAnyway,
    ),
    (
        "varchar(9) COLLATE utf8mb4_bin",
        &["'a'", "'a  '", "'A'"],
        1,
        Taken,
    ),
    ("text COLLATE utf8mb4_nopad_bin", &["'a'", "'a '"], 0, Taken),
    (
        "varchar(9) CHARACTER SET latin1 COLLATE latin1_bin",
        &["'é'", "'é '", "'e'"],
        1,
        Taken,
    ),
    (
        "enum('a','b') COLLATE utf8mb4_general_ci",
        &["'a'", "'A'"],
        1,
        RefusedAnyway,
    ),
    ("enum('a','b') COLLATE utf8mb4_bin", &["'a'", "1"], 1, Taken),
    (
        "set('a','b') COLLATE utf8mb4_general_ci",
        &["'a,b'", "'b,a'"],
        1,
        RefusedAnyway,
    ),
    ("json", &["'[1]'", "'[1.0]'"], 0, Taken),
    (
        "uuid",
        &[
            "'00000000-0000-0000-0000-00000000000a'",
            "'00000000-0000-0000-0000-00000000000A'",
        ],
        1,
        RefusedAnyway,
    ),
    ("inet6", &["'::1'", "'0::1'"], 1, RefusedAnyway),
    ("varbinary(9)", &["'a'", "'A'", "'a '"], 0, Taken),
    ("binary(3)", &["'a'", "'a\\0'"], 1, Taken),
    ("date", &["'2024-02-29'", "20240229"], 1, Taken),
    ("datetime", &["'2024-02-29'", "'2024-02-29 00:00:00'"], 1, Taken),
    (
        "timestamp(6)",
        &["'2024-02-29 12:00:00'", "'2024-02-29 12:00:00.000'"],
        1,
        Taken,
    ),
    ("time(3)", &["'-00:00:00'", "'00:00:00'", "'24:00:00'"], 1, Taken),
];

const SQLITE: &[Case] = &[
    ("INTEGER", &["7", "7.0", "'7'"], 3, Taken),
    ("REAL", &["0.0", "-0.0", "7", "7.0"], 2, Taken),
    ("NUMERIC", &["7", "'7.0'", "0.5", "'0.50'"], 2, Taken),
    ("", &["7", "7.0", "'a'", "'A'"], 1, Taken),
    ("BOOLEAN", &["1", "true"], 1, Taken),
    ("TEXT", &["'a'", "'A'", "'a '"], 0, Taken),
    ("TEXT COLLATE RTRIM", &["'a'", "'a  '", "'A'"], 1, Taken),
    ("TEXT COLLATE NOCASE", &["'a'", "'A'", "'é'", "'É'"], 1, Refused),
    ("COLLATE NOCASE", &["'a'", "'A'", "7"], 1, Refused),
    ("BLOB", &["x'61'", "x'41'", "x'6120'"], 0, Taken),
];

/// The rows of a query on a source, and why its column 1 is refused, if it is.
async fn read(url: &str, query: &str) -> (Vec<RecordBatch>, Option<Alike>) {
    let settings = SourceSettings {
        url: url.into(),
        query: query.into(),
        key: "id".into(),
        text: TextReading::default(),
        memory: RowBudget::ample(),
    };
    let source = connect(&settings)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    let alike = source.column_types()[1].alike.clone();
    let all = KeyRange {
        number: 0,
        bounds: Bounds::Between {
            after: None,
            until: Key::Int(1_000_000),
        },
    };
    let rows = source.read(&all).await.unwrap().try_collect().await;
    (rows.unwrap_or_else(|error| panic!("{query}: {error}")), alike)
}

/// The sides that entities fall on under 64 seeds.
fn sides(entities: &ArrayRef) -> Vec<Vec<u8>> {
    let sides = |seed| {
        let settings = SplitSettings {
            by: "v".to_owned(),
            train: 0.5,
            validation: 0.25,
            test: 0.25,
            seed,
            column: None,
        };
        Splitter::new(&settings, 1).assign(entities).unwrap().0
    };
    (0..64).map(sides).collect()
}

/// Checks a case, whose values are those of the column `v` of a table with an `id` from 0 on.
async fn check(url: &str, table: &str, case: &Case) {
    let (name, _, equal, fate) = case;
    let pairs = format!(
        "SELECT x.id * 1000 + y.id AS id, x.v AS a, y.v AS b FROM {table} x JOIN {table} y ON x.v = y.v AND x.id < y.id"
    );
    let (rows, alike) = read(url, &pairs).await;
    let found: usize = rows.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(found, *equal, "equal pairs of {name}");
    let together = rows
        .iter()
        .all(|rows| sides(rows.column(1)) == sides(rows.column(2)));
    assert_eq!(alike.is_some(), *fate != Taken, "{name}: {alike:?}");
    assert_eq!(together, *fate != Refused, "{name}: {rows:?}");
    if alike.is_none() {
        return;
    }

    // What is to be selected instead does what it should, and is in the documentation.
    let docs = gristmill_testkit::repository().join("docs/pipeline.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let (_, of_v) = read(url, &format!("SELECT id, v FROM {table}")).await;
    let instead = of_v.expect(name).instead;
    assert!(docs.contains(&instead), "{instead} is not documented");
    let (entities, refused) = read(url, &format!("SELECT id, {instead} FROM {table}")).await;
    assert_eq!(refused, None, "{instead} for {name}");
    let ids: Vec<i64> = entities
        .iter()
        .flat_map(|rows| {
            let ids = arrow::compute::cast(rows.column(0), &arrow::datatypes::DataType::Int64).unwrap();
            ids.as_primitive::<Int64Type>().values().to_vec()
        })
        .collect();
    let entities: Vec<&dyn arrow::array::Array> =
        entities.iter().map(|rows| rows.column(1).as_ref()).collect();
    let sides = sides(&arrow::compute::concat(&entities).unwrap());
    let side_of = |id: i64| -> Vec<u8> {
        let place = ids.iter().position(|known| *known == id).unwrap();
        sides.iter().map(|sides| sides[place]).collect()
    };
    assert_eq!(side_of(0), side_of(1), "{instead} for {name}");
}

fn create(table: &str, case: &Case) -> String {
    let (kind, values, ..) = case;
    let mut sql = format!("CREATE TABLE {table} (id integer PRIMARY KEY, v {kind});");
    for (id, value) in values.iter().enumerate() {
        write!(sql, "INSERT INTO {table} VALUES ({id}, {value});").unwrap();
    }
    sql
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgresql_calls_equal_is_one_entity_or_refused() {
    let server = TempPostgres::shared();
    server.execute(
        "CREATE EXTENSION citext; CREATE SCHEMA other; \
         CREATE COLLATION german (provider = icu, locale = 'de'); \
         CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE COLLATION other.base (provider = icu, locale = 'und-u-ks-level1', deterministic = false); \
         CREATE DOMAIN anycase_text AS text COLLATE anycase; CREATE DOMAIN citext_domain AS citext; \
         CREATE TYPE mood AS ENUM ('sad', 'Sad')",
    );
    for (i, case) in POSTGRES.iter().enumerate() {
        let table = format!("entity_{i}");
        server.execute(&create(&table, case));
        check(&server.url(), &table, case).await;
    }
    // The query is not carried out to find collations, and an expression has the collation of what it is made of.
    let slow = "SELECT id, lower(v) AS v FROM entity_9 WHERE pg_sleep(60) IS NULL";
    let settings = SourceSettings {
        url: server.url().into(),
        query: slow.into(),
        key: "id".into(),
        text: TextReading::default(),
        memory: RowBudget::ample(),
    };
    let source = connect(&settings).await.unwrap();
    assert!(source.column_types()[1].alike.is_some());
    server.execute(
        "CREATE TABLE made (id integer, e citext, u text COLLATE anycase, v text, c text COLLATE \"C\"); \
         CREATE VIEW made_view AS SELECT id, e || '' AS v, v AS plain FROM made; \
         CREATE TABLE plain (id integer, v text)",
    );
    for (made, refused) in [
        ("coalesce(e, '') AS v FROM made", true),
        ("e || '' AS v FROM made", true),
        ("e::text AS v FROM made", true),
        ("concat(e, '') AS v FROM made", true),
        ("substr(e, 1) AS v FROM made", true),
        ("CASE WHEN id > 1 THEN e END AS v FROM made", true),
        ("coalesce(u, '') AS v FROM made", true),
        ("max(u) AS v FROM made GROUP BY id", true),
        ("u || v AS v FROM made", true),
        ("lower(u) AS v FROM made", true),
        ("v FROM made_view", true),
        ("v FROM plain UNION ALL SELECT id, e::text FROM made", true),
        ("v FROM made", false),
        ("v FROM (SELECT id, v FROM made LIMIT 5) AS s", false),
        ("c || '' AS v FROM made", false),
        ("lower(e::text) COLLATE \"C\" AS v FROM made", false),
        ("lower(u) COLLATE \"C\" AS v FROM made", false),
        ("v || '' AS v FROM plain", false),
    ] {
        let query = format!("SELECT id, {made}");
        assert_eq!(read(&server.url(), &query).await.1.is_some(), refused, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mariadb_calls_equal_is_one_entity_or_refused() {
    let server = TempMariaDb::shared();
    for (i, case) in MARIADB.iter().enumerate() {
        let table = format!("entity_{i}");
        server.execute(&create(&table, case));
        check(&server.url(), &table, case).await;
    }
    let slow = "SELECT id, max(v) AS v FROM entity_8 WHERE sleep(60) = 0 GROUP BY id";
    let settings = SourceSettings {
        url: server.url().into(),
        query: slow.into(),
        key: "id".into(),
        text: TextReading::default(),
        memory: RowBudget::ample(),
    };
    let source = connect(&settings).await.unwrap();
    assert!(source.column_types()[1].alike.is_some());
    server.execute(
        "CREATE TABLE made (id integer, v varchar(9) COLLATE utf8mb4_general_ci, b varchar(9) COLLATE utf8mb4_bin); \
         CREATE VIEW made_view AS SELECT id, coalesce(v, '') AS v FROM made",
    );
    for (made, refused) in [
        ("coalesce(v, '') AS v FROM made", true),
        ("concat(v, '') AS v FROM made", true),
        ("CAST(v AS CHAR) AS v FROM made", true),
        ("IF(id > 1, v, NULL) AS v FROM made", true),
        ("max(v) AS v FROM made GROUP BY id", true),
        ("v FROM made_view", true),
        ("v FROM (SELECT id, lower(v) AS v FROM made LIMIT 3) AS s", true),
        ("coalesce(b, '') AS v FROM made", false),
        ("CAST(LOWER(v) AS BINARY) AS v FROM made", false),
    ] {
        let query = format!("SELECT id, {made}");
        assert_eq!(read(&server.url(), &query).await.1.is_some(), refused, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sqlite_calls_equal_is_one_entity_or_refused() {
    let place = Place::new();
    for (i, case) in SQLITE.iter().enumerate() {
        place.sqlite(&create(&format!("entity_{i}"), case));
    }
    let url = format!("sqlite:{}", place.path("data.db").display());
    for (i, case) in SQLITE.iter().enumerate() {
        check(&url, &format!("entity_{i}"), case).await;
    }
    place.sqlite(
        "CREATE VIEW made AS SELECT id, coalesce(v, '') AS v FROM entity_7;
         CREATE VIEW asked AS SELECT id, (SELECT v FROM entity_7 AS e WHERE e.id = x.id) AS v FROM entity_5 AS x;
         CREATE TABLE stored (id INTEGER PRIMARY KEY, e TEXT COLLATE NOCASE, v TEXT GENERATED ALWAYS AS (e || '') STORED);
         CREATE TABLE computed (id INTEGER PRIMARY KEY, e TEXT COLLATE NOCASE, v TEXT AS (e));
         INSERT INTO stored (id, e) VALUES (1, 'a'), (2, 'A');
         INSERT INTO computed (id, e) VALUES (1, 'a'), (2, 'A');",
    );
    for (query, refused) in [
        ("SELECT id, v || '' AS v FROM entity_7", true),
        ("SELECT id, coalesce(v, '') AS v FROM entity_7", true),
        (
            "SELECT id, v FROM (SELECT id, coalesce(v, '') AS v FROM entity_7 LIMIT 9)",
            true,
        ),
        ("SELECT id, CAST(v AS BLOB) AS v FROM entity_7", true),
        (
            "SELECT max(id) AS id, max(v || '') AS v FROM entity_7 GROUP BY id",
            true,
        ),
        (
            "SELECT id + 9 AS id, v FROM entity_5 UNION ALL SELECT id, v FROM entity_7",
            true,
        ),
        (
            "WITH e AS (SELECT id, coalesce(v, '') AS v FROM entity_7) SELECT id, v FROM e",
            true,
        ),
        ("SELECT id, v FROM made", true),
        ("SELECT id, v FROM asked", true),
        (
            "SELECT id, (SELECT v FROM entity_7 AS e WHERE e.id = x.id) AS v FROM entity_5 AS x",
            true,
        ),
        ("SELECT id, v FROM stored", true),
        ("SELECT id, v FROM computed", true),
        ("SELECT id, lower(v) AS v FROM stored", false),
        // Of one case, and yet other text for other letters.
        ("SELECT id, hex(v) AS v FROM entity_7", true),
        (
            "SELECT id, v FROM entity_5 WHERE id IN (SELECT id FROM entity_7)",
            false,
        ),
        // Only explicit words would tell, and SQLite does not tell them.
        ("SELECT id, v COLLATE BINARY AS v FROM entity_7", true),
        // The way out, and what has nothing to do with it.
        ("SELECT id, lower(v) AS v FROM entity_7", false),
        ("SELECT id, upper(coalesce(v, '')) AS v FROM entity_7", false),
        ("SELECT id, CAST(lower(v) AS BLOB) AS v FROM entity_7", false),
        ("SELECT id, v || '' AS v FROM entity_5", false),
        (
            "SELECT x.id, x.v FROM entity_5 AS x JOIN entity_7 AS y ON x.id = y.id",
            false,
        ),
        ("SELECT id, v COLLATE NOCASE AS v FROM entity_5", true),
        (
            "SELECT id, v FROM (SELECT id, v FROM entity_7 GROUP BY id LIMIT 3)",
            true,
        ),
        (
            "SELECT id, v FROM entity_7 UNION ALL SELECT id + 9, v FROM entity_5",
            true,
        ),
    ] {
        assert_eq!(read(&url, query).await.1.is_some(), refused, "{query}");
    }
}

/// The rows of the whole way: a table of names, some of which differ by case only.
fn nocase() -> Place {
    let place = Place::new();
    let mut sql =
        "CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, country TEXT);".to_owned();
    for id in 0..300 {
        let name = format!("{}{}", if id % 2 == 0 { "n" } else { "N" }, id / 2);
        let country = ["Japan", "France"][id % 2];
        write!(sql, "INSERT INTO artist VALUES ({id}, '{name}', '{country}');").unwrap();
    }
    place.sqlite(&sql);
    place
}

const BY_NAME: &str = "[source]\nurl = \"sqlite:data.db\"\nquery = \"SELECT id, name, country FROM artist\"\nkey = \"id\"\n\
    [[feature]]\ncolumn = \"id\"\nencode = \"numeric\"\n[label]\ncolumn = \"country\"\n[split]\nby = \"name\"\n\
    [model]\nkind = \"logistic_regression\"\n[run]\ndir = \"run\"\n";

#[test]
fn a_column_that_tells_no_entities_apart_is_refused_before_and_after_the_pull() {
    let place = nocase();
    place.write("pipeline.toml", BY_NAME);
    for command in ["check", "pull", "run"] {
        let output = place.gristmill(&format!("{command} pipeline.toml"));
        assert_eq!(output.status.code(), Some(2), "{command}");
        insta::assert_snapshot!("refused", stderr(&output));
    }
    // The dataset is complete, and no database is asked any more.
    let by_id = BY_NAME.replace("by = \"name\"", "by = \"id\"");
    place.write("pipeline.toml", by_id);
    place.run();
    std::fs::remove_file(place.path("data.db")).unwrap();
    place.write("pipeline.toml", BY_NAME);
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("refused", stderr(&output));
}

#[test]
fn a_key_that_tells_no_entities_apart_is_refused_where_the_split_goes_by_it() {
    let place = nocase();
    let by_key = BY_NAME
        .replace("key = \"id\"", "key = \"name\"")
        .replace("[split]\nby = \"name\"\n", "");
    place.write("pipeline.toml", by_key);
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
}

/// A resumed pull must not join rows of two types.
#[test]
fn a_type_that_changed_in_the_database_is_told_when_a_pull_goes_on() {
    let place = nocase();
    let by_id = BY_NAME.replace("by = \"name\"", "by = \"id\"");
    place.write("pipeline.toml", by_id + "[batches]\nrows = 10\nconnections = 1\n");
    let killed = place
        .command("pull pipeline.toml")
        .env("GRISTMILL_KILL_AT", "commit-done:3")
        .output();
    assert_eq!(killed.unwrap().status.code(), None);
    place.sqlite(
        "ALTER TABLE artist RENAME TO before; \
         CREATE TABLE artist (id INTEGER PRIMARY KEY, name VARCHAR(9), country TEXT); \
         INSERT INTO artist SELECT * FROM before;",
    );
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
    // Another size alone is no other type.
    place.sqlite(
        "DROP TABLE artist; CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT(90) COLLATE NOCASE, country TEXT); \
         INSERT INTO artist SELECT * FROM before;",
    );
    place.run();
}

/// The split of every entity, by its text.
fn splits(place: &Place) -> std::collections::BTreeMap<String, u8> {
    let mut splits = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(place.path("run/features")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "parquet") {
            continue;
        }
        for rows in crate::support::parquet(&path) {
            let text = arrow::datatypes::DataType::Utf8;
            let entities = arrow::compute::cast(rows.column_by_name("entity").unwrap(), &text).unwrap();
            let split = rows.column_by_name("split").unwrap();
            let split = split.as_primitive::<arrow::datatypes::UInt8Type>();
            for (entity, split) in entities.as_string::<i32>().iter().zip(split.values()) {
                splits.insert(entity.unwrap().to_owned(), *split);
            }
        }
    }
    splits
}

#[test]
fn one_code_among_the_numbers_of_a_csv_file_moves_no_row() {
    let mut csv = "id,size,country\n".to_owned();
    for id in 0..300 {
        writeln!(csv, "{id},{},{}", id % 50, ["Japan", "France"][id % 2]).unwrap();
    }
    let text = BY_NAME
        .replace("query = \"SELECT id, name, country FROM artist\"\n", "")
        .replace("sqlite:data.db", "csv:artist.csv")
        .replace("column = \"id\"", "column = \"size\"")
        .replace("[split]\nby = \"name\"\n", "");
    let of = |csv: &str| {
        let place = Place::new();
        place.write("artist.csv", csv);
        place.write("pipeline.toml", &text);
        place.run();
        splits(&place)
    };
    let before = of(&csv);
    let mut after = of(&(csv + "A2000,7,Japan\n"));
    assert!(after.remove("A2000").is_some());
    assert_eq!(before.len(), 300);
    assert_eq!(before, after);
}

/// Copies of 100 rows whose label is chance, under ids of their own.
fn copies(query: &str) -> (Place, String) {
    let place = Place::new();
    let mut sql = "CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT, country TEXT);".to_owned();
    for id in 0..600_u64 {
        let of = id % 100;
        let country = ["Japan", "France"][(of.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63) as usize];
        write!(sql, "INSERT INTO artist VALUES ({id}, 'name {of}', '{country}');").unwrap();
    }
    place.sqlite(&sql);
    let text = BY_NAME
        .replace(
            "column = \"id\"\nencode = \"numeric\"",
            "column = \"name\"\nencode = \"one_hot\"",
        )
        .replace("by = \"name\"", "by = \"id\"")
        .replace("SELECT id, name, country FROM artist", query);
    place.write("pipeline.toml", text);
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // On one line.
    let said = stderr(&output);
    (place, said.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn test_rows_that_are_copies_of_training_rows_are_counted_and_told() {
    let (place, said) = copies("SELECT id, name, country FROM artist");
    let repeated = &place.metrics("run")["repeated"];
    let test = &repeated["test"];
    assert!(test["share"].as_f64().unwrap() > 0.9, "{repeated}");
    assert_eq!(test["looked_at"], place.metrics("run")["splits"]["test"]["rows"]);
    assert!(repeated["validation"]["repeated"].as_u64().unwrap() > 0 && repeated.get("train").is_none());
    let warning = "% of the test rows have the very features of a training row of another entity";
    assert!(said.contains(warning), "{said}");
    let summary = String::from_utf8(place.read("run/summary.txt")).unwrap();
    assert!(
        summary.contains("% of the test rows have the features of a training row."),
        "{summary}"
    );

    // One of each, and few features to have: nothing is wrong.
    let (place, said) = copies("SELECT id, name || id AS name, country FROM artist");
    assert_eq!(
        place.metrics("run")["repeated"]["test"]["distinct"],
        1,
        "all are unseen"
    );
    assert!(!said.contains("remember"), "{said}");
    let (place, said) = copies("SELECT id, substr(name, 6, 1) % 2 AS name, country FROM artist");
    assert_eq!(place.metrics("run")["repeated"]["test"]["share"], 1.0);
    assert!(!said.contains("remember"), "{said}");
}
