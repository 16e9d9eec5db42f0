//! Rules about the modules inside a crate: rooms import only from rooms before them, and no two files import each other,
//! directly or in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;

/// The rooms of each crate, which are its top-level modules, in their order: a room may import from those before it.
const ORDER: [(&str, &[&str]); 4] = [
    (
        "crates/gristmill-learn/src",
        &[
            "error",
            "settings",
            "contract",
            "statistics",
            "rows",
            "encode",
            "label",
            "features",
            "optimise",
            "model",
            "evaluate",
            "search",
            "train",
            "passes",
            "registry",
            "fuzz",
        ],
    ),
    (
        "crates/gristmill-data/src",
        &[
            "secret",
            "count",
            "error",
            "budget",
            "failpoint",
            "filled",
            "source_url",
            "convert",
            "settings",
            "key",
            "content",
            "guard",
            "durable",
            "scratch",
            "parquet_file",
            "csv_records",
            "csv_quotes",
            "run_key",
            "sql_words",
            "prepare",
            "table",
            "source",
            "sink",
            "pull",
            "verify",
        ],
    ),
    (
        "crates/gristmill-run/src",
        &[
            "shortage",
            "error",
            "event",
            "memory",
            "visible",
            "stopping",
            "budget",
            "settings",
            "report",
            "engine",
            "directory",
            "checkpoint",
            "predict",
            "warm",
            "stage",
            "run",
            "check",
            "fuzz",
        ],
    ),
    (
        "crates/gristmill/src",
        &[
            "interrupt",
            "failure",
            "args",
            "words",
            "printer",
            "demo",
            "command",
        ],
    ),
];

/// One import: from the file it stands in, at its line, to a path from the crate's root.
struct Import {
    line: usize,
    path: Vec<String>,
    /// A `pub use` of a module's own child, which makes a name shorter and is no import.
    is_reexport: bool,
}

/// A file of a crate.
struct File<'a> {
    path: &'a str,
    imports: Vec<Import>,
}

/// Checks all crates that have an order; `files` are those of the repository.
pub(super) fn check(files: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (src, order) in ORDER {
        let modules: BTreeMap<Vec<String>, File<'_>> = files
            .iter()
            .filter_map(|(path, text)| {
                let inside = path.strip_prefix(src)?.strip_prefix('/')?.strip_suffix(".rs")?;
                let module = module_of(inside);
                let imports = imports(text, &module);
                Some((module, File { path, imports }))
            })
            .collect();
        findings.extend(upwards(&modules, order));
        findings.extend(circles(&modules));
    }
    findings
}

/// The module that a file is, as a path from the crate's root, which is empty.
fn module_of(inside: &str) -> Vec<String> {
    let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// Imports from a room to one after it, and rooms without a place in the order.
fn upwards(modules: &BTreeMap<Vec<String>, File<'_>>, order: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rank = |room: &str| order.iter().position(|name| *name == room);
    for (module, file) in modules {
        let Some(room) = module.first() else { continue };
        let Some(own) = rank(room) else {
            let message = format!("room `{room}` has no place in the order of rooms: add it to `ORDER`");
            findings.push(Finding::error(file.path, 1, message));
            continue;
        };
        for import in &file.imports {
            let other = import.path.first().and_then(|other| Some((other, rank(other)?)));
            if let Some((other, place)) = other
                && place > own
            {
                let message = format!("`{room}` must not import from `{other}`, which comes after it");
                findings.push(Finding::error(file.path, import.line, message));
            }
        }
    }
    findings
}

/// Files that import each other in a circle, each circle at its first file.
fn circles(modules: &BTreeMap<Vec<String>, File<'_>>) -> Vec<Finding> {
    let edges: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> = modules
        .iter()
        .map(|(module, file)| {
            let to = (file.imports.iter())
                .filter(|import| !import.is_reexport)
                .filter_map(|import| resolve(modules, &import.path))
                .filter(|target| *target != module);
            (module, to.collect())
        })
        .collect();
    let reach = |from: &Vec<String>| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Vec<String>> = edges.get(from).into_iter().flatten().copied().collect();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(edges.get(next).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> =
        modules.keys().map(|module| (module, reach(module))).collect();
    let mut findings = Vec::new();
    let mut told = BTreeSet::new();
    for (module, file) in modules {
        let circle: Vec<&Vec<String>> = reached[module]
            .iter()
            .filter(|other| reached[*other].contains(module))
            .copied()
            .collect();
        if circle.is_empty() || !told.insert(circle.clone()) {
            continue;
        }
        let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
        let message = format!("these files import each other in a circle: {}", names.join(", "));
        findings.push(Finding::error(file.path, 1, message));
    }
    findings
}

/// The file in which the item at `path` is written, through the re-exports on the way.
fn resolve<'m>(modules: &'m BTreeMap<Vec<String>, File<'_>>, path: &[String]) -> Option<&'m Vec<String>> {
    let length = (0..=path.len())
        .rev()
        .find(|&length| modules.contains_key(&path[..length]))?;
    let (module, file) = modules.get_key_value(&path[..length])?;
    let item = path.get(length);
    let through = (file.imports.iter()).find(|import| import.is_reexport && import.path.last() == item);
    match through {
        Some(import) if import.path != path => resolve(modules, &import.path),
        // The crate's root holds no items of its own.
        _ => (!module.is_empty()).then_some(module),
    }
}

/// Every path into the crate that the text of `module` imports or names, outside comments and unit tests.
fn imports(text: &str, module: &[String]) -> Vec<Import> {
    let text = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut statement: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let trimmed = code.trim_start();
        let starts = trimmed.strip_prefix("pub").map_or(trimmed, |rest| {
            let rest = rest
                .strip_prefix('(')
                .and_then(|rest| rest.split_once(')'))
                .map_or(rest, |(_, rest)| rest);
            rest.trim_start()
        });
        if statement.is_none() && starts.starts_with("use ") {
            statement = Some((number + 1, String::new()));
        }
        match &mut statement {
            Some((first, whole)) => {
                whole.push_str(code.trim());
                if code.contains(';') {
                    let first = *first;
                    let whole = statement.take().map(|(_, whole)| whole).unwrap_or_default();
                    let public = whole.starts_with("pub");
                    let tree = whole
                        .split_once("use ")
                        .map_or("", |(_, tree)| tree)
                        .trim_end_matches(';');
                    for path in expand(tree) {
                        if let Some(path) = from_root(&path, module) {
                            let is_reexport = public && path.starts_with(module) && path.len() > module.len();
                            found.push(Import {
                                line: first,
                                path,
                                is_reexport,
                            });
                        } else {
                            // `use child::Item` names a child of this module, if it has such a child.
                            let path = [module, path.as_slice()].concat();
                            found.push(Import {
                                line: first,
                                path,
                                is_reexport: public,
                            });
                        }
                    }
                }
            }
            None => found.extend(named(code).into_iter().map(|path| {
                let path = from_root(&path, module).unwrap_or_else(|| [module, path.as_slice()].concat());
                Import {
                    line: number + 1,
                    path,
                    is_reexport: false,
                }
            })),
        }
    }
    found
}

/// The leaves of a tree of imports, e.g. `a::{b, c::d}`; `self` stands for what it is in.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((prefix, inside)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default();
        let path = name.split("::").map(|part| part.trim().to_owned());
        return vec![
            path.filter(|part| part != "self" && part != "*" && !part.is_empty())
                .collect(),
        ];
    };
    let inside = inside.strip_suffix('}').unwrap_or(inside);
    let prefix: Vec<String> = prefix
        .split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (place, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    let leaves = parts
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .flat_map(expand);
    leaves
        .map(|leaf| [prefix.as_slice(), leaf.as_slice()].concat())
        .collect()
}

/// The paths in a line of code.
fn named(code: &str) -> Vec<Vec<String>> {
    let is_part = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    let words = code.split(|character| !is_part(character));
    let paths = words.filter(|word| word.contains("::") && !word.starts_with("::"));
    paths
        .map(|word| {
            word.split("::")
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .collect()
}

/// The path from the crate's root of one that is written in `module`; `None` where it leads to another crate.
fn from_root(path: &[String], module: &[String]) -> Option<Vec<String>> {
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let base = &module[..module.len().checked_sub(ups)?];
            Some([base, &path[ups..]].concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<(String, String)> = files
            .iter()
            .map(|(path, text)| (format!("crates/gristmill-learn/src/{path}"), (*text).to_owned()))
            .collect();
        check(&files)
            .into_iter()
            .map(|finding| format!("{}:{}: {}", finding.path, finding.line, finding.message))
            .collect()
    }

    #[test]
    fn an_import_from_a_room_before_is_fine() {
        let files = [
            ("lib.rs", "pub mod error;\npub use error::Error;\n"),
            ("error.rs", "//! x\npub enum Error {}\n"),
            (
                "train/mod.rs",
                "mod size;\npub use size::Size;\nuse crate::error::Error;\n",
            ),
            (
                "train/size.rs",
                "use super::super::error::Error;\nfn f() -> crate::error::Error {}\n",
            ),
        ];
        assert_eq!(findings(&files), Vec::<String>::new());
    }

    #[test]
    fn an_import_from_a_room_after_is_an_error_however_it_is_written() {
        for text in [
            "use crate::train::Size;\n",
            "use crate::{train::Size, error::Error};\n",
            "use crate::{\n    error::Error,\n    train::{Size, Other},\n};\n",
            "fn f() -> crate::train::Size {}\n",
            "use super::super::train;\n",
            "pub(crate) use crate::train::Size;\n",
        ] {
            let found = findings(&[("rows/kernel.rs", text), ("train/mod.rs", "")]);
            assert!(
                !found.is_empty() && found[0].contains("must not import from `train`"),
                "{text}: {found:?}"
            );
        }
        // Comments and unit tests may name anything.
        for text in [
            "/// As [`crate::train::Size`].\n",
            "\n#[cfg(test)]\nmod tests {\n    use crate::train::Size;\n}\n",
        ] {
            assert_eq!(
                findings(&[("rows/kernel.rs", text), ("train/mod.rs", "")]),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_room_without_a_place_is_an_error() {
        let found = findings(&[("attic/mod.rs", "")]);
        assert!(found[0].contains("`attic` has no place"), "{found:?}");
    }

    #[test]
    fn files_that_import_each_other_are_found_through_re_exports() {
        let files = [
            (
                "rows/mod.rs",
                "mod a;\nmod b;\nmod c;\npub(crate) use a::A;\npub(crate) use c::C;\n",
            ),
            ("rows/a.rs", "use super::b::B;\n"),
            ("rows/b.rs", "use crate::rows::C;\n"),
            ("rows/c.rs", "fn f(a: crate::rows::A) {}\n"),
        ];
        let found = findings(&files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("rows::a, rows::b, rows::c"), "{found:?}");
        let straight = [files[0], files[1], files[2], ("rows/c.rs", "")];
        assert_eq!(findings(&straight), Vec::<String>::new());
    }
}
