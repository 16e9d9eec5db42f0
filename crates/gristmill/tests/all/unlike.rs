//! Rows that are unlike those of the training are told of, and refused where the prediction is strict.

use gristmill_learn::model::bundle::Bundle;
use gristmill_learn::registry::built_in;
use insta::assert_snapshot;

use crate::support::{Place, artist, failure, pipeline, stderr, table, told};

const PREDICT: &str = "predict run/model --input rows.csv --output out.csv --overwrite";

/// A place with a finished run.
fn trained() -> Place {
    let place = Place::with(&table(300), &pipeline(&[]));
    place.run();
    place
}

/// Rows `id, name, kind, size` like those of the training, with each left side replaced by its right side.
fn rows(edits: &[(&str, &str)]) -> String {
    let rows = (1..=300).map(|id| {
        let row = artist(id);
        let row = row.trim_matches(['(', ')']).replace("NULL", "").replace('\'', "");
        let row = row.replace(", ", ",");
        row.rsplit_once(',').unwrap().0.to_owned()
    });
    let text = format!("id,name,kind,size\n{}\n", rows.collect::<Vec<_>>().join("\n"));
    edits.iter().fold(text, |text, (from, to)| text.replace(from, to))
}

#[test]
fn a_model_says_what_its_training_rows_have() {
    let place = trained();
    let bundle = Bundle::read(&place.path("run/model/model.safetensors"), &built_in()).unwrap();
    let profile = |name: &str| {
        let column = bundle.input.iter().find(|column| column.name == name).unwrap();
        column.profile.clone().unwrap()
    };
    let rows = place.metrics("run")["splits"]["train"]["rows"].as_u64().unwrap();
    let (kind, size, name) = (profile("kind"), profile("size"), profile("name"));
    assert_eq!([kind.rows, size.rows, name.rows], [rows; 3]);
    let frequent: Vec<&str> = kind.frequent.iter().map(|(value, _)| value.as_str()).collect();
    assert_eq!(frequent, ["person", "group"]);
    let shares: f64 = kind.frequent.iter().map(|(_, share)| share).sum();
    assert!((shares + kind.nulls as f64 / rows as f64 - 1.0).abs() < 1e-12);
    // Every fifth is null, which is no category.
    assert!((0.05..0.4).contains(&kind.unseen["one_hot"]), "{kind:?}");
    assert_eq!(name.unseen["ngrams"], 0.0);
    let numbers = size.numbers.unwrap();
    assert!(size.nulls > 0 && numbers.min < numbers.mean && numbers.mean < numbers.max);
    let quantiles: Vec<f64> = numbers.quantiles.iter().map(|(_, value)| *value).collect();
    assert!(quantiles.is_sorted() && quantiles[0] >= numbers.min && quantiles[6] <= numbers.max);
}

#[test]
fn rows_like_those_of_the_training_are_predicted_without_a_warning() {
    let place = trained();
    place.write("rows.csv", rows(&[]));
    let output = place.gristmill(&format!("{PREDICT} --strict"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
}

#[test]
fn rows_with_nothing_that_training_had_are_told() {
    let place = trained();
    for (name, edits) in [
        (
            "all_rows",
            &[(",group,", ",Group,"), (",person,", ",Person,")][..],
        ),
        ("many_rows", &[(",group,", ",Group,")]),
        ("out_of_range", &[(".25", "000.25")]),
    ] {
        place.write("rows.csv", rows(edits));
        let output = place.gristmill(PREDICT);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_snapshot!(name, told(&output));
    }
    place.write(
        "rows.csv",
        rows(&[(",group,", ",Group,"), (",person,", ",Person,")]),
    );
    std::fs::remove_file(place.path("out.csv")).unwrap();
    let output = place.gristmill(&format!("{PREDICT} --strict"));
    assert_snapshot!("strict", failure(&output, 1));
    let left = std::fs::read_dir(place.path("")).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("out")
    });
    assert_eq!(left.count(), 0);
}
