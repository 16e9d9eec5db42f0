//! One battery for every database: the same rows however they are cut, and every wrong setting explained.
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use crate::support::files::{TempFiles, columns};
use crate::support::{Rows, TempSqlite, everything, failure, read, read_all, row, rows_of, settings, source};
use arrow::array::{
    BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::kernels::cast_utils::Parser;
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use futures::StreamExt;
use gristmill_data::key::Key;
use gristmill_data::source::open::connect;
use gristmill_testkit::{TempMariaDb, TempPostgres};
use serde_json::json;

/// The rows of the battery's table, in both dialects.
const ROWS: &str = "
    (7, 1.5, 'Łukasz', true, '1960-02-29', '2024-01-02T03:04:05.123456Z'),
    (-3, -0.25, '', false, '0001-01-01', '1970-01-01T00:00:00Z'),
    (NULL, 2, 'no key', NULL, NULL, NULL),
    (7, NULL, NULL, true, '2000-01-01', '1969-12-31T23:59:59Z'),
    (9223372036854775807, 1e300, '日本', false, '9999-12-31', '2024-01-02T03:04:05Z'),
    (NULL, 3, 'no key either', true, NULL, NULL),
    (0, 0.1, 'a, \"b\"', NULL, NULL, NULL)";

fn battery_rows() -> Rows {
    let mut rows = vec![
        row(&["-3", "-0.25", "", "false", "0001-01-01", "1970-01-01T00:00:00Z"]),
        row(&["0", "0.1", "a, \"b\"", "∅", "∅", "∅"]),
        row(&[
            "7",
            "1.5",
            "Łukasz",
            "true",
            "1960-02-29",
            "2024-01-02T03:04:05.123456Z",
        ]),
        row(&["7", "∅", "∅", "true", "2000-01-01", "1969-12-31T23:59:59Z"]),
        row(&[
            "9223372036854775807",
            "1e300",
            "日本",
            "false",
            "9999-12-31",
            "2024-01-02T03:04:05Z",
        ]),
        row(&["∅", "2.0", "no key", "∅", "∅", "∅"]),
        row(&["∅", "3.0", "no key either", "true", "∅", "∅"]),
    ];
    rows.sort();
    rows
}

async fn battery(url: &str, query: &str) {
    battery_of(url, query, battery_rows()).await;
}

async fn battery_of(url: &str, query: &str, expected: Rows) {
    let source = source(url, query, "id").await;
    assert_eq!(source.schema().fields().len(), 6);
    assert_eq!(source.column_types().len(), 6);
    assert!(source.schema().fields().iter().all(|f| f.is_nullable()));
    let mut numbers = Vec::new();
    for rows in [1, 2, 7, 1000] {
        let ranges = read_all(source.as_ref(), rows, None, 0).await;
        numbers.push(ranges.len());
        assert!(
            ranges
                .iter()
                .enumerate()
                .all(|(i, (range, _))| range.number == i as u64)
        );
        let mut all: Rows = ranges.into_iter().flat_map(|(_, rows)| rows).collect();
        all.sort();
        assert_eq!(all, expected, "{rows} rows a batch");
    }
    assert_eq!(numbers, [5, 4, 2, 2]);
    assert!(source.has_null_keys().await.unwrap());
    assert!(source.estimate().await.unwrap().rows.is_some());
    // A stream given up does not block what follows.
    let mut stream = source.read(&everything()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(source.boundary(None, 2).await.unwrap(), Some(Key::Int(0)));
    assert_eq!(source.boundary(Some(&Key::Int(i64::MAX)), 2).await.unwrap(), None);
}

fn sqlite_battery() -> TempSqlite {
    TempSqlite::new(&format!(
        "CREATE TABLE t (id INTEGER, ratio REAL, name TEXT, flag BOOLEAN, born DATE, at TIMESTAMP); \
         INSERT INTO t VALUES {ROWS}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn battery_on_sqlite() {
    battery(&sqlite_battery().url(), "SELECT * FROM t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn battery_on_postgres() {
    let server = TempPostgres::shared();
    server.execute(&format!(
        "CREATE TABLE battery (id bigint, ratio float8, name text, flag boolean, born date, at timestamptz); \
         INSERT INTO battery VALUES {ROWS}"
    ));
    battery(&server.url(), "SELECT * FROM battery").await;
    battery(&server.socket_url(), "SELECT * FROM battery").await;
}

/// The battery's rows, in the order of [`ROWS`].
fn battery_batch() -> RecordBatch {
    let at = [
        Some("2024-01-02T03:04:05.123456Z"),
        Some("1970-01-01T00:00:00Z"),
        None,
        Some("1969-12-31T23:59:59Z"),
        Some("2024-01-02T03:04:05Z"),
        None,
        None,
    ];
    let at: TimestampMicrosecondArray = at
        .into_iter()
        .map(|text| text.and_then(TimestampMicrosecondType::parse))
        .collect();
    let born = [
        Some("1960-02-29"),
        Some("0001-01-01"),
        None,
        Some("2000-01-01"),
        Some("9999-12-31"),
        None,
        None,
    ];
    let born: StringArray = born.into_iter().collect();
    columns(vec![
        (
            "id",
            Arc::new(Int64Array::from(vec![
                Some(7),
                Some(-3),
                None,
                Some(7),
                Some(i64::MAX),
                None,
                Some(0),
            ])),
        ),
        (
            "ratio",
            Arc::new(Float64Array::from(vec![
                Some(1.5),
                Some(-0.25),
                Some(2.0),
                None,
                Some(1e300),
                Some(3.0),
                Some(0.1),
            ])),
        ),
        (
            "name",
            Arc::new(StringArray::from(vec![
                Some("Łukasz"),
                Some(""),
                Some("no key"),
                None,
                Some("日本"),
                Some("no key either"),
                Some("a, \"b\""),
            ])),
        ),
        (
            "flag",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                None,
                Some(true),
                Some(false),
                Some(true),
                None,
            ])),
        ),
        ("born", arrow::compute::cast(&born, &DataType::Date32).unwrap()),
        ("at", Arc::new(at.with_timezone("UTC"))),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn battery_on_files() {
    const ALL: &str = "SELECT * FROM input";
    let files = TempFiles::new();
    let rows = battery_batch();
    let take = |order: Vec<u32>| take_record_batch(&rows, &UInt32Array::from(order)).unwrap();
    files.parquet("unsorted/a.parquet", &rows, 2);
    files.parquet("first/a.parquet", &take(vec![2, 5, 1]), 2);
    files.parquet("first/b.parquet", &take(vec![6, 0, 3, 4]), 3);
    files.parquet("last/b.parquet", &take(vec![1, 6]), 2);
    files.parquet("last/c.parquet", &take(vec![0, 3, 4, 5, 2]), 1);
    for name in ["unsorted", "first", "last", "last/?.parquet"] {
        battery(&files.url("parquet", name), ALL).await;
    }
    battery(
        &files.url("parquet", "last"),
        "SELECT * FROM input WHERE id IS NULL OR id > -5",
    )
    .await;

    // By a column that the files do not hold, as Spark does.
    let kept = [0, 1, 2, 4, 5];
    let of = |order: Vec<u32>, flag: serde_json::Value| {
        (take(order).project(&kept).unwrap(), json!({ "flag": flag }))
    };
    let parts = [
        of(vec![0, 3, 5], json!("true")),
        of(vec![1, 4], json!("false")),
        of(vec![2, 6], json!(null)),
    ];
    files.delta("table", &rows.schema(), &parts, &json!({}));
    battery(&files.url("delta", "table"), ALL).await;

    let mut text = Vec::new();
    arrow::csv::Writer::new(&mut text).write(&rows).unwrap();
    files.write("a.csv", text);
    let mut expected = battery_rows();
    // CSV does not tell empty text from none.
    expected
        .iter_mut()
        .flatten()
        .filter(|value| value.is_empty())
        .for_each(|value| *value = "∅".to_owned());
    battery_of(&files.url("csv", "a.csv"), ALL, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn battery_on_mariadb() {
    let server = TempMariaDb::shared();
    server.execute(&format!(
        "CREATE TABLE battery (id bigint, ratio double, name text, flag boolean, born date, at varchar(30)); \
         INSERT INTO battery VALUES {ROWS}"
    ));
    battery(&server.url(), "SELECT * FROM battery").await;
    battery(&server.socket_url(), "SELECT * FROM battery").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_may_be_written_as_people_write_them() {
    let sqlite =
        TempSqlite::new("CREATE TABLE t (\"the \"\"key\" INTEGER, ';' TEXT); INSERT INTO t VALUES (1, 'a')");
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TABLE written (\"the \"\"key\" int, \";\" text); INSERT INTO written VALUES (1, 'a')",
    );
    let mariadb = TempMariaDb::shared();
    mariadb.execute("CREATE TABLE written (`the \"key` int, `;` text); INSERT INTO written VALUES (1, 'a')");
    for (url, table) in [
        (sqlite.url(), "t"),
        (server.url(), "written"),
        (mariadb.url(), "written"),
    ] {
        for query in [
            format!("SELECT * FROM {table}"),
            format!("SELECT * FROM {table};"),
            format!("SELECT * FROM {table} ; -- the end;\n"),
            format!("SELECT * FROM {table} -- the end; really"),
            format!("/* ; */ WITH w AS (SELECT * FROM {table}) SELECT * FROM w ORDER BY 1;"),
        ] {
            let source = source(&url, &query, "the \"key").await;
            assert_eq!(rows_of(source.as_ref(), 1).await, [row(&["1", "a"])], "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_queries_are_explained() {
    let sqlite = sqlite_battery();
    let server = TempPostgres::shared();
    server.execute("CREATE TABLE wrong (id int, name text, data json, \"Count\" int)");
    let (sqlite, postgres) = (sqlite.url(), server.url());
    for (url, query, key, message) in [
        (
            &sqlite,
            "SELECT id,\n nam FROM t",
            "id",
            "the database refused source.query: no such column: nam at line 2, column 2 of the query",
        ),
        (
            &postgres,
            "SELECT id,\n count FROM wrong",
            "id",
            "the database refused source.query: column \"count\" does not exist at line 2, column 2 of the query; \
             hint: Perhaps you meant to reference the column \"wrong.Count\".",
        ),
        (
            &sqlite,
            "SELECT * FROM t",
            "nr",
            "source.key `nr` is not a column of source.query; its columns are: id, ratio, name, flag, born, at",
        ),
        (
            &postgres,
            "SELECT id, name FROM wrong",
            "ID",
            "source.key `ID` is not a column of source.query; its columns are: id, name",
        ),
        (
            &sqlite,
            "SELECT id, name, ratio AS ID FROM t",
            "id",
            "the database refused source.query: the column `ID` occurs twice; give each its own name with AS",
        ),
        (
            &postgres,
            "SELECT a.id, b.id FROM wrong a, wrong b",
            "id",
            "the database refused source.query: the column `id` occurs twice; give each its own name with AS",
        ),
        (
            &sqlite,
            "SELECT id FROM t; DROP TABLE t",
            "id",
            "the database refused source.query: it holds several statements; write a single SELECT",
        ),
        (
            &postgres,
            "SELECT id FROM wrong; DROP TABLE wrong",
            "id",
            "the database refused source.query: cannot insert multiple commands into a prepared statement",
        ),
        (
            &sqlite,
            "DELETE FROM t",
            "id",
            "the database refused source.query: it returns no columns; write a single SELECT",
        ),
        (
            &postgres,
            "DELETE FROM wrong",
            "id",
            "the database refused source.query: it returns no columns; write a single SELECT",
        ),
        (
            &sqlite,
            "",
            "id",
            "the database refused source.query: it returns no columns; write a single SELECT",
        ),
        (
            &postgres,
            "",
            "id",
            "the database refused source.query: it returns no columns; write a single SELECT",
        ),
        (
            &sqlite,
            "SELECT id FROM t WHERE id = ?",
            "id",
            "the database refused source.query: it has parameters; write the values out",
        ),
        (
            &postgres,
            "SELECT id FROM wrong WHERE id = $1",
            "id",
            "the database refused source.query: it has parameters ($1); write the values out",
        ),
        (
            &postgres,
            "SELECT * FROM wrong",
            "data",
            "source.key `data` has type json, which has no order to cut ranges from; \
             use an integer, text, uuid, date, timestamp or numeric(p,s) column",
        ),
        (
            &postgres,
            "SELECT point(1, 2) AS p",
            "p",
            "source.key `p` has type point, which has no order to cut ranges from; \
             use an integer, text, uuid, date, timestamp or numeric(p,s) column",
        ),
        (
            &postgres,
            "SELECT 1 AS id, point(1, 2) AS \"P\"",
            "id",
            "column `P` has type point, which has no counterpart here; write \"P\"::text in source.query",
        ),
        (
            &postgres,
            "SELECT 1 AS id, 1.5::numeric AS price",
            "id",
            "column `price` has type numeric, which has no counterpart here; write \"price\"::numeric(p,s) with \
             0 <= s and p <= 38, which loses nothing within its digits, or \"price\"::double precision in source.query",
        ),
    ] {
        assert_eq!(failure(url, query, key).await, message);
    }
    // A statement that is no SELECT, but returns rows.
    assert!(
        failure(&sqlite, "PRAGMA table_info(t)", "name")
            .await
            .contains("syntax error")
    );
    assert!(
        failure(&postgres, "SHOW ALL", "name")
            .await
            .contains("syntax error")
    );
    assert!(
        failure(&postgres, "DELETE FROM wrong RETURNING id", "id")
            .await
            .contains("syntax error")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_cannot_be_reached_are_explained() {
    let server = TempPostgres::shared();
    let port = server.port();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let dir = tempfile::tempdir().unwrap();
    let (missing, foreign) = (dir.path().join("missing.db"), dir.path().join("foreign.db"));
    std::fs::write(
        &foreign,
        "this is text and not a database, and long enough to see it".repeat(20),
    )
    .unwrap();
    for (url, message) in [
        (
            format!("sqlite:{}", missing.display()),
            format!(
                "source.url sqlite:{0}: there is no file {0}",
                missing.display()
            ),
        ),
        (
            format!("sqlite:{}", foreign.display()),
            format!(
                "cannot connect to sqlite:{}: file is not a database",
                foreign.display()
            ),
        ),
        (
            "oracle://u:secret@h/db".to_owned(),
            "source.url oracle:***: unknown kind of database `oracle`; expected sqlite:path.db, \
             postgres://user@host:port/database, mysql://user@host:port/database, or parquet:, csv: or delta: and a path"
                .to_owned(),
        ),
        (
            format!("postgres://u:secret@127.0.0.1:{free}/db"),
            format!(
                "cannot connect to postgres://u:***@127.0.0.1:{free}/db: error connecting to server: \
                 Connection refused (os error 111) (127.0.0.1:{free})"
            ),
        ),
        (
            server.url_with_password("wrong"),
            format!(
                "cannot connect to postgres://keeper:***@127.0.0.1:{port}/postgres: 127.0.0.1:{port} refused the password \
                 of user `keeper`, which is from the URL"
            ),
        ),
        (
            format!("postgres://keeper@127.0.0.1:{port}/postgres"),
            format!(
                "cannot connect to postgres://keeper@127.0.0.1:{port}/postgres: 127.0.0.1:{port} asks for the password \
                 of user `keeper`; give it in the URL, in PGPASSWORD or in ~/.pgpass"
            ),
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/nowhere"),
            format!(
                "cannot connect to postgres://postgres@127.0.0.1:{port}/nowhere: database \"nowhere\" does not exist; \
                 end the URL with the name of a database of that server"
            ),
        ),
        (
            format!("postgres://nobody@127.0.0.1:{port}/postgres"),
            format!(
                "cannot connect to postgres://nobody@127.0.0.1:{port}/postgres: role \"nobody\" does not exist"
            ),
        ),
    ] {
        assert_eq!(failure(&url, "SELECT 1 AS id", "id").await, message);
    }
    assert!(!missing.exists());
    let mariadb = TempMariaDb::shared();
    let place = format!("127.0.0.1:{}", mariadb.port());
    for (url, message) in [
        (
            format!("mysql://u:secret@127.0.0.1:{free}/db"),
            format!(
                "cannot connect to mysql://u:***@127.0.0.1:{free}/db: Connection refused (os error 111) \
                 (127.0.0.1:{free})"
            ),
        ),
        (
            mariadb.url_with_password("wrong"),
            format!(
                "cannot connect to mariadb://keeper:***@{place}/test: {place} refused user `keeper` with this password; \
                 the password is the URL's, or else that in MYSQL_PWD"
            ),
        ),
        (
            format!("mysql://keeper@{place}/test"),
            format!(
                "cannot connect to mysql://keeper@{place}/test: {place} refused user `keeper` without a password; \
                 give it in the URL or in MYSQL_PWD"
            ),
        ),
        (
            format!("mysql://root@{place}/nowhere"),
            format!(
                "cannot connect to mysql://root@{place}/nowhere: Unknown database 'nowhere'; \
                 end the URL with the name of a database of that server"
            ),
        ),
    ] {
        assert_eq!(failure(&url, "SELECT 1 AS id", "id").await, message);
    }
    let url = mariadb.url_with_password(TempMariaDb::PASSWORD);
    source(&url, "SELECT 1 AS id", "id").await;
    source(
        &server.url_with_password(TempPostgres::PASSWORD),
        "SELECT 1 AS id",
        "id",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_may_be_in_a_file_that_nobody_else_reads() {
    let server = TempPostgres::shared();
    let port = server.port();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    let url = format!("postgres://keeper@127.0.0.1:{port}/postgres?passfile={path}");
    let password = TempPostgres::PASSWORD.replace(':', "\\:");
    let write = |text: String, mode: u32| {
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write(
        format!("# mine\n127.0.0.1:{port}:postgres:keeper:{password}\n"),
        0o600,
    );
    let reading = source(&url, "SELECT 1 AS id", "id").await;
    // Each further connection has it too.
    assert!(reading.fork().await.unwrap().is_some());
    let told = |why: &str| format!("cannot connect to {url}: 127.0.0.1:{port} {why}");

    write(format!("*:*:*:*:{password}\n"), 0o640);
    assert_eq!(
        failure(&url, "SELECT 1 AS id", "id").await,
        told(&format!(
            "asks for the password of user `keeper`; give it in the URL, in PGPASSWORD or in ~/.pgpass; \
             the password file {path} has group or world access; it takes chmod 0600 {path}"
        ))
    );
    write("*:*:*:*:not-the-password\n".to_owned(), 0o600);
    assert_eq!(
        failure(&url, "SELECT 1 AS id", "id").await,
        told(&format!(
            "refused the password of user `keeper`, which is from the password file {path}"
        ))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sslmode_means_what_it_means_to_libpq() {
    let server = TempPostgres::shared();
    // The connection that asks this is the only one of ours that asks anything.
    let query = "SELECT pid, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE application_name = 'gristmill' AND state = 'active'";
    let root = server.root_certificate();
    let url = |host: &str, parameters: &str| {
        format!(
            "postgres://postgres@{host}:{}/postgres?{parameters}",
            server.port()
        )
    };
    let root = format!("sslrootcert={}", root.display());
    for (host, parameters, encrypted) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), "false"),
        ("127.0.0.1", String::new(), "true"),
        ("127.0.0.1", "sslmode=require".to_owned(), "true"),
        ("127.0.0.1", format!("sslmode=verify-ca&{root}"), "true"),
        ("localhost", format!("sslmode=verify-full&{root}"), "true"),
    ] {
        let source = source(&url(host, &parameters), query, "pid").await;
        assert_eq!(rows_of(source.as_ref(), 1).await[0][1], encrypted, "{parameters}");
    }
    for (parameters, why) in [
        (
            format!("sslmode=verify-full&{root}"),
            "the server's certificate is for another host; use a name that is in it, or sslmode=verify-ca",
        ),
        (
            "sslmode=verify-ca".to_owned(),
            "no authority that is trusted here signed the server's certificate",
        ),
        (
            "sslmode=verify-full&sslrootcert=/nowhere".to_owned(),
            "sslrootcert /nowhere: No such file",
        ),
    ] {
        let message = failure(&url("127.0.0.1", &parameters), query, "pid").await;
        assert!(message.contains(why), "{message}");
    }
}

/// A self-signed certificate, as the authority's is, cannot be pinned by naming it as its own authority.
#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_certificate_that_signed_itself_is_refused_in_words() {
    let server = TempPostgres::start();
    for (setting, file) in [("ssl_cert_file", "root.crt"), ("ssl_key_file", "root.key")] {
        server.execute(&format!("ALTER SYSTEM SET {setting} = '{file}'"));
    }
    server.execute("SELECT pg_reload_conf()");
    let mariadb = TempMariaDb::shared();
    let (certificate, key) = (
        mariadb.root_certificate(),
        mariadb.root_certificate().with_extension("key"),
    );
    let options = [
        format!("--ssl-cert={}", certificate.display()),
        format!("--ssl-key={}", key.display()),
    ];
    let self_signed = TempMariaDb::start_with(&[&options[0], &options[1]]);
    let root = server.root_certificate();
    let postgres = |mode: &str| {
        let port = server.port();
        format!(
            "postgres://postgres@localhost:{port}/postgres?sslmode={mode}&sslrootcert={}",
            root.display()
        )
    };
    let mysql = format!(
        "mysql://root@localhost:{}/test?sslmode=verify-full&sslrootcert={}",
        self_signed.port(),
        certificate.display()
    );
    for url in [postgres("verify-ca"), postgres("verify-full"), mysql] {
        let started = std::time::Instant::now();
        let message = loop {
            // The server takes a moment to read its settings anew.
            match connect(&settings(&url, "SELECT 1 AS id", "id")).await {
                Ok(_) => assert!(started.elapsed().as_secs() < 20, "{url}: it connects"),
                Err(error) if error.to_string().contains("another host") => {
                    assert!(started.elapsed().as_secs() < 20, "{error}");
                }
                Err(error) => break error.to_string(),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        assert!(
            message.contains("shows the certificate of an authority (CA:TRUE) as its own"),
            "{message}"
        );
        for raw in ["CaUsedAsEndEntity", "OtherError", "invalid peer certificate"] {
            assert!(!message.contains(raw), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_and_many_rows_come_in_bounded_batches() {
    let server = TempPostgres::shared();
    let query = "SELECT g AS id, repeat('x', CASE WHEN g = 5 THEN 10000000 ELSE 10 END) AS v FROM generate_series(1, 20000) g";
    let mariadb = TempMariaDb::shared();
    let mariadb_query =
        "SELECT seq AS id, repeat('x', CASE WHEN seq = 5 THEN 10000000 ELSE 10 END) AS v FROM seq_1_to_20000";
    for (url, query) in [(server.url(), query), (mariadb.url(), mariadb_query)] {
        let source = source(&url, query, "id").await;
        let sizes: Vec<(usize, usize)> = source
            .read(&everything())
            .await
            .unwrap()
            .map(|batch| {
                batch
                    .map(|batch| (batch.num_rows(), batch.column(1).get_array_memory_size()))
                    .unwrap()
            })
            .collect()
            .await;
        assert_eq!(
            sizes.iter().map(|(rows, _)| rows).collect::<Vec<_>>(),
            [&5, &8192, &8192, &3611]
        );
        assert!(
            sizes[0].1 >= 10_000_000 && sizes[1..].iter().all(|(_, bytes)| *bytes < 1_000_000),
            "{sizes:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_rows_come_from_one_snapshot_by_the_index() {
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TABLE indexed AS SELECT g AS id, g::text AS name FROM generate_series(1, 20000) g; \
         CREATE INDEX ON indexed (id); CREATE INDEX ON indexed (name); ANALYZE indexed; \
         SELECT pg_stat_force_next_flush()",
    );
    let scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'indexed'";
    let before = server.execute(scans);
    // Two rows more, one less, by the time the second source looks.
    for (key, expected) in [("id", 20_000), ("name", 20_001)] {
        let source = source(&server.url(), "SELECT * FROM indexed", key).await;
        let name = source.snapshot();
        let mut planner = gristmill_data::pull::Planner::new(500, None, 0);
        let mut rows = 0;
        while let Some(range) = planner.next(source.as_ref()).await.unwrap() {
            if range.number == 3 {
                server.execute("INSERT INTO indexed VALUES (0, '0'), (15000, '15000'); DELETE FROM indexed WHERE id = (SELECT max(id) FROM indexed)");
            }
            rows += read(source.as_ref(), &range).await.unwrap().len();
        }
        assert_eq!(rows, expected);
        assert_eq!(source.snapshot(), name);
        let later = crate::support::source(&server.url(), "SELECT * FROM indexed", key).await;
        assert_ne!(later.snapshot(), name);
        assert_eq!(source.estimate().await.unwrap().rows.unwrap() / 1000, 20);
    }
    // DELETE finds its row by the index too; the statistics of a session arrive when it ends.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(server.execute(scans), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_rows_come_from_one_snapshot() {
    let database = TempSqlite::new(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1), (2)",
    );
    let writer = database.open();
    let source = source(&database.url(), "SELECT * FROM t", "id").await;
    writer.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    assert_eq!(rows_of(source.as_ref(), 1).await.len(), 2);
    let later = crate::support::source(&database.url(), "SELECT * FROM t", "id").await;
    assert_eq!(rows_of(later.as_ref(), 1).await.len(), 3);
    assert_ne!(later.snapshot(), source.snapshot());
    assert_eq!(
        later.snapshot(),
        crate::support::source(&database.url(), "SELECT * FROM t", "id")
            .await
            .snapshot()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_with_a_log_that_cannot_be_shared_says_what_to_do() {
    let database = TempSqlite::new(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)",
    );
    let path = database.url().trim_start_matches("sqlite:").to_owned();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{path}{suffix}"));
    }
    // As in a folder that cannot be written to, which is no hindrance to root.
    std::fs::create_dir(format!("{path}-shm")).unwrap();
    let message = failure(&database.url(), "SELECT id FROM t", "id").await;
    assert!(
        message.contains("PRAGMA journal_mode = DELETE") && message.contains("-shm"),
        "{message}"
    );
}
