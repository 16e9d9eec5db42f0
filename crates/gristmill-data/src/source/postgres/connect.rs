//! From a URL to a connection, with messages that name the way out.

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use nix::unistd::{Uid, User};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Connection};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result};
use crate::guard::caught_async;
use crate::source::limits::Limits;
use crate::source::postgres::errors::{
    End, LastWords, broke_off, chain, may_pass, query_error, server_message,
};
use crate::source::postgres::hosts::{names, places};
use crate::source::postgres::tls::{self, Verify};
use crate::source::postgres::{passfile, service};
use crate::source::tls_words::in_words;
use crate::source_url::{SourceUrl, keep_password};

/// After so long a silence the system asks whether the server is still there, each few seconds, a few times.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(10);
const KEEPALIVE_TRIES: u32 = 6;

/// Limits meant for small questions, which a batch is not, nor the wait for one being written. A role may have any of them, and
/// then they hold from the first statement on, unless the start of the connection says otherwise.
const NO_LIMITS: &str = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 \
    -c default_transaction_deferrable=off";
/// Those that came with later versions: a server does not begin with a setting that it does not know.
const LATER_LIMITS: [(u32, &str); 2] = [(14, "idle_session_timeout"), (17, "transaction_timeout")];

/// An open connection.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) last_words: LastWords,
    pub(super) limits: Limits,
}

/// Opens a connection and lets it run until the client is dropped.
pub(crate) async fn connect(url: &SourceUrl) -> Result<Connected> {
    let environment = Environment {
        password: std::env::var("PGPASSWORD").ok(),
        passfile: passfile::default_path(),
    };
    let address = Address::parse(&service::resolved(url)?, environment)?;
    let connector = tls::connector(
        address.verify,
        address.root_certificate.as_deref(),
        &url.to_string(),
    )?;
    let opened = match address.open(url, connector.clone(), NO_LIMITS).await {
        // So say those in between that keep connections ready; then they are lifted in the transaction.
        Err(error) if error.to_string().contains("startup parameter") => {
            address.open(url, connector.clone(), "").await
        }
        opened => opened,
    };
    let (connected, version) = opened?;
    let later = LATER_LIMITS
        .iter()
        .filter(|(since, _)| version >= *since)
        .map(|(_, name)| name);
    let later: Vec<String> = later.map(|name| format!("{name}=0")).collect();
    if later.is_empty() {
        return Ok(connected);
    }
    let set: String = later.iter().map(|setting| format!("SET {setting};")).collect();
    let lift = async {
        let lifted = connected.client.batch_execute(&set).await;
        lifted.map_err(|error| query_error(&url.to_string(), &error))
    };
    if address
        .limits
        .connecting(&url.to_string(), "the server", lift)
        .await
        .is_ok()
    {
        return Ok(connected);
    }
    // They are so short that they ended even this.
    let settings: String = later.iter().map(|setting| format!(" -c {setting}")).collect();
    let again = address
        .open(url, connector, &format!("{NO_LIMITS}{settings}"))
        .await;
    again.map(|(connected, _)| connected)
}

/// A URL taken apart.
struct Address {
    config: Config,
    limits: Limits,
    password: Origin,
    verify: Verify,
    root_certificate: Option<String>,
}

/// Where the environment has passwords for URLs without one.
#[derive(Default)]
struct Environment {
    password: Option<String>,
    passfile: Option<PathBuf>,
}

/// Where the password is from.
#[derive(Debug, PartialEq)]
enum Origin {
    Url,
    Environment,
    File(PathBuf),
    /// There is none; with the reason why a file was not looked into.
    Nowhere(Option<String>),
}

impl Address {
    /// Takes libpq's parameters out that the driver does not know, and leaves it the rest.
    fn parse(url: &SourceUrl, mut environment: Environment) -> Result<Self> {
        url.usable()?;
        let wrong = |why: String| url.wrong(why);
        let (base, parameters) = url.revealed().split_once('?').unwrap_or((url.revealed(), ""));
        let (mut mode, mut root_certificate) = ("prefer".to_owned(), None);
        let (mut rest, mut limits) = (Vec::new(), Limits::default());
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "sslmode" => mode = value,
                "sslrootcert" => root_certificate = Some(value),
                "passfile" => environment.passfile = Some(value.into()),
                _ if limits.take(name, &value).map_err(wrong)? => {}
                _ => rest.push(parameter),
            }
        }
        let (ssl_mode, verify) = match (mode.as_str(), &root_certificate) {
            ("disable", _) => (SslMode::Disable, Verify::Nothing),
            ("prefer", _) => (SslMode::Prefer, Verify::Nothing),
            ("require", None) => (SslMode::Require, Verify::Nothing),
            // As libpq does: who names a root certificate wants it looked at.
            ("require", Some(_)) | ("verify-ca", _) => (SslMode::Require, Verify::Authority),
            ("verify-full", _) => (SslMode::Require, Verify::AuthorityAndName),
            _ => {
                let allowed = "disable, prefer, require, verify-ca or verify-full";
                return Err(wrong(format!("sslmode={mode} is not one of {allowed}")));
            }
        };
        let mut config: Config = format!("{base}?{}", rest.join("&"))
            .parse()
            .map_err(|error| wrong(chain(&error)))?;
        config.ssl_mode(ssl_mode);
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("it names no host".to_owned()));
        }
        let password = find_password(&mut config, environment);
        if let Some(found) = config.get_password() {
            let names = [config.get_user(), config.get_dbname()].map(Option::unwrap_or_default);
            keep_password(&String::from_utf8_lossy(found), &names);
        }
        if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
            config.keepalives_idle(KEEPALIVE);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(KEEPALIVE_AGAIN);
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(KEEPALIVE_TRIES);
        }
        if config.get_application_name().is_none() {
            config.application_name("gristmill");
        }
        Ok(Self {
            config,
            limits,
            password,
            verify,
            root_certificate,
        })
    }

    /// Connects to the first of the hosts that lets it, with these options; returns the server's version too.
    async fn open(
        &self,
        url: &SourceUrl,
        connector: MakeRustlsConnect,
        options: &str,
    ) -> Result<(Connected, u32)> {
        let shown = url.to_string();
        let mut failed = None;
        for place in places(&self.config, options) {
            let connector = connector.clone();
            let addresses = match self
                .limits
                .connecting(&shown, &place.name, place.addresses(&shown))
                .await
            {
                Ok(addresses) => addresses,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            for config in addresses {
                let opening = async {
                    let opened = config.connect(connector.clone()).await;
                    opened.map_err(|error| self.explain(url, &place.name, &error))
                };
                match self.limits.connecting(&shown, &place.name, opening).await {
                    Ok((client, connection)) => {
                        let version = connection.parameter("server_version").unwrap_or_default();
                        let major = version.split(|c: char| !c.is_ascii_digit()).next();
                        let version = major.and_then(|major| major.parse().ok()).unwrap_or_default();
                        let last_words = LastWords::default();
                        tokio::spawn(run(connection, last_words.clone()));
                        let limits = self.limits;
                        return Ok((
                            Connected {
                                client,
                                last_words,
                                limits,
                            },
                            version,
                        ));
                    }
                    Err(error) => failed = Some(error),
                }
            }
        }
        Err(failed.unwrap_or_else(|| Error::Url {
            url: shown,
            why: "it names no host".to_owned(),
        }))
    }

    fn explain(&self, url: &SourceUrl, place: &str, error: &tokio_postgres::Error) -> Error {
        let user = match self.config.get_user() {
            Some(user) => format!("user `{user}`"),
            None => "the system's user".to_owned(),
        };
        let why = match (error.as_db_error(), chain(error)) {
            (Some(server), _) if *server.code() == SqlState::INVALID_PASSWORD => {
                let origin = match &self.password {
                    Origin::Url | Origin::Nowhere(_) => "the URL".to_owned(),
                    Origin::Environment => "PGPASSWORD".to_owned(),
                    Origin::File(path) => format!("the password file {}", path.display()),
                };
                format!("{place} refused the password of {user}, which is from {origin}")
            }
            (Some(server), _) if *server.code() == SqlState::INVALID_CATALOG_NAME => {
                format!(
                    "{}; end the URL with the name of a database of that server",
                    server.message()
                )
            }
            (Some(server), _) => server_message(server, ""),
            (None, why) if why.contains("password missing") => {
                let ignored = match &self.password {
                    Origin::Nowhere(Some(why)) => format!("; {why}"),
                    _ => String::new(),
                };
                format!(
                    "{place} asks for the password of {user}; give it in the URL, in PGPASSWORD or in ~/.pgpass{ignored}"
                )
            }
            (None, why) if why.contains("does not support TLS") => {
                format!("{place} does not offer TLS, which sslmode asks for")
            }
            (None, why) => in_words(&why, place),
        };
        let url = url.to_string();
        // A server that is being started refuses connections, or breaks them off.
        let may_pass = match error.as_db_error() {
            Some(server) => may_pass(server),
            None => broke_off(error),
        };
        if may_pass {
            Error::Unavailable { url, why }
        } else {
            Error::Connect { url, why }
        }
    }
}

/// Lets a connection run to its end, and takes down why that came.
async fn run<S, T>(connection: Connection<S, T>, last_words: LastWords)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Box::pin(connection);
    let ended = caught_async("the connection", async { Ok(connection.as_mut().await) }).await;
    let end = match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => {
            tracing::debug!("the connection ended: {}", chain(&error));
            match error.as_db_error() {
                Some(server) => End::Said(server_message(server, "")),
                None if broke_off(&error) => return,
                None => End::NotUnderstood(chain(&error)),
            }
        }
        Err(panic) => End::NotUnderstood(panic.to_string()),
    };
    // Before the connection is dropped, by which the client learns of its end.
    let _ = last_words.set(end);
}

/// Finds the password as libpq does: in the URL, in the environment, in the file.
fn find_password(config: &mut Config, environment: Environment) -> Origin {
    if config.get_password().is_some_and(|password| !password.is_empty()) {
        return Origin::Url;
    }
    if let Some(password) = environment.password.filter(|password| !password.is_empty()) {
        config.password(password);
        return Origin::Environment;
    }
    let system_user = || Some(User::from_uid(Uid::effective()).ok()??.name);
    let user = config.get_user().map(str::to_owned).or_else(system_user);
    let (Some(path), Some(user)) = (environment.passfile, user) else {
        return Origin::Nowhere(None);
    };
    let ports = config.get_ports();
    let hosts = names(config);
    let found = hosts.iter().enumerate().map(|(i, host)| {
        let login = passfile::Login {
            host,
            port: *ports.get(i).or(ports.first()).unwrap_or(&5432),
            database: config.get_dbname().unwrap_or(&user),
            user: &user,
        };
        passfile::password(&path, login)
    });
    match found.collect::<Result<Vec<_>, String>>() {
        // The driver has one password for all hosts, and none is to be shown that of another.
        Ok(mut found) if found.iter().all(|password| *password == found[0]) => match found.pop().flatten() {
            Some(password) => {
                config.password(password);
                Origin::File(path)
            }
            None => Origin::Nowhere(None),
        },
        Ok(_) => Origin::Nowhere(Some(format!(
            "{} has not the same password for every host of the URL",
            path.display()
        ))),
        Err(why) => {
            // Once for all connections.
            static WARNED: Once = Once::new();
            WARNED.call_once(|| tracing::warn!("{why}; it is ignored"));
            Origin::Nowhere(Some(why))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address> {
        Address::parse(&url.into(), Environment::default())
    }

    fn password(url: &str, environment: Option<&str>) -> Option<String> {
        let environment = Environment {
            password: environment.map(str::to_owned),
            passfile: None,
        };
        let address = Address::parse(&url.into(), environment).unwrap();
        address
            .config
            .get_password()
            .map(|password| String::from_utf8(password.to_vec()).unwrap())
    }

    #[test]
    fn the_password_is_the_urls_or_that_of_the_environment() {
        assert_eq!(password("postgres://u@h/db", Some("b")).as_deref(), Some("b"));
        assert_eq!(password("postgres://u:a@h/db", Some("b")).as_deref(), Some("a"));
        assert_eq!(
            password("postgres://h/db?user=u&password=a", Some("b")).as_deref(),
            Some("a")
        );
        assert_eq!(
            password("postgres://u:a%40%2F@h/db", None).as_deref(),
            Some("a@/")
        );
        assert_eq!(password("postgres://u@h/db", Some("")), None);
        assert_eq!(password("postgres://u@h/db", None), None);
    }

    #[test]
    fn the_password_may_be_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "h:5432:u:u:by default\nh:7:db:u:for db\n\\:\\:1:*:*:*:six\nt:*:*:*:other\n/run/x:*:*:*:socket\n\
             h,g:*:*:*:no list\ng:7:db:u:for db\n",
        )
        .unwrap();
        let found = |url: &str, password: Option<&str>| {
            let environment = Environment {
                password: password.map(str::to_owned),
                passfile: Some(file.path().to_owned()),
            };
            let address = Address::parse(&url.into(), environment).unwrap();
            let password = address.config.get_password().map(<[u8]>::to_vec);
            (
                password.map(|password| String::from_utf8(password).unwrap()),
                address.password,
            )
        };
        let in_file = || Origin::File(file.path().to_owned());
        for (url, password) in [
            ("postgres://u@h", "by default"),
            ("postgres://u:@h", "by default"),
            ("postgres://u@h:7/db", "for db"),
            ("postgres://u@h:7,g:7/db", "for db"),
            ("postgres://u@[::1]/db", "six"),
            ("postgres:///db?user=u&host=/run/x", "socket"),
        ] {
            assert_eq!(found(url, None), (Some(password.to_owned()), in_file()), "{url}");
        }
        for url in ["postgres://u@h/db", "postgres://v@h:7/db", "postgres://u@x/db"] {
            assert_eq!(found(url, None), (None, Origin::Nowhere(None)), "{url}");
        }
        let (none, why) = found("postgres://u@h,t/u", None);
        assert!(none.is_none() && matches!(why, Origin::Nowhere(Some(why)) if why.contains("every host")));
        let environment = found("postgres://u@h", Some("e"));
        assert_eq!(environment, (Some("e".to_owned()), Origin::Environment));
        assert_eq!(
            found("postgres://u:x@h", Some("e")),
            (Some("x".to_owned()), Origin::Url)
        );
        // The URL may name another file.
        assert_eq!(
            found("postgres://u@h?passfile=/nowhere", None).1,
            Origin::Nowhere(None)
        );
    }

    #[test]
    fn sslmode_says_what_is_verified() {
        for (parameters, mode, verify) in [
            ("", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=disable", SslMode::Disable, Verify::Nothing),
            (
                "?sslmode=require&application_name=x",
                SslMode::Require,
                Verify::Nothing,
            ),
            (
                "?sslmode=require&sslrootcert=%2Fca.pem",
                SslMode::Require,
                Verify::Authority,
            ),
            ("?sslmode=verify-ca", SslMode::Require, Verify::Authority),
            ("?sslmode=verify-full", SslMode::Require, Verify::AuthorityAndName),
        ] {
            let address = parse(&format!("postgres://u@h:1/db{parameters}")).unwrap();
            assert_eq!(
                (address.config.get_ssl_mode(), address.verify),
                (mode, verify),
                "{parameters}"
            );
        }
    }

    #[test]
    fn wrong_urls_are_explained_without_the_password() {
        for (url, why) in [
            (
                "postgres://u:secret@h/db?sslmode=always",
                "sslmode=always is not one of disable, prefer",
            ),
            (
                "postgres://u:secret@h:port/db",
                "what stands for host:port is none",
            ),
            ("postgres://u:secret@h/db?colour=red", "unknown option `colour`"),
            ("postgres:///db?password=secret", "names no host"),
        ] {
            let message = parse(url).err().unwrap().to_string();
            assert!(message.contains(why) && !message.contains("secret"), "{message}");
        }
    }
}
