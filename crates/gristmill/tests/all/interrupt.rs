//! A run that Ctrl-C stops keeps what is done, says so, and goes on when it is started again.

#![cfg(unix)]
use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Place, pipeline, stderr, table};

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
    assert!(said.contains("run the same command to continue"), "{said}");
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
    let output = stopped_when(
        &place,
        "run/dataset/_delta_log/00000000000000000000.json",
        Signal::SIGINT,
    );
    assert_stopped(&output);
    let totals = place.totals("run");
    assert!(totals.batches_read < 400, "{}", totals.batches_read);
    place.run();
    assert_eq!(place.totals("run").hash, undisturbed.totals("run").hash);
    assert!(place.model("run") == undisturbed.model("run"));
}

#[test]
fn a_run_that_waits_for_a_silent_server_stops_at_once() {
    for scheme in ["postgres", "mysql"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("{scheme}://me@127.0.0.1:{port}/db");
        let place = Place::with("", &pipeline(&[("sqlite:data.db", &url)]));
        for command in ["run", "pull"] {
            let mut running = place.command(&format!("{command} pipeline.toml"));
            let child = running
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let silent = listener.accept().unwrap();
            let started = Instant::now();
            kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
            assert_stopped(&child.wait_with_output().unwrap());
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "{:?}",
                started.elapsed()
            );
            drop(silent);
        }
    }
}
