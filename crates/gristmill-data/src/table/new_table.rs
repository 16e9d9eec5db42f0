//! A new Delta table of rows that are written once: hidden beside its place, and put there when it is whole.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use crate::content::FileContent;
use crate::durable::{create_folder, folder_of, io, lock, remove, rename, sync_folder, unfinished};
use crate::durable::{write_failed, write_whole};
use crate::error::{Error, Result};
use crate::table::append::{ENGINE, add, protocol, uuid};
use crate::table::log::millis;
use crate::table::paths::{commit_path, log_path};
use crate::table::schema::{delta_schema, to_delta, to_kernel};
use crate::table::write::{GroupLimit, ROW_GROUP_ROWS, close, writer};

/// A file that has so many bytes is followed by another.
const FILE_BYTES: usize = 128_000_000;

/// The one writer of a table that is to appear in a folder.
pub struct NewTable {
    dir: PathBuf,
    hidden: PathBuf,
    schema: SchemaRef,
    row_group_bytes: usize,
    part: Option<(ArrowWriter<File>, PathBuf, u64)>,
    written: Vec<(String, u64, FileContent)>,
    /// Whether the hidden folder has gone to its place.
    put: bool,
    _lock: File,
}

impl NewTable {
    /// Begins a table with these columns, whose types become those that [`delta_schema`] gives.
    ///
    /// # Errors
    /// When there is something in its place, another process writes the same table, or a column does not fit into one.
    pub fn create(dir: &Path, schema: &Schema, row_group_bytes: usize) -> Result<Self> {
        let schema = delta_schema(schema)?;
        refuse_taken(dir)?;
        let hidden = unfinished(dir);
        discard_leftover(&hidden, dir)?;
        fs::create_dir(&hidden).map_err(io(&hidden))?;
        let held = File::open(&hidden).map_err(io(&hidden))?;
        if !lock(&held, &hidden)? {
            return Err(busy(dir));
        }
        create_folder(&log_path(&hidden))?;
        let mut table = Self {
            dir: dir.to_owned(),
            hidden,
            schema,
            row_group_bytes,
            part: None,
            written: Vec::new(),
            put: false,
            _lock: held,
        };
        // A table without rows has one file too.
        table.next_part()?;
        Ok(table)
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When a value does not fit into its column, or the file cannot be written.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let rows = to_delta(rows, &self.schema)?;
        let Some((part, path, count)) = &mut self.part else {
            return Ok(());
        };
        part.write(&rows).map_err(write_failed(path))?;
        *count += rows.num_rows() as u64;
        if part.bytes_written() + part.in_progress_size() >= FILE_BYTES {
            self.close_part()?;
            self.next_part()?;
        }
        Ok(())
    }

    /// Ends the table and puts it in its place.
    ///
    /// # Errors
    /// When the rest cannot be written, or something came into its place meanwhile.
    pub fn finish(mut self) -> Result<()> {
        self.close_part()?;
        let actions: Vec<String> = self.actions()?;
        write_whole(&commit_path(&self.hidden, 0), actions.concat().as_bytes())?;
        sync_folder(&self.hidden)?;
        refuse_taken(&self.dir)?;
        rename(&self.hidden, &self.dir)?;
        self.put = true;
        sync_folder(folder_of(&self.dir))
    }

    fn actions(&self) -> Result<Vec<String>> {
        let now = SystemTime::now();
        let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let unique = format!("{} {nanos} {}", self.dir.display(), std::process::id());
        let now = millis(now);
        let mut actions = vec![
            json!({"commitInfo": {
                "timestamp": now,
                "operation": "WRITE",
                "operationParameters": {"mode": "ErrorIfExists"},
                "isBlindAppend": true,
                "engineInfo": ENGINE,
            }}),
            json!({"protocol": protocol(&self.schema)}),
            json!({"metaData": {
                "id": uuid(xxh3_128(unique.as_bytes())),
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json!(to_kernel(&self.schema)?).to_string(),
                "partitionColumns": [],
                "configuration": {},
                "createdTime": now,
            }}),
        ];
        let files = self.written.iter();
        actions.extend(files.map(|(name, rows, content)| add(name, *rows, content, now, true)));
        Ok(actions.iter().map(|action| format!("{action}\n")).collect())
    }

    fn next_part(&mut self) -> Result<()> {
        let path = self.hidden.join(part_name(self.written.len()));
        let group = GroupLimit {
            rows: ROW_GROUP_ROWS,
            bytes: self.row_group_bytes,
        };
        let part = writer(&path, self.schema.clone(), &[], group)?;
        self.part = Some((part, path, 0));
        Ok(())
    }

    fn close_part(&mut self) -> Result<()> {
        if let Some((part, path, rows)) = self.part.take() {
            let content = close(part, &path)?;
            self.written.push((part_name(self.written.len()), rows, content));
        }
        Ok(())
    }
}

impl Drop for NewTable {
    fn drop(&mut self) {
        if !self.put {
            let _ = remove(&self.hidden);
        }
    }
}

fn part_name(number: usize) -> String {
    format!("part-{number:06}.parquet")
}

fn busy(dir: &Path) -> Error {
    Error::BeingWritten {
        path: dir.display().to_string(),
    }
}

/// Nothing may be in the place of a new table but an empty folder.
fn refuse_taken(dir: &Path) -> Result<()> {
    let why = match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(dir)(error)),
        Ok(found) if !found.is_dir() => "it is not a folder",
        Ok(_) if fs::read_dir(dir).map_err(io(dir))?.next().is_none() => return Ok(()),
        Ok(_) => "there is something in it",
    };
    Err(Error::Taken {
        path: dir.display().to_string(),
        why,
    })
}

/// Removes what a kill left at the hidden name, and nothing that could be another program's.
fn discard_leftover(hidden: &Path, dir: &Path) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(hidden) else {
        return Ok(());
    };
    let taken = |why| Error::Taken {
        path: hidden.display().to_string(),
        why,
    };
    if !found.is_dir() {
        return Err(taken("it is not a folder"));
    }
    let held = File::open(hidden).map_err(io(hidden))?;
    if !lock(&held, hidden)? {
        return Err(busy(dir));
    }
    for entry in fs::read_dir(hidden).map_err(io(hidden))? {
        let name = entry.map_err(io(hidden))?.file_name();
        let name = name.to_string_lossy();
        let ours = name == "_delta_log" || name.starts_with("part-") && name.ends_with(".parquet");
        if !ours {
            return Err(taken("there are files in it that this program did not write"));
        }
    }
    remove(hidden)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::table::listing::list_files;

    fn rows() -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap()
    }

    #[tokio::test]
    async fn a_table_appears_whole_and_is_read_as_any_other() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("scores");
        let mut table = NewTable::create(&dir, &rows().schema(), 1 << 20).unwrap();
        table.write(&rows()).unwrap();
        table.write(&rows()).unwrap();
        assert!(!dir.exists());
        let second = NewTable::create(&dir, &rows().schema(), 1 << 20);
        assert!(matches!(second.err(), Some(Error::BeingWritten { .. })));
        table.finish().unwrap();
        let listing = list_files(&dir, None).await.unwrap();
        assert_eq!((listing.version, &listing.schema), (0, &rows().schema()));
        assert_eq!(listing.files.iter().filter_map(|file| file.rows).sum::<u64>(), 4);
        assert!(listing.files.iter().all(|file| file.path.is_file()));
        let names: Vec<_> = fs::read_dir(parent.path()).unwrap().collect();
        assert_eq!(names.len(), 1);
    }

    #[test]
    fn nothing_of_others_is_replaced_or_removed() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("scores");
        let create = || NewTable::create(&dir, &rows().schema(), 1 << 20);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("mine"), "").unwrap();
        assert!(create().err().unwrap().to_string().contains("something in it"));
        fs::remove_file(dir.join("mine")).unwrap();
        let hidden = unfinished(&dir);
        fs::create_dir(&hidden).unwrap();
        fs::write(hidden.join("mine"), "").unwrap();
        assert!(create().err().unwrap().to_string().contains("did not write"));
        fs::remove_file(hidden.join("mine")).unwrap();
        // As a kill leaves it.
        fs::write(hidden.join("part-000000.parquet"), "").unwrap();
        let table = create().unwrap();
        fs::write(dir.join("mine"), "").unwrap();
        assert!(
            table
                .finish()
                .err()
                .unwrap()
                .to_string()
                .contains("something in it")
        );
        assert!(dir.join("mine").exists() && !hidden.exists());
    }
}
