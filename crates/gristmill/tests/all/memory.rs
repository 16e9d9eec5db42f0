//! A whole run holds its budget where the system refuses it more, or is refused before: one test for each thing that grows.

#![cfg(target_os = "linux")]
use std::process::{Command, Output};

use nix::sys::resource::{UsageWho, getrusage};

use crate::support::{Place, failure, pipeline, stderr};

/// Runs under a limit of `$1` KiB for the memory that the process may write to: its heap, its stacks, its arenas.
///
/// `RLIMIT_AS` would count what the allocator and the linker only reserve or map to read, which is no resident memory.
const WITH_A_LIMIT: &str = r#"
ulimit -d "$1"
shift
exec "$@"
"#;

const BUDGET: u64 = 330_000_000;

/// The budget of the cases with large rows.
const ROWS_BUDGET: u64 = 160_000_000;

/// So many rows that their features, decoded, do not fit beside a model.
fn rows(place: &Place, rows: u64) {
    place.sqlite(&format!(
        "CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, size REAL, country TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO artist SELECT i, hex(i * 2654435761 % 4294967296) || hex(i * 40503 % 65536), 'k' || i % 7, i % 100,
             'country ' || (i * 2654435761 % 4294967296 / 7 % 12) FROM n;"
    ));
}

/// What comes of a command that may hold so many bytes.
fn limited(place: &Place, command: &str, bytes: u64) -> Output {
    let whole = place.command(command);
    let mut limited = Command::new("sh");
    limited
        .current_dir(place.path("."))
        .args(["-c", WITH_A_LIMIT, "sh", &(bytes / 1024).to_string()])
        .arg(whole.get_program())
        .args(whole.get_args());
    limited.output().unwrap()
}

/// A run on `rows` rows of `columns` (SQL expressions of the row's number `i`), of which `features` are made, within
/// `budget` bytes. Returns its exit code and what it said, when no process of this test ever held more than the budget.
fn grown(
    rows: u64,
    columns: &str,
    features: &str,
    model: &str,
    run: &str,
    budget: u64,
) -> (Option<i32>, String) {
    let place = Place::new();
    place.sqlite(&format!(
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         SELECT CAST(i AS INTEGER) AS id, {columns} FROM n;
         CREATE INDEX t_id ON t (id);"
    ));
    place.write(
        "pipeline.toml",
        format!(
            "[source]\nurl = \"sqlite:data.db\"\nquery = \"SELECT * FROM t\"\nkey = \"id\"\n[batches]\nrows = 5000\n{features}
             [label]\ncolumn = \"label\"\nmin_rows = 1\n[model]\nkind = \"logistic_regression\"\n{model}
             [search]\nfolds = 2\n[run]\ndir = \"run\"\nmemory = {budget}\n{run}"
        ),
    );
    // The limit counts what is reserved and never written to, as the stacks of threads: it is there to be hit early by what
    // grows without bounds.
    let output = limited(&place, "run pipeline.toml", budget + (200 << 20));
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as u64 * 1024;
    let said = stderr(&output);
    assert!(peak <= budget, "{peak} of {budget}: {said}");
    (output.status.code(), said)
}

const TWO_CLASSES: &str = "CAST('c' || (i % 2) AS TEXT) AS label";
const MODEL: &str = "reg_param = 0.01\nmax_iter = 2";

#[test]
fn thousands_of_classes_are_scored_within_the_budget() {
    // A matrix of true by predicted class would take 128 MB for each model that is scored, and thrice that at the end.
    let (code, said) = grown(
        8_000,
        "CAST(i % 13 AS REAL) AS x, CAST('c' || (i % 4000) AS TEXT) AS label",
        "[[feature]]\ncolumn = \"x\"\nencode = \"numeric\"",
        "reg_param = [0.01, 0.1]\nmax_iter = 2",
        "threads = 2",
        256_000_000,
    );
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_column_of_too_many_categories_is_refused_while_they_are_counted() {
    let (code, said) = grown(
        200_000,
        &format!("CAST(printf('%016x', i * 2654435761) AS TEXT) AS name, {TWO_CLASSES}"),
        "[[feature]]\ncolumn = \"name\"\nencode = \"one_hot\"\nmax_categories = 1_000_000",
        MODEL,
        "threads = 2",
        170_000_000,
    );
    assert_eq!(code, Some(2), "{said}");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("most of it the categories of column `name`,"),
        "{said}"
    );
    assert!(said.contains("use encode = \"ngrams\" for the column"), "{said}");
}

#[test]
fn medians_of_many_columns_are_refused_while_their_values_are_counted() {
    let columns: Vec<String> = (0..60)
        .map(|c| format!("CAST(i * 7919 % {} AS REAL) AS c{c}", 100_003 + c))
        .collect();
    let features: Vec<String> = (0..60)
        .map(|c| format!("[[feature]]\ncolumn = \"c{c}\"\nencode = \"numeric\"\nimpute = \"median\"\n"))
        .collect();
    let (code, said) = grown(
        12_000,
        &format!("{}, {TWO_CLASSES}", columns.join(", ")),
        &features.concat(),
        MODEL,
        "threads = 8",
        200_000_000,
    );
    assert_eq!(code, Some(2), "{said}");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("the values of column `c0`, counted for its quantiles or its precision,"),
        "{said}"
    );
}

#[test]
fn buckets_of_ngrams_are_not_multiplied_by_the_threads() {
    // 64 MiB for each grain of rows that is worked on, of which there are three.
    let (code, said) = grown(
        140_000,
        &format!("CAST(printf('%08x', i * 2654435761 % 4294967296) AS TEXT) AS name, {TWO_CLASSES}"),
        "[[feature]]\ncolumn = \"name\"\nencode = \"ngrams\"\nbits = 24\nrange = [1, 2]",
        MODEL,
        "threads = 8",
        360_000_000,
    );
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_run_under_a_hard_limit_holds_its_budget() {
    let memory = format!("threads = 2\nmemory = {BUDGET}");
    let edits = [
        ("rows = 25", "rows = 20_000"),
        (
            "reg_param = [0.01, 0.1]\nmax_iter = 5",
            "reg_param = 0.01\nmax_iter = 2",
        ),
        ("bits = 8", "bits = 14"),
        ("threads = 2", memory.as_str()),
    ];
    let place = Place::new();
    rows(&place, 500_000);
    place.write("pipeline.toml", pipeline(&edits));
    let output = limited(&place, "run pipeline.toml -v", BUDGET);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("do not fit in memory and are streamed"), "{said}");
    let peak = place.metrics("run")["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak <= BUDGET, "{peak}");
    // With room for all of it the model is the same.
    let roomy = ("dir = \"run\"", "dir = \"roomy\"");
    let edits: Vec<_> = edits.into_iter().take(3).chain([roomy]).collect();
    place.write("roomy.toml", pipeline(&edits));
    let output = place.gristmill("run roomy.toml -v");
    assert_eq!(output.status.code(), Some(0));
    assert!(!stderr(&output).contains("are streamed"));
    assert!(place.model("run") == place.model("roomy"));
}

/// A place whose table has so many rows of `columns`, expressions over `i`: the key `id`, `name`, and `country`.
fn wide(rows: u64, columns: &str, more: &str) -> Place {
    let place = Place::new();
    place.sqlite(&format!(
        "CREATE TABLE artist (id INTEGER, name TEXT, country TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO artist SELECT {columns}, 'c' || (i % 3) FROM n;
         CREATE INDEX artist_id ON artist (id);"
    ));
    place.write("pipeline.toml", wide_pipeline(more, ROWS_BUDGET));
    place
}

fn wide_pipeline(more: &str, memory: u64) -> String {
    format!(
        "[source]\nurl = \"sqlite:data.db\"\nquery = \"SELECT id, name, country FROM artist\"\nkey = \"id\"\n\
         [[feature]]\ncolumn = \"name\"\nencode = \"one_hot\"\nmin_count = 2\nunseen = \"keep\"\n\
         [label]\ncolumn = \"country\"\n\
         [model]\nkind = \"logistic_regression\"\nreg_param = 0.1\nmax_iter = 1\n\
         [run]\ndir = \"run\"\nthreads = 2\nmemory = {memory}\n{more}"
    )
}

#[test]
fn rows_are_held_within_the_budget_whatever_grows() {
    for (what, rows, columns, more) in [
        ("texts of 100 KB", 1_000, "i, hex(randomblob(50000))", ""),
        ("equal texts of 100 KB", 1_000, "i, hex(zeroblob(50000))", ""),
        (
            "many connections",
            1_000,
            "i, hex(randomblob(50000))",
            "[batches]\nrows = 100\nconnections = 16\n",
        ),
        ("one key", 150_000, "7, hex(randomblob(200))", ""),
        ("null keys", 1_200_000, "NULL, 'b' || (i * 7919 % 100003)", ""),
        (
            "distinct rows of one key",
            150_000,
            "7, hex(randomblob(200))",
            "[clean]\ndistinct = true\n",
        ),
    ] {
        let place = wide(rows, columns, more);
        for command in [
            "pull pipeline.toml",
            "verify run/dataset",
            "verify run/dataset --pipeline pipeline.toml",
        ] {
            let output = limited(&place, command, ROWS_BUDGET);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(0), "{what}: {command}: {said}");
        }
        assert_eq!(place.totals("run").rows_kept, rows, "{what}");
    }
}

#[test]
fn prediction_holds_its_budget() {
    let place = wide(1_000, "i, hex(randomblob(50000))", "");
    place.write(
        "pipeline.toml",
        wide_pipeline("", 2_000_000_000).replace("randomblob", "zeroblob"),
    );
    place.run();
    let input = "run/dataset/batch-0000000000.parquet";
    let mut csv = String::from("name\n");
    (0..1_000).for_each(|_| {
        csv.push_str(&"x".repeat(100_000));
        csv.push('\n');
    });
    place.write("rows.csv", csv);
    for (input, output) in [
        (input, "out.parquet"),
        (input, "out.csv"),
        ("rows.csv", "more.csv"),
    ] {
        let output = limited(
            &place,
            &format!("predict run/model --input {input} --output {output} --memory {ROWS_BUDGET}B"),
            ROWS_BUDGET,
        );
        assert_eq!(output.status.code(), Some(0), "{input}: {}", stderr(&output));
    }
}

#[test]
fn a_value_too_large_for_the_budget_is_refused_by_name() {
    let place = wide(3, "i, hex(zeroblob(CASE i WHEN 2 THEN 20000000 ELSE 1 END))", "");
    let said = failure(&limited(&place, "pull pipeline.toml", ROWS_BUDGET), 2);
    assert!(
        said.contains("column `name`, row with id = 2: the value has 40.0 MB")
            && said.contains("set run.memory"),
        "{said}"
    );
}
