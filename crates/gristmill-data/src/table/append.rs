//! Appending batches to the dataset: one Parquet file a batch, named by its number.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::content::FileContent;
use crate::durable::{create_folder, io, remove, remove_file, rename, sync_folder, write_failed};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::settings::KeyColumns;
use crate::table::identity::DatasetIdentity;
use crate::table::ledger::{FILE_HASH, Ledger, RECORD, Record};
use crate::table::log::{Lock, Log, millis};
use crate::table::paths::{batches_of, log_path};
use crate::table::schema::{has_timestamp_ntz, to_kernel};
use crate::table::write::{GroupLimit, ROW_GROUP_ROWS, ended, on_disk, writer};

/// Who writes here, as the log has it.
pub(crate) const ENGINE: &str = concat!("gristmill/", env!("CARGO_PKG_VERSION"));

/// What the log of a dataset that is started anew is called until it is deleted.
const DISCARDED_LOG: &str = ".discarded_log.unfinished";

/// The one writer of a dataset; holds a lock on its folder as long as it lives.
pub struct Appender {
    dir: PathBuf,
    schema: SchemaRef,
    identity: DatasetIdentity,
    log: Log,
}

/// Begins the files of batches.
#[derive(Debug, Clone)]
pub struct BatchFiles {
    dir: PathBuf,
    schema: SchemaRef,
    key: KeyColumns,
    row_group_bytes: usize,
}

/// Writes the file of one batch, which goes with this unless it is finished.
pub struct BatchWriter {
    name: String,
    unfinished: PathBuf,
    parquet: Option<ArrowWriter<File>>,
    rows: u64,
}

/// A whole Parquet file, which gets its name when it is committed.
#[derive(Debug)]
pub struct WrittenFile {
    /// Its name.
    pub name: String,
    unfinished: PathBuf,
    /// Until it is on the disk.
    file: Option<File>,
    rows: u64,
    /// Once it is.
    content: FileContent,
}

impl BatchFiles {
    /// Begins the file of a batch.
    pub fn create(&self, number: u64) -> Result<BatchWriter> {
        // A batch may be read again while what wrote it before has not noticed its end.
        static FILES: AtomicU64 = AtomicU64::new(0);
        let name = format!("batch-{number:010}.parquet");
        let count = FILES.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.dir.join(format!(".{name}.{count}.unfinished"));
        Ok(BatchWriter {
            name,
            parquet: Some(writer(
                &unfinished,
                self.schema.clone(),
                &self.key,
                GroupLimit {
                    rows: ROW_GROUP_ROWS,
                    bytes: self.row_group_bytes,
                },
            )?),
            unfinished,
            rows: 0,
        })
    }
}

impl BatchWriter {
    /// Adds rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        match &mut self.parquet {
            Some(parquet) => parquet.write(rows).map_err(write_failed(&self.unfinished)),
            None => Ok(()),
        }
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<WrittenFile> {
        let parquet = self.parquet.take();
        Ok(WrittenFile {
            file: parquet
                .map(|parquet| ended(parquet, &self.unfinished))
                .transpose()?,
            name: std::mem::take(&mut self.name),
            unfinished: std::mem::take(&mut self.unfinished),
            rows: self.rows,
            content: FileContent::default(),
        })
    }
}

impl WrittenFile {
    /// Waits until it is on the disk, as it must be before it is committed. Blocks its thread meanwhile.
    pub fn sync(&mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            self.content = on_disk(&file, &self.unfinished)?;
        }
        failpoint::hit("parquet-written");
        Ok(())
    }
}

impl Drop for BatchWriter {
    fn drop(&mut self) {
        if self.unfinished != Path::new("") {
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

impl Drop for WrittenFile {
    fn drop(&mut self) {
        // Once it is committed, there is nothing of this name.
        let _ = fs::remove_file(&self.unfinished);
    }
}

impl Appender {
    /// Opens the dataset in a folder, or starts one, and says what is in it. One that was made by a different pipeline is refused.
    pub async fn open(
        dir: &Path,
        identity: DatasetIdentity,
        schema: SchemaRef,
    ) -> Result<(Self, Option<Ledger>)> {
        let log = log_path(dir);
        create_folder(&log)?;
        let lock = Lock::take(dir)?;
        let ledger = Ledger::read(dir).await?;
        if let Some(ledger) = &ledger {
            ledger.identity.check_key(&identity, dir)?;
        }
        if let Some(difference) = ledger
            .as_ref()
            .and_then(|ledger| ledger.identity.difference(&identity))
        {
            return Err(Error::Changed {
                dir: dir.display().to_string(),
                difference,
                way_out: "choose another run.dir for the new pipeline, or delete the folder to start anew"
                    .to_owned(),
            });
        }
        if let Some(ledger) = &ledger {
            ledger.check_end(dir)?;
        }
        let next_version = ledger.as_ref().map_or(0, |ledger| ledger.version + 1);
        let seal = ledger
            .as_ref()
            .map(|ledger| ledger.seal.clone())
            .unwrap_or_default();
        let appender = Self {
            dir: dir.to_owned(),
            schema,
            identity,
            log: Log::new(dir, lock, next_version, seal),
        };
        appender.sweep(
            ledger
                .as_ref()
                .map_or(0, |ledger| ledger.record.totals.batches_read),
        )?;
        Ok((appender, ledger))
    }

    /// What writes the files of batches, on any thread. A row group ends when it has so many bytes, or the usual rows.
    pub fn files(&self, row_group_bytes: usize) -> BatchFiles {
        BatchFiles {
            dir: self.dir.clone(),
            schema: self.schema.clone(),
            key: self.identity.key().clone(),
            row_group_bytes,
        }
    }

    /// Commits the batches of `record`, whose files are `files`, and returns the new version.
    pub async fn commit(&mut self, record: &Record, files: &[WrittenFile]) -> Result<u64> {
        for file in files {
            rename(&file.unfinished, &self.dir.join(&file.name))?;
            failpoint::hit("parquet-renamed");
        }
        if !files.is_empty() {
            // The commit must not reach the disk before the names of the files do.
            sync_folder(&self.dir)?;
        }
        let actions = self.actions(record, files)?;
        self.log.commit(actions, record.complete).await
    }

    /// Discards the dataset, so that the next commit is the first of a new one.
    pub(crate) fn start_anew(&mut self) -> Result<()> {
        let (log, discarded) = (log_path(&self.dir), self.dir.join(DISCARDED_LOG));
        // One step after which there is no dataset; a kill before the next leaves files that no log names.
        rename(&log, &discarded)?;
        create_folder(&log)?;
        self.log.restart();
        self.sweep(0)
    }

    fn actions(&self, record: &Record, files: &[WrittenFile]) -> Result<Vec<Value>> {
        let now = SystemTime::now();
        let (millis, nanos) = (
            millis(now),
            now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos(),
        );
        let fingerprint = self.identity.hash()?;
        let mut actions = vec![json!({"commitInfo": {
            "timestamp": millis,
            "operation": "WRITE",
            "operationParameters": {"mode": "Append"},
            "isBlindAppend": true,
            "engineInfo": ENGINE,
            RECORD: record,
        }})];
        if self.log.next_version() == 0 {
            actions.push(json!({"protocol": protocol(&self.schema)}));
            actions.push(json!({"metaData": {
                "id": uuid(xxh3_128(format!("{fingerprint} {} {}", nanos, std::process::id()).as_bytes())),
                "name": "dataset",
                "description": format!("Rows of {}", self.identity.source()),
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json!(to_kernel(&self.schema)?).to_string(),
                "partitionColumns": [],
                "configuration": self.identity.configuration()?,
                "createdTime": millis,
            }}));
        }
        if record.totals.batches_read > 0 {
            let last = record.totals.batches_read - 1;
            actions.push(json!({"txn": {"appId": fingerprint, "version": last, "lastUpdated": millis}}));
        }
        let add = |file: &WrittenFile| add(&file.name, file.rows, &file.content, millis, true);
        actions.extend(files.iter().map(add));
        Ok(actions)
    }

    /// Removes what a killed run left behind: unfinished files, and files of batches from `next_batch` on, which no commit names.
    fn sweep(&self, next_batch: u64) -> Result<()> {
        for dir in [&self.dir, &log_path(&self.dir)] {
            for entry in fs::read_dir(dir).map_err(io(dir))? {
                let path = entry.map_err(io(dir))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let unfinished = name.starts_with('.') && name.ends_with(".unfinished");
                if unfinished && path.is_dir() {
                    remove(&path)?;
                } else if unfinished
                    || batches_of(&name).is_some_and(|batches| *batches.start() >= next_batch)
                {
                    // What wrote it may have removed it first.
                    remove_file(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// The oldest protocol that will do, so that every reader can read the table.
pub(crate) fn protocol(schema: &Schema) -> Value {
    if has_timestamp_ntz(schema.fields()) {
        json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"],
        })
    } else {
        json!({"minReaderVersion": 1, "minWriterVersion": 2})
    }
}

/// The action that adds a file to the table.
pub(crate) fn add(name: &str, rows: u64, content: &FileContent, millis: u64, data_change: bool) -> Value {
    json!({"add": {
        "path": name,
        "partitionValues": {},
        "size": content.bytes,
        "modificationTime": millis,
        "dataChange": data_change,
        "stats": json!({"numRecords": rows}).to_string(),
        "tags": {FILE_HASH: content.hash},
    }})
}

/// The form of a UUID (version 8: contents of one's own) for 128 bits.
pub(crate) fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;
    use crate::durable::recorded::{Operation, Recording};
    use crate::settings::CleanSettings;
    use crate::table::paths::commit_path;

    /// After a power failure, whatever the order of the disk is, a commit that is there names only what is there.
    #[tokio::test]
    async fn what_a_commit_names_is_on_the_disk_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("dataset");
        let rows = Arc::new(Int64Array::from(vec![1, 2])) as _;
        let rows = RecordBatch::try_from_iter_with_nullable([("id", rows, true)]).unwrap();
        let clean = CleanSettings {
            trim: true,
            empty_as_null: true,
            require: vec![],
            filter: None,
            distinct: false,
        };
        let identity =
            DatasetIdentity::new("", &"SELECT 1".into(), &"id".into(), &clean, &rows.schema()).unwrap();
        let (mut appender, _) = Appender::open(&dir, identity, rows.schema()).await.unwrap();
        let mut files = Vec::new();
        for number in 0..2 {
            let mut writer = appender.files(1 << 20).create(number).unwrap();
            writer.write(&rows).unwrap();
            files.push(writer.finish().unwrap());
        }
        let recording = Recording::of(&dir);
        files.iter_mut().for_each(|file| file.sync().unwrap());
        appender.commit(&Record::default(), &files).await.unwrap();
        let done = recording.operations();
        let place = |what: &str, wanted: &dyn Fn(&Operation) -> bool| {
            done.iter()
                .position(wanted)
                .unwrap_or_else(|| panic!("{what} is missing: {done:#?}"))
        };
        let commit = place(
            "the commit",
            &|done| matches!(done, Operation::Link(_, path) if *path == commit_path(&dir, 0)),
        );
        let written = place(
            "what the commit says",
            &|done| matches!(done, Operation::SyncFile(path, text) if path.starts_with(log_path(&dir)) && text.starts_with(b"{")),
        );
        let names = place("the names of the files", &|done| {
            *done == Operation::SyncFolder(dir.clone())
        });
        let after = place("the name of the commit", &|done| {
            *done == Operation::SyncFolder(log_path(&dir))
        });
        assert!(names < commit && written < commit && commit < after, "{done:#?}");
        for file in &files {
            let content = place(
                "a file",
                &|done| matches!(done, Operation::SyncFile(path, bytes) if *path == file.unfinished && bytes.ends_with(b"PAR1")),
            );
            let name = place(
                "its name",
                &|done| matches!(done, Operation::Rename(_, path) if path.ends_with(&file.name)),
            );
            assert!(content < name && name < names, "{done:#?}");
        }
    }
}
