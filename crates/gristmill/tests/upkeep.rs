//! `verify`, `vacuum` and `pull` as their user sees them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{Place, pipeline, stderr, table};

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Twelve batches, merged into one file.
fn place() -> Place {
    let place = Place::with(&table(90), &pipeline(&[("rows = 25", "rows = 8")]));
    let output = place.gristmill("pull pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!place.path("run/model").exists());
    place
}

#[test]
fn a_dataset_that_is_as_recorded() {
    let place = place();
    let output = place.gristmill("verify run/dataset");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "12 batches with 90 rows compared with the files: no difference\n"
    );
    let output = place.gristmill("verify run/dataset --pipeline pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "12 batches with 90 rows compared with the database: no difference\n"
    );
    // The run goes on from it, and so does the verification.
    place.run();
    assert_eq!(place.gristmill("verify run/dataset").status.code(), Some(0));
}

#[test]
fn batches_that_differ_from_the_database_are_named() {
    let place = place();
    place.sqlite(
        "UPDATE artist SET name = 'Other' WHERE id = 20; DELETE FROM artist WHERE id BETWEEN 41 AND 48;
         INSERT INTO artist VALUES (1000, 'Late', NULL, NULL, 'Japan')",
    );
    let output = place.gristmill("verify run/dataset --pipeline pipeline.toml");
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(stdout(&output), @r"
    Batch 2, after 16 up to 24
      then              8 rows  252e3e75f4d73e481d4f67670f183eb5
      now               8 rows  ebb6ed4f2883d9b707b127fe401a35a6
    Batch 5, after 40 up to 48
      then              8 rows  af5431214ee1fa997a2ec0da6d916ad6
      now               0 rows  00000000000000000000000000000000
    The database has rows of no batch: after the last key, or without a key.
    12 batches with 90 rows compared with the database: 2 differ
    ");
    assert!(
        stderr(&output).contains("run/dataset is not what its log and the database say"),
        "{}",
        stderr(&output)
    );
    // The files are still what was recorded of them.
    assert_eq!(place.gristmill("verify run/dataset").status.code(), Some(0));
}

#[test]
fn another_pipeline_or_no_dataset_is_bad_input() {
    let place = place();
    place.write(
        "other.toml",
        pipeline(&[("SELECT id, name, kind", "SELECT id, upper(name) AS name, kind")]),
    );
    for (arguments, says) in [
        (
            "verify run/dataset --pipeline other.toml",
            "was made by a different pipeline: source.query",
        ),
        ("verify run", "run is not a dataset"),
        ("vacuum nowhere", "nowhere is not a dataset"),
        (
            "verify run/dataset --pipeline nowhere.toml",
            "cannot read the pipeline file",
        ),
    ] {
        let output = place.gristmill(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(output.stdout.is_empty());
        let text = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn vacuum_prints_what_it_deletes() {
    let place = place();
    let output = place.gristmill("vacuum run/dataset");
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""));
    assert!(stderr(&output).starts_with("0 files, "), "{}", stderr(&output));
    let would = place.gristmill("vacuum run/dataset --retain-hours 0 --dry-run");
    assert!(stderr(&would).contains("would be deleted"));
    let first = place.path("run/dataset/batch-0000000000.parquet");
    assert!(first.exists());
    let output = place.gristmill("vacuum run/dataset --retain-hours 0");
    assert_eq!(stdout(&output), stdout(&would));
    assert_eq!(stdout(&output).lines().count(), 12);
    assert_eq!(
        stdout(&output).lines().next(),
        Some("run/dataset/batch-0000000000.parquet")
    );
    assert!(!first.exists());
    assert_eq!(place.ids("run"), (1..=90).collect::<Vec<_>>());
    assert_eq!(place.gristmill("verify run/dataset").status.code(), Some(0));
}
