//! A record of what is done to files, in its order: what a power failure would leave can be told from it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Something that was done to a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// All that was written to a file is on the disk, and this is it.
    SyncFile(PathBuf, Vec<u8>),
    /// The names in a folder are on the disk.
    SyncFolder(PathBuf),
    CreateFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    /// The second is a further name of the first.
    Link(PathBuf, PathBuf),
    /// A file, or a folder with all that is in it.
    Remove(PathBuf),
}

/// What is done in a folder, and in those in it, from now on.
pub(crate) struct Recording {
    root: PathBuf,
}

static RECORDINGS: Mutex<Vec<(PathBuf, Vec<Operation>)>> = Mutex::new(Vec::new());

impl Recording {
    /// Begins.
    pub(crate) fn of(root: &Path) -> Self {
        let mut recordings = RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner);
        recordings.push((root.to_owned(), Vec::new()));
        Self {
            root: root.to_owned(),
        }
    }

    /// What was done so far.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let recordings = RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = recordings.iter().find(|(root, _)| *root == self.root);
        mine.map(|(_, operations)| operations.clone()).unwrap_or_default()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut recordings = RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner);
        recordings.retain(|(root, _)| *root != self.root);
    }
}

/// Records an operation where somebody wants it.
pub(crate) fn record(operation: impl FnOnce() -> Operation) {
    let mut recordings = RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner);
    if recordings.is_empty() {
        return;
    }
    let operation = operation();
    let path = match &operation {
        Operation::SyncFile(path, _)
        | Operation::SyncFolder(path)
        | Operation::CreateFolder(path)
        | Operation::Rename(_, path)
        | Operation::Link(_, path)
        | Operation::Remove(path) => path.clone(),
    };
    for (root, operations) in recordings.iter_mut() {
        if path.starts_with(root) {
            operations.push(operation.clone());
        }
    }
}
