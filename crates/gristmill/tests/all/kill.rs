//! A run that is killed anywhere and run again leaves what an undisturbed one does.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use gristmill_data::failpoint::{FOLDER, OUTCOME, PULL, STAGE, TRAINING};
use gristmill_data::table::Totals;
use gristmill_testkit::{TempPostgres, cases};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{Place, pipeline, table};

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
    for point in PULL.into_iter().chain(TRAINING) {
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
                crate::support::stderr(&output)
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

/// As a pull goes for its user: batches that come together share a commit, here some of them or all.
#[test]
fn a_kill_with_several_batches_in_a_commit() {
    for (every, counts) in [("1000", [1, 5]), ("8", [2, 3])] {
        for point in PULL {
            for count in counts {
                let case = format!("{point}:{count}, a commit every {every} ms");
                let place = small_batches();
                let output = place
                    .command("run pipeline.toml")
                    .env("GRISTMILL_COMMIT_EVERY", every)
                    .env("GRISTMILL_KILL_AT", format!("{point}:{count}"))
                    .output()
                    .unwrap();
                // How many commits there are, and with it how often a point comes by, is a matter of time.
                let killed = output.status.signal() == Some(SIGKILL);
                assert!(
                    killed || output.status.success(),
                    "{case}: {}",
                    crate::support::stderr(&output)
                );
                let often = ["batch-read", "parquet-written", "parquet-renamed"].contains(&point);
                assert!(killed || !often, "{case}: it was not killed");
                place.run();
                assert_undisturbed(&place, &case);
            }
        }
    }
}

/// Killed at one point after the other, each run getting a little further.
#[test]
fn kills_one_after_the_other_in_one_directory() {
    let place = small_batches();
    // The log's checkpoint comes after the last commit, and no run that follows commits batches again.
    let (last, others): (Vec<&str>, Vec<&str>) = PULL
        .iter()
        .partition(|point| **point == "checkpoint-done" || point.starts_with("compaction-"));
    for point in others.into_iter().chain(last).chain(TRAINING) {
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
    for round in 0..cases(12) {
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

/// Kills a run of `place` at every point after the pull, and brings it to its end: with the pipelines given, each of which has
/// a place where nothing disturbed it.
fn kill_after_the_pull(place: &Place, ends: &[(&str, &Place)]) {
    let stages = STAGE
        .into_iter()
        .flat_map(|point| (1..=3).map(move |count| (point, count)));
    let others = [&FOLDER[..], &OUTCOME, &TRAINING].concat().into_iter();
    for (point, count) in stages.chain(others.map(|point| (point, 1))) {
        let case = format!("{point}:{count}");
        let killed = place.copy();
        let output = killed
            .command("run pipeline.toml")
            .env("GRISTMILL_KILL_AT", &case)
            .output()
            .unwrap();
        let said = crate::support::stderr(&output);
        assert_eq!(output.status.signal(), Some(SIGKILL), "{case}: {said}");
        // Nothing vouches for what the stage was at.
        let stage = match point {
            "stage-recorded" => None,
            _ if STAGE.contains(&point) => Some(["fit", "transform", "train"][count - 1]),
            _ if FOLDER.contains(&point) => Some("transform"),
            _ => Some("train"),
        };
        let record: serde_json::Value = serde_json::from_slice(&killed.read("run/run.json")).unwrap();
        assert!(
            stage.is_none_or(|stage| record["stages"].get(stage).is_none()),
            "{case}"
        );
        for (pipeline, expected) in ends {
            let place = killed.copy();
            place.write("pipeline.toml", pipeline);
            let said = place.run();
            assert!(!said.contains("is done again"), "{case}: {said}");
            assert!(
                place.model("run") == expected.model("run"),
                "{case}: another model"
            );
            let (found, wanted) = (place.metrics("run"), expected.metrics("run"));
            for of in ["rows", "splits", "search", "best"] {
                assert_eq!(found[of], wanted[of], "{case}");
            }
            let names = |place: &Place| -> Vec<PathBuf> {
                let dir = place.path("");
                let files = crate::support::files(&dir).into_keys();
                let files = files.map(|path| path.strip_prefix(&dir).unwrap().to_owned());
                files.filter(|path| !path.starts_with("run/dataset")).collect()
            };
            assert_eq!(names(&place), names(expected), "{case}");
        }
    }
}

#[test]
fn a_first_run_that_is_killed_after_the_pull() {
    let place = small_batches();
    let pipeline = place.read("pipeline.toml");
    kill_after_the_pull(&place, &[(std::str::from_utf8(&pipeline).unwrap(), &UNDISTURBED)]);
}

/// What is there then is of both pipelines, and the next run may be of either.
#[test]
fn a_run_with_other_features_that_is_killed_over_a_finished_one() {
    let old = String::from_utf8(UNDISTURBED.read("pipeline.toml")).unwrap();
    // Other features, of other rows in the splits, and so another model.
    let new = old.replacen("bits = 8", "bits = 9", 1);
    let new = new.replacen("[label]", "[split]\nseed = 7\n\n[label]", 1);
    assert_ne!(new, old);
    let expected = Place::with(&table(ROWS), &new);
    expected.run();
    assert!(expected.model("run") != UNDISTURBED.model("run"));
    let place = UNDISTURBED.copy();
    place.write("pipeline.toml", &new);
    kill_after_the_pull(&place, &[(&new, &expected), (&old, &UNDISTURBED)]);
}

/// Runs of four readers on PostgreSQL, with one that nothing disturbed.
struct FourReaders {
    /// Holds the rows.
    _server: TempPostgres,
    pipeline: String,
    undisturbed: Place,
    expected: Totals,
    expected_files: BTreeMap<PathBuf, Vec<u8>>,
    /// How long that took.
    whole: Duration,
}

impl FourReaders {
    fn new(rows: u64, batch_rows: u64) -> Self {
        let server = TempPostgres::start();
        server.execute(&table(rows));
        let url = format!("url = \"{}\"", server.url());
        let batches = format!("rows = {batch_rows}\nconnections = 4");
        let pipeline = pipeline(&[
            ("url = \"sqlite:data.db\"", url.as_str()),
            ("rows = 25", batches.as_str()),
            (
                "reg_param = [0.01, 0.1]\nmax_iter = 5",
                "reg_param = 0.1\nmax_iter = 5",
            ),
            ("threads = 2", "threads = 2\ncheckpoint_seconds = 0"),
            (
                "[[feature]]",
                "[clean]\nfilter = \"id NOT BETWEEN 33 AND 40\"\n\n[[feature]]",
            ),
        ]);
        let undisturbed = Self::place(&pipeline);
        let started = std::time::Instant::now();
        undisturbed.run();
        Self {
            whole: started.elapsed(),
            expected: undisturbed.totals("run"),
            expected_files: batch_files(&undisturbed),
            _server: server,
            pipeline,
            undisturbed,
        }
    }

    /// An empty one.
    fn place(pipeline: &str) -> Place {
        let place = Place::new();
        place.write("pipeline.toml", pipeline);
        place
    }

    /// Brings the run to its end, which is that of the undisturbed one: the rows by their hash, the files and the model.
    fn assert_ends_the_same(&self, place: &Place, case: &str) {
        place.run();
        let compared = |totals: &Totals| {
            (
                totals.hash,
                totals.rows_read,
                totals.rows_kept,
                totals.batches_read,
            )
        };
        assert_eq!(compared(&place.totals("run")), compared(&self.expected), "{case}");
        assert!(batch_files(place) == self.expected_files, "{case}");
        assert!(place.model("run") == self.undisturbed.model("run"), "{case}");
    }
}

/// Kills runs of four readers, so many in all, at random times of the pull.
fn kill_four_readers(kills: u32) {
    let runs = FourReaders::new(600, 8);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut killed = 0;
    while killed < kills {
        let place = FourReaders::place(&runs.pipeline);
        // Several kills in one directory, then the run is brought to its end.
        for _ in 0..rng.random_range(1..=4) {
            let mut child = place
                .command("run pipeline.toml")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(runs.whole.mul_f64(rng.random_range(0.0..0.8)));
            child.kill().unwrap();
            killed += u32::from(child.wait().unwrap().signal() == Some(SIGKILL));
        }
        runs.assert_ends_the_same(&place, &format!("after {killed} kills"));
    }
}

#[test]
fn four_readers_killed_at_every_point() {
    let runs = FourReaders::new(ROWS, 8);
    for point in PULL.into_iter().chain(TRAINING) {
        for count in [1, 5] {
            let case = format!("{point}:{count}");
            let place = FourReaders::place(&runs.pipeline);
            let killed = place
                .command("run pipeline.toml")
                .env("GRISTMILL_KILL_AT", &case)
                .output()
                .unwrap();
            let once = count > 1 && PASSED_ONCE.contains(&point);
            let signal = (!once).then_some(SIGKILL);
            assert_eq!(
                killed.status.signal(),
                signal,
                "{case}: {}",
                crate::support::stderr(&killed)
            );
            runs.assert_ends_the_same(&place, &case);
        }
    }
}

/// The files of the dataset beside its log.
fn batch_files(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = place.path("run/dataset");
    let files = crate::support::files(&dir).into_iter();
    files
        .map(|(path, content)| (path.strip_prefix(&dir).unwrap().to_owned(), content))
        .filter(|(path, _)| !path.starts_with("_delta_log"))
        .collect()
}

#[test]
fn kills_of_four_readers() {
    kill_four_readers(cases(10));
}
