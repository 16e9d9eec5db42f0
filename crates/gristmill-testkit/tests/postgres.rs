//! The temporary server starts, answers, and leaves nothing behind.

use std::path::Path;

use gristmill_testkit::TempPostgres;

#[test]
fn a_server_starts_answers_and_goes() {
    let server = TempPostgres::start();
    assert_eq!(server.execute("SELECT 1 + 1, 'a'; SELECT 3"), "2|a\n3");
    let data = server.execute("SHOW data_directory");
    assert!(Path::new(&data).is_dir());
    let port = server.port();
    drop(server);
    assert!(!Path::new(&data).exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_server_starts_again_with_its_data() {
    let server = TempPostgres::start();
    server.execute("CREATE TABLE t AS SELECT 7 AS n");
    let started = server.execute("SELECT pg_postmaster_start_time()");
    server.restart();
    assert_ne!(server.execute("SELECT pg_postmaster_start_time()"), started);
    assert_eq!(server.execute("SELECT n FROM t"), "7");
    let data = server.execute("SHOW data_directory");
    drop(server);
    assert!(!Path::new(&data).exists());
}

#[test]
#[should_panic(expected = "syntax error")]
fn wrong_sql_fails_the_test() {
    TempPostgres::shared().execute("SELEC 1");
}

#[test]
fn a_standby_follows() {
    let server = TempPostgres::start();
    let standby = server.standby(&["max_standby_streaming_delay=0"]);
    assert_eq!(standby.execute("SHOW max_standby_streaming_delay"), "0");
    server.execute("CREATE TABLE t AS SELECT 7 AS n");
    server.followed_by(&standby);
    assert_eq!(standby.execute("SELECT n, pg_is_in_recovery() FROM t"), "7|t");
}
