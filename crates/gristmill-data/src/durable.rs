//! Files that must survive a crash and a power failure: written beside their place, synced, renamed into it, and their folder
//! synced after that. All writes of this kind in the workspace go through here.

#[cfg(test)]
pub(crate) mod recorded;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use parquet::errors::ParquetError;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};
use crate::failpoint;

#[cfg(test)]
use recorded::{Operation, record};

/// Longer names of files get a hash in place of the name while they are unfinished: most systems allow 255 bytes.
const LONGEST_NAME: usize = 200;

/// A file on its way to its place. It is written beside it under a hidden name of its own, and goes unless it is put there.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    /// Locked, so that a second writer of the same file is refused.
    file: File,
    failed: Arc<Mutex<Option<std::io::Error>>>,
    put: bool,
}

/// What is written into a [`NewFile`].
#[derive(Debug)]
pub struct Output {
    file: File,
    failed: Arc<Mutex<Option<std::io::Error>>>,
}

impl NewFile {
    /// Begins the file that shall be at `path`. What a kill left of another try, or somebody else put there, is removed: it is never
    /// written to, for it may be a link to another file, or a file that others have open.
    pub fn create(path: &Path) -> Result<Self> {
        let unfinished = unfinished(path);
        let busy = || Error::BeingWritten {
            path: path.display().to_string(),
        };
        let file = loop {
            match OpenOptions::new().write(true).create_new(true).open(&unfinished) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if !remove_unless_written(&unfinished)? {
                        return Err(busy());
                    }
                }
                created => {
                    let file = created.map_err(io(&unfinished))?;
                    if !lock(&file, &unfinished)? {
                        return Err(busy());
                    }
                    // Another writer may have taken it for what a kill left, before it was locked here.
                    if is_at(&file, &unfinished) {
                        break file;
                    }
                }
            }
        };
        Ok(Self {
            path: path.to_owned(),
            unfinished,
            file,
            failed: Arc::default(),
            put: false,
        })
    }

    /// The same with all that it shall hold, still beside its place.
    pub fn holding(path: &Path, bytes: &[u8]) -> Result<Self> {
        let file = Self::create(path)?;
        file.output()?.write_all(bytes).map_err(io(path))?;
        Ok(file)
    }

    /// What is to be written to.
    pub fn output(&self) -> Result<Output> {
        Ok(Output {
            file: self.file.try_clone().map_err(io(&self.path))?,
            failed: self.failed.clone(),
        })
    }

    /// Why writing failed, where that was not the doing of `error`, which a writer of some format made of it: few keep what the
    /// disk said.
    pub fn why<E: From<Error>>(&self, error: E) -> E {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed
            .take()
            .map_or(error, |source| io(&self.path)(source).into())
    }

    /// Puts the file, to which everything was written, in its place; then it is on the disk. Returns its size.
    pub fn put(mut self) -> Result<u64> {
        let bytes = synced(&self.file, &self.unfinished)?;
        rename(&self.unfinished, &self.path)?;
        self.put = true;
        sync_folder(folder_of(&self.path))?;
        Ok(bytes)
    }

    /// The same, but leaves a file alone that is in its place, whenever it came there; says whether it put this one.
    pub fn put_new(mut self) -> Result<bool> {
        synced(&self.file, &self.unfinished)?;
        match fs::hard_link(&self.unfinished, &self.path) {
            Ok(()) => remove_file(&self.unfinished)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            // Some systems of files know no second name of a file.
            Err(_) if fs::symlink_metadata(&self.path).is_ok() => return Ok(false),
            Err(_) => rename(&self.unfinished, &self.path)?,
        }
        self.put = true;
        sync_folder(folder_of(&self.path))?;
        Ok(true)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes).map_err(|error| {
            let told = std::io::Error::from(error.kind());
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            told
        })
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.put {
            let _ = remove_file(&self.unfinished);
        }
    }
}

/// Creates a file that was not there before, in the place of whatever a kill left there or somebody else put there, which is neither
/// followed nor written to. For names that nobody else writes under.
pub(crate) fn create_anew(path: &Path) -> Result<File> {
    loop {
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => remove_file(path)?,
            created => return created.map_err(io(path)),
        }
    }
}

/// Removes what is at a hidden name, unless another process is writing it; says whether that is so.
fn remove_unless_written(unfinished: &Path) -> Result<bool> {
    let is_file = fs::symlink_metadata(unfinished).is_ok_and(|found| found.is_file());
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(O_NOFOLLOW | O_NONBLOCK);
    if let Some(left) = is_file.then(|| options.open(unfinished).ok()).flatten() {
        if !lock(&left, unfinished)? {
            return Ok(false);
        }
        // While it is locked nobody else removes it.
        if !is_at(&left, unfinished) {
            return Ok(true);
        }
        remove_file(unfinished)?;
        return Ok(true);
    }
    remove_file(unfinished)?;
    Ok(true)
}

/// Writes a file so that it is there whole, and on the disk, or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    NewFile::holding(path, bytes)?.put().map(drop)
}

/// Puts the folder `unfinished`, whose files are on the disk, in the place of `dir`, which is removed. A kill in between leaves
/// the one or the other or none, but never a mixture.
pub fn replace_folder(unfinished: &Path, dir: &Path) -> Result<()> {
    let discarded = discarded(dir);
    remove(&discarded)?;
    sync_folder(unfinished)?;
    match rename(dir, &discarded) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        renamed => renamed?,
    }
    failpoint::hit("folder-set-aside");
    rename(unfinished, dir)?;
    failpoint::hit("folder-replaced");
    sync_folder(folder_of(dir))?;
    remove(&discarded)
}

/// The first by name of what is in a folder and not among these; `None` where all is, or there is no folder.
pub fn first_other(dir: &Path, is_ours: impl Fn(&str) -> bool) -> Result<Option<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(dir)(error)),
    };
    let mut first: Option<String> = None;
    for entry in entries {
        let name = entry.map_err(io(dir))?.file_name().to_string_lossy().into_owned();
        if !is_ours(&name) && first.as_ref().is_none_or(|first| name < *first) {
            first = Some(name);
        }
    }
    Ok(first)
}

/// Removes what a kill left of writing the file or folder at `path`.
pub fn remove_leftovers(path: &Path) -> Result<()> {
    for left in [unfinished(path), discarded(path)] {
        match fs::symlink_metadata(&left) {
            Ok(found) if found.is_dir() => remove(&left)?,
            Ok(_) => remove_file(&left)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io(&left)(error)),
        }
    }
    Ok(())
}

/// The hidden name of a file or folder beside its place, while it is written.
pub fn unfinished(path: &Path) -> PathBuf {
    hidden(path, "unfinished")
}

fn discarded(path: &Path) -> PathBuf {
    hidden(path, "discarded.unfinished")
}

fn hidden(path: &Path, state: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let mut hidden = std::ffi::OsString::from(".");
    if name.len() > LONGEST_NAME {
        hidden.push(format!("{:016x}", xxh3_64(name.as_encoded_bytes())));
    } else {
        hidden.push(name);
    }
    hidden.push(".");
    hidden.push(state);
    path.with_file_name(hidden)
}

/// The folder that holds a file or folder.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Creates a folder with all above it, which are on the disk then.
pub fn create_folder(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = folder_of(dir);
    let mut created = fs::create_dir(dir);
    if matches!(&created, Err(error) if error.kind() == ErrorKind::NotFound) && above != dir {
        create_folder(above)?;
        created = fs::create_dir(dir);
    }
    match created {
        // Another was first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {}
        created => created.map_err(io(dir))?,
    }
    #[cfg(test)]
    record(|| Operation::CreateFolder(dir.to_owned()));
    sync_folder(above)
}

/// Waits until the names in a folder are on the disk.
pub fn sync_folder(dir: &Path) -> Result<()> {
    let synced = match File::open(dir) {
        // A folder that may be written to but not read cannot be waited for, nor on Windows any.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
        opened => opened.and_then(|dir| dir.sync_all()),
    };
    match synced {
        // Some systems of files cannot, and have no names that only memory holds.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {}
        synced => synced.map_err(io(dir))?,
    }
    #[cfg(test)]
    record(|| Operation::SyncFolder(dir.to_owned()));
    Ok(())
}

/// Locks an open file or folder until it is closed; returns whether it did, or another process holds it.
pub fn lock(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(io(path)(error)),
    }
}

/// Gives a file or folder another name. Its folder is not synced.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(io(to))?;
    #[cfg(test)]
    record(|| Operation::Rename(from.to_owned(), to.to_owned()));
    Ok(())
}

/// Gives a file a second name unless there is a file of that name; says whether it did. The folder is not synced.
pub(crate) fn link(from: &Path, to: &Path) -> Result<bool> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        linked => linked.map_err(io(to))?,
    }
    #[cfg(test)]
    record(|| Operation::Link(from.to_owned(), to.to_owned()));
    Ok(true)
}

/// Waits until what was written to a file is on the disk, for what a commit names must survive a power failure. Returns its
/// size.
pub(crate) fn synced(file: &File, path: &Path) -> Result<u64> {
    file.sync_all().map_err(io(path))?;
    #[cfg(test)]
    record(|| Operation::SyncFile(path.to_owned(), fs::read(path).unwrap_or_default()));
    Ok(file.metadata().map_err(io(path))?.len())
}

/// What the system said of a file or folder, as an error of this crate.
pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull { path },
        _ => Error::Io { path, source },
    }
}

/// What writing Parquet failed with, where that is the file's fault.
pub fn write_failed(path: &Path) -> impl FnOnce(ParquetError) -> Error {
    move |error| match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(cause) => io(path)(*cause),
            Err(cause) => ParquetError::External(cause).into(),
        },
        error => error.into(),
    }
}

/// Removes a folder with all that is in it; one that is not there is fine.
pub fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(io(dir))?,
    }
    #[cfg(test)]
    record(|| Operation::Remove(dir.to_owned()));
    Ok(())
}

/// Removes a file; one that is not there is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(io(path))?,
    }
    #[cfg(test)]
    record(|| Operation::Remove(path.to_owned()));
    Ok(())
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (Ok(there), Ok(here)) = (fs::symlink_metadata(path), file.metadata()) else {
        return false;
    };
    identity(there) == identity(here)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::recorded::Recording;
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_on_the_disk_before_its_name_and_its_name_before_anything_else() {
        let dir = tempfile::tempdir().unwrap();
        let (path, recording) = (dir.path().join("run.json"), Recording::of(dir.path()));
        write_whole(&path, b"{}").unwrap();
        let hidden = dir.path().join(".run.json.unfinished");
        assert_eq!(
            recording.operations(),
            [
                Operation::SyncFile(hidden.clone(), b"{}".to_vec()),
                Operation::Rename(hidden, path),
                Operation::SyncFolder(dir.path().to_owned()),
            ]
        );
        assert_eq!(names(dir.path()), ["run.json"]);
    }

    #[test]
    fn a_folder_takes_the_place_of_another_in_one_step() {
        let dir = tempfile::tempdir().unwrap();
        let (new, place) = (dir.path().join("new"), dir.path().join("features"));
        fs::create_dir(&place).unwrap();
        fs::write(place.join("old"), "").unwrap();
        fs::create_dir(&new).unwrap();
        fs::write(new.join("part"), "").unwrap();
        let recording = Recording::of(dir.path());
        replace_folder(&new, &place).unwrap();
        let discarded = dir.path().join(".features.discarded.unfinished");
        assert_eq!(
            recording.operations(),
            [
                Operation::SyncFolder(new.clone()),
                Operation::Rename(place.clone(), discarded.clone()),
                Operation::Rename(new, place.clone()),
                Operation::SyncFolder(dir.path().to_owned()),
                Operation::Remove(discarded),
            ]
        );
        assert_eq!(names(&place), ["part"]);
        assert_eq!(names(dir.path()), ["features"]);
    }

    #[test]
    fn files_that_differ_in_their_ending_do_not_meet_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let long = "n".repeat(251);
        let names_of = ["a.csv", "a.parquet", "a.b.csv", "a", long.as_str()];
        let files = names_of.map(|name| NewFile::create(&dir.path().join(name)).unwrap());
        for (file, name) in files.iter().zip(names_of) {
            file.output().unwrap().write_all(name.as_bytes()).unwrap();
        }
        for file in files {
            file.put().unwrap();
        }
        for name in names_of {
            assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), name);
        }
        assert_eq!(names(dir.path()).len(), names_of.len());
    }

    #[test]
    fn one_file_has_one_writer_at_a_time_and_what_a_kill_left_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        fs::write(unfinished(&path), "what a kill left, which is longer").unwrap();
        let first = NewFile::create(&path).unwrap();
        let refused = NewFile::create(&path).unwrap_err().to_string();
        assert!(
            refused.contains("another process is writing this file"),
            "{refused}"
        );
        first.output().unwrap().write_all(b"first").unwrap();
        first.put().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        drop(NewFile::create(&path).unwrap());
        assert_eq!(names(dir.path()), ["out.csv"]);
    }

    /// Another program may have put its file there while this one was written.
    #[test]
    fn a_new_file_takes_no_place_that_is_taken() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let new = || NewFile::holding(&path, b"new").unwrap();
        let first = new();
        fs::write(&path, "another's").unwrap();
        assert!(!first.put_new().unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        fs::remove_file(&path).unwrap();
        symlink("nowhere", &path).unwrap();
        assert!(!new().put_new().unwrap());
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        fs::remove_file(&path).unwrap();
        assert!(new().put_new().unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["out.csv"]);
    }

    /// A file elsewhere must not be written to, nor may anybody else have the new one open.
    #[test]
    fn what_stands_at_a_hidden_name_is_neither_followed_nor_written_to() {
        use std::os::unix::fs::symlink;
        type Put = fn(&Path, &Path);
        let put: [(&str, Put); 5] = [
            ("a link", |victim, hidden| symlink(victim, hidden).unwrap()),
            ("a link that leads nowhere", |victim, hidden| {
                symlink(victim.with_extension("nowhere"), hidden).unwrap();
            }),
            ("a second name", |victim, hidden| {
                fs::hard_link(victim, hidden).unwrap()
            }),
            ("a pipe", |_, hidden| {
                let made = std::process::Command::new("mkfifo").arg(hidden).status().unwrap();
                assert!(made.success());
            }),
            ("a file", |_, hidden| {
                fs::write(hidden, "what a kill left").unwrap()
            }),
        ];
        for (what, put) in put {
            let dir = tempfile::tempdir().unwrap();
            let (path, victim) = (dir.path().join("out.csv"), dir.path().join("victim"));
            fs::write(&victim, "another's").unwrap();
            put(&victim, &unfinished(&path));
            write_whole(&path, b"new").unwrap();
            assert_eq!(fs::read(&victim).unwrap(), b"another's", "{what}");
            assert_eq!(fs::read(&path).unwrap(), b"new", "{what}");
            assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{what}");
            assert_eq!(names(dir.path()), ["out.csv", "victim"], "{what}");

            let other = dir.path().join("anew");
            put(&victim, &other);
            create_anew(&other).unwrap().write_all(b"new").unwrap();
            assert_eq!(fs::read(&victim).unwrap(), b"another's", "{what}");
            assert!(fs::symlink_metadata(&other).unwrap().is_file(), "{what}");
        }
    }

    /// `/dev/full` has no room, as a full disk has none.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_whatever_a_writer_makes_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        let mut file = NewFile::create(&path).unwrap();
        file.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        file.output().unwrap().write_all(b"bytes").unwrap_err();
        let made = Error::Empty("not a readable model".to_owned());
        assert!(matches!(file.why(made), Error::DiskFull { .. }));
    }
}
