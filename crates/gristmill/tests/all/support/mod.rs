//! What the tests of the binary share: a directory of its own for each, a table of artists, and what a run left behind.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use gristmill_data::table::{Ledger, TableVersion, Totals};
use gristmill_run::settings::diagnose::WIDTH;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rusqlite::Connection;
use tempfile::TempDir;

/// A pipeline on [`table`] in SQLite; the tests replace parts of it.
pub const PIPELINE: &str = r#"[source]
url = "sqlite:data.db"
query = "SELECT id, name, kind, size, country FROM artist"
key = "id"

[batches]
rows = 25

[[feature]]
column = "name"
encode = "ngrams"
bits = 8

[[feature]]
column = "kind"
encode = "one_hot"

[[feature]]
column = "size"
encode = "numeric"

[label]
column = "country"

[model]
kind = "logistic_regression"
reg_param = [0.01, 0.1]
max_iter = 5

[search]
folds = 2

[run]
dir = "run"
threads = 2
"#;

/// [`PIPELINE`] with each left side, which must be in it, replaced by its right side.
pub fn pipeline(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(PIPELINE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` is not in the pipeline");
        text.replacen(from, to, 1)
    })
}

/// SQL, of both databases, that makes a table `artist` with ids from 1 to `rows`. Names tell the three countries apart,
/// not always; some values are null.
pub fn table(rows: u64) -> String {
    let values: Vec<String> = (1..=rows).map(artist).collect();
    format!(
        "CREATE TABLE artist (id BIGINT PRIMARY KEY, name TEXT, kind TEXT, size DOUBLE PRECISION, country TEXT);
         INSERT INTO artist VALUES {};",
        values.join(", ")
    )
}

/// The values of one artist.
pub fn artist(id: u64) -> String {
    let mix = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    // Every seventh is named as if from elsewhere.
    let country = (mix % 3) as usize;
    let named = if mix.is_multiple_of(7) {
        (country + 1) % 3
    } else {
        country
    };
    let syllables = [
        ["ka", "to", "mi", "ru"],
        ["schu", "ber", "lin", "gau"],
        ["ette", "oir", "ille", "aud"],
    ][named];
    let name: String = (0..3)
        .map(|at| syllables[(mix >> (4 + 2 * at)) as usize % 4])
        .collect();
    let kind = match mix % 5 {
        0 => "NULL",
        1 | 2 => "'group'",
        _ => "'person'",
    };
    let size = if mix.is_multiple_of(11) {
        "NULL".to_owned()
    } else {
        format!("{}.25", mix % 100 + 10 * country as u64)
    };
    format!(
        "({id}, '{name}', {kind}, {size}, '{}')",
        ["Japan", "Germany", "France"][country]
    )
}

/// A directory that the binary runs in.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    /// One with `data.db` made by `sql` and `pipeline.toml`.
    pub fn with(sql: &str, pipeline: &str) -> Self {
        let place = Self::new();
        place.sqlite(sql);
        place.write("pipeline.toml", pipeline);
        place
    }

    /// Another with the same files.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for (path, content) in files(self.dir.path()) {
            let path = copy.dir.path().join(path.strip_prefix(self.dir.path()).unwrap());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        copy
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Executes SQL in `data.db`.
    pub fn sqlite(&self, sql: &str) {
        Connection::open(self.path("data.db"))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    /// The binary with these arguments, separated by spaces, to run here.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("gristmill"));
        command
            .current_dir(self.dir.path())
            .env_remove("RUST_LOG")
            .env_remove("NO_COLOR");
        command.args(arguments.split_whitespace());
        command
    }

    /// Runs the binary.
    pub fn gristmill(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs `pipeline.toml`, which must succeed, and returns the standard error.
    pub fn run(&self) -> String {
        let output = self.gristmill("run pipeline.toml");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output)
    }

    /// What the dataset of the run in `run` says of itself.
    pub fn totals(&self, run: &str) -> Totals {
        block_on(Ledger::read(&self.path(run).join("dataset")))
            .unwrap()
            .unwrap()
            .record
            .totals
    }

    /// The keys in the dataset of the run in `run`, in its order.
    pub fn ids(&self, run: &str) -> Vec<i64> {
        let table = block_on(TableVersion::open_delta(&self.path(run).join("dataset"))).unwrap();
        let batches = table.files.iter().flat_map(|file| parquet(&file.path));
        batches
            .flat_map(|batch| batch["id"].as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    pub fn metrics(&self, run: &str) -> serde_json::Value {
        serde_json::from_slice(&self.read(&format!("{run}/metrics.json"))).unwrap()
    }

    pub fn model(&self, run: &str) -> Vec<u8> {
        self.read(&format!("{run}/model/model.safetensors"))
    }
}

/// The batches of a Parquet file.
pub fn parquet(path: &Path) -> Vec<RecordBatch> {
    let file = std::fs::File::open(path).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Every file below a directory with its content, but for the lock.
pub fn files(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = std::fs::read(&path).unwrap();
            found.insert(path, content);
        }
    }
    found
}

/// What a command that must fail with this exit code says on stderr, without the times.
pub fn failure(output: &Output, code: i32) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(stdout(output), "");
    let mut said = String::new();
    for line in text.lines() {
        // A line of the pipeline file is shown as it is written.
        assert!(
            line.contains(" | ") || line.chars().count() <= WIDTH,
            "too long: {line}"
        );
        let finished = ["pull ", "choose ", "fit ", "transform ", "predict "]
            .iter()
            .any(|stage| line.trim_start().starts_with(stage));
        said += if finished {
            line.rsplit_once(", ").unwrap().0
        } else {
            line
        };
        said += "\n";
    }
    said
}

/// The standard error without the lines of stages, which say how long they took.
pub fn told(output: &Output) -> String {
    let text = stderr(output);
    let lines = text.lines().filter(|line| !line.starts_with("  predict "));
    lines.map(|line| format!("{line}\n")).collect()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What `check` says, with `N` for the numbers of what was measured.
pub fn untimed(said: &str) -> String {
    let (before, after) = said.split_once("\nTime ").expect("what was measured");
    let (time, after) = after.split_once("\n\n").unwrap_or((after, ""));
    let words: Vec<&str> = time.split_whitespace().collect();
    let words = words.iter().map(|word| match *word {
        _ if word.starts_with(|c: char| c.is_ascii_digit()) => "N",
        _ if word.ends_with("B/s:") => "MB/s:",
        word => word,
    });
    format!(
        "{before}\nTime {}\n\n{after}",
        words.collect::<Vec<_>>().join(" ")
    )
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}
