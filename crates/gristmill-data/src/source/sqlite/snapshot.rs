//! The state that a SQLite file is in, and its name.
//!
//! A file without a write-ahead log counts its changes in its header. With one it does not: there the log's index says how many
//! frames of the log were committed, with their checksum and the log's two salts, which are others each time that the log is
//! written from its beginning again. So the state of both is exact. What remains is a log that is empty or gone: nothing tells
//! then what a checkpoint brought into the file but the time of the change, which is worth something once it is a while ago.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Result, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Every file that was read here, open until the process ends. A POSIX lock on a file goes when *any* descriptor of it is
/// closed in the process: closing one here would take away the locks of SQLite's own connections, and others could write
/// while they read (sqlite.org/howtocorrupt.html, 2.2).
static OPEN: Mutex<BTreeMap<Id, File>> = Mutex::new(BTreeMap::new());

/// Two changes within so much time may have the same time, by a clock that moves in steps and on the disks of other machines.
const STEP: Duration = Duration::from_secs(2);

/// What tells one file from another.
type Id = (u64, u64, PathBuf);

/// The state of a database file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    file: Id,
    bytes: u64,
    changed: Duration,
    /// As the header counts them.
    changes: u32,
    log: Log,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Log {
    /// The file is written without one.
    None,
    /// Its index is not there, or is being written.
    Unknown,
    /// As its index has it.
    Committed {
        frames: u32,
        checksum: [u32; 2],
        salts: [u32; 2],
    },
}

impl State {
    /// The state of the file at this path.
    pub(super) fn of(path: &Path) -> Result<Self> {
        // SQLite's own files are beside the file that a link leads to.
        let path = path.canonicalize()?;
        let mut header = [0; 28];
        let file = read(&path, &mut header)?;
        let has_log = header[18] == 2 || header[19] == 2;
        let metadata = fs::metadata(&path)?;
        Ok(Self {
            file,
            bytes: metadata.len(),
            changed: changed(&metadata)?,
            changes: u32::from_be_bytes([header[24], header[25], header[26], header[27]]),
            log: if has_log { Log::of(&path)? } else { Log::None },
        })
    }

    /// Whether a read transaction keeps the file in this state.
    pub(super) fn is_held(&self) -> bool {
        self.log == Log::None
    }

    /// Whether what is read while the file is in this state, as it is before and after, is always the same.
    pub(super) fn is_known(&self) -> bool {
        self.log != Log::Unknown
    }

    /// A state that is not known, and not that of any other transaction.
    pub(super) fn unknown(mut self) -> Self {
        self.log = Log::Unknown;
        self
    }

    /// What it is called: no other state of this file, or of another in its place, has that name.
    pub(super) fn name(&self) -> String {
        let (device, inode, _) = &self.file;
        let file = format!(
            "file {device}.{inode} of {} bytes, changed {}, change {}",
            self.bytes,
            self.changed.as_nanos(),
            self.changes
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match &self.log {
            Log::None => file,
            Log::Committed {
                frames,
                checksum,
                salts,
            } if *frames > 0 => format!(
                "{file}, {frames} frames of log {:08x}{:08x} with checksum {:08x}{:08x}",
                salts[0], salts[1], checksum[0], checksum[1]
            ),
            Log::Committed { .. } if self.changed + STEP < now => format!("{file}, no log"),
            Log::Committed { .. } | Log::Unknown => {
                format!(
                    "{file}, read by process {} at {}",
                    std::process::id(),
                    now.as_nanos()
                )
            }
        }
    }
}

impl Log {
    /// What the index of the log of this file says (sqlite.org/walformat.html, 2.1), which is the same twice unless it is
    /// being written.
    fn of(path: &Path) -> Result<Self> {
        let mut index = path.as_os_str().to_owned();
        index.push("-shm");
        let mut bytes = [0; 96];
        match read(Path::new(&index), &mut bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
                return Ok(Self::Unknown);
            }
            read => read.map(drop)?,
        }
        let word = |number: usize| {
            let at = number * 4;
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let initialized = bytes[12] != 0;
        if !initialized || bytes[..48] != bytes[48..] {
            return Ok(Self::Unknown);
        }
        Ok(Self::Committed {
            frames: word(4),
            checksum: [word(6), word(7)],
            salts: [word(8), word(9)],
        })
    }
}

/// Fills `into` from the beginning of a file.
fn read(path: &Path, into: &mut [u8]) -> Result<Id> {
    let id = id(path)?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !open.contains_key(&id) {
        open.insert(id.clone(), File::open(path)?);
    }
    if let Some(file) = open.get_mut(&id) {
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(into)?;
    }
    Ok(id)
}

#[cfg(unix)]
fn id(path: &Path) -> Result<Id> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino(), PathBuf::new()))
}

#[cfg(not(unix))]
fn id(path: &Path) -> Result<Id> {
    Ok((0, 0, path.canonicalize()?))
}

/// When the file was last changed, since 1970; where the system tells, not even a program that sets times can set this one.
#[cfg(unix)]
fn changed(file: &fs::Metadata) -> Result<Duration> {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(file.ctime()).unwrap_or_default();
    let nanos = u32::try_from(file.ctime_nsec()).unwrap_or_default();
    Ok(Duration::new(seconds, nanos.min(999_999_999)))
}

#[cfg(not(unix))]
fn changed(file: &fs::Metadata) -> Result<Duration> {
    Ok(file.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::thread::sleep;

    use rusqlite::Connection;

    use super::*;
    use crate::settings::{SourceSettings, TextReading};
    use crate::source::Source;
    use crate::source::sqlite::Sqlite;

    /// The name that a run of its own would have for what it reads, and what it reads: the rows, by another connection.
    async fn read(path: &Path) -> (String, String) {
        let settings = SourceSettings {
            url: format!("sqlite:{}", path.display()).into(),
            query: "SELECT id, v FROM t".into(),
            key: "id".into(),
            text: TextReading::default(),
            memory: crate::budget::RowBudget::ample(),
        };
        let source = Sqlite::connect(path.to_str().unwrap(), &settings).await.unwrap();
        let rows = "SELECT group_concat(id || ':' || v || ':' || length(pad)) FROM t";
        let reader = Connection::open(path).unwrap();
        let rows = reader.query_row(rows, (), |row| row.get(0)).unwrap();
        (source.snapshot(), rows)
    }

    fn writer(path: &Path, journal: &str) -> Connection {
        let writer = Connection::open(path).unwrap();
        writer
            .execute_batch(&format!(
                "PRAGMA journal_mode = {journal}; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (id INTEGER PRIMARY KEY, v, pad); \
                 INSERT INTO t VALUES (1, 0, zeroblob(9000)), (2, 0, ''), (3, 0, '')"
            ))
            .unwrap();
        writer
    }

    /// What may happen to a file between two runs, each of which changes a value in place.
    const CHANGES: [&str; 10] = [
        "UPDATE t SET v = v + 1 WHERE id = 2",
        // The next commit begins the log anew, with the same frames in number and length.
        "PRAGMA wal_checkpoint(RESTART); UPDATE t SET v = v + 1 WHERE id = 2",
        "PRAGMA wal_checkpoint(PASSIVE); UPDATE t SET v = v + 1 WHERE id = 2",
        "PRAGMA wal_checkpoint(FULL); UPDATE t SET v = v + 1 WHERE id = 2",
        "UPDATE t SET v = v + 1 WHERE id = 2; PRAGMA wal_checkpoint(TRUNCATE)",
        "UPDATE t SET v = v + 1 WHERE id = 2; PRAGMA wal_checkpoint(RESTART)",
        "UPDATE t SET v = v + 1 WHERE id = 2; VACUUM",
        "BEGIN; UPDATE t SET v = v + 1 WHERE id = 2; INSERT INTO t VALUES (4, 0, ''); DELETE FROM t WHERE id = 4; COMMIT",
        "PRAGMA journal_mode = DELETE; UPDATE t SET v = v + 1 WHERE id = 2; PRAGMA journal_mode = WAL",
        "PRAGMA journal_mode = WAL; UPDATE t SET v = v + 1 WHERE id = 2; PRAGMA journal_mode = DELETE",
    ];

    #[tokio::test]
    async fn what_is_read_is_never_another_under_one_name() {
        for journal in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL"] {
            for reopened in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("data.db");
                let mut writer = writer(&path, journal);
                let mut names: BTreeMap<String, String> = BTreeMap::new();
                for round in 0..2 {
                    for change in CHANGES {
                        if reopened {
                            drop(writer);
                            writer = Connection::open(&path).unwrap();
                        }
                        writer.execute_batch(change).unwrap();
                        let (name, rows) = read(&path).await;
                        let case = format!("{journal}, reopened {reopened}, round {round}: {change}: {name}");
                        let before = names.insert(name, rows.clone());
                        assert!(before.is_none_or(|before| before == rows), "{case}");
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_another_has_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("data.db"), dir.path().join("other.db"));
        writer(&path, "DELETE");
        let (name, rows) = read(&path).await;
        // As many changes to a file of the same size.
        writer(&other, "DELETE")
            .execute_batch("PRAGMA user_version = 1")
            .unwrap();
        writer(&dir.path().join("third.db"), "DELETE");
        fs::rename(dir.path().join("third.db"), &path).unwrap();
        let (replaced, same) = read(&path).await;
        assert_eq!(rows, same);
        assert_ne!(name, replaced);
    }

    #[tokio::test]
    async fn the_name_stays_while_nothing_is_written() {
        for journal in ["DELETE", "WAL"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("data.db");
            let open = writer(&path, journal);
            let (name, _) = read(&path).await;
            assert_eq!(read(&path).await.0, name, "{journal}");
            let linked = dir.path().join("linked.db");
            std::os::unix::fs::symlink(&path, &linked).unwrap();
            assert_eq!(read(&linked).await.0, name, "{journal}");
            drop(open);
        }
        // A log that was brought into the file a while ago.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.db");
        drop(writer(&path, "WAL"));
        sleep(STEP + Duration::from_millis(50));
        assert_eq!(read(&path).await.0, read(&path).await.0);
    }

    /// What tells states apart where the time of the change does not, as on a disk whose clock moves in seconds.
    #[test]
    fn a_change_is_told_without_the_clock() {
        for journal in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("data.db");
            let writer = writer(&path, journal);
            let state = || {
                let state = State::of(&path).unwrap();
                assert_eq!(state.changed, changed(&fs::metadata(&path).unwrap()).unwrap());
                State {
                    changed: Duration::ZERO,
                    ..state
                }
            };
            let mut before = vec![state()];
            let changes = [
                "UPDATE t SET v = v + 1 WHERE id = 2",
                "UPDATE t SET v = v + 1 WHERE id = 2; UPDATE t SET v = v - 1 WHERE id = 2",
                // The log begins anew, with as many frames.
                "PRAGMA wal_checkpoint(RESTART); UPDATE t SET v = v + 1 WHERE id = 2",
                "PRAGMA wal_checkpoint(RESTART); UPDATE t SET v = v + 1 WHERE id = 2",
            ];
            for change in changes {
                writer.execute_batch(change).unwrap();
                let after = state();
                assert!(after.is_known(), "{journal}: {after:?}");
                let names: Vec<String> = before.iter().map(State::name).collect();
                assert!(!names.contains(&after.name()), "{journal}, {change}: {after:?}");
                match (&before[before.len() - 1].log, &after.log) {
                    (Log::None, Log::None) => assert!(after.changes > before[before.len() - 1].changes),
                    (
                        Log::Committed {
                            frames,
                            checksum,
                            salts,
                        },
                        Log::Committed {
                            frames: more,
                            checksum: next,
                            salts: new,
                        },
                    ) => {
                        let anew = change.contains("RESTART");
                        assert!(*more > 0 && (more > frames) != anew, "{change}: {frames}, {more}");
                        assert_ne!(checksum, next, "{change}");
                        assert_eq!(salts != new, anew, "{change}");
                    }
                    other => panic!("{journal}: {other:?}"),
                }
                before.push(after);
            }
        }
    }

    #[test]
    fn each_part_of_a_state_is_in_its_name() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let committed = |frames, checksum, salts| Log::Committed {
            frames,
            checksum,
            salts,
        };
        let state = |inode, bytes, changed: Duration, changes, log| State {
            file: (1, inode, PathBuf::new()),
            bytes,
            changed,
            changes,
            log,
        };
        let (old, older) = (now - 3 * STEP, now - 4 * STEP);
        let states = [
            state(1, 9, old, 7, Log::None),
            state(2, 9, old, 7, Log::None),
            state(1, 8, old, 7, Log::None),
            state(1, 9, older, 7, Log::None),
            state(1, 9, old, 8, Log::None),
            state(1, 9, old, 7, committed(1, [2, 3], [4, 5])),
            state(1, 9, old, 7, committed(2, [2, 3], [4, 5])),
            state(1, 9, old, 7, committed(1, [6, 3], [4, 5])),
            state(1, 9, old, 7, committed(1, [2, 6], [4, 5])),
            state(1, 9, old, 7, committed(1, [2, 3], [6, 5])),
            state(1, 9, old, 7, committed(1, [2, 3], [4, 6])),
            state(1, 9, old, 7, committed(0, [2, 3], [4, 5])),
            state(1, 9, older, 7, committed(0, [2, 3], [4, 5])),
        ];
        let names: std::collections::BTreeSet<String> = states.iter().map(State::name).collect();
        assert_eq!(names.len(), states.len(), "{names:#?}");
        for state in states {
            assert_eq!(state.name(), state.name());
        }
        // What may be changed again at the same time, and what is not known, has a name that no other has.
        for unknown in [
            state(1, 9, now, 7, committed(0, [2, 3], [4, 5])),
            state(1, 9, old, 7, Log::Unknown),
        ] {
            let name = unknown.name();
            assert!(name.contains("read by process"), "{name}");
            sleep(Duration::from_millis(1));
            assert_ne!(unknown.name(), name);
        }
    }

    /// The index is two copies of a header, of which SQLite writes the second first.
    #[test]
    fn an_index_that_is_being_written_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.db");
        let index = dir.path().join("data.db-shm");
        let mut header = [7; 48];
        header[12] = 1;
        let whole = [header, header].concat();
        let found = |bytes: &[u8]| {
            // A file of its own each time: those that were read stay open.
            let _ = fs::remove_file(&index);
            fs::write(&index, bytes).unwrap();
            Log::of(&path).unwrap()
        };
        assert!(matches!(found(&whole), Log::Committed { .. }));
        for at in 0..96 {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            assert_eq!(found(&torn), Log::Unknown, "byte {at}");
        }
        header[12] = 0;
        assert_eq!(found(&[header, header].concat()), Log::Unknown);
        assert_eq!(found(&whole[..95]), Log::Unknown);
        fs::remove_file(&index).unwrap();
        assert_eq!(Log::of(&path).unwrap(), Log::Unknown);
    }
}
