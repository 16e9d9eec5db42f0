//! The whole way as a user goes it: demo, inspect, predict, check, and where each command says what.

use std::fs::File;
use std::process::{Output, Stdio};

use arrow::array::{AsArray, RecordBatch};
use arrow::csv;
use arrow::datatypes::Float64Type;
use gristmill_run::settings::diagnose::WIDTH;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::support::{Place, parquet, pipeline, stderr, stdout, table};

const RUN: &str = "demo/run-3000";

fn done(output: Output) -> Output {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    output
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

#[test]
fn the_demo_from_its_rows_to_predictions() {
    let place = Place::new();
    let output = done(place.gristmill("demo --rows 3000 --dir demo"));
    assert_eq!(
        stdout(&output).into_bytes(),
        place.read(&format!("{RUN}/summary.txt"))
    );
    assert!(
        stdout(&output).lines().all(|line| line.chars().count() <= WIDTH),
        "{}",
        stdout(&output)
    );
    let said = stderr(&output);
    for stage in ["pull", "fit", "transform", "train", "evaluate"] {
        assert!(
            said.lines()
                .any(|line| line.trim_start().starts_with(&format!("{stage} "))),
            "{stage}: {said}"
        );
    }
    assert!(said.contains("synthetic") && !said.contains("Split"), "{said}");
    metrics(&place.metrics(RUN));
    inspect(&place);
    check(&place);
    predict(&place);
}

/// `docs/metrics.md`, as it stands.
fn metrics(metrics: &Value) {
    assert_eq!(
        keys(metrics),
        [
            "baseline",
            "batches",
            "best",
            "classes",
            "features",
            "peak_rss_bytes",
            "repeated",
            "rows",
            "search",
            "seconds",
            "splits",
            "stages",
            "version"
        ]
    );
    assert_eq!(metrics["version"], 1);
    let rows = &metrics["rows"];
    assert_eq!(keys(rows), ["dropped", "kept", "read"]);
    assert_eq!(
        keys(&rows["dropped"]),
        ["duplicate", "filter", "null", "rare_label", "unseen"]
    );
    let dropped: u64 = rows["dropped"].as_object().unwrap().values().map(number).sum();
    assert_eq!(number(&rows["read"]), number(&rows["kept"]) + dropped);
    for reason in ["null", "filter", "duplicate"] {
        assert!(number(&rows["dropped"][reason]) > 0, "the demo has no {reason}");
    }
    assert_eq!(keys(&metrics["batches"]), ["empty", "read"]);

    assert_eq!(keys(&metrics["splits"]), ["test", "train", "validation"]);
    let mut sum = 0;
    for scores in metrics["splits"].as_object().unwrap().values() {
        assert_eq!(
            keys(scores),
            ["accuracy", "f1", "log_loss", "macro_f1", "rows", "unseen_class"]
        );
        assert_eq!(number(&scores["unseen_class"]), 0);
        sum += number(&scores["rows"]);
    }
    assert_eq!(sum, number(&rows["kept"]));
    assert_eq!(
        keys(&metrics["baseline"]),
        ["class", "test", "train", "validation"]
    );
    let accuracy = metrics["splits"]["test"]["accuracy"].as_f64().unwrap();
    let baseline = metrics["baseline"]["test"]["accuracy"].as_f64().unwrap();
    assert!(
        accuracy >= 1.3 * baseline && baseline > 0.0,
        "{accuracy} against {baseline}"
    );

    let search = metrics["search"].as_array().unwrap();
    assert_eq!(search.len(), 4);
    let mut best = f64::NEG_INFINITY;
    for point in search {
        assert_eq!(
            keys(point),
            ["elastic_net_param", "max_iter", "reg_param", "score", "scores"]
        );
        let scores: Vec<f64> = point["scores"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s.as_f64().unwrap())
            .collect();
        assert_eq!(scores.len(), 3);
        let score = point["score"].as_f64().unwrap();
        assert!((scores.iter().sum::<f64>() / 3.0 - score).abs() < 1e-12);
        best = best.max(score);
    }
    assert_eq!(
        keys(&metrics["best"]),
        [
            "converged",
            "elastic_net_param",
            "iterations",
            "max_iter",
            "objective",
            "reg_param",
            "score"
        ]
    );
    assert_eq!(metrics["best"]["score"], best);
    let stages = metrics["stages"].as_array().unwrap();
    let names: Vec<&str> = stages
        .iter()
        .map(|stage| stage["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["pull", "fit", "transform", "train", "evaluate"]);
    let seconds: f64 = stages
        .iter()
        .map(|stage| stage["seconds"].as_f64().unwrap())
        .sum();
    assert!((seconds - metrics["seconds"].as_f64().unwrap()).abs() < 1e-9);
    assert!(number(&metrics["peak_rss_bytes"]) > 10_000_000);
}

fn inspect(place: &Place) {
    let hash = place.totals(RUN).hash.to_string();
    let model = stdout(&done(place.gristmill(&format!("inspect {RUN}/model"))));
    let file = stdout(&done(
        place.gristmill(&format!("inspect {RUN}/model/model.safetensors")),
    ));
    assert_eq!(model, file);
    for part in [
        hash.as_str(),
        "17 classes",
        "aliases",
        "begin_year",
        "one_hot",
        "United States",
    ] {
        assert!(model.contains(part), "{part}: {model}");
    }
    let dataset = stdout(&done(place.gristmill(&format!("inspect {RUN}/dataset"))));
    for part in [
        hash.as_str(),
        "complete",
        "sqlite:demo/musicbrainz-3000.db",
        "begin_year",
    ] {
        assert!(dataset.contains(part), "{part}: {dataset}");
    }
    for text in [model, dataset] {
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }
    let run = place.gristmill(&format!("inspect {RUN}"));
    assert_eq!(run.status.code(), Some(2));
    assert!(
        stderr(&run).contains("neither a model nor a dataset"),
        "{}",
        stderr(&run)
    );
}

fn check(place: &Place) {
    let before = crate::support::files(&place.path("demo"));
    let plan = stdout(&done(place.gristmill("check demo/pipeline-3000.toml")));
    for part in [
        "sqlite:demo/musicbrainz-3000.db",
        "begin_year",
        "Batches",
        "Features",
        "Classes  17",
        "Memory",
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    assert!(plan.lines().all(|line| line.chars().count() <= WIDTH), "{plan}");
    assert!(
        crate::support::files(&place.path("demo")) == before,
        "it wrote something"
    );
}

/// The demo's own rows, in both formats.
fn predict(place: &Place) {
    let dataset = place.path(&format!("{RUN}/dataset"));
    let batches: Vec<RecordBatch> = crate::support::files(&dataset)
        .keys()
        .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
        .flat_map(|path| parquet(path))
        .collect();
    let mut rows = csv::Writer::new(File::create(place.path("rows.csv")).unwrap());
    let file = File::create(place.path("rows.parquet")).unwrap();
    let mut columns = ArrowWriter::try_new(file, batches[0].schema(), None).unwrap();
    for batch in &batches {
        rows.write(batch).unwrap();
        columns.write(batch).unwrap();
    }
    drop(rows);
    columns.close().unwrap();

    for format in ["csv", "parquet"] {
        let command = format!("predict {RUN}/model --input rows.{format} --output top3.{format} --top 3");
        let output = done(place.gristmill(&command));
        assert_eq!(stdout(&output), "");
        assert!(
            stderr(&output).contains(&format!("rows written to top3.{format}")),
            "{}",
            stderr(&output)
        );
    }
    let labelled = parquet(&place.path("top3.parquet"));
    let mut text = Vec::new();
    let mut writer = csv::Writer::new(&mut text);
    labelled.iter().for_each(|batch| writer.write(batch).unwrap());
    drop(writer);
    assert!(text == place.read("top3.csv"), "the formats differ");

    let (mut right, mut read) = (0, 0);
    for batch in &labelled {
        let names = ["prediction", "prediction_2", "prediction_3"].map(|name| batch[name].as_string::<i32>());
        let p = ["probability", "probability_2", "probability_3"]
            .map(|name| batch[name].as_primitive::<Float64Type>());
        for row in 0..batch.num_rows() {
            let p = p.map(|place| place.value(row));
            assert!(p[0] >= p[1] && p[1] >= p[2] && p[2] >= 0.0 && p.iter().sum::<f64>() <= 1.0 + 1e-12);
            let names = names.map(|place| place.value(row));
            assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2]);
            right += usize::from(names[0] == batch["country"].as_string::<i32>().value(row));
        }
        read += batch.num_rows();
    }
    // These are the rows that the run scored, so the share of right ones is known.
    let splits = &place.metrics(RUN)["splits"];
    let scored =
        |split: &str| splits[split]["accuracy"].as_f64().unwrap() * splits[split]["rows"].as_f64().unwrap();
    let expected = scored("train") + scored("validation") + scored("test");
    assert_eq!(read as u64, place.totals(RUN).rows_kept);
    assert_eq!(right as u64, expected.round() as u64);
}

#[test]
fn a_check_before_any_run_shows_the_plan_and_writes_nothing() {
    let place = Place::with(&table(60), &pipeline(&[]));
    let output = done(place.gristmill("check pipeline.toml"));
    assert_eq!(stderr(&output), "");
    insta::assert_snapshot!(crate::support::untimed(&stdout(&output)));
    assert!(!place.path("run").exists());
}

#[test]
fn a_key_without_an_index_is_told_with_the_index_to_create() {
    let place = Place::with(&table(60).replace("BIGINT PRIMARY KEY", "BIGINT"), &pipeline(&[]));
    let output = done(place.gristmill("check pipeline.toml"));
    insta::assert_snapshot!(stderr(&output));
    let load = "each batch is a scan and a sort of the";
    assert!(stdout(&output).contains(load), "{}", stdout(&output));
    let output = done(place.gristmill("pull pipeline.toml -v"));
    let said = stderr(&output);
    for part in [
        "CREATE INDEX \"artist_id\" ON \"artist\"",
        "batch 0 (up to 25): 25 rows read, 25 kept, ",
        "batch 1 (after 25 up to 50): 25 rows read, 25 kept, ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // One batch needs no index.
    place.write("pipeline.toml", pipeline(&[("rows = 25", "rows = 60")]));
    assert_eq!(stderr(&done(place.gristmill("check pipeline.toml"))), "");
}

#[test]
fn a_check_beside_a_run() {
    let place = Place::with(&table(2_000), &pipeline(&[("rows = 25", "rows = 1")]));
    let mut run = place
        .command("run pipeline.toml")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !place
        .path("run/dataset/_delta_log/00000000000000000000.json")
        .exists()
    {
        assert!(run.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let check = place.gristmill("check pipeline.toml");
    let still_running = run.try_wait().unwrap().is_none();
    run.kill().unwrap();
    run.wait().unwrap();
    done(check);
    assert!(still_running);
}

#[test]
fn progress_as_json_is_one_object_a_line() {
    let place = Place::with(&table(60), &pipeline(&[]));
    let output = done(place.gristmill("run pipeline.toml --log-format json -v"));
    assert_eq!(output.stdout, place.read("run/summary.txt"));
    let mut events = Vec::new();
    for line in stderr(&output).lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            object["level"].is_string() && object["message"].is_string(),
            "{line}"
        );
        assert!(object["timestamp"].is_string(), "{line}");
        if let (Some(event), Some(stage)) = (object["event"].as_str(), object["stage"].as_str()) {
            events.push(format!("{event} {stage}"));
        }
    }
    let stages = ["pull", "fit", "transform", "train", "evaluate"];
    let expected: Vec<String> = stages
        .iter()
        .flat_map(|stage| {
            [
                format!("stage_started {stage}"),
                format!("stage_finished {stage}"),
            ]
        })
        .collect();
    assert_eq!(events, expected);
}

#[test]
fn quiet_is_silent_but_for_data_and_errors() {
    let place = Place::with(&table(60), &pipeline(&[]));
    let output = done(place.gristmill("run pipeline.toml -q"));
    assert_eq!(stderr(&output), "");
    assert_eq!(output.stdout, place.read("run/summary.txt"));
    place.write("rows.csv", "id,name,kind,size\n1,kato,person,3\n");
    let output = done(place.gristmill("predict run/model --input rows.csv --output out.csv -q"));
    assert_eq!(stderr(&output) + &stdout(&output), "");
    assert_eq!(
        stderr(&place.gristmill("inspect nowhere -q")),
        "error: nowhere does not exist\n"
    );
}

#[test]
fn nobody_reading_the_output_is_no_error() {
    let place = Place::with(&table(60), &pipeline(&[]));
    for command in [
        "run pipeline.toml",
        "check pipeline.toml",
        "inspect run/model",
        "inspect run/dataset",
        "--help",
    ] {
        let mut child = place
            .command(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = done(child.wait_with_output().unwrap());
        assert!(
            !stderr(&output).contains("error"),
            "{command}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn the_smallest_demo_trains_too() {
    let place = Place::new();
    done(place.gristmill("demo --rows 100 --dir demo -q"));
    assert!(number(&place.metrics("demo/run-100")["classes"]) >= 2);
    assert_eq!(
        place.gristmill("demo --rows 99 --dir demo").status.code(),
        Some(2)
    );
}

#[test]
fn weights_thresholds_and_elastic_net_reach_the_model() {
    let settings =
        "elastic_net_param = [0.0, 0.5]\nmax_iter = 5\nthresholds = { Japan = 0, France = 1, Germany = 1 }";
    let place = Place::with(
        &table(300),
        &pipeline(&[
            (
                "column = \"country\"",
                "column = \"country\"\nweight = \"id\"\nclass_weight = \"balanced\"",
            ),
            ("max_iter = 5", settings),
        ]),
    );
    place.run();
    let features = crate::support::files(&place.path("run/features"));
    let part = features
        .keys()
        .find(|path| path.extension().is_some_and(|e| e == "parquet"));
    let weights = parquet(part.unwrap());
    let weights = weights[0]["weight"].as_primitive::<Float64Type>();
    assert!(weights.value(0) < weights.value(200), "row 200 is of a higher id");
    let metrics = place.metrics("run");
    assert_eq!(metrics["search"].as_array().unwrap().len(), 4);
    let summary = String::from_utf8(place.read("run/summary.txt")).unwrap();
    assert!(summary.contains("elastic_net"), "{summary}");
    assert_eq!(summary.matches("chosen").count(), 1, "{summary}");
    place.write("new.csv", "name,kind,size\nschuber,person,3\nette,group,40\n");
    done(place.gristmill("predict run/model --input new.csv --output labels.csv"));
    let labels = String::from_utf8(place.read("labels.csv")).unwrap();
    // At threshold 0 Japan wins wherever it has any probability.
    assert_eq!(labels.matches("Japan").count(), 2, "{labels}");
}

#[test]
fn naive_bayes_from_rows_to_predictions() {
    let place = Place::with(
        &table(300),
        &pipeline(&[
            ("kind, size, country", "kind, size / 1000 AS size, country"),
            ("bits = 8", "bits = 8\nnorm = \"none\""),
            ("encode = \"numeric\"", "encode = \"numeric\"\nscale = \"none\""),
            (
                "logistic_regression\"\nreg_param = [0.01, 0.1]\nmax_iter = 5",
                "naive_bayes\"\nsmoothing = [0.1, 1]",
            ),
        ]),
    );
    place.run();
    let metrics = place.metrics("run");
    assert_eq!(keys(&metrics["search"][0]), ["score", "scores", "smoothing"]);
    assert_eq!(metrics["best"]["objective"], Value::Null);
    let summary = String::from_utf8(place.read("run/summary.txt")).unwrap();
    assert!(
        summary.contains("smoothing") && summary.contains("one pass"),
        "{summary}"
    );
    let inspected = stdout(&done(place.gristmill("inspect run/model")));
    assert!(
        inspected.contains("naive_bayes") && inspected.contains("smoothing"),
        "{inspected}"
    );
    let checked = stdout(&done(place.gristmill("check pipeline.toml")));
    assert!(
        checked.contains("of 4 models") || checked.contains("4 of 4"),
        "{checked}"
    );
    let test = &metrics["splits"]["test"];
    assert!(
        test["accuracy"].as_f64() > metrics["baseline"]["test"]["accuracy"].as_f64(),
        "{test}"
    );
    place.write("new.csv", "name,kind,size\nschuberlin,person,0.05\n");
    done(place.gristmill("predict run/model --input new.csv --output labels.csv"));
    let labels = String::from_utf8(place.read("labels.csv")).unwrap();
    assert!(labels.contains("Germany"), "{labels}");
    // What cannot be counted is refused by name.
    place.sqlite("UPDATE artist SET size = -1");
    place.write(
        "pipeline.toml",
        String::from_utf8(place.read("pipeline.toml"))
            .unwrap()
            .replace("dir = \"run\"", "dir = \"again\""),
    );
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("feature `size` is -0.001"),
        "{}",
        stderr(&output)
    );
}
