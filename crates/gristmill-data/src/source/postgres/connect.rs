//! From a URL to a connection, with messages that name the way out.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};

use super::tls::{self, Verify};
use super::{chain, server_message, session};
use crate::error::{Error, Result};
use crate::source::redact;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a connection and lets it run until the client is dropped.
pub(super) async fn connect(url: &str) -> Result<Client> {
    let address = Address::parse(url, std::env::var("PGPASSWORD").ok())?;
    let connector = tls::connector(address.verify, address.root_certificate.as_deref(), &redact(url))?;
    let (client, connection) = address
        .config
        .connect(connector)
        .await
        .map_err(|error| address.explain(url, &error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("the connection ended: {}", chain(&error));
        }
    });
    Ok(client)
}

/// A URL taken apart.
struct Address {
    config: Config,
    verify: Verify,
    root_certificate: Option<String>,
}

impl Address {
    /// Takes libpq's TLS parameters out, which the driver does not know, and leaves it the rest.
    fn parse(url: &str, environment_password: Option<String>) -> Result<Self> {
        let wrong = |why: String| Error::Url {
            url: redact(url),
            why,
        };
        let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut root_certificate) = ("prefer".to_owned(), None);
        let mut rest = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "sslmode" => mode = value,
                "sslrootcert" => root_certificate = Some(value),
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
        if config.get_password().is_none()
            && let Some(password) = environment_password.filter(|password| !password.is_empty())
        {
            config.password(password);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("gristmill");
        }
        Ok(Self {
            config,
            verify,
            root_certificate,
        })
    }

    fn explain(&self, url: &str, error: &tokio_postgres::Error) -> Error {
        let user = match self.config.get_user() {
            Some(user) => format!("user `{user}`"),
            None => "the system's user".to_owned(),
        };
        let host = match self.config.get_hosts() {
            [Host::Tcp(host), ..] => host.clone(),
            [Host::Unix(path), ..] => path.display().to_string(),
            [] => self
                .config
                .get_hostaddrs()
                .iter()
                .map(ToString::to_string)
                .collect(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let why = match (error.as_db_error(), chain(error)) {
            (Some(server), _) if *server.code() == SqlState::INVALID_PASSWORD => format!(
                "{host}:{port} refused the password of {user}; the password is the URL's, or else that in PGPASSWORD"
            ),
            (Some(server), _) if *server.code() == SqlState::INVALID_CATALOG_NAME => {
                format!(
                    "{}; end the URL with the name of a database of that server",
                    server.message()
                )
            }
            (Some(server), _) => server_message(server, ""),
            (None, why) if why.contains("password missing") => {
                format!("{host}:{port} asks for the password of {user}; give it in the URL or in PGPASSWORD")
            }
            (None, why) if why.contains("does not support TLS") => {
                format!("{host}:{port} does not offer TLS, which sslmode asks for")
            }
            (None, why) => format!("{why} ({host}:{port})"),
        };
        let url = redact(url);
        // A server that is being started refuses connections, or breaks them off.
        let may_pass = match error.as_db_error() {
            Some(server) => session::may_pass(server),
            None => std::error::Error::source(error).is_none_or(|cause| cause.is::<std::io::Error>()),
        };
        if may_pass {
            Error::Unavailable { url, why }
        } else {
            Error::Connect { url, why }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn password(url: &str, environment: Option<&str>) -> Option<String> {
        let address = Address::parse(url, environment.map(str::to_owned)).unwrap();
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
            let address = Address::parse(&format!("postgres://u@h:1/db{parameters}"), None).unwrap();
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
            ("postgres://u:secret@h:port/db", "invalid value for option `port`"),
            ("postgres://u:secret@h/db?colour=red", "unknown option `colour`"),
            ("postgres:///db?password=secret", "names no host"),
        ] {
            let message = Address::parse(url, None).err().unwrap().to_string();
            assert!(message.contains(why) && !message.contains("secret"), "{message}");
        }
    }
}
