//! Folders that a run works in: those of others are not touched, and a path either works or is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::support::{Place, failure, files, pipeline, stderr, table};

const ROWS: u64 = 120;

fn place(dir: &str) -> Place {
    Place::with(
        &table(ROWS),
        &pipeline(&[("dir = \"run\"", &format!("dir = '{dir}'"))]),
    )
}

/// What is in the folder beside the database.
fn held(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    files(&place.path("."))
}

#[test]
fn a_folder_with_files_of_others_is_refused_and_stays_as_it_is() {
    for (file, named) in [
        ("run/features/code.py", "features"),
        ("run/model/model.safetensors", "model"),
        ("run/model/notes.txt", "model"),
        ("run/dataset/batch-0000000000.parquet", "dataset"),
        ("run/dataset/_delta_log/00000000000000000000.json", "dataset"),
        ("run/summary.txt", "summary.txt"),
        ("run/metrics.json", "metrics.json"),
        ("run/fit.parquet", "fit.parquet"),
        ("run/train.checkpoint", "train.checkpoint"),
        ("run/.lock", ".lock"),
        ("run/README.md", "README.md"),
    ] {
        let place = place("run");
        fs::create_dir_all(place.path(file).parent().unwrap()).unwrap();
        place.write(file, "mine");
        let before = held(&place);
        for command in ["run", "pull", "check", "run --fresh"] {
            let said = failure(&place.gristmill(&format!("{command} pipeline.toml")), 2);
            let expected = format!("run.dir = run holds `{named}` and is no folder of a run");
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(&expected), "{file}: {said}");
        }
        assert_eq!(held(&place), before, "{file}");
    }
    // The folder of the pipeline itself holds the pipeline.
    let place = place(".");
    let before = held(&place);
    failure(&place.gristmill("run pipeline.toml"), 2);
    assert_eq!(held(&place), before);
}

#[test]
fn a_file_of_others_among_the_features_is_not_removed_with_them() {
    let place = place("run");
    place.run();
    place.write("run/features/code.py", "mine");
    place.write("run/notes.txt", "mine");
    place.write("run/model/card.md", "mine");
    // Other features take the place of these.
    place.write("pipeline.toml", pipeline(&[("bits = 8", "bits = 9")]));
    let before = held(&place);
    let output = place.gristmill("run pipeline.toml");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`code.py`"), "{said}");
    assert_eq!(place.read("run/features/code.py"), b"mine");
    fs::rename(place.path("run/features/code.py"), place.path("code.py")).unwrap();
    place.run();
    let after = held(&place);
    for kept in ["run/notes.txt", "run/model/card.md"] {
        let path = before.keys().find(|path| path.ends_with(kept)).unwrap();
        assert_eq!(after[path], b"mine");
    }
}

#[test]
fn an_empty_folder_and_one_of_a_run_without_its_records_are_worked_in() {
    let place = place("run");
    fs::create_dir(place.path("run")).unwrap();
    place.run();
    let model = place.model("run");
    fs::remove_file(place.path("run/run.json")).unwrap();
    place.run();
    assert_eq!(place.model("run"), model);
}

#[test]
fn a_path_works_or_is_refused() {
    let (mut works, mut refused) = (0, 0);
    for name in [
        "a b",
        "é 日本",
        "a?b#c",
        "a[b]{c}*~",
        "$a&b=c",
        "a:b;c,d",
        "-a",
        "a'b\"c",
        "a+b|<c>^`",
        "..a.",
        "a%20b",
        "a%2Fb",
        "100%",
        "a\\b",
        "a\tb",
        "a\nb",
    ] {
        let text = pipeline(&[("dir = \"run\"", &format!("dir = {name:?}"))]);
        let place = Place::with(&table(ROWS), &text);
        let before = held(&place);
        let output = place.gristmill("run pipeline.toml");
        if output.status.code() == Some(2) {
            let said = stderr(&output);
            assert!(said.contains("its path holds `"), "{name}: {said}");
            assert_eq!(held(&place), before, "{name}: nothing is written");
            refused += 1;
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        assert!(
            place.path(name).join("model/model.safetensors").is_file(),
            "{name}"
        );
        let again = place.gristmill("run pipeline.toml -v");
        assert!(stderr(&again).contains("pull"), "{name}");
        for command in ["verify", "inspect"] {
            let output = place
                .command(command)
                .arg(place.path(name).join("dataset"))
                .output()
                .unwrap();
            assert_eq!(
                output.status.code(),
                Some(0),
                "{command} {name}: {}",
                stderr(&output)
            );
        }
        works += 1;
    }
    assert_eq!((works, refused), (10, 6));
}

#[test]
fn a_path_that_leads_back_is_where_it_leads() {
    let place = place("nope/..");
    place.write("summary.txt", "mine");
    std::fs::create_dir(place.path("dataset.fresh")).unwrap();
    place.write("dataset.fresh/keep", "mine");
    let before = held(&place);
    for command in ["run", "pull", "run --fresh"] {
        let said = failure(&place.gristmill(&format!("{command} pipeline.toml")), 2);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("is no folder of a run"), "{said}");
    }
    assert_eq!(held(&place), before);
}

#[test]
fn records_of_another_program_are_left_alone() {
    for text in ["{}", "not json", "{\"version\": \"3\"}"] {
        let place = place("run");
        fs::create_dir(place.path("run")).unwrap();
        place.write("run/run.json", text);
        let said = failure(&place.gristmill("run pipeline.toml"), 2);
        assert!(said.contains("holds `run.json` and is no folder"), "{said}");
        assert!(!said.contains("delete it"), "{said}");
    }
}

#[test]
fn a_fresh_dataset_takes_no_place_with_files_of_others() {
    for file in ["run/dataset/notes.txt", "run/dataset.fresh/notes.txt"] {
        let place = place("run");
        place.run();
        fs::create_dir_all(place.path(file).parent().unwrap()).unwrap();
        place.write(file, "mine");
        for command in ["run pipeline.toml --fresh", "pull pipeline.toml --fresh"] {
            let said = failure(&place.gristmill(command), 2);
            assert!(said.contains("`notes.txt`"), "{said}");
        }
        assert_eq!(place.read(file), b"mine");
    }
    // A link to a larger disk.
    let place = place("run");
    place.run();
    fs::rename(place.path("run/dataset"), place.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(place.path("elsewhere"), place.path("run/dataset")).unwrap();
    let said = failure(&place.gristmill("run pipeline.toml --fresh"), 2);
    assert!(said.contains("it is a link"), "{said}");
    place.run();
}
