//! `cargo xtask bench extract`: from a query on PostgreSQL to Parquet, against DuckDB, ADBC, ConnectorX, pandas and
//! the server alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::measure::{Cost, measure, medians};
use crate::python::{done, environment, gristmill, target};

pub(crate) const USAGE: &str = "cargo xtask bench extract POSTGRES_URL [--rounds N] [--multiples 4,16]";

const PEERS: &str = include_str!("peers.py");

/// The peers, each with its version, for the results to be repeatable.
const REQUIREMENTS: [&str; 9] = [
    "adbc-driver-manager==1.13.0",
    "adbc-driver-postgresql==1.13.0",
    "connectorx==0.4.6",
    "duckdb==1.5.5",
    "duckdb-extension-postgres-scanner==1.5.5",
    "pandas==3.1.1",
    "psycopg2-binary==2.9.13",
    "pyarrow==26.0.1",
    "sqlalchemy==2.1.9",
];

/// Artists with their area: what the recipes for MusicBrainz begin with.
pub(super) const QUERY: &str = "SELECT artist.id, artist.name, artist.sort_name, artist.begin_date_year, area.name AS country \
    FROM musicbrainz.artist JOIN musicbrainz.area ON area.id = artist.area";

/// The variable with the URL of the database.
pub(super) const URL: &str = "GRISTMILL_BENCH_URL";

/// What is copied to a scratch database.
const TABLES: [(&str, &str); 2] = [
    ("area", "id integer PRIMARY KEY, name varchar NOT NULL"),
    (
        "artist",
        "id integer PRIMARY KEY, name varchar NOT NULL, sort_name varchar NOT NULL, begin_date_year smallint, area integer",
    ),
];

struct Options {
    url: String,
    rounds: usize,
    multiples: Vec<u32>,
}

/// Where the benchmark keeps what it needs.
struct Bench {
    dir: PathBuf,
    gristmill: String,
    python: String,
}

/// A database that is dropped at the end.
struct Scratch<'a> {
    admin: &'a str,
    name: String,
    url: String,
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Err(error) = psql(self.admin, &format!("DROP DATABASE IF EXISTS {}", self.name)) {
            eprintln!("{} is left behind: {error}", self.name);
        }
    }
}

/// Runs the benchmark and prints its tables.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<()> {
    let options = options(arguments)?;
    let bench = Bench::prepare(root)?;
    println!(
        "{} rounds in turn; medians. CPU is that of the client.",
        options.rounds
    );
    bench.compare(&options.url, 1, options.rounds, true)?;
    for multiple in &options.multiples {
        let scratch = multiply(&options.url, *multiple)?;
        // A frame of that many Python objects is no contender for memory.
        bench.compare(&scratch.url, *multiple, options.rounds, false)?;
    }
    Ok(())
}

fn options(arguments: &[String]) -> Result<Options> {
    let (url, mut rest) = arguments.split_first().context(USAGE)?;
    let mut options = Options {
        url: url.clone(),
        rounds: 5,
        multiples: vec![4, 16],
    };
    while let [name, value, more @ ..] = rest {
        match name.as_str() {
            "--rounds" => options.rounds = value.parse()?,
            "--multiples" => {
                let numbers = value.split(',').filter(|number| !number.is_empty());
                options.multiples = numbers.map(str::parse).collect::<Result<_, _>>()?;
            }
            other => bail!("unknown flag {other}; expected {USAGE}"),
        }
        rest = more;
    }
    ensure!(rest.is_empty() && options.rounds > 0, "expected {USAGE}");
    Ok(options)
}

impl Bench {
    fn prepare(root: &Path) -> Result<Self> {
        let gristmill = gristmill(root)?;
        let dir = target(root).join("bench");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("peers.py"), PEERS)?;
        let python = environment(&dir, &REQUIREMENTS)?;
        Ok(Self {
            gristmill: gristmill.display().to_string(),
            python: python.display().to_string(),
            dir,
        })
    }

    /// Runs all in turn, so many rounds, and prints the medians.
    fn compare(&self, url: &str, multiple: u32, rounds: usize, all: bool) -> Result<()> {
        let rows = psql(url, &format!("SELECT count(*) FROM ({QUERY}) AS q"))?;
        let mut contenders = vec![
            ("gristmill, with Delta commits", self.gristmill(url)?),
            ("DuckDB", self.peer("duckdb", url)),
            ("ADBC", self.peer("adbc", url)),
            ("ConnectorX, 1 connection", self.peer("1", url)),
            ("ConnectorX, 2 connections", self.peer("2", url)),
            ("the server alone", server(url)),
        ];
        if all {
            contenders.insert(5, ("pandas", self.peer("pandas", url)));
        }
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); contenders.len()];
        for round in 0..rounds {
            for ((name, command), costs) in contenders.iter().zip(&mut costs) {
                self.clear()?;
                let cost = measure(command, &self.dir)?;
                eprintln!("{multiple}x round {round}: {name} {:.2} s", cost.wall);
                costs.push(cost);
            }
        }
        self.clear()?;
        let medians: Vec<Cost> = costs.iter().map(|costs| medians(costs)).collect();
        println!("\n{multiple}x: {rows} rows");
        println!(
            "{:<30}{:>9}{:>9}{:>10}{:>11}{:>11}",
            "", "wall s", "CPU s", "RSS MB", "of wall", "of RSS"
        );
        for ((name, _), cost) in contenders.iter().zip(&medians) {
            println!(
                "{name:<30}{:>9.2}{:>9.2}{:>10.0}{:>11.2}{:>11.2}",
                cost.wall,
                cost.cpu,
                cost.rss / 1e6,
                cost.wall / medians[0].wall,
                cost.rss / medians[0].rss,
            );
        }
        Ok(())
    }

    fn gristmill(&self, url: &str) -> Result<Vec<String>> {
        let path = self.dir.join("extract.toml");
        fs::write(&path, pipeline(QUERY, "", &self.dir.join("run")))?;
        // The URL may hold a password: it is handed over as it is to the peers, and stays in no file.
        Ok(words(&[
            "env",
            &format!("{URL}={url}"),
            &self.gristmill,
            "pull",
            "-q",
            &path.display().to_string(),
        ]))
    }

    fn peer(&self, peer: &str, url: &str) -> Vec<String> {
        let script = self.dir.join("peers.py").display().to_string();
        let output = self.dir.join("peer.parquet").display().to_string();
        words(&[&self.python, &script, peer, url, QUERY, &output])
    }

    /// Removes what the last one wrote, and sees that it is not written back during the next.
    fn clear(&self) -> Result<()> {
        for path in [self.dir.join("run"), self.dir.join("peer.parquet")] {
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else if path.exists() {
                fs::remove_file(path)?;
            }
        }
        done(&mut Command::new("sync"))
    }
}

/// A pipeline that pulls a query, with settings of `[batches]`.
pub(super) fn pipeline(query: &str, batches: &str, run: &Path) -> String {
    format!(
        "[source]\nurl = \"${{{URL}}}\"\nquery = \"{query}\"\nkey = \"id\"\n\n[batches]\n{batches}\n\n[clean]\n\
         trim = false\nempty_as_null = false\n\n[[feature]]\ncolumn = \"name\"\nencode = \"ngrams\"\n\n[label]\n\
         column = \"country\"\n\n[model]\nkind = \"logistic_regression\"\n\n[run]\ndir = '{}'\n",
        run.display()
    )
}

fn server(url: &str) -> Vec<String> {
    let copy = format!("COPY ({QUERY}) TO '/dev/null' WITH BINARY");
    words(&[
        "psql",
        url,
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--command",
        &copy,
    ])
}

/// A database with `times` as many artists, under other ids, which lie in the order of their ids as they do in a table
/// that grew. Side by side, the copies of a name would compress to nothing for who reads them in that order.
fn multiply(url: &str, times: u32) -> Result<Scratch<'_>> {
    let name = format!("gristmill_bench_{}", std::process::id());
    let (server, parameters) = url
        .split_once('?')
        .map_or((url, None), |(url, rest)| (url, Some(rest)));
    let (server, _) = server.rsplit_once('/').context("the URL names no database")?;
    let parameters = parameters.map_or_else(String::new, |parameters| format!("?{parameters}"));
    psql(url, &format!("CREATE DATABASE {name}"))?;
    let scratch = Scratch {
        admin: url,
        url: format!("{server}/{name}{parameters}"),
        name,
    };
    psql(&scratch.url, "CREATE SCHEMA musicbrainz")?;
    for (table, columns) in TABLES {
        psql(
            &scratch.url,
            &format!("CREATE TABLE musicbrainz.{table} ({columns})"),
        )?;
        let names: Vec<&str> = columns
            .split(", ")
            .filter_map(|column| column.split(' ').next())
            .collect();
        let names = names.join(", ");
        let out = format!("COPY (SELECT {names} FROM musicbrainz.{table} ORDER BY id) TO STDOUT WITH BINARY");
        let mut from = command(url, &out).stdout(Stdio::piped()).spawn()?;
        let input = from.stdout.take().context("no output")?;
        done(
            command(
                &scratch.url,
                &format!("COPY musicbrainz.{table} FROM STDIN WITH BINARY"),
            )
            .stdin(input),
        )?;
        ensure!(from.wait()?.success(), "cannot read musicbrainz.{table}");
    }
    let others = format!(
        "INSERT INTO musicbrainz.artist SELECT id + step * copy, name, sort_name, begin_date_year, area \
         FROM generate_series(1, {times} - 1) AS copy, (SELECT max(id) AS step FROM musicbrainz.artist) AS last, \
         musicbrainz.artist ORDER BY 1"
    );
    psql(&scratch.url, &others)?;
    psql(&scratch.url, "VACUUM ANALYZE")?;
    psql(&scratch.url, "CHECKPOINT")?;
    Ok(scratch)
}

/// Executes SQL and returns its one value.
pub(super) fn psql(url: &str, sql: &str) -> Result<String> {
    let output = command(url, sql).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the database refused {sql}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn command(url: &str, sql: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.args([
        url,
        "--no-psqlrc",
        "--quiet",
        "--no-align",
        "--tuples-only",
        "--set=ON_ERROR_STOP=1",
        "--command",
        sql,
    ]);
    psql
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
