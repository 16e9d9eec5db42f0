//! Rows with equal keys that are too many for the memory: sorted runs of encoded rows in a temporary file, merged when all
//! are there.
//!
//! The file has no name: it belongs to this process alone, and is gone with it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::durable::io;
use crate::error::Result;

/// Bytes that are written, and of a run read, at once.
const BUFFER: (u64, u64) = (4 << 10, 64 << 10);

/// Sorted runs on the disk.
pub(super) struct Spill {
    folder: PathBuf,
    file: BufWriter<File>,
    /// Where each run ends.
    ends: Vec<u64>,
    length: u64,
}

impl Spill {
    /// Begins a file in `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(io(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            file: BufWriter::with_capacity(BUFFER.1 as usize, file),
            ends: Vec::new(),
            length: 0,
        })
    }

    /// Adds a run of rows that are in their order.
    pub(super) fn write<'a>(&mut self, rows: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        for row in rows {
            let length = row.len() as u64;
            let written = self.file.write_all(&length.to_le_bytes());
            written
                .and_then(|()| self.file.write_all(row))
                .map_err(io(&self.folder))?;
            self.length += 8 + length;
        }
        self.ends.push(self.length);
        Ok(())
    }

    /// All rows in their order, which is given on row by row. The runs are read with `memory` bytes together.
    pub(super) fn merge(self, memory: u64, out: &mut dyn FnMut(Vec<u8>) -> Result<()>) -> Result<()> {
        let failed = io(&self.folder);
        let mut file = match self.file.into_inner() {
            Ok(file) => file,
            Err(error) => return Err(failed(error.into_error())),
        };
        let buffer = (memory / self.ends.len().max(1) as u64).clamp(BUFFER.0, BUFFER.1);
        let mut start = 0;
        let mut runs = Vec::with_capacity(self.ends.len());
        let mut next = BinaryHeap::with_capacity(self.ends.len());
        for end in self.ends {
            let mut run = Run {
                from: std::mem::replace(&mut start, end),
                end,
                buffer: Vec::new(),
                at: 0,
                piece: buffer as usize,
            };
            if let Some(row) = run.next(&mut file).map_err(io(&self.folder))? {
                next.push(Reverse((row, runs.len())));
            }
            runs.push(run);
        }
        while let Some(Reverse((row, number))) = next.pop() {
            out(row)?;
            let more = runs.get_mut(number).map(|run| run.next(&mut file)).transpose();
            if let Some(row) = more.map_err(io(&self.folder))?.flatten() {
                next.push(Reverse((row, number)));
            }
        }
        Ok(())
    }
}

/// A run that is read.
struct Run {
    /// What was not read yet of the file.
    from: u64,
    end: u64,
    buffer: Vec<u8>,
    at: usize,
    piece: usize,
}

impl Run {
    /// The next row.
    fn next(&mut self, file: &mut File) -> std::io::Result<Option<Vec<u8>>> {
        let mut length = [0; 8];
        if !self.fill(file, &mut length)? {
            return Ok(None);
        }
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(std::io::Error::other)?;
        let mut row = vec![0; length];
        if self.fill(file, &mut row)? || length == 0 {
            Ok(Some(row))
        } else {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Fills `bytes` from the run; false where it is at its end.
    fn fill(&mut self, file: &mut File, bytes: &mut [u8]) -> std::io::Result<bool> {
        let mut filled = 0;
        while filled < bytes.len() {
            if self.at == self.buffer.len() {
                let left = usize::try_from(self.end - self.from).unwrap_or(usize::MAX);
                if left == 0 {
                    return Ok(false);
                }
                self.buffer.resize(left.min(self.piece), 0);
                self.at = 0;
                file.seek(SeekFrom::Start(self.from))?;
                file.read_exact(&mut self.buffer)?;
                self.from += self.buffer.len() as u64;
            }
            let taken = (bytes.len() - filled).min(self.buffer.len() - self.at);
            bytes[filled..filled + taken].copy_from_slice(&self.buffer[self.at..self.at + taken]);
            (filled, self.at) = (filled + taken, self.at + taken);
        }
        Ok(true)
    }
}
