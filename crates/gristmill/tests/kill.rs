//! A run that is killed anywhere and run again leaves what an undisturbed one does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use gristmill_data::failpoint::FAILPOINTS;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use support::{Place, pipeline, table};

const ROWS: u64 = 90;
const SIGKILL: i32 = 9;

/// Twelve commits, with a batch that cleaning empties among them.
fn small_batches() -> Place {
    let edits = [
        ("rows = 25", "rows = 8"),
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
        // These two are passed once a run.
        if count > 1 && ["checkpoint-done", "final-commit-started"].contains(&point) {
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
    // The checkpoint comes after the last commit, and no run that follows commits again.
    let (last, others): (Vec<&str>, Vec<&str>) =
        FAILPOINTS.iter().partition(|point| **point == "checkpoint-done");
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
