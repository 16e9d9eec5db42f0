//! `cargo xtask bench memory`: the peak of resident memory beside the budget, for inputs that grow in one direction each.
//!
//! A case fails where its peak exceeds the budget, or where it ends otherwise than it should: done where the work can be
//! done within the budget, refused where nothing could be.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::measure::{Observed, observe};
use crate::python::{done, gristmill, target};

pub(crate) const USAGE: &str = "cargo xtask bench memory [--binary PATH] [CASE...]";

/// Makes the database `data.db` in the working directory with a script of SQL.
const MAKE: &str = "import sqlite3, sys
database = sqlite3.connect('data.db', isolation_level=None)
database.executescript(sys.argv[1])
";

/// How a case should end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    Done,
    /// With an error of the input, which names the way out.
    Refused,
}

/// One input and what is done with it.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// What grows, in a word or two joined by `-`: the argument that picks the case.
    name: &'static str,
    /// The budget in MB.
    memory: u64,
    /// SQL that makes the table `t` in SQLite.
    table: &'static str,
    /// The pipeline after `[source] url`, up to `[run]`.
    pipeline: &'static str,
    /// Settings of `[run]` other than `dir` and `memory`.
    run: &'static str,
    /// The commands, one after the other; the last one is measured, and those before it run with 4 GB.
    commands: &'static [&'static str],
    expected: Expected,
}

/// The start of most pipelines: all of `t` by its `id`.
macro_rules! rows_of_t {
    ($rest:literal) => {
        concat!("query = \"SELECT * FROM t\"\nkey = \"id\"\n", $rest)
    };
}

/// A table of `rows` rows that counts `i` from 1: `columns` are SQL expressions.
macro_rules! table {
    ($rows:literal, $columns:literal) => {
        concat!(
            "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ",
            $rows,
            ") SELECT ",
            $columns,
            " FROM n; CREATE INDEX t_id ON t (id);"
        )
    };
}

/// The cases. `CREATE TABLE AS` keeps the types of casts only, so each column of a table has one.
const CASES: &[Case] = &[
    Case {
        name: "wide-text-pull",
        memory: 256,
        table: WIDE_TEXT,
        pipeline: NGRAMS_OF_TEXT,
        run: "",
        commands: &["pull"],
        expected: Expected::Done,
    },
    Case {
        name: "wide-text",
        memory: 256,
        table: WIDE_TEXT,
        pipeline: NGRAMS_OF_TEXT,
        run: "",
        commands: &["run"],
        expected: Expected::Done,
    },
    Case {
        name: "narrow-rows-threads",
        memory: 512,
        table: NARROW,
        pipeline: rows_of_t!(
            "[[feature]]\ncolumn = \"x\"\nencode = \"numeric\"\n[label]\ncolumn = \"label\"\n\
             [model]\nkind = \"logistic_regression\"\nreg_param = 0.01\nmax_iter = 2\n"
        ),
        run: "threads = 64\n",
        commands: &["run"],
        expected: Expected::Done,
    },
    Case {
        name: "classes",
        memory: 512,
        table: CLASSES,
        pipeline: NUMBER_TO_CLASSES,
        run: "",
        commands: &["run"],
        expected: Expected::Done,
    },
    Case {
        name: "categories",
        memory: 256,
        table: CATEGORIES,
        pipeline: rows_of_t!(
            "[[feature]]\ncolumn = \"name\"\nencode = \"one_hot\"\n[label]\ncolumn = \"label\"\n\
             [model]\nkind = \"logistic_regression\"\nreg_param = 0.01\nmax_iter = 2\n"
        ),
        run: "",
        commands: &["run"],
        expected: Expected::Refused,
    },
    Case {
        name: "ngram-bits-threads",
        memory: 512,
        table: CATEGORIES,
        pipeline: rows_of_t!(
            "[[feature]]\ncolumn = \"name\"\nencode = \"ngrams\"\nrange = [1, 2]\nbits = 24\n\
             [label]\ncolumn = \"label\"\n\
             [model]\nkind = \"logistic_regression\"\nreg_param = 0.01\nmax_iter = 2\n"
        ),
        run: "threads = 16\n",
        commands: &["run"],
        expected: Expected::Done,
    },
];

/// A million and a half rows of one number.
const NARROW: &str = table!(
    "1500000",
    "CAST(i AS INTEGER) AS id, CAST(i * 7919 % 10007 AS REAL) AS x, CAST('c' || (i % 2) AS TEXT) AS label"
);

/// Rows of 5,000 classes, searched for a penalty.
const CLASSES: &str = table!(
    "40000",
    "CAST(i AS INTEGER) AS id, CAST(i % 13 AS REAL) AS x, CAST('c' || (i % 5000) AS TEXT) AS label"
);

const NUMBER_TO_CLASSES: &str = rows_of_t!(
    "[[feature]]\ncolumn = \"x\"\nencode = \"numeric\"\n[label]\ncolumn = \"label\"\nmin_rows = 1\n\
     [model]\nkind = \"logistic_regression\"\nreg_param = [0.01, 0.1]\nmax_iter = 2\n[search]\nfolds = 2\n"
);

/// Two million names, all different.
const CATEGORIES: &str = table!(
    "2000000",
    "CAST(i AS INTEGER) AS id, CAST(printf('%016x', i * 2654435761) AS TEXT) AS name, \
     CAST('c' || (i % 2) AS TEXT) AS label"
);

/// Texts of 100 KB, 500 MB in all.
const WIDE_TEXT: &str = table!(
    "5000",
    "CAST(i AS INTEGER) AS id, CAST(hex(zeroblob(25000)) || hex(randomblob(25000)) AS TEXT) AS body, \
     CAST('c' || (i % 3) AS TEXT) AS label"
);

const NGRAMS_OF_TEXT: &str = rows_of_t!(
    "[[feature]]\ncolumn = \"body\"\nencode = \"ngrams\"\nbits = 12\n[label]\ncolumn = \"label\"\n\
     [model]\nkind = \"logistic_regression\"\nreg_param = 0.01\nmax_iter = 2\n"
);

/// Runs the cases and prints their table.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<()> {
    let (binary, names) = match arguments {
        [flag, path, names @ ..] if flag == "--binary" => (fs::canonicalize(path)?, names),
        names => (gristmill(root)?, names),
    };
    let known: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no case {unknown}; the cases are: {}", known.join(", "));
    }
    let dir = target(root).join("bench/memory");
    fs::create_dir_all(&dir)?;
    let dir = dir.canonicalize()?;
    println!(
        "{:<24}{:>10}{:>10}{:>14}{:>9}  outcome",
        "case", "budget MB", "peak MB", "peak / budget", "seconds"
    );
    let mut failed = Vec::new();
    for case in CASES
        .iter()
        .filter(|case| names.is_empty() || names.iter().any(|name| name == case.name))
    {
        let observed = case
            .run(&binary, &dir.join(case.name))
            .with_context(|| format!("case {}", case.name))?;
        let ratio = observed.cost.rss / (case.memory * 1_000_000) as f64;
        let outcome = outcome(&observed);
        println!(
            "{:<24}{:>10}{:>10.0}{ratio:>14.2}{:>9.1}  {}",
            case.name,
            case.memory,
            observed.cost.rss / 1e6,
            observed.cost.wall,
            outcome.map_or_else(
                || format!("failed: {}", observed.said),
                |outcome| format!("{outcome:?}").to_lowercase()
            ),
        );
        if ratio > 1.0 || outcome != Some(case.expected) {
            failed.push(case.name);
        }
    }
    ensure!(
        failed.is_empty(),
        "over the budget, or not as expected: {}",
        failed.join(", ")
    );
    Ok(())
}

impl Case {
    /// Makes the input in `dir` and runs the commands there.
    fn run(&self, binary: &Path, dir: &Path) -> Result<Observed> {
        if dir.is_dir() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        done(
            Command::new("python3")
                .current_dir(dir)
                .args(["-c", MAKE, self.table]),
        )?;
        let (last, before) = self.commands.split_last().context("no commands")?;
        for command in before {
            let observed = self.command(binary, dir, command, 4_000)?;
            ensure!(
                outcome(&observed) == Some(Expected::Done),
                "{command}: {}",
                observed.said
            );
        }
        let observed = self.command(binary, dir, last, self.memory)?;
        fs::remove_dir_all(dir)?;
        Ok(observed)
    }

    fn command(&self, binary: &Path, dir: &Path, command: &str, memory: u64) -> Result<Observed> {
        let path = |name: &str| dir.join(name).display().to_string();
        let pipeline = format!(
            "[source]\nurl = \"sqlite:{}\"\n{}\n[run]\ndir = \"{}\"\nmemory = \"{memory}MB\"\n{}",
            path("data.db"),
            self.pipeline,
            path("run"),
            self.run
        );
        fs::write(path("pipeline.toml"), pipeline)?;
        let mut line = vec![binary.display().to_string(), command.to_owned()];
        line.push(path(match command {
            "verify" => "run/dataset",
            _ => "pipeline.toml",
        }));
        observe(&line, dir)
    }
}

fn outcome(observed: &Observed) -> Option<Expected> {
    match observed.code {
        Some(0) => Some(Expected::Done),
        Some(2) => Some(Expected::Refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_have_names_of_their_own() {
        for (at, case) in CASES.iter().enumerate() {
            assert!(
                CASES[..at].iter().all(|before| before.name != case.name),
                "{}",
                case.name
            );
        }
    }
}
