//! What tells whether a file was changed, without reading it.

use std::fs;
use std::io::Result;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// The size and the times of a file, and where the system keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    modified: Duration,
    /// What is new of a file that has the path, size and time of another: device, number and time of the last change, which no
    /// program can set.
    replaced: Option<(u64, u64, i64, i64)>,
}

impl Stamp {
    /// That of the file at this path.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            size: metadata.len(),
            modified: metadata
                .modified()?
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            replaced: replaced(&metadata),
        })
    }
}

#[cfg(unix)]
fn replaced(metadata: &fs::Metadata) -> Option<(u64, u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    Some((
        metadata.dev(),
        metadata.ino(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ))
}

#[cfg(not(unix))]
fn replaced(_: &fs::Metadata) -> Option<(u64, u64, i64, i64)> {
    None
}
