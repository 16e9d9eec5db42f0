//! Whether an index serves the key, and what is said where none does.
use crate::support::files::TempFiles;
use crate::support::{TempSqlite, rows_of, source};
use gristmill_data::settings::KeyColumns;
use gristmill_data::source::{KeyAccess, NoIndex, WayOut};
use gristmill_testkit::{TempMariaDb, TempPostgres};

/// What is expected of a query with a key.
enum Expected {
    Index,
    Create(&'static str),
    Expression,
    Query(&'static str),
}
use Expected::{Create, Expression, Index, Query};

async fn access(url: &str, query: &str, key: impl Into<KeyColumns>) -> KeyAccess {
    let source = source(url, query, key).await;
    source.key_access(500).await.unwrap()
}

/// Asserts what is said, with the planner's cost of a batch where the database has one.
async fn check(url: &str, query: &str, key: impl Into<KeyColumns>, expected: Expected, has_cost: bool) {
    let found = access(url, query, key).await;
    let way_out = match expected {
        Index => return assert_eq!(found, KeyAccess::Index, "{query}"),
        Create(statement) => WayOut::Create(statement.to_owned()),
        Expression => WayOut::Expression,
        Query(table) => WayOut::Query(table.to_owned()),
    };
    match found {
        KeyAccess::Sort(NoIndex { cost, way_out: found }) => {
            assert_eq!(found, way_out, "{query}");
            assert_eq!(cost.is_some_and(|cost| cost > 0.0), has_cost, "{query}: {cost:?}");
        }
        other => panic!("{query}: {other:?}"),
    }
}

fn both(first: &str, second: &str) -> KeyColumns {
    KeyColumns::new(vec![first.to_owned(), second.to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_says_which_index_to_create() {
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TABLE bare AS SELECT g AS id, g::text AS name FROM generate_series(1, 20000) g; \
         CREATE TABLE ready AS SELECT g AS id, g::text AS name, g % 100 AS part FROM generate_series(1, 20000) g; \
         CREATE UNIQUE INDEX ON ready (id); CREATE INDEX ON ready (name); CREATE INDEX ON ready (part, id); \
         CREATE TABLE small AS SELECT g AS id FROM generate_series(1, 20) g; CREATE INDEX ON small (id); \
         CREATE SCHEMA \"Odd\"; CREATE TABLE \"Odd\".\"T\" AS SELECT id AS \"Key\" FROM bare; \
         CREATE TABLE partly AS SELECT * FROM bare; CREATE INDEX ON partly (id) WHERE id < 100; \
         CREATE VIEW seen AS SELECT * FROM bare; CREATE VIEW seen_ready AS SELECT * FROM ready; ANALYZE",
    );
    let url = server.url();
    for (query, key, expected) in [
        ("SELECT * FROM ready", "id", Index),
        ("SELECT * FROM ready", "name", Index),
        ("SELECT * FROM small", "id", Index),
        ("SELECT * FROM seen_ready", "id", Index),
        (
            "SELECT r.id, b.name FROM ready r JOIN bare b USING (id)",
            "id",
            Index,
        ),
        (
            "SELECT part, count(*) AS n FROM ready GROUP BY part",
            "part",
            Index,
        ),
        ("SELECT * FROM bare", "id", Create("CREATE INDEX ON bare (id)")),
        (
            "SELECT id AS k FROM (SELECT * FROM bare) b",
            "k",
            Create("CREATE INDEX ON bare (id)"),
        ),
        (
            "SELECT * FROM partly",
            "id",
            Create("CREATE INDEX ON partly (id)"),
        ),
        (
            "SELECT * FROM \"Odd\".\"T\"",
            "Key",
            Create("CREATE INDEX ON \"Odd\".\"T\" (\"Key\")"),
        ),
        ("SELECT id + 1 AS id FROM ready", "id", Expression),
        ("SELECT * FROM seen", "id", Expression),
        (
            "WITH kept AS MATERIALIZED (SELECT * FROM ready) SELECT id, name FROM kept",
            "id",
            Query("ready"),
        ),
    ] {
        check(&url, query, key, expected, true).await;
    }
    let parts = both("part", "id");
    check(&url, "SELECT * FROM ready", parts, Index, true).await;
    let create = Create("CREATE INDEX ON bare (name, id)");
    check(&url, "SELECT * FROM bare", both("name", "id"), create, true).await;

    // Asking leaves no trace in the session.
    let query =
        "SELECT id, current_setting('enable_sort') || current_setting('enable_seqscan') AS s FROM small";
    let source = source(&url, query, "id").await;
    assert_eq!(source.key_access(500).await.unwrap(), KeyAccess::Index);
    assert!(
        rows_of(source.as_ref(), 7)
            .await
            .iter()
            .all(|row| row[1] == "onon")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_says_which_index_to_create() {
    let server = TempMariaDb::shared();
    server.execute(
        "CREATE TABLE bare AS SELECT seq AS id, CONCAT('n', seq) AS name FROM seq_1_to_20000; \
         CREATE TABLE ready (id int PRIMARY KEY, name varchar(20), part int, KEY (part, id), KEY (name)); \
         INSERT INTO ready SELECT seq, CONCAT('n', seq), seq % 100 FROM seq_1_to_20000; \
         CREATE TABLE small (id int, KEY (id)); INSERT INTO small SELECT seq FROM seq_1_to_20; \
         ANALYZE TABLE bare, ready, small",
    );
    let url = server.url();
    for (query, key, expected) in [
        ("SELECT * FROM ready", "id", Index),
        ("SELECT * FROM ready", "name", Index),
        ("SELECT * FROM small", "id", Index),
        (
            "SELECT * FROM bare",
            "id",
            Create("CREATE INDEX `bare_id` ON `bare` (`id`)"),
        ),
        ("SELECT id + 1 AS id FROM ready", "id", Expression),
    ] {
        // Servers before MariaDB 11 tell no cost.
        let found = access(&url, query, key).await;
        let has_cost = matches!(&found, KeyAccess::Sort(why) if why.cost.is_some());
        check(&url, query, key, expected, has_cost).await;
    }
    check(&url, "SELECT * FROM ready", both("part", "id"), Index, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_says_which_index_to_create() {
    let database = TempSqlite::new(
        "CREATE TABLE bare (id INTEGER, name TEXT); CREATE TABLE ready (id INTEGER PRIMARY KEY, name TEXT, part INTEGER); \
         CREATE INDEX by_part ON ready (part, id); CREATE INDEX by_name ON ready (name); \
         CREATE TABLE small (id INTEGER); CREATE INDEX by_id ON small (id); CREATE VIEW seen AS SELECT * FROM bare; \
         INSERT INTO bare VALUES (2, 'b'), (1, 'a'); INSERT INTO ready VALUES (2, 'b', 1), (1, 'a', 1); \
         INSERT INTO small VALUES (2), (1); ANALYZE",
    );
    let url = database.url();
    for (query, key, expected) in [
        ("SELECT * FROM ready", "id", Index),
        ("SELECT * FROM ready", "name", Index),
        ("SELECT * FROM small", "id", Index),
        (
            "SELECT * FROM bare",
            "id",
            Create("CREATE INDEX \"bare_id\" ON \"bare\" (\"id\")"),
        ),
        ("SELECT id + 1 AS id FROM ready", "id", Expression),
        (
            "SELECT a.id, b.name FROM bare AS a, bare AS b WHERE a.id = b.id",
            "id",
            Expression,
        ),
    ] {
        check(&url, query, key, expected, false).await;
    }
    check(&url, "SELECT * FROM ready", both("part", "id"), Index, false).await;
    let create = Create("CREATE INDEX \"bare_name_id\" ON \"bare\" (\"name\", \"id\")");
    check(&url, "SELECT * FROM bare", both("name", "id"), create, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_need_no_index() {
    let files = TempFiles::new();
    files.write("a.csv", "id,name\n2,b\n1,a\n");
    let found = access(&files.url("csv", "a.csv"), "SELECT * FROM input", "id").await;
    assert_eq!(found, KeyAccess::Files);
}

#[test]
fn the_message_says_what_it_costs_and_what_helps() {
    let message = |cost, way_out| NoIndex { cost, way_out }.to_string();
    assert_eq!(
        message(
            Some(12345.6),
            WayOut::Create("CREATE INDEX ON item (id)".to_owned())
        ),
        "no index serves source.key: for each batch the database looks at all rows of the query and sorts them \
         (its planner's cost of a batch: 12346); CREATE INDEX ON item (id)"
    );
    let expression = message(None, WayOut::Expression);
    assert!(
        expression.contains("sorts them; the key is not a column of one table"),
        "{expression}"
    );
    let query = message(None, WayOut::Query("item".to_owned()));
    assert!(query.contains("item has an index on it"), "{query}");
}
