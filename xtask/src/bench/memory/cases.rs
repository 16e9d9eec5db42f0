//! The inputs of `cargo xtask bench memory`, each of which grows in one direction.

use super::Expected::{self, Done, Refused};

/// One input and what is done with it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// What grows, in a word or two joined by `-`: the argument that picks the case.
    pub(super) name: &'static str,
    /// The budget in MB.
    pub(super) memory: u64,
    /// SQL that makes the table `t` in SQLite.
    pub(super) table: String,
    /// The pipeline between `[source]` and `[run]`.
    pub(super) pipeline: String,
    /// Settings of `[run]` other than `dir` and `memory`.
    pub(super) run: &'static str,
    /// The commands, one after the other; the last one is measured, and those before it run with 4 GB.
    pub(super) commands: &'static [&'static str],
    pub(super) expected: Expected,
}

impl Case {
    fn new(name: &'static str, memory: u64, table: String, pipeline: &str) -> Self {
        Self {
            name,
            memory,
            table,
            pipeline: pipeline.to_owned(),
            run: "",
            commands: &["run"],
            expected: Done,
        }
    }

    fn commands(self, commands: &'static [&'static str]) -> Self {
        Self { commands, ..self }
    }

    fn with(self, run: &'static str) -> Self {
        Self { run, ..self }
    }

    fn refused(self) -> Self {
        Self {
            expected: Refused,
            ..self
        }
    }
}

/// The cases.
pub(super) fn cases() -> Vec<Case> {
    let ngrams = format!("{NGRAMS}{MODEL}");
    let of = |batches: &str| format!("[batches]\n{batches}\n{ngrams}");
    vec![
        Case::new("wide-texts-pull", 256, wide_texts(5_000), &ngrams).commands(&["pull"]),
        Case::new("wide-texts", 512, wide_texts(30_000), &ngrams),
        Case::new("wide-texts-verify", 256, wide_texts(5_000), &ngrams).commands(&["pull", "verify"]),
        Case::new("wide-texts-verify-source", 256, wide_texts(5_000), &ngrams)
            .commands(&["pull", "verify-source"]),
        Case::new("wide-texts-predict", 256, wide_texts(5_000), &ngrams).commands(&["run", "predict"]),
        Case::new("wide-texts-predict-csv", 256, wide_texts(5_000), &ngrams)
            .commands(&["run", "predict-csv"]),
        Case::new(
            "equal-wide-texts",
            256,
            texts(5_000, "i", "hex(zeroblob(50000))"),
            &ngrams,
        ),
        Case::new(
            "texts-of-half-a-megabyte",
            512,
            texts(5_000, "i", "hex(randomblob(250000))"),
            &ngrams,
        ),
        Case::new(
            "small-batches",
            256,
            texts(5_000, "i", "hex(randomblob(48000))"),
            &of("rows = 1000"),
        )
        .commands(&["pull"]),
        Case::new(
            "many-connections",
            256,
            wide_texts(5_000),
            &of("rows = 500\nconnections = 16"),
        )
        .commands(&["pull"]),
        Case::new("one-huge-text", 300, texts(3, "i", ONE_HUGE), &ngrams).refused(),
        Case::new(
            "one-key",
            512,
            texts(5_000_000, "7", "hex(randomblob(100))"),
            &ngrams,
        )
        .commands(&["pull"]),
        Case::new(
            "null-keys",
            256,
            texts(3_000_000, "NULL", "'b' || (i * 7919 % 100003)"),
            &ngrams,
        )
        .commands(&["pull"]),
        Case::new("columns", 256, many_columns(40_000), &numeric(COLUMNS, "")).refused(),
        Case::new(
            "columns-median",
            512,
            many_columns(40_000),
            &numeric(COLUMNS, "impute = \"median\"\n"),
        )
        .refused(),
        Case::new(
            "columns-threads",
            1_000,
            many_columns(200_000),
            &numeric(COLUMNS, ""),
        )
        .with("threads = 16\n"),
        Case::new(
            "narrow-rows-threads",
            512,
            one_number(1_500_000, 2),
            &numeric(1, ""),
        )
        .with("threads = 64\n"),
        Case::new(
            "classes",
            512,
            one_number(40_000, 5_000),
            &classes(&numeric(1, ""), "0.01"),
        ),
        Case::new(
            "classes-search",
            1_000,
            one_number(40_000, 5_000),
            &classes(&numeric(1, ""), "[0.01, 0.1]\n[search]\nfolds = 2"),
        ),
        Case::new("categories", 256, names(2_000_000), &format!("{ONE_HOT}{MODEL}")).refused(),
        Case::new(
            "more-categories",
            256,
            names(3_000_000),
            &format!("{ONE_HOT}{MODEL}"),
        )
        .refused(),
        Case::new(
            "ngram-bits-threads",
            512,
            names(2_000_000),
            &format!("{MANY_NGRAMS}{MODEL}"),
        )
        .with("threads = 16\n"),
        Case::new("2-threads", 256, one_number(20_000, 2), &numeric(1, "")).with("threads = 2\n"),
        Case::new("1024-threads", 256, one_number(20_000, 2), &numeric(1, "")).with("threads = 1024\n"),
    ]
}

const COLUMNS: usize = 500;

const MODEL: &str = "[label]\ncolumn = \"label\"\nmin_rows = 1\n\
     [model]\nkind = \"logistic_regression\"\nmax_iter = 2\nreg_param = 0.01\n";

const NGRAMS: &str = "[[feature]]\ncolumn = \"body\"\nencode = \"ngrams\"\nbits = 10\n";

const MANY_NGRAMS: &str = "[[feature]]\ncolumn = \"name\"\nencode = \"ngrams\"\nrange = [1, 2]\nbits = 24\n";

const ONE_HOT: &str = "[[feature]]\ncolumn = \"name\"\nencode = \"one_hot\"\n";

/// Two short texts and one of 200 MB.
const ONE_HUGE: &str = "hex(zeroblob(CASE i WHEN 2 THEN 100000000 ELSE 1 END))";

/// A table of rows that count `i` from 1: `columns` are SQL expressions. `CREATE TABLE AS` keeps the types of casts only,
/// so each column has one.
fn table(rows: u64, columns: &str) -> String {
    format!(
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         SELECT {columns} FROM n; CREATE INDEX t_id ON t (id);"
    )
}

fn texts(rows: u64, id: &str, body: &str) -> String {
    let columns = format!(
        "CAST({id} AS INTEGER) AS id, CAST({body} AS TEXT) AS body, CAST('c' || (i % 3) AS TEXT) AS label"
    );
    table(rows, &columns)
}

/// Texts of 100 KB.
fn wide_texts(rows: u64) -> String {
    texts(rows, "i", "hex(zeroblob(25000)) || hex(randomblob(25000))")
}

/// Numbers that are hardly ever equal.
fn many_columns(rows: u64) -> String {
    let numbers = (0..COLUMNS).map(|x| format!("CAST(random() / 1e18 AS REAL) AS x{x}, "));
    let label = "CAST('c' || (i % 2) AS TEXT) AS label";
    table(
        rows,
        &format!("CAST(i AS INTEGER) AS id, {}{label}", numbers.collect::<String>()),
    )
}

fn one_number(rows: u64, classes: u64) -> String {
    let columns = format!(
        "CAST(i AS INTEGER) AS id, CAST(i * 7919 % 10007 AS REAL) AS x0, CAST('c' || (i % {classes}) AS TEXT) AS label"
    );
    table(rows, &columns)
}

/// Names that are all different.
fn names(rows: u64) -> String {
    table(
        rows,
        "CAST(i AS INTEGER) AS id, CAST(printf('%016x', i * 2654435761) AS TEXT) AS name, \
         CAST('c' || (i % 2) AS TEXT) AS label",
    )
}

fn numeric(columns: usize, more: &str) -> String {
    let features =
        (0..columns).map(|x| format!("[[feature]]\ncolumn = \"x{x}\"\nencode = \"numeric\"\n{more}"));
    features.collect::<String>() + MODEL
}

/// The same with other penalties.
fn classes(pipeline: &str, reg_param: &str) -> String {
    pipeline.replace("reg_param = 0.01", &format!("reg_param = {reg_param}"))
}
