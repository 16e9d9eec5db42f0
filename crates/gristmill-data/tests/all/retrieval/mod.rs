//! Reading PostgreSQL over several connections: one snapshot, the same files, whatever breaks off.

mod standby;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gristmill_data::budget::RowBudget;
use gristmill_data::pull::{BatchCost, Pace, Progress, Pulled, pull};
use gristmill_data::settings::{CleanSettings, Consistency, SourceSettings, TextReading};
use gristmill_data::source::{self, Source};
use gristmill_data::table::{BatchRecord, DatasetIdentity};
use gristmill_data::{Error, Result};
use gristmill_testkit::TempPostgres;

/// Rows of the table; three or four have the same key, and some have none.
const ROWS: u64 = 12_000;

struct Case {
    query: &'static str,
    server: TempPostgres,
    dir: tempfile::TempDir,
    url: String,
    consistency: Consistency,
}

/// What a pull said.
#[derive(Default)]
struct Said {
    batches: Vec<BatchRecord>,
    costs: Vec<BatchCost>,
    warnings: Vec<String>,
    resumed: Vec<bool>,
    anew: u32,
}

impl Case {
    fn new() -> Self {
        let server = TempPostgres::start();
        server.execute(&format!(
            "CREATE TABLE item AS SELECT CASE WHEN n % 50 <> 0 THEN n * 7919 % {ROWS} / 4 END AS id, \
             'name ' || n % 2 AS name, CASE WHEN n % 3 > 0 THEN (n % 3) * 0.5::float8 END AS size \
             FROM generate_series(1, {ROWS}) AS n; CREATE INDEX ON item (id); ANALYZE item"
        ));
        Self {
            url: server.url(),
            dir: tempfile::tempdir().unwrap(),
            consistency: Consistency::Resume,
            query: "SELECT id, name, size FROM item",
            server,
        }
    }

    fn settings(&self) -> SourceSettings {
        SourceSettings {
            url: self.url.as_str().into(),
            query: self.query.into(),
            key: "id".into(),
            text: TextReading::default(),
            memory: RowBudget::ample(),
        }
    }

    async fn connect(&self) -> Box<dyn Source> {
        source::open::connect(&self.settings()).await.unwrap()
    }

    async fn pull(&self, name: &str, connections: usize) -> (Result<Pulled>, Said) {
        self.pull_from(self.connect().await, name, connections, |_| ())
            .await
    }

    /// `at` is called with the number of each batch that is recorded.
    async fn pull_from(
        &self,
        source: Box<dyn Source>,
        name: &str,
        connections: usize,
        mut at: impl FnMut(u64) + Send,
    ) -> (Result<Pulled>, Said) {
        let settings = self.settings();
        let clean = CleanSettings {
            trim: true,
            empty_as_null: true,
            require: vec![],
            filter: Some("id IS NULL OR id % 100 <> 3".into()),
            distinct: true,
        };
        let identity =
            DatasetIdentity::new("", &settings.query, &settings.key, &clean, &source.schema()).unwrap();
        let pace = Pace {
            batch_rows: 250,
            connections,
            commit_every: Duration::from_millis(5),
            consistency: self.consistency,
        };
        let mut said = Said::default();
        let mut tell = |progress: Progress<'_>| match progress {
            Progress::Batch { batch, cost, .. } => {
                said.batches.push(batch.clone());
                said.costs.push(cost);
                at(batch.number);
            }
            Progress::Warning(warning) => said.warnings.push(warning),
            Progress::Resumed { other_snapshot, .. } => said.resumed.push(other_snapshot),
            Progress::Anew { .. } => said.anew += 1,
            Progress::Committed { .. } => {}
        };
        let pulled = pull(source, &settings, identity, &self.dataset(name), pace, &mut tell).await;
        (pulled, said)
    }

    fn dataset(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Every file beside the log, with its content.
    fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.dataset(name))
            .unwrap()
            .map(|entry| entry.unwrap());
        entries
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
    fn assert_same(&self, name: &str, pulled: Result<Pulled>, expected: &Pulled) {
        let totals = pulled.unwrap().totals;
        assert_eq!(totals.hash, expected.totals.hash);
        assert_eq!(totals.rows_read, ROWS);
        assert_eq!(totals.dropped, expected.totals.dropped);
        assert_eq!(totals.batches_read, expected.totals.batches_read);
        assert!(
            self.files(name) == self.files("undisturbed"),
            "{:?}",
            self.files(name).keys()
        );
    }

    /// Does something to so many of the connections that read, if `whole` of them do; returns to how many.
    fn disturb(&self, what: &str, connections: usize, whole: usize) -> usize {
        let done = self.server.execute(&format!(
            "WITH reading AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE application_name = 'gristmill' \
             AND backend_xmin IS NOT NULL) \
             SELECT count({what}(pid)) FROM (SELECT pid FROM reading WHERE (SELECT count(*) FROM reading) >= {whole} \
             ORDER BY random() LIMIT {connections}) AS chosen"
        ));
        done.parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_readers_writes_the_same_files() {
    let case = Case::new();
    let (one, said) = case.pull("undisturbed", 1).await;
    let one = one.unwrap();
    assert!(one.totals.dropped.duplicate > 100 && one.totals.dropped.filter > 100);
    assert!(said.warnings.is_empty(), "{:?}", said.warnings);
    for readers in [2, 4, 9] {
        let name = format!("readers{readers}");
        let (pulled, said) = case.pull(&name, readers).await;
        assert_eq!(pulled.as_ref().unwrap().totals, one.totals, "{readers} readers");
        case.assert_same(&name, pulled, &one);
        assert!(said.warnings.is_empty(), "{:?}", said.warnings);
        let cost = |cost: &BatchCost| cost.seconds > 0.0 && cost.bytes > 250 && cost.retries == 0;
        assert!(said.costs.iter().all(cost), "{:?}", said.costs);
        assert!(
            said.batches
                .iter()
                .map(|batch| batch.number)
                .eq(0..one.totals.batches_read)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_takes_long_to_read_is_planned_meanwhile() {
    let mut case = Case::new();
    let (one, _) = case.pull("undisturbed", 1).await;
    // The server need not call it to find where a range ends, but to read it: half a second a batch.
    case.server.execute(
        "CREATE FUNCTION slow(given float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS \
         'BEGIN PERFORM pg_sleep(0.008); RETURN given; END'; DELETE FROM item WHERE id > 250",
    );
    let (quick, before) = case.pull("quick", 3).await;
    case.query = "SELECT id, name, CASE WHEN id % 4 = 0 THEN slow(size) ELSE size END AS size FROM item";
    let (slow, said) = case.pull("slow", 3).await;
    assert_eq!(
        slow.unwrap().totals,
        Pulled::clone(quick.as_ref().unwrap()).totals
    );
    let bounds = |said: Said| {
        said.batches
            .into_iter()
            .map(|batch| batch.bounds)
            .collect::<Vec<_>>()
    };
    assert_eq!(bounds(said), bounds(before));
    assert!(one.unwrap().totals.rows_read > quick.unwrap().totals.rows_read);
}

#[tokio::test]
async fn one_thread_is_enough() {
    let case = Case::new();
    let (one, _) = case.pull("undisturbed", 1).await;
    let (four, _) = case.pull("four", 4).await;
    case.assert_same("four", four, &one.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_meanwhile_is_in_no_batch() {
    let case = Case::new();
    let (undisturbed, _) = case.pull("undisturbed", 1).await;
    let undisturbed = undisturbed.unwrap();
    let source = case.connect().await;
    let stop = AtomicBool::new(false);
    let (pulled, said) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                case.server.execute(
                    "INSERT INTO item SELECT n, 'new', 1 FROM generate_series(1, 3000, 100) AS n; \
                     UPDATE item SET name = 'changed', id = id + 1 WHERE id % 13 = 5; \
                     DELETE FROM item WHERE id % 17 = 4",
                );
            }
        });
        let slow = |_| std::thread::sleep(Duration::from_millis(5));
        let pulled = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(case.pull_from(source, "pulled", 4, slow))
        });
        stop.store(true, Ordering::Relaxed);
        pulled
    });
    assert_eq!(pulled.as_ref().unwrap().totals.snapshots, 1);
    assert!(said.warnings.is_empty(), "{:?}", said.warnings);
    case.assert_same("pulled", pulled, &undisturbed);
    let (later, _) = case.pull("later", 4).await;
    assert_ne!(later.unwrap().totals.hash, undisturbed.totals.hash);
}

/// A name in the query may come to mean another table, which in the snapshot has no rows. Who joins must not read that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_finds_another_table_of_the_name_does_not_join() {
    let case = Case::new();
    let source = case.connect().await;
    assert!(source.fork().await.unwrap().is_some());
    case.server
        .execute("CREATE SCHEMA AUTHORIZATION CURRENT_USER; CREATE TABLE item AS SELECT * FROM public.item");
    let Err(error) = source.fork().await.map(drop) else {
        panic!("it joined");
    };
    assert!(
        matches!(&error, Error::SnapshotGone { why, .. } if why.contains("replaced meanwhile")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_readers_come_back_to_the_same_snapshot() {
    let case = Case::new();
    let (undisturbed, _) = case.pull("undisturbed", 1).await;
    for what in ["pg_terminate_backend", "pg_cancel_backend"] {
        let mut disturbed = 0;
        let (pulled, said) = case
            .pull_from(case.connect().await, what, 4, |_| {
                // What is committed meanwhile, nobody sees.
                case.server.execute("INSERT INTO item VALUES (1, 'new', 1)");
                disturbed += case.disturb(what, 2, 4);
                case.server.execute("DELETE FROM item WHERE name = 'new'");
            })
            .await;
        assert_eq!(
            pulled.as_ref().unwrap().totals.snapshots,
            1,
            "{:?}",
            said.warnings
        );
        assert!(said.resumed.is_empty() && disturbed >= 4);
        // A cancellation finds most of them between two statements, where it does nothing.
        let told = said
            .warnings
            .iter()
            .any(|warning| warning.contains("trying again"));
        assert!(told || what == "pg_cancel_backend");
        let retries: u32 = said.costs.iter().map(|cost| cost.retries).sum();
        assert!(retries > 0 || what == "pg_cancel_backend");
        case.assert_same(what, pulled, undisturbed.as_ref().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_connections_a_later_snapshot_is_read_and_told() {
    let case = Case::new();
    for readers in [1, 4] {
        let name = format!("readers{readers}");
        let (pulled, said) = case
            .pull_from(case.connect().await, &name, readers, |number| {
                if number == 9 {
                    case.server
                        .execute("INSERT INTO item VALUES (1000000, 'late', 1)");
                    case.disturb("pg_terminate_backend", 100, 1);
                }
            })
            .await;
        let totals = pulled.unwrap().totals;
        assert_eq!((totals.snapshots, said.resumed), (2, vec![true]));
        assert!(
            said.warnings
                .iter()
                .any(|warning| warning.contains("connecting anew"))
        );
        assert_eq!(totals.rows_read, ROWS + if readers == 1 { 1 } else { 2 });
        // Each batch tells its own; there is no going back to the first.
        let mut snapshots: Vec<_> = said.batches.iter().map(|batch| &batch.snapshot).collect();
        snapshots.dedup();
        assert_eq!(snapshots.len(), 2);
        assert!(
            said.batches
                .iter()
                .map(|batch| batch.number)
                .eq(0..totals.batches_read)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_again_is_gone_on_with() {
    let case = Case::new();
    let (undisturbed, _) = case.pull("undisturbed", 1).await;
    for readers in [1, 4] {
        let name = format!("readers{readers}");
        let (pulled, said) = case
            .pull_from(case.connect().await, &name, readers, |number| {
                if [5, 20].contains(&number) {
                    case.server.restart();
                }
            })
            .await;
        assert!(!said.warnings.is_empty() && !said.resumed.is_empty());
        case.assert_same(&name, pulled, undisturbed.as_ref().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_starts_anew_when_the_snapshot_is_lost_under_way() {
    let mut case = Case::new();
    case.consistency = Consistency::Strict;
    for readers in [1, 4] {
        let name = format!("readers{readers}");
        let mut restarted = false;
        let (pulled, said) = case
            .pull_from(case.connect().await, &name, readers, |number| {
                if number == 20 && !restarted {
                    restarted = true;
                    // A server that stops at once forgets what it has not written.
                    case.server
                        .execute("UPDATE item SET name = name || '!' WHERE id < 500");
                    case.server.execute("CHECKPOINT");
                    case.server.restart();
                }
            })
            .await;
        assert_eq!(
            (said.anew, said.resumed.as_slice()),
            (1, [].as_slice()),
            "{:?}",
            said.warnings
        );
        assert_eq!(pulled.as_ref().unwrap().totals.snapshots, 1);
        let (undisturbed, _) = case.pull("undisturbed", 1).await;
        case.assert_same(&name, pulled, &undisturbed.unwrap());
        fs::remove_dir_all(case.dataset("undisturbed")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_allows_fewer_connections_fewer_read() {
    let mut case = Case::new();
    case.server
        .execute("CREATE ROLE few LOGIN CONNECTION LIMIT 2; GRANT SELECT ON item TO few");
    let (undisturbed, _) = case.pull("undisturbed", 1).await;
    case.url = case.url.replace("postgres@", "few@");
    let started = std::time::Instant::now();
    let (pulled, said) = case.pull("few", 4).await;
    case.assert_same("few", pulled, &undisturbed.unwrap());
    assert!(
        said.warnings
            .iter()
            .any(|warning| warning.contains("too many connections")),
        "{:?}",
        said.warnings
    );
    // Nobody waits for those that find no place.
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_retry_helps_fails_at_once() {
    let case = Case::new();
    case.server
        .execute("ALTER TABLE item ADD divisor int DEFAULT 1; UPDATE item SET divisor = 0 WHERE id = 2500");
    let mut settings = case.settings();
    settings.query = "SELECT id, 1 / divisor AS inverse FROM item".into();
    let source = source::open::connect(&settings).await.unwrap();
    let clean = CleanSettings {
        trim: false,
        empty_as_null: false,
        require: vec![],
        filter: None,
        distinct: false,
    };
    let identity = DatasetIdentity::new("", &settings.query, &"id".into(), &clean, &source.schema()).unwrap();
    let started = std::time::Instant::now();
    let failed = pull(
        source,
        &settings,
        identity,
        &case.dataset("failed"),
        Pace::new(250, 4, Consistency::Resume),
        &mut |_| (),
    )
    .await;
    let error = failed.unwrap_err();
    assert!(
        matches!(&error, Error::Query { why } if why.contains("division by zero")),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
}
