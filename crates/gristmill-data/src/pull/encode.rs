//! What becomes of the rows of one batch, piece by piece as they come: cleaned, ordered, hashed and written to its file.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::mpsc::Receiver;

use crate::budget::Held;
use crate::error::Result;
use crate::key::Bounds;
use crate::prepare::{Cleaner, Dropped};
use crate::pull::progress::BatchCost;
use crate::source::value_bytes;
use crate::table::{BatchFiles, BatchRecord, BatchWriter, ContentHash, WrittenFile, to_delta};

/// Makes batches of rows, on any thread.
#[derive(Clone)]
pub(super) struct Encoder {
    pub(super) cleaner: Arc<Cleaner>,
    pub(super) files: BatchFiles,
    pub(super) held: Held,
}

/// A batch that only waits for its commit, once its file is on the disk.
pub(super) struct EncodedBatch {
    pub(super) record: BatchRecord,
    /// `None` where no row was kept.
    pub(super) file: Option<WrittenFile>,
    pub(super) cost: BatchCost,
}

impl EncodedBatch {
    /// The same, once its file is on the disk. Blocks its thread meanwhile.
    pub(super) fn synced(mut self) -> Result<Self> {
        self.file.as_mut().map(WrittenFile::sync).transpose()?;
        Ok(self)
    }
}

/// What a reader sends.
pub(super) enum Piece {
    /// Rows of the batch, in the order of the key.
    Rows(RecordBatch),
    /// There are no more, and these are the keys of the batch. Without it, they were cut off.
    End(Bounds),
}

impl Encoder {
    /// Encodes a batch whose rows come from `pieces`; `None` where they are cut off. Blocks its thread meanwhile.
    pub(super) fn encode(
        &self,
        number: u64,
        snapshot: String,
        mut pieces: Receiver<Piece>,
    ) -> Result<Option<EncodedBatch>> {
        let (mut rows_read, mut rows_kept) = (0, 0);
        let mut cost = BatchCost::default();
        let (mut dropped, mut hash) = (Dropped::default(), ContentHash::default());
        let mut writer: Option<BatchWriter> = None;
        let mut keep = |rows: RecordBatch| {
            rows_kept += rows.num_rows() as u64;
            hash += ContentHash::of(&rows)?;
            match &mut writer {
                Some(writer) => writer.write(&rows),
                None => writer.insert(self.files.create(number)?).write(&rows),
            }
        };
        let mut order = self.cleaner.order(self.held.clone());
        let bounds = loop {
            match pieces.blocking_recv() {
                Some(Piece::Rows(rows)) => {
                    rows_read += rows.num_rows() as u64;
                    cost.bytes += value_bytes(&rows);
                    let rows = to_delta(&rows, self.cleaner.schema())?;
                    order.push(&self.cleaner.rows(&rows, &mut dropped)?, &mut keep)?;
                }
                Some(Piece::End(bounds)) => break bounds,
                None => return Ok(None),
            }
        };
        dropped.duplicate += order.finish(&mut keep)?;
        let file = writer.map(BatchWriter::finish).transpose()?;
        let record = BatchRecord {
            number,
            bounds,
            rows_read,
            rows_kept,
            dropped,
            hash,
            file: file.as_ref().map(|file| file.name.clone()),
            snapshot,
        };
        Ok(Some(EncodedBatch { record, file, cost }))
    }
}
