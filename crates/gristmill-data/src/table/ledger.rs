//! What a dataset remembers of how it was made: the pipeline, in the table's configuration, and the batches, in its commits.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::durable::{folder_of, io};
use crate::error::{Error, Result};
use crate::key::Bounds;
use crate::prepare::Dropped;
use crate::run_key::RunKey;
use crate::settings::{CleanSettings, Filled, KeyColumns, SourceUrl};
use crate::table::alike::Alike;
use crate::table::hash::ContentHash;
use crate::table::paths::{commit_path, log_path, table_url};
use crate::table::schema::{delta_schema, to_kernel};

/// The entry of the table's configuration that holds the [`DatasetIdentity`] as JSON.
pub(crate) const IDENTITY: &str = "gristmill.identity";

/// The entry of a commit's `commitInfo` that holds the [`Record`].
pub(crate) const RECORD: &str = "gristmill";

/// Everything that decides which rows a dataset has. The size of batches is not in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetIdentity {
    source: String,
    query: Filled,
    key: KeyColumns,
    clean: CleanSettings,
    columns: Vec<Column>,
    /// For each setting with variables, what tells whether their values are the same, to who has the key of this name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    filled: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Column {
    name: String,
    /// As Delta calls it.
    r#type: String,
    /// As the database calls it, without its size. A dataset from before this was recorded has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    /// Which values the database calls equal although they differ here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alike: Option<Alike>,
}

/// One batch of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// Its number: 0, 1, … without a gap.
    pub number: u64,
    /// Its keys.
    pub bounds: Bounds,
    /// Rows the database sent.
    pub rows_read: u64,
    /// Rows in the dataset.
    pub rows_kept: u64,
    /// Rows that cleaning dropped.
    pub dropped: Dropped,
    /// The hash of its rows in the dataset.
    pub hash: ContentHash,
    /// Its file, unless no row was kept.
    pub file: Option<String>,
    /// The snapshot of the database that it was read from.
    pub snapshot: String,
}

/// All batches so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Batches, empty ones too.
    pub batches_read: u64,
    /// Batches of which no row was kept.
    pub batches_empty: u64,
    /// Rows the database sent.
    pub rows_read: u64,
    /// Rows in the dataset.
    pub rows_kept: u64,
    /// Rows that cleaning dropped.
    pub dropped: Dropped,
    /// The hash of all rows in the dataset.
    pub hash: ContentHash,
    /// Snapshots of the database that were read from, one after the other. More than one where a run was resumed.
    pub snapshots: u64,
    /// The last of them.
    pub last_snapshot: String,
}

/// What a commit tells of its batches.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// The batches of this commit. There is at least one, unless it is a commit that completes or compacts the dataset.
    pub batches: Vec<BatchRecord>,
    /// All batches up to and with this commit.
    pub totals: Totals,
    /// Whether every batch of the query is there.
    pub complete: bool,
}

/// The state of a dataset.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The latest version of the table.
    pub version: u64,
    /// How it was made.
    pub identity: DatasetIdentity,
    /// What its last commit with batches tells.
    pub record: Record,
}

impl DatasetIdentity {
    /// The identity of the dataset of a query: `source` is the URL, redacted; `schema` the columns of the query.
    pub fn new(
        source: &str,
        query: &Filled,
        key: &KeyColumns,
        clean: &CleanSettings,
        schema: &Schema,
    ) -> Result<Self> {
        let columns = delta_schema(schema)?;
        let table = to_kernel(&columns)?;
        Ok(Self {
            source: source.to_owned(),
            query: query.clone(),
            key: key.clone(),
            clean: clean.clone(),
            columns: table
                .fields()
                .map(|field| Column {
                    name: field.name().clone(),
                    r#type: field.data_type().to_string(),
                    database: None,
                    alike: None,
                })
                .collect(),
            filled: BTreeMap::new(),
            run_key: None,
        })
    }

    /// The same identity, which tells the values of variables apart where `key` is that of the run's folder.
    pub fn keyed(mut self, url: &SourceUrl, key: Option<&RunKey>) -> Self {
        let mut filled = Vec::new();
        if url.masked() != url.to_string() {
            filled.push(("source.url", url.masked()));
        }
        if self.query.has_variables() {
            filled.push(("source.query", &*self.query));
        }
        if let Some(filter) = self.clean.filter.as_ref().filter(|filter| filter.has_variables()) {
            filled.push(("clean.filter", filter));
        }
        let digest = |setting, value| key.map_or(String::new(), |key| key.digest(setting, value));
        self.run_key = key.filter(|_| !filled.is_empty()).map(RunKey::name);
        self.filled = filled
            .into_iter()
            .map(|(setting, value)| (setting.to_owned(), digest(setting, value)))
            .collect();
        self
    }

    /// Whether a setting that decides over the rows has variables.
    pub fn has_variables(&self) -> bool {
        !self.filled.is_empty()
    }

    /// Refuses to compare the values of variables without the key that they were recorded under.
    pub(crate) fn check_key(&self, now: &Self, dir: &Path) -> Result<()> {
        if self.filled.is_empty()
            || now.filled.is_empty()
            || now.run_key.is_some() && self.run_key == now.run_key
        {
            return Ok(());
        }
        let settings: Vec<&str> = self.filled.keys().map(String::as_str).collect();
        let run = folder_of(dir);
        Err(Error::RunKey {
            why: format!(
                "whether the variables in {} have the values that {} was made with cannot be told: the file run.key in {} {};                  copy it from the folder of the run that made the dataset, or delete {} to pull it anew",
                settings.join(" and "),
                dir.display(),
                run.display(),
                if now.run_key.is_some() {
                    "is another run's"
                } else {
                    "is missing"
                },
                dir.display()
            ),
        })
    }

    /// The same, with what the database says of its columns: name, type, and which values are equal there.
    pub fn with_types<'t>(
        mut self,
        types: impl IntoIterator<Item = (&'t str, &'t str, Option<&'t Alike>)>,
    ) -> Self {
        for (name, database, alike) in types {
            if let Some(column) = self.columns.iter_mut().find(|column| column.name == name) {
                // Behind a parenthesis is a size, or what was found in the first rows.
                let kind = database.split('(').next().unwrap_or_default().trim();
                column.database = Some(kind.to_owned());
                column.alike = alike.cloned();
            }
        }
        self
    }

    /// Which values of a column the database calls equal although they differ here.
    pub fn alike(&self, column: &str) -> Option<&Alike> {
        let column = self.columns.iter().find(|known| known.name == column)?;
        column.alike.as_ref()
    }

    /// The fingerprint: 32 hexadecimal digits, the XXH3-128 of its JSON.
    pub fn hash(&self) -> Result<String> {
        Ok(format!("{:032x}", xxh3_128(self.to_json()?.as_bytes())))
    }

    /// What differs from `now`, setting after setting, or `None` where nothing does.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let mut differences = Vec::new();
        let mut compare = |setting: &str, then: String, now: String| {
            if then != now {
                differences.push(format!(
                    "{setting}: then {}, now {}",
                    excerpt(&then, &now),
                    excerpt(&now, &then)
                ));
            }
        };
        compare("source.url", self.source.clone(), now.source.clone());
        let (then_query, now_query) = (self.query.written().to_owned(), now.query.written().to_owned());
        compare("source.query", then_query, now_query);
        compare("source.key", self.key.to_string(), now.key.to_string());
        let (old, new) = (&self.clean, &now.clean);
        compare("clean.trim", old.trim.to_string(), new.trim.to_string());
        compare(
            "clean.empty_as_null",
            old.empty_as_null.to_string(),
            new.empty_as_null.to_string(),
        );
        compare("clean.require", old.require.join(", "), new.require.join(", "));
        let filter = |clean: &CleanSettings| {
            clean
                .filter
                .as_ref()
                .map(|f| f.written().to_owned())
                .unwrap_or_default()
        };
        compare("clean.filter", filter(old), filter(new));
        compare(
            "clean.distinct",
            old.distinct.to_string(),
            new.distinct.to_string(),
        );
        compare(
            "the columns of the query",
            list(&self.columns),
            list(&now.columns),
        );
        for (setting, then) in &self.filled {
            if now.filled.get(setting).is_some_and(|now| now != then) {
                differences.push(format!("{setting}: a variable in it has another value now"));
            }
        }
        if differences.is_empty() {
            let columns = self.columns.iter().zip(&now.columns);
            differences.extend(columns.filter_map(|(then, now)| {
                let (was, is) = (then.in_database()?, now.in_database()?);
                let name = &then.name;
                (was != is)
                    .then(|| format!("the type of column `{name}` in the database: then {was}, now {is}"))
            }));
        }
        (!differences.is_empty()).then(|| differences.join("; "))
    }

    /// The URL of the source, redacted.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The key columns.
    pub fn key(&self) -> &KeyColumns {
        &self.key
    }

    /// `[clean]`.
    pub fn clean(&self) -> &CleanSettings {
        &self.clean
    }

    pub(crate) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Dataset {
            dir: self.source.clone(),
            why: error.to_string(),
        })
    }
}

impl Column {
    /// What the database said of it.
    fn in_database(&self) -> Option<String> {
        let database = self.database.clone()?;
        Some(match &self.alike {
            None => database,
            Some(alike) => format!("{database} ({})", alike.of),
        })
    }
}

impl Record {
    /// Takes in a batch.
    pub(crate) fn push(&mut self, batch: BatchRecord) {
        let totals = &mut self.totals;
        totals.batches_read += 1;
        totals.batches_empty += u64::from(batch.rows_kept == 0);
        totals.rows_read += batch.rows_read;
        totals.rows_kept += batch.rows_kept;
        totals.dropped += batch.dropped;
        totals.hash += batch.hash;
        if totals.last_snapshot != batch.snapshot {
            totals.snapshots += 1;
            totals.last_snapshot.clone_from(&batch.snapshot);
        }
        self.batches.push(batch);
    }
}

impl Ledger {
    /// Reads the state of the dataset in a folder; `None` where there is no table yet.
    pub async fn read(dir: &Path) -> Result<Option<Self>> {
        let broken = |why: String| Error::Dataset {
            dir: dir.display().to_string(),
            why,
        };
        if !has_commit(&log_path(dir))? {
            return Ok(None);
        }
        // Only protocol and metadata are read here, not the files, of which there may be many.
        let table = deltalake_core::BlindDeltaTable::try_new(table_url(dir)?).await;
        let table = table.map_err(|error| broken(error.to_string()))?;
        let identity = table.metadata().configuration().get(IDENTITY);
        let identity =
            identity.ok_or_else(|| broken("gristmill did not make this Delta table".to_owned()))?;
        let identity = serde_json::from_str(identity).map_err(|error| {
            broken(format!(
                "another version of gristmill made it ({IDENTITY}: {error})"
            ))
        })?;
        let version = table.version();
        Ok(Some(Self {
            version,
            identity,
            record: read_record(dir, version)?,
        }))
    }
}

fn has_commit(log: &Path) -> Result<bool> {
    let entries = match fs::read_dir(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        entries => entries.map_err(io(log))?,
    };
    for entry in entries {
        let name = entry.map_err(io(log))?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(|c: char| c.is_ascii_digit())
            && (name.ends_with(".json") || name.ends_with(".parquet"))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The record of the last commit that has one, at or before `version`. Commits of other tools, such as OPTIMIZE, have none.
pub(crate) fn read_record(dir: &Path, version: u64) -> Result<Record> {
    for version in (0..=version).rev() {
        // The log before a checkpoint may have been cleaned up.
        let Some(record) = record_at(dir, version)? else {
            break;
        };
        if let Some(record) = record {
            return Ok(record);
        }
    }
    Err(Error::Dataset {
        dir: dir.display().to_string(),
        why: "no commit in its log tells of batches; its log was cleaned up, or gristmill did not write it"
            .to_owned(),
    })
}

/// The batches of all commits up to `version`, in order. Those of commits that were cleaned up are missing at the beginning.
pub(crate) fn read_batches(dir: &Path, version: u64) -> Result<Vec<BatchRecord>> {
    let mut batches: Vec<BatchRecord> = Vec::new();
    for version in 0..=version {
        let record = record_at(dir, version)?.flatten().unwrap_or_default();
        for batch in record.batches {
            if batches.last().is_some_and(|last| last.number + 1 != batch.number) {
                return Err(Error::Dataset {
                    dir: dir.display().to_string(),
                    why: format!(
                        "the commits before version {version} do not tell of batch {}",
                        batch.number - 1
                    ),
                });
            }
            batches.push(batch);
        }
    }
    Ok(batches)
}

/// The record of a commit; `None` where the commit is not there, `Some(None)` where it has none.
fn record_at(dir: &Path, version: u64) -> Result<Option<Option<Record>>> {
    let path = commit_path(dir, version);
    let commit = match fs::read_to_string(&path) {
        Ok(commit) => commit,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(&path)(error)),
    };
    let record = record_of(&commit).transpose();
    record.map(Some).map_err(|error| Error::Dataset {
        dir: dir.display().to_string(),
        why: format!("another version of gristmill wrote version {version} ({error})"),
    })
}

pub(crate) fn record_of(commit: &str) -> Option<serde_json::Result<Record>> {
    commit.lines().find_map(|line| {
        let mut action: Value = serde_json::from_str(line).ok()?;
        let record = action.get_mut("commitInfo")?.get_mut(RECORD)?.take();
        Some(serde_json::from_value(record))
    })
}

fn list(columns: &[Column]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.r#type))
        .collect();
    columns.join(", ")
}

/// `text` on one line, cut down to what is around its first difference from `other`.
fn excerpt(text: &str, other: &str) -> String {
    const BEFORE: usize = 30;
    const LENGTH: usize = 100;
    if text.is_empty() {
        return "none".to_owned();
    }
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (text, other) = match (line(text), line(other)) {
        // Nothing but white space differs.
        (one, same) if one == same => (format!("{text:?}"), format!("{other:?}")),
        lines => lines,
    };
    let same = text
        .chars()
        .zip(other.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let start = same.saturating_sub(BEFORE);
    let start = if text.chars().count() <= LENGTH { 0 } else { start };
    let shown: String = text.chars().skip(start).take(LENGTH).collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if text.chars().count() > start + LENGTH {
        "…"
    } else {
        ""
    };
    format!("`{before}{shown}{after}`")
}
