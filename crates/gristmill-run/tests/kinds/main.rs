//! A kind of encoder and a kind of model that gristmill does not have: one file each, and one line that makes both known.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../gristmill-learn/tests/support/centroids.rs"]
mod centroids;
#[path = "../../../gristmill-learn/tests/support/maps.rs"]
mod maps;
mod rate;
mod trained;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float32Type, Schema, UInt8Type};
use gristmill_learn::contract::pass::Pass;
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::contract::step::{StepSpec, Transformer};
use gristmill_learn::features::FitPipeline;
use gristmill_learn::model::bundle::Bundle;
use gristmill_learn::passes::pass_from_spec;
use gristmill_learn::registry::built_in;
use gristmill_run::Session;
use gristmill_run::budget::Budget;
use gristmill_run::event::{Event, Observe};
use gristmill_run::predict::{Destination, Origin, OutputFormat, Predictor, step_from_spec};
use gristmill_run::report::metrics::Splits;
use gristmill_run::settings::{PipelineFile, docs};
use serde_json::Value;

fn kinds() -> Registry {
    built_in()
        .with_encoder(&rate::Rate)
        .with_model(&centroids::NearestCentroid)
}

const PIPELINE: &str = r#"[source]
url = "csv:artists.csv"
key = "id"

[[feature]]
column = ["first", "second"]
encode = "rate"
weight = 0.5

[[feature]]
column = "year"
encode = "numeric"

[label]
column = "country"

[model]
kind = "nearest_centroid"
sharpness = 4

[run]
dir = "run"
threads = 2
memory = "300MB"
"#;

/// Number, the two letters, year and country.
type Artist = (i64, &'static str, &'static str, i64, &'static str);

/// 400 artists: the pair of letters tells the country, one of which alone does not.
fn artists() -> Vec<Artist> {
    let row = |id: i64| -> Artist {
        let (first, second) = (["a", "b"][(id % 2) as usize], ["x", "y"][(id / 2 % 2) as usize]);
        let country = match (first, second) {
            ("a", "x") | ("b", "y") => "France",
            _ => "Japan",
        };
        (id, first, second, 1900 + id % 90, country)
    };
    (0..400).map(row).collect()
}

fn csv(labels: bool) -> String {
    let mut text = format!("id,first,second,year{}\n", if labels { ",country" } else { "" });
    for (id, first, second, year, country) in artists() {
        write!(text, "{id},{first},{second},{year}").unwrap();
        text.push_str(&if labels {
            format!(",{country}\n")
        } else {
            "\n".to_owned()
        });
    }
    text
}

fn rows() -> RecordBatch {
    let artists = artists();
    let text = |of: fn(&Artist) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(artists.iter().map(of)))
    };
    let number = |of: fn(&Artist) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(artists.iter().map(of)))
    };
    RecordBatch::try_from_iter_with_nullable([
        ("id", number(|row| row.0), true),
        ("first", text(|row| row.1), true),
        ("second", text(|row| row.2), true),
        ("year", number(|row| row.3), true),
        ("country", text(|row| row.4), true),
    ])
    .unwrap()
}

fn parse(text: &str, kinds: &Registry) -> Result<PipelineFile, String> {
    let parsed = PipelineFile::parse(Path::new("pipeline.toml"), text, &|_| None, kinds);
    parsed.map_err(|problems| {
        let rendered = problems.iter().map(|problem| problem.render(false));
        rendered.collect::<Vec<_>>().join("\n")
    })
}

struct Silent;

impl Observe for Silent {
    fn event(&self, _event: Event) {}
}

/// Runs the pipeline in a folder; returns the model's file.
fn run(dir: &Path) -> PathBuf {
    std::fs::write(dir.join("artists.csv"), csv(true)).unwrap();
    let text = PIPELINE
        .replace("artists.csv", &dir.join("artists.csv").display().to_string())
        .replace(
            "dir = \"run\"",
            &format!("dir = \"{}\"", dir.join("run").display()),
        );
    let file = parse(&text, &kinds()).unwrap();
    let session = Session::open(&file.pipeline, &Silent).unwrap();
    let outcome = session.run(&Silent).unwrap();
    let Splits::Class(splits) = &outcome.metrics.splits else {
        panic!("no classifier?")
    };
    assert_eq!(splits["test"].accuracy, 1.0);
    outcome.model
}

#[test]
fn they_are_fitted_trained_written_read_again_and_predict() {
    let dir = tempfile::tempdir().unwrap();
    let model = run(dir.path());
    let first = std::fs::read(&model).unwrap();
    std::fs::remove_dir_all(dir.path().join("run")).unwrap();
    assert_eq!(std::fs::read(run(dir.path())).unwrap(), first, "other bytes");

    let bundle = Bundle::read(&model, &kinds()).unwrap();
    assert_eq!(
        (bundle.model.kind(), bundle.model.features()),
        ("nearest_centroid", 2)
    );
    let name = bundle.assembler.feature_name(0);
    assert!(
        name.starts_with("rate of ") && name.ends_with(" by first, second"),
        "{name}"
    );
    let again = dir.path().join("again.safetensors");
    bundle
        .contents()
        .write(&mut std::fs::File::create(&again).unwrap())
        .unwrap();
    assert_eq!(std::fs::read(again).unwrap(), first);

    let (input, output) = (dir.path().join("new.csv"), dir.path().join("out.csv"));
    std::fs::write(&input, csv(false)).unwrap();
    let budget = Budget::set_by("--memory", 400_000_000);
    let predictor = Predictor::open(&model, 1, 2, &budget, &kinds()).unwrap();
    let destination = Destination::Path {
        path: output.clone(),
        format: OutputFormat::Csv,
        overwrite: false,
    };
    let predicted = predictor
        .predict(&Origin::Files(input.display().to_string()), destination, &Silent)
        .unwrap();
    assert_eq!(predicted.rows, 400);
    let text = std::fs::read_to_string(output).unwrap();
    for (line, (.., country)) in text.lines().skip(1).zip(artists()) {
        assert!(line.contains(country), "{line}");
    }

    let rows = rows();
    let kinds = kinds();
    let made = maps::map(predictor.predictions(), &rows, &|spec| {
        step_from_spec(spec, &kinds)
    });
    assert_eq!(made.rows.num_columns(), 7);
    let shipped = predictor.predictions().spec();
    assert!(step_from_spec(&shipped, &built_in()).is_err());
    assert!(step_from_spec(&StepSpec::new("other", Value::Null), &kinds).is_err());
    maps::map(&bundle.assembler, &rows, &|spec| step_from_spec(spec, &kinds));

    // Without their line in the registry they are refused by name.
    let error = Bundle::read(&model, &built_in()).unwrap_err().to_string();
    assert!(
        error.contains("kind `nearest_centroid`, which this build does not know"),
        "{error}"
    );
    let only_the_model = built_in().with_model(&centroids::NearestCentroid);
    let error = Bundle::read(&model, &only_the_model).unwrap_err().to_string();
    assert!(
        error.contains(
            "the encoders are one_hot, ngrams, numeric, hash, multi_hot, bucket, date_parts and target"
        ),
        "{error}"
    );
}

#[test]
fn what_a_file_says_of_sizes_is_checked_before_anything_is_allocated() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = Bundle::read(&run(dir.path()), &kinds()).unwrap();
    let spec = bundle.model.spec();
    let kinds = kinds();
    assert_eq!(kinds.model_from_spec(&spec).unwrap().spec(), spec);
    for (features, classes) in [(usize::MAX, 2), (1 << 40, 2), (2, usize::MAX), (2, 3)] {
        let mut forged = spec.clone();
        (forged.features, forged.classes) = (features, classes);
        assert!(kinds.model_from_spec(&forged).is_err(), "{features} {classes}");
    }
}

/// The pair of a row that has no like tells nothing of its own label, in the rows to learn from.
#[test]
fn an_encoder_sees_several_columns_and_label_and_fold() {
    let file = parse(PIPELINE, &kinds()).unwrap();
    let pipeline = &file.pipeline;
    let fit = FitPipeline::new(&pipeline.features[..1], &pipeline.label, &pipeline.split, 3);
    let text = |values: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    // The first 300 rows have a pair of their own each.
    let pair = |id: i64| {
        if id < 300 {
            format!("p{id}")
        } else {
            "shared".to_owned()
        }
    };
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..600))),
        ("first", text((0..600).map(pair).collect())),
        ("second", text(vec!["same".to_owned(); 600])),
        (
            "country",
            text(
                (0..600)
                    .map(|id| ["France", "Japan"][(id / 2 % 2) as usize].to_owned())
                    .collect(),
            ),
        ),
    ];
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = RecordBatch::try_new(schema, columns.map(|(_, column)| column).to_vec()).unwrap();
    assert!(
        rows.schema()
            .fields()
            .iter()
            .all(|f| *f.data_type() != DataType::Null)
    );
    let pass = fit.pass();
    let mut whole = pass.start();
    whole.update(&rows).unwrap();
    let shipped = StepSpec::from_bytes(&pass.spec().to_bytes().unwrap()).unwrap();
    assert!(pass_from_spec(&shipped, &built_in()).is_err());
    let rebuilt = pass_from_spec(&shipped, &kinds()).unwrap();
    let mut cut = pass.start();
    for from in (0..600).step_by(70) {
        let mut part = rebuilt.start();
        part.update(&rows.slice(from, 70.min(600 - from))).unwrap();
        cut.merge(&part.state().unwrap()).unwrap();
    }
    let state = whole.state().unwrap();
    assert_eq!(cut.state().unwrap(), state);
    let assembler = fit.fitted(&state).unwrap().assembler;
    let learnt = assembler.transform(&rows).unwrap().rows;
    let values = learnt["values"].as_list::<i32>();
    let training = learnt["split"].as_primitive::<UInt8Type>();
    let rate = |row: usize| values.value(row).as_primitive::<Float32Type>().value(0);
    let own: Vec<f32> = (0..300).filter(|r| training.value(*r) == 0).map(rate).collect();
    assert!(
        own.len() > 100 && own.iter().all(|rate| *rate == own[0]),
        "a row tells its label"
    );
    // Rows to predict know all rows of their pair.
    let plain = assembler.encode(&rows).unwrap();
    let rates = |row: usize| plain.row(row).1[0];
    let own: Vec<f32> = (0..300).filter(|r| training.value(*r) == 0).map(rates).collect();
    assert!(own.iter().any(|rate| *rate != own[0]));
}

#[test]
fn their_keys_are_those_of_a_pipeline_file() {
    let kinds = kinds();
    let problem = |from: &str, to: &str| parse(&PIPELINE.replace(from, to), &kinds).unwrap_err();
    let near = problem("weight = 0.5", "weigth = 0.5");
    assert!(near.contains("did you mean `weight`?"), "{near}");
    assert!(
        near.contains("the keys here are: `column`, `encode`, `weight`"),
        "{near}"
    );
    let value = problem("weight = 0.5", "weight = 0");
    assert!(value.contains("`feature.weight` cannot be 0"), "{value}");
    let other = problem("weight = 0.5", "bits = 4");
    assert!(
        other.contains("it goes with encode = \"ngrams\", not \"rate\""),
        "{other}"
    );
    let kind = problem("\"rate\"", "\"rat\"");
    assert!(kind.contains("did you mean \"rate\"?"), "{kind}");
    let one = problem("[\"first\", \"second\"]", "\"first\"");
    assert!(one.contains("expected a list of 2 to 4 columns"), "{one}");
    let label = problem("\"second\"]", "\"country\"]");
    assert!(label.contains("the label column is also a feature"), "{label}");

    let near = problem("sharpness", "sharpnes");
    assert!(near.contains("did you mean `sharpness`?"), "{near}");
    let other = problem("sharpness = 4", "tol = 1e-6");
    assert!(
        other.contains("it goes with kind = \"logistic_regression\", not"),
        "{other}"
    );
    let unknown = parse(PIPELINE, &built_in()).unwrap_err();
    assert!(
        unknown.contains("unknown value \"rate\" for `feature.encode`"),
        "{unknown}"
    );
    assert!(
        unknown.contains("unknown value \"nearest_centroid\" for `model.kind`"),
        "{unknown}"
    );

    let file = parse(PIPELINE, &kinds).unwrap();
    let missing = file.check_columns(&Schema::new(vec![Field::new("first", DataType::Utf8, true)]));
    let second = missing
        .iter()
        .find(|problem| problem.message().contains("`second`"));
    assert!(second.is_some(), "{missing:?}");
    assert_eq!(file.pipeline.model.points(), 1);
}

#[test]
fn their_documentation_is_generated() {
    let path = gristmill_testkit::repository().join("docs/pipeline.md");
    let text = docs::generated(&std::fs::read_to_string(path).unwrap(), &kinds()).unwrap();
    for line in [
        "### `encode = \"rate\"`",
        "| `weight` | number above 0 | `1.0` | Rows that the share of all rows counts for. |",
        "| `encode` | `\"auto\"`, `\"one_hot\"`, `\"ngrams\"`, `\"numeric\"`, `\"hash\"`, `\"multi_hot\"`, `\"bucket\"`, `\"date_parts\"`, `\"target\"`, `\"rate\"` | `\"auto\"` |",
        "### `kind = \"nearest_centroid\"`",
        "| `sharpness` | number above 0 | `1.0` | Factor of the squared distance. |",
    ] {
        assert!(text.contains(line), "{line}");
    }
}
