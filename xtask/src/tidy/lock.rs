//! Rules about `Cargo.lock`: one version of what must be one, and crates.io as the only source.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::{Finding, line_at, unreadable};

/// Types of these cross crate boundaries: a second version is a second, incompatible set of types.
/// A family is the crate of that name and all that continue it with a hyphen.
const FAMILIES: [&str; 5] = ["arrow", "parquet", "datafusion", "object_store", "deltalake"];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let lock = match DeTable::parse(text) {
        Ok(lock) => lock.into_inner(),
        Err(error) => return vec![unreadable(path, text, &error)],
    };
    let packages = lock
        .get("package")
        .and_then(|packages| packages.get_ref().as_array());
    let mut findings = Vec::new();
    let mut first = BTreeMap::new();
    for package in packages.into_iter().flat_map(|packages| packages.iter()) {
        let field = |key| {
            package
                .get_ref()
                .get(key)
                .and_then(|value| value.get_ref().as_str())
        };
        let (name, version) = (
            field("name").unwrap_or_default(),
            field("version").unwrap_or_default(),
        );
        let line = package
            .get_ref()
            .get("name")
            .map_or(1, |name| line_at(text, name.span().start));
        if let Some(source) = field("source").filter(|source| *source != CRATES_IO) {
            let message = format!("`{name}` comes from {source}; dependencies come from crates.io");
            findings.push(Finding::error(path, line, message));
        }
        if !FAMILIES.iter().any(|family| belongs(name, family)) {
            continue;
        }
        if let Some(other) = first.insert(name, version) {
            let message = format!(
                "`{name}` {version} beside {other}: keep one version; `cargo tree --invert {name}@{version}` shows who asks for it"
            );
            findings.push(Finding::error(path, line, message));
        }
    }
    findings
}

fn belongs(name: &str, family: &str) -> bool {
    name.strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `line: message` of every finding in a lock file of these packages, four lines each.
    fn found(packages: &[(&str, &str, &str)]) -> Vec<String> {
        let text: String = packages
            .iter()
            .map(|(name, version, source)| {
                format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n")
            })
            .collect();
        check("Cargo.lock", &text)
            .iter()
            .map(|f| format!("{}: {}", f.line, f.message))
            .collect()
    }

    #[test]
    fn one_version_each_is_right() {
        assert_eq!(
            found(&[
                ("arrow", "59.3.0", CRATES_IO),
                ("arrow-array", "59.3.2", CRATES_IO)
            ]),
            [""; 0]
        );
    }

    #[test]
    fn a_second_version_in_a_family_is_an_error() {
        for name in [
            "arrow",
            "arrow-array",
            "parquet",
            "datafusion-common",
            "object_store",
            "deltalake-core",
        ] {
            let message = format!(
                "6: `{name}` 2.0.0 beside 1.0.0: keep one version; `cargo tree --invert {name}@2.0.0` shows who asks for it"
            );
            assert_eq!(
                found(&[(name, "1.0.0", CRATES_IO), (name, "2.0.0", CRATES_IO)]),
                [message]
            );
        }
    }

    #[test]
    fn other_crates_may_have_several_versions() {
        for name in ["rand", "arrows", "object_store_x"] {
            assert_eq!(
                found(&[(name, "1.0.0", CRATES_IO), (name, "2.0.0", CRATES_IO)]),
                [""; 0]
            );
        }
    }

    #[test]
    fn another_source_is_an_error_and_our_own_crates_have_none() {
        assert_eq!(
            found(&[("rand", "1.0.0", "git+https://example.org/rand#1")]),
            ["2: `rand` comes from git+https://example.org/rand#1; dependencies come from crates.io"]
        );
        assert_eq!(
            check(
                "Cargo.lock",
                "[[package]]\nname = \"xtask\"\nversion = \"0.1.0\"\n"
            ),
            []
        );
    }
}
