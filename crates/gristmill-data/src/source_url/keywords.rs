//! Connection strings of libpq, `host=… user=… password='…'`, as URLs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the characters that are themselves anywhere in a URL.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Parameters whose values may be shown. Any other may be a password under another name, or hold one.
pub(super) const HARMLESS: [&str; 20] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "passfile",
    "port",
    "read_timeout",
    "service",
    "socket",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "user",
];

/// Keywords of libpq besides those whose values may be shown.
const OTHERS: [&str; 2] = ["options", "password"];

/// What a value may hold as it is: also the variables of a pipeline file, which are filled in elsewhere.
const VALUE: &AsciiSet = &ENCODED.remove(b'$').remove(b'{').remove(b'}');

/// The URL of a connection string; `None` if it is no string of keywords that libpq knows.
///
/// As in libpq, a value with blanks stands in single quotes, and a backslash makes a quote or a backslash plain.
pub(super) fn url(text: &str) -> Option<String> {
    of_pairs(pairs(text)?)
}

/// The URL of what a URL with these hosts says itself, and of what its service says besides; `None` where ports are not those of
/// hosts.
pub(super) fn with_service(
    hosts: &str,
    own: impl Iterator<Item = (String, String)>,
    service: &[(String, String)],
) -> Option<String> {
    let mut pairs: Vec<(String, String)> = own.collect();
    let hosts = hosts.split(',').filter(|host| !host.is_empty());
    let (hosts, ports): (Vec<&str>, Vec<&str>) = hosts
        .map(|host| match host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (host, ""),
        })
        .unzip();
    if !hosts.is_empty() {
        let plain = |host: &&str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let names: Vec<String> = hosts.iter().map(plain).collect();
        pairs.push(("host".to_owned(), names.join(",")));
        if ports.iter().any(|port| !port.is_empty()) {
            pairs.push(("port".to_owned(), ports.join(",")));
        }
    }
    for (name, value) in service {
        if !pairs.iter().any(|(known, _)| known == name) {
            pairs.push((name.clone(), value.clone()));
        }
    }
    of_pairs(pairs)
}

fn of_pairs(mut pairs: Vec<(String, String)>) -> Option<String> {
    let mut take = |name: &str| {
        let at = pairs.iter().position(|(known, _)| known == name)?;
        Some(pairs.remove(at).1)
    };
    let (user, password, database) = (take("user"), take("password"), take("dbname"));
    let (host, port) = (take("host"), take("port"));
    // Those of ADO are parted by semicolons, and libpq would take all of them for the host.
    if host
        .iter()
        .chain(&port)
        .any(|value| value.contains([';', '=', ' ']))
    {
        return None;
    }
    // A whole URL or string within a value may hold a password, which the server would repeat in its answer.
    let nested =
        |value: &&String| value.contains("://") || value.contains("password=") || value.contains(';');
    if user.iter().chain(&database).find(nested).is_some() || user.iter().any(|user| user.contains(':')) {
        return None;
    }
    let mut url = "postgresql://".to_owned();
    if let Some(user) = &user {
        url.push_str(&encoded(user));
    }
    if let Some(password) = &password {
        url.push(':');
        url.push_str(&encoded(password));
    }
    if user.is_some() || password.is_some() {
        url.push('@');
    }
    match host {
        // The folder of a socket is no part of a URL that stands for a host.
        Some(host) if host.starts_with('/') => {
            pairs.push(("host".to_owned(), host));
            pairs.extend(port.map(|port| ("port".to_owned(), port)));
        }
        Some(host) => url.push_str(&hosts(&host, port.as_deref())?),
        None => pairs.extend(port.map(|port| ("port".to_owned(), port))),
    }
    if let Some(database) = &database {
        url.push('/');
        url.push_str(&encoded(database));
    }
    for (at, (name, value)) in pairs.iter().enumerate() {
        url.push(if at == 0 { '?' } else { '&' });
        url.push_str(&format!("{name}={}", encoded(value)));
    }
    Some(url)
}

/// Each host with its port; of several hosts with one port each has that.
fn hosts(hosts: &str, port: Option<&str>) -> Option<String> {
    let ports: Vec<&str> = port.map(|port| port.split(',').collect()).unwrap_or_default();
    let hosts: Vec<&str> = hosts.split(',').collect();
    if !matches!(ports.len(), 0 | 1) && ports.len() != hosts.len() {
        return None;
    }
    let of = |(at, host): (usize, &&str)| {
        let port = ports.get(at).or(ports.first()).filter(|port| !port.is_empty());
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => (*host).to_owned(),
        };
        port.map_or(host.clone(), |port| format!("{host}:{port}"))
    };
    Some(hosts.iter().enumerate().map(of).collect::<Vec<_>>().join(","))
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

/// Keywords and values, of keywords given twice the last.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        if !HARMLESS.contains(&name) && !OTHERS.contains(&name) {
            return None;
        }
        let (value, after) = value(after.trim_start())?;
        pairs.retain(|(known, _)| known != name);
        pairs.push((name.to_owned(), value));
        rest = after.trim_start();
    }
    (!pairs.is_empty()).then_some(pairs)
}

/// The value at the start of a text, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.push(characters.next()?.1),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Some((value, &text[at..])),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_are_urls() {
        for (text, expected) in [
            ("host=h", Some("postgresql://h")),
            (
                "host=h port=1 dbname=d user=u password=p sslmode=require",
                Some("postgresql://u:p@h:1/d?sslmode=require"),
            ),
            (
                r"host = h user=u password = 'it\'s a \\ /@?'",
                Some("postgresql://u:it%27s%20a%20%5C%20%2F%40%3F@h"),
            ),
            (r"host=h password=a\ b", Some("postgresql://:a%20b@h")),
            ("host=a,b port=1,2", Some("postgresql://a:1,b:2")),
            ("host=a,b port=1", Some("postgresql://a:1,b:1")),
            ("host=::1 port=1", Some("postgresql://[::1]:1")),
            (
                "host=/run/pg port=1 user=u",
                Some("postgresql://u@?host=%2Frun%2Fpg&port=1"),
            ),
            ("dbname=a dbname=b host=h", Some("postgresql://h/b")),
            ("host=h password=''", Some("postgresql://:@h")),
            (
                "host=h options='-c a=b'",
                Some("postgresql://h?options=-c%20a%3Db"),
            ),
            ("postgres://h/db", None),
            ("postgres://h/db?user=u", None),
            ("sqlite:a=b.db", None),
            ("Driver={PostgreSQL};Server=h", None),
            ("host=h passwd=x", None),
            ("host=h;port=1;user=u;password=LEAK", None),
            ("host=h password='open", None),
            ("host=h dbname=postgres://u:LEAK@h/db", None),
            ("host=h dbname='host=h password=LEAK'", None),
            ("host=h user=u:LEAK dbname=db", None),
            ("host", None),
            ("", None),
        ] {
            assert_eq!(url(text).as_deref(), expected, "{text}");
        }
    }
}
