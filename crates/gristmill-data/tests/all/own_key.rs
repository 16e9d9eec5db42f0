//! The key of a query for which none is given: what each database says of it.

use gristmill_data::settings::KeyColumns;
use gristmill_data::source::open::own_key;
use gristmill_testkit::{TempMariaDb, TempPostgres};

use crate::support::files::TempFiles;
use crate::support::{TempSqlite, settings};

const TABLES: &str = "CREATE TABLE artist (name VARCHAR(40), id INTEGER PRIMARY KEY, area INTEGER); \
                      CREATE TABLE area (code VARCHAR(9) PRIMARY KEY, country INTEGER); \
                      CREATE TABLE plays (artist INTEGER, day INTEGER, PRIMARY KEY (artist, day)); \
                      CREATE TABLE heap (id INTEGER, name VARCHAR(40)); \
                      CREATE VIEW seen AS SELECT name, id FROM artist;";

/// The key that is found, or the columns that a refusal names.
async fn found(url: &str, query: &str) -> Result<String, String> {
    let found = own_key(&settings(url, query, KeyColumns::default())).await;
    found.map(|key| key.to_string()).map_err(|error| {
        let text = error.to_string();
        assert!(text.starts_with("source.key is missing, and "), "{text}");
        text.rsplit(": ").next().unwrap().to_owned()
    })
}

/// What all databases say alike.
async fn says(url: &str, more: &[(&str, Result<&str, &str>)]) {
    let alike = [
        ("SELECT * FROM artist", Ok("id")),
        (
            "SELECT area, id AS artist, name FROM artist WHERE area > 3;",
            more[0].1,
        ),
        ("SELECT name, area FROM artist", Err("name, area")),
        ("SELECT id + 1 AS id, name FROM artist", Err("id, name")),
        ("SELECT * FROM area", Ok("code")),
        ("SELECT * FROM plays", Err("artist, day")),
        ("SELECT * FROM heap", Err("id, name")),
        (
            "SELECT h.id, a.id AS artist, h.name FROM heap h JOIN artist a ON a.id = h.id",
            more[1].1,
        ),
        ("SELECT * FROM seen", more[2].1),
    ];
    for (query, expected) in alike {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found(url, query).await, expected, "{url}: {query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_says_its_key() {
    let renamed = ("renamed", Ok("artist"));
    let joined = ("joined", Ok("artist"));
    let no_view = ("a view", Err("name, id"));
    let server = TempPostgres::shared();
    server.execute(TABLES);
    says(&server.url(), &[renamed, joined, no_view]).await;
    let server = TempMariaDb::shared();
    server.execute(TABLES);
    says(&server.url(), &[renamed, joined, no_view]).await;
    // SQLite does not say which column of which table one of the query is, and goes by name, type and the only table.
    let file = TempSqlite::new(TABLES);
    let renamed = ("renamed", Err("area, artist, name"));
    let joined = ("joined", Err("id, artist, name"));
    says(&file.url(), &[renamed, joined, no_view]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_have_no_key_of_their_own() {
    let files = TempFiles::new();
    files.write("a.csv", "id,name\n1,x\n");
    let query = "SELECT * FROM input";
    assert_eq!(
        found(&files.url("csv", "a.csv"), query).await,
        Err("id, name".to_owned())
    );
}
