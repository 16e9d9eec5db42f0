//! `cargo xtask bench memory`: the peak of resident memory beside the budget, for inputs that grow in one direction each.
//!
//! A case fails where its peak exceeds the budget, or where it ends otherwise than it should: done where the work can be
//! done within the budget, refused where nothing could be.

mod cases;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::measure::{Observed, observe};
use crate::python::{done, gristmill, target};
use cases::{Case, cases};

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

/// Times that a refusal is asked for again.
const REPEATS: usize = 2;

/// Runs the cases and prints their table.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<()> {
    let (binary, names) = match arguments {
        [flag, path, names @ ..] if flag == "--binary" => (fs::canonicalize(path)?, names),
        names => (gristmill(root)?, names),
    };
    let cases = cases();
    let known: Vec<&str> = cases.iter().map(|case| case.name).collect();
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
    for case in cases
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
                .args(["-c", MAKE, &self.table]),
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
        if self.expected == Expected::Refused {
            // The same on the same rows, and on those that are pulled already.
            for _ in 0..REPEATS {
                let again = self.command(binary, dir, last, self.memory)?;
                let (first, second) = (refusal(&observed.said), refusal(&again.said));
                ensure!(first == second, "refused with {first:?}, then with {second:?}");
            }
        }
        fs::remove_dir_all(dir)?;
        Ok(observed)
    }

    fn command(&self, binary: &Path, dir: &Path, command: &str, memory: u64) -> Result<Observed> {
        let path = |name: &str| dir.join(name).display().to_string();
        let pipeline = format!(
            "[source]\nurl = \"sqlite:{}\"\nquery = \"SELECT * FROM t\"\nkey = \"id\"\n{}\n[run]\ndir = \"{}\"\nmemory = \"{memory}MB\"\n{}",
            path("data.db"),
            self.pipeline,
            path("run"),
            self.run
        );
        fs::write(path("pipeline.toml"), pipeline)?;
        let mut line = vec![binary.display().to_string(), command.to_owned()];
        match command {
            "verify" => line.push(path("run/dataset")),
            "verify-source" => {
                line[1] = "verify".to_owned();
                line.extend([
                    path("run/dataset"),
                    "--pipeline".to_owned(),
                    path("pipeline.toml"),
                ]);
            }
            // The rows of a dataset of one batch.
            "predict" | "predict-csv" => {
                let output = match command {
                    "predict" => "predicted.parquet",
                    _ => "predicted.csv",
                };
                line[1] = "predict".to_owned();
                line.extend([
                    path("run/model"),
                    format!("--input={}", path("run/dataset/batch-0000000000.parquet")),
                    format!("--output={}", path(output)),
                    "--overwrite".to_owned(),
                    format!("--memory={memory}MB"),
                ]);
            }
            _ => line.push(path("pipeline.toml")),
        }
        observe(&line, dir)
    }
}

/// The error in what a command said.
fn refusal(said: &str) -> &str {
    said.find("error").map_or(said, |at| &said[at..])
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
        let cases = cases();
        for (at, case) in cases.iter().enumerate() {
            assert!(
                cases[..at].iter().all(|before| before.name != case.name),
                "{}",
                case.name
            );
        }
    }
}
