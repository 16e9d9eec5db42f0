//! Appending batches to the dataset: one Parquet file a batch, and commits whose cost does not grow with the table.
//!
//! The commits are written here and not by the Delta library, whose way of committing reads the table's state again each time
//! and so costs more the more commits there are. An append needs none of that state: it is one new file in the log.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake_core::checkpoints::create_checkpoint_from_table_url_and_cleanup;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::batch::ledger::{DatasetIdentity, IDENTITY, Ledger, RECORD, Record, record_of};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::table::schema::{has_timestamp_ntz, to_kernel};
use crate::table::table_url;
use crate::table::write::{close, io, write_failed, writer};

/// Readers need not read more than so many commits, or a quarter of them all, after a checkpoint. The share keeps the cost of
/// checkpoints, each of which lists every file of the table, in proportion to the number of commits.
const COMMITS_PER_CHECKPOINT: u64 = 100;

/// The one writer of a dataset; holds a lock on its folder as long as it lives.
pub struct Appender {
    dir: PathBuf,
    schema: SchemaRef,
    identity: DatasetIdentity,
    next_version: u64,
    next_checkpoint: u64,
    _lock: File,
}

/// Begins the files of batches.
#[derive(Debug, Clone)]
pub struct BatchFiles {
    dir: PathBuf,
    schema: SchemaRef,
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
    rows: u64,
    bytes: u64,
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
            parquet: Some(writer(&unfinished, self.schema.clone())?),
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
        let bytes = match self.parquet.take() {
            Some(parquet) => close(parquet, &self.unfinished)?,
            None => 0,
        };
        failpoint::hit("parquet-written");
        Ok(WrittenFile {
            name: std::mem::take(&mut self.name),
            unfinished: std::mem::take(&mut self.unfinished),
            rows: self.rows,
            bytes,
        })
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
        fs::create_dir_all(&log).map_err(io(&log))?;
        let lock = File::open(dir).map_err(io(dir))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Dataset {
                dir: dir.display().to_string(),
                why: "another gristmill is writing to it; wait for its end, or choose another run.dir"
                    .to_owned(),
            },
            TryLockError::Error(error) => io(dir)(error),
        })?;
        let ledger = Ledger::read(dir).await?;
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
        let next_version = ledger.as_ref().map_or(0, |ledger| ledger.version + 1);
        let appender = Self {
            dir: dir.to_owned(),
            schema,
            identity,
            next_version,
            next_checkpoint: next_version + COMMITS_PER_CHECKPOINT,
            _lock: lock,
        };
        appender.sweep(
            ledger
                .as_ref()
                .map_or(0, |ledger| ledger.record.totals.batches_read),
        )?;
        Ok((appender, ledger))
    }

    /// What writes the files of batches, on any thread.
    pub fn files(&self) -> BatchFiles {
        BatchFiles {
            dir: self.dir.clone(),
            schema: self.schema.clone(),
        }
    }

    /// Commits the batches of `record`, whose files are `files`, and returns the new version.
    pub async fn commit(&mut self, record: &Record, files: &[WrittenFile]) -> Result<u64> {
        for file in files {
            let path = self.dir.join(&file.name);
            fs::rename(&file.unfinished, &path).map_err(io(&path))?;
            failpoint::hit("parquet-renamed");
        }
        let actions = self.actions(record, files)?;
        failpoint::hit("commit-started");
        while !self.put(self.next_version, &actions)? {
            // Another tool was first. That is of no matter to an append, unless it appended batches.
            let path = self.commit_path(self.next_version);
            if record_of(&fs::read_to_string(&path).map_err(io(&path))?).is_some() {
                return Err(Error::Dataset {
                    dir: self.dir.display().to_string(),
                    why: "another gristmill is writing to it".to_owned(),
                });
            }
            self.next_version += 1;
        }
        failpoint::hit("commit-done");
        let version = self.next_version;
        self.next_version += 1;
        if version >= self.next_checkpoint || (record.complete && version > 10) {
            self.next_checkpoint = version + COMMITS_PER_CHECKPOINT.max(version / 4);
            let url = table_url(&self.dir)?;
            if let Err(error) =
                create_checkpoint_from_table_url_and_cleanup(url, version, Some(false), None).await
            {
                // The table is whole without it, only slower to open.
                tracing::warn!("no checkpoint of version {version}: {error}");
            }
            failpoint::hit("checkpoint-done");
        }
        Ok(version)
    }

    fn actions(&self, record: &Record, files: &[WrittenFile]) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = now.as_millis() as u64;
        let fingerprint = self.identity.hash()?;
        let mut actions = vec![json!({"commitInfo": {
            "timestamp": millis,
            "operation": "WRITE",
            "operationParameters": {"mode": "Append"},
            "isBlindAppend": true,
            "engineInfo": concat!("gristmill/", env!("CARGO_PKG_VERSION")),
            RECORD: record,
        }})];
        if self.next_version == 0 {
            actions.push(json!({"protocol": self.protocol()}));
            actions.push(json!({"metaData": {
                "id": uuid(xxh3_128(format!("{fingerprint} {} {}", now.as_nanos(), std::process::id()).as_bytes())),
                "name": "dataset",
                "description": format!("Rows of {}", self.identity.source()),
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json!(to_kernel(&self.schema)?).to_string(),
                "partitionColumns": [],
                "configuration": {IDENTITY: self.identity.to_json()?},
                "createdTime": millis,
            }}));
        }
        if record.totals.batches_read > 0 {
            let last = record.totals.batches_read - 1;
            actions.push(json!({"txn": {"appId": fingerprint, "version": last, "lastUpdated": millis}}));
        }
        actions.extend(files.iter().map(|file| {
            json!({"add": {
                "path": file.name,
                "partitionValues": {},
                "size": file.bytes,
                "modificationTime": millis,
                "dataChange": true,
                "stats": json!({"numRecords": file.rows}).to_string(),
            }})
        }));
        Ok(actions.iter().map(|action| format!("{action}\n")).collect())
    }

    /// The oldest protocol that will do, so that every reader can read the table.
    fn protocol(&self) -> Value {
        if has_timestamp_ntz(self.schema.fields()) {
            json!({
                "minReaderVersion": 3, "minWriterVersion": 7,
                "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"],
            })
        } else {
            json!({"minReaderVersion": 1, "minWriterVersion": 2})
        }
    }

    /// Puts a commit into the log unless that version is there. It appears whole or not at all, and is on the disk then.
    fn put(&self, version: u64, actions: &str) -> Result<bool> {
        let path = self.commit_path(version);
        let unfinished = log_path(&self.dir).join(format!(".{version:020}.json.unfinished"));
        let mut file = File::create(&unfinished).map_err(io(&unfinished))?;
        file.write_all(actions.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io(&unfinished))?;
        failpoint::hit("commit-written");
        // A rename would replace the commit of another tool; a link does not.
        let linked = fs::hard_link(&unfinished, &path);
        fs::remove_file(&unfinished).map_err(io(&unfinished))?;
        match linked {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(io(&path)(error)),
            Ok(()) => {
                let log = log_path(&self.dir);
                for dir in [&log, &self.dir] {
                    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))?;
                }
                Ok(true)
            }
        }
    }

    fn commit_path(&self, version: u64) -> PathBuf {
        log_path(&self.dir).join(format!("{version:020}.json"))
    }

    /// Removes what a killed run left behind: unfinished files, and files of batches from `next_batch` on, which no commit names.
    fn sweep(&self, next_batch: u64) -> Result<()> {
        for dir in [&self.dir, &log_path(&self.dir)] {
            for entry in fs::read_dir(dir).map_err(io(dir))? {
                let path = entry.map_err(io(dir))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let unfinished = name.starts_with('.') && name.ends_with(".unfinished");
                if unfinished || batch_file_number(&name).is_some_and(|number| number >= next_batch) {
                    fs::remove_file(&path).map_err(io(&path))?;
                }
            }
        }
        Ok(())
    }
}

/// The number of the first batch in a file of the dataset: `batch-<number>.parquet`, or `batch-<first>-<last>.parquet`.
pub(crate) fn batch_file_number(name: &str) -> Option<u64> {
    let numbers = name.strip_prefix("batch-")?.strip_suffix(".parquet")?;
    let digits = |part: &str| part.len() == 10 && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers
        .split('-')
        .all(digits)
        .then(|| numbers[..10].parse().ok())?
}

pub(crate) fn log_path(dir: &Path) -> PathBuf {
    dir.join("_delta_log")
}

/// The form of a UUID (version 8: contents of one's own) for 128 bits.
fn uuid(bits: u128) -> String {
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
