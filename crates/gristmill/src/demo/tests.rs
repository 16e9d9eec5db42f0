//! Tests of the demo's database, with the pipeline's own query.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use rusqlite::types::Value;
use tempfile::TempDir;

use gristmill_learn::registry::built_in;
use gristmill_run::settings::PipelineFile;

use super::*;

const PART_OF: &str = "de7cc874-8b1b-3a05-8272-f3834c968fb7";

fn demo(rows: u64, seed: u64) -> (TempDir, Connection, DemoSummary) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("musicbrainz.db");
    let summary = generate(&path, rows, seed, &mut |_| {}).unwrap();
    let connection = Connection::open(&path).unwrap();
    (dir, connection, summary)
}

fn query() -> String {
    let file: toml::Table = pipeline(100_000, Path::new("a.db"), Path::new("run"))
        .parse()
        .unwrap();
    file["source"]["query"].as_str().unwrap().to_owned()
}

fn rows_of(db: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = db.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement
        .query_map([], |row| (0..columns).map(|i| row.get(i)).collect())
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn number(db: &Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn same_rows_and_seed_give_the_same_content() {
    let content = |seed| {
        let (_dir, db, _) = demo(2_000, seed);
        ["artist", "artist_alias", "area", "l_area_area"]
            .map(|table| rows_of(&db, &format!("SELECT * FROM {table} ORDER BY id")))
    };
    assert_eq!(content(7), content(7));
    assert_ne!(content(7), content(8));
}

#[test]
fn the_summary_counts_what_is_there_and_says_it_is_synthetic() {
    let (_dir, db, summary) = demo(3_000, 1);
    let count = |table: &str| number(&db, &format!("SELECT count(*) FROM {table}")) as u64;
    assert_eq!(summary.artists, 3_000);
    assert_eq!(summary.artists, count("artist"));
    assert_eq!(summary.aliases, count("artist_alias"));
    assert_eq!(summary.areas, count("area"));
    assert_eq!(summary.countries, count("country_area"));
    assert!(summary.countries >= 12);
    assert!(summary.to_string().contains("synthetic"));
}

#[test]
fn progress_ends_at_all_rows() {
    let dir = TempDir::new().unwrap();
    let mut seen = Vec::new();
    generate(&dir.path().join("a.db"), 25_000, 1, &mut |rows| seen.push(rows)).unwrap();
    assert_eq!(seen, [10_000, 20_000, 25_000]);
}

#[test]
fn an_existing_file_is_replaced_and_nothing_is_left_beside_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.db");
    fs::write(&path, "something else").unwrap();
    fs::write(unfinished(&path), "half a database").unwrap();
    generate(&path, 10, 1, &mut |_| {}).unwrap();
    assert_eq!(
        number(&Connection::open(&path).unwrap(), "SELECT count(*) FROM artist"),
        10
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_unwritable_place_is_named() {
    let error = generate(Path::new("/nowhere/a.db"), 1, 1, &mut |_| {}).unwrap_err();
    assert!(format!("{error:#}").contains("/nowhere/a.db"), "{error:#}");
}

#[test]
fn the_data_has_the_dirt_of_real_data() {
    let (_dir, db, _) = demo(20_000, 42);
    let share = |condition: &str| {
        number(&db, &format!("SELECT count(*) FROM artist WHERE {condition}")) as f64 / 20_000.0
    };
    let within = |what: &str, low: f64, high: f64| {
        let found = share(what);
        assert!((low..high).contains(&found), "{what}: {found}");
    };
    within("area IS NULL", 0.03, 0.07);
    within("trim(name) = ''", 0.002, 0.008);
    within("name <> '' AND trim(name, ' ' || char(9)) <> name", 0.01, 0.04);
    within("gender IS NULL", 0.2, 0.5);
    within("type IS NULL", 0.05, 0.15);
    within("begin_date_year IS NULL", 0.3, 0.6);
    within("begin_date_year < 1000", 0.001, 0.02);
    within("area IN (SELECT id FROM area WHERE type = 3)", 0.5, 0.6);
    within(
        "(SELECT count(*) FROM artist_alias WHERE artist = artist.id) > 1",
        0.2,
        0.4,
    );
    within("id + 1 NOT IN (SELECT id FROM artist)", 0.1, 0.2);
    // Entered twice: everything equal but the ids.
    let twice = number(
        &db,
        "SELECT count(*) FROM artist a JOIN artist b ON b.id > a.id AND b.id <= a.id + 5000
         WHERE a.name = b.name AND a.sort_name = b.sort_name AND a.area IS b.area AND a.begin_area IS b.begin_area
           AND a.begin_date_year IS b.begin_date_year AND a.gender IS b.gender AND a.type IS b.type
           AND b.id = (SELECT min(id) FROM artist WHERE id > a.id)",
    );
    assert!((100..400).contains(&twice), "{twice}");
    assert!(number(&db, "SELECT count(*) FROM artist_alias WHERE locale IS NULL") > 1000);
    assert!(number(&db, "SELECT count(DISTINCT locale) FROM artist_alias") >= 10);
}

#[test]
fn the_query_finds_every_country_and_joins_some_artists_twice() {
    let (_dir, db, _) = demo(20_000, 42);
    let rows = rows_of(&db, &query());
    let mut countries: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    let mut equal = 0;
    for row in rows {
        let Value::Integer(id) = row[0] else {
            panic!("id is {:?}", row[0])
        };
        match seen.get(&id) {
            // Two ways up the areas lead to one country, so the rows are equal and `distinct` keeps one.
            Some(first) => {
                assert_eq!(first, &row);
                equal += 1;
            }
            None => {
                match &row[6] {
                    Value::Text(name) => *countries.entry(name.clone()).or_default() += 1,
                    other => assert_eq!(other, &Value::Null),
                }
                seen.insert(id, row);
            }
        }
    }
    assert_eq!(seen.len(), 20_000);
    assert!((100..2_000).contains(&equal), "{equal}");
    assert_eq!(countries.len(), COUNTRIES.len());
    let known: usize = countries.values().sum();
    assert_eq!(
        known as i64,
        number(&db, "SELECT count(*) FROM artist WHERE area IS NOT NULL")
    );
    let largest = countries["United States"] as f64 / known as f64;
    assert!((0.25..0.30).contains(&largest), "{largest}");
    assert!(countries.values().all(|n| *n > 100), "{countries:?}");
}

#[test]
fn aliases_are_joined_in_the_order_of_their_ids() {
    let (_dir, db, _) = demo(500, 3);
    for row in rows_of(&db, &query()) {
        let Value::Integer(id) = row[0] else {
            panic!("id is {:?}", row[0])
        };
        let names = rows_of(
            &db,
            &format!("SELECT name FROM artist_alias WHERE artist = {id} ORDER BY id"),
        );
        let names: Vec<String> = names
            .into_iter()
            .map(|mut row| match row.remove(0) {
                Value::Text(name) => name,
                other => panic!("name is {other:?}"),
            })
            .collect();
        let expected = if names.is_empty() {
            Value::Null
        } else {
            Value::Text(names.join(" "))
        };
        assert_eq!(row[2], expected);
    }
}

/// Every batch and every step of the planner is a seek on the primary key, not a scan of `artist`.
#[test]
fn key_ranges_use_the_primary_key() {
    let (_dir, db, _) = demo(1_000, 3);
    for sql in [
        format!(
            "SELECT * FROM ({}) AS q WHERE q.id > 10 AND q.id <= 90 ORDER BY q.id",
            query()
        ),
        format!(
            "SELECT q.id FROM ({}) AS q WHERE q.id > 10 ORDER BY q.id LIMIT 1 OFFSET 99",
            query()
        ),
    ] {
        let plan: Vec<String> = rows_of(&db, &format!("EXPLAIN QUERY PLAN {sql}"))
            .into_iter()
            .map(|row| format!("{:?}", row[3]))
            .collect();
        assert!(
            plan.iter()
                .any(|step| step.contains("SEARCH artist USING INTEGER PRIMARY KEY (rowid>")),
            "{plan:#?}"
        );
        assert!(!plan.iter().any(|step| step.contains("SCAN artist")), "{plan:#?}");
        assert!(
            !plan.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY")),
            "{plan:#?}"
        );
    }
}

#[test]
fn every_part_of_link_leads_from_parent_to_child() {
    let (_dir, db, _) = demo(10, 3);
    let wrong = format!(
        "SELECT count(*) FROM l_area_area l JOIN link k ON k.id = l.link JOIN link_type t ON t.id = k.link_type
         JOIN area parent ON parent.id = l.entity0 JOIN area child ON child.id = l.entity1
         WHERE t.gid <> '{PART_OF}' OR parent.type >= child.type"
    );
    assert_eq!(number(&db, &wrong), 0);
    assert!(number(&db, "SELECT count(*) FROM l_area_area") > 400);
}

#[tokio::test]
async fn the_pipeline_is_valid_and_every_column_has_its_type() {
    let (dir, _db, _) = demo(100, 1);
    let text = pipeline(
        100_000,
        &dir.path().join("musicbrainz.db"),
        &dir.path().join("run"),
    );
    let file = PipelineFile::parse(Path::new("pipeline.toml"), &text, &|_| None, &built_in()).unwrap_or_else(
        |problems| panic!("{}", problems.iter().map(|p| p.render(false)).collect::<String>()),
    );
    let source = gristmill_data::source::open::connect(&file.pipeline.source)
        .await
        .unwrap();
    let schema = source.schema();
    assert!(file.check_columns(&schema).is_empty());
    let types: Vec<(&str, &DataType)> = schema
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.data_type()))
        .collect();
    assert_eq!(
        types,
        [
            ("id", &DataType::Int64),
            ("name", &DataType::Utf8),
            ("aliases", &DataType::Utf8),
            ("type", &DataType::Utf8),
            ("gender", &DataType::Utf8),
            ("begin_year", &DataType::Int64),
            ("country", &DataType::Utf8),
        ]
    );
}

#[test]
fn the_pipeline_file_takes_any_path() {
    let file: toml::Table = pipeline(100_000, Path::new("/a \"b\"/c.db"), Path::new(r"d\e"))
        .parse()
        .unwrap();
    assert_eq!(file["source"]["url"].as_str(), Some("sqlite:/a \"b\"/c.db"));
    assert_eq!(file["run"]["dir"].as_str(), Some(r"d\e"));
}
