//! What every temporary server needs: an account to run as, a template to start from, an end with the test.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User};

/// Starts the server, starts it anew on each line of standard input, and ends it when that closes, which the death of the
/// test does too.
const GUARD: &str = r#"
dir=$1; signal=$2; shift 2
start() {
    "$@" </dev/null >>"$dir/log" 2>&1 &
    server=$!
}
start "$@"
while read -r _; do
    kill -$signal $server
    wait $server
    start "$@"
done
kill -$signal $server
wait $server
rm -rf "$dir"
"#;

/// How a kind of server is ended, and what its log says.
pub(crate) struct Habits {
    pub(crate) name: &'static str,
    /// The signal that ends it without its writing anything more.
    pub(crate) signal: &'static str,
    /// Logged when it takes connections.
    pub(crate) ready: &'static str,
    /// Logged when it cannot start.
    pub(crate) failed: &'static str,
}

/// A running server and the directory of its files; both go when this is dropped.
pub(crate) struct Server {
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    guard: Child,
    habits: &'static Habits,
}

impl Server {
    /// Starts a server on a copy of the template, again where another test took the port between finding it free and
    /// listening on it. `command` starts one whose files are in `data` of a directory, on a port.
    pub(crate) fn start(
        habits: &'static Habits,
        account: &Account,
        template: &Path,
        command: impl Fn(&Path, u16) -> Command,
    ) -> Self {
        let mut failure = String::new();
        for _ in 0..5 {
            match Self::start_on_free_port(habits, account, template, &command) {
                Ok(server) => return server,
                Err(log) => failure = log,
            }
        }
        panic!("{} did not start: {failure}", habits.name);
    }

    /// Returns the log where the server does not start.
    fn start_on_free_port(
        habits: &'static Habits,
        account: &Account,
        template: &Path,
        command: impl Fn(&Path, u16) -> Command,
    ) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("gristmill-db-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        account.own(&dir);
        account.run(
            Command::new("cp")
                .args(["-R", "-p"])
                .arg(template)
                .arg(dir.join("data")),
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);

        let server = command(&dir, port);
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "sh"]).arg(&dir).arg(habits.signal);
        guard.arg(server.get_program()).args(server.get_args());
        // A process group of its own: an interrupt from the keyboard ends the test, and by that the server.
        account.become_in(&mut guard).process_group(0).current_dir(&dir);
        guard
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let guard = guard.spawn().expect("sh");
        let server = Self {
            dir,
            port,
            guard,
            habits,
        };
        server.wait_until_ready(0, Some(habits.failed)).map(|()| server)
    }

    /// Breaks the server off as a crash does, and starts it again; returns when it is ready.
    pub(crate) fn restart(&self) {
        let before = self.log().len();
        let mut guard = self.guard.stdin.as_ref().expect("a pipe");
        writeln!(guard).expect("the guard of the server");
        // Those who come too early make the log tell of failures.
        if let Err(log) = self.wait_until_ready(before, None) {
            panic!("{} did not start again: {log}", self.habits.name);
        }
    }

    /// Looks at what is logged from here on.
    fn wait_until_ready(&self, from: usize, failed: Option<&str>) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            let log = self.log();
            let new = log.get(from..).unwrap_or_default();
            if new.contains(self.habits.ready) {
                return Ok(());
            }
            if failed.is_some_and(|failed| new.contains(failed)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(self.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Who runs the server: servers refuse to be root.
pub(crate) struct Account(Option<User>);

impl Account {
    /// The account of the test, or for root the first of these that there is.
    pub(crate) fn find(names: &[&str]) -> Self {
        if !Uid::effective().is_root() {
            return Self(None);
        }
        let user = names.iter().find_map(|name| User::from_name(name).ok().flatten());
        match user {
            Some(user) => Self(Some(user)),
            None => panic!("the server refuses to run as root, and there is no user {names:?} to run it as"),
        }
    }

    pub(crate) fn own(&self, path: &Path) {
        if let Some(user) = &self.0 {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
        }
    }

    pub(crate) fn run(&self, command: &mut Command) {
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

    /// A data directory to copy: `make` makes it once per machine and version of the program, for that takes longer than
    /// all the rest. `kind` is changed when it is made differently.
    pub(crate) fn template(&self, kind: &str, program: &Path, make: impl FnOnce(&Path)) -> PathBuf {
        let uid = self.0.as_ref().map_or(Uid::effective(), |user| user.uid);
        let output = Command::new(program).arg("--version").output();
        let output = output.unwrap_or_else(|error| panic!("{program:?}: {error}"));
        let version: String = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '.' {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let home = std::env::temp_dir().join(format!("gristmill-template-{kind}-{uid}-{version}"));
        let template = home.join("data");
        let _ = fs::create_dir(&home);
        self.own(&home);
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("permissions");
        let lock = File::create(home.join("lock")).expect("a lock file");
        lock.lock().expect("the lock");
        if template.exists() {
            return template;
        }
        let new = home.join("new");
        let _ = fs::remove_dir_all(&new);
        make(&new);
        fs::rename(&new, &template).expect("the finished template");
        template
    }

    /// An authority, `root.crt`, and a certificate it signs for `localhost`, `server.crt` with `server.key`.
    pub(crate) fn certificates(&self, dir: &Path) {
        let openssl = |arguments: &[&str]| {
            self.run(
                Command::new("openssl")
                    .args(["req", "-x509", "-newkey", "ec"])
                    .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
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

    fn become_in<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match &self.0 {
            Some(user) => command.uid(user.uid.as_raw()).gid(user.gid.as_raw()),
            None => command,
        }
    }
}

/// Where a program is: on the path, or in one of these directories.
pub(crate) fn program(names: &[&str], directories: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(directories.iter().map(PathBuf::from))
        .collect();
    let mut candidates = names
        .iter()
        .flat_map(|name| directories.iter().map(move |dir| dir.join(name)));
    candidates.find(|program| program.is_file())
}

/// What a client program prints when it reads this SQL; it must succeed.
pub(crate) fn run_client(command: &mut Command, sql: &str) -> String {
    let mut client = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = client.stdin.take().expect("a pipe");
    // Written from another thread, for the client may be waiting to print.
    let sql = sql.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(sql.as_bytes()));
    let output = client.wait_with_output().expect("its output");
    let _ = writer.join();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {errors}", command.get_program());
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A password as it may stand in a URL.
pub(crate) fn in_url(password: &str) -> String {
    password
        .replace('%', "%25")
        .replace('/', "%2F")
        .replace('@', "%40")
}
