//! `cargo xtask bench batches`: what a batch, its commit and its part of compaction cost, by the number of batches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::extract::{QUERY, URL, pipeline, psql};
use crate::python::{done, gristmill, target};

pub(crate) const USAGE: &str = "cargo xtask bench batches [POSTGRES_URL] [--batches 100,1000,10000]";

/// Rows of the SQLite file that is read where no server is named.
const ROWS: u64 = 1_000_000;

/// Makes that file, unless it is there.
const MAKE: &str = "import os, sqlite3, sys
path, rows = sys.argv[1], int(sys.argv[2])
if not os.path.exists(path):
    database = sqlite3.connect(path + '.new')
    database.execute('CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT, country TEXT)')
    row = lambda n: (n, f'artist {n * 7919 % rows}', f'country {n % 17}')
    database.executemany('INSERT INTO artist VALUES (?, ?, ?)', map(row, range(1, rows + 1)))
    database.commit()
    database.close()
    os.rename(path + '.new', path)
";

/// What is read.
struct Table {
    url: String,
    query: &'static str,
    rows: u64,
}

/// A commit, as `-v` tells of it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Commit {
    batches: u64,
    seconds: f64,
}

/// Runs the benchmark and prints its table.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<()> {
    let (url, numbers) = options(arguments)?;
    let gristmill = gristmill(root)?;
    let dir = target(root).join("bench");
    fs::create_dir_all(&dir)?;
    let table = match url {
        Some(url) => Table {
            rows: psql(&url, &format!("SELECT count(*) FROM ({QUERY}) AS q"))?.parse()?,
            query: QUERY,
            url,
        },
        None => sqlite(&dir)?,
    };
    println!(
        "{} rows. Commits come once a second; their cost is in milliseconds for each batch of them.",
        table.rows
    );
    println!(
        "{:>9}{:>9}{:>9}{:>14}{:>14}{:>13}{:>15}",
        "batches", "wall s", "commits", "first tenth", "last tenth", "compaction s", "ms for a batch"
    );
    for batches in numbers {
        let rows = table.rows.div_ceil(batches).max(1);
        let pulled = pull(&gristmill, &dir, &table, rows)?;
        let tenths = [pulled.tenth(false), pulled.tenth(true)];
        println!(
            "{:>9}{:>9.2}{:>9}{:>14.3}{:>14.3}{:>13.2}{:>15.3}",
            pulled.batches(),
            pulled.wall,
            pulled.commits.len(),
            tenths[0],
            tenths[1],
            pulled.compaction,
            1e3 * pulled.compaction / pulled.batches().max(1) as f64,
        );
    }
    Ok(())
}

fn options(arguments: &[String]) -> Result<(Option<String>, Vec<u64>)> {
    let (url, rest) = match arguments {
        [url, rest @ ..] if !url.starts_with("--") => (Some(url.clone()), rest),
        rest => (None, rest),
    };
    let numbers = match rest {
        [] => vec![100, 1_000, 10_000],
        [name, value] if name == "--batches" => value.split(',').map(str::parse).collect::<Result<_, _>>()?,
        _ => bail!("expected {USAGE}"),
    };
    ensure!(!numbers.contains(&0), "expected {USAGE}");
    Ok((url, numbers))
}

fn sqlite(dir: &Path) -> Result<Table> {
    let path = dir.join(format!("batches-{ROWS}.db"));
    done(
        Command::new("python3")
            .args(["-c", MAKE])
            .arg(&path)
            .arg(ROWS.to_string()),
    )?;
    Ok(Table {
        url: format!("sqlite:{}", path.display()),
        query: "SELECT id, name, country FROM artist",
        rows: ROWS,
    })
}

/// What a pull said of itself.
struct Pulled {
    wall: f64,
    commits: Vec<Commit>,
    compaction: f64,
}

impl Pulled {
    fn batches(&self) -> u64 {
        self.commits.iter().map(|commit| commit.batches).sum()
    }

    /// Milliseconds of commit for each batch, in the commits that hold the first or the last tenth of the batches.
    fn tenth(&self, last: bool) -> f64 {
        let wanted = self.batches().div_ceil(10);
        let (mut batches, mut seconds) = (0, 0.0);
        let mut commits = self.commits.clone();
        if last {
            commits.reverse();
        }
        for commit in commits {
            if batches >= wanted {
                break;
            }
            batches += commit.batches;
            seconds += commit.seconds;
        }
        1e3 * seconds / batches.max(1) as f64
    }
}

fn pull(gristmill: &PathBuf, dir: &Path, table: &Table, rows: u64) -> Result<Pulled> {
    let (run, path) = (dir.join("run"), dir.join("batches.toml"));
    if run.is_dir() {
        fs::remove_dir_all(&run)?;
    }
    fs::write(&path, pipeline(table.query, &format!("rows = {rows}"), &run))?;
    done(&mut Command::new("sync"))?;
    let started = Instant::now();
    let output = Command::new(gristmill)
        .args(["pull", "-v", "--log-format", "json"])
        .arg(&path)
        // It may hold a password, which stays in no file.
        .env(URL, &table.url)
        .output()?;
    let wall = started.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the pull failed:\n{said}");
    fs::remove_dir_all(&run)?;
    let messages: Vec<String> = said
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<Value>(line).ok()?["message"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    let seconds = |message: &str| message.strip_suffix(" s")?.rsplit_once(' ')?.1.parse().ok();
    let compaction = messages.iter().find(|message| message.contains(" merged into "));
    Ok(Pulled {
        wall,
        commits: messages.iter().filter_map(|message| commit(message)).collect(),
        compaction: match compaction {
            Some(message) => seconds(message).with_context(|| format!("no seconds in: {message}"))?,
            None => 0.0,
        },
    })
}

/// Reads `commit 3: 17 batches, 0.005 s`.
fn commit(message: &str) -> Option<Commit> {
    let (batches, seconds) = message
        .strip_prefix("commit ")?
        .split_once(": ")?
        .1
        .split_once(" batches, ")?;
    Some(Commit {
        batches: batches.parse().ok()?,
        seconds: seconds.strip_suffix(" s")?.parse().ok()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_read_from_messages() {
        let read = commit("commit 3: 17 batches, 0.005 s").unwrap();
        assert_eq!(
            read,
            Commit {
                batches: 17,
                seconds: 0.005
            }
        );
        assert_eq!(commit("batch 3 (up to 5): 17 rows read, 17 kept, 0.01 s"), None);
    }

    #[test]
    fn tenths_are_of_batches() {
        let commit = |batches, seconds| Commit { batches, seconds };
        let pulled = Pulled {
            wall: 1.0,
            commits: vec![commit(5, 1.0), commit(5, 2.0), commit(80, 7.0), commit(10, 4.0)],
            compaction: 0.0,
        };
        assert_eq!((pulled.tenth(false), pulled.tenth(true)), (300.0, 400.0));
    }
}
