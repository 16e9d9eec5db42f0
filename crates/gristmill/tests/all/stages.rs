//! A stage is finished if its record says so and what it made is as it was then; whatever else is there is done again, and said.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::sync::LazyLock;

use crate::support::{Place, files, pipeline, stderr, table};

const ROWS: u64 = 120;

/// One run that nothing disturbs.
static FINISHED: LazyLock<Place> = LazyLock::new(|| {
    let place = Place::with(&table(ROWS), &pipeline(&[]));
    place.run();
    place
});

/// A run of other rows, whose files have the same names and layouts.
static OTHER: LazyLock<Place> = LazyLock::new(|| {
    let place = Place::with(&table(ROWS + 30), &pipeline(&[]));
    place.run();
    place
});

/// What was said, without the breaks of its lines.
fn words(said: &str) -> String {
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The outcome is that of a run that nothing disturbed.
#[track_caller]
fn assert_outcome(place: &Place, case: &str) {
    assert!(
        place.model("run") == FINISHED.model("run"),
        "{case}: another model"
    );
    let (found, expected) = (place.metrics("run"), FINISHED.metrics("run"));
    for of in ["rows", "splits", "search", "best"] {
        assert_eq!(found[of], expected[of], "{case}");
    }
}

/// And a further run has nothing to do.
#[track_caller]
fn assert_finished(place: &Place, case: &str) {
    assert_outcome(place, case);
    let said = place.run();
    assert_eq!(said.matches("skipped: ").count(), 5, "{case}: {said}");
    // Only that its database is a copy, which is another file.
    assert!(!said.contains("again:"), "{case}: {said}");
}

/// What may have happened to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Cut,
    Emptied,
    Edited,
    Lengthened,
    Foreign,
    OfAnotherRun,
    Deleted,
    AFolder,
}

impl Damage {
    const ALL: [Self; 8] = [
        Self::Cut,
        Self::Emptied,
        Self::Edited,
        Self::Lengthened,
        Self::Foreign,
        Self::OfAnotherRun,
        Self::Deleted,
        Self::AFolder,
    ];

    fn hits(self, place: &Place, file: &str) {
        let mut content = place.read(file);
        let middle = content.len() / 2;
        match self {
            Self::Cut => content.truncate(middle),
            Self::Emptied => content.clear(),
            Self::Edited => content[middle] ^= 1,
            Self::Lengthened => content.push(b'\n'),
            Self::Foreign => content = b"id,name\n1,Ann\n".repeat(40),
            Self::OfAnotherRun => content = OTHER.read(file),
            Self::Deleted | Self::AFolder => {
                fs::remove_file(place.path(file)).unwrap();
                if matches!(self, Self::AFolder) {
                    fs::create_dir(place.path(file)).unwrap();
                }
                return;
            }
        }
        place.write(file, content);
    }
}

#[test]
fn what_a_stage_made_is_made_again_if_it_was_changed() {
    for (file, stage) in [
        ("run/fit.parquet", "fit"),
        ("run/features/part-000000.parquet", "transform"),
        ("run/features/manifest.json", "transform"),
        ("run/model/model.safetensors", "train"),
        ("run/metrics.json", "train"),
        ("run/summary.txt", "train"),
    ] {
        for damage in Damage::ALL {
            // A rename cannot put a file in the place of a folder; within the features it is the whole that is replaced.
            if matches!(damage, Damage::AFolder) && !file.contains("features") {
                continue;
            }
            let case = format!("{file} {damage:?}");
            let place = FINISHED.copy();
            damage.hits(&place, file);
            let said = words(&place.run());
            let name = file.rsplit('/').next().unwrap();
            let redone = said.find(&format!("warning: {stage} is done again: "));
            assert!(
                redone.is_some_and(|at| said[at..].contains(&format!("{name}: "))),
                "{case}: {said}"
            );
            assert_eq!(said.matches("is done again").count(), 1, "{case}: {said}");
            if matches!(damage, Damage::Cut) {
                assert_finished(&place, &case);
            } else {
                assert_outcome(&place, &case);
            }
        }
    }
}

/// Both runs have their records; the folder is that of the other.
#[test]
fn features_of_another_run_are_not_taken_for_its_own() {
    let place = FINISHED.copy();
    fs::remove_dir_all(place.path("run/features")).unwrap();
    fs::rename(OTHER.copy().path("run/features"), place.path("run/features")).unwrap();
    let said = words(&place.run());
    assert!(
        said.contains("transform is done again: features/manifest.json: "),
        "{said}"
    );
    assert_finished(&place, "features of another run");
    fs::write(place.path("run/features/part-000001.parquet"), "one more").unwrap();
    let said = words(&place.run());
    assert!(
        said.contains("manifest.json does not list part-000001.parquet"),
        "{said}"
    );
    assert_finished(&place, "one part more");
}

#[test]
fn files_without_their_record_are_made_again() {
    for stage in ["fit", "transform", "train"] {
        let place = FINISHED.copy();
        let mut record: serde_json::Value = serde_json::from_slice(&place.read("run/run.json")).unwrap();
        record["stages"].as_object_mut().unwrap().remove(stage).unwrap();
        place.write("run/run.json", record.to_string());
        let said = place.run();
        assert!(!said.contains(&format!("{stage} skipped")), "{said}");
        assert_eq!(
            said.matches("skipped").count(),
            if stage == "train" { 3 } else { 4 },
            "{said}"
        );
        assert_finished(&place, stage);
    }
}

#[test]
fn work_of_another_version_is_done_again() {
    let text = String::from_utf8(FINISHED.read("run/run.json")).unwrap();
    let version = format!("\"gristmill\": \"{}\"", env!("CARGO_PKG_VERSION"));
    let before = as_in_version_1(&text);
    for (edited, says) in [
        (
            text.replace(&version, "\"gristmill\": \"0.0.9\""),
            "gristmill 0.0.9 did it, and this is",
        ),
        (
            text.replace("\"format\": ", "\"format\": 9"),
            "it was done in format 9",
        ),
        (before, "an earlier version of gristmill did it"),
    ] {
        assert_ne!(edited, text);
        let place = FINISHED.copy();
        place.write("run/run.json", edited);
        let said = words(&place.run());
        for stage in ["fit", "transform", "train"] {
            assert!(
                said.contains(&format!("warning: {stage} is done again: {says}")),
                "{said}"
            );
        }
        assert_finished(&place, says);
    }
}

/// The records as version 1 had them: no version of gristmill, no format, no files.
fn as_in_version_1(text: &str) -> String {
    let mut record: serde_json::Value = serde_json::from_str(text).unwrap();
    record["version"] = 1.into();
    for stage in record["stages"].as_object_mut().unwrap().values_mut() {
        for of in ["gristmill", "format", "files"] {
            stage.as_object_mut().unwrap().remove(of).unwrap();
        }
    }
    record.to_string()
}

#[test]
fn records_that_cannot_be_read_stop_the_run_and_nothing_is_lost() {
    let text = String::from_utf8(FINISHED.read("run/run.json")).unwrap();
    let later = text.replace("\"version\": 2", "\"version\": 3");
    assert_ne!(later, text);
    let cut = &text[..text.len() / 2];
    let long = format!("{text}{}", " ".repeat(2 << 20));
    for (record, says) in [
        (
            later.as_str(),
            "was written by a later version of gristmill: its layout has version 3, and this build knows 2",
        ),
        (
            "{\"version\": 18446744073709551615}",
            "a later version of gristmill",
        ),
        ("", "delete it and run again, which keeps the dataset"),
        (cut, "delete it and run again, which keeps the dataset"),
        ("[]", "it states no version"),
        ("{\"version\": -1}", "it states no version"),
        ("{\"version\": 2, \"stages\": 7}", "delete it and run again"),
        (&long, "it has more than 1048576 bytes"),
    ] {
        for command in ["run", "pull"] {
            let place = FINISHED.copy();
            place.write("run/run.json", record);
            let before = files(&place.path("run"));
            let output = place.gristmill(&format!("{command} pipeline.toml"));
            let said = words(&stderr(&output));
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(says) && said.contains("run/run.json"), "{said}");
            assert!(
                files(&place.path("run")) == before,
                "{says}: something was written"
            );
        }
    }
    let place = FINISHED.copy();
    fs::remove_file(place.path("run/run.json")).unwrap();
    let said = place.run();
    assert!(said.contains("pull skipped: the dataset is complete"), "{said}");
    assert_finished(&place, "without records");
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_said() {
    let edits = [("threads = 2", "threads = 2\ncheckpoint_seconds = 0")];
    let stopped = |sql: &str| {
        let place = Place::with(sql, &pipeline(&edits));
        let mut run = place.command("run pipeline.toml");
        let output = run
            .env("GRISTMILL_KILL_AT", "training-checkpointed:2")
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(9), "{}", stderr(&output));
        place
    };
    let (place, other) = (stopped(&table(ROWS)), stopped(&table(ROWS + 30)));
    const FILE: &str = "run/train.checkpoint";
    let begun = |place: &Place, case: &str, says: &str| {
        let said = words(&place.run());
        let warned = said.contains("warning: training starts again: run/train.checkpoint: ");
        assert_eq!(warned, says.starts_with("it is"), "{case}: {said}");
        assert!(said.contains(says), "{case}: {said}");
        assert!(
            place.model("run") == FINISHED.model("run"),
            "{case}: another model"
        );
        assert!(!place.path(FILE).exists(), "{case}");
    };
    for damage in [
        Damage::Cut,
        Damage::Emptied,
        Damage::Edited,
        Damage::Lengthened,
        Damage::Foreign,
    ] {
        let place = place.copy();
        damage.hits(&place, FILE);
        begun(&place, &format!("{damage:?}"), "it is cut short or damaged");
    }
    // It is whole, and simply not for this training.
    let foreign = place.copy();
    foreign.write(FILE, other.read(FILE));
    begun(&foreign, "of another run", "");
    begun(&place, "undamaged", "begun in an earlier run");
}

#[test]
fn a_run_directory_in_unusual_places() {
    // Linked to another folder, which is where everything is then.
    let place = Place::with(&table(ROWS), &pipeline(&[]));
    fs::create_dir(place.path("elsewhere")).unwrap();
    symlink("elsewhere", place.path("run")).unwrap();
    place.run();
    assert!(place.path("elsewhere/model/model.safetensors").exists());
    assert_finished(&place, "a link");
    // The features too, as on a larger disk.
    fs::rename(place.path("run/features"), place.path("features")).unwrap();
    symlink(place.path("features"), place.path("run/features")).unwrap();
    assert_finished(&place, "linked features");
    // A file, or a link to nothing.
    for make in [
        |place: &Place| place.write("run", "mine"),
        |place: &Place| symlink("nowhere", place.path("run")).unwrap(),
    ] {
        let place = Place::with(&table(ROWS), &pipeline(&[]));
        make(&place);
        let before = fs::symlink_metadata(place.path("run")).unwrap().file_type();
        for command in ["run", "pull"] {
            let output = place.gristmill(&format!("{command} pipeline.toml"));
            let said = words(&stderr(&output));
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("run.dir = run is not a folder"), "{said}");
        }
        assert_eq!(
            fs::symlink_metadata(place.path("run")).unwrap().file_type(),
            before
        );
        assert!(!place.path("nowhere").exists());
    }
}

#[test]
fn leftovers_of_a_kill_are_removed_and_nothing_else() {
    let place = FINISHED.copy();
    let ours = [
        "run/.fit.parquet.unfinished",
        "run/.features.unfinished/part-000000.parquet",
        "run/.features.discarded.unfinished/part-000000.parquet",
        "run/.run.json.unfinished",
        "run/.train.checkpoint.unfinished",
        "run/.metrics.json.unfinished",
        "run/.summary.txt.unfinished",
        "run/model/.model.safetensors.unfinished",
    ];
    let not_ours = [
        "run/.mine.unfinished",
        "run/notes.txt",
        "run/model/.tmpMine",
        "run/model/README",
    ];
    for file in ours.iter().chain(&not_ours) {
        fs::create_dir_all(place.path(file).parent().unwrap()).unwrap();
        place.write(file, "left behind");
    }
    place.run();
    for file in ours {
        assert!(!place.path(file).exists(), "{file}");
    }
    for file in not_ours {
        assert!(place.path(file).exists(), "{file}");
    }
    let hidden = place.path("run/.features.unfinished");
    assert!(!hidden.exists() && !place.path("run/.features.discarded.unfinished").exists());
}
