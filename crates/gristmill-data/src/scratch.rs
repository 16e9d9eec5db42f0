//! Temporary files that nobody else can read, and that a killed process does not leave behind for good.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::durable::io;
use crate::error::Result;

const PREFIX: &str = "gristmill-sort-";

/// The file in a folder that says whose the folder is. Its process keeps it locked.
const MARKER: &str = ".gristmill-scratch";

const MARK: &[u8] =
    b"Temporary files of gristmill, which removes them once the process that made them is gone.\n";

/// A file without a name, in the folder for large temporary files. Only this process can open it, and it is gone when
/// it is closed, also where the process is killed.
///
/// # Errors
/// When the system refuses.
pub fn unnamed() -> Result<File> {
    let base = base();
    let file = tempfile::tempfile_in(&base).map_err(io(&base))?;
    let private = Permissions::from_mode(0o600);
    file.set_permissions(private).map_err(io(&base))?;
    Ok(file)
}

/// A folder for what a library writes under names of its own. Only this user can look into it. It is removed when it is
/// dropped, or, where the process was killed, when the next one is made.
pub struct Scratch {
    // Unlocked after the folder is gone.
    folder: tempfile::TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one, and removes those of processes that were killed.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self> {
        Self::within(&base())
    }

    fn within(base: &Path) -> Result<Self> {
        remove_abandoned(base);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(base)
            .map_err(io(base))?;
        let lock = mark(folder.path()).map_err(io(folder.path()))?;
        Ok(Self { _lock: lock, folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The folder for large temporary files: `TMPDIR`, else `/var/tmp`, for `/tmp` is often memory.
pub fn base() -> PathBuf {
    let large = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && large.is_dir() {
        return large.to_owned();
    }
    std::env::temp_dir()
}

/// Marks a folder as ours. The mark has its name only once it is locked, so that no folder in use is ever seen unlocked.
fn mark(folder: &Path) -> std::io::Result<File> {
    let unfinished = folder.join("marker");
    let mut options = OpenOptions::new();
    let mut marker = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    marker.write_all(MARK)?;
    marker.lock()?;
    fs::rename(&unfinished, folder.join(MARKER))?;
    Ok(marker)
}

/// Whatever fails here is not ours, or will be tried again by the next.
fn remove_abandoned(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if named && let Some(_lock) = abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The lock of a folder that this user's gristmill made and no process uses. A name alone proves nothing: others may
/// have folders that are called so.
fn abandoned(folder: &Path) -> Option<File> {
    let user = Uid::effective().as_raw();
    let of_user = |path: &Path| fs::symlink_metadata(path).ok().filter(|of| of.uid() == user);
    let path = folder.join(MARKER);
    if !of_user(folder)?.is_dir() || !of_user(&path)?.is_file() {
        return None;
    }
    let marker = File::open(&path).ok()?;
    marker.try_lock().ok()?;
    let mut mark = Vec::new();
    (&marker)
        .take(MARK.len() as u64 + 1)
        .read_to_end(&mut mark)
        .ok()?;
    (mark == MARK).then_some(marker)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_dead_are_removed_and_those_of_the_living_and_of_others_stay() {
        let base = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = base.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&path).unwrap();
            path
        };
        let living = Scratch::within(base.path()).unwrap();
        let dead = folder("dead");
        drop(mark(&dead).unwrap());
        fs::write(dead.join("rows"), "left").unwrap();
        // Nobody's, as far as can be told: only the name is like ours.
        let (unmarked, other_mark) = (folder("unmarked"), folder("other"));
        fs::write(unmarked.join("thesis"), "years of work").unwrap();
        fs::write(other_mark.join(MARKER), "something else").unwrap();
        // A link does not lead the removal elsewhere.
        let elsewhere = tempfile::tempdir().unwrap();
        drop(mark(elsewhere.path()).unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), base.path().join(format!("{PREFIX}link"))).unwrap();

        let path = Scratch::within(base.path()).unwrap().path().to_owned();
        assert!(!dead.exists() && !path.exists());
        assert!(living.path().is_dir());
        assert!(unmarked.join("thesis").exists() && other_mark.join(MARKER).exists());
        assert!(elsewhere.path().join(MARKER).exists());
    }

    #[test]
    fn nobody_else_looks_into_a_folder_and_a_file_has_no_name() {
        let base = tempfile::tempdir().unwrap();
        let scratch = Scratch::within(base.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(scratch.path()), 0o700);
        assert_eq!(mode(&scratch.path().join(MARKER)), 0o600);
        let file = unnamed().unwrap().metadata().unwrap();
        assert_eq!((file.nlink(), file.mode() & 0o777), (0, 0o600));
    }
}
