//! The URL of a source: taken apart once, with its secrets inside, and shown without them.

mod keywords;

use std::fmt;

use percent_encoding::{percent_decode_str, utf8_percent_encode};

use crate::error::{Error, Result};
use crate::secret;
use keywords::{ENCODED, HARMLESS};

/// What stands for a secret.
const HIDDEN: &str = "***";

const FILES: [&str; 4] = ["sqlite", "parquet", "csv", "delta"];
const SERVERS: [&str; 4] = ["postgres", "postgresql", "mysql", "mariadb"];

/// A URL as it may be shown: `Display` and `Debug` say neither a password nor what a variable brought in. Only
/// `SourceUrl::revealed` does.
#[derive(Clone)]
pub struct SourceUrl {
    revealed: String,
    /// Without secrets, variables filled in.
    masked: String,
    /// Without secrets, variables as they are written.
    shown: String,
    problem: Option<String>,
}

/// The URL of a server, taken apart; names and values are as they are written.
struct Parts<'t> {
    scheme: &'t str,
    user: Option<&'t str>,
    password: Option<&'t str>,
    hosts: &'t str,
    database: Option<&'t str>,
    parameters: Vec<(&'t str, &'t str)>,
}

impl SourceUrl {
    /// A URL as the pipeline file has it, and with its variables filled in.
    pub fn filled(written: &str, value: &str) -> Self {
        let mut url = Self::from(value);
        let of_keywords = keywords::url(written);
        let written = of_keywords.as_deref().unwrap_or(written);
        let as_written = match scheme_of(written) {
            Some(scheme) if SERVERS.contains(&scheme) => {
                Parts::of(scheme, written).ok().map(|parts| parts.masked())
            }
            Some(_) => Some(written.to_owned()),
            None => None,
        };
        if let (None, Some(as_written)) = (&url.problem, as_written) {
            url.shown = as_written;
        }
        url
    }

    /// What is wrong with it, in words that repeat nothing of it.
    ///
    /// # Errors
    /// That.
    pub fn usable(&self) -> Result<()> {
        match &self.problem {
            Some(why) => Err(self.wrong(why.clone())),
            None => Ok(()),
        }
    }

    /// What stands before the first colon.
    pub fn scheme(&self) -> &str {
        scheme_of(&self.revealed).unwrap_or_default()
    }

    /// What it names: `database`, `source files` or `Delta table`.
    pub fn noun(&self) -> &'static str {
        match self.scheme() {
            "parquet" | "csv" => "source files",
            "delta" => "Delta table",
            _ => "database",
        }
    }

    /// The whole, with its secrets, everything in it percent-encoded that could be taken for something else.
    pub(crate) fn revealed(&self) -> &str {
        &self.revealed
    }

    /// Without secrets, but with variables filled in: what tells one source from another.
    pub(crate) fn masked(&self) -> &str {
        &self.masked
    }

    /// The service of libpq that it names.
    pub(crate) fn service(&self) -> Option<String> {
        let parts = Parts::of(self.scheme(), &self.revealed).ok()?;
        let named = parts.parameters.iter().find(|(name, _)| *name == "service");
        named.map(|(_, value)| decoded(value))
    }

    /// The same with what a service says, where the URL does not say it itself. It is shown as it was.
    ///
    /// # Errors
    /// When that can be no part of a URL.
    pub(crate) fn with_service(&self, service: &[(String, String)]) -> Result<Self> {
        let parts = Parts::of(self.scheme(), &self.revealed).map_err(|why| self.wrong(why.to_owned()))?;
        let named = |name: &str, value: Option<&str>| {
            let value = value.filter(|value| !value.is_empty())?;
            Some((name.to_owned(), decoded(value)))
        };
        let own = [
            named("user", parts.user),
            named("password", parts.password),
            named("dbname", parts.database),
        ];
        let parameters = parts.parameters.iter().filter(|(name, _)| *name != "service");
        let parameters = parameters.map(|(name, value)| (decoded(name), decoded(value)));
        let own = own.into_iter().flatten().chain(parameters);
        let merged = keywords::with_service(parts.hosts, own, service);
        let merged = merged.ok_or_else(|| self.wrong("its service has ports for other hosts".to_owned()))?;
        let merged = Self::from(merged.as_str());
        merged
            .usable()
            .map_err(|_| self.wrong("its service has a host that is none".to_owned()))?;
        Ok(Self {
            masked: self.masked.clone(),
            shown: self.shown.clone(),
            ..merged
        })
    }

    /// An error about it.
    pub(crate) fn wrong(&self, why: String) -> Error {
        Error::Url {
            url: self.to_string(),
            why,
        }
    }

    /// A text that cannot be used. Nobody knows which part of it is the password, so all of it is kept from being shown, also
    /// where the line of the pipeline file is.
    fn unusable(text: &str, shown: &str, why: &str) -> Self {
        if text.contains(['@', '=']) {
            secret::keep(text, HIDDEN, false);
        }
        Self {
            revealed: String::new(),
            masked: shown.to_owned(),
            shown: shown.to_owned(),
            problem: Some(why.to_owned()),
        }
    }
}

/// A URL without variables.
impl From<&str> for SourceUrl {
    fn from(url: &str) -> Self {
        if let Some(url) = keywords::url(url) {
            return Self::from(url);
        }
        let Some(scheme) = scheme_of(url) else {
            return match url.split_once(':') {
                _ if is_keywords(url) => Self::unusable(
                    url,
                    HIDDEN,
                    "these are keywords and values, and not those of libpq; write scheme://user:password@host:port/database",
                ),
                Some((scheme, _)) if is_name(scheme) => Self::unusable(
                    url,
                    &format!("{scheme}:{HIDDEN}"),
                    &format!("unknown kind of database `{scheme}`"),
                ),
                _ => Self::unusable(url, HIDDEN, "no `scheme:` in front"),
            };
        };
        if FILES.contains(&scheme) {
            // No path is like that; an object store's name is, which is refused later on.
            let shown = match url.contains("://") && url.contains('@') {
                true => format!("{scheme}:{HIDDEN}"),
                false => url.to_owned(),
            };
            return Self {
                revealed: url.to_owned(),
                masked: shown.clone(),
                shown,
                problem: None,
            };
        }
        match Parts::of(scheme, url) {
            Ok(parts) => {
                parts.keep_secrets();
                Self {
                    revealed: parts.encoded(),
                    masked: parts.masked(),
                    shown: parts.masked(),
                    problem: None,
                }
            }
            Err(why) => Self::unusable(url, &format!("{scheme}://{HIDDEN}"), why),
        }
    }
}

impl From<String> for SourceUrl {
    fn from(url: String) -> Self {
        url.as_str().into()
    }
}

impl Default for SourceUrl {
    fn default() -> Self {
        "".into()
    }
}

/// The same with its variables filled in.
impl PartialEq for SourceUrl {
    fn eq(&self, other: &Self) -> bool {
        (&self.revealed, &self.problem) == (&other.revealed, &other.problem)
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(f)
    }
}

/// Whether a text has the scheme of a source, and is therefore a URL with parts of its own.
pub fn has_scheme(text: &str) -> bool {
    scheme_of(text).is_some() || keywords::url(text).is_some()
}

/// Whether a text that should name a file may hold a password: then it is shown as a [`SourceUrl`] is, and not as it is.
pub fn may_hold_password(text: &str) -> bool {
    let lower = text.to_lowercase();
    text.contains("://")
        || text.contains(':') && text.contains('@')
        || is_keywords(text) && (lower.contains("pass") || lower.contains("pwd"))
}

/// A password that is not in the URL: kept from being shown, unless it is a name that is shown anyway.
pub(crate) fn keep_password(password: &str, shown: &[&str]) {
    if !shown.contains(&password) {
        secret::keep(password, HIDDEN, false);
    }
}

fn scheme_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once(':')?;
    let known = FILES.contains(&scheme) || SERVERS.contains(&scheme) && rest.starts_with("//");
    known.then_some(scheme)
}

fn is_name(text: &str) -> bool {
    text.len() <= 20
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c == '+')
}

/// `host=… password=…`, or `Driver={…};Pwd=…`.
fn is_keywords(text: &str) -> bool {
    let first = text.split(['=', ';']).next().unwrap_or_default().trim();
    text.contains('=')
        && !first.is_empty()
        && first.chars().all(|c| c.is_alphanumeric() || c == ' ' || c == '_')
}

impl<'t> Parts<'t> {
    /// As libpq and the clients of MySQL read it: what stands before an `@` that no `/` precedes is user and password.
    /// Where another reading would lead to another host, it is refused.
    fn of(scheme: &'t str, url: &'t str) -> Result<Self, &'static str> {
        const ENCODE: &str = "in a user name or password, write %2F for /, %3F for ?, %40 for @; also %40 for an @ behind the host";
        let rest = url.get(scheme.len() + "://".len()..).unwrap_or_default();
        let slash = rest.find('/').unwrap_or(rest.len());
        if rest[slash..].contains('@') {
            return Err(ENCODE);
        }
        let (user, rest) = match (rest.find('@'), rest.rfind('@')) {
            (Some(first), Some(last)) if rest[first..last].contains('?') => return Err(ENCODE),
            (_, Some(last)) => (Some(&rest[..last]), &rest[last + 1..]),
            _ => (None, rest),
        };
        let (user, password) = match user.and_then(|user| user.split_once(':')) {
            Some((user, password)) => (Some(user), Some(password)),
            None => (user, None),
        };
        if [user, password]
            .into_iter()
            .flatten()
            .any(|text| !is_encoded(text))
        {
            return Err(
                "a % in a user name or password takes two hexadecimal digits; write %25 for a plain %",
            );
        }
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = match rest.split_once('/') {
            Some((hosts, database)) => (hosts, Some(database)),
            None => (rest, None),
        };
        if !hosts.split(',').all(is_host) {
            return Err(
                "what stands for host:port is none; a user and a password end with @, \
                 and characters such as / ? @ in them are percent-encoded (%2F %3F %40)",
            );
        }
        let parameters = parameters.split('&').filter(|parameter| !parameter.is_empty());
        let parameters: Option<Vec<_>> = parameters.map(|parameter| parameter.split_once('=')).collect();
        let parameters =
            parameters.ok_or("a parameter behind the ? has no =; write %3F for a ? in a password")?;
        Ok(Self {
            scheme,
            user,
            password,
            hosts,
            database,
            parameters,
        })
    }

    /// With every part percent-encoded, as the drivers want it.
    fn encoded(&self) -> String {
        let again = |text: &str| encoded(&decoded(text));
        let user = again(self.user.unwrap_or_default());
        let password = self.password.map(again);
        let parameters = self
            .parameters
            .iter()
            .map(|(name, value)| format!("{}={}", again(name), again(value)));
        self.joined(
            &user,
            password.as_deref(),
            &again(self.database.unwrap_or_default()),
            parameters.collect(),
        )
    }

    /// Without what is secret.
    fn masked(&self) -> String {
        let parameters = self.parameters.iter().map(|(name, value)| {
            let plain = decoded(name);
            match () {
                () if HARMLESS.contains(&plain.as_str()) => format!("{plain}={value}"),
                () if is_name(&plain) => format!("{plain}={HIDDEN}"),
                () => HIDDEN.to_owned(),
            }
        });
        let user = self.user.unwrap_or_default();
        self.joined(
            user,
            self.password.map(|_| HIDDEN),
            self.database.unwrap_or_default(),
            parameters.collect(),
        )
    }

    fn joined(&self, user: &str, password: Option<&str>, database: &str, parameters: Vec<String>) -> String {
        let mut url = format!("{}://{user}", self.scheme);
        if let Some(password) = password {
            url.push(':');
            url.push_str(password);
        }
        if self.user.is_some() {
            url.push('@');
        }
        url.push_str(self.hosts);
        if self.database.is_some() {
            url.push('/');
            url.push_str(database);
        }
        if !parameters.is_empty() {
            url.push('?');
            url.push_str(&parameters.join("&"));
        }
        url
    }

    fn keep_secrets(&self) {
        let names = [
            self.scheme,
            self.user.unwrap_or_default(),
            self.hosts,
            self.database.unwrap_or_default(),
        ];
        if let Some(password) = self.password {
            keep_password(password, &names);
        }
        for (name, value) in &self.parameters {
            if !HARMLESS.contains(&decoded(name).as_str()) {
                keep_password(value, &names);
            }
        }
    }
}

/// `host`, `host:port`, `[::1]:port` or nothing, where the host is another parameter.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(address) => match address.split_once(']') {
            Some((host, "")) => (host, ""),
            Some((host, port)) if port.starts_with(':') => (host, &port[1..]),
            _ => return false,
        },
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let is_port = port.chars().all(|c| c.is_ascii_digit()) || port.starts_with("${");
    is_port && !host.contains(|c: char| c.is_whitespace())
}

/// Whether every `%` begins the code of a byte.
fn is_encoded(text: &str) -> bool {
    text.match_indices('%').all(|(at, _)| {
        let code = text.as_bytes().get(at + 1..at + 3);
        code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit))
    })
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_url_does_not_say_its_service_says() {
        let service: Vec<(String, String)> = [
            ("host", "db.example"),
            ("port", "5433"),
            ("user", "reader"),
            ("password", "p@:/"),
            ("dbname", "music"),
            ("sslmode", "require"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        for (text, expected) in [
            (
                "service=s",
                "postgresql://reader:p%40%3A%2F@db.example:5433/music?sslmode=require",
            ),
            (
                "postgres:///?service=s&sslmode=disable",
                "postgresql://reader:p%40%3A%2F@db.example:5433/music?sslmode=disable",
            ),
            (
                "postgresql://me@other/db?service=s",
                "postgresql://me:p%40%3A%2F@other:5433/db?sslmode=require",
            ),
            (
                "postgresql://me:x@[::1]:1/db?service=s",
                "postgresql://me:x@[::1]:1/db?sslmode=require",
            ),
            (
                "service=s host=/run/pg password=''",
                "postgresql://reader:p%40%3A%2F@/music?sslmode=require&host=%2Frun%2Fpg&port=5433",
            ),
        ] {
            let url = SourceUrl::from(text);
            assert_eq!(url.service().as_deref(), Some("s"), "{text}");
            let merged = url
                .with_service(&service)
                .map(|url| (url.revealed().to_owned(), url.to_string()));
            let merged = merged.unwrap_or_default();
            assert_eq!(merged.0, expected, "{text}");
            assert!(
                merged.1.contains("service=s") && !merged.1.contains("db.example"),
                "{}",
                merged.1
            );
        }
        assert_eq!(SourceUrl::from("postgres://h/d").service(), None);
    }

    #[test]
    fn secrets_are_not_shown_wherever_they_stand() {
        for (url, shown) in [
            ("sqlite:a.db", "sqlite:a.db"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            (
                "postgres://u:LEAK@h:5432/db?sslmode=require",
                "postgres://u:***@h:5432/db?sslmode=require",
            ),
            ("mysql://u:LEAK@h", "mysql://u:***@h"),
            (
                "postgres://h/db?user=u&password=LEAK&port=1",
                "postgres://h/db?user=u&password=***&port=1",
            ),
            ("postgres://h/db?passwd=LEAK", "postgres://h/db?passwd=***"),
            ("postgres://h/db?pass%77ord=LEAK", "postgres://h/db?password=***"),
            ("postgres://h/db?PASSWORD=LEAK", "postgres://h/db?***"),
            ("postgres://h/db?LEAK=x", "postgres://h/db?***"),
            (
                "postgres://h/db?options=-c%20my.token%3DLEAK",
                "postgres://h/db?options=***",
            ),
            ("postgres://[::1]:5432/db", "postgres://[::1]:5432/db"),
            // Without an @, and none of these can be used.
            ("postgres://u:LEAK", "postgres://***"),
            ("postgres://u:LEAK/db", "postgres://***"),
            ("host=h user=u password=LEAK", "postgresql://u:***@h"),
            ("host=h password='a:LEAK'", "postgresql://:***@h"),
            ("host=h passwd=LEAK", "***"),
            ("Driver={PostgreSQL};Server=h;Pwd=LEAK;", "***"),
            ("jdbc:postgresql://u:LEAK@h/db", "jdbc:***"),
            ("u:LEAK@h/db", "u:***"),
            ("LEAK", "***"),
            ("csv:s3://me:LEAK@bucket/a.csv", "csv:***"),
        ] {
            let parsed = SourceUrl::from(url);
            assert_eq!(parsed.to_string(), shown, "{url}");
            let problem = parsed
                .usable()
                .map_or_else(|error| error.to_string(), |()| String::new());
            assert!(
                !format!("{parsed:?}{problem}").contains("LEAK"),
                "{url}: {problem}"
            );
        }
    }

    #[test]
    fn a_password_may_have_any_character_or_it_is_said_how_to_write_it() {
        for (written, password) in [
            ("plain", Ok("plain")),
            ("a:b#c", Ok("a%3Ab%23c")),
            ("a@b", Ok("a%40b")),
            ("a?b=c", Ok("a%3Fb%3Dc")),
            ("a%40%2F", Ok("a%40%2F")),
            ("pä ß", Ok("p%C3%A4%20%C3%9F")),
            ("a/b", Err("%2F for /")),
            ("5/b", Err("%2F for /")),
            ("5/b?c=d", Err("%2F for /")),
            ("a@b?c", Err("%3F for ?")),
            ("a%b", Err("%25 for a plain %")),
            ("a%4", Err("%25 for a plain %")),
        ] {
            for scheme in ["postgres", "mysql"] {
                let url = SourceUrl::from(format!("{scheme}://u:{written}@h:1/db?sslmode=disable"));
                match password {
                    Ok(password) => assert_eq!(
                        url.revealed(),
                        format!("{scheme}://u:{password}@h:1/db?sslmode=disable")
                    ),
                    Err(way_out) => {
                        let why = url
                            .usable()
                            .err()
                            .map(|error| error.to_string())
                            .unwrap_or_default();
                        assert!(why.contains(way_out) && !why.contains(written), "{why}");
                    }
                }
            }
        }
        // Which @ ends the password could not be told.
        for url in ["postgres://h:1/db?user=a@b", "postgres://u:p@h?user=a@b"] {
            assert!(SourceUrl::from(url).usable().is_err(), "{url}");
        }
    }

    #[test]
    fn variables_are_shown_as_they_are_written() {
        for (written, value, shown, masked) in [
            (
                "postgres://${U}:${P}@${H}:${PORT}/${DB}",
                "postgres://me:LEAK@host:1/music",
                "postgres://${U}:***@${H}:${PORT}/${DB}",
                "postgres://me:***@host:1/music",
            ),
            (
                "${URL}",
                "postgres://me:LEAK@host/music",
                "postgres://me:***@host/music",
                "postgres://me:***@host/music",
            ),
            (
                "host=${H} port=${PORT} user=${U} password=${P} dbname=music",
                "host=host port=1 user=me password=LEAK dbname=music",
                "postgresql://${U}:***@${H}:${PORT}/music",
                "postgresql://me:***@host:1/music",
            ),
            (
                "${DSN}",
                "host=host user=me password=LEAK",
                "postgresql://me:***@host",
                "postgresql://me:***@host",
            ),
            (
                "sqlite:${DIR}/a.db",
                "sqlite:/srv/a.db",
                "sqlite:${DIR}/a.db",
                "sqlite:/srv/a.db",
            ),
        ] {
            let url = SourceUrl::filled(written, value);
            assert_eq!((url.to_string().as_str(), url.masked()), (shown, masked));
        }
    }
}
