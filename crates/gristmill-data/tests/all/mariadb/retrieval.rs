//! Reading MariaDB over several connections: one snapshot where the binary log shows it, the same files, whatever breaks off.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gristmill_data::budget::RowBudget;
use gristmill_data::pull::{Pace, Progress, Pulled, pull};
use gristmill_data::settings::{CleanSettings, Consistency, SourceSettings, TextReading};
use gristmill_data::source;
use gristmill_data::table::DatasetIdentity;
use gristmill_testkit::TempMariaDb;

/// Rows of the table; three or four have the same key, and some have none.
const ROWS: u64 = 12_000;

struct Case {
    server: TempMariaDb,
    dir: tempfile::TempDir,
}

#[derive(Default)]
struct Said {
    batches: u64,
    warnings: Vec<String>,
    resumed: Vec<bool>,
}

impl Case {
    fn new(options: &[&str]) -> Self {
        let server = TempMariaDb::start_with(options);
        server.execute(&format!(
            "CREATE TABLE item (id int, name varchar(20), size double, KEY (id)) \
             SELECT IF(seq % 50 <> 0, seq * 7919 % {ROWS} DIV 4, NULL) AS id, \
             CONCAT('name ', seq % 2) AS name, IF(seq % 3 > 0, seq % 3 * 0.5, NULL) AS size FROM seq_1_to_{ROWS}"
        ));
        Self {
            server,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// `at` is called with the number of each batch that is recorded.
    async fn pull(&self, name: &str, connections: usize, mut at: impl FnMut(u64) + Send) -> (Pulled, Said) {
        let settings = SourceSettings {
            url: self.server.url().into(),
            query: "SELECT id, name, size FROM item".into(),
            key: "id".into(),
            text: TextReading::default(),
            memory: RowBudget::ample(),
        };
        let source = source::open::connect(&settings).await.unwrap();
        let clean = CleanSettings {
            trim: true,
            empty_as_null: true,
            require: vec![],
            filter: None,
            distinct: false,
        };
        let identity =
            DatasetIdentity::new("", &settings.query, &settings.key, &clean, &source.schema()).unwrap();
        let mut said = Said::default();
        let mut tell = |progress: Progress<'_>| match progress {
            Progress::Batch { batch, .. } => {
                said.batches += 1;
                at(batch.number);
            }
            Progress::Warning(warning) => said.warnings.push(warning),
            Progress::Resumed { other_snapshot, .. } => said.resumed.push(other_snapshot),
            Progress::Anew { .. } | Progress::Committed { .. } => {}
        };
        let pace = Pace::new(250, connections, Consistency::Resume);
        let dir = self.dir.path().join(name);
        let pulled = pull(source, &settings, identity, &dir, pace, &mut tell).await;
        (pulled.unwrap(), said)
    }

    /// Every file beside the log, with its content.
    fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.dir.path().join(name)).unwrap();
        entries
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_file())
            .map(|entry| {
                (
                    entry.file_name().into_string().unwrap(),
                    fs::read(entry.path()).unwrap(),
                )
            })
            .collect()
    }

    /// Asserts that a pull ended in the same dataset as the undisturbed one.
    fn assert_same(&self, name: &str, pulled: &Pulled, undisturbed: &Pulled) {
        assert_eq!(pulled.totals.hash, undisturbed.totals.hash, "{name}");
        assert_eq!(pulled.totals.rows_read, ROWS, "{name}");
        assert!(self.files(name) == self.files("undisturbed"), "{name}");
    }

    /// The numbers of the connections that are in a transaction.
    fn readers(&self) -> Vec<String> {
        let ids = self.server.execute(
            "SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX \
             WHERE trx_mysql_thread_id <> CONNECTION_ID() AND trx_is_read_only",
        );
        ids.lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_readers_of_mariadb_writes_the_same_files() {
    let case = Case::new(&[]);
    let (one, said) = case.pull("undisturbed", 1, |_| ()).await;
    assert!(said.warnings.is_empty(), "{:?}", said.warnings);
    for readers in [2, 4] {
        let name = format!("readers{readers}");
        let mut most = 0;
        let (pulled, said) = case
            .pull(&name, readers, |number| {
                if number == 9 {
                    most = case.readers().len();
                }
            })
            .await;
        assert_eq!((most, pulled.totals.snapshots), (readers, 1));
        assert!(said.warnings.is_empty(), "{:?}", said.warnings);
        case.assert_same(&name, &pulled, &one);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_binary_log_one_connection_reads_and_says_so() {
    let case = Case::new(&["--skip-log-bin"]);
    let (one, said) = case.pull("undisturbed", 1, |_| ()).await;
    assert!(said.warnings.is_empty(), "{:?}", said.warnings);
    let (four, said) = case.pull("four", 4, |_| ()).await;
    assert_eq!(
        said.warnings,
        ["no further connection can read from this snapshot; fewer read"]
    );
    case.assert_same("four", &four, &one);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_to_mariadb_meanwhile_is_in_no_batch() {
    let case = Case::new(&[]);
    let (undisturbed, _) = case.pull("undisturbed", 1, |_| ()).await;
    let changes = "INSERT INTO item SELECT seq, 'new', 1 FROM seq_1_to_3000_step_100; \
                   UPDATE item SET name = 'changed', id = id + 1 WHERE id % 13 = 5; \
                   DELETE FROM item WHERE id % 17 = 4;";
    // Some join before the first change; who comes later sees other rows, and must not be let in.
    let (go, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let ((pulled, said), readers) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if go.load(Ordering::Relaxed) {
                    case.server.execute(changes);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut readers = 0;
        let slow = |number| {
            if number == 0 {
                readers = case.readers().len();
            }
            go.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        };
        let pulled = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(case.pull("pulled", 4, slow))
        });
        stop.store(true, Ordering::Relaxed);
        (pulled, readers)
    });
    assert!(
        readers > 1 && said.resumed.is_empty(),
        "{readers} {:?}",
        said.warnings
    );
    assert_eq!(pulled.totals.snapshots, 1);
    case.assert_same("pulled", &pulled, &undisturbed);
    let (later, _) = case.pull("later", 4, |_| ()).await;
    assert_ne!(later.totals.hash, undisturbed.totals.hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_to_mariadb_are_opened_again() {
    let case = Case::new(&[]);
    let (undisturbed, _) = case.pull("undisturbed", 1, |_| ()).await;
    for readers in [1, 4] {
        // All but one are killed, then all, then the server.
        let name = format!("readers{readers}");
        let (pulled, said) = case
            .pull(&name, readers, |number| {
                let killed = match number {
                    5 | 6 => readers - 1,
                    15 => readers,
                    30 => return case.server.restart(),
                    _ => return,
                };
                for id in case.readers().iter().take(killed) {
                    case.server.execute(&format!("KILL {id}"));
                }
            })
            .await;
        assert!(
            !said.warnings.is_empty() && !said.resumed.is_empty(),
            "{:?}",
            said.warnings
        );
        assert_eq!(said.batches, pulled.totals.batches_read);
        case.assert_same(&name, &pulled, &undisturbed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_mariadb_allows_fewer_connections_fewer_read() {
    let case = Case::new(&[]);
    let (undisturbed, _) = case.pull("undisturbed", 1, |_| ()).await;
    case.server.execute("SET GLOBAL max_connections = 10");
    let (pulled, said) = case.pull("many", 16, |_| ()).await;
    assert!(
        said.warnings
            .iter()
            .any(|warning| warning.contains("Too many connections")),
        "{:?}",
        said.warnings
    );
    case.assert_same("many", &pulled, &undisturbed);
}
