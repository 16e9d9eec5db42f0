//! A run that is killed anywhere and run again leaves what an undisturbed one does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use gristmill_data::failpoint::FAILPOINTS;
use gristmill_testkit::TempPostgres;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use support::{Place, pipeline, table};

const ROWS: u64 = 90;
const SIGKILL: i32 = 9;

/// The points that a run comes by once.
const PASSED_ONCE: [&str; 4] = [
    "checkpoint-done",
    "final-commit-started",
    "compaction-written",
    "compaction-committed",
];

/// Twelve commits, with a batch that cleaning empties among them, and a checkpoint at every step of the training.
fn small_batches() -> Place {
    let edits = [
        ("rows = 25", "rows = 8"),
        ("threads = 2", "threads = 2\ncheckpoint_seconds = 0"),
        (
            "[[feature]]",
            "[clean]\nfilter = \"id NOT BETWEEN 33 AND 40\"\n\n[[feature]]",
        ),
    ];
    Place::with(&table(ROWS), &pipeline(&edits))
}

static UNDISTURBED: LazyLock<Place> = LazyLock::new(|| {
    let place = small_batches();
    place.run();
    place
});

fn assert_undisturbed(place: &Place, case: &str) {
    let mut totals = place.totals("run");
    let mut expected = UNDISTURBED.totals("run");
    // Each run reads from a snapshot of its own; what the totals say of them is about the runs, not about the rows.
    (totals.snapshots, expected.snapshots) = (0, 0);
    (totals.last_snapshot, expected.last_snapshot) = Default::default();
    assert_eq!(totals, expected, "{case}");
    let ids: Vec<i64> = (1..=ROWS as i64).filter(|id| !(33..=40).contains(id)).collect();
    assert_eq!(place.ids("run"), ids, "{case}");
    assert_eq!(
        place.metrics("run")["stages"].as_array().unwrap().len(),
        5,
        "{case}"
    );
    assert!(
        place.model("run") == UNDISTURBED.model("run"),
        "{case}: another model"
    );
}

/// Kills a run at the `count`-th hit of every point, then runs again.
fn kill_at_every_point(count: u32) {
    for point in FAILPOINTS {
        let case = format!("{point}:{count}");
        let place = small_batches();
        let output = place
            .command("run pipeline.toml")
            .env("GRISTMILL_KILL_AT", &case)
            .output()
            .unwrap();
        if count > 1 && PASSED_ONCE.contains(&point) {
            assert_eq!(output.status.code(), Some(0), "{case}");
        } else {
            assert_eq!(
                output.status.signal(),
                Some(SIGKILL),
                "{case}: {}",
                support::stderr(&output)
            );
            assert!(!place.path("run/model").exists(), "{case}");
        }
        place.run();
        assert_undisturbed(&place, &case);
    }
}

#[test]
fn a_kill_at_the_first_hit_of_a_point() {
    kill_at_every_point(1);
}

#[test]
fn a_kill_at_the_second_hit_of_a_point() {
    kill_at_every_point(2);
}

#[test]
fn a_kill_at_a_late_hit_of_a_point() {
    kill_at_every_point(9);
}

/// Killed at one point after the other, each run getting a little further.
#[test]
fn kills_one_after_the_other_in_one_directory() {
    let place = small_batches();
    // The log's checkpoint comes after the last commit, and no run that follows commits batches again.
    let (last, others): (Vec<&str>, Vec<&str>) = FAILPOINTS.iter().partition(|point| {
        **point == "checkpoint-done" || point.starts_with("compaction-") || point.starts_with("training-")
    });
    for point in others.into_iter().chain(last) {
        let output = place
            .command("run pipeline.toml")
            .env("GRISTMILL_KILL_AT", format!("{point}:1"))
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(SIGKILL), "{point}");
    }
    place.run();
    assert_undisturbed(&place, "all points");
}

#[test]
fn kills_at_any_time() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let started = std::time::Instant::now();
    small_batches().run();
    let whole = started.elapsed();
    let mut place = small_batches();
    let mut killed = 0;
    for round in 0..12 {
        let mut child = place
            .command("run pipeline.toml")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(
            whole
                .mul_f64(rng.random_range(0.02..0.98))
                .min(Duration::from_secs(5)),
        );
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().signal() == Some(SIGKILL));
        // Most go on where the one before was killed; now and then it is brought to its end.
        if round % 3 == 2 {
            place.run();
            assert_undisturbed(&place, &format!("round {round}"));
            place = small_batches();
        }
    }
    assert!(killed > 0);
}

/// Kills runs of four readers on PostgreSQL, so many in all, at random times of the pull.
fn kill_four_readers(kills: u32) {
    const ROWS: u64 = 600;
    let server = TempPostgres::start();
    server.execute(&table(ROWS));
    let url = format!("url = \"{}\"", server.url());
    let edits = [
        ("url = \"sqlite:data.db\"", url.as_str()),
        ("rows = 25", "rows = 8\nconnections = 4"),
        (
            "reg_param = [0.01, 0.1]\nmax_iter = 5",
            "reg_param = 0.1\nmax_iter = 1",
        ),
        (
            "[[feature]]",
            "[clean]\nfilter = \"id NOT BETWEEN 33 AND 40\"\n\n[[feature]]",
        ),
    ];
    let new = || {
        let place = Place::new();
        place.write("pipeline.toml", pipeline(&edits));
        place
    };
    let undisturbed = new();
    let started = std::time::Instant::now();
    undisturbed.run();
    let whole = started.elapsed();
    let expected = undisturbed.totals("run");
    let expected_files = batch_files(&undisturbed);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (mut killed, mut place) = (0, new());
    while killed < kills {
        // Several kills in one directory, then the run is brought to its end.
        for _ in 0..rng.random_range(1..=4) {
            let mut child = place
                .command("run pipeline.toml")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(whole.mul_f64(rng.random_range(0.0..0.8)));
            child.kill().unwrap();
            killed += u32::from(child.wait().unwrap().signal() == Some(SIGKILL));
        }
        place.run();
        let totals = place.totals("run");
        assert_eq!(
            (
                totals.hash,
                totals.rows_read,
                totals.rows_kept,
                totals.batches_read
            ),
            (
                expected.hash,
                expected.rows_read,
                expected.rows_kept,
                expected.batches_read
            ),
            "after {killed} kills"
        );
        assert!(batch_files(&place) == expected_files, "after {killed} kills");
        assert!(
            place.model("run") == undisturbed.model("run"),
            "after {killed} kills"
        );
        place = new();
    }
}

/// The files of the dataset beside its log.
fn batch_files(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = place.path("run/dataset");
    let files = support::files(&dir).into_iter();
    files
        .map(|(path, content)| (path.strip_prefix(&dir).unwrap().to_owned(), content))
        .filter(|(path, _)| !path.starts_with("_delta_log"))
        .collect()
}

#[test]
fn kills_of_four_readers() {
    kill_four_readers(10);
}

/// As many as `GRISTMILL_KILLS` says: 1,000 take a quarter of an hour.
#[test]
#[ignore = "takes long; set GRISTMILL_KILLS"]
fn very_many_kills_of_four_readers() {
    let kills = std::env::var("GRISTMILL_KILLS").ok();
    kill_four_readers(kills.and_then(|kills| kills.parse().ok()).unwrap_or(1_000));
}
