//! The same rows get the same predictions whatever form they come in.

use std::io::Write;
use std::process::{Command, Stdio};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use insta::assert_snapshot;

use crate::support::{Place, artist, failure, parquet, pipeline, stderr, table};

/// The rows that are asked, each `name, kind, size`.
fn rows() -> Vec<[String; 3]> {
    (1..=60)
        .map(|id| {
            let row = artist(id);
            let row = row.trim_matches(['(', ')']).replace("NULL", "").replace('\'', "");
            let mut values = row.split(", ").skip(1).map(str::to_owned);
            [(); 3].map(|()| values.next().unwrap())
        })
        .collect()
}

fn separated(rows: &[[String; 3]], by: &str) -> String {
    let rows = rows.iter().map(|row| row.join(by) + "\n");
    format!("name{by}kind{by}size\n{}", rows.collect::<String>())
}

fn json(rows: &[[String; 3]]) -> String {
    let value = |text: &str| {
        if text.is_empty() {
            "null".to_owned()
        } else {
            format!("{text:?}")
        }
    };
    let rows = rows.iter().map(|[name, kind, size]| {
        // A number, and a key that is missing where there is none.
        let size = if size.is_empty() {
            String::new()
        } else {
            format!(", \"size\": {size}0")
        };
        format!("{{\"name\": {}, \"kind\": {}{size}}}\n", value(name), value(kind))
    });
    rows.collect()
}

fn predictions(batches: &[RecordBatch]) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for batch in batches {
        let labels = batch["prediction"].as_string::<i32>();
        let values = batch["probability"].as_primitive::<Float64Type>();
        all.extend(
            (0..batch.num_rows()).map(|row| (labels.value(row).to_owned(), values.value(row).to_bits())),
        );
    }
    all
}

#[test]
fn every_form_gives_the_same_predictions() {
    let place = Place::with(&table(300), &pipeline(&[]));
    place.run();
    let rows = rows();
    place.write("rows.csv", separated(&rows, ","));
    place.write("rows.tsv", separated(&rows, "\t"));
    place.write("rows.txt", separated(&rows, ";"));
    place.write("rows.jsonl", json(&rows));
    place.write("packed.csv", separated(&rows, ","));
    place.write("packed.ndjson", json(&rows));
    for name in ["packed.csv", "packed.ndjson"] {
        let gzip = Command::new("gzip").arg(place.path(name)).status().unwrap();
        assert!(gzip.success());
    }
    std::fs::create_dir(place.path("parts")).unwrap();
    for (number, part) in rows.chunks(25).enumerate() {
        place.write(&format!("parts/part-{number}.csv"), separated(part, ","));
        place.write(&format!("parts/part-{number}.jsonl"), json(part));
    }
    let predict = |input: &str, from: Option<String>| {
        let command = format!("predict run/model --input {input} --output out.parquet --overwrite");
        let mut command = place.command(&command);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(from.unwrap_or_default().as_bytes()).ok();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{input}: {}", stderr(&output));
        predictions(&parquet(&place.path("out.parquet")))
    };
    let expected = predict("rows.csv", None);
    assert_eq!(expected.len(), 60);
    for input in [
        "rows.tsv",
        "csv:rows.txt?delimiter=;",
        "csv:rows.tsv?quote=none",
        "rows.jsonl",
        "jsonl:rows.jsonl",
        "packed.csv.gz",
        "packed.ndjson.gz",
        "csv:parts",
        "csv:parts/part-*.csv",
        "jsonl:parts",
    ] {
        assert_eq!(predict(input, None), expected, "{input}");
    }
    assert_eq!(predict("-", Some(separated(&rows, ","))), expected);
    assert_eq!(predict("- --input-format jsonl", Some(json(&rows))), expected);
    // A dataset, in its own order.
    let of_dataset = predict("run/dataset", None);
    assert_eq!(of_dataset.len(), 300);
    assert_eq!(predict("delta:run/dataset", None), of_dataset);
}

#[test]
fn an_input_that_cannot_be_read_is_refused() {
    let place = Place::with(&table(120), &pipeline(&[]));
    place.run();
    place.write("empty.csv", "");
    place.write("twice.csv", "name,kind,size,kind\n");
    place.write("list.jsonl", "{\"name\": \"a\"}\n[1]\n");
    place.write(
        "nested.jsonl",
        "{\"name\": {\"first\": \"a\"}, \"kind\": null, \"size\": 1}\n",
    );
    let mut later = "{\"name\": \"a\", \"kind\": \"group\", \"size\": 1}\n".repeat(30_000);
    later += "{\"name\": \"a\", \"kind\": \"group\", \"size\": 1, \"more\": 2}\n";
    place.write("later.jsonl", later);
    std::fs::create_dir(place.path("parts")).unwrap();
    place.write("parts/a.csv", "name,kind,size\n");
    place.write("parts/b.csv", "name,size,kind\n");
    for (name, input) in [
        ("empty", "empty.csv"),
        ("twice", "twice.csv"),
        ("no_object", "list.jsonl"),
        ("nested", "nested.jsonl"),
        ("later_key", "later.jsonl"),
        ("folder", "parts"),
        ("other_columns", "csv:parts"),
        ("unknown_option", "csv:parts?sep=;"),
        ("nothing_there", "jsonl:parts"),
    ] {
        let output = place.gristmill(&format!("predict run/model --input {input} --output out.csv"));
        assert_snapshot!(name, failure(&output, 2));
        assert!(!place.path("out.csv").exists());
    }
}

/// What a line of JSON has for a column of text that is read as one value, or the reason why not.
#[test]
fn a_line_of_json_has_one_value_for_a_key_and_text_where_text_is_read() {
    let place = Place::with(&table(120), &pipeline(&[]));
    place.run();
    let line = |name: &str, kind: &str| {
        format!(
            "{{\"name\": \"a\", \"kind\": \"group\", \"size\": 1}}\n{{\"name\": {name}, \"kind\": {kind}, \"size\": 2}}\n"
        )
    };
    for (name, kind, refused) in [
        ("\"kato\"", "\"1.50\"", None),
        ("\"kato\"", "\"true\"", None),
        ("\"kato\"", "7", None),
        ("\"kato\"", "-7", None),
        ("18446744073709551615", "null", None),
        ("\"k\\u00e4to \\\"x\\\"\"", "\"\"", None),
        (
            "\"kato\"",
            "1.50",
            Some("line 2: column `kind`: 1.5 is a number that is no integer of 64 bits"),
        ),
        ("\"kato\"", "1e3", Some("line 2: column `kind`: 1000 is a number")),
        (
            "\"kato\"",
            "18446744073709551616",
            Some("line 2: column `kind`: 18446744073709552000 is a number"),
        ),
        (
            "\"kato\"",
            "true",
            Some("line 2: column `kind`: true is a boolean, expected text; write in quotes"),
        ),
        (
            "false",
            "\"group\"",
            Some("line 2: column `name`: false is a boolean"),
        ),
        (
            "\"kato\", \"name\": \"kato\"",
            "\"group\"",
            Some("line 2: the key `name` is there twice"),
        ),
        (
            "\"kato\", \"n\\u0061me\": \"a\"",
            "\"group\"",
            Some("line 2: the key `name` is there twice"),
        ),
        (
            "\"kato\", \"size\": 1",
            "\"group\"",
            Some("line 2: the key `size` is there twice"),
        ),
        ("\"kato\"", "\"group\"} {", Some("line 2: ")),
    ] {
        place.write("rows.jsonl", line(name, kind));
        let output = place.gristmill("predict run/model --input rows.jsonl --output out.csv --overwrite");
        let said = stderr(&output).replace("\n  ", " ");
        match refused {
            None => assert_eq!(output.status.code(), Some(0), "{name}, {kind}: {said}"),
            Some(why) => {
                assert_eq!(output.status.code(), Some(2), "{name}, {kind}: {said}");
                assert!(said.contains(why), "{said}");
            }
        }
    }
}

#[test]
fn categories_are_asked_as_they_are_written_when_files_are_read_as_a_source() {
    let codes = ["1.10", "1.1", "100", "100.0", "TRUE", "1E3"];
    let rows = (0..120).map(|id| {
        let country = ["AT", "CH"][id % codes.len() % 2];
        format!("{id},{},{country}\n", codes[id % codes.len()])
    });
    let rows = "id,kind,country\n".to_owned() + &rows.collect::<String>();
    let pipeline = "[source]\nurl = \"csv:rows.csv\"\nkey = \"id\"\n[[feature]]\ncolumn = \"kind\"\nencode = \"one_hot\"\n\
                    [label]\ncolumn = \"country\"\n[model]\nkind = \"logistic_regression\"\n[run]\ndir = \"run\"\n";
    let place = Place::with("", pipeline);
    place.write("rows.csv", rows);
    place.run();
    let predict = |input: &str| {
        let output = place.gristmill(&format!(
            "predict run/model --input {input} --output out.parquet --overwrite --strict"
        ));
        assert_eq!(output.status.code(), Some(0), "{input}: {}", stderr(&output));
        predictions(&parquet(&place.path("out.parquet")))
    };
    let as_file = predict("rows.csv");
    assert_eq!(as_file.len(), 120);
    assert_eq!(predict("csv:rows.csv --key id"), as_file);
}
