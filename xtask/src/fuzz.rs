//! `cargo xtask fuzz`: a fuzz target, built with the installed compiler and run for so long.
//!
//! As `cargo fuzz run --sanitizer none`, which wants a nightly compiler for what the stable one can do: the code is ours
//! and has no `unsafe`, so that a panic, a hang or too much memory is what there is to find.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::python::{cargo, done};

pub(crate) const USAGE: &str =
    "cargo xtask fuzz <bundle|pipeline|parquet|copy> [seconds]    look for inputs that break a reader";

/// What libFuzzer needs to see which code an input reaches.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Each target, and the feature that builds what it needs.
const TARGETS: [(&str, &str); 4] = [
    ("bundle", "learn"),
    ("pipeline", "run"),
    ("parquet", "run"),
    ("copy", "run"),
];

/// Builds and runs a target; findings are left in `fuzz/artifacts`.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<()> {
    let (name, seconds) = match arguments {
        [name] => (name, 60),
        [name, seconds] => (name, seconds.parse().context("seconds are a whole number")?),
        _ => bail!("usage: {USAGE}"),
    };
    let Some((target, feature)) = TARGETS.iter().find(|(target, _)| target == name) else {
        bail!("there is no fuzz target `{name}`; usage: {USAGE}");
    };
    let fuzz = root.join("fuzz").canonicalize()?;
    // What is fuzzed is what is shipped, dependencies included.
    fs::copy(root.join("Cargo.lock"), fuzz.join("Cargo.lock"))?;
    let triple = Command::new("rustc").args(["--print", "host-tuple"]).output()?;
    let triple = String::from_utf8(triple.stdout)?.trim().to_owned();
    let mut build = cargo();
    build.args(["build", "--release", "--bin", target, "--features", feature]);
    // With a target of its own, build scripts are built without the flags.
    build.args(["--target", &triple]);
    build.current_dir(&fuzz).env("RUSTFLAGS", FLAGS);
    done(&mut build)?;
    let output = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| fuzz.join("target"), Into::into);
    let binary = output.join(triple).join("release").join(target);
    let artifacts = fuzz.join("artifacts").join(target);
    fs::create_dir_all(&artifacts)?;
    let mut fuzzer = Command::new(binary);
    fuzzer
        .arg(fuzz.join("corpus").join(target))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=65536",
            "-print_final_stats=1",
        ]);
    done(&mut fuzzer)
}
