//! Splits, features and classes that come out empty: what the user reads, and what the metrics hold.

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{Place, failure, pipeline, stderr, table};

/// Rows of the table.
const ROWS: u64 = 60;

/// A place with a table that `sql` changed and an edited pipeline.
fn place(sql: &str, edits: &[(&str, &str)]) -> Place {
    Place::with(&format!("{} {sql}", table(ROWS)), &pipeline(edits))
}

/// The warnings in what a run said, with the lines that go on from them.
fn warnings(said: &str) -> String {
    let mut warning = false;
    let lines = said.lines().filter(|line| {
        let goes_on = line.starts_with("  ") && !line.starts_with("   ");
        warning = line.starts_with("warning") || warning && goes_on;
        warning
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_split_without_rows_has_no_scores() {
    let shares = "[split]\ntrain = 0.998\nvalidation = 0.001\ntest = 0.001\n\n[run]";
    let number = (
        "[[feature]]\ncolumn = \"size\"\nencode = \"numeric\"\n\n[label]\ncolumn = \"country\"\n\n[model]\nkind = \"logistic_",
        "[label]\ncolumn = \"size\"\n\n[model]\nkind = \"linear_",
    );
    for (name, edits) in [
        ("classes", &[("[run]", shares)][..]),
        ("numbers", &[("[run]", shares), number][..]),
    ] {
        let place = place("", edits);
        let said = place.run();
        let metrics = place.metrics("run");
        for split in ["validation", "test"] {
            for scores in [&metrics["splits"][split], &metrics["baseline"][split]] {
                for (score, value) in scores.as_object().unwrap() {
                    let expected = if ["rows", "unseen_class"].contains(&score.as_str()) {
                        Value::from(0)
                    } else {
                        Value::Null
                    };
                    assert_eq!(*value, expected, "{split} {score}");
                }
            }
        }
        // Rows without the number to learn are in no split.
        assert_eq!(metrics["splits"]["train"]["rows"], metrics["rows"]["kept"]);
        let summary = String::from_utf8(place.read("run/summary.txt")).unwrap();
        let splits = summary.lines().skip_while(|line| !line.starts_with("Split"));
        let splits = splits.take(4).collect::<Vec<_>>().join("\n");
        let result = said.lines().find(|line| line.contains("evaluate ")).unwrap();
        let (untimed, _) = result.rsplit_once(", ").unwrap();
        assert_snapshot!(
            format!("a_split_without_rows_{name}"),
            format!("{}\n{}\n\n{splits}", warnings(&said), untimed)
        );
        // A second run reads these metrics.
        assert!(place.run().contains("finished before"));
    }
}

#[test]
fn a_split_that_is_to_be_empty_is_no_surprise() {
    let place = place(
        "",
        &[(
            "[run]",
            "[split]\ntrain = 1.0\nvalidation = 0.0\ntest = 0.0\n\n[run]",
        )],
    );
    assert!(!warnings(&place.run()).contains("split"));
    assert_eq!(place.metrics("run")["splits"]["test"]["log_loss"], Value::Null);
}

#[test]
fn features_that_tell_nothing_are_named() {
    let place = place(
        "UPDATE artist SET size = NULL;",
        &[(
            "column = \"kind\"\nencode = \"one_hot\"",
            "column = \"kind\"\nencode = \"one_hot\"\nmin_count = 1000",
        )],
    );
    assert_snapshot!(warnings(&place.run()));
}

/// Ten rows have a class each that no other row has: what of them is in validation or test, no prediction can be right about.
#[test]
fn rows_of_a_class_that_training_never_saw_are_errors_and_only_min_rows_drops_them() {
    let own = "UPDATE artist SET country = 'own' || id WHERE id <= 10;";
    let split = "[split]\ntrain = 0.4\nvalidation = 0.3\ntest = 0.3\n\n[run]";
    let lone = place(own, &[("[run]", split)]);
    lone.run();
    let metrics = lone.metrics("run");
    assert_eq!(metrics["rows"]["dropped"]["rare_label"], 0);
    let splits = &metrics["splits"];
    let number = |split: &str, key: &str| splits[split][key].as_u64().unwrap();
    let all: u64 = ["train", "validation", "test"]
        .map(|split| number(split, "rows"))
        .iter()
        .sum();
    assert_eq!(metrics["rows"]["kept"], all);
    assert_eq!(number("train", "unseen_class"), 0);
    let summary = String::from_utf8(lone.read("run/summary.txt")).unwrap();
    for split in ["validation", "test"] {
        let (rows, unseen) = (number(split, "rows"), number(split, "unseen_class"));
        assert!((1..10).contains(&unseen), "{split}: {unseen}");
        let most = (rows - unseen) as f64 / rows as f64;
        let scores = |score: &str| splits[split][score].as_f64().unwrap();
        assert!(scores("accuracy") <= most, "{splits}");
        assert!(
            scores("log_loss") >= 36.04 * unseen as f64 / rows as f64,
            "{splits}"
        );
        assert!(metrics["baseline"][split]["accuracy"].as_f64().unwrap() <= most);
        let told = format!(
            "{unseen} of the {split} rows {} of a class",
            if unseen == 1 { "is" } else { "are" }
        );
        assert!(summary.contains(&told), "{summary}");
    }
    assert!(
        summary.contains("In the log loss a probability counts as 2.2e-16 at least."),
        "{summary}"
    );
    let widest = summary.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{summary}");

    // The temperature is that of the rows whose class has a probability.
    let kind = "kind = \"logistic_regression\"";
    let calibrated = format!("{kind}\ncalibrate = \"temperature\"");
    let calibrated = place(own, &[("[run]", split), (kind, &calibrated)]);
    calibrated.run();
    let found = &calibrated.metrics("run")["calibration"]["rows"];
    let (rows, unseen) = (number("validation", "rows"), number("validation", "unseen_class"));
    assert_eq!(*found, rows - unseen);

    let edits = [
        ("[run]", split),
        ("column = \"country\"", "column = \"country\"\nmin_rows = 2"),
    ];
    let dropped = place(own, &edits);
    dropped.run();
    let metrics = dropped.metrics("run");
    assert_eq!(metrics["rows"]["dropped"]["rare_label"], 10);
    assert_eq!(metrics["splits"]["test"]["unseen_class"], 0);
}

#[test]
fn rows_that_are_all_left_out_are_counted_by_reason() {
    let edit = (
        "column = \"kind\"\nencode = \"one_hot\"",
        "column = \"kind\"\nencode = \"one_hot\"\nmin_count = 1000\nunseen = \"skip\"",
    );
    let place = place("", &[edit]);
    assert_snapshot!(failure(&place.gristmill("run pipeline.toml"), 2));
}

#[test]
fn rare_classes_are_not_added_to_a_class_named_other() {
    let place = place(
        "UPDATE artist SET country = 'other' WHERE country = 'Japan';",
        &[(
            "column = \"country\"",
            "column = \"country\"\nrare = \"other\"\nmin_rows = 2",
        )],
    );
    assert_snapshot!(failure(&place.gristmill("run pipeline.toml"), 2));
}

#[test]
fn a_constant_beyond_what_a_column_may_hold_is_refused() {
    for constant in ["1e308", "-2e150", "inf"] {
        let edit = format!("encode = \"numeric\"\nimpute = {constant}");
        let place = place("", &[("encode = \"numeric\"", &edit)]);
        let said = failure(&place.gristmill("check pipeline.toml"), 2);
        assert!(said.contains("from -1e150 to 1e150"), "{said}");
    }
}

#[test]
fn a_budget_below_the_process_is_refused_by_check_as_by_run() {
    let place = place("", &[("threads = 2", "threads = 2\nmemory = \"64MB\"")]);
    let check = failure(&place.gristmill("check pipeline.toml"), 2);
    let run = failure(&place.gristmill("run pipeline.toml"), 2);
    assert_eq!(check, run);
    assert!(check.contains("64 MB"), "{check}");
}

#[test]
fn columns_of_the_prediction_can_have_other_names() {
    let place = place(
        "ALTER TABLE artist RENAME COLUMN size TO prediction;",
        &[
            ("size", "prediction"),
            ("column = \"size\"", "column = \"prediction\""),
        ],
    );
    place.run();
    place.write("new.csv", "name,kind,prediction\nschugau,group,12.5\n");
    let clash = place.gristmill("predict run/model --input new.csv --output labels.csv");
    assert_snapshot!(failure(&clash, 2));
    let output = place.gristmill("predict run/model --input new.csv --output labels.csv --prefix new_");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let labels = String::from_utf8(place.read("labels.csv")).unwrap();
    assert!(
        labels.starts_with("name,kind,prediction,new_prediction,new_probability\nschugau,group,12.5,"),
        "{labels}"
    );
}

#[test]
fn an_error_points_at_the_setting_that_reads_the_column() {
    // The column is a feature too, and weighs the rows: a category may be text, a weight not.
    let edits = [
        ("column = \"country\"", "column = \"country\"\nweight = \"kind\""),
        ("[run]", "[split]\nby = \"id\"\n\n[run]"),
    ];
    let said = failure(&place("", &edits).gristmill("run pipeline.toml"), 2);
    assert!(said.contains("weight = \"kind\""), "{said}");
}
