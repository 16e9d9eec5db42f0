//! A whole pipeline as validated settings.

use std::path::PathBuf;

use gristmill_data::settings::{CleanSettings, SourceSettings};
use gristmill_learn::settings::{
    FeatureSettings, LabelSettings, LogisticSettings, SearchSettings, SplitSettings,
};

/// Everything a pipeline file says, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// `[source]`.
    pub source: SourceSettings,
    /// `[batches] rows`. Default 50,000.
    pub batch_rows: u64,
    /// `[clean]`.
    pub clean: CleanSettings,
    /// Every `[[feature]]`, in order.
    pub features: Vec<FeatureSettings>,
    /// `[label]`.
    pub label: LabelSettings,
    /// `[split]`.
    pub split: SplitSettings,
    /// `[model]`.
    pub model: LogisticSettings,
    /// `[search]`.
    pub search: SearchSettings,
    /// `[run]`.
    pub run: RunSettings,
}

/// `[run]`: nothing here changes the model.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSettings {
    /// Where everything is written, relative to the working directory. Default `runs/<name of the pipeline file>`.
    pub dir: PathBuf,
    /// The budget for the resident memory of the process, in bytes. Default 2 GB (2,000,000,000).
    pub memory: u64,
    /// Worker threads. Default: the machine's cores.
    pub threads: usize,
}
