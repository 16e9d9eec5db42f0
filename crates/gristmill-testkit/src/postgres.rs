//! A temporary PostgreSQL server.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User};

/// A PostgreSQL server of its own, with TLS, on a free port of 127.0.0.1 and on a socket.
///
/// Every role may enter without a password, but for [`TempPostgres::PASSWORD_USER`]. The server ends and its files go
/// when this is dropped, or when the process ends in whatever way.
pub struct TempPostgres {
    dir: PathBuf,
    port: u16,
    binaries: PathBuf,
    guard: Child,
}

/// Starts the server, starts it anew on each line of standard input, and ends it when that closes, which the death of the
/// test does too.
const GUARD: &str = r#"
dir=$1; shift
start() {
    "$@" </dev/null >>"$dir/log" 2>&1 &
    server=$!
}
start "$@"
while read -r _; do
    kill -QUIT $server
    wait $server
    start "$@"
done
kill -QUIT $server
wait $server
rm -rf "$dir"
"#;

const CLIENT_RULES: &str = "local all all trust\n\
    host all keeper 127.0.0.1/32 scram-sha-256\n\
    host all all 127.0.0.1/32 trust\n";

/// Changed when the template is made differently.
const TEMPLATE_VERSION: u32 = 1;

impl TempPostgres {
    /// The role that needs a password over TCP.
    pub const PASSWORD_USER: &str = "keeper";
    /// Its password.
    pub const PASSWORD: &str = "right-pass/word";

    /// Starts a server.
    pub fn start() -> Self {
        let binaries = binaries();
        let account = Account::find();
        let template = template(&binaries, &account);
        let mut failure = String::new();
        // Between finding a free port and listening on it, another test may take it.
        for _ in 0..5 {
            match Self::start_on_free_port(&binaries, &account, &template) {
                Ok(server) => return server,
                Err(log) => failure = log,
            }
        }
        panic!("PostgreSQL did not start: {failure}");
    }

    /// The one server of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TempPostgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start_on_free_port(binaries: &Path, account: &Account, template: &Path) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("gristmill-pg-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        account.own(&dir);
        account.run(
            Command::new("cp")
                .arg("-R")
                .arg("-p")
                .arg(template)
                .arg(dir.join("data")),
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);

        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "sh"])
            .arg(&dir)
            .arg(binaries.join("postgres"));
        command
            .arg("-D")
            .arg(dir.join("data"))
            .arg("-p")
            .arg(port.to_string())
            .arg("-k")
            .arg(&dir);
        for setting in [
            "listen_addresses=127.0.0.1",
            "ssl=on",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "shared_buffers=32MB",
            "max_connections=50",
            "autovacuum=off",
        ] {
            command.arg("-c").arg(setting);
        }
        // A process group of its own: an interrupt from the keyboard ends the test, and by that the server.
        account.become_in(&mut command).process_group(0).current_dir(&dir);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let guard = command.spawn().expect("sh");
        let mut server = Self {
            dir,
            port,
            binaries: binaries.to_owned(),
            guard,
        };
        server.wait_until_ready().map(|()| server)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let started = Instant::now();
        let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        while started.elapsed() < Duration::from_secs(60) {
            // The eighth line of this file is the server's state.
            let state = fs::read_to_string(self.dir.join("data/postmaster.pid")).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            if log().contains("FATAL") {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(log())
    }

    /// Breaks the server off as a crash does, and starts it again; returns when it is ready. What was committed before is
    /// there again.
    pub fn restart(&self) {
        // It need not be on the disk otherwise, for the sake of speed.
        self.execute("CHECKPOINT");
        let state = || {
            let state = fs::read_to_string(self.dir.join("data/postmaster.pid")).unwrap_or_default();
            let mut lines = state.lines().map(|line| line.trim().to_owned());
            (lines.next(), lines.nth(6))
        };
        let (before, _) = state();
        let mut guard = self.guard.stdin.as_ref().expect("a pipe");
        writeln!(guard).expect("the guard of the server");
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            let (now, ready) = state();
            if now != before && ready.is_some_and(|ready| ready == "ready") {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        panic!("PostgreSQL did not start again: {log}");
    }

    /// The URL of the superuser, without a password, over TCP.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The URL of [`Self::PASSWORD_USER`] with this password.
    pub fn url_with_password(&self, password: &str) -> String {
        let password = password
            .replace('%', "%25")
            .replace('/', "%2F")
            .replace('@', "%40");
        format!(
            "postgres://{}:{password}@127.0.0.1:{}/postgres",
            Self::PASSWORD_USER,
            self.port
        )
    }

    /// The URL of the superuser over the socket.
    pub fn socket_url(&self) -> String {
        format!(
            "postgres:///postgres?user=postgres&port={}&host={}",
            self.port,
            self.dir.display()
        )
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of the authority that signed the server's, which is for the name `localhost`.
    pub fn root_certificate(&self) -> PathBuf {
        self.dir.join("data/root.crt")
    }

    /// Runs SQL as the superuser and returns what it prints, columns apart by `|`.
    pub fn execute(&self, sql: &str) -> String {
        let mut psql = Command::new(self.binaries.join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                "postgres",
                "-f",
                "-",
            ])
            .arg("-h")
            .arg(&self.dir)
            .arg("-p")
            .arg(self.port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql");
        let mut stdin = psql.stdin.take().expect("a pipe");
        // Written from another thread, for psql may be waiting to print.
        let sql = sql.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(sql.as_bytes()));
        let output = psql.wait_with_output().expect("psql");
        let _ = writer.join();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "psql: {errors}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Drop for TempPostgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Who runs the server: PostgreSQL refuses to be root.
struct Account(Option<User>);

impl Account {
    fn find() -> Self {
        if !Uid::effective().is_root() {
            return Self(None);
        }
        match User::from_name("postgres") {
            Ok(Some(user)) => Self(Some(user)),
            _ => panic!("PostgreSQL refuses to run as root, and there is no user `postgres` to run it as"),
        }
    }

    fn own(&self, path: &Path) {
        if let Some(user) = &self.0 {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
        }
    }

    fn become_in<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match &self.0 {
            Some(user) => command.uid(user.uid.as_raw()).gid(user.gid.as_raw()),
            None => command,
        }
    }

    fn run(&self, command: &mut Command) {
        let output = self
            .become_in(command)
            .current_dir("/")
            .stdin(Stdio::null())
            .output();
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
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
            ["initdb", "postgres", "psql"]
                .iter()
                .all(|program| dir.join(program).is_file())
        })
        .unwrap_or_else(|| {
            panic!("no PostgreSQL server (initdb) is installed; on Debian: apt-get install postgresql")
        })
}

/// A data directory to copy: made once per machine, for initdb takes longer than all the rest.
fn template(binaries: &Path, account: &Account) -> PathBuf {
    let uid = account.0.as_ref().map_or(Uid::effective(), |user| user.uid);
    let output = Command::new(binaries.join("postgres"))
        .arg("--version")
        .output()
        .expect("postgres --version");
    let version: String = String::from_utf8_lossy(&output.stdout)
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let name = format!(
        "gristmill-template-{TEMPLATE_VERSION}-{uid}-{}",
        version.trim_end_matches('-')
    );
    let home = std::env::temp_dir().join(name);
    let template = home.join("data");
    let _ = fs::create_dir(&home);
    account.own(&home);
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("permissions");
    let lock = File::create(home.join("lock")).expect("a lock file");
    lock.lock().expect("the lock");
    if template.exists() {
        return template;
    }
    let new = home.join("new");
    let _ = fs::remove_dir_all(&new);
    account.run(
        Command::new(binaries.join("initdb"))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
                "--wal-segsize=1",
            ])
            .arg("-D")
            .arg(&new),
    );
    certificates(&new, account);
    let put = |name: &str, content: &str| {
        fs::write(new.join(name), content).expect("a file of the template");
    };
    put("pg_hba.conf", CLIENT_RULES);
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
            .arg(&new),
    );
    fs::rename(&new, &template).expect("the finished template");
    template
}

/// An authority and a certificate it signs for `localhost`.
fn certificates(dir: &Path, account: &Account) {
    let openssl = |arguments: &[&str]| {
        account.run(
            Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:prime256v1",
                ])
                .args(["-nodes", "-days", "3650"])
                .args(arguments),
        );
    };
    let path = |name: &str| dir.join(name).display().to_string();
    let (root, root_key) = (path("root.crt"), path("root.key"));
    let (server, server_key) = (path("server.crt"), path("server.key"));
    openssl(&["-subj", "/CN=Test Authority", "-keyout", &root_key, "-out", &root]);
    openssl(&[
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-CA",
        &root,
        "-CAkey",
        &root_key,
        "-keyout",
        &server_key,
        "-out",
        &server,
    ]);
}
