//! What decides which rows a dataset has, as its log keeps it: the pipeline that made it, and the version of its format.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::convert::Form;
use crate::durable::folder_of;
use crate::error::{Error, Result};
use crate::run_key::RunKey;
use crate::settings::{CleanSettings, Filled, KeyColumns, SourceUrl};
use crate::table::alike::Alike;
use crate::table::schema::{delta_schema, to_kernel};

/// The entry of the table's configuration that holds the [`DatasetIdentity`] as JSON.
const IDENTITY: &str = "gristmill.identity";

/// The entry of the table's configuration that holds the version of the format.
const FORMAT_KEY: &str = "gristmill.format";

/// The version of the format: what the log tells, how the rows are ordered and hashed, what the files are called. Raise it
/// when any of these changes, and commit a dataset of the version before as a fixture.
const FORMAT: u32 = 1;

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

    /// What the text of a column stands for, by its type in the database.
    pub fn form(&self, column: &str) -> Form {
        let column = self.columns.iter().find(|known| known.name == column);
        let database = column.and_then(|column| column.database.as_deref());
        database.map_or(Form::Plain, |database| Form::of(&self.source, database))
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
                    .then(|| format!("the type of column `{name}` in the source: then {was}, now {is}"))
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

    /// What is kept in the configuration of the table.
    pub(crate) fn configuration(&self) -> Result<Value> {
        Ok(json!({FORMAT_KEY: FORMAT.to_string(), IDENTITY: self.to_json()?}))
    }

    /// Reads it from the configuration of a table; says why where that is not one of a dataset of this format.
    pub(crate) fn read(configuration: &HashMap<String, String>) -> Result<Self, String> {
        let identity = configuration
            .get(IDENTITY)
            .ok_or("gristmill did not make this Delta table")?;
        let format = configuration.get(FORMAT_KEY).map(|format| format.parse::<u32>());
        match format {
            Some(Ok(FORMAT)) => {}
            Some(Ok(format)) if format > FORMAT => {
                return Err(format!(
                    "a later version of gristmill made it: its format is {format}, and this build reads {FORMAT}; use that \
                     version, or choose another run.dir"
                ));
            }
            Some(Err(_)) => {
                return Err("its format is no number; restore its log as it was written".to_owned());
            }
            _ => {
                return Err(format!(
                    "an earlier version of gristmill made it, in a format that this build does not read: it reads {FORMAT}; \
                     delete the folder to pull the rows again, or use that version"
                ));
            }
        }
        serde_json::from_str(identity)
            .map_err(|error| format!("its log does not tell how it was made ({IDENTITY}: {error})"))
    }

    fn to_json(&self) -> Result<String> {
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
