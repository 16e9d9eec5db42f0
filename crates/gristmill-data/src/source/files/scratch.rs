//! A folder for what is sorted: gone with the source, and with the next one if that was killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::durable::io;
use crate::error::Result;

const PREFIX: &str = "gristmill-sort-";

/// A folder younger than this may not be locked yet by the one who made it.
const SETTLED: Duration = Duration::from_secs(60);

/// A folder of our own. Locked as long as it is in use.
pub(super) struct Scratch {
    // Unlocked after the folder is gone.
    folder: tempfile::TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one, and removes those of processes that were killed.
    pub(super) fn new() -> Result<Self> {
        Self::within(&base())
    }

    fn within(base: &Path) -> Result<Self> {
        remove_abandoned(base);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(base)
            .map_err(io(base))?;
        let lock = File::open(folder.path()).and_then(|folder| folder.lock().map(|()| folder));
        Ok(Self {
            _lock: lock.map_err(io(folder.path()))?,
            folder,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Where large temporary files go: `TMPDIR`, else `/var/tmp`, for `/tmp` is often memory.
pub(super) fn base() -> PathBuf {
    let large = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && large.is_dir() {
        return large.to_owned();
    }
    std::env::temp_dir()
}

/// Whatever fails here is not ours, or will be tried again by the next.
fn remove_abandoned(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let settled = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > SETTLED));
        if ours && settled && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn folders_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let base = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - 2 * SETTLED;
        let make_old = |path: &Path| File::open(path).unwrap().set_modified(old).unwrap();
        let living = Scratch::within(base.path()).unwrap();
        make_old(living.path());
        let (dead, young) = (
            base.path().join("gristmill-sort-dead"),
            base.path().join("gristmill-sort-young"),
        );
        fs::create_dir(&dead).unwrap();
        fs::create_dir(&young).unwrap();
        make_old(&dead);
        let path = Scratch::within(base.path()).unwrap().path().to_owned();
        assert!(living.path().is_dir() && young.is_dir());
        assert!(!dead.exists() && !path.exists());
    }
}
