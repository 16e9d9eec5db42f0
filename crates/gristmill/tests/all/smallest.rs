//! The smallest pipeline, a source and a label: what is chosen for the rest, from any source, once and for all runs.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use gristmill_testkit::TempPostgres;
use insta::assert_snapshot;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::support::{Place, failure, stderr, stdout, table};

const ROWS: u64 = 400;

const SMALLEST: &str = r#"[source]
url = "sqlite:data.db"
query = "SELECT * FROM artist"

[label]
column = "country"

[run]
dir = "run"
"#;

/// Artists with a date, a flag, a code and a number of songs besides.
fn artists() -> String {
    format!(
        "{}
         ALTER TABLE artist ADD COLUMN code TEXT;
         ALTER TABLE artist ADD COLUMN songs BIGINT;
         ALTER TABLE artist ADD COLUMN level BIGINT;
         UPDATE artist SET code = 'A-' || (10000 + id), songs = id * id % 97, level = id % 4;",
        table(ROWS)
    )
}

/// The same rows as columns.
fn columns(place: &Place) -> RecordBatch {
    let connection = rusqlite::Connection::open(place.path("data.db")).unwrap();
    let column = |name: &str| -> Vec<rusqlite::types::Value> {
        let mut rows = connection
            .prepare(&format!("SELECT {name} FROM artist ORDER BY id"))
            .unwrap();
        let values = rows.query_map([], |row| row.get(0)).unwrap();
        values.map(Result::unwrap).collect()
    };
    use rusqlite::types::Value::{Integer, Null, Real, Text};
    let of = |name: &str| -> ArrayRef {
        let values = column(name);
        match values.iter().find(|value| **value != Null).unwrap() {
            Integer(_) => Arc::new(Int64Array::from_iter(values.iter().map(|value| match value {
                Integer(value) => Some(*value),
                _ => None,
            }))),
            Real(_) => Arc::new(Float64Array::from_iter(values.iter().map(|value| match value {
                Real(value) => Some(*value),
                _ => None,
            }))),
            _ => Arc::new(StringArray::from_iter(values.iter().map(|value| match value {
                Text(value) => Some(value.as_str()),
                _ => None,
            }))),
        }
    };
    let names = ["id", "name", "kind", "size", "country", "code", "songs", "level"];
    RecordBatch::try_from_iter_with_nullable(names.map(|name| (name, of(name), true))).unwrap()
}

fn smallest(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(SMALLEST.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` is not in the pipeline");
        text.replacen(from, to, 1)
    })
}

/// The lines of the summary that say what was chosen.
fn chosen(place: &Place) -> String {
    let summary = String::from_utf8(place.read("run/summary.txt")).unwrap();
    let (_, after) = summary
        .split_once("Chosen by the training rows\n")
        .expect("what was chosen");
    after.split("\n\n").next().unwrap().to_owned()
}

/// The pipeline that says what was chosen.
fn typed(metrics: &Value) -> String {
    let key = ("\n\n[label]", "\nkey = \"id\"\n\n[label]");
    let mut text = smallest(&[("dir = \"run\"", "dir = \"typed\""), key]);
    for column in metrics["chosen"]["columns"].as_array().unwrap() {
        for feature in column["features"].as_array().unwrap() {
            writeln!(text, "\n[[feature]]\ncolumn = {}", column["column"]).unwrap();
            for (key, value) in feature.as_object().unwrap() {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
    }
    text + "\n[model]\nkind = \"logistic_regression\"\n"
}

#[test]
fn what_is_chosen_could_have_been_typed() {
    let place = Place::with(&artists(), &smallest(&[]));
    let check = place.gristmill("check pipeline.toml");
    assert_eq!(check.status.code(), Some(0), "{}", stderr(&check));
    let open = stdout(&check);
    assert!(open.contains("name, kind, size, code, songs, level"), "{open}");
    let said = place.run();
    assert!(said.contains("choose 6 columns looked at, 1 left out"), "{said}");
    assert!(said.contains("`code` is an identifier"), "{said}");
    assert_snapshot!("chosen", chosen(&place));
    let metrics = place.metrics("run");
    let stages: Vec<&Value> = metrics["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| &stage["name"])
        .collect();
    assert_eq!(
        stages,
        ["pull", "choose", "fit", "transform", "train", "evaluate"]
    );
    // A run that goes on does not choose again, and says what was chosen.
    let model = place.model("run");
    let said = place.run();
    assert!(said.contains("choose skipped"), "{said}");
    assert!(said.contains("`code` is an identifier"), "{said}");
    assert_eq!(place.model("run"), model);
    let check = stdout(&place.gristmill("check pipeline.toml"));
    assert!(
        check.contains("`code` is an identifier") && check.contains("\nMemory "),
        "{check}"
    );
    // Nobody can tell the model from one that was typed.
    place.write("pipeline.toml", typed(&metrics));
    place.run();
    assert!(place.model("typed") == model, "another model");
    // And it predicts.
    place.write(
        "new.csv",
        "name,kind,size,songs,level\nkatomi,group,12.5,3,1\nschuberlin,,,,\n",
    );
    let output = place.gristmill("predict run/model --input new.csv --output out.csv");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        String::from_utf8(place.read("out.csv"))
            .unwrap()
            .contains("katomi")
    );
}

#[test]
fn every_source_gives_the_same_choice() {
    let place = Place::with(&artists(), &smallest(&[]));
    place.run();
    let expected = chosen(&place);
    let rows = columns(&place);
    let file = std::fs::File::create(place.path("artists.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let file = std::fs::File::create(place.path("artists.csv")).unwrap();
    arrow::csv::Writer::new(file).write(&rows).unwrap();
    let server = TempPostgres::shared();
    server.execute(&artists());
    let url = server.url();
    let (query, key) = ("query = \"SELECT * FROM artist\"\n", "key = \"id\"\n");
    for edits in [
        vec![("sqlite:data.db", "parquet:artists.parquet"), (query, key)],
        vec![("sqlite:data.db", "csv:artists.csv"), (query, key)],
        vec![("sqlite:data.db", url.as_str())],
    ] {
        std::fs::remove_dir_all(place.path("run")).unwrap();
        place.write("pipeline.toml", smallest(&edits));
        place.run();
        assert_eq!(chosen(&place), expected, "{edits:?}");
    }
}

#[test]
fn a_number_to_learn_is_a_regression() {
    let numbers = [("\"country\"", "\"size\"")];
    let place = Place::with(&artists(), &smallest(&numbers));
    let said = place.run();
    assert!(said.contains("label `size` holds numbers"), "{said}");
    assert!(said.contains("test rmse"), "{said}");
    // Few whole numbers are classes, unless the file says something that only numbers have.
    for (label, more, expected) in [
        ("level", "", "accuracy"),
        ("level", "[search]\nmetric = \"mae\"\n", "rmse"),
        ("songs", "", "rmse"),
        ("songs", "[model]\nsolver = \"lbfgs\"\n", "accuracy"),
    ] {
        let text = smallest(&[
            ("\"country\"", &format!("\"{label}\"")),
            ("\"run\"", &format!("\"{label}{}\"", more.len())),
        ]);
        place.write("pipeline.toml", text + more);
        let said = place.run();
        assert!(
            said.contains(&format!("test {expected}")),
            "{label} {more}: {said}"
        );
    }
}

/// Numbers of files that are not written as their type is written are numbers all the same, unless the file says that they are classes.
#[test]
fn numbers_of_a_csv_file_are_numbers() {
    let place = Place::new();
    let mut text = "id,size,price\n".to_owned();
    for id in 0..300 {
        writeln!(text, "{id},{}.50,{}.10", id * 7 % 90, id * 7 % 90 * 3).unwrap();
    }
    place.write("data.csv", text);
    let pipeline = |more: &str| {
        format!(
            "[source]\nurl = \"csv:data.csv\"\nkey = \"id\"\n[label]\ncolumn = \"price\"\n{more}\n[run]\ndir = \"run\"\n"
        )
    };
    for more in ["", "[[feature]]\ncolumn = \"size\"\n"] {
        place.write("pipeline.toml", pipeline(more));
        let said = place.run();
        assert!(said.contains("test rmse"), "{said}");
        assert!(
            chosen(&place).contains("`size` is a number"),
            "{}",
            chosen(&place)
        );
        std::fs::remove_dir_all(place.path("run")).unwrap();
    }
    place.write(
        "pipeline.toml",
        pipeline("[model]\nkind = \"logistic_regression\"\n"),
    );
    place.run();
    place.write("new.csv", "size\n12.5\n");
    place.gristmill("predict run/model --input new.csv --output out.csv");
    let predicted = String::from_utf8(place.read("out.csv")).unwrap();
    assert!(predicted.lines().nth(1).unwrap().contains(".10,"), "{predicted}");
}

/// Features of one kind and column that differ in their variant are all kept, whether they are chosen, stated, or both.
#[test]
fn every_feature_that_is_stated_or_chosen_is_fitted() {
    let place = Place::new();
    let rows = (0..300_u64).map(|i| {
        format!(
            "{i},{},{}\n",
            (i * i * 7919) % 90_001,
            ["a", "b"][(i / 3 % 2) as usize]
        )
    });
    place.write("wide.csv", format!("id,wide,label\n{}", rows.collect::<String>()));
    let numeric = |more: &str| format!("[[feature]]\ncolumn = \"wide\"\nencode = \"numeric\"\n{more}\n");
    let stated = numeric("") + &numeric("transform = \"log1p\"\n");
    let one = numeric("scale = \"none\"\n") + "[[feature]]\ncolumn = \"wide\"\n";
    let mut models = Vec::new();
    for (number, features) in [String::new(), stated, one].into_iter().enumerate() {
        let pipeline = format!(
            "[source]\nurl = \"csv:wide.csv\"\nkey = \"id\"\n\n{features}[label]\ncolumn = \"label\"\n\n[run]\ndir = \"run{number}\"\n"
        );
        place.write("pipeline.toml", pipeline);
        let output = place.gristmill("run pipeline.toml");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("2 features"), "{number}: {said}");
        models.push(place.read(&format!("run{number}/model/model.safetensors")));
    }
    assert!(models[0] == models[1], "what is chosen is not what is stated");
    assert!(models[1] != models[2], "the scale that is stated was lost");
}

#[test]
fn one_column_may_be_chosen_among_others() {
    let features = "[[feature]]\ncolumn = \"kind\"\nencode = \"one_hot\"\nmin_count = 2\n\n[[feature]]\ncolumn = \"name\"\n\n[label]";
    let place = Place::with(&artists(), &smallest(&[("[label]", features)]));
    place.run();
    assert_snapshot!("one_column", chosen(&place));
    let metrics = place.metrics("run");
    assert_eq!(metrics["chosen"]["columns"].as_array().unwrap().len(), 1);
}

/// A key that was found is kept, and one that cannot be found is asked for.
#[test]
fn a_key_is_found_where_the_database_says_it() {
    let place = Place::with(&artists(), &smallest(&[]));
    let check = place.gristmill("check pipeline.toml -v");
    assert!(
        stderr(&check).contains("source.key = \"id\""),
        "{}",
        stderr(&check)
    );
    place.run();
    let output = place.gristmill("verify run/dataset --pipeline pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = place.gristmill("predict run/model --pipeline pipeline.toml --output out.csv");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    std::fs::remove_file(place.path("data.db")).unwrap();
    let said = place.run();
    assert!(said.contains("pull skipped"), "{said}");
    place.sqlite(
        "CREATE TABLE artist (id BIGINT, name TEXT, country TEXT); INSERT INTO artist VALUES (1, 'a', 'b');",
    );
    place.write("pipeline.toml", smallest(&[("\"run\"", "\"other\"")]));
    assert_snapshot!("no_key", failure(&place.gristmill("run pipeline.toml"), 2));
    place.write("artists.csv", "id,name,country\n1,a,b\n");
    let query = "query = \"SELECT * FROM artist\"\n";
    place.write(
        "pipeline.toml",
        smallest(&[
            ("sqlite:data.db", "csv:artists.csv"),
            (query, ""),
            ("\"run\"", "\"other\""),
        ]),
    );
    assert_snapshot!(
        "no_key_of_files",
        failure(&place.gristmill("run pipeline.toml"), 2)
    );
    place.sqlite("DROP TABLE artist; CREATE TABLE artist (country TEXT PRIMARY KEY, name TEXT); INSERT INTO artist VALUES ('a', 'b');");
    place.write("pipeline.toml", smallest(&[("\"run\"", "\"other\"")]));
    assert_snapshot!(
        "split_by_label",
        failure(&place.gristmill("run pipeline.toml"), 2)
    );
}

#[test]
fn a_query_without_a_feature_is_refused_at_its_line() {
    let place = Place::with(&artists(), &smallest(&[("SELECT *", "SELECT id, code, country")]));
    assert_snapshot!("no_feature", failure(&place.gristmill("run pipeline.toml"), 2));
    place.write(
        "pipeline.toml",
        smallest(&[("SELECT *", "SELECT id, country"), ("\"run\"", "\"other\"")]),
    );
    assert_snapshot!("no_column", failure(&place.gristmill("run pipeline.toml"), 2));
    let auto = "[[feature]]\ncolumn = \"code\"\nencode = \"auto\"\n\n[label]";
    place.write(
        "pipeline.toml",
        smallest(&[("[label]", auto), ("\"run\"", "\"third\"")]),
    );
    assert_snapshot!(
        "no_chosen_feature",
        failure(&place.gristmill("run pipeline.toml"), 2)
    );
}

/// The temperature lowers the loss of the validation rows and moves no prediction.
#[test]
fn a_temperature_is_found_on_the_validation_rows() {
    let place = Place::with(&artists(), &smallest(&[]));
    place.run();
    let before = place.metrics("run");
    assert_eq!(before["calibration"], Value::Null);
    let calibrated = "[model]\ncalibrate = \"temperature\"\n\n[run]";
    place.write("pipeline.toml", smallest(&[("[run]", calibrated)]));
    let said = place.run();
    assert!(said.contains("transform skipped"), "{said}");
    let after = place.metrics("run");
    let loss = |metrics: &Value| metrics["splits"]["validation"]["log_loss"].as_f64().unwrap();
    let calibration = &after["calibration"];
    let losses = [0, 1].map(|at| calibration["log_loss"][at].as_f64().unwrap());
    assert!(losses[0] > losses[1], "{calibration}");
    assert!(
        (losses[0] - loss(&before)).abs() < 1e-6,
        "{calibration} {}",
        loss(&before)
    );
    assert!(
        (losses[1] - loss(&after)).abs() < 1e-6,
        "{calibration} {}",
        loss(&after)
    );
    for split in ["train", "validation", "test"] {
        let accuracy = |metrics: &Value| metrics["splits"][split]["accuracy"].clone();
        assert_eq!(accuracy(&before), accuracy(&after), "{split}");
    }
    let summary = String::from_utf8(place.read("run/summary.txt")).unwrap();
    assert!(summary.contains("\nTemperature "), "{summary}");
}

/// Without a row that decides, and where the loss of the validation rows falls for ever, the probabilities stay, and that is said.
#[test]
fn a_temperature_that_no_row_decides_is_told() {
    let place = Place::new();
    let rows = (0..300_u64).map(|i| {
        let (class, split) = (
            ["a", "b"][(i % 2) as usize],
            ["train", "test"][usize::from(i >= 200)],
        );
        format!(
            "{i},{},{class},{split},{}\n",
            i % 2 * 10 + i / 2 % 3,
            if i % 10 < 2 { "validation" } else { split }
        )
    });
    let header = "id,x,label,none,some\n";
    place.write("rows.csv", format!("{header}{}", rows.collect::<String>()));
    for (column, told) in [
        (
            "none",
            "there are no validation rows of classes that training saw",
        ),
        ("some", "so no temperature is best for them"),
    ] {
        place.write(
            "pipeline.toml",
            format!(
                "[source]\nurl = \"csv:rows.csv\"\nkey = \"id\"\nquery = \"SELECT id, x, label, {column} FROM input\"\n\n\
                 [label]\ncolumn = \"label\"\n\n[split]\ncolumn = \"{column}\"\n\n\
                 [model]\nkind = \"logistic_regression\"\nreg_param = 0.01\ncalibrate = \"temperature\"\n\n\
                 [run]\ndir = \"{column}\"\n"
            ),
        );
        let output = place.gristmill("run pipeline.toml");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains("model.calibrate leaves the probabilities as they are"),
            "{column}: {said}"
        );
        assert!(said.contains(told), "{column}: {said}");
        assert_eq!(place.metrics(column)["calibration"], Value::Null);
    }
}
