//! The key of a run's folder: what is told of filled-in values there, to compare them, is worth nothing without it.
//!
//! A plain hash of a short secret is as good as the secret, for all that it could be are hashed in no time.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::durable::{io, sync_folder};
use crate::error::{Error, Result};

const NAME: &str = "run.key";

/// 256 random bits.
#[derive(Clone)]
pub struct RunKey([u8; 32]);

impl RunKey {
    /// The key of a run's folder, if it has one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(NAME);
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path)(error)),
            Ok(bytes) => match bytes.try_into() {
                Ok(key) => Ok(Some(Self(key))),
                Err(_) => Err(Error::RunKey {
                    why: format!("{} does not hold a key of 32 bytes", path.display()),
                }),
            },
        }
    }

    /// The key of a run's folder, which is made where there is none. Only this user can read it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn read_or_make(dir: &Path) -> Result<Self> {
        if let Some(key) = Self::read(dir)? {
            return Ok(key);
        }
        let path = dir.join(NAME);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| io(&path)(error.into()))?;
        // Of mode 0600, as every temporary file.
        let mut file = tempfile::Builder::new()
            .prefix(".run.key.")
            .tempfile_in(dir)
            .map_err(io(&path))?;
        file.write_all(&key).map_err(io(&path))?;
        file.as_file().sync_all().map_err(io(&path))?;
        match file.persist_noclobber(&path) {
            Ok(_) => sync_folder(dir)?,
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(&path)(error.error)),
        }
        Self::read(dir)?.ok_or_else(|| Error::RunKey {
            why: format!("{} disappeared", path.display()),
        })
    }

    /// Which key it is; says nothing of the key.
    pub(crate) fn name(&self) -> String {
        self.digest("", "the name of this key")
    }

    /// What tells whether a setting has the same value: its HMAC-SHA256, in hexadecimal.
    pub(crate) fn digest(&self, setting: &str, value: &str) -> String {
        // Never fails: any length of a key will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(setting.as_bytes());
        mac.update(&[0]);
        mac.update(value.as_bytes());
        mac.finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunKey")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RunKey::read(dir.path()).unwrap().is_none());
        let key = RunKey::read_or_make(dir.path()).unwrap();
        assert_eq!(RunKey::read_or_make(dir.path()).unwrap().0, key.0);
        let metadata = fs::metadata(dir.path().join(NAME)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        let other = tempfile::tempdir().unwrap();
        let other = RunKey::read_or_make(other.path()).unwrap();
        assert_ne!(
            key.digest("source.query", "482913"),
            other.digest("source.query", "482913")
        );
        assert_ne!(
            key.digest("source.query", "482913"),
            key.digest("clean.filter", "482913")
        );
        assert_ne!(key.name(), other.name());
        assert_eq!(key.digest("source.query", "482913").len(), 64);

        fs::write(dir.path().join(NAME), "short").unwrap();
        let broken = RunKey::read(dir.path()).unwrap_err().to_string();
        assert!(broken.contains("does not hold a key of 32 bytes"), "{broken}");
    }
}
