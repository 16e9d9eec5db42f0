//! What a file held when it was written, so that a later change is noticed.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// The size and the hash of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileContent {
    /// Its size.
    pub bytes: u64,
    /// The XXH3-128 of its bytes, in hexadecimal.
    pub hash: String,
}

impl FileContent {
    /// What a file holds now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        let mut hash = Xxh3::new();
        let bytes = io::copy(&mut file, &mut Hasher(&mut hash))?;
        Ok(Self {
            bytes,
            hash: format!("{:032x}", hash.digest128()),
        })
    }

    /// Checks that a file still holds this; says why where it does not.
    ///
    /// # Errors
    /// The reason, as a sentence about the file without its name.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        // A file of another size is not worth reading.
        check_size(path, self.bytes)?;
        if Self::of(path).map_err(unreadable)? != *self {
            return Err("its content was changed".to_owned());
        }
        Ok(())
    }
}

/// Checks that a file still has so many bytes; says why where it has not.
///
/// # Errors
/// As [`FileContent::check`].
pub fn check_size(path: &Path, expected: u64) -> Result<(), String> {
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err("it is not a file".to_owned());
    }
    match found.len() {
        bytes if bytes == expected => Ok(()),
        bytes => Err(format!("it has {bytes} bytes, and had {expected}")),
    }
}

fn unreadable(error: io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "it is missing".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}

/// Reads a file that is small by its nature.
///
/// # Errors
/// When it cannot be read, or has more than `most` bytes.
pub fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let why = format!("it has more than {most} bytes");
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    Ok(bytes)
}

/// Hashes what is written to it.
struct Hasher<'a>(&'a mut Xxh3);

impl io::Write for Hasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_change_of_a_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"some bytes").unwrap();
        let content = FileContent::of(&path).unwrap();
        assert_eq!(content.check(&path), Ok(()));
        let refused = |why: &str| assert_eq!(content.check(&path).unwrap_err(), why);
        fs::write(&path, b"some byte").unwrap();
        refused("it has 9 bytes, and had 10");
        fs::write(&path, b"some_bytes").unwrap();
        refused("its content was changed");
        fs::remove_file(&path).unwrap();
        refused("it is missing");
        fs::create_dir(&path).unwrap();
        assert!(content.check(&path).is_err());
    }

    #[test]
    fn a_file_that_should_be_small_is_not_read_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"0123456789").unwrap();
        assert_eq!(read_bounded(&path, 10).unwrap(), b"0123456789");
        let error = read_bounded(&path, 9).unwrap_err().to_string();
        assert_eq!(error, "it has more than 9 bytes");
    }
}
