//! The name of the state that a SQLite file is in.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Result, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// How a snapshot's name says that there is a write-ahead log.
pub(super) const LOG: &str = "bytes of log";

/// Every database file whose header was read, open until the process ends. A POSIX lock on a file goes when *any*
/// descriptor of it is closed in the process: closing one here would take away the locks of SQLite's own connections,
/// and others could write while they read (sqlite.org/howtocorrupt.html, 2.2).
static HEADERS: Mutex<BTreeMap<Id, File>> = Mutex::new(BTreeMap::new());

/// What tells one file from another.
type Id = (u64, u64, PathBuf);

/// The state of the file and of its write-ahead log. A checkpoint changes the name though not the data.
pub(super) fn name(path: &Path) -> Result<String> {
    let id = id(path)?;
    let mut headers = HEADERS.lock().unwrap_or_else(PoisonError::into_inner);
    if !headers.contains_key(&id) {
        headers.insert(id.clone(), File::open(path)?);
    }
    let mut header = [0; 28];
    if let Some(file) = headers.get_mut(&id) {
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut header)?;
    }
    drop(headers);
    let changes = u32::from_be_bytes([header[24], header[25], header[26], header[27]]);
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Ok(match fs::metadata(log) {
        Ok(log) if log.len() > 0 => format!("change {changes}, {} {LOG}", log.len()),
        _ => format!("change {changes}"),
    })
}

#[cfg(unix)]
fn id(path: &Path) -> Result<Id> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino(), PathBuf::new()))
}

#[cfg(not(unix))]
fn id(path: &Path) -> Result<Id> {
    Ok((0, 0, path.canonicalize()?))
}
