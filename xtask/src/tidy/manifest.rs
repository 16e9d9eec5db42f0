//! Rules about a crate's `Cargo.toml`: which of our crates it may know, and the workspace lints.

use toml::de::{DeTable, DeValue};

use super::{Finding, line_at, unreadable};

/// Each crate and those of ours it may depend on: what stands left of it in ARCHITECTURE.md.
const MAY_KNOW: [(&str, &[&str]); 7] = [
    ("gristmill-learn", &[]),
    ("gristmill-data", &[]),
    ("gristmill-run", &["gristmill-learn", "gristmill-data"]),
    (
        "gristmill",
        &["gristmill-learn", "gristmill-data", "gristmill-run"],
    ),
    (
        "gristmill-fuzz",
        &["gristmill-learn", "gristmill-data", "gristmill-run"],
    ),
    (TESTKIT, &[]),
    ("xtask", &[]),
];

/// For tests: any crate may have it as a dev-dependency, none as another.
const TESTKIT: &str = "gristmill-testkit";

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let manifest = match DeTable::parse(text) {
        Ok(manifest) => manifest.into_inner(),
        Err(error) => return vec![unreadable(path, text, &error)],
    };
    let Some(package) = manifest.get("package").map(|package| package.get_ref()) else {
        return Vec::new(); // the workspace's own manifest
    };
    let name = package
        .get("name")
        .and_then(|name| name.get_ref().as_str())
        .unwrap_or_default();
    let mut findings = Vec::new();
    // The fuzz targets are a workspace of their own.
    if manifest.get("workspace").is_none() && !inherits_lints(&manifest) {
        findings.push(Finding::error(
            path,
            1,
            "a crate inherits the lints: add `[lints] workspace = true`",
        ));
    }
    let Some((_, known)) = MAY_KNOW.iter().find(|(member, _)| *member == name) else {
        let message = format!("crate `{name}` has no place in the order of crates: add it to `MAY_KNOW`");
        findings.push(Finding::error(path, 1, message));
        return findings;
    };
    for dependency in dependencies(&manifest) {
        let Dependency {
            name: on,
            is_dev,
            offset,
        } = dependency;
        let allowed = if on == TESTKIT {
            is_dev
        } else {
            known.contains(&on)
        };
        if (on == "gristmill" || on.starts_with("gristmill-")) && !allowed {
            let message = if on == TESTKIT {
                format!("`{on}` is for tests: move it to `[dev-dependencies]`")
            } else {
                format!("`{name}` must not depend on `{on}`; it may know {known:?}")
            };
            findings.push(Finding::error(path, line_at(text, offset), message));
        }
    }
    findings
}

struct Dependency<'a> {
    name: &'a str,
    is_dev: bool,
    offset: usize,
}

fn inherits_lints(manifest: &DeTable<'_>) -> bool {
    let inherited = manifest
        .get("lints")
        .and_then(|lints| lints.get_ref().get("workspace"));
    inherited.and_then(|value| value.get_ref().as_bool()) == Some(true)
}

/// Those of `[dependencies]`, `[dev-…]` and `[build-…]`, also under `[target.'…']`, by their real names.
fn dependencies<'a>(manifest: &'a DeTable<'_>) -> Vec<Dependency<'a>> {
    let targets = manifest
        .get("target")
        .and_then(|target| target.get_ref().as_table());
    let targets = targets.into_iter().flat_map(|targets| targets.values());
    let tables = targets.filter_map(|target| target.get_ref().as_table());
    let mut found = Vec::new();
    for table in tables.chain([manifest]) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let listed = table.get(kind).and_then(|kind| kind.get_ref().as_table());
            for (key, value) in listed.into_iter().flat_map(|listed| listed.iter()) {
                found.push(Dependency {
                    name: renamed(value.get_ref()).unwrap_or(key.get_ref()),
                    is_dev: kind == "dev-dependencies",
                    offset: key.span().start,
                });
            }
        }
    }
    found
}

fn renamed<'a>(dependency: &'a DeValue<'_>) -> Option<&'a str> {
    dependency.get("package")?.get_ref().as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    /// `line: message` of every finding in a crate `name` with `rest` from line 3 on.
    fn found(name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n{rest}");
        check("Cargo.toml", &text)
            .iter()
            .map(|f| format!("{}: {}", f.line, f.message))
            .collect()
    }

    #[test]
    fn the_allowed_direction_has_no_findings() {
        let rest = "[dependencies]\nserde = \"1\"\ngristmill-data.workspace = true\ngristmill-learn.workspace = true\n";
        assert_eq!(found("gristmill-run", &format!("{rest}{LINTS}")), [""; 0]);
        assert_eq!(check("Cargo.toml", "[workspace]\n"), []);
    }

    #[test]
    fn learn_and_data_know_no_crate_of_ours() {
        let rest = format!("[dependencies]\narrow = \"1\"\ngristmill-data.workspace = true\n{LINTS}");
        assert_eq!(
            found("gristmill-learn", &rest),
            ["5: `gristmill-learn` must not depend on `gristmill-data`; it may know []"]
        );
        assert_eq!(
            found(
                "gristmill-data",
                &format!("[dev-dependencies.gristmill-learn]\n{LINTS}")
            )
            .len(),
            1
        );
        assert_eq!(
            found(
                "gristmill-data",
                &format!("[build-dependencies]\ngristmill = \"1\"\n{LINTS}")
            )
            .len(),
            1
        );
    }

    #[test]
    fn a_rename_or_a_target_table_hides_nothing() {
        let renamed =
            format!("[dependencies]\nx = {{ package = \"gristmill-run\", path = \"..\" }}\n{LINTS}");
        assert_eq!(found("gristmill-data", &renamed).len(), 1);
        let target = format!("[target.'cfg(unix)'.dependencies]\ngristmill-run.workspace = true\n{LINTS}");
        assert_eq!(
            found("gristmill-data", &target),
            ["4: `gristmill-data` must not depend on `gristmill-run`; it may know []"]
        );
    }

    #[test]
    fn the_testkit_is_for_dev_dependencies_only() {
        let dev = format!("[dev-dependencies]\ngristmill-testkit.workspace = true\n{LINTS}");
        assert_eq!(found("gristmill-data", &dev), [""; 0]);
        let normal = format!("[dependencies]\ngristmill-testkit.workspace = true\n{LINTS}");
        assert_eq!(
            found("gristmill", &normal),
            ["4: `gristmill-testkit` is for tests: move it to `[dev-dependencies]`"]
        );
    }

    #[test]
    fn lints_are_inherited() {
        let message = "1: a crate inherits the lints: add `[lints] workspace = true`";
        assert_eq!(found("xtask", ""), [message]);
        assert_eq!(found("xtask", "[lints]\nworkspace = false\n"), [message]);
        assert_eq!(
            found("xtask", "[lints.rust]\nunsafe_code = \"forbid\"\n"),
            [message]
        );
    }

    #[test]
    fn an_unknown_crate_and_broken_toml_are_findings() {
        assert_eq!(
            found("gristmill-new", LINTS),
            ["1: crate `gristmill-new` has no place in the order of crates: add it to `MAY_KNOW`"]
        );
        assert!(found("xtask", "a = \n")[0].starts_with("3: not valid TOML"));
    }
}
