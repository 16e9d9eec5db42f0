//! Servers that fall silent, break off or say what is none of their protocol, at any time: whoever reads from them hears of it
//! in bounded time, and never gets fewer rows for all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gristmill_data::Error;
use gristmill_data::key::{Bounds, Key, KeyRange};
use gristmill_data::pull::{Pace, Progress, pull};
use gristmill_data::settings::{CleanSettings, Consistency, SourceSettings};
use gristmill_data::source::open::connect;
use gristmill_data::table::DatasetIdentity;
use gristmill_testkit::{TempMariaDb, TempPostgres, cases};

use crate::support::{rows_of, settings, source};

/// What a server does when its time has come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    Silence,
    End,
    Garbage,
}

const LIES: [Lie; 3] = [Lie::Silence, Lie::End, Lie::Garbage];

impl Lie {
    /// Does it; the connection stays open until the client closes it, or is closed.
    fn tell(self, stream: &mut TcpStream) {
        match self {
            Self::End => return,
            Self::Garbage => drop(stream.write_all(&[0xff; 4_096])),
            Self::Silence => {}
        }
        let mut rest = [0; 4_096];
        while stream.read(&mut rest).is_ok_and(|count| count > 0) {}
    }
}

/// A server that says `first` as soon as it is asked anything (or at once, for MySQL's speak first), and then lies.
fn liar(speaks_first: bool, first: &'static [u8], lie: Lie) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut asked = [0; 8];
                if speaks_first || stream.read_exact(&mut asked).is_ok() {
                    let _ = stream.write_all(first);
                    lie.tell(&mut stream);
                }
            });
        }
    });
    port
}

/// Hands on what a server and its clients say, until the server has said `left` bytes; then it lies, on that connection only.
struct Between {
    port: u16,
    left: Arc<AtomicI64>,
}

impl Between {
    fn start(server: u16, lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let counted = left.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (
                    client.unwrap(),
                    TcpStream::connect(("127.0.0.1", server)).unwrap(),
                );
                let (mut asking, mut asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut asking, &mut asked);
                    let _ = asked.shutdown(std::net::Shutdown::Both);
                });
                let counted = counted.clone();
                thread::spawn(move || hand_on(server, client, &counted, lie));
            }
        });
        Self { port, left }
    }
}

fn hand_on(mut server: TcpStream, mut client: TcpStream, left: &AtomicI64, lie: Lie) {
    let mut bytes = [0; 1_024];
    while let Ok(count @ 1..) = server.read(&mut bytes) {
        let before = left.fetch_sub(count as i64, Ordering::SeqCst);
        let honest = before.clamp(0, count as i64) as usize;
        if client.write_all(&bytes[..honest]).is_err() {
            break;
        }
        if honest < count {
            // Once.
            left.store(i64::MAX, Ordering::SeqCst);
            if lie != Lie::End {
                lie.tell(&mut client);
            }
            break;
        }
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = server.shutdown(std::net::Shutdown::Both);
}

/// Asserts that connecting fails soon; returns the error.
async fn refused(url: &str) -> Error {
    let started = Instant::now();
    let settings = settings(url, "SELECT 1 AS id", "id");
    let connecting = connect(&settings);
    let connected = tokio::time::timeout(Duration::from_secs(20), connecting).await;
    let error = connected
        .unwrap_or_else(|_| panic!("{url}: no end"))
        .err()
        .unwrap_or_else(|| panic!("{url}: it connected"));
    assert!(started.elapsed() < Duration::from_secs(10), "{url}: {error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lies_while_it_is_connected_to_is_given_up() {
    // A part of what each says first: to the question for TLS, of the login.
    let postgres: [&[u8]; 4] = [b"", b"N", b"S", b"NR\0\0\0\x08\0\0\0\0"];
    let mysql: [&[u8]; 2] = [b"", b"\x4a\0\0\0\x0a11.4.2-MariaDB\0"];
    let cases = postgres
        .map(|first| ("postgres", first))
        .into_iter()
        .chain(mysql.map(|first| ("mysql", first)));
    for (scheme, first) in cases {
        for lie in LIES {
            let port = liar(scheme == "mysql", first, lie);
            let url = format!("{scheme}://me@127.0.0.1:{port}/db?connect_timeout=0.3");
            let error = refused(&url).await;
            let told = format!("{first:?}, {lie:?}: {error}");
            match lie {
                Lie::Silence => {
                    assert!(matches!(error, Error::Unavailable { .. }), "{told}");
                    assert!(
                        told.contains(&format!("127.0.0.1:{port} did not answer within 0.3 s")),
                        "{told}"
                    );
                }
                // As of a server that is being started.
                Lie::End => assert!(error.may_pass(), "{told}"),
                // It may be the length of what is to come.
                Lie::Garbage => assert!(!error.may_pass() || told.contains("did not answer"), "{told}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_host_is_asked_where_one_is_silent() {
    let server = TempPostgres::shared();
    let silent = liar(false, b"", Lie::Silence);
    let url = format!(
        "postgres://postgres@127.0.0.1:{silent},127.0.0.1:{}/postgres?connect_timeout=0.3",
        server.port()
    );
    let reading = async {
        let source = source(&url, "SELECT 7 AS id", "id").await;
        rows_of(source.as_ref(), 1).await
    };
    let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
    assert_eq!(read.expect("an end"), [["7"]]);
}

const ROWS: usize = 4_000;

/// A server with a table of so many rows, and its URL over another port.
fn server(scheme: &str) -> (u16, &'static str, &'static str) {
    static MADE: std::sync::Once = std::sync::Once::new();
    let (postgres, mariadb) = (TempPostgres::shared(), TempMariaDb::shared());
    MADE.call_once(|| {
        postgres.execute(&format!(
            "CREATE TABLE line AS SELECT n::text AS id, repeat('x', 60) AS text FROM generate_series(1, {ROWS}) n"
        ));
        mariadb.execute(&format!(
            "CREATE TABLE line AS SELECT CAST(seq AS CHAR(9)) AS id, repeat('x', 60) AS text FROM seq_1_to_{ROWS}"
        ));
    });
    match scheme {
        "postgres" => (postgres.port(), "postgres", "postgres"),
        _ => (mariadb.port(), "root", "test"),
    }
}

fn behind(scheme: &str, port: u16) -> SourceSettings {
    let (_, user, database) = server(scheme);
    let url = format!(
        "{scheme}://{user}@127.0.0.1:{port}/{database}?sslmode=disable&connect_timeout=5&read_timeout=0.4"
    );
    settings(&url, "SELECT id, text FROM line", "id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lies_in_the_middle_of_rows_gives_no_part_for_all() {
    for scheme in ["postgres", "mysql"] {
        for lie in LIES {
            let between = Between::start(server(scheme).0, lie);
            let moments = i64::from(cases(3));
            for left in (0..moments).map(|moment| 1_500 + 198_500 * moment / (moments - 1)) {
                let source = connect(&behind(scheme, between.port)).await.unwrap();
                let until = Key::Text("a".to_owned());
                let bounds = Bounds::Between { after: None, until };
                let range = KeyRange { number: 0, bounds };
                between.left.store(left, Ordering::SeqCst);
                let reading = crate::support::read(source.as_ref(), &range);
                let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
                let told = format!("{scheme}, {lie:?} after {left}");
                let error = match read.unwrap_or_else(|_| panic!("{told}: no end")) {
                    Ok(rows) => panic!("{told}: {} rows and no error", rows.len()),
                    Err(error) => error,
                };
                let told = format!("{told}: {error}");
                assert!(!told.contains("cannot connect"), "{told}");
                match lie {
                    Lie::Silence => assert!(told.contains("sent nothing for 0.4 s"), "{told}"),
                    Lie::End => assert!(error.may_pass(), "{told}"),
                    // It may be the length of what is to come.
                    Lie::Garbage => assert!(!error.may_pass() || told.contains("sent nothing"), "{told}"),
                }
                between.left.store(i64::MAX, Ordering::SeqCst);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_goes_on_after_a_silence() {
    for scheme in ["postgres", "mysql"] {
        let between = Between::start(server(scheme).0, Lie::Silence);
        let settings = behind(scheme, between.port);
        let source = connect(&settings).await.unwrap();
        let clean = CleanSettings {
            trim: false,
            empty_as_null: false,
            require: vec![],
            filter: None,
            distinct: false,
        };
        let identity =
            DatasetIdentity::new("", &settings.query, &settings.key, &clean, &source.schema()).unwrap();
        let pace = Pace {
            batch_rows: 1_000,
            connections: 1,
            commit_every: Duration::ZERO,
            consistency: Consistency::Resume,
        };
        let dir = tempfile::tempdir().unwrap();
        between.left.store(150_000, Ordering::SeqCst);
        let mut tell = |_: Progress<'_>| {};
        let pulling = pull(source, &settings, identity, dir.path(), pace, &mut tell);
        let pulled = tokio::time::timeout(Duration::from_secs(60), pulling).await;
        let pulled = pulled.unwrap_or_else(|_| panic!("{scheme}: no end")).unwrap();
        assert_eq!(pulled.totals.rows_kept, ROWS as u64, "{scheme}");
        assert!(
            between.left.load(Ordering::SeqCst) > 1_000_000,
            "{scheme}: it never fell silent"
        );
    }
}
