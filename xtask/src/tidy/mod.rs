//! All tidy checks over the files that git knows, collected so that one run shows every finding.

mod lock;
mod manifest;
mod rooms;
mod text;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Larger files belong in a release or a generator, not in every clone.
const MAX_BYTES: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    Warning,
    Error,
}

/// One broken rule; its `Display` form is `path:line: level: message`, which editors can follow.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) level: Level,
    pub(crate) message: String,
}

impl Finding {
    fn error(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            level: Level::Error,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{}:{}: {level}: {}", self.path, self.line, self.message)
    }
}

/// Checks every file under `root` that is committed or would be: all that git does not ignore.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let (mut findings, mut sources) = (Vec::new(), Vec::new());
    for path in files(root)? {
        let file = root.join(&path);
        // Deleted but not yet committed as deleted.
        if !file.is_file() {
            continue;
        }
        let content = fs::read(&file).with_context(|| format!("cannot read {path}"))?;
        findings.extend(check_file(&path, &content));
        if path.ends_with(".rs") {
            sources.push((path, String::from_utf8_lossy(&content).into_owned()));
        }
    }
    findings.extend(rooms::check(&sources));
    findings.sort();
    Ok(findings)
}

fn files(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot run git, which lists the files to check")?;
    ensure!(
        output.status.success(),
        "`git ls-files` failed in {}: {}",
        root.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let list = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(list.split_terminator('\0').map(str::to_owned).collect())
}

fn check_file(path: &str, content: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if content.len() > MAX_BYTES {
        let message = format!(
            "{} bytes: a committed file has at most {MAX_BYTES}",
            content.len()
        );
        findings.push(Finding::error(path, 1, message));
    }
    let Ok(text) = std::str::from_utf8(content) else {
        return findings;
    };
    findings.extend(text::check(path, text));
    match path.rsplit('/').next() {
        Some("Cargo.toml") => findings.extend(manifest::check(path, text)),
        Some("Cargo.lock") => findings.extend(lock::check(path, text)),
        _ => {}
    }
    findings
}

/// The line, from 1, on which byte `offset` of `text` stands.
fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

fn unreadable(path: &str, text: &str, error: &toml::de::Error) -> Finding {
    let line = error.span().map_or(1, |span| line_at(text, span.start));
    Finding::error(path, line, format!("not valid TOML: {}", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_path_line_level_message() {
        assert_eq!(
            Finding::error("a/b.rs", 7, "no").to_string(),
            "a/b.rs:7: error: no"
        );
    }

    #[test]
    fn a_file_over_the_size_limit_is_an_error_and_binary_content_is_not() {
        assert_eq!(check_file("logo.png", &vec![0xff; MAX_BYTES]), []);
        let findings = check_file("logo.png", &vec![0xff; MAX_BYTES + 1]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("1048577 bytes"), "{findings:?}");
    }

    #[test]
    fn manifests_and_lock_files_are_known_by_their_names() {
        assert_eq!(check_file("crates/x/Cargo.toml", b"[package\n").len(), 1);
        assert_eq!(check_file("Cargo.lock", b"package = [\n").len(), 1);
        assert_eq!(check_file("other.toml", b"[package\n"), []);
    }
}
