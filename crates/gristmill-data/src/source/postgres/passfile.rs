//! libpq's password file: `PGPASSFILE`, or else `~/.pgpass`, with lines `host:port:database:user:password`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where libpq and its packages put sockets by default: for one there, the lines of `localhost` hold.
const SOCKET_DIRECTORIES: [&str; 2] = ["/tmp", "/var/run/postgresql"];

/// What a password is looked up for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    /// The host as the URL names it, or the directory of a socket.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The file that the environment names.
pub(super) fn default_path() -> Option<PathBuf> {
    let named = std::env::var_os("PGPASSFILE").filter(|path| !path.is_empty());
    named
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".pgpass")))
}

/// The password of the first line that is for this login. A file that is not there or cannot be read has none.
///
/// # Errors
/// Why the file is not to be trusted.
pub(super) fn password(path: &Path, login: Login<'_>) -> Result<Option<Vec<u8>>, String> {
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(None);
    };
    if !metadata.is_file() {
        return Err(format!(
            "the password file {} is not a plain file",
            path.display()
        ));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        let path = path.display();
        return Err(format!(
            "the password file {path} has group or world access; it takes chmod 0600 {path}"
        ));
    }
    let Ok(text) = fs::read(path) else {
        return Ok(None);
    };
    Ok(text
        .split(|byte| *byte == b'\n')
        .find_map(|line| in_line(line, login)))
}

/// The password of a line, if it is for this login.
fn in_line(line: &[u8], login: Login<'_>) -> Option<Vec<u8>> {
    if line.starts_with(b"#") {
        return None;
    }
    let end = line
        .iter()
        .rposition(|byte| *byte != b'\r')
        .map_or(0, |last| last + 1);
    let host = if SOCKET_DIRECTORIES.contains(&login.host) {
        "localhost"
    } else {
        login.host
    };
    let port = login.port.to_string();
    let mut rest = &line[..end];
    for given in [host, &port, login.database, login.user] {
        let (field, after) = field(rest);
        let matches = rest.starts_with(b"*:") || field == given.as_bytes();
        rest = after.filter(|_| matches)?;
    }
    Some(field(rest).0)
}

/// What stands before the next colon, without the backslashes before colons and backslashes, and what stands after it.
fn field(line: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let mut field = Vec::new();
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match (byte, line.get(at + 1)) {
            (b':', _) => return (field, Some(&line[at + 1..])),
            (b'\\', Some(escaped)) => {
                field.push(*escaped);
                at += 2;
            }
            _ => {
                field.push(*byte);
                at += 1;
            }
        }
    }
    (field, None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LOGIN: Login<'_> = Login {
        host: "db.example",
        port: 5432,
        database: "music",
        user: "reader",
    };

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    fn found(text: &str, login: Login<'_>) -> Option<String> {
        let found = password(file(text, 0o600).path(), login).unwrap();
        found.map(|password| String::from_utf8(password).unwrap())
    }

    #[test]
    fn the_first_line_that_matches_has_the_password() {
        for (text, password) in [
            ("db.example:5432:music:reader:secret", Some("secret")),
            ("db.example:5432:music:reader:secret\r\n", Some("secret")),
            ("*:*:*:*:any\ndb.example:5432:music:reader:later", Some("any")),
            (
                "other:5432:music:reader:no\n\n*:5432:music:reader:yes\n",
                Some("yes"),
            ),
            ("#*:*:*:*:comment\n*:*:*:reader:yes", Some("yes")),
            (" #x\n *:*:*:*:blanks count", None),
            ("db.example:5433:music:reader:port", None),
            ("db.example:5432:musi:reader:prefix", None),
            ("db.example:5432:music2:reader:longer", None),
            ("db.example:5432:music:reader", None),
            ("db.example:5432:music:*", None),
            ("db.*:5432:music:reader:no pattern", None),
            ("DB.example:5432:music:reader:case", None),
            (r"*:*:*:*:a\:b\\c\d", Some(r"a:b\cd")),
            ("*:*:*:*:up to:here", Some("up to")),
            (r"*:*:*:*:end\", Some(r"end\")),
            ("*:*:*:*:", Some("")),
            ("", None),
        ] {
            assert_eq!(found(text, LOGIN).as_deref(), password, "{text}");
        }
    }

    #[test]
    fn names_may_hold_colons_and_stars() {
        let ipv6 = Login { host: "::1", ..LOGIN };
        assert_eq!(
            found(r"\:\:1:5432:music:reader:six", ipv6).as_deref(),
            Some("six")
        );
        assert_eq!(found("::1:5432:music:reader:six", ipv6), None);
        let star = Login {
            database: "*",
            ..LOGIN
        };
        assert_eq!(found(r"*:*:\*:reader:star", star).as_deref(), Some("star"));
        assert_eq!(found(r"*:*:\*:reader:star", LOGIN), None);
        let back = Login {
            user: r"a\b",
            ..LOGIN
        };
        assert_eq!(found(r"*:*:*:a\\b:back", back).as_deref(), Some("back"));
    }

    #[test]
    fn a_socket_where_it_is_by_default_is_on_localhost() {
        let text = "localhost:*:*:*:default\n/srv/sockets:*:*:*:own";
        for (host, password) in [
            ("/var/run/postgresql", Some("default")),
            ("/tmp", Some("default")),
            ("/srv/sockets", Some("own")),
            ("/srv", None),
            ("localhost", Some("default")),
            ("127.0.0.1", None),
        ] {
            assert_eq!(
                found(text, Login { host, ..LOGIN }).as_deref(),
                password,
                "{host}"
            );
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_ignored() {
        for mode in [0o640, 0o604, 0o660, 0o620, 0o610] {
            let file = file("*:*:*:*:secret", mode);
            let why = password(file.path(), LOGIN).unwrap_err();
            assert!(
                why.contains("group or world access") && !why.contains("secret"),
                "{why}"
            );
        }
        for mode in [0o600, 0o400, 0o700] {
            assert!(
                password(file("*:*:*:*:secret", mode).path(), LOGIN)
                    .unwrap()
                    .is_some()
            );
        }
        let why = password(Path::new("/"), LOGIN).unwrap_err();
        assert_eq!(why, "the password file / is not a plain file");
        assert_eq!(password(Path::new("/nowhere"), LOGIN), Ok(None));
    }
}
