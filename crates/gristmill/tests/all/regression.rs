//! A linear regression the whole way: from a query to its scores and predictions, and what is refused.

use std::fs::File;
use std::path::PathBuf;

use arrow::array::{Array, AsArray};
use arrow::csv;
use arrow::datatypes::{DataType, Float64Type};
use gristmill_run::settings::diagnose::WIDTH;
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{Place, failure, files, parquet, stderr, stdout};

const PIPELINE: &str = r#"[source]
url = "sqlite:data.db"
query = "SELECT id, city, area, rooms, built, balcony, price, weight FROM flat"
key = "id"

[batches]
rows = 100

[[feature]]
column = "city"
encode = "one_hot"

[[feature]]
column = "area"
encode = "numeric"

[[feature]]
column = "rooms"
encode = "numeric"
scale = "none"

[label]
column = "price"

[model]
kind = "linear_regression"
reg_param = [0.01, 0.1]
elastic_net_param = [0.0, 0.5]

[run]
dir = "run"
threads = 2
"#;

/// Flats whose price follows from city, area and rooms but for some noise; of every 20th it is not known.
fn flats(rows: u64) -> String {
    let flat = |id: u64| {
        let mix = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let (city, area, rooms) = (mix % 3, 20 + mix / 3 % 100, 1 + mix / 300 % 5);
        let noise = mix / 1500 % 64;
        let price = if id.is_multiple_of(20) {
            "NULL".to_owned()
        } else {
            format!("{}.5", 500 * city + 12 * area + 80 * rooms + 3 * noise)
        };
        let city = ["Bonn", "Cork", "Lyon"][city as usize];
        format!(
            "({id}, '{city}', {area}, {rooms}, '2001-02-0{rooms}', {}, {price}, {})",
            mix % 2,
            1 + mix % 4
        )
    };
    let values: Vec<String> = (1..=rows).map(flat).collect();
    format!(
        "CREATE TABLE flat (id BIGINT PRIMARY KEY, city TEXT, area INT, rooms INT, built TEXT, balcony BOOLEAN,
         price DOUBLE, weight INT);
         INSERT INTO flat VALUES {};",
        values.join(", ")
    )
}

/// [`PIPELINE`] with each left side replaced by its right side.
fn pipeline(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(PIPELINE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` is not in the pipeline");
        text.replacen(from, to, 1)
    })
}

fn place(edits: &[(&str, &str)]) -> Place {
    Place::with(&flats(400), &pipeline(edits))
}

/// What the run of an edited pipeline says that must fail.
fn refused(edits: &[(&str, &str)]) -> String {
    failure(&place(edits).gristmill("run pipeline.toml"), 2)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn data_files(place: &Place, folder: &str) -> Vec<PathBuf> {
    let paths = files(&place.path(folder)).into_keys();
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
        .collect()
}

#[test]
fn from_rows_to_scores_and_predictions() {
    let place = place(&[]);
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).lines().all(|line| line.chars().count() <= WIDTH));
    assert!(stderr(&output).contains("test rmse"), "{}", stderr(&output));
    let metrics = place.metrics("run");
    assert_eq!((&metrics["version"], &metrics["classes"]), (&1.into(), &0.into()));
    assert_eq!(metrics["rows"]["dropped"]["null"], 20);
    assert_eq!(metrics["rows"]["kept"], 380);
    let (splits, baseline) = (&metrics["splits"], &metrics["baseline"]);
    assert_eq!(baseline.as_object().unwrap().len(), 4, "a mean and three splits");
    for split in ["train", "validation", "test"] {
        let keys: Vec<&String> = splits[split].as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 4);
        let (model, mean) = (&splits[split], &baseline[split]);
        assert_eq!(model["rows"], mean["rows"]);
        assert!(number(&model["rmse"]) < number(&mean["rmse"]) / 5.0, "{metrics}");
        assert!(number(&model["mae"]) <= number(&model["rmse"]));
        assert!(number(&model["r2"]) > 0.95 && number(&mean["r2"]) < 0.01);
    }
    assert!(
        number(&baseline["train"]["r2"]).abs() < 1e-12,
        "the mean of just these rows"
    );
    let search = metrics["search"].as_array().unwrap();
    assert_eq!(search.len(), 4);
    let best = search
        .iter()
        .map(|p| number(&p["score"]))
        .fold(f64::INFINITY, f64::min);
    assert_eq!(number(&metrics["best"]["score"]), best, "the smallest rmse");

    let features: Vec<_> = data_files(&place, "run/features")
        .iter()
        .flat_map(|p| parquet(p))
        .collect();
    assert!(features.iter().all(|batch| {
        let label = &batch["label"];
        label.data_type() == &DataType::Float64 && label.null_count() == 0
    }));

    // The same rows, predicted: their errors are those that the run scored.
    let mut rows = csv::Writer::new(File::create(place.path("rows.csv")).unwrap());
    for path in data_files(&place, "run/dataset") {
        parquet(&path).iter().for_each(|batch| rows.write(batch).unwrap());
    }
    drop(rows);
    let output = place.gristmill("predict run/model --input rows.csv --output out.parquet");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (mut squares, mut scored) = (0.0, 0);
    for batch in parquet(&place.path("out.parquet")) {
        assert!(batch.column_by_name("probability").is_none());
        let predictions = batch["prediction"].as_primitive::<Float64Type>();
        let prices = batch["price"].as_string::<i32>();
        for (prediction, price) in predictions.values().iter().zip(prices) {
            if let Some(price) = price {
                squares += (prediction - price.parse::<f64>().unwrap()).powi(2);
                scored += 1;
            }
        }
    }
    let expected: f64 = ["train", "validation", "test"]
        .map(|split| number(&splits[split]["rows"]) * number(&splits[split]["rmse"]).powi(2))
        .iter()
        .sum();
    assert_eq!(scored, 380);
    assert!(
        (squares - expected).abs() < 1e-9 * expected,
        "{squares} {expected}"
    );

    let summary = String::from_utf8(place.read("run/summary.txt")).unwrap();
    let (summary, _) = summary.split_once("Seconds").unwrap();
    assert_snapshot!("regression_summary", summary);
    let inspected = stdout(&place.gristmill("inspect run/model"));
    assert!(inspected.contains("price: a number, mean"), "{inspected}");
    assert!(
        inspected.contains("linear_regression, 6 features\n"),
        "{inspected}"
    );
    let checked = place.gristmill("check pipeline.toml");
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
}

#[test]
fn the_size_of_batches_and_the_threads_change_nothing() {
    let weighted = ("column = \"price\"", "column = \"price\"\nweight = \"weight\"");
    let first = place(&[weighted]);
    first.run();
    let expected = first.model("run");
    for (from, to) in [
        ("rows = 100", "rows = 1"),
        ("rows = 100", "rows = 7"),
        ("rows = 100", "rows = 1_000"),
        ("threads = 2", "threads = 1"),
        ("threads = 2", "threads = 7"),
    ] {
        let other = place(&[weighted, (from, to)]);
        other.run();
        assert!(other.model("run") == expected, "{to}");
    }
    let plain = place(&[]);
    plain.run();
    assert!(plain.model("run") != expected, "weights count");
    let again = first.gristmill("run pipeline.toml");
    assert!(stderr(&again).contains("train skipped"), "{}", stderr(&again));
}

#[test]
fn the_features_of_a_classifier_are_not_those_of_a_regression() {
    let label = [
        ("column = \"price\"", "column = \"rooms\""),
        ("column = \"rooms\"\nencode", "column = \"price\"\nencode"),
    ];
    let classifier = (
        "kind = \"linear_regression\"\nreg_param = [0.01, 0.1]\nelastic_net_param = [0.0, 0.5]",
        "kind = \"logistic_regression\"\nreg_param = 0.1",
    );
    let edits = [label[1], label[0]];
    let place = place(&[&edits[..], &[classifier]].concat());
    place.run();
    place.write("pipeline.toml", pipeline(&edits));
    place.run();
    assert!(number(&place.metrics("run")["splits"]["test"]["rmse"]) > 0.0);
}

#[test]
fn labels_that_are_no_quantity() {
    let label = |column| refused(&[("column = \"price\"", column)]);
    assert_snapshot!("a_label_of_text", label("column = \"built\""));
    assert_snapshot!("a_label_that_is_true_or_false", label("column = \"balcony\""));
}

#[test]
fn labels_that_cannot_be_learnt() {
    let run = |sql: &str, edits: &[(&str, &str)]| {
        let place = Place::with(&format!("{} {sql}", flats(400)), &pipeline(edits));
        failure(&place.gristmill("run pipeline.toml"), 2)
    };
    assert_snapshot!("a_number_all_null", run("UPDATE flat SET price = NULL;", &[]));
    let bare = ("reg_param", "fit_intercept = false\nreg_param");
    assert_snapshot!(
        "a_constant_number_without_intercept",
        run("UPDATE flat SET price = 7;", &[bare])
    );
    assert_snapshot!(
        "an_infinite_number",
        run("UPDATE flat SET price = 9e999 WHERE id = 3;", &[])
    );
}

/// They are not solved from the products of all pairs, but by scans.
#[test]
fn a_category_of_thousands_of_levels_is_learnt_from() {
    let sql = format!(
        "{} WITH RECURSIVE more(id) AS (SELECT 401 UNION ALL SELECT id + 1 FROM more WHERE id < 7000)
         INSERT INTO flat SELECT id, 'city ' || id, 1, 1, '', 0, id, 1 FROM more;",
        flats(400)
    );
    let place = Place::with(&sql, &pipeline(&[("rows = 100", "rows = 10_000")]));
    place.run();
    let metrics = place.metrics("run");
    assert!(metrics["features"].as_u64() > Some(4096), "{metrics}");
    let rmse = |of: &serde_json::Value| of["test"]["rmse"].as_f64().unwrap();
    let (found, always_the_mean) = (rmse(&metrics["splits"]), rmse(&metrics["baseline"]));
    assert!(found < always_the_mean, "{found}, {always_the_mean}");
}

#[test]
fn a_regression_predicts_one_number() {
    let place = place(&[]);
    place.run();
    place.write("rows.csv", "id,city,area,rooms\n1,Bonn,30,2\n");
    let said = failure(
        &place.gristmill("predict run/model --input rows.csv --output out.csv --top 2"),
        2,
    );
    assert_snapshot!("more_than_one_number", said);
    let mut model = place.model("run");
    *model.last_mut().unwrap() ^= 1;
    place.write("bad.safetensors", &model);
    let said = failure(
        &place.gristmill("predict bad.safetensors --input rows.csv --output out.csv"),
        2,
    );
    assert!(said.contains("checksum"), "{said}");
    assert!(!place.path("out.csv").exists());
}
