//! A run that Ctrl-C stops keeps what is done, says so, and goes on when it is started again.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use support::{Place, pipeline, stderr, table};

/// Runs until `file` appears, then sends a signal.
fn stopped_when(place: &Place, file: &str, signal: Signal) -> Output {
    let mut child = place
        .command("run pipeline.toml -v")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !place.path(file).exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {file}");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    child.wait_with_output().unwrap()
}

fn assert_stopped(output: &Output) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopping; again to stop at once"), "{said}");
    assert!(said.contains("the same command goes on with it"), "{said}");
}

#[test]
fn a_training_goes_on_from_its_checkpoint() {
    // Without a checkpoint in all the time it takes: the signal brings about the one there is.
    let long = [
        (
            "reg_param = [0.01, 0.1]\nmax_iter = 5",
            "max_iter = 400\ntol = 1e-12",
        ),
        ("bits = 8", "bits = 12"),
    ];
    let undisturbed = Place::with(&table(1_500), &pipeline(&long));
    undisturbed.run();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Place::with(&table(1_500), &pipeline(&long));
        // The features are there: what follows is the training.
        let output = stopped_when(&place, "run/features", signal);
        assert_stopped(&output);
        assert!(!place.path("run/model").exists());
        let said = place.run();
        if place.path("run/train.checkpoint").exists() {
            panic!("it is left behind");
        }
        assert!(said.contains("skipped: finished before"), "{said}");
        assert!(place.model("run") == undisturbed.model("run"));
    }
}

#[test]
fn a_pull_goes_on_after_its_last_commit() {
    let small = [("rows = 25", "rows = 1")];
    let undisturbed = Place::with(&table(400), &pipeline(&small));
    undisturbed.run();
    let place = Place::with(&table(400), &pipeline(&small));
    let output = stopped_when(&place, "run/dataset/_delta_log", Signal::SIGINT);
    assert_stopped(&output);
    let totals = place.totals("run");
    assert!(totals.batches_read < 400, "{}", totals.batches_read);
    place.run();
    assert_eq!(place.totals("run").hash, undisturbed.totals("run").hash);
    assert!(place.model("run") == undisturbed.model("run"));
}
