//! `verify`, `vacuum` and `pull` as their user sees them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::{Place, pipeline, stderr, stdout, table};
use arrow::array::{AsArray, RecordBatch, StringArray};
use gristmill_learn::registry::built_in;
use gristmill_run::Session;
use gristmill_run::event::{Event, Observe};
use gristmill_run::settings::PipelineFile;
use parquet::arrow::ArrowWriter;

/// What was said, without the breaks of its lines.
fn words(said: &str) -> String {
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Twelve batches, merged into one file.
fn place() -> Place {
    let place = Place::with(&table(90), &pipeline(&[("rows = 25", "rows = 8")]));
    let output = place.gristmill("pull pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!place.path("run/model").exists());
    place
}

#[test]
fn a_dataset_that_is_as_recorded() {
    let place = place();
    let output = place.gristmill("verify run/dataset");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "12 batches with 90 rows compared with the files: no difference\n"
    );
    let output = place.gristmill("verify run/dataset --pipeline pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "12 batches with 90 rows compared with the files: no difference\n\
         12 batches with 90 rows compared with the database: no difference\n"
    );
    // The run goes on from it, and so does the verification.
    place.run();
    assert_eq!(place.gristmill("verify run/dataset").status.code(), Some(0));
}

/// The log lost its first entry, for which a checkpoint stands; without one it is damage.
#[test]
fn a_log_that_another_tool_cleaned_up_is_told_by_every_command() {
    let place = place();
    std::fs::remove_file(place.path("run/dataset/_delta_log/00000000000000000000.json")).unwrap();
    let output = place.gristmill("verify run/dataset");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!("cleaned_up_verify", stdout(&output));
    let said = place.run();
    let warning = said.split("warning: ").nth(1).unwrap();
    insta::assert_snapshot!("cleaned_up_run", warning.split("      fit").next().unwrap());
    for entry in std::fs::read_dir(place.path("run/dataset/_delta_log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            std::fs::remove_file(path).unwrap();
        }
    }
    for command in ["verify run/dataset", "run pipeline.toml"] {
        let output = place.gristmill(command);
        assert_eq!(output.status.code(), Some(2), "{command}");
        insta::assert_snapshot!("cleaned_up_damaged", stderr(&output));
    }
}

#[test]
fn batches_that_differ_from_the_database_are_named() {
    let place = place();
    place.sqlite(
        "UPDATE artist SET name = 'Other' WHERE id = 20; DELETE FROM artist WHERE id BETWEEN 41 AND 48;
         INSERT INTO artist VALUES (1000, 'Late', NULL, NULL, 'Japan')",
    );
    let output = place.gristmill("verify run/dataset --pipeline pipeline.toml");
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(stdout(&output), @r"
    12 batches with 90 rows compared with the files: no difference
    Batch 2, after 16 up to 24
      then              8 rows  252e3e75f4d73e481d4f67670f183eb5
      now               8 rows  ebb6ed4f2883d9b707b127fe401a35a6
    Batch 5, after 40 up to 48
      then              8 rows  af5431214ee1fa997a2ec0da6d916ad6
      now               0 rows  00000000000000000000000000000000
    There are rows of no batch in the database: after the last key, or without a key.
    12 batches with 90 rows compared with the database: 2 differ
    ");
    assert!(
        stderr(&output).contains("the log of run/dataset and the database do not agree"),
        "{}",
        stderr(&output)
    );
    // The files are still what was recorded of them.
    assert_eq!(place.gristmill("verify run/dataset").status.code(), Some(0));
}

#[test]
fn another_pipeline_or_no_dataset_is_bad_input() {
    let place = place();
    place.write(
        "other.toml",
        pipeline(&[("SELECT id, name, kind", "SELECT id, upper(name) AS name, kind")]),
    );
    for (arguments, says) in [
        (
            "verify run/dataset --pipeline other.toml",
            "was made by a different pipeline: source.query",
        ),
        ("verify run", "run is not a dataset"),
        ("vacuum nowhere", "nowhere is not a dataset"),
        (
            "verify run/dataset --pipeline nowhere.toml",
            "cannot read the pipeline file",
        ),
    ] {
        let output = place.gristmill(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(output.stdout.is_empty());
        let text = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn vacuum_prints_what_it_deletes() {
    let place = place();
    let output = place.gristmill("vacuum run/dataset");
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""));
    assert!(stderr(&output).starts_with("0 files, "), "{}", stderr(&output));
    let would = place.gristmill("vacuum run/dataset --retain-hours 0 --dry-run");
    assert!(stderr(&would).contains("would be deleted"));
    let first = place.path("run/dataset/batch-0000000000.parquet");
    assert!(first.exists());
    let output = place.gristmill("vacuum run/dataset --retain-hours 0");
    assert_eq!(stdout(&output), stdout(&would));
    assert_eq!(stdout(&output).lines().count(), 12);
    assert_eq!(
        stdout(&output).lines().next(),
        Some("run/dataset/batch-0000000000.parquet")
    );
    assert!(!first.exists());
    assert_eq!(place.ids("run"), (1..=90).collect::<Vec<_>>());
    assert_eq!(place.gristmill("verify run/dataset").status.code(), Some(0));
}

/// The one file of the compacted dataset.
const MERGED: &str = "run/dataset/batch-0000000000-0000000011.parquet";

/// Writes a dataset file anew with its labels in the opposite order, as an editor of labels would.
fn edit_labels(place: &Place, file: &str) {
    let path = place.path(file);
    let batches = crate::support::parquet(&path);
    let schema = batches[0].schema();
    let country = schema.index_of("country").unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), None).unwrap();
    for batch in batches {
        let mut columns = batch.columns().to_vec();
        let labels: Vec<Option<&str>> = columns[country].as_string::<i32>().iter().collect();
        columns[country] = Arc::new(StringArray::from_iter(labels.into_iter().rev()));
        writer
            .write(&RecordBatch::try_new(schema.clone(), columns).unwrap())
            .unwrap();
    }
    writer.close().unwrap();
}

/// Changes the name of the program that wrote a file, which no reader minds.
fn edit_footer(place: &Place, file: &str) {
    let mut bytes = place.read(file);
    let at = bytes.windows(9).rposition(|bytes| bytes == b"gristmill").unwrap();
    bytes[at] = b'G';
    place.write(file, bytes);
}

/// Whatever may have happened to the files of a dataset, nothing is trained on it, whether the run is the first or has finished
/// before; and `verify` finds it, though the database is as it was.
#[test]
fn what_is_not_the_dataset_that_was_pulled_is_not_trained_on() {
    type Damage = fn(&Place);
    let other = Place::with(&table(96), &pipeline(&[("rows = 25", "rows = 8")]));
    other.run();
    let foreign = other.read(MERGED);
    let damages: [(&str, Damage, &str); 7] = [
        (
            "cut",
            |place| {
                let bytes = place.read(MERGED);
                place.write(MERGED, &bytes[..bytes.len() - 9]);
            },
            "bytes, and had",
        ),
        ("emptied", |place| place.write(MERGED, ""), "it has 0 bytes"),
        (
            "deleted",
            |place| std::fs::remove_file(place.path(MERGED)).unwrap(),
            "it is missing",
        ),
        (
            "a folder",
            |place| {
                std::fs::remove_file(place.path(MERGED)).unwrap();
                std::fs::create_dir(place.path(MERGED)).unwrap();
            },
            "it is not a file",
        ),
        ("edited", |place| edit_labels(place, MERGED), "bytes, and had"),
        (
            "its footer",
            |place| edit_footer(place, MERGED),
            "its content was changed",
        ),
        ("of another run", |_| (), "bytes, and had"),
    ];
    for (damage, act, says) in damages {
        for finished in [false, true] {
            let case = format!("{damage}, finished {finished}");
            let place = place();
            if finished {
                place.run();
            }
            act(&place);
            if damage == "of another run" {
                place.write(MERGED, &foreign);
            }
            let before = crate::support::files(&place.path("run"));
            let output = place.gristmill("run pipeline.toml");
            let said = words(&stderr(&output));
            assert_eq!(output.status.code(), Some(2), "{case}: {said}");
            assert!(said.contains(says), "{case}: {said}");
            let way_out = "restore it, or delete the folder to pull the rows again";
            assert!(said.contains(MERGED) && said.contains(way_out), "{case}: {said}");
            let mut after = crate::support::files(&place.path("run"));
            after.retain(|path, _| !path.ends_with(".gristmill"));
            assert!(
                before
                    .into_iter()
                    .filter(|(path, _)| !path.ends_with(".gristmill"))
                    .eq(after),
                "{case}"
            );
            let output = place.gristmill("verify run/dataset --pipeline pipeline.toml");
            assert_eq!(output.status.code(), Some(1), "{case}");
            let said = words(&stderr(&output));
            assert!(
                said.contains("the log of run/dataset and the files do not agree"),
                "{case}: {said}"
            );
            let told = words(&stdout(&output));
            assert!(
                told.contains("compared with the database: no difference"),
                "{case}: {told}"
            );
            assert!(told.contains("is not as it was committed: "), "{case}: {told}");
            // The way out.
            std::fs::remove_dir_all(place.path("run/dataset")).unwrap();
            place.run();
            assert_eq!(place.ids("run"), (1..=90).collect::<Vec<_>>(), "{case}");
        }
    }
}

/// Edits a file of the dataset once a stage has begun to read it.
struct EditedIn {
    stage: &'static str,
    file: PathBuf,
}

impl Observe for EditedIn {
    fn event(&self, event: Event) {
        if matches!(event, Event::StageStarted { stage, .. } if stage == self.stage) {
            let bytes = std::fs::read(&self.file).unwrap();
            std::fs::write(&self.file, bytes).unwrap();
        }
    }
}

/// The file was as committed when the run began, and nobody knows what the stage read.
#[test]
fn a_file_that_is_written_while_a_stage_reads_it_ends_the_run() {
    let place = Place::with(&table(90), "");
    let text = pipeline(&[
        (
            "sqlite:data.db",
            &format!("sqlite:{}", place.path("data.db").display()),
        ),
        ("rows = 25", "rows = 8"),
        (
            "dir = \"run\"",
            &format!("dir = \"{}\"", place.path("run").display()),
        ),
    ]);
    let file = PipelineFile::parse(Path::new("pipeline.toml"), &text, &|_| None, &built_in());
    let file = file.unwrap_or_else(|_| panic!("not a pipeline"));
    let open = |observe: &dyn Observe| Session::open(&file.pipeline, observe).unwrap();
    open(&Silent).pull(&Silent).unwrap();
    for stage in ["fit", "transform"] {
        let edited = EditedIn {
            stage,
            file: place.path("run/dataset/batch-0000000000-0000000011.parquet"),
        };
        let error = open(&edited).run(&edited).map(drop).unwrap_err().to_string();
        assert!(
            error.contains("was changed while it was read; run again"),
            "{stage}: {error}"
        );
    }
    // Nothing of that was taken for finished.
    open(&Silent).run(&Silent).unwrap();
}

struct Silent;

impl Observe for Silent {
    fn event(&self, _event: Event) {}
}

/// Two files of a dataset that was not compacted, each in the place of the other: the rows of all together are the same.
#[test]
fn files_that_changed_places_are_not_trained_on() {
    let place = Place::with(&table(75), &pipeline(&[]));
    place.run();
    let (first, second) = (
        "run/dataset/batch-0000000000.parquet",
        "run/dataset/batch-0000000001.parquet",
    );
    let (bytes, others) = (place.read(first), place.read(second));
    place.write(first, others);
    place.write(second, bytes);
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&stderr(&output)).contains("batch-0000000000.parquet is not as it was committed"));
    let output = place.gristmill("verify run/dataset");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words(&stdout(&output)).contains("2 differ"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn what_is_no_file_of_the_dataset_is_not_in_the_way() {
    let place = place();
    place.run();
    let model = place.model("run");
    for file in [
        "batch-0000000099.parquet",
        "batch-0000000003.parquet",
        "notes.parquet",
    ] {
        place.write(&format!("run/dataset/{file}"), "not of this dataset");
    }
    let said = place.run();
    assert_eq!(said.matches("skipped: ").count(), 5, "{said}");
    std::fs::remove_file(place.path("run/run.json")).unwrap();
    place.run();
    assert!(place.model("run") == model, "another model");
    assert_eq!(place.gristmill("verify run/dataset").status.code(), Some(0));
}

/// What `run.verify` decides over: a byte that changes no row.
#[test]
fn with_sizes_alone_no_byte_of_the_dataset_is_compared() {
    let place = place();
    edit_footer(&place, MERGED);
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    place.write(
        "pipeline.toml",
        pipeline(&[
            ("rows = 25", "rows = 8"),
            ("threads = 2", "threads = 2\nverify = \"sizes\""),
        ]),
    );
    place.run();
    let bytes = place.read(MERGED);
    place.write(MERGED, &bytes[..bytes.len() - 9]);
    let output = place.gristmill("run pipeline.toml");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

/// A dataset under a training that goes on, and its log.
#[test]
fn a_log_that_was_edited_is_refused() {
    let place = place();
    place.run();
    let log = "run/dataset/_delta_log/00000000000000000003.json";
    let text = String::from_utf8(place.read(log)).unwrap();
    place.write(log, text.replacen("\"rows_kept\":8", "\"rows_kept\":7", 1));
    for command in [
        "run pipeline.toml",
        "pull pipeline.toml",
        "verify run/dataset",
        "inspect run/dataset",
    ] {
        let output = place.gristmill(command);
        let said = words(&stderr(&output));
        assert_ne!(output.status.code(), Some(0), "{command}");
        assert!(
            said.contains(&format!("{log} was edited; restore the log as it was written")),
            "{command}: {said}"
        );
    }
}
