//! `cargo xtask bench predict`: a model asked for the rows of a Parquet file, against scikit-learn's pipeline, onnxruntime and
//! Spark's `transform`, each of which reads the same file and writes its answers as Parquet.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::measure::{Cost, measure, median};
use crate::python::{environment, gristmill, target};

pub(crate) const USAGE: &str = "cargo xtask bench predict ROWS [--case 1,2] [--peers sklearn,onnx,spark|none] [--rounds N] [--binary GRISTMILL]";

const PEERS: &str = include_str!("predict_peers.py");

/// The peers, each with its version, for the results to be repeatable. Spark needs a Java 17 besides.
const REQUIREMENTS: [&str; 6] = [
    "numpy==2.4.6",
    "pandas==3.1.1",
    "pyarrow==26.0.1",
    "scikit-learn==1.9.1",
    "onnxruntime==1.32.0",
    "skl2onnx==1.20.0",
];
const SPARK: &str = "pyspark==4.3.0";

/// Rows that the models learn from.
const TRAINING_ROWS: &str = "20000";

struct Options {
    rows: u64,
    cases: Vec<u32>,
    peers: Vec<String>,
    rounds: u32,
    binary: Option<String>,
}

/// A case: what it is called, its features, and the peers that have them too.
const CASES: [(&str, &str, &[&str]); 2] = [
    (
        "one-hot and numbers, 3 classes",
        "[[feature]]\ncolumn = \"kind\"\nencode = \"one_hot\"\n\n[[feature]]\ncolumn = \"language\"\nencode = \"one_hot\"\n\n\
         [[feature]]\ncolumn = \"size\"\nencode = \"numeric\"\n\n[[feature]]\ncolumn = \"year\"\nencode = \"numeric\"",
        &["sklearn", "onnx", "spark"],
    ),
    (
        "n-grams of names (1 to 3), 176 classes",
        "[[feature]]\ncolumn = \"name\"\nencode = \"ngrams\"\nrange = [1, 3]\nbits = 18",
        // No ONNX operator hashes n-grams.
        &["sklearn", "spark"],
    ),
];

/// Runs the cases and prints their tables.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<()> {
    let options = options(arguments)?;
    let binary = match &options.binary {
        Some(binary) => PathBuf::from(binary),
        None => gristmill(root)?,
    };
    let dir = target(root).join("bench/predict");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("predict_peers.py"), PEERS)?;
    let mut requirements = REQUIREMENTS.to_vec();
    if options.peers.iter().any(|peer| peer == "spark") {
        requirements.push(SPARK);
    }
    let python = environment(&dir, &requirements)?;
    for case in &options.cases {
        let number = *case as usize;
        let Some((name, features, of_case)) = number.checked_sub(1).and_then(|at| CASES.get(at)) else {
            bail!("there is no case {case}; expected {USAGE}");
        };
        println!(
            "\nCase {case}: {name}; {} rows from Parquet to Parquet, medians of {}.",
            options.rows, options.rounds
        );
        println!(
            "{:<14}{:>10}{:>14}{:>8}{:>9}",
            "", "seconds", "rows a second", "of ours", "RSS MB"
        );
        let python = |task: &[String]| -> Result<(Value, Cost)> {
            let output = dir.join("result.json");
            let mut command = vec![text(&python), text(&dir.join("predict_peers.py"))];
            command.extend_from_slice(task);
            command.push(text(&output));
            let cost = measure(&command, &dir)?;
            Ok((serde_json::from_slice(&fs::read(output)?)?, cost))
        };
        let [train, ask] = ["train", "ask"].map(|file| text(&dir.join(format!("{file}{case}.parquet"))));
        for (file, rows) in [
            (&train, TRAINING_ROWS.to_owned()),
            (&ask, options.rows.to_string()),
        ] {
            python(&["data".to_owned(), case.to_string(), rows, file.clone()])?;
        }
        let run = trained(&dir, &text(&binary), *case, features, &train)?;
        let line = |name: &str, seconds: f64, ours: f64, rss: f64| {
            println!(
                "{name:<14}{seconds:>10.2}{:>14.0}{:>8.2}{:>9.0}",
                options.rows as f64 / seconds,
                ours / seconds,
                rss / 1e6
            );
        };
        let answers = text(&dir.join("answers.parquet"));
        let command = [
            text(&binary),
            "predict".to_owned(),
            "-q".to_owned(),
            text(&run.join("model")),
            format!("--input={ask}"),
            format!("--output={answers}"),
            "--overwrite".to_owned(),
        ];
        let mut costs = Vec::new();
        for _ in 0..options.rounds.max(1) {
            costs.push(measure(&command, &dir)?);
        }
        // The whole of the command, with the reading of the model.
        let ours = median(costs.iter().map(|cost| cost.wall).collect());
        line(
            "gristmill",
            ours,
            ours,
            median(costs.iter().map(|cost| cost.rss).collect()),
        );
        for peer in options
            .peers
            .iter()
            .filter(|peer| of_case.contains(&peer.as_str()))
        {
            let mut task = vec![peer.clone(), case.to_string(), train.clone(), ask.clone()];
            task.extend([answers.clone(), options.rounds.to_string()]);
            let (found, cost) = python(&task)?;
            let seconds = found["seconds"].as_f64().context("a peer tells no time")?;
            line(peer, seconds, ours, cost.rss);
        }
    }
    println!(
        "\nThe peers' seconds are those of reading, predicting and writing; ours have the start of the process too."
    );
    Ok(())
}

/// A model of the case, in its run.
fn trained(dir: &Path, binary: &str, case: u32, features: &str, train: &str) -> Result<PathBuf> {
    let run = dir.join(format!("run{case}"));
    if run.exists() {
        fs::remove_dir_all(&run)?;
    }
    let pipeline = dir.join(format!("case{case}.toml"));
    let text_of = format!(
        "[source]\nurl = 'parquet:{train}'\nkey = \"id\"\n\n{features}\n\n[label]\ncolumn = \"country\"\n\n[model]\n\
         kind = \"logistic_regression\"\nreg_param = 1e-4\nmax_iter = 5\n\n[run]\ndir = '{}'\n",
        run.display()
    );
    fs::write(&pipeline, text_of)?;
    measure(
        &[
            binary.to_owned(),
            "run".to_owned(),
            "-q".to_owned(),
            text(&pipeline),
        ],
        dir,
    )?;
    Ok(run)
}

fn options(arguments: &[String]) -> Result<Options> {
    let (rows, mut rest) = arguments.split_first().context(USAGE)?;
    let mut options = Options {
        rows: rows.parse().context(USAGE)?,
        cases: vec![1, 2],
        peers: ["sklearn", "onnx", "spark"].map(str::to_owned).to_vec(),
        rounds: 3,
        binary: None,
    };
    while let [name, value, more @ ..] = rest {
        match name.as_str() {
            "--case" => options.cases = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--peers" if value == "none" => options.peers.clear(),
            "--peers" => options.peers = value.split(',').map(str::to_owned).collect(),
            "--rounds" => options.rounds = value.parse()?,
            "--binary" => options.binary = Some(value.clone()),
            other => bail!("unknown flag {other} {value}; expected {USAGE}"),
        }
        rest = more;
    }
    ensure!(rest.is_empty(), "expected {USAGE}");
    Ok(options)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
