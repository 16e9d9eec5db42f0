//! Nothing is shown: what variables of the pipeline file were filled with is in no message, log or file, whatever fails.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use gristmill_testkit::{TempMariaDb, TempPostgres};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{Place, files, pipeline, stderr, stdout, table};

/// Of one word, as tokens are.
const TOKEN: &str = "xqzHush7Hush8Hush9";

/// A password that no quoting leaves as it is.
const HOSTILE: &str = "zq'w\"e\\rty %41uiop;xcvbnm";

const PIN: &str = "482913";

/// How `run` or `check` may be told to say more or less, with the value of `RUST_LOG`: the cases of a test take turns. What libraries
/// log of a query they log of every query, and it takes ten times as long as the rest.
const COMMANDS: [(&str, &str); 7] = [
    ("run pipeline.toml", "trace"),
    ("check pipeline.toml", ""),
    ("run pipeline.toml -q", ""),
    ("run pipeline.toml --log-format json -vv", ""),
    ("check pipeline.toml", "trace"),
    ("run pipeline.toml --log-format json", ""),
    ("run pipeline.toml -q", "debug"),
];

/// Whether bytes hold a secret or a piece of it, in some encoding.
fn holds(bytes: &[u8], secret: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    // Escapes of any depth are taken away, as a reader would.
    let plain: String = text.replace("''", "'").chars().filter(|c| *c != '\\').collect();
    let encoded = |every: bool| -> String {
        let one = |byte: u8| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' if !every => (byte as char).to_string(),
            byte => format!("%{byte:02x}"),
        };
        secret.bytes().map(one).collect()
    };
    let secret: String = secret.to_lowercase().chars().filter(|c| *c != '\\').collect();
    let chars: Vec<char> = secret.chars().collect();
    let pieces = chars
        .windows(8.min(chars.len()))
        .map(|piece| piece.iter().collect::<String>());
    pieces
        .chain([encoded(false), encoded(true)])
        .find(|piece| text.contains(piece) || plain.contains(piece))
}

/// Fails if a command or what it left holds the secret.
fn check(place: &Place, output: &Output, secret: &str, what: &str) {
    for said in [&output.stdout, &output.stderr] {
        if let Some(piece) = holds(said, secret) {
            panic!("{what} says {piece}: {}", String::from_utf8_lossy(said));
        }
    }
    if place.path("run").is_dir() {
        for (path, content) in files(&place.path("run")) {
            let name = path.display().to_string();
            let mut piece = holds(&content, secret).or_else(|| holds(name.as_bytes(), secret));
            if content.starts_with(b"PAR1") {
                piece = piece.or_else(|| holds(all_of(&path).as_bytes(), secret));
            }
            assert_eq!(piece, None, "{what} leaves it in {name}");
        }
    }
}

/// All that a Parquet file says, whose pages are compressed: metadata, statistics and rows.
fn all_of(path: &Path) -> String {
    let file = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let metadata = format!("{:?}", file.metadata());
    let rows = file.build().unwrap().map(|rows| format!("{:?}", rows.unwrap()));
    metadata + &rows.collect::<String>()
}

/// Runs a pipeline with a variable `X` or other variables, plainly and by one of the commands that take turns; each must end with one
/// of these exit codes.
fn try_all(edits: &[(&str, &str)], secret: &str, codes: &[i32]) -> Place {
    try_with(edits, &[("X", secret)], secret, codes)
}

fn try_with(edits: &[(&str, &str)], variables: &[(&str, &str)], secret: &str, codes: &[i32]) -> Place {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % COMMANDS.len();
    let place = Place::with(&table(60), &pipeline(edits));
    for (command, log) in [COMMANDS[turn], ("run pipeline.toml", "")] {
        let what = format!("{edits:?} {command} {log}");
        let mut command = place.command(command);
        command.envs(variables.iter().copied());
        if !log.is_empty() {
            command.env("RUST_LOG", log);
        }
        let output = command.output().unwrap();
        check(&place, &output, secret, &what);
        let code = output.status.code().unwrap();
        assert!(codes.contains(&code), "{what}: {code} {}", stderr(&output));
    }
    if place.path("run/dataset").is_dir() {
        let output = place.gristmill("inspect run/dataset");
        check(&place, &output, secret, "inspect");
    }
    place
}

const QUERY: &str = "SELECT id, name, kind, size, country FROM artist";

/// Queries that fail at every stage, each with the variable where an engine repeats it.
const FAILING: [&str; 7] = [
    "SELEC id, name, kind, size, country FROM artist WHERE name <> '${X}'",
    "SELECT id, name, kind, size, country, ${X} FROM artist",
    "SELECT id, name, kind, size, country FROM ${X}",
    "SELECT id, name, kind, size, country FROM artist WHERE ${X}(id) = 1",
    "SELECT id, name, kind, size, country FROM artist WHERE name <> '${X}' AND",
    "SELECT id, name, kind, size, country FROM artist WHERE name <> '${X}",
    "SELECT id, name, kind, size, country FROM artist WHERE nosuchcolumn = '${X}'",
];

/// Queries for the engine at this URL.
fn queries(url: &str, from: &str) {
    for query in FAILING {
        let query = query
            .replace("artist", from)
            .replace('\'', "''")
            .replace("''", "'");
        let edits = [("sqlite:data.db", url), (QUERY, query.as_str())];
        try_all(&edits, TOKEN, &[0, 1, 2]);
    }
    // A column that is named after the value, where the engine does so.
    if !url.starts_with("postgres") {
        let named =
            "SELECT id, name, kind, size, country, concat('${X}', kind) FROM artist".replace("artist", from);
        try_all(&[("sqlite:data.db", url), (QUERY, &named)], TOKEN, &[0, 2]);
    }
    let hostile = QUERY.replace("artist", from) + " WHERE name <> '${X}'";
    try_all(&[("sqlite:data.db", url), (QUERY, &hostile)], HOSTILE, &[0, 1, 2]);
}

/// Filters of what the engine at this URL gives.
fn filters(url: &str, from: &str) {
    let plain = QUERY.replace("artist", from);
    for filter in [
        "name <> '${X}' AND",
        "${X} = 1",
        "nosuchcolumn = '${X}'",
        "${X}(name) = 1",
        "CAST('${X}' AS BIGINT) = id",
    ] {
        let key = format!("[clean]\nfilter = \"{filter}\"\n\n[batches]");
        let edits = [
            ("sqlite:data.db", url),
            (QUERY, plain.as_str()),
            ("[batches]", key.as_str()),
        ];
        try_all(&edits, TOKEN, &[0, 1, 2]);
    }
    // And where nothing fails, with so many commits that there is a checkpoint of them, which is Parquet.
    let key = "[clean]\nfilter = \"name <> '${X}'\"\n\n[batches]\nrows = 4";
    let query = plain.clone() + " WHERE name <> '${X}'";
    let edits = [
        ("sqlite:data.db", url),
        (QUERY, &query),
        ("[batches]\nrows = 25", key),
    ];
    let place = try_all(&edits, TOKEN, &[0]);
    let log = files(&place.path("run/dataset/_delta_log"));
    let is_checkpoint = |path: &&PathBuf| path.to_string_lossy().ends_with(".checkpoint.parquet");
    let checkpoint = log.keys().find(is_checkpoint).expect("a checkpoint");
    assert!(all_of(checkpoint).contains("${X}"), "the query as it is written");
}

#[test]
fn sqlite_repeats_nothing_of_a_query() {
    queries("sqlite:data.db", "artist");
}

#[test]
fn sqlite_repeats_nothing_of_a_filter() {
    filters("sqlite:data.db", "artist");
}

#[test]
fn postgres_repeats_nothing_of_a_query() {
    let server = TempPostgres::start();
    server.execute(&table(60));
    queries(&server.url(), "artist");
    // Of a value that only reading meets.
    let cast = "SELECT id, name, kind, size, country, CASE WHEN id > 40 THEN CAST(name || '${X}' AS INT) END AS c FROM artist";
    try_all(
        &[("sqlite:data.db", &server.url()), (QUERY, cast)],
        TOKEN,
        &[0, 1, 2],
    );
}

#[test]
fn postgres_repeats_nothing_of_a_filter() {
    let server = TempPostgres::start();
    server.execute(&table(60));
    filters(&server.url(), "artist");
}

#[test]
fn postgres_repeats_nothing_of_a_url() {
    let server = TempPostgres::start();
    urls(&server.url(), server.port());
}

#[test]
fn mariadb_repeats_nothing_of_a_query() {
    let server = TempMariaDb::start();
    server.execute(&table(60));
    queries(&server.url(), "artist");
}

#[test]
fn mariadb_repeats_nothing_of_a_filter() {
    let server = TempMariaDb::start();
    server.execute(&table(60));
    filters(&server.url(), "artist");
}

#[test]
fn mariadb_repeats_nothing_of_a_url() {
    let server = TempMariaDb::start();
    urls(&server.url(), server.port());
}

/// A place with rows as those of `table` in a file, and its URL.
fn csv() -> (Place, String) {
    let place = Place::new();
    let rows: String = (1..=60)
        .map(|id| format!("{id},n{id},k,1.5,{}\n", ["a", "b"][id % 2]))
        .collect();
    place.write("data.csv", format!("id,name,kind,size,country\n{rows}"));
    let url = format!("csv:{}", place.path("data.csv").display());
    (place, url)
}

#[test]
fn files_repeat_nothing_of_a_query() {
    let (_place, url) = csv();
    queries(&url, "input");
}

#[test]
fn files_repeat_nothing_of_a_filter() {
    let (_place, url) = csv();
    filters(&url, "input");
}

/// URLs with a secret in every part, most of which lead nowhere.
fn urls(url: &str, port: u16) {
    let (scheme, _) = url.split_once("://").unwrap();
    for url in [
        format!("{scheme}://${{X}}@127.0.0.1:{port}/x"),
        format!("{scheme}://nobody:${{X}}@127.0.0.1:{port}/x"),
        format!("{scheme}://nobody:pw@${{X}}:{port}/x"),
        format!("{scheme}://nobody:pw@127.0.0.1:${{X}}/x"),
        format!("{scheme}://nobody:pw@127.0.0.1:1/${{X}}"),
        format!("{scheme}://127.0.0.1:{port}/x?passwd=${{X}}"),
        format!("{scheme}://127.0.0.1:{port}/x?pass%77ord=${{X}}"),
        format!("{scheme}://127.0.0.1:{port}/x?options=-c%20a.b%3D${{X}}"),
        format!("{scheme}://127.0.0.1:{port}/x?sslmode=${{X}}"),
        format!("{scheme}://127.0.0.1:{port}/x?sslmode=verify-full&sslrootcert=/${{X}}"),
        format!("{scheme}://127.0.0.1:{port}/x?${{X}}=1"),
        format!("{scheme}://nobody:${{X}}"),
        format!("{scheme}://nobody:${{X}}/x"),
        "host=127.0.0.1 password=${X}".to_owned(),
        "Driver={X};Server=127.0.0.1;Pwd=${X}".to_owned(),
        "${X}".to_owned(),
    ] {
        try_all(&[("sqlite:data.db", &url)], TOKEN, &[1, 2]);
    }
    // As a whole, and where it is written out.
    for secret in [
        TOKEN,
        "abc@xqzHushHush",
        "abc?xqzHushHush=1",
        "5/xqzHushHush",
        "abc#xqzHushHush",
        "ab%xqzHushHush",
    ] {
        for written in [
            "${X}".to_owned(),
            format!("{scheme}://nobody:{secret}@127.0.0.1:{port}/x"),
        ] {
            let url = format!("{scheme}://nobody:{secret}@127.0.0.1:{port}/x");
            let edits = [("sqlite:data.db", written.as_str())];
            try_with(&edits, &[("X", &url)], secret, &[1, 2]);
        }
    }
}

/// A password that is not in the URL, where a server repeats it in an error and, before that, in a notice; and one that it refuses.
#[test]
fn passwords_of_files_and_of_the_environment_are_not_shown() {
    const PASSWORD: &str = TempPostgres::PASSWORD;
    const WRONG: &str = "wrong-xqzHush7";
    assert_eq!(PASSWORD, TempMariaDb::PASSWORD);
    let (postgres, mariadb) = (TempPostgres::start(), TempMariaDb::start());
    postgres.execute(&format!(
        "{} CREATE FUNCTION told() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN \
         RAISE NOTICE 'it is {PASSWORD}'; RAISE EXCEPTION 'it was {PASSWORD}'; END $$",
        table(60)
    ));
    mariadb.execute(&format!(
        "{} CREATE FUNCTION told() RETURNS bigint NO SQL RETURN updatexml(1, '~it was {PASSWORD}', 1)",
        table(60)
    ));
    let dir = tempfile::tempdir().unwrap();
    let passfile = dir.path().join("passfile");
    let query = QUERY.to_owned() + " WHERE id = told()";
    for password in [PASSWORD, WRONG] {
        std::fs::write(&passfile, format!("*:*:*:keeper:{password}\n")).unwrap();
        std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
        let passfile = passfile.display().to_string();
        let of_postgres = format!("postgres://keeper@127.0.0.1:{}/postgres", postgres.port());
        let of_mariadb = format!("mysql://keeper@127.0.0.1:{}/test", mariadb.port());
        for (url, variable) in [
            (of_postgres.clone(), ("PGPASSWORD", password)),
            (of_postgres.clone(), ("PGPASSFILE", passfile.as_str())),
            (format!("{of_postgres}?passfile={passfile}"), ("PGPASSWORD", "")),
            (of_mariadb, ("MYSQL_PWD", password)),
        ] {
            let edits = [("sqlite:data.db", url.as_str()), (QUERY, query.as_str())];
            let place = try_with(&edits, &[variable], password, &[1, 2]);
            let output = place
                .command("run pipeline.toml")
                .envs([variable])
                .output()
                .unwrap();
            let said = stderr(&output);
            let expected = if password == PASSWORD {
                "it was ***"
            } else {
                "refused"
            };
            assert!(said.contains(expected), "{url}: {said}");
        }
    }
}

#[test]
fn other_settings_repeat_nothing() {
    for (from, to) in [
        ("sqlite:data.db", "sqlite:${X}.db"),
        ("sqlite:data.db", "csv:${X}.csv"),
        ("sqlite:data.db", "parquet:${X}/*.parquet"),
        ("sqlite:data.db", "delta:${X}"),
        ("key = \"id\"", "key = \"${X}\""),
        ("column = \"kind\"", "column = \"${X}\""),
        ("column = \"country\"", "column = \"${X}\""),
        ("encode = \"one_hot\"", "encode = \"${X}\""),
        ("dir = \"run\"", "dir = \"/proc/${X}\""),
    ] {
        try_all(&[(from, to)], TOKEN, &[0, 1, 2]);
    }
}

#[test]
fn a_model_tells_nothing_of_a_secret_and_a_dataset_only_to_who_has_its_key() {
    let query = format!("{QUERY} WHERE '${{X}}' <> name");
    let text = pipeline(&[(QUERY, &query)]);
    let run = |place: &Place, secret: &str| {
        let mut command = place.command("run pipeline.toml");
        command.env("X", secret).output().unwrap()
    };
    let identity = |place: &Place| {
        let log = place.read("run/dataset/_delta_log/00000000000000000000.json");
        let log = String::from_utf8(log).unwrap();
        let at = log.find("source.query").expect("what tells values apart");
        log[at..at + 90].to_owned()
    };
    let places = [
        Place::with(&table(60), &text),
        Place::with(&table(60), &text),
        Place::with(&table(60), &text),
    ];
    for (place, secret) in places.iter().zip([PIN, PIN, "000000"]) {
        let output = run(place, secret);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let mode = std::fs::metadata(place.path("run/run.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(run(place, secret).status.success());
    }
    // The same data gives the same model, wherever it is made and whatever the secret was.
    assert_eq!(places[0].model("run"), places[1].model("run"));
    assert_eq!(places[0].model("run"), places[2].model("run"));
    assert_ne!(identity(&places[0]), identity(&places[1]));

    let output = run(&places[0], "000000");
    let said = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("a variable in it has another value now"), "{said}");
    assert!(!said.contains("000000"), "{said}");

    // Without the key, or with another's, nothing can be compared.
    let key = places[1].read("run/run.key");
    std::fs::remove_file(places[0].path("run/run.key")).unwrap();
    for why in ["is missing", "is another run's"] {
        for command in ["run pipeline.toml", "verify run/dataset --pipeline pipeline.toml"] {
            let output = places[0].command(command).env("X", PIN).output().unwrap();
            let said = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                said.contains(why) && said.contains("copy it from the folder of the run"),
                "{said}"
            );
        }
        places[0].write("run/run.key", &key);
    }
    // A run without variables has no key.
    let plain = Place::with(&table(60), &pipeline(&[]));
    plain.run();
    assert!(!plain.path("run/run.key").exists());
}

#[test]
fn what_a_terminal_would_obey_is_written_out() {
    const HOSTILE: &str = "a\u{1b}[2Jb\u{9b}31m\u{202e}c\u{200b}d";
    let hostile = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.contains(|c: char| c.is_control() && !"\n\t".contains(c) || "\u{202e}\u{200b}".contains(c))
    };
    let renamed = format!("UPDATE artist SET country = '{HOSTILE}' WHERE country = 'Japan';");
    let sql = format!(
        "{}; {renamed} ALTER TABLE artist RENAME COLUMN kind TO \"k{HOSTILE}\"",
        table(60)
    );
    let column = "k{HOSTILE}".replace("{HOSTILE}", "a\\u001b[2Jb\\u009b31m\\u202ec\\u200bd");
    let edits = [
        (QUERY, "SELECT * FROM artist"),
        ("column = \"kind\"", &format!("column = \"{column}\"")),
    ];
    let place = Place::with(&sql, &pipeline(&edits));
    for command in [
        "check pipeline.toml",
        "run pipeline.toml -vv --color always",
        "run pipeline.toml --log-format json",
        "inspect run/model",
        "inspect run/dataset",
        "inspect run/\u{1b}]0;x",
    ] {
        let output = place.gristmill(command);
        // Colours are our own.
        let own = stderr(&output)
            .replace("\u{1b}[1;31m", "")
            .replace("\u{1b}[1;32m", "")
            .replace("\u{1b}[1;33m", "");
        let own = own.replace("\u{1b}[0m", "");
        assert!(!hostile(own.as_bytes()), "{command}: {own:?}");
        assert!(!hostile(&output.stdout), "{command}: {:?}", stdout(&output));
    }
    assert!(!hostile(&place.read("run/summary.txt")));
    let said = stdout(&place.gristmill("inspect run/model"));
    assert!(
        said.contains("ka\\u{1b}[2Jb\\u{9b}31m\\u{202e}c\\u{200b}d"),
        "{said}"
    );

    // What a server says, a wrong column, and the pipeline file itself.
    for (from, to) in [
        (QUERY, "SELECT \\u001b[31m\\u202e FROM artist"),
        ("column = \"country\"", "column = \"x\\u001b[31m\\u202e\""),
        ("column = \"country\"", "column = \"x\u{202e}\u{9b}\""),
        ("encode = \"one_hot\"", "encode = \"\\u001b[31m\\u202e\""),
    ] {
        let place = Place::with(&table(60), &pipeline(&[(from, to)]));
        for flags in ["", "-vv --log-format json", "-vv"] {
            let output = place.gristmill(&format!("run pipeline.toml --color never {flags}"));
            assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
            assert!(!hostile(&output.stderr), "{to}: {:?}", stderr(&output));
        }
    }
}

#[test]
fn what_is_no_url_is_not_repeated_either() {
    const SECRET: &str = "Oh5-secret";
    let place = Place::with("", "");
    for url in [
        "host=h password='Oh5-secret",
        "host=h passwd=Oh5-secret",
        "host=h PASSWORD=Oh5-secret",
        "host=h password = Oh5-secret extra words",
        "Host=127.0.0.1;Username=me;Password=Oh5-secret",
        "host=127.0.0.1;port=1;user=me;password=Oh5-secret",
        "postgres:/me:Oh5-secret@h/db",
        "postgres//me:Oh5-secret@h/db",
        "me:Oh5-secret@h/db",
        "POSTGRES://me:Oh5-secret@h/db",
        " postgres://me:Oh5-secret@h/db",
        "mongodb://me:Oh5-secret@h/db",
        "s3://key:Oh5-secret@bucket/rows.csv",
    ] {
        place.write("pipeline.toml", pipeline(&[("sqlite:data.db", url)]));
        for command in [
            "check pipeline.toml",
            "run pipeline.toml -vv",
            "run pipeline.toml --log-format json",
        ] {
            let output = place.gristmill(command);
            let said = stderr(&output) + &stdout(&output);
            assert_ne!(output.status.code(), Some(0), "{url}");
            assert!(!said.contains(SECRET), "{command} {url}: {said}");
        }
        for (input, output) in [(url, "out.csv"), ("rows.csv", url)] {
            let output = place
                .command("predict run/model --key id --query x")
                .args(["--input", input, "--output", output])
                .output()
                .unwrap();
            let said = stderr(&output) + &stdout(&output);
            assert_ne!(output.status.code(), Some(0), "{url}");
            assert!(!said.contains(SECRET), "predict {url}: {said}");
        }
    }
}
