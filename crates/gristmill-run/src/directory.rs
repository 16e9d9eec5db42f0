//! The folder of a run: where everything is, what is finished, and the lock that keeps a second run out.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use gristmill_data::durable::{create_folder, write_whole};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, io};

/// A run's folder, locked for this process unless it is only read.
pub(crate) struct Directory {
    root: PathBuf,
    finished: Finished,
    _lock: Option<File>,
}

/// `run.json`: the stages that are finished, and what for.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Finished {
    version: u32,
    stages: BTreeMap<String, FinishedStage>,
}

/// A finished stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinishedStage {
    /// A hash of everything that shapes what the stage makes.
    pub(crate) fingerprint: String,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Rows it went over.
    pub(crate) rows: u64,
}

impl Directory {
    /// Opens or creates the folder, and keeps other runs out.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        create_folder(root)?;
        let path = root.join(".lock");
        let lock = File::create(&path).map_err(io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    dir: root.display().to_string(),
                });
            }
            Err(TryLockError::Error(e)) => return Err(io(&path)(e)),
        }
        Ok(Self {
            _lock: Some(lock),
            ..Self::read(root)?
        })
    }

    /// Reads what is finished in the folder, where a run may be working.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("run.json");
        let finished = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| Error::State {
                path: path.display().to_string(),
                why: e.to_string(),
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Finished {
                version: 1,
                stages: BTreeMap::new(),
            },
            Err(e) => return Err(io(&path)(e)),
        };
        Ok(Self {
            root: root.to_owned(),
            finished,
            _lock: None,
        })
    }

    /// The Delta table.
    pub(crate) fn dataset(&self) -> PathBuf {
        self.root.join("dataset")
    }

    /// The state of the fit.
    pub(crate) fn fit(&self) -> PathBuf {
        self.root.join("fit.parquet")
    }

    /// The features table.
    pub(crate) fn features(&self) -> PathBuf {
        self.root.join("features")
    }

    /// Where a training that was stopped stands.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.root.join("train.checkpoint")
    }

    /// The model bundle.
    pub(crate) fn model(&self) -> PathBuf {
        self.root.join("model").join("model.safetensors")
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> PathBuf {
        self.root.join("metrics.json")
    }

    /// The text summary.
    pub(crate) fn summary(&self) -> PathBuf {
        self.root.join("summary.txt")
    }

    /// The record of a stage, if it was finished for just this.
    pub(crate) fn finished(&self, stage: &str, fingerprint: &str) -> Option<&FinishedStage> {
        self.finished
            .stages
            .get(stage)
            .filter(|f| f.fingerprint == fingerprint)
    }

    /// Records that a stage is finished.
    pub(crate) fn finish(&mut self, stage: &str, finished: FinishedStage) -> Result<()> {
        self.finished.stages.insert(stage.to_owned(), finished);
        write_json(&self.root.join("run.json"), &self.finished)
    }
}

/// Writes indented JSON whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::State {
        path: path.display().to_string(),
        why: e.to_string(),
    })?;
    Ok(write_whole(path, format!("{text}\n").as_bytes())?)
}
