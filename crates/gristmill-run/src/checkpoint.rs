//! The checkpoint file of a training: written whole or not at all, and read only if it is whole and for just this training.
//!
//! Layout: a magic number, the length of a JSON header and the header, the trainer's state, the XXH3-128 of all before.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gristmill_data::durable::{NewFile, Output, remove_file, unfinished};
use gristmill_data::failpoint;
use gristmill_learn::search::Trainer;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Result, broken_state, io as failed};

/// With the version of the layout, of the header and the state, at its end.
const MAGIC: &[u8; 8] = b"GRCKPT\x00\x02";
const CHECKSUM_BYTES: u64 = 16;
const MAX_HEADER_BYTES: u64 = 1 << 16;
/// Writing takes at most one in so many parts of the time.
const SHARE: u32 = 20;

/// Writes the checkpoints of one training, not too often.
pub(crate) struct Checkpoints {
    path: PathBuf,
    /// A hash of everything that shapes the training.
    fingerprint: String,
    every: Duration,
    last: Instant,
    /// How long the last one took to write.
    cost: Duration,
    started: Instant,
    /// Seconds that the training took before it was stopped.
    before: f64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    gristmill: String,
    fingerprint: String,
    seconds: f64,
}

impl Checkpoints {
    /// Of the training with this fingerprint, in this file, so much time apart.
    pub(crate) fn new(path: PathBuf, fingerprint: String, every: Duration) -> Self {
        Self {
            path,
            fingerprint,
            every,
            last: Instant::now(),
            cost: Duration::ZERO,
            started: Instant::now(),
            before: 0.0,
        }
    }

    /// Seconds that the training has taken in all its runs.
    pub(crate) fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Whether it is time for another.
    pub(crate) fn due(&self) -> bool {
        let since = self.last.elapsed();
        self.every.is_zero() || since >= self.every.max(self.cost * SHARE)
    }

    /// Writes where the trainer stands; says whether there was anything to write.
    ///
    /// # Errors
    /// When the file cannot be written. The one before is then still there.
    pub(crate) fn write(&mut self, trainer: &dyn Trainer) -> Result<bool> {
        let begun = Instant::now();
        // Also where it fails: the disk may be full for long.
        self.last = begun;
        // Where it is not put in its place it is removed: what is half written may be what filled the disk.
        let file = NewFile::create(&self.path)?;
        let written = self
            .write_to(file.output()?, trainer)
            .map_err(|error| file.why(error))?;
        if written {
            file.put()?;
            failpoint::hit("training-checkpointed");
        }
        (self.last, self.cost) = (Instant::now(), begun.elapsed());
        Ok(written)
    }

    fn write_to(&self, file: Output, trainer: &dyn Trainer) -> Result<bool> {
        let path = &self.path;
        let header = Header {
            gristmill: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: self.fingerprint.clone(),
            seconds: self.seconds(),
        };
        let header = serde_json::to_vec(&header).map_err(|e| broken_state(path, &e))?;
        let mut out = Hashing {
            inner: BufWriter::with_capacity(1 << 20, file),
            hash: Xxh3::new(),
        };
        let begin = |out: &mut Hashing<_>| {
            out.write_all(MAGIC)?;
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(&header)
        };
        begin(&mut out).map_err(failed(path))?;
        let any = trainer.save(&mut out)?;
        let checksum = out.hash.digest128().to_le_bytes();
        let mut end = || {
            out.inner.write_all(&checksum)?;
            out.inner.flush()
        };
        end().map_err(failed(path))?;
        Ok(any)
    }

    /// Lets a new trainer go on where an earlier run of this training was stopped; says whether there was one. A checkpoint of
    /// another training is of no use, and none is left of one that ended.
    ///
    /// # Errors
    /// The reason why what an earlier run left cannot be used, as a sentence.
    pub(crate) fn restore(&mut self, trainer: &mut dyn Trainer) -> Result<bool, String> {
        let unusable = |why: &dyn std::fmt::Display| format!("{}: {why}", self.path.display());
        let open = || File::open(&self.path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(|e| unusable(&e))?,
        };
        let Some(length) = whole(&file).map_err(|e| unusable(&e))? else {
            return Err(unusable(&"it is cut short or damaged"));
        };
        let file = open().map_err(|e| unusable(&e))?;
        let mut input = BufReader::with_capacity(1 << 20, file).take(length);
        let header = read_header(&mut input).map_err(|e| unusable(&e))?;
        let Some(header) = header else {
            return Err(unusable(&"it is not a checkpoint of this version of gristmill"));
        };
        let version = env!("CARGO_PKG_VERSION");
        if header.gristmill != version {
            let why = format!("gristmill {} wrote it, and this is {version}", header.gristmill);
            return Err(unusable(&why));
        }
        if header.fingerprint != self.fingerprint {
            return Ok(false);
        }
        trainer.restore(&mut input).map_err(|e| unusable(&e))?;
        self.before = header.seconds;
        Ok(true)
    }
}

/// Removes a checkpoint that is no longer needed, and what a kill left of another.
pub(crate) fn remove(path: &Path) -> Result<()> {
    for path in [path, &unfinished(path)] {
        remove_file(path)?;
    }
    Ok(())
}

/// The length of what comes before the checksum, if that is right.
fn whole(file: &File) -> io::Result<Option<u64>> {
    let Some(length) = file.metadata()?.len().checked_sub(CHECKSUM_BYTES) else {
        return Ok(None);
    };
    let mut input = BufReader::with_capacity(1 << 20, file);
    let mut hashing = Hashing {
        inner: io::sink(),
        hash: Xxh3::new(),
    };
    io::copy(&mut input.by_ref().take(length), &mut hashing)?;
    let mut checksum = [0; CHECKSUM_BYTES as usize];
    input.read_exact(&mut checksum)?;
    Ok((hashing.hash.digest128().to_le_bytes() == checksum).then_some(length))
}

/// The header; `None` where that is none, or of another version.
fn read_header(input: &mut impl Read) -> io::Result<Option<Header>> {
    let (mut magic, mut length) = ([0; 8], [0; 8]);
    input.read_exact(&mut magic)?;
    input.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if magic != *MAGIC || length > MAX_HEADER_BYTES {
        return Ok(None);
    }
    let mut header = vec![0; length as usize];
    input.read_exact(&mut header)?;
    Ok(serde_json::from_slice(&header).ok())
}

/// Hashes what is written through it.
struct Hashing<W> {
    inner: W,
    hash: Xxh3,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
