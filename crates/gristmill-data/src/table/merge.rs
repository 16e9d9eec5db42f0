//! One Parquet file from several with the same columns, one after the other: row groups of a good size are copied as they are,
//! small ones are decoded and put together.

use std::fs::File;
use std::path::Path;

use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::writer::SerializedFileWriter;

use crate::budget::RowBudget;
use crate::content::FileContent;
use crate::durable::{io, write_failed};
use crate::error::Result;
use crate::parquet_file::BatchLimit;
use crate::table::version::{DataFile, TableVersion};
use crate::table::write::{GroupLimit, ROW_GROUP_ROWS, close, on_disk, writer};

/// Files of at least so many rows on average have row groups of a good size: what is saved by greater ones does not
/// pay for decoding and encoding them all.
const GOOD_ROWS: u64 = 16_384;

/// What is in memory at a time, beside the row group that is written.
const SCAN: BatchLimit = BatchLimit {
    rows: 8_192,
    bytes: 1 << 20,
};

/// A file that is being put together.
pub(super) enum Merge {
    Encoded(Box<ArrowWriter<File>>),
    Copied(SerializedFileWriter<File>),
}

impl Merge {
    /// Begins the file at `path`, for files of so many rows on average, in the order of the columns `key`.
    pub(super) fn create(
        path: &Path,
        schema: SchemaRef,
        key: &[String],
        mean_rows: u64,
        memory: RowBudget,
    ) -> Result<Self> {
        let group = GroupLimit {
            rows: ROW_GROUP_ROWS,
            bytes: memory.merged_row_group(),
        };
        let writer = writer(path, schema, key, group)?;
        if mean_rows < GOOD_ROWS {
            return Ok(Self::Encoded(Box::new(writer)));
        }
        Ok(Self::Copied(writer.into_serialized_writer()?.0))
    }

    /// Adds the rows of a file of the table. Errors are told of `path`, which is written.
    pub(super) fn append(&mut self, table: &TableVersion, file: &DataFile, path: &Path) -> Result<()> {
        match self {
            Self::Encoded(writer) => table
                .only(file)
                .scan(None, SCAN)?
                .try_for_each(|rows| writer.write(&rows?).map_err(write_failed(path))),
            Self::Copied(writer) => {
                let from = File::open(&file.path).map_err(io(&file.path))?;
                let metadata = ParquetMetaDataReader::new()
                    .with_page_index_policy(PageIndexPolicy::Optional)
                    .parse_and_finish(&from)?;
                copy(&from, &metadata, writer).map_err(write_failed(path))
            }
        }
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Encoded(writer) => (writer.bytes_written() + writer.in_progress_size()) as u64,
            Self::Copied(writer) => writer.bytes_written() as u64,
        }
    }

    /// Ends the file, and sees that it is on the disk. Returns what it holds.
    pub(super) fn close(self, path: &Path) -> Result<FileContent> {
        match self {
            Self::Encoded(writer) => close(*writer, path),
            Self::Copied(mut writer) => {
                writer.finish().map_err(write_failed(path))?;
                on_disk(writer.inner(), path)
            }
        }
    }
}

fn copy(
    from: &File,
    metadata: &ParquetMetaData,
    into: &mut SerializedFileWriter<File>,
) -> Result<(), ParquetError> {
    let (columns, offsets) = (metadata.column_index(), metadata.offset_index());
    for (g, group) in metadata.row_groups().iter().enumerate() {
        let mut out = into.next_row_group()?;
        for (c, column) in group.columns().iter().enumerate() {
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size().max(0) as u64,
                rows_written: group.num_rows().max(0) as u64,
                metadata: column.clone(),
                // None of our files has one.
                bloom_filter: None,
                column_index: columns.and_then(|index| index.get(g)?.get(c).cloned()),
                offset_index: offsets.and_then(|index| index.get(g)?.get(c).cloned()),
            };
            out.append_column(from, close)?;
        }
        out.close()?;
    }
    Ok(())
}
