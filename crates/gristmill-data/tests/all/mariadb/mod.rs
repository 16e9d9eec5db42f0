//! What is MariaDB's own: its types, its messages, TLS, and one snapshot.
mod retrieval;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{failure, read, rows_of, source};
use gristmill_testkit::TempMariaDb;

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
            "the server's certificate is for another host; use a name that is in it",
        ),
        (
            "sslmode=verify-full".to_owned(),
            "no authority that is trusted here signed the server's certificate",
        ),
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
            crate::support::source(&server.url(), "SELECT * FROM indexed", key)
                .await
                .snapshot(),
            name
        );
        let before = scanned();
        let mut planner = gristmill_data::pull::Planner::new(500, None, 0);
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
        let later = crate::support::source(&server.url(), "SELECT * FROM indexed", key).await;
        assert_ne!(later.snapshot(), name);
        let estimate = source.estimate().await.unwrap().rows.unwrap();
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

/// The place in the binary log comes back, and what was read is another: what brings it there, and what then changes a row.
const SAME_PLACE: [(&str, &[&str], &str, &str); 5] = [
    ("a log begun anew", &[], "RESET MASTER", "UPDATE t SET v = v + 1"),
    (
        "a session without a log",
        &[],
        "",
        "SET sql_log_bin = 0; UPDATE t SET v = v + 1",
    ),
    (
        "a database left out",
        &["--binlog-ignore-db=test"],
        "",
        "UPDATE t SET v = v + 1",
    ),
    (
        "another database alone",
        &["--binlog-do-db=other"],
        "",
        "UPDATE t SET v = v + 1",
    ),
    ("no log", &["--skip-log-bin"], "", "UPDATE t SET v = v + 1"),
];

#[tokio::test(flavor = "multi_thread")]
async fn one_place_in_the_log_is_not_one_snapshot_where_more_than_the_log_changes() {
    for (case, options, anew, change) in SAME_PLACE {
        let server = TempMariaDb::start_with(options);
        server.execute("CREATE TABLE t (id int, v int, KEY (id)) SELECT 1 AS id, 1 AS v");
        let at = || server.execute("SHOW STATUS LIKE 'Binlog_snapshot_position'");
        let read = async || source(&server.url(), "SELECT id, v FROM t", "id").await;
        server.execute(&format!("{anew}; UPDATE t SET v = v + 1"));
        let (first, place) = (read().await, at());
        server.execute(&format!("{anew}; {change}"));
        assert_eq!(at(), place, "{case}");
        let second = read().await;
        assert_ne!(first.snapshot(), second.snapshot(), "{case}");
        assert!(
            rows_of(first.as_ref(), 5).await != rows_of(second.as_ref(), 5).await,
            "{case}"
        );
        let shared = first.fork().await.unwrap();
        assert!(
            shared.is_none(),
            "{case}: another reader joined what it does not see"
        );
        // Where all is logged, a second reader sees the same. Otherwise that is not known.
        let known = second.fork().await.unwrap().is_some();
        assert_eq!(known, options.is_empty(), "{case}");
    }
}

/// A transaction that begins between a look at the server and the next cannot be named by what both say. Under a writer that never
/// rests that is nearly every one.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_somebody_wrote_around_is_named_by_its_connection() {
    let server = TempMariaDb::start_with(&["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"]);
    server.execute("CREATE TABLE t (id int PRIMARY KEY, v int) SELECT 1 AS id, 1 AS v");
    let stop = AtomicBool::new(false);
    let writes = "UPDATE t SET v = v + 1;".repeat(2_000);
    let names: Vec<String> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                server.execute(&writes);
            }
        });
        let read = || {
            tokio::runtime::Handle::current().block_on(async {
                std::thread::sleep(std::time::Duration::from_millis(20));
                source(&server.url(), "SELECT id, v FROM t", "id")
                    .await
                    .snapshot()
            })
        };
        let names = tokio::task::block_in_place(|| (0..20).map(|_| read()).collect());
        stop.store(true, Ordering::Relaxed);
        names
    });
    assert!(
        names.iter().any(|name| name.starts_with("connection ")),
        "{names:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_see_what_is_logged_names_its_own_transaction() {
    let server = TempMariaDb::start();
    server.execute("CREATE USER plain IDENTIFIED BY 'x'; GRANT SELECT ON test.* TO plain");
    let url = format!("mysql://plain:x@127.0.0.1:{}/test", server.port());
    let name = source(&url, "SELECT 1 AS id", "id").await.snapshot();
    assert!(name.starts_with("connection "), "{name}");
}
