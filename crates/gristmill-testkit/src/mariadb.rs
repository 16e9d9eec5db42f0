//! A temporary MariaDB server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::server::{Account, Habits, Server, in_url, program, run_client};

/// A MariaDB server of its own, with TLS and a binary log, on a free port of 127.0.0.1 and on a socket.
///
/// `root` may enter without a password, [`TempMariaDb::PASSWORD_USER`] with one. There is a database `test`. The server ends and
/// its files go when this is dropped, or when the process ends in whatever way.
pub struct TempMariaDb {
    server: Server,
    client: PathBuf,
}

const HABITS: Habits = Habits {
    name: "MariaDB",
    signal: "KILL",
    ready: "ready for connections",
    failed: "Aborting",
};

/// Changed when the template is made differently.
const TEMPLATE: &str = "mariadb-1";

const LOG_SIZE: &str = "--innodb-log-file-size=4M";

impl TempMariaDb {
    /// The user that needs a password.
    pub const PASSWORD_USER: &str = "keeper";
    /// Its password.
    pub const PASSWORD: &str = "right-pass/word";

    /// Starts a server.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more options, such as `--skip-ssl`.
    pub fn start_with(options: &[&str]) -> Self {
        let found = |names: &[&str]| {
            program(names, &["/usr/sbin", "/usr/libexec", "/opt/homebrew/bin"]).unwrap_or_else(|| {
                panic!(
                    "no {} is installed; on Debian: apt-get install mariadb-server-core mariadb-client-core",
                    names[0]
                )
            })
        };
        let mariadbd = found(&["mariadbd", "mysqld"]);
        let install = found(&["mariadb-install-db", "mysql_install_db"]);
        let client = found(&["mariadb", "mysql"]);
        let account = Account::find(&["mysql", "nobody"]);
        let template = account.template(TEMPLATE, &mariadbd, |new| {
            make_template(&install, &mariadbd, &account, new);
        });
        let command = |dir: &Path, port: u16| {
            let mut command = Command::new(&mariadbd);
            let data = dir.join("data");
            let file = |option: &str, path: PathBuf| format!("--{option}={}", path.display());
            command
                .args(["--no-defaults", "--bind-address=127.0.0.1", LOG_SIZE])
                .arg(format!("--port={port}"))
                .arg(file("datadir", data.clone()))
                .arg(file("socket", dir.join("socket")))
                .arg(file("pid-file", dir.join("pid")))
                // A server that starts deletes the temporary tables it finds, those of others in a shared directory too.
                .arg(file("tmpdir", dir.to_owned()))
                .arg(file("log-bin", data.join("binlog")))
                .arg(file("ssl-cert", data.join("server.crt")))
                .arg(file("ssl-key", data.join("server.key")))
                .arg(file("ssl-ca", data.join("root.crt")))
                .args([
                    "--innodb-buffer-pool-size=32M",
                    "--innodb-flush-log-at-trx-commit=2",
                    "--innodb-flush-method=nosync",
                    "--sync-frm=OFF",
                    "--max-allowed-packet=64M",
                    "--character-set-server=utf8mb4",
                ])
                .args(options);
            command
        };
        let server = Server::start(&HABITS, &account, &template, command);
        Self { server, client }
    }

    /// The one server of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TempMariaDb> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Breaks the server off as a crash does, and starts it again; returns when it is ready. What was committed before is
    /// there again.
    pub fn restart(&self) {
        self.server.restart();
    }

    /// The URL of `root`, without a password, over TCP.
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/test", self.server.port)
    }

    /// The URL of [`Self::PASSWORD_USER`] with this password.
    pub fn url_with_password(&self, password: &str) -> String {
        let password = in_url(password);
        format!(
            "mariadb://{}:{password}@127.0.0.1:{}/test",
            Self::PASSWORD_USER,
            self.server.port
        )
    }

    /// The URL of `root` over the socket.
    pub fn socket_url(&self) -> String {
        format!(
            "mysql://root@localhost/test?socket={}",
            self.server.dir.join("socket").display()
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

    /// Runs SQL as `root` and returns what it prints, columns apart by tabs.
    pub fn execute(&self, sql: &str) -> String {
        let mut client = Command::new(&self.client);
        client
            .args([
                "--no-defaults",
                "--batch",
                "--binary-mode",
                "--skip-column-names",
                "--user=root",
            ])
            .args(["--default-character-set=utf8mb4", "--database=test"])
            .arg(format!("--socket={}", self.server.dir.join("socket").display()));
        run_client(&mut client, sql)
    }
}

fn make_template(install: &Path, mariadbd: &Path, account: &Account, new: &Path) {
    let data = format!("--datadir={}", new.display());
    account.run(
        Command::new(install)
            .args(["--no-defaults", "--skip-test-db", LOG_SIZE, &data])
            .arg("--auth-root-authentication-method=normal"),
    );
    account.certificates(new);
    // One statement a line.
    let sql = format!(
        "CREATE DATABASE test CHARACTER SET utf8mb4;\n\
         FLUSH PRIVILEGES;\n\
         CREATE USER {0}@127.0.0.1 IDENTIFIED BY '{1}', {0}@localhost IDENTIFIED BY '{1}';\n\
         GRANT ALL ON test.* TO {0}@127.0.0.1, {0}@localhost;",
        TempMariaDb::PASSWORD_USER,
        TempMariaDb::PASSWORD
    );
    let command = r#"printf '%s\n' "$1" | "$2" --no-defaults --bootstrap "$3" "$4""#;
    account.run(
        Command::new("sh")
            .args(["-c", command, "sh"])
            .arg(sql)
            .arg(mariadbd)
            .args([LOG_SIZE, &data]),
    );
}
