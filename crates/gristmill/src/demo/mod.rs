//! The demo's database: synthetic artists in MusicBrainz's tables, as SQLite, and the pipeline that reads it.

mod artists;
mod names;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rusqlite::Connection;

use artists::{insert_areas, insert_artists};
use names::COUNTRIES;

/// What [`generate`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoSummary {
    /// Rows of `artist`.
    pub artists: u64,
    /// Rows of `artist_alias`.
    pub aliases: u64,
    /// Rows of `area`, countries included.
    pub areas: u64,
    /// Countries among the areas.
    pub countries: u64,
}

impl fmt::Display for DemoSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "synthetic data in MusicBrainz's tables: {} invented artists, {} aliases, {} areas in {} countries",
            self.artists, self.aliases, self.areas, self.countries
        )
    }
}

/// Writes a database of `rows` artists to `path`, replacing what is there. The same `rows` and `seed` give the same
/// content. `progress` is told the artists written so far.
pub fn generate(
    path: &Path,
    rows: u64,
    seed: u64,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<DemoSummary> {
    let unfinished = unfinished(path);
    if unfinished.exists() {
        fs::remove_file(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    let summary = write(&unfinished, rows, seed, progress)
        .with_context(|| format!("cannot write the demo's database {}", unfinished.display()))?;
    fs::rename(&unfinished, path)
        .with_context(|| format!("cannot move {} to {}", unfinished.display(), path.display()))?;
    Ok(summary)
}

/// The demo's pipeline, as TOML, on the database of `rows` artists at `database`, with its run directory at `run`.
pub fn pipeline(rows: u64, database: &Path, run: &Path) -> String {
    // Of few artists, few share a country.
    let min_rows = (rows / 100).clamp(2, 20);
    include_str!("pipeline.toml")
        .replace("{min_rows}", &min_rows.to_string())
        .replace("{database}", &escaped(database))
        .replace("{run}", &escaped(run))
}

/// A path as the inside of a basic TOML string.
fn escaped(path: &Path) -> String {
    path.display()
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
}

/// Where the database grows until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    name.into()
}

fn write(path: &Path, rows: u64, seed: u64, progress: &mut dyn FnMut(u64)) -> anyhow::Result<DemoSummary> {
    let mut connection = Connection::open(path)?;
    // A file that is thrown away when it is not finished needs no journal.
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    let homes = insert_areas(&transaction, &mut rng)?;
    let aliases = insert_artists(&transaction, &homes, rows, &mut rng, progress)?;
    transaction.execute_batch(include_str!("indexes.sql"))?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    let areas = homes
        .iter()
        .map(|home| 1 + home.subdivisions.len() + home.cities.len())
        .sum::<usize>();
    Ok(DemoSummary {
        artists: rows,
        aliases,
        areas: areas as u64,
        countries: COUNTRIES.len() as u64,
    })
}

#[cfg(test)]
mod tests;
