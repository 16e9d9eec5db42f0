//! The command line as its user sees it: help, exit codes, what goes to stdout and what to stderr.

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

fn gristmill(arguments: &[&str]) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("gristmill"));
    command.env_remove("RUST_LOG").args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn write(dir: &TempDir, text: &str) -> String {
    let path = dir.path().join("pipeline.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn help_goes_to_stdout_with_examples() {
    for command in [
        None,
        Some("run"),
        Some("check"),
        Some("predict"),
        Some("demo"),
        Some("inspect"),
        Some("pull"),
        Some("verify"),
        Some("vacuum"),
    ] {
        let output = gristmill(&command.into_iter().chain(["--help"]).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stderr.is_empty());
        let help = stdout(&output);
        assert!(help.contains("Example"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}

#[test]
fn the_help_of_the_whole() {
    insta::assert_snapshot!("help", stdout(&gristmill(&["--help"])));
}

#[test]
fn the_version_goes_to_stdout() {
    let output = gristmill(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        stdout(&output),
        format!("gristmill {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["run"],
        &["run", "a.toml", "-v", "-q"],
        &[
            "predict", "model", "--input", "a.csv", "--output", "b.csv", "--top", "0",
        ],
        &["demo", "--rows", "many"],
    ] {
        let output = gristmill(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_pipeline_file_that_is_not_there_is_exit_code_2() {
    let output = gristmill(&["run", "nowhere/pipeline.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!(stderr(&output), @r"
    error: cannot read the pipeline file: No such file or directory (os error 2)
    --> nowhere/pipeline.toml
    ");
}

#[test]
fn a_data_file_is_no_pipeline_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("artists.csv");
    for content in [vec![b'x'; 2 << 20], vec![0xff, 0xfe, 0x00]] {
        std::fs::write(&path, content).unwrap();
        let output = gristmill(&["check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("pipeline file"), "{}", stderr(&output));
    }
}

#[test]
fn every_problem_of_a_pipeline_file_is_shown_before_any_work() {
    let dir = TempDir::new().unwrap();
    let file = write(
        &dir,
        "[source]\nurl = \"sqlite:nowhere.db\"\nkye = \"id\"\n[run]\nthreads = 0\n",
    );
    for command in ["run", "check"] {
        let output = gristmill(&[command, &file, "-q"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let text = stderr(&output).replace(&dir.path().display().to_string(), "DIR");
        assert!(!text.contains('\x1b'), "no colours without a terminal");
        if command == "run" {
            insta::assert_snapshot!("problems", text);
        }
    }
    assert!(!Path::new("runs").exists());
}

#[test]
fn problems_as_json_are_one_object_a_line() {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "[source]\nurl = \"sqlite:nowhere.db\"\nkye = \"id\"\n");
    let output = gristmill(&["run", &file, "--log-format", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let lines = stderr(&output);
    assert!(lines.lines().count() > 2);
    for line in lines.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["level"], "ERROR");
        assert!(object["message"].is_string() && object["timestamp"].is_string());
        assert_eq!(object["file"], file.as_str());
    }
}

#[test]
fn colours_come_when_asked_for() {
    let output = gristmill(&["run", "nowhere.toml", "--color", "always"]);
    assert!(stderr(&output).contains("\x1b["));
}
