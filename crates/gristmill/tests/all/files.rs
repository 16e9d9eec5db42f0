//! The whole way from files: no query is needed, `check` says what is in them, and a problem is shown at its line.

use std::fmt::Write;

use crate::support::{Place, pipeline, stderr, stdout};

/// A folder of two CSV files in no order.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("artists")).unwrap();
    for (name, odd) in [("odd", 1), ("even", 0)] {
        let mut text = "id,name,kind,size,country\n".to_owned();
        for id in (1..=60).rev().filter(|id| id % 2 == odd) {
            let country = ["Japan", "Germany", "France"][id % 3];
            writeln!(
                text,
                "{id},{country}{},{},{}.5,{country}",
                id % 7,
                id % 2,
                id % 50
            )
            .unwrap();
        }
        place.write(&format!("artists/{name}.csv"), text);
    }
    let query = "query = \"SELECT id, name, kind, size, country FROM artist\"\n";
    let edits = [("sqlite:data.db", "csv:artists"), (query, "")];
    place.write("pipeline.toml", pipeline(&edits));
    place
}

#[test]
fn csv_files_are_checked_and_run_without_a_query() {
    let place = place();
    let output = place.gristmill("check pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!(crate::support::untimed(&stdout(&output)));
    place.run();
    assert!(place.ids("run").into_iter().eq(1..=60));
    let output = place.gristmill("verify run/dataset --pipeline pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_file_that_cannot_be_read_is_shown_at_the_url() {
    let place = place();
    place.write("artists/last.csv", "id,name,kind,size,country\n61,short\n");
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
}
