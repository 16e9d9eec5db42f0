//! The whole way from files: no query is needed, `check` says what is in them, and a problem is shown at its line.

use std::fmt::Write;

use crate::support::{Place, pipeline, stderr, stdout, told};

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

/// Each is said by `check` and by the run, once.
#[test]
fn rows_that_look_swallowed_and_columns_that_few_values_make_text_are_told() {
    let place = place();
    place.write(
        "artists/last.csv",
        "id,name,kind,size,country\n61,\"ka,1,2.5,Japan\n62,to,0,3.5,Japan\n63,mi\",1,n/a,Japan\n",
    );
    // A number is wanted, and one value makes the column text.
    for command in ["check pipeline.toml", "run pipeline.toml"] {
        let output = place.gristmill(command);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        insta::assert_snapshot!("odd_values", stderr(&output));
    }
    place.write(
        "artists/last.csv",
        "id,name,kind,size,country\n61,\"ka,1,2.5,Japan\n62,to,0,3.5,Japan\n63,mi\",1,1.5,Japan\n",
    );
    place.run();
    place.write(
        "rows.csv",
        "id,name,kind,size\n1,\"ka,1,2.5\n2,to,0,3.5\n3,mi\",1,1.5\n4,\"a\nb\",1,2\n",
    );
    let output = place.gristmill("predict run/model --input rows.csv --output out.csv");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!("predicted", told(&output));
}

#[test]
fn a_file_that_cannot_be_read_is_shown_at_the_url() {
    let place = place();
    place.write("artists/last.csv", "id,name,kind,size,country\n61,short\n");
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
}
