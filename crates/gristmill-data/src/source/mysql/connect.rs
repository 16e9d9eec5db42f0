//! From a URL to a connection, with messages that name the way out.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{Conn, DriverError, Error as MyError, IoError, OptsBuilder, ServerError, SslOpts};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::{Error, Result};
use crate::source::limits::Limits;
use crate::source::tls_words::in_words;
use crate::source_url::{SourceUrl, keep_password};

/// After so long a silence the system asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What the driver would else ask for before anything is said of the session's limits: the protocol's largest packet, and
/// how long a connection may rest, in seconds, of which the driver makes nothing here.
const MAX_PACKET: usize = 1 << 30;
const WAIT: usize = 31_536_000;

// Of the server's error codes.
const ACCESS_TO_DATABASE_DENIED: u16 = 1044;
const ACCESS_DENIED: u16 = 1045;
const NO_SUCH_DATABASE: u16 = 1049;

/// Opens a connection, which ends when it is dropped, and says how long it may keep silent.
pub(crate) async fn connect(url: &SourceUrl) -> Result<(Conn, Limits)> {
    let address = Address::parse(url, std::env::var("MYSQL_PWD").ok())?;
    // The build holds several implementations of cryptography, and the driver uses what the process has chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let opening = async {
        let mut result = address.open(address.tls.clone()).await;
        if let Err(MyError::Driver(DriverError::NoClientSslFlagFromServer)) = result
            && address.tls_is_optional
        {
            result = address.open(None).await;
        }
        result.map_err(|error| address.explain(url, &error))
    };
    let opened = address
        .limits
        .connecting(&url.to_string(), &address.place, opening)
        .await?;
    Ok((opened, address.limits))
}

/// Whether the connection broke off: not what was said on it is at fault, but that it ended.
pub(super) fn broke_off(error: &MyError) -> bool {
    match error {
        MyError::Io(IoError::Io(error)) => {
            match error.kind() {
                ErrorKind::InvalidInput | ErrorKind::InvalidData => false,
                // So the driver calls a packet that is none, and one that is cut off.
                ErrorKind::Other => error.to_string().contains("bytes remaining on stream"),
                _ => error.get_ref().is_none_or(|cause| !cause.is::<rustls::Error>()),
            }
        }
        MyError::Driver(error) => {
            matches!(
                error,
                DriverError::ConnectionClosed | DriverError::PoolDisconnected
            )
        }
        _ => false,
    }
}

/// Whether what the server says may be otherwise the next time it is asked, on a new connection.
pub(super) fn may_pass(server: &ServerError) -> bool {
    [
        1040, // too many connections
        1203, // too many connections of the user
        1226, // the user's limit is reached
        1037, // out of memory
        1041, // out of memory
        1047, // a node of a cluster is not ready
        1053, // the server shuts down
        1077, // the server shuts down
        1159, // time-out of a read
        1161, // time-out of a write
        1205, // time-out of a lock
        1213, // deadlock
        1317, // the query was interrupted
        1412, // a table was changed since the snapshot
        1927, // the connection was killed
        1969, // max_statement_time
        3024, // max_execution_time
        4031, // the connection was idle for too long
    ]
    .contains(&server.code)
}

/// What went wrong on the way, without the driver's several prefixes.
pub(super) fn transport_error(error: &MyError) -> String {
    match error {
        MyError::Io(IoError::Io(error)) => error.to_string(),
        MyError::Io(IoError::Tls(error)) => error.to_string(),
        MyError::Driver(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// A URL taken apart.
struct Address {
    options: OptsBuilder,
    limits: Limits,
    tls: Option<SslOpts>,
    /// Whether to do without where the server has none.
    tls_is_optional: bool,
    user: String,
    has_password: bool,
    /// Host and port, or the socket.
    place: String,
}

impl Address {
    fn parse(url: &SourceUrl, environment_password: Option<String>) -> Result<Self> {
        url.usable()?;
        let wrong = |why: String| url.wrong(why);
        let parsed = Url::parse(url.revealed()).map_err(|error| wrong(error.to_string()))?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (mut mode, mut root_certificate, mut socket) = ("prefer".to_owned(), None, None);
        let mut limits = Limits::default();
        for (name, value) in parsed.query_pairs() {
            match &*name {
                "sslmode" => mode = value.into_owned(),
                "sslrootcert" => root_certificate = Some(value.into_owned()),
                "socket" => socket = Some(value.into_owned()),
                _ if limits.take(&name, &value).map_err(wrong)? => {}
                _ => {
                    return Err(wrong(format!(
                        "unknown option `{name}`; there are socket, sslmode, sslrootcert, connect_timeout and read_timeout"
                    )));
                }
            }
        }
        let host = parsed
            .host_str()
            .map(|host| decoded(host.trim_matches(['[', ']'])));
        let port = parsed.port().unwrap_or(3306);
        let place = match (&socket, &host) {
            (Some(socket), _) => socket.clone(),
            (None, Some(host)) => format!("{host}:{port}"),
            (None, None) => return Err(wrong("it names no host".to_owned())),
        };
        let password = parsed
            .password()
            .map(decoded)
            .or(environment_password)
            .filter(|password| !password.is_empty());
        let user = decoded(parsed.username());
        let database = Some(decoded(parsed.path().trim_start_matches('/'))).filter(|name| !name.is_empty());
        if let Some(password) = &password {
            keep_password(password, &[&user, database.as_deref().unwrap_or_default()]);
        }
        let has_password = password.is_some();
        let options = OptsBuilder::default()
            .ip_or_hostname(host.unwrap_or_default())
            .tcp_port(port)
            .socket(socket.clone())
            // What the URL says is where it connects to.
            .prefer_socket(false)
            .user(Some(user.clone()))
            .pass(password)
            .tcp_keepalive(Some(KEEPALIVE))
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(WAIT))
            .db_name(database);
        let tls = tls(&mode, root_certificate).map_err(wrong)?;
        Ok(Self {
            options,
            limits,
            // A socket does not leave the machine.
            tls: tls.filter(|_| socket.is_none()),
            tls_is_optional: mode == "prefer",
            user,
            has_password,
            place,
        })
    }

    async fn open(&self, tls: Option<SslOpts>) -> mysql_async::Result<Conn> {
        Conn::new(self.options.clone().ssl_opts(tls)).await
    }

    fn explain(&self, url: &SourceUrl, error: &MyError) -> Error {
        let (place, user) = (&self.place, &self.user);
        let why = match error {
            MyError::Server(server) if server.code == ACCESS_DENIED && self.has_password => format!(
                "{place} refused user `{user}` with this password; the password is the URL's, or else that in MYSQL_PWD"
            ),
            MyError::Server(server) if server.code == ACCESS_DENIED => {
                format!(
                    "{place} refused user `{user}` without a password; give it in the URL or in MYSQL_PWD"
                )
            }
            MyError::Server(server)
                if [NO_SUCH_DATABASE, ACCESS_TO_DATABASE_DENIED].contains(&server.code) =>
            {
                format!(
                    "{}; end the URL with the name of a database of that server",
                    server.message
                )
            }
            MyError::Server(server) => server.message.clone(),
            MyError::Driver(DriverError::NoClientSslFlagFromServer) => {
                format!("{place} does not offer TLS, which sslmode asks for")
            }
            error => in_words(&transport_error(error), place),
        };
        let url = url.to_string();
        // A server that is being started refuses connections, or breaks them off.
        let passes = match error {
            MyError::Server(server) => may_pass(server),
            error => broke_off(error),
        };
        if passes {
            Error::Unavailable { url, why }
        } else {
            Error::Connect { url, why }
        }
    }
}

/// TLS as libpq's `sslmode` defines it. It trusts the authorities in the file, or else (and for `system`) Mozilla's.
///
/// Without `verify-ca`: the driver knows no check of the authority that is not also one of the name.
fn tls(mode: &str, root_certificate: Option<String>) -> Result<Option<SslOpts>, String> {
    if root_certificate.is_some() && mode != "verify-full" {
        return Err(format!(
            "sslmode={mode} looks at no sslrootcert; on MySQL that takes sslmode=verify-full"
        ));
    }
    let unverified = SslOpts::default().with_danger_accept_invalid_certs(true);
    match (mode, root_certificate.filter(|path| path != "system")) {
        ("disable", _) => Ok(None),
        ("prefer" | "require", _) => Ok(Some(unverified)),
        ("verify-full", None) => Ok(Some(SslOpts::default())),
        ("verify-full", Some(path)) => {
            // The driver's own message would not say which file.
            std::fs::metadata(&path).map_err(|error| format!("sslrootcert {path}: {error}"))?;
            let roots = vec![PathBuf::from(path).into()];
            Ok(Some(
                SslOpts::default()
                    .with_root_certs(roots)
                    .with_disable_built_in_roots(true),
            ))
        }
        _ => Err(format!(
            "sslmode={mode} is not one of disable, prefer, require or verify-full"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use mysql_async::Opts;

    use super::*;

    fn options(url: &str, environment: Option<&str>) -> Opts {
        let address = Address::parse(&url.into(), environment.map(str::to_owned)).unwrap();
        address.options.into()
    }

    #[test]
    fn the_password_is_the_urls_or_that_of_the_environment() {
        for (url, environment, password) in [
            ("mysql://u@h/db", Some("b"), Some("b")),
            ("mysql://u:a@h/db", Some("b"), Some("a")),
            ("mariadb://u:a%40%2F@h/db", None, Some("a@/")),
            ("mysql://u@h/db", Some(""), None),
            ("mysql://u@h/db", None, None),
        ] {
            assert_eq!(options(url, environment).pass(), password, "{url}");
        }
    }

    #[test]
    fn the_parts_of_a_url_are_found() {
        let all = options("mysql://a%40b@[::1]:33/my%20db?socket=%2Frun%2Fs", None);
        assert_eq!((all.user(), all.db_name()), (Some("a@b"), Some("my db")));
        assert_eq!((all.ip_or_hostname(), all.tcp_port()), ("::1", 33));
        assert_eq!(all.socket(), Some("/run/s"));
        let few = options("mysql://h", None);
        assert_eq!(
            (few.user(), few.db_name(), few.tcp_port()),
            (Some(""), None, 3306)
        );
    }

    #[test]
    fn sslmode_says_what_is_verified() {
        // Whether there is TLS, whether a server may do without, whether certificate and name are checked.
        for (parameters, expected) in [
            ("", (true, true, false)),
            ("?sslmode=disable", (false, false, false)),
            ("?sslmode=require", (true, false, false)),
            ("?sslmode=verify-full", (true, false, true)),
            ("?sslmode=verify-full&sslrootcert=%2F", (true, false, true)),
        ] {
            let address = Address::parse(&format!("mysql://u@h:1/db{parameters}").into(), None).unwrap();
            let verified = address
                .tls
                .as_ref()
                .is_some_and(|tls| !tls.accept_invalid_certs());
            let found = (address.tls.is_some(), address.tls_is_optional, verified);
            assert_eq!(found, expected, "{parameters}");
        }
    }

    #[test]
    fn wrong_urls_are_explained_without_the_password() {
        for (url, why) in [
            (
                "mysql://u:secret@h/db?sslmode=always",
                "sslmode=always is not one of disable, prefer, require or verify-full",
            ),
            (
                "mysql://u:secret@h/db?sslmode=require&sslrootcert=/ca.pem",
                "that takes sslmode=verify-full",
            ),
            ("mysql://u:secret@h:port/db", "what stands for host:port is none"),
            (
                "mysql://u:secret@h/db?colour=red",
                "unknown option `colour`; there are socket",
            ),
            ("mysql:///db", "names no host"),
            (
                "mysql://u:secret@h/db?sslmode=verify-full&sslrootcert=/nowhere",
                "sslrootcert /nowhere: No such file",
            ),
        ] {
            let message = Address::parse(&url.into(), None).err().unwrap().to_string();
            assert!(message.contains(why) && !message.contains("secret"), "{message}");
        }
    }
}
