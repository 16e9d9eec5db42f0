//! libpq's service files: `service=NAME` stands for the parameters of a section of `PGSERVICEFILE`, or else of `~/.pg_service.conf`, or
//! of `pg_service.conf` in `PGSYSCONFDIR`. What the URL says itself holds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::source_url::SourceUrl;

/// Names and values.
type Parameters = Vec<(String, String)>;

/// Longer than anybody writes one.
const MOST_BYTES: u64 = 1 << 20;

/// The URL with what its service says, if it names one.
///
/// # Errors
/// When no file has that service, or what it says is nothing that a URL can say.
pub(super) fn resolved(url: &SourceUrl) -> Result<SourceUrl> {
    let Some(name) = url.service() else {
        return Ok(url.clone());
    };
    let parameters = parameters(&files(), &name).map_err(|why| url.wrong(why))?;
    url.with_service(&parameters)
}

/// Where services may be, and whether the user says so.
fn files() -> Vec<(PathBuf, bool)> {
    let named = |variable| std::env::var_os(variable).filter(|path| !path.is_empty());
    let of_user = match named("PGSERVICEFILE") {
        Some(path) => Some((PathBuf::from(path), true)),
        None => std::env::home_dir().map(|home| (home.join(".pg_service.conf"), false)),
    };
    let of_system = named("PGSYSCONFDIR").map(|dir| (PathBuf::from(dir).join("pg_service.conf"), false));
    of_user.into_iter().chain(of_system).collect()
}

/// The parameters of a service, in the first file that has it.
fn parameters(files: &[(PathBuf, bool)], name: &str) -> Result<Parameters, String> {
    for (path, is_named) in files {
        let text = match read(path) {
            Ok(text) => text,
            Err(_) if !is_named => continue,
            Err(error) => return Err(format!("the service file {}: {error}", path.display())),
        };
        let found = section(&text, name).map_err(|(line, why)| {
            format!(
                "the service file {}, line {line}, of the service `{name}`: {why}",
                path.display()
            )
        })?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    let looked: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    Err(format!(
        "there is no service `{name}` in {}; PGSERVICEFILE names another file",
        looked.join(" or ")
    ))
}

fn read(path: &Path) -> std::io::Result<String> {
    if fs::metadata(path)?.len() > MOST_BYTES {
        return Err(std::io::Error::other("it is no service file"));
    }
    fs::read_to_string(path)
}

/// The parameters below `[name]`, of which the first counts; or the line that is wrong, and why.
fn section(text: &str, name: &str) -> Result<Option<Parameters>, (usize, &'static str)> {
    let mut found: Option<Parameters> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            let is_this = header.split(']').next() == Some(name);
            found = is_this.then(Vec::new);
            continue;
        }
        let Some(parameters) = &mut found else { continue };
        let Some((key, value)) = line.split_once('=') else {
            return Err((number + 1, "no parameter=value; LDAP is not asked"));
        };
        let (key, value) = (key.trim(), value.trim());
        if key == "service" {
            return Err((number + 1, "a service names no other service"));
        }
        if !parameters.iter().any(|(known, _)| known == key) {
            parameters.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n\n[other]\nhost=elsewhere\n[music]\nhost = db.example\nport=5433\n# inner\nuser=reader\n\
                        password=a=b c\nuser=second\ndbname=music\n\n[music]\nhost=never\n[ldap]\nldap://x\n[in]\nservice=music\n";

    #[test]
    fn a_service_is_the_section_of_its_name() {
        let pairs = |name: &str| {
            let found = section(FILE, name).unwrap();
            found.map(|pairs| {
                let pairs = pairs.into_iter().map(|(key, value)| format!("{key}={value}"));
                pairs.collect::<Vec<_>>()
            })
        };
        assert_eq!(
            pairs("music").unwrap(),
            [
                "host=db.example",
                "port=5433",
                "user=reader",
                "password=a=b c",
                "dbname=music"
            ]
        );
        assert_eq!(pairs("other").unwrap(), ["host=elsewhere"]);
        assert_eq!(pairs("Music"), None);
        assert_eq!(section(FILE, "ldap").unwrap_err().0, 17);
        assert_eq!(section(FILE, "in").unwrap_err().0, 19);
    }

    #[test]
    fn the_first_file_that_has_the_service_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).unwrap();
            (dir.path().join(name), false)
        };
        let (first, second) = (
            file("a", "[a]\nhost=1\n"),
            file("b", "[a]\nhost=2\n[b]\nhost=3\n"),
        );
        let missing = (dir.path().join("c"), false);
        let host = |files: &[(PathBuf, bool)], name: &str| {
            parameters(files, name).map(|parameters| parameters[0].1.clone())
        };
        let files = [missing.clone(), first, second];
        assert_eq!(host(&files, "a").unwrap(), "1");
        assert_eq!(host(&files, "b").unwrap(), "3");
        assert!(
            host(&files, "c")
                .unwrap_err()
                .contains("there is no service `c` in")
        );
        let named = [(missing.0, true)];
        assert!(host(&named, "a").unwrap_err().contains("No such file"));
    }
}
