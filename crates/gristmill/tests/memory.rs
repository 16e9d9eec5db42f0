//! A whole run holds its budget where the system refuses it more.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Command;

use support::{Place, pipeline, stderr};

/// Runs under a limit of `$1` KiB for the memory that the process may write to: its heap, its stacks, its arenas.
///
/// `RLIMIT_AS` would count what the allocator and the linker only reserve or map to read, which is no resident memory.
const WITH_A_LIMIT: &str = r#"
ulimit -d "$1"
shift
exec "$@"
"#;

const BUDGET: u64 = 330_000_000;

/// So many rows that their features, decoded, do not fit beside a model.
fn rows(place: &Place, rows: u64) {
    place.sqlite(&format!(
        "CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, size REAL, country TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO artist SELECT i, hex(i * 2654435761 % 4294967296) || hex(i * 40503 % 65536), 'k' || i % 7, i % 100,
             'country ' || (i * 2654435761 % 4294967296 / 7 % 12) FROM n;"
    ));
}

#[test]
fn a_run_under_a_hard_limit_holds_its_budget() {
    let memory = format!("threads = 2\nmemory = {BUDGET}");
    let edits = [
        ("rows = 25", "rows = 20_000"),
        (
            "reg_param = [0.01, 0.1]\nmax_iter = 5",
            "reg_param = 0.01\nmax_iter = 2",
        ),
        ("bits = 8", "bits = 14"),
        ("threads = 2", memory.as_str()),
    ];
    let place = Place::new();
    rows(&place, 500_000);
    place.write("pipeline.toml", pipeline(&edits));
    let whole = place.command("run pipeline.toml -v");
    let mut limited = Command::new("sh");
    limited
        .current_dir(place.path("."))
        .args(["-c", WITH_A_LIMIT, "sh", &(BUDGET / 1024).to_string()])
        .arg(whole.get_program())
        .args(whole.get_args());
    let output = limited.output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("do not fit in memory and are streamed"), "{said}");
    let peak = place.metrics("run")["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak <= BUDGET, "{peak}");
    // With room for all of it the model is the same.
    let roomy = ("dir = \"run\"", "dir = \"roomy\"");
    let edits: Vec<_> = edits.into_iter().take(3).chain([roomy]).collect();
    place.write("roomy.toml", pipeline(&edits));
    let output = place.gristmill("run roomy.toml -v");
    assert_eq!(output.status.code(), Some(0));
    assert!(!stderr(&output).contains("are streamed"));
    assert!(place.model("run") == place.model("roomy"));
}
