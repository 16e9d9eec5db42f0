//! A whole pipeline as validated settings.

use std::path::PathBuf;
use std::time::Duration;

use arrow::datatypes::Schema;
use gristmill_data::settings::{CleanSettings, Consistency, KeyColumns, SourceSettings};
use gristmill_learn::contract::encoder::Feature;
use gristmill_learn::contract::learner::ModelSettings;
use gristmill_learn::features::choose::{AUTO, Auto, Choice};
use gristmill_learn::features::split;
use gristmill_learn::settings::{LabelSettings, SearchSettings, SplitSettings};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};

/// Everything a pipeline file says, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// `[source]`. Without `key`, that is empty until the database was asked.
    pub source: SourceSettings,
    /// `[source] consistency`. Default `resume`.
    pub consistency: Consistency,
    /// `[batches] rows`. Default 100,000.
    pub batch_rows: u64,
    /// `[batches] connections`. Default 2.
    pub connections: usize,
    /// `[batches] target_file_size`, in bytes. Default 128 MB (128,000,000).
    pub target_file_size: u64,
    /// `[clean]`.
    pub clean: CleanSettings,
    /// Every `[[feature]]`, in order; those with `encode = "auto"` are [`Auto`](gristmill_learn::features::choose::Auto).
    pub features: Vec<Feature>,
    /// `[label]`.
    pub label: LabelSettings,
    /// `[split]`.
    pub split: SplitSettings,
    /// `[model]`. Where the label chooses it, that of a classifier, until it has.
    pub model: ModelSettings,
    /// `[model] calibrate`: whether the model is given a temperature. Default false.
    pub calibrate: bool,
    /// `[search]`.
    pub search: SearchSettings,
    /// `[run]`.
    pub run: RunSettings,
    /// What the training rows are to choose, beside features with `encode = "auto"`.
    pub open: Open,
}

/// What a pipeline file does not say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Open {
    /// It has no `[[feature]]`: every other column is one.
    pub every_column: bool,
    /// The models of which one is chosen, by what the label and the features are; none where the file says it.
    pub models: Vec<ModelSettings>,
}

impl Pipeline {
    /// The same with this key, where it has none; the rows are then split by it where nothing else is said.
    pub(crate) fn keyed(&self, key: KeyColumns) -> Self {
        let mut keyed = self.clone();
        if let ([column], true) = (&key[..], self.split.by.is_empty()) {
            keyed.split.by.clone_from(column);
        }
        keyed.source.key = key;
        keyed
    }

    /// The same with a feature for each column of the query, where it has none.
    pub(crate) fn opened(&self, schema: &Schema) -> Self {
        let mut opened = self.clone();
        if std::mem::take(&mut opened.open.every_column) {
            let taken = |name: &String| {
                *name == self.label.column
                    || self.label.weight.as_ref() == Some(name)
                    || *name == self.split.by
                    || self.split.column.as_ref() == Some(name)
                    || self.source.key.contains(name)
            };
            let others = schema.fields().iter().map(|field| field.name());
            let others = others.filter(|name| !taken(name));
            opened.features = others.map(|name| Auto::feature(name)).collect();
        }
        opened
    }

    /// The columns of which the encoder is to be chosen, each once.
    pub(crate) fn open_columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = Vec::new();
        let open = self.features.iter().filter(|feature| feature.kind() == AUTO);
        for column in open.flat_map(|feature| feature.columns()) {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        columns
    }

    /// The same with what was chosen: what a file could have said.
    ///
    /// # Errors
    /// When nothing of it is a feature.
    pub(crate) fn decided(&self, choice: &Choice) -> Result<Self> {
        let mut decided = self.clone();
        decided.features.clear();
        let identity = |feature: &Feature| (feature.kind(), feature.columns().to_vec(), feature.variant());
        let stated: Vec<_> = self.features.iter().map(identity).collect();
        for feature in &self.features {
            match feature.columns() {
                [column] if feature.kind() == AUTO => {
                    // A file may state one of them itself.
                    let chosen = choice.features(column)?.into_iter();
                    let new = chosen.filter(|feature| !stated.contains(&identity(feature)));
                    decided.features.extend(new);
                }
                _ => decided.features.push(feature.clone()),
            }
        }
        if decided.features.is_empty() {
            let left_out = choice.columns.iter();
            let left_out =
                left_out.map(|column| format!("`{}`: {}, {}", column.column, column.is, column.found));
            return Err(Error::NoFeatures {
                left_out: left_out.collect(),
            });
        }
        let models = std::mem::take(&mut decided.open.models);
        if let Some(label) = &choice.label
            && let Some(model) = models.into_iter().find(|model| model.kind() == label.model)
        {
            decided.label.kind = label.kind;
            if decided.search.metric.label() != label.kind {
                decided.search.metric = model.default_metric();
            }
            decided.model = model;
        }
        Ok(decided)
    }

    /// The columns of the query that it names.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = self
            .source
            .key
            .iter()
            .chain(&self.clean.require)
            .map(String::as_str)
            .collect();
        columns.extend(
            self.features
                .iter()
                .flat_map(|feature| feature.columns())
                .map(String::as_str),
        );
        columns.extend([self.label.column.as_str(), self.split.by.as_str()]);
        columns.extend(self.label.weight.as_deref());
        columns.extend(self.split.column.as_deref());
        columns
    }

    /// The settings that shape the model, its JSON keys sorted: not where the rows come from, how they are cut into
    /// batches, or what the run may use. The query and the filter are in it as they are written:
    /// nothing that is computed from the values of their variables goes into a model.
    pub fn shaping(&self) -> Value {
        let mut shaping = json!({
            "key": self.source.key,
            "query": self.source.query,
            "clean": self.clean,
            "features": self.features,
            "label": self.label,
            "split": self.split,
            "model": self.model,
            "search": self.search,
        });
        if self.calibrate {
            shaping["calibrate"] = "temperature".into();
        }
        // Maps keep the order of insertion where some crate of the build asks serde_json for that.
        shaping.sort_all_objects();
        shaping
    }

    /// The settings that shape the features table, of those in [`Pipeline::shaping`] that come after the dataset.
    pub(crate) fn shaping_of_features(&self) -> Value {
        let split = [json!(self.split), json!(split::VERSION)];
        json!([self.features, self.label, split, self.folds()])
    }

    /// Folds of the training rows: 1, which is none, where the grid has a single point, so that nothing is to be chosen, and no
    /// encoder is fitted to labels, which it must not tell a row itself.
    pub fn folds(&self) -> u32 {
        if self.model.points() > 1 || self.features.iter().any(|feature| feature.sees_answers()) {
            self.search.folds
        } else {
            1
        }
    }

    /// The xxh3-128 hash of [`Pipeline::shaping`], in hexadecimal.
    pub fn shaping_hash(&self) -> String {
        fingerprint(self.shaping())
    }
}

/// The XXH3-128 of a JSON value, in hexadecimal, whatever order its objects were built in.
pub(crate) fn fingerprint(mut of: Value) -> String {
    of.sort_all_objects();
    format!("{:032x}", xxh3_128(of.to_string().as_bytes()))
}

/// `[run]`: nothing here changes the model.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSettings {
    /// Where everything is written, relative to the working directory. Default `runs/<name of the pipeline file>`.
    pub dir: PathBuf,
    /// The budget for the resident memory of the process, in bytes. Default 2 GB (2,000,000,000).
    pub memory: u64,
    /// Time between two checkpoints of a training. Default 60 seconds.
    pub checkpoint_every: Duration,
    /// Worker threads. Default: the machine's cores.
    pub threads: usize,
    /// What of the dataset's files is compared with its log. Default `hashes`.
    pub verify: Verify,
}

/// What of the dataset's files is compared with its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// Their sizes.
    Sizes,
    /// Every byte, by the hash of each file.
    #[default]
    Hashes,
}
