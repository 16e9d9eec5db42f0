//! The temporary server starts, answers, and leaves nothing behind.

use std::path::Path;

use gristmill_testkit::TempMariaDb;

#[test]
fn a_server_starts_answers_and_goes() {
    let server = TempMariaDb::start();
    assert_eq!(server.execute("SELECT 1 + 1, 'é'; SELECT 3"), "2\té\n3");
    let data = server.execute("SELECT @@datadir");
    assert!(Path::new(&data).is_dir());
    let port = server.port();
    drop(server);
    assert!(!Path::new(&data).exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_server_starts_again_with_its_data() {
    let server = TempMariaDb::start();
    server.execute("CREATE TABLE t AS SELECT 7 AS n");
    let setting = server.execute("SET GLOBAL max_connections = 20; SELECT @@max_connections");
    server.restart();
    assert_ne!(server.execute("SELECT @@max_connections"), setting);
    assert_eq!(server.execute("SELECT n FROM t"), "7");
}

#[test]
#[should_panic(expected = "error in your SQL syntax")]
fn wrong_sql_fails_the_test() {
    TempMariaDb::shared().execute("SELEC 1");
}
