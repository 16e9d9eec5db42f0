//! Writing Parquet: the settings of every file written here, and plain folders of parts with a fixed number of rows.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::content::FileContent;
use crate::durable::{
    create_anew, create_folder, first_other, io, remove, replace_folder, synced, unfinished, write_failed,
};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::table::manifest::{MANIFEST, Manifest, Part, part_name};
use crate::table::version::TableVersion;

/// What a row group has at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimit {
    pub(crate) rows: usize,
    /// One of wide rows ends earlier, for it stays in memory until it does.
    pub(crate) bytes: usize,
}

/// At most so many rows are in one row group of a dataset.
pub(crate) const ROW_GROUP_ROWS: usize = 131_072;

/// A part of a folder, whose row groups are decoded by several threads in turn: while one is taken, those after it are held
/// in memory.
const PART_GROUP: GroupLimit = GroupLimit {
    rows: 32_768,
    bytes: 16 << 20,
};

/// Bytes of a data page: little enough that its buffers lie in a processor's cache, and are not asked of the system anew
/// for every page as those of 1 MiB are, the library's default.
const PAGE_BYTES: usize = 1 << 17;

/// A column whose distinct values fill more is written without a dictionary: with 1 MiB, the library's default, columns of
/// values that are all different never reached it, and cost a fifth of the time of a pull for nothing.
const DICTIONARY_BYTES: usize = 1 << 17;

/// Writes a folder of Parquet files, each with the same number of rows (the last may have fewer), and a manifest of them. The
/// folder appears, in place of one that is there, when it is finished; before, the files are in a hidden folder beside it.
pub struct PartWriter {
    dir: PathBuf,
    hidden: PathBuf,
    schema: SchemaRef,
    rows_per_part: usize,
    part: Option<(ArrowWriter<File>, PathBuf)>,
    parts: Vec<Part>,
    /// Rows of the part that is written.
    rows: usize,
}

/// Refuses to take the place of a folder that holds what no [`PartWriter`] made.
fn refuse_others(dir: &Path) -> Result<()> {
    let is_ours = |name: &str| {
        let number = name
            .strip_prefix("part-")
            .and_then(|rest| rest.strip_suffix(".parquet"));
        name == MANIFEST || number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match first_other(dir, is_ours)? {
        None => Ok(()),
        Some(name) => Err(Error::Folder {
            dir: dir.display().to_string(),
            why: format!(
                "it holds `{name}`, which gristmill did not write and would remove; move it elsewhere and run again"
            ),
        }),
    }
}

impl PartWriter {
    /// Starts a folder.
    ///
    /// # Errors
    /// `Folder` when one is in its place that holds what no writer of parts made.
    pub fn create(dir: &Path, schema: SchemaRef, rows_per_part: usize) -> Result<Self> {
        refuse_others(dir)?;
        let hidden = unfinished(dir);
        remove(&hidden)?;
        create_folder(&hidden)?;
        let mut writer = Self {
            dir: dir.to_owned(),
            hidden,
            schema,
            rows_per_part: rows_per_part.max(1),
            part: None,
            parts: Vec::new(),
            rows: 0,
        };
        // A folder without rows has one part too: it tells the columns.
        writer.next_part()?;
        Ok(writer)
    }

    /// Adds rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut start = 0;
        while start < rows.num_rows() {
            if self.rows == self.rows_per_part {
                self.next_part()?;
            }
            let length = (rows.num_rows() - start).min(self.rows_per_part - self.rows);
            if let Some((part, path)) = &mut self.part {
                part.write(&rows.slice(start, length))
                    .map_err(write_failed(path))?;
            }
            self.rows += length;
            start += length;
        }
        Ok(())
    }

    /// Ends the folder and puts it in its place, with `metadata` to read back as [`TableVersion::metadata`].
    pub fn finish(mut self, metadata: Vec<(String, String)>) -> Result<TableVersion> {
        self.close_part()?;
        let manifest = Manifest::new(std::mem::take(&mut self.parts), metadata.into_iter().collect());
        manifest.write(&self.hidden)?;
        failpoint::hit("folder-written");
        replace_folder(&self.hidden, &self.dir)?;
        Ok(TableVersion::of_folder(&self.dir, manifest, &self.schema))
    }

    fn next_part(&mut self) -> Result<()> {
        self.close_part()?;
        let path = self.hidden.join(part_name(self.parts.len()));
        let part = writer(&path, self.schema.clone(), &[], PART_GROUP)?;
        self.part = Some((part, path));
        Ok(())
    }

    fn close_part(&mut self) -> Result<()> {
        let Some((part, path)) = self.part.take() else {
            return Ok(());
        };
        let content = close(part, &path)?;
        self.parts.push(Part {
            name: part_name(self.parts.len()),
            rows: std::mem::take(&mut self.rows) as u64,
            content,
        });
        Ok(())
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        // Once it is in its place there is nothing under the hidden name; before, it may be what filled the disk.
        let _ = remove(&self.hidden);
    }
}

/// A writer of one Parquet file, whose rows stand in the order of the columns `key`, if any, with row groups of bounded
/// size. The same rows make the same bytes.
///
/// Keys hardly repeat, so that a dictionary is built in vain, and integers among them are told by their small differences.
pub(crate) fn writer(
    path: &Path,
    schema: SchemaRef,
    key: &[String],
    group: GroupLimit,
) -> Result<ArrowWriter<File>> {
    let file = create_anew(path)?;
    let mut properties = WriterProperties::builder()
        .set_created_by("gristmill".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(group.rows))
        .set_max_row_group_bytes(Some(group.bytes))
        .set_data_page_size_limit(PAGE_BYTES)
        // Of each page only the key's: in its order lie the rows, and by nothing else could a reader pass over pages.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES);
    for field in schema.fields().iter().filter(|field| key.contains(field.name())) {
        let column = ColumnPath::from(field.name().as_str());
        if field.data_type().is_integer() {
            properties = properties.set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        properties = properties
            .set_column_statistics_enabled(column.clone(), EnabledStatistics::Page)
            .set_column_dictionary_enabled(column, false);
    }
    Ok(ArrowWriter::try_new(file, schema, Some(properties.build()))?)
}

/// Ends a Parquet file, and sees that it is on the disk. Returns what it holds.
pub(crate) fn close(writer: ArrowWriter<File>, path: &Path) -> Result<FileContent> {
    on_disk(&ended(writer, path)?, path)
}

/// Waits until a file is on the disk. Returns what it holds.
pub(crate) fn on_disk(file: &File, path: &Path) -> Result<FileContent> {
    synced(file, path)?;
    FileContent::of(path).map_err(io(path))
}

/// Ends a Parquet file.
pub(crate) fn ended(mut writer: ArrowWriter<File>, path: &Path) -> Result<File> {
    // `into_inner` alone would make a mere text of what the disk says.
    writer.finish().map_err(write_failed(path))?;
    writer.inner().try_clone().map_err(io(path))
}
