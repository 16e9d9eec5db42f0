//! A temporary PostgreSQL server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::server::{Account, Habits, Server, in_url, run_client};

/// A PostgreSQL server of its own, with TLS, on a free port of 127.0.0.1 and on a socket.
///
/// Every role may enter without a password, but for [`TempPostgres::PASSWORD_USER`]. The server ends and its files go
/// when this is dropped, or when the process ends in whatever way.
pub struct TempPostgres {
    server: Server,
    binaries: PathBuf,
}

const HABITS: Habits = Habits {
    name: "PostgreSQL",
    signal: "QUIT",
    // A standby accepts "read-only connections".
    ready: "database system is ready to accept ",
    failed: "FATAL",
};

const CLIENT_RULES: &str = "local all all trust\n\
    local replication all trust\n\
    host all keeper 127.0.0.1/32 scram-sha-256\n\
    host all all 127.0.0.1/32 trust\n";

/// Changed when the template is made differently.
const TEMPLATE: &str = "postgres-2";

impl TempPostgres {
    /// The role that needs a password over TCP.
    pub const PASSWORD_USER: &str = "keeper";
    /// Its password.
    pub const PASSWORD: &str = "right-pass/word";

    /// Starts a server.
    pub fn start() -> Self {
        let binaries = binaries();
        let account = Account::find(&["postgres"]);
        let template = account.template(TEMPLATE, &binaries.join("postgres"), |new| {
            make_template(&binaries, &account, new);
        });
        let command = |dir: &Path, port| command(&binaries, dir, port, &[]);
        let server = Server::start(&HABITS, &account, &template, command);
        Self { server, binaries }
    }

    /// Starts a hot standby of this server, with more settings, such as `max_standby_streaming_delay=0`. It follows by
    /// streaming replication; see [`Self::followed_by`].
    pub fn standby(&self, settings: &[&str]) -> Self {
        let account = Account::find(&["postgres"]);
        let copies = tempfile::tempdir().expect("a temporary directory");
        account.own(copies.path());
        let copy = copies.path().join("data");
        account.run(
            Command::new(self.binaries.join("pg_basebackup"))
                .args([
                    "-U",
                    "postgres",
                    "-X",
                    "stream",
                    "-c",
                    "fast",
                    "--write-recovery-conf",
                    "--no-sync",
                ])
                .arg("-h")
                .arg(&self.server.dir)
                .arg("-p")
                .arg(self.server.port.to_string())
                .arg("-D")
                .arg(&copy),
        );
        let binaries = self.binaries.clone();
        let command = |dir: &Path, port| command(&binaries, dir, port, settings);
        let server = Server::start(&HABITS, &account, &copy, command);
        Self { server, binaries }
    }

    /// Waits until a standby of this server has all that was committed here.
    pub fn followed_by(&self, standby: &Self) {
        let here = self.execute("SELECT pg_current_wal_insert_lsn()");
        // What is not written is not sent; it need not be otherwise, for the sake of speed.
        self.execute("CHECKPOINT");
        let there = format!("SELECT pg_last_wal_replay_lsn() >= '{here}'");
        for _ in 0..3_000 {
            if standby.execute(&there) == "t" {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let activity = "SELECT string_agg(concat_ws(' ', pid, backend_type, state, wait_event_type, wait_event, query), E'\\n') \
            FROM pg_stat_activity";
        panic!("the standby did not follow:\n{}", standby.execute(activity));
    }

    /// The one server of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TempPostgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Breaks the server off as a crash does, and starts it again; returns when it is ready. What was committed before is
    /// there again.
    pub fn restart(&self) {
        // It need not be on the disk otherwise, for the sake of speed.
        self.execute("CHECKPOINT");
        self.server.restart();
    }

    /// The URL of the superuser, without a password, over TCP.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.server.port)
    }

    /// The URL of [`Self::PASSWORD_USER`] with this password.
    pub fn url_with_password(&self, password: &str) -> String {
        let password = in_url(password);
        format!(
            "postgres://{}:{password}@127.0.0.1:{}/postgres",
            Self::PASSWORD_USER,
            self.server.port
        )
    }

    /// The URL of the superuser over the socket.
    pub fn socket_url(&self) -> String {
        format!(
            "postgres:///postgres?user=postgres&port={}&host={}",
            self.server.port,
            self.server.dir.display()
        )
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The certificate of the authority that signed the server's, which is for the name `localhost`.
    pub fn root_certificate(&self) -> PathBuf {
        self.server.dir.join("data/root.crt")
    }

    /// Runs SQL as the superuser and returns what it prints, columns apart by `|`.
    pub fn execute(&self, sql: &str) -> String {
        let mut psql = Command::new(self.binaries.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-U", "postgres", "-d", "postgres", "-f", "-"])
            .arg("-h")
            .arg(&self.server.dir)
            .arg("-p")
            .arg(self.server.port.to_string());
        run_client(&mut psql, sql)
    }
}

/// Starts a server on the files in `data` of a directory.
fn command(binaries: &Path, dir: &Path, port: u16, settings: &[&str]) -> Command {
    let mut command = Command::new(binaries.join("postgres"));
    command.arg("-D").arg(dir.join("data"));
    command.arg("-p").arg(port.to_string()).arg("-k").arg(dir);
    let usual = [
        "listen_addresses=127.0.0.1",
        "ssl=on",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        // A checkpoint would throw away what a standby, on a busy machine, has not received yet. It would never follow then.
        "wal_keep_size=256MB",
        "shared_buffers=32MB",
        "max_connections=50",
        "autovacuum=off",
    ];
    for setting in usual.iter().chain(settings) {
        command.arg("-c").arg(setting);
    }
    command
}

/// The directory of the server's programs: on the path, or where distributions put it.
fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flat_map(|entries| entries.flatten().map(|entry| entry.path().join("bin")))
        .chain([
            "/usr/local/pgsql/bin".into(),
            "/opt/homebrew/opt/postgresql/bin".into(),
        ])
        .collect();
    installed.sort();
    std::env::split_paths(&path)
        .filter_map(|dir| Some(fs::canonicalize(dir.join("initdb")).ok()?.parent()?.to_owned()))
        // The newest version first.
        .chain(installed.into_iter().rev())
        .find(|dir| {
            ["initdb", "postgres", "psql", "pg_basebackup"]
                .iter()
                .all(|program| dir.join(program).is_file())
        })
        .unwrap_or_else(|| {
            panic!("no PostgreSQL server (initdb) is installed; on Debian: apt-get install postgresql")
        })
}

fn make_template(binaries: &Path, account: &Account, new: &Path) {
    account.run(
        Command::new(binaries.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8"])
            .args(["--no-locale", "--no-sync", "--wal-segsize=1", "-D"])
            .arg(new),
    );
    account.certificates(new);
    fs::write(new.join("pg_hba.conf"), CLIENT_RULES).expect("a file of the template");
    let role = format!(
        "CREATE ROLE {} SUPERUSER LOGIN PASSWORD '{}'",
        TempPostgres::PASSWORD_USER,
        TempPostgres::PASSWORD
    );
    let command = r#"printf '%s\n' "$2" | "$1/postgres" --single -D "$3" postgres"#;
    account.run(
        Command::new("sh")
            .args(["-c", command, "sh"])
            .arg(binaries)
            .arg(&role)
            .arg(new),
    );
}
