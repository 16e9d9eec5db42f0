//! Where predictions are written to: the same rows in every form, and nothing that another wrote is replaced unasked.

use std::fs;
use std::process::{Command, Output, Stdio};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};

use crate::support::{Place, parquet, pipeline, stderr, stdout, table};

const ROWS: u64 = 300;

/// A trained model, and rows to label: their ids are numbers, and some texts need quoting.
fn trained() -> Place {
    let place = Place::with(
        &table(90),
        &pipeline(&[("reg_param = [0.01, 0.1]", "reg_param = 0.1")]),
    );
    place.run();
    let rows: Vec<String> = (0..ROWS)
        .map(|id| match id % 3 {
            0 => format!("{id},\"ka, \"\"to\"\"{id}\",person,{id}\n"),
            1 => format!("{id},,group,\n"),
            _ => format!("{id},schuber{id},person,{id}.5\n"),
        })
        .collect();
    place.write("rows.csv", format!("id,name,kind,size\n{}", rows.concat()));
    place
}

fn predict(place: &Place, more: &str) -> Output {
    place.gristmill(&format!("predict run/model --input rows.csv {more}"))
}

fn done(place: &Place, more: &str) -> Output {
    let output = predict(place, more);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    output
}

/// Each row as its values: id, prediction, probability.
type Rows = Vec<(String, Option<String>, Option<f64>)>;

fn of_batches(batches: &[RecordBatch]) -> Rows {
    let rows = batches.iter().flat_map(|batch| {
        let (ids, predictions) = (&batch["id"], batch["prediction"].as_string::<i32>());
        let probabilities = batch["probability"].as_primitive::<Float64Type>();
        let id = |row| match ids.as_string_opt::<i32>() {
            Some(ids) => ids.value(row).to_owned(),
            None => ids.as_primitive::<Int64Type>().value(row).to_string(),
        };
        let row = move |row| {
            (
                id(row),
                predictions.iter().nth(row).flatten().map(str::to_owned),
                probabilities.iter().nth(row).flatten(),
            )
        };
        (0..batch.num_rows()).map(row).collect::<Vec<_>>()
    });
    rows.collect()
}

fn of_csv(text: &str) -> Rows {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(
        header,
        ["id", "name", "kind", "size", "prediction", "probability"]
    );
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let row = |row: csv::StringRecord| (row[0].to_owned(), filled(&row[4]), row[5].parse().ok());
    reader.records().map(|record| row(record.unwrap())).collect()
}

fn of_json_lines(text: &str) -> Rows {
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(row.as_object().unwrap().len(), 6, "{line}");
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        // That library reads numbers to the last digit but one.
        let probability = line.rsplit(':').next().unwrap().trim_end_matches('}');
        (
            text("id").unwrap_or_else(|| row["id"].to_string()),
            text("prediction"),
            probability.parse().ok(),
        )
    };
    text.lines().map(row).collect()
}

#[test]
fn every_form_has_the_same_rows() {
    let place = trained();
    done(&place, "--output a.parquet");
    let expected = of_batches(&parquet(&place.path("a.parquet")));
    assert_eq!(expected.len() as u64, ROWS);
    assert!(
        expected
            .iter()
            .all(|(_, label, p)| label.is_some() && p.is_some())
    );
    let text = |name| String::from_utf8(place.read(name)).unwrap();
    done(&place, "--output a.csv");
    assert_eq!(of_csv(&text("a.csv")), expected);
    for name in ["a.jsonl", "a.ndjson"] {
        done(&place, &format!("--output {name}"));
        assert_eq!(of_json_lines(&text(name)), expected);
    }
    done(&place, "--output a.txt --output-format csv");
    assert_eq!(text("a.txt"), text("a.csv"));
    for output in ["delta:scores", "table --output-format delta"] {
        done(&place, &format!("--output {output}"));
        let dir = output.trim_start_matches("delta:").split(' ').next().unwrap();
        assert!(
            place
                .path(dir)
                .join("_delta_log/00000000000000000000.json")
                .is_file()
        );
        let files = crate::support::files(&place.path(dir)).into_keys();
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet"));
        let batches = files.flat_map(|path| parquet(&path));
        assert_eq!(of_batches(&batches.collect::<Vec<_>>()), expected);
    }
    // Rows and nothing else.
    let piped = done(&place, "--output -");
    assert_eq!(stdout(&piped), text("a.csv"));
    assert!(stderr(&piped).contains("300 rows written to the standard output"));
    let piped = done(&place, "--output - --output-format jsonl -q");
    assert_eq!((stdout(&piped), stderr(&piped)), (text("a.jsonl"), String::new()));
    let refused = predict(&place, "--output - --output-format parquet");
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused)
            .replace("\n  ", " ")
            .contains("give --output-format csv or jsonl")
    );
}

/// `predict … | head -1` is no failure.
#[test]
fn whoever_stops_reading_has_seen_enough() {
    let place = trained();
    let rows = String::from_utf8(place.read("rows.csv")).unwrap();
    let (header, rows) = rows.split_once('\n').unwrap();
    place.write("rows.csv", format!("{header}\n{}", rows.repeat(40)));
    let mut child = place
        .command("predict run/model --input rows.csv --output -")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn nothing_that_is_there_is_replaced_unasked() {
    let place = trained();
    for name in ["a.csv", "a.parquet", "a.jsonl"] {
        // Of the names that a program might write under on the way, only one is hidden.
        let neighbours = [
            "a.partial",
            "a.tmp",
            "a.unfinished",
            &format!("{name}.partial"),
            &format!(".{name}"),
        ];
        for neighbour in neighbours {
            place.write(neighbour, "mine");
        }
        place.write(name, "mine");
        let refused = predict(&place, &format!("--output {name}"));
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        let said = stderr(&refused).replace("\n  ", " ");
        assert!(
            said.contains("is there already; --overwrite replaces it"),
            "{said}"
        );
        assert_eq!(place.read(name), b"mine");
        done(&place, &format!("--output {name} --overwrite"));
        assert_ne!(place.read(name), b"mine");
        for neighbour in neighbours {
            assert_eq!(place.read(neighbour), b"mine");
        }
    }
    for (name, make) in [
        ("folder.csv", "mkdir folder.csv"),
        ("pipe.csv", "mkfifo pipe.csv"),
    ] {
        let made = Command::new("sh")
            .args(["-c", make])
            .current_dir(place.path(""))
            .status();
        assert!(made.unwrap().success());
        for overwrite in ["", "--overwrite"] {
            let refused = predict(&place, &format!("--output {name} {overwrite}"));
            assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        }
    }
    fs::create_dir(place.path("scores")).unwrap();
    place.write("scores/mine.txt", "mine");
    let refused = predict(&place, "--output delta:scores");
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("there is something in it"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(crate::support::files(&place.path("scores")).len(), 1);
}
