//! What is asked of a model is read as what it was trained on: from every type of every source, by every encoder, exports of the
//! training rows in every format get the predictions that the dataset's own rows get, to the bit.

mod exports;
mod types;

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use gristmill_learn::model::bundle::Bundle;
use gristmill_learn::registry::built_in;
use gristmill_testkit::{TempMariaDb, TempPostgres};

use crate::support::{Place, files, parquet, stderr};
use exports::{Style, Wider, cast_columns, csv, json_lines, other, pandas, view, write_parquet};
use types::{CSV, Column, MARIADB, POSTGRES, SQLITE, file_types};

const ROWS: u64 = 80;

/// Of each row, the number of the value of each column; one more is null. The class follows some of them.
fn numbers(id: u64, columns: usize) -> impl Iterator<Item = u64> {
    (0..columns as u64).map(move |column| (id * 31 + column * 17).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)
}

fn class(id: u64) -> &'static str {
    ["yes", "no", "maybe"][(numbers(id, 3).sum::<u64>() / 7 % 3) as usize]
}

/// The statement that makes a table `asked` with these columns.
fn table(columns: &[Column], text: &str) -> String {
    let names = columns.iter().enumerate();
    let declared: String = names
        .map(|(at, (_, kind, ..))| format!(", c{at} {kind}"))
        .collect();
    let mut sql = format!("CREATE TABLE asked (id bigint PRIMARY KEY{declared}, y {text});");
    for id in 1..=ROWS {
        let values = columns.iter().zip(numbers(id, columns.len()));
        let values: String = values
            .map(|((_, _, values, _), number)| {
                let value = values.get(number as usize % (values.len() + 1));
                format!(", {}", value.unwrap_or(&"NULL"))
            })
            .collect();
        write!(sql, "INSERT INTO asked VALUES ({id}{values}, '{}');", class(id)).unwrap();
    }
    sql
}

/// The pipeline of these columns, with every encoder that reads each.
fn pipeline(url: &str, query: &str, encoders: &[&str]) -> String {
    let mut text = format!("[source]\nurl = \"{url}\"\n{query}key = \"id\"\n[batches]\nrows = 30\n");
    for (at, encoders) in encoders.iter().enumerate() {
        let mut feature = |encode: &str| {
            write!(text, "[[feature]]\ncolumn = \"c{at}\"\nencode = \"{encode}\"\n").unwrap();
        };
        feature("one_hot");
        feature("hash\"\nbits = \"8");
        if encoders.contains('n') {
            feature("numeric");
            feature("numeric\"\ntransform = \"log1p\"\nscale = \"robust\"\nmissing_indicator = \"true");
            feature("bucket\"\nquantiles = \"3");
        }
        if encoders.contains('m') {
            feature("date_parts\"\nparts = \"all");
        }
        if encoders.contains('t') {
            feature("multi_hot");
            feature("ngrams\"\nbits = \"8");
            feature("ngrams\"\nanalyzer = \"word\"\nweighting = \"tf_idf\"\nbits = \"8");
        }
    }
    text += "[label]\ncolumn = \"y\"\n[model]\nkind = \"logistic_regression\"\nreg_param = 0.001\nmax_iter = 8\n[run]\ndir = \"run\"\n";
    text.replace("bits = \"8\"", "bits = 8")
        .replace("missing_indicator = \"true\"", "missing_indicator = true")
        .replace("quantiles = \"3\"", "quantiles = 3")
        .replace(
            "parts = \"all\"",
            "parts = [\"year\", \"month\", \"weekday\", \"hour\", \"elapsed\"]",
        )
}

/// Runs the pipeline and asks its model with every export of the dataset, and with `more` files.
fn check(place: &Place, more: &[&str]) {
    place.run();
    let rows: Vec<RecordBatch> = files(&place.path("run/dataset"))
        .into_keys()
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
        .flat_map(|path| parquet(&path))
        .collect();
    let rows = concat_batches(&rows[0].schema(), &rows).unwrap();
    assert_eq!(rows.num_rows() as u64, ROWS);
    let bundle = Bundle::read(&place.path("run/model/model.safetensors"), &built_in()).unwrap();
    let scores = bundle
        .model
        .scores(&bundle.assembler.encode(&rows).unwrap())
        .unwrap();
    let classes = bundle.assembler.classes();
    let expected: Vec<(&str, u64)> = scores
        .chunks_exact(classes.len())
        .map(|p| {
            let best = (0..p.len()).rev().max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
            (classes[best].as_str(), p[best].to_bits())
        })
        .collect();
    for (name, style) in [("python.csv", Style::Python), ("psql.csv", Style::Psql)] {
        place.write(name, csv(&rows, style));
    }
    let widened: [(&str, Wider); 4] = [
        ("same.parquet", |_| vec![]),
        ("pandas.parquet", pandas),
        ("other.parquet", other),
        ("view.parquet", view),
    ];
    for (name, kinds) in widened {
        write_parquet(place, name, &cast_columns(&rows, kinds));
    }
    place.write("rows.jsonl", json_lines(&rows));
    // By a query, which is in the order of its key as the dataset is.
    let queries = ["csv:python.csv --key id", "csv:psql.csv --key id"];
    let has_id = rows.column_by_name("id").is_some();
    let exports = [
        "python.csv",
        "psql.csv",
        "rows.jsonl",
        "- <python.csv",
        "- --input-format jsonl <rows.jsonl",
        "same.parquet",
        "pandas.parquet",
        "other.parquet",
        "view.parquet",
    ];
    let queries = queries.iter().filter(|_| has_id);
    for input in exports.iter().chain(queries).chain(more) {
        let (arguments, from) = input.split_once('<').unwrap_or((input, "/dev/null"));
        let mut command = place.command(&format!(
            "predict run/model --input {arguments} --output out.parquet --overwrite"
        ));
        command.stdin(std::fs::File::open(place.path(from)).unwrap());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{input}: {}", stderr(&output));
        let mut given = Vec::new();
        for batch in parquet(&place.path("out.parquet")) {
            let (labels, values) = (
                batch["prediction"].as_string::<i32>(),
                batch["probability"].as_primitive::<Float64Type>(),
            );
            given.extend(
                (0..batch.num_rows()).map(|row| (labels.value(row).to_owned(), values.value(row).to_bits())),
            );
        }
        assert_eq!(given.len(), expected.len(), "{input}");
        for (row, (given, expected)) in given.iter().zip(&expected).enumerate() {
            assert_eq!((given.0.as_str(), given.1), *expected, "{input}, row {row}");
        }
    }
}

/// Checks that every type which a table of docs/pipeline.md has is among the columns, but for those that no feature reads.
fn check_documented(heading: &str, names: &[&str]) {
    let text = std::fs::read_to_string(gristmill_testkit::repository().join("docs/pipeline.md")).unwrap();
    let (_, chapter) = text.split_once(&format!("\n### {heading}\n")).unwrap();
    let (_, table) = chapter.split_once("| Becomes |\n|---|---|\n").unwrap();
    for line in table.lines().take_while(|line| line.starts_with('|')) {
        let (types, becomes) = line.trim_matches('|').split_once(" | ").unwrap();
        let read_by_none = ["refused", "binary", "list", "struct", "all null"];
        if read_by_none
            .iter()
            .any(|word| becomes.starts_with(word) || becomes.ends_with(&format!("{word} ")))
        {
            continue;
        }
        for name in types.split('`').skip(1).step_by(2) {
            assert!(
                names.contains(&name),
                "no column of the type `{name}` of {heading}"
            );
        }
    }
}

fn encoders(columns: &[Column]) -> Vec<&'static str> {
    columns.iter().map(|column| column.3).collect()
}

fn names(columns: &[Column]) -> Vec<&'static str> {
    columns.iter().map(|column| column.0).collect()
}

const QUERY: &str = "query = \"SELECT * FROM asked\"\n";

#[test]
fn every_type_of_postgres() {
    let server = TempPostgres::start();
    server.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN price AS numeric(10, 2); CREATE EXTENSION citext;",
    );
    server.execute(&table(POSTGRES, "text"));
    let place = Place::new();
    place.write(
        "pipeline.toml",
        pipeline(&server.url(), QUERY, &encoders(POSTGRES)),
    );
    check_documented("PostgreSQL", &names(POSTGRES));
    check(&place, &[]);
    // What programs write of values that PostgreSQL writes as text: `psql`, Python's `str`.
    let written = String::from_utf8(place.read("psql.csv")).unwrap();
    let written = written
        .replace("10.0.0.1/32", "10.0.0.1")
        .replace("::1/128", "::1");
    let written = written.replace(
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}",
    );
    let written = written
        .replace("00:00:00.5\"", "00:00:00.500000\"")
        .replace("12:00:00.5+02", "12:00:00.500000+02:00");
    place.write("written.csv", written);
    check(&place, &["written.csv"]);
}

#[test]
fn every_type_of_mariadb() {
    let server = TempMariaDb::start();
    server.execute(&table(MARIADB, "text"));
    let place = Place::new();
    place.write(
        "pipeline.toml",
        pipeline(&server.url(), QUERY, &encoders(MARIADB)),
    );
    check_documented("MySQL and MariaDB", &names(MARIADB));
    check(&place, &[]);
}

#[test]
fn every_type_of_sqlite() {
    let place = Place::with(
        &table(SQLITE, "TEXT"),
        &pipeline("sqlite:data.db", QUERY, &encoders(SQLITE)),
    );
    let mut documented = names(SQLITE);
    documented.push("BLOB");
    check_documented("SQLite", &documented);
    check(&place, &[]);
}

/// The database orders by the key as it is, so that it is not trimmed in training either.
#[test]
fn a_key_that_is_a_feature_keeps_its_blanks() {
    let place = Place::new();
    let values: Vec<String> = (1..=ROWS)
        .map(|id| {
            let key = ["' a'", "'a'", "'b '", "'b'"][id as usize % 4];
            format!("({key}, '{}')", ["yes", "no", "maybe"][id as usize % 4 % 3])
        })
        .collect();
    place.sqlite(&format!(
        "CREATE TABLE asked (c0 TEXT, y TEXT); INSERT INTO asked VALUES {};",
        values.join(", ")
    ));
    let text = pipeline("sqlite:data.db", QUERY, &[""]).replace("key = \"id\"", "key = \"c0\"");
    let text = text.replace("[run]", "[split]\ntest = 0\nvalidation = 0\ntrain = 1\n[run]");
    place.write("pipeline.toml", text);
    check(&place, &[]);
}

/// A text that is empty is another than none where cleaning lets it be, and CSV tells the two apart by quotation marks.
#[test]
fn an_empty_text_is_asked_as_one() {
    let place = Place::new();
    let values: Vec<String> = (1..=ROWS)
        .map(|id| {
            let text = ["''", "NULL", "'a'", "' '"][id as usize % 4];
            format!(
                "({id}, {text}, '{}')",
                ["yes", "no", "maybe"][id as usize % 4 % 3]
            )
        })
        .collect();
    place.sqlite(&format!(
        "CREATE TABLE asked (id INTEGER PRIMARY KEY, c0 TEXT, y TEXT); INSERT INTO asked VALUES {};",
        values.join(", ")
    ));
    let text = pipeline("sqlite:data.db", QUERY, &["t"]);
    place.write(
        "pipeline.toml",
        text.replace("[label]", "[clean]\nempty_as_null = false\n[label]"),
    );
    check(&place, &[]);
    // A file so written is a source that has them too.
    let asked = String::from_utf8(place.read("psql.csv")).unwrap();
    place.write("rows.csv", asked);
    let text = pipeline("csv:rows.csv", "", &["t"]).replace("dir = \"run\"", "dir = \"again\"");
    place.write(
        "pipeline.toml",
        text.replace("[label]", "[clean]\nempty_as_null = false\n[label]"),
    );
    place.run();
    let specs = |run: &str| {
        let file = place.path(&format!("{run}/model/model.safetensors"));
        format!(
            "{:?}",
            Bundle::read(&file, &built_in()).unwrap().assembler.specs()
        )
    };
    assert_eq!(specs("again"), specs("run"));
}

#[test]
fn every_type_of_csv() {
    let place = Place::new();
    let header: String = (0..CSV.len()).map(|at| format!(",c{at}")).collect();
    let mut text = format!("id{header},y\n");
    for id in 1..=ROWS {
        write!(text, "{id}").unwrap();
        for ((_, _, values, _), number) in CSV.iter().zip(numbers(id, CSV.len())) {
            write!(
                text,
                ",{}",
                values.get(number as usize % (values.len() + 1)).unwrap_or(&"")
            )
            .unwrap();
        }
        writeln!(text, ",{}", class(id)).unwrap();
    }
    place.write("rows.csv", text);
    place.write("pipeline.toml", pipeline("csv:rows.csv", "", &encoders(CSV)));
    check(&place, &["rows.csv"]);
}

#[test]
fn every_type_of_parquet() {
    let place = Place::new();
    let types = file_types();
    let mut columns: Vec<(String, ArrayRef)> = vec![(
        "id".to_owned(),
        Arc::new(arrow::array::Int64Array::from_iter_values(1..=ROWS as i64)),
    )];
    for (at, (_, kind, values, _)) in types.iter().enumerate() {
        let texts: StringArray = (1..=ROWS)
            .map(|id| {
                let number = numbers(id, types.len()).nth(at).unwrap();
                values.get(number as usize % (values.len() + 1)).copied()
            })
            .collect();
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let cast = |array: &ArrayRef, kind: &DataType| cast_with_options(array, kind, &options).unwrap();
        let texts: ArrayRef = Arc::new(texts);
        let column = match kind {
            DataType::Float16 => cast(&cast(&texts, &DataType::Float32), kind),
            DataType::Date64 => cast(&cast(&texts, &DataType::Date32), kind),
            DataType::Decimal32(..) | DataType::Decimal64(..) => {
                cast(&cast(&texts, &DataType::Decimal128(18, 2)), kind)
            }
            kind => cast(&texts, kind),
        };
        columns.push((format!("c{at}"), column));
    }
    columns.push((
        "y".to_owned(),
        Arc::new(StringArray::from_iter_values((1..=ROWS).map(class))),
    ));
    write_parquet(
        &place,
        "rows.parquet",
        &RecordBatch::try_from_iter(columns).unwrap(),
    );
    let encoders: Vec<&str> = types.iter().map(|column| column.3).collect();
    place.write("pipeline.toml", pipeline("parquet:rows.parquet", "", &encoders));
    check(&place, &["rows.parquet"]);
}
