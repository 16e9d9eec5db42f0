//! `cargo xtask bench train`: training, against Spark ML, scikit-learn and Vowpal Wabbit on the same rows and splits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::measure::{Cost, measure, median};
use crate::python::{environment, gristmill, target};

pub(crate) const USAGE: &str =
    "cargo xtask bench train DATA [--case 1,2,3,4,5] [--iterations N] [--peers yes|no] [--multiples 1,4,16]";

const PEERS: &str = include_str!("train_peers.py");

/// The peers, each with its version, for the results to be repeatable. Spark needs a Java 17 besides.
const REQUIREMENTS: [&str; 7] = [
    "numpy==2.4.6",
    "pandas==3.1.1",
    "pyarrow==26.0.1",
    "pyspark==4.3.0",
    "scikit-learn==1.9.1",
    "threadpoolctl==3.8.0",
    "vowpalwabbit==9.11.9",
];

/// Artists once for each of their aliases, and all artists: over the tables that `train_peers.py load` makes.
const ALIASES: &str = "SELECT alias.id, artist.name, alias.name AS alias, area.name AS country \
    FROM alias JOIN artist ON artist.id = alias.artist JOIN area ON area.id = artist.area";
const NAMES: &str = "SELECT artist.id, artist.name, area.name AS country \
    FROM artist JOIN area ON area.id = artist.area";

/// The strength of the penalty on the names.
const REG_PARAM: &str = "1e-6";

/// The budget of case 4: some 0.6 GB are the model's, and the decoded rows do not fit into the rest.
const MEMORY: &str = "1GB";
/// Rounds of each number of threads.
const THREAD_ROUNDS: u32 = 5;

struct Options {
    data: PathBuf,
    cases: Vec<u32>,
    iterations: u32,
    peers: bool,
    multiples: Vec<u32>,
}

/// Where the benchmark keeps what it needs.
struct Bench {
    dir: PathBuf,
    gristmill: String,
    python: String,
    options: Options,
}

/// A pipeline of the benchmark.
struct Recipe<'a> {
    name: String,
    database: &'a Path,
    query: &'a str,
    features: &'a str,
    split: &'a str,
    model: String,
    memory: &'a str,
    threads: u32,
}

/// What a run of gristmill left.
struct Outcome {
    metrics: Value,
    cost: Cost,
    run: PathBuf,
}

/// Runs the cases and prints their tables.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<()> {
    let options = options(arguments)?;
    let gristmill = gristmill(root)?;
    let dir = target(root).join("bench/train");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("train_peers.py"), PEERS)?;
    let python = environment(&dir, &REQUIREMENTS)?;
    let bench = Bench {
        dir,
        gristmill: gristmill.display().to_string(),
        python: python.display().to_string(),
        options,
    };
    for case in &bench.options.cases {
        match case {
            1 => bench.grid()?,
            2 => bench.one_fit()?,
            3 => bench.epochs()?,
            4 => bench.memory()?,
            5 => bench.threads()?,
            other => bail!("there is no case {other}; expected {USAGE}"),
        }
    }
    Ok(())
}

fn options(arguments: &[String]) -> Result<Options> {
    let (data, mut rest) = arguments.split_first().context(USAGE)?;
    let mut options = Options {
        data: PathBuf::from(data),
        cases: (1..=5).collect(),
        iterations: 20,
        peers: true,
        multiples: vec![1, 4, 16],
    };
    let numbers =
        |text: &str| -> Result<Vec<u32>> { Ok(text.split(',').map(str::parse).collect::<Result<_, _>>()?) };
    while let [name, value, more @ ..] = rest {
        match name.as_str() {
            "--case" => options.cases = numbers(value)?,
            "--iterations" => options.iterations = value.parse()?,
            "--multiples" => options.multiples = numbers(value)?,
            "--peers" if value == "yes" || value == "no" => options.peers = value == "yes",
            other => bail!("unknown flag {other} {value}; expected {USAGE}"),
        }
        rest = more;
    }
    ensure!(rest.is_empty(), "expected {USAGE}");
    Ok(options)
}

impl Bench {
    /// The original pipeline: one-hot of name and alias, nine points on three folds.
    fn grid(&self) -> Result<()> {
        let database = self.database("nga", 1)?;
        let features = "[[feature]]\ncolumn = \"name\"\nencode = \"one_hot\"\nscale = \"standard\"\n\n\
            [[feature]]\ncolumn = \"alias\"\nencode = \"one_hot\"\nscale = \"standard\"";
        let ours = self.gristmill(&Recipe {
            name: "grid".to_owned(),
            database: &database,
            query: ALIASES,
            features,
            split: "train = 0.7\nvalidation = 0.15\ntest = 0.15",
            model: "reg_param = [0.01, 0.1, 1.0]\nmax_iter = [10, 50, 100]".to_owned(),
            memory: "2GB",
            threads: 2,
        })?;
        println!("\nCase 1: a grid of 3 x 3 on 3 folds of artists and aliases, one-hot.");
        println!(
            "The search of Spark has its features prepared and cached, that of scikit-learn in memory; their whole"
        );
        println!("times have the preparation and the refit too, ours the pull from the database besides.");
        println!("`whole` of scikit-learn starts from our features.");
        println!(
            "{:<14}{:>10}{:>10}{:>10}{:>10}{:>11}{:>10}{:>10}{:>9}",
            "", "search s", "whole s", "of search", "of whole", "reg_param", "max_iter", "test f1", "RSS MB"
        );
        let (search, whole) = (stage(&ours.metrics, "train"), ours.cost.wall);
        let best = &ours.metrics["best"];
        let line = |name: &str, times: (f64, f64), reg: &Value, limit: &Value, f1: f64, rss: f64| {
            // A JSON value takes no width.
            let (reg, limit) = (reg.to_string(), limit.to_string());
            println!(
                "{name:<14}{:>10.2}{:>10.2}{:>10.1}{:>10.1}{reg:>11}{limit:>10}{f1:>10.4}{:>9.0}",
                times.0,
                times.1,
                times.0 / search,
                times.1 / whole,
                rss / 1e6
            );
        };
        line(
            "gristmill",
            (search, whole),
            &best["reg_param"],
            &best["max_iter"],
            number(&ours.metrics["splits"]["test"]["f1"]),
            ours.cost.rss,
        );
        for peer in ["sklearn", "spark"].iter().filter(|_| self.options.peers) {
            let (found, cost) = self.python(&[peer, &text(&database), ALIASES, &text(&ours.run)])?;
            line(
                peer,
                (number(&found["search"]), number(&found["whole"])),
                &found["reg_param"],
                &found["max_iter"],
                number(&found["f1"]),
                cost.rss,
            );
        }
        Ok(())
    }

    /// One fit by L-BFGS on the n-grams of names.
    fn one_fit(&self) -> Result<()> {
        let iterations = self.options.iterations;
        let ours = self.names("lbfgs", "lbfgs", iterations, 1, "4GB", 2)?;
        println!("\nCase 2: L-BFGS on the n-grams of names, at most {iterations} iterations.");
        println!(
            "{:<14}{:>10}{:>8}{:>12}{:>10}{:>9}",
            "", "train s", "ratio", "objective", "test acc", "RSS MB"
        );
        let seconds = stage(&ours.metrics, "train");
        let line = |name: &str, time: f64, objective: f64, accuracy: f64, rss: f64| {
            println!(
                "{name:<14}{time:>10.1}{:>8.1}{objective:>12.5}{accuracy:>10.4}{:>9.0}",
                time / seconds,
                rss / 1e6
            );
        };
        line(
            "gristmill",
            seconds,
            number(&ours.metrics["best"]["objective"]),
            accuracy(&ours.metrics),
            ours.cost.rss,
        );
        if self.options.peers {
            // Unit deviations are no part of scikit-learn's penalty: ours has `standardization = false` here.
            let (found, cost) =
                self.python(&["lbfgs", &text(&ours.run), &iterations.to_string(), REG_PARAM])?;
            let [time, objective, accuracy] =
                ["seconds", "objective", "accuracy"].map(|key| number(&found[key]));
            line("scikit-learn", time, objective, accuracy, cost.rss);
        }
        let scans = number(&ours.metrics["best"]["iterations"]) + 1.0;
        self.roofline(
            "an iteration with its scan",
            &ours.metrics,
            seconds / scans,
            &ours.run,
        )
    }

    /// Accuracy against seconds.
    fn epochs(&self) -> Result<()> {
        println!(
            "\nCase 3: mini-batches on the n-grams of names; accuracy on the test split against seconds of training."
        );
        println!("{:<30}{:>10}{:>10}{:>9}", "", "train s", "test acc", "RSS MB");
        let line = |name: String, seconds: f64, accuracy: f64, rss: f64| {
            println!("{name:<30}{seconds:>10.1}{accuracy:>10.4}{:>9.0}", rss / 1e6);
        };
        let mut first = None;
        for epochs in [1, 2, 4] {
            let ours = self.names(&format!("adagrad{epochs}"), "adagrad", epochs, 1, "4GB", 2)?;
            let seconds = stage(&ours.metrics, "train");
            line(
                format!("gristmill, {epochs} epochs"),
                seconds,
                accuracy(&ours.metrics),
                ours.cost.rss,
            );
            first.get_or_insert((ours, seconds));
        }
        let Some((ours, seconds)) = first else {
            return Ok(());
        };
        let folder = text(&self.dir);
        for turns in ["1", "4"].iter().filter(|_| self.options.peers) {
            let (found, cost) = self.python(&["sgd", &text(&ours.run), turns])?;
            let name = format!("SGDClassifier, {turns} epochs");
            line(
                name,
                number(&found["seconds"]),
                number(&found["accuracy"]),
                cost.rss,
            );
        }
        for turns in ["1", "3"].iter().filter(|_| self.options.peers) {
            let (found, cost) = self.python(&["vw", &text(&ours.run), turns, &folder])?;
            let name = format!("Vowpal Wabbit, {turns} passes");
            line(
                name,
                number(&found["seconds"]),
                number(&found["accuracy"]),
                cost.rss,
            );
        }
        self.roofline(
            "an epoch, decoding and summary included",
            &ours.metrics,
            seconds,
            &ours.run,
        )
    }

    /// Memory against rows.
    fn memory(&self) -> Result<()> {
        println!("\nCase 4: rows against memory, with memory = \"{MEMORY}\"; L-BFGS of 3 iterations.");
        println!(
            "{:<10}{:>12}{:>10}{:>9}{:>9}",
            "", "rows", "train s", "RSS MB", "of 1x"
        );
        let mut first = None;
        for multiple in &self.options.multiples {
            let ours = self.names(&format!("memory{multiple}"), "lbfgs", 3, *multiple, MEMORY, 2)?;
            let rss = ours.cost.rss;
            println!(
                "{:<10}{:>12}{:>10.1}{:>9.0}{:>9.3}",
                format!("{multiple}x"),
                number(&ours.metrics["rows"]["kept"]),
                stage(&ours.metrics, "train"),
                rss / 1e6,
                rss / *first.get_or_insert(rss)
            );
            fs::remove_dir_all(&ours.run)?;
        }
        Ok(())
    }

    /// Threads 1 and 2, in turn.
    fn threads(&self) -> Result<()> {
        println!("\nCase 5: threads; the seconds of training, medians of {THREAD_ROUNDS}.");
        println!("{:<24}{:>10}{:>10}{:>9}", "", "1 thread", "2 threads", "ratio");
        for (solver, limit) in [("lbfgs", 5), ("adagrad", 1)] {
            let mut seconds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
            let mut models = Vec::new();
            for _ in 0..THREAD_ROUNDS {
                for threads in [1, 2] {
                    let name = format!("threads{threads}");
                    let ours = self.names(&name, solver, limit, 1, "4GB", threads)?;
                    seconds
                        .entry(threads)
                        .or_default()
                        .push(stage(&ours.metrics, "train"));
                    models.push(fs::read(ours.run.join("model/model.safetensors"))?);
                }
            }
            ensure!(
                models.iter().all(|model| *model == models[0]),
                "{solver}: the models of 1 and 2 threads differ"
            );
            let mut of = |threads| median(seconds.remove(&threads).unwrap_or_default());
            let (one, two) = (of(1), of(2));
            println!(
                "{:<24}{one:>10.1}{two:>10.1}{:>9.2}",
                format!("{solver}, {limit} iterations"),
                one / two
            );
        }
        Ok(())
    }

    /// A run on the n-grams of names.
    fn names(
        &self,
        name: &str,
        solver: &str,
        limit: u32,
        times: u32,
        memory: &str,
        threads: u32,
    ) -> Result<Outcome> {
        let database = self.database("name2nat", times)?;
        self.gristmill(&Recipe {
            name: name.to_owned(),
            database: &database,
            query: NAMES,
            features: "[[feature]]\ncolumn = \"name\"\nencode = \"ngrams\"\nrange = [1, 3]\nbits = 18\nnorm = \"none\"",
            split: "train = 0.85\nvalidation = 0.05\ntest = 0.1",
            model: format!(
                "solver = \"{solver}\"\nreg_param = {REG_PARAM}\nmax_iter = {limit}\nstandardization = false"
            ),
            memory,
            threads,
        })
    }

    fn gristmill(&self, recipe: &Recipe<'_>) -> Result<Outcome> {
        let run = self.dir.join(&recipe.name);
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        let pipeline = self.dir.join(format!("{}.toml", recipe.name));
        let Recipe {
            database,
            query,
            features,
            split,
            model,
            memory,
            threads,
            ..
        } = recipe;
        fs::write(
            &pipeline,
            format!(
                "[source]\nurl = 'sqlite:{}'\nquery = \"{query}\"\nkey = \"id\"\n\n{features}\n\n[label]\n\
                 column = \"country\"\n\n[split]\n{split}\n\n[model]\nkind = \"logistic_regression\"\n{model}\n\n\
                 [run]\ndir = '{}'\nmemory = \"{memory}\"\nthreads = {threads}\n",
                database.display(),
                run.display()
            ),
        )?;
        let cost = measure(
            &[self.gristmill.clone(), "run".into(), "-q".into(), text(&pipeline)],
            &self.dir,
        )?;
        let metrics = fs::read(run.join("metrics.json"))?;
        Ok(Outcome {
            metrics: serde_json::from_slice(&metrics)?,
            cost,
            run,
        })
    }

    /// The data of a folder as a database, its artists so many times; made once.
    fn database(&self, folder: &str, times: u32) -> Result<PathBuf> {
        let database = self.dir.join(format!("{folder}-{times}.db"));
        if !database.exists() {
            let partial = self.dir.join("partial.db");
            if partial.exists() {
                fs::remove_file(&partial)?;
            }
            let data = text(&self.options.data.join(folder));
            self.python(&["load", &data, &text(&partial), &times.to_string()])?;
            fs::rename(partial, &database)?;
        }
        Ok(database)
    }

    /// Runs a task of `train_peers.py`.
    fn python(&self, arguments: &[&str]) -> Result<(Value, Cost)> {
        let output = self.dir.join("result.json");
        let mut command = vec![self.python.clone(), text(&self.dir.join("train_peers.py"))];
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        command.push(text(&output));
        let cost = measure(&command, &self.dir)?;
        Ok((serde_json::from_slice(&fs::read(output)?)?, cost))
    }

    /// What a scan must do at least, beside what the machine can.
    fn roofline(&self, what: &str, metrics: &Value, seconds: f64, run: &Path) -> Result<()> {
        let (machine, _) = self.python(&["machine", "2"])?;
        let (entries, _) = self.python(&["entries", &text(run)])?;
        // A multiple of 8, as the kernels lay them out.
        let classes = (number(&metrics["classes"]) / 8.0).ceil() * 8.0;
        // Forward, a coefficient is read; backward, a gradient is read and written; one multiply-add each.
        let products = number(&entries["train"]) * classes;
        let (bytes, fma) = (products * 12.0, products * 2.0);
        let (bandwidth, rate) = (number(&machine["bandwidth"]), number(&machine["fma"]));
        println!(
            "Roofline of {what}: {:.1} G multiply-adds and {:.0} GB of coefficients and gradients in {seconds:.2} s; \
             the machine does {:.0} G/s and moves {:.1} GB/s from memory.\n\
             Reached: {:.0} % of the multiply-adds, and {:.0} % of the memory's bandwidth (over 100 %: from the caches).",
            fma / 1e9,
            bytes / 1e9,
            rate / 1e9,
            bandwidth / 1e9,
            100.0 * fma / seconds / rate,
            100.0 * bytes / seconds / bandwidth
        );
        Ok(())
    }
}

/// The seconds of a stage.
fn stage(metrics: &Value, name: &str) -> f64 {
    let stages = metrics["stages"].as_array();
    let found = stages.and_then(|stages| stages.iter().find(|stage| stage["name"] == name));
    found.map_or(f64::NAN, |stage| number(&stage["seconds"]))
}

fn accuracy(metrics: &Value) -> f64 {
    number(&metrics["splits"]["test"]["accuracy"])
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
