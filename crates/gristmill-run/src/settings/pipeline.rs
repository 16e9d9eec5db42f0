//! A whole pipeline as validated settings.

use std::path::PathBuf;
use std::time::Duration;

use gristmill_data::settings::{CleanSettings, Consistency, SourceSettings};
use gristmill_learn::contract::encoder::Feature;
use gristmill_learn::contract::learner::ModelSettings;
use gristmill_learn::features::split;
use gristmill_learn::settings::{LabelSettings, SearchSettings, SplitSettings};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// Everything a pipeline file says, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// `[source]`.
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
    /// Every `[[feature]]`, in order.
    pub features: Vec<Feature>,
    /// `[label]`.
    pub label: LabelSettings,
    /// `[split]`.
    pub split: SplitSettings,
    /// `[model]`.
    pub model: ModelSettings,
    /// `[search]`.
    pub search: SearchSettings,
    /// `[run]`.
    pub run: RunSettings,
}

impl Pipeline {
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
