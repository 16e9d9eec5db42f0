//! The folder of a run: where everything is, what is finished, and the lock that keeps a second run out.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use gristmill_data::content::{FileContent, read_bounded};
use gristmill_data::durable::{
    create_folder, first_other, lock, remove_leftovers, replace_folder, write_whole,
};
use gristmill_data::table::check_path;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result, broken_state, io};

/// A run's folder, locked for this process unless it is only read.
pub(crate) struct Directory {
    root: PathBuf,
    finished: Finished,
    _lock: Option<File>,
}

/// The version of the layout of `run.json`. Raise it when the layout changes. A folder of an earlier version is gone on with;
/// one of a later version is left as it is.
const VERSION: u32 = 2;

/// The file that marks a folder as that of a run, and that the run locks.
const MARKER: &str = ".gristmill";

/// A run has six stages at most, each recorded in less than a kilobyte.
const MAX_BYTES: u64 = 1 << 20;

/// `run.json`: the stages that are finished, and what for.
#[derive(Debug, Serialize, Deserialize)]
struct Finished {
    version: u32,
    stages: BTreeMap<String, FinishedStage>,
}

/// A finished stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinishedStage {
    /// The version of gristmill that did it; none was recorded at first.
    #[serde(default)]
    pub(crate) gristmill: String,
    /// The version of the format of what it made.
    #[serde(default)]
    pub(crate) format: u32,
    /// A hash of everything that shapes what the stage makes.
    pub(crate) fingerprint: String,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Rows it went over.
    pub(crate) rows: u64,
    /// What it made: files by their paths in the folder.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, FileContent>,
}

impl FinishedStage {
    /// A stage that this version of gristmill finished; its files are named by whoever made them.
    pub(crate) fn new(fingerprint: String, seconds: f64, rows: u64) -> Self {
        Self {
            gristmill: env!("CARGO_PKG_VERSION").to_owned(),
            format: 0,
            fingerprint,
            seconds,
            rows,
            files: BTreeMap::new(),
        }
    }
}

impl Directory {
    /// Opens or creates the folder, and keeps other runs out.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        // What is not to be touched is found before anything is.
        Self::read(root)?;
        create_folder(root)?;
        // Where `nope/..` leads is known only now.
        Self::read(root)?;
        let path = root.join(MARKER);
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = file.map_err(io(&path))?;
        if !lock(&file, &path)? {
            return Err(Error::Locked {
                dir: root.display().to_string(),
            });
        }
        mark(&mut file).map_err(io(&path))?;
        let directory = Self {
            _lock: Some(file),
            ..Self::read(root)?
        };
        if directory.is_between_datasets() {
            replace_folder(&directory.fresh_dataset(), &directory.dataset())?;
        }
        for path in [
            directory.dataset(),
            directory.record(),
            directory.choice(),
            directory.fit(),
            directory.features(),
            directory.checkpoint(),
            directory.model(),
            directory.metrics(),
            directory.summary(),
        ] {
            remove_leftovers(&path)?;
        }
        Ok(directory)
    }

    /// Reads what is finished in the folder, where a run may be working.
    ///
    /// # Errors
    /// When it is no folder of a run and holds anything, or its path is one that the Delta library reads as another.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        check_path(root)?;
        if fs::symlink_metadata(root).is_ok() && !root.is_dir() {
            return Err(Error::NoFolder {
                dir: root.display().to_string(),
            });
        }
        let mut directory = Self {
            root: root.to_owned(),
            finished: Finished {
                version: VERSION,
                stages: BTreeMap::new(),
            },
            _lock: None,
        };
        let path = directory.record();
        // Records that cannot be read may be those of another program that have this name.
        let unreadable = |why: &dyn ToString| match refuse_others(root) {
            Ok(()) => unreadable(&path, why),
            Err(others) => others,
        };
        let bytes = match read_bounded(&path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                refuse_others(root)?;
                return Ok(directory);
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(unreadable(&error)),
            Err(error) => return Err(io(&path)(error)),
        };
        let found: Value = serde_json::from_slice(&bytes).map_err(|e| unreadable(&e))?;
        match found["version"].as_u64() {
            Some(version) if version > u64::from(VERSION) => Err(Error::NewerRun {
                path: path.display().to_string(),
                version,
                known: VERSION,
            }),
            Some(_) => {
                directory.finished = serde_json::from_value(found).map_err(|e| unreadable(&e))?;
                Ok(directory)
            }
            None => Err(unreadable(&"it states no version")),
        }
    }

    /// The records of the finished stages.
    fn record(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// The Delta table.
    pub(crate) fn dataset(&self) -> PathBuf {
        self.root.join("dataset")
    }

    /// The Delta table that is to take the place of the dataset once it is complete.
    pub(crate) fn fresh_dataset(&self) -> PathBuf {
        self.root.join("dataset.fresh")
    }

    /// Whether a kill came when the dataset was set aside already and the fresh one was not yet in its place.
    pub(crate) fn is_between_datasets(&self) -> bool {
        fs::symlink_metadata(self.dataset()).is_err() && self.fresh_dataset().join("_delta_log").is_dir()
    }

    /// What was chosen for the fit.
    pub(crate) fn choice(&self) -> PathBuf {
        self.root.join("choice.json")
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
        self.recorded(stage).filter(|f| f.fingerprint == fingerprint)
    }

    /// The record of a stage, whatever it was finished for.
    pub(crate) fn recorded(&self, stage: &str) -> Option<&FinishedStage> {
        self.finished.stages.get(stage)
    }

    /// How a file in the folder is called in a record.
    pub(crate) fn name_of(&self, path: &Path) -> String {
        let name = path.strip_prefix(&self.root).unwrap_or(path);
        name.to_string_lossy().into_owned()
    }

    /// Takes the record of a stage back, before what it vouches for is touched.
    pub(crate) fn withdraw(&mut self, stage: &str) -> Result<()> {
        match self.finished.stages.remove(stage) {
            Some(_) => self.write_record(),
            None => Ok(()),
        }
    }

    /// Records that a stage is finished, with all that it made on the disk.
    pub(crate) fn finish(&mut self, stage: &str, finished: FinishedStage) -> Result<()> {
        self.finished.stages.insert(stage.to_owned(), finished);
        self.write_record()
    }

    fn write_record(&mut self) -> Result<()> {
        self.finished.version = VERSION;
        let path = self.record();
        Ok(write_whole(&path, &to_json(&path, &self.finished)?)?)
    }
}

/// Refuses a folder that holds anything and that no run has marked: a run replaces and removes files of these names, and those of
/// others are not to be among them.
fn refuse_others(root: &Path) -> Result<()> {
    if root.join(MARKER).is_file() {
        return Ok(());
    }
    match first_other(root, |_| false)? {
        None => Ok(()),
        Some(holds) => Err(Error::ForeignFolder {
            dir: root.display().to_string(),
            holds,
        }),
    }
}

/// Writes an identity of its own into the marker of a folder that has none yet.
fn mark(file: &mut File) -> std::io::Result<()> {
    if file.metadata()?.len() > 0 {
        return Ok(());
    }
    let mut identity = [0; 16];
    getrandom::fill(&mut identity).map_err(std::io::Error::other)?;
    let identity: String = identity.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(
        file,
        "This folder belongs to a gristmill run, which replaces and removes files in it.\nrun {identity}"
    )?;
    file.sync_all()
}

/// Indented JSON, for the file at `path`.
pub(crate) fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let text = serde_json::to_string_pretty(value).map_err(|e| broken_state(path, &e))?;
    Ok(format!("{text}\n").into_bytes())
}

fn unreadable(path: &Path, why: &dyn ToString) -> Error {
    Error::Records {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}
