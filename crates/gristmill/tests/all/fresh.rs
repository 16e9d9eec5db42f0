//! A source that changes after its rows were pulled: it is told, and `--fresh` pulls them again.

use std::os::unix::process::ExitStatusExt;

use gristmill_data::failpoint::{FOLDER, PULL};
use gristmill_testkit::{TempMariaDb, TempPostgres};

use crate::support::{Place, pipeline, stderr, table};

const ROWS: u64 = 120;
const CHANGED: &str = "the source was written to, or may have been, since the dataset was pulled";

/// What a command says that must succeed, in one line.
fn said(place: &Place, command: &str) -> String {
    let output = place.gristmill(command);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_changed_source_is_told_and_a_fresh_run_follows_it() {
    let (postgres, mariadb) = (TempPostgres::shared(), TempMariaDb::start());
    postgres.execute(&table(ROWS));
    mariadb.execute(&table(ROWS));
    let csv = "id,name,kind,size,country\n1,a,x,1.5,AT\n2,b,y,2.5,CH\n";
    let csv: String = csv.to_owned()
        + &(3..100)
            .map(|i| format!("{i},{},x,{i}.5,{}\n", ["a", "b"][i % 2], ["AT", "CH"][i % 2]))
            .collect::<String>();
    for source in ["sqlite", "postgres", "mariadb", "csv"] {
        let url = match source {
            "sqlite" => "sqlite:data.db".to_owned(),
            "postgres" => postgres.url(),
            "mariadb" => mariadb.url(),
            _ => "csv:data.csv".to_owned(),
        };
        let query = match source {
            "csv" => "SELECT * FROM input",
            _ => "SELECT id, name, kind, size, country FROM artist",
        };
        let edits = [
            ("sqlite:data.db", url.as_str()),
            ("SELECT id, name, kind, size, country FROM artist", query),
        ];
        let place = Place::with(&table(ROWS), &pipeline(&edits));
        place.write("data.csv", &csv);
        said(&place, "run pipeline.toml");
        let rows = place.totals("run").rows_read;
        let again = said(&place, "run pipeline.toml");
        // Anybody else on the shared server makes its snapshot another one.
        assert!(
            source == "postgres" || !again.contains(CHANGED),
            "{source}: {again}"
        );
        let sql = "DELETE FROM artist WHERE id = 1";
        match source {
            "sqlite" => place.sqlite(sql),
            "postgres" => drop(postgres.execute(sql)),
            "mariadb" => drop(mariadb.execute(sql)),
            _ => place.write("data.csv", csv.replacen("1,a,x,1.5,AT\n", "", 1)),
        }
        for command in ["run pipeline.toml", "pull pipeline.toml"] {
            let told = said(&place, command);
            assert!(
                told.contains(CHANGED) && told.contains("--fresh"),
                "{source}: {told}"
            );
        }
        assert_eq!(place.totals("run").rows_read, rows, "{source}: the dataset stays");
        let fresh = said(&place, "run pipeline.toml --fresh");
        assert!(!fresh.contains("skipped"), "{source}: {fresh}");
        assert_eq!(place.totals("run").rows_read, rows - 1, "{source}");
        assert!(!place.path("run/dataset.fresh").exists(), "{source}");
        // Nothing differs from a run that never knew the old rows.
        place.write(
            "other.toml",
            pipeline(&[&edits[..], &[("dir = \"run\"", "dir = \"other\"")]].concat()),
        );
        said(&place, "run other.toml");
        assert!(place.model("run") == place.model("other"), "{source}");
        assert_eq!(place.totals("run").hash, place.totals("other").hash, "{source}");
    }
}

#[test]
fn a_source_that_is_gone_ends_no_run_whose_dataset_is_complete() {
    let place = Place::with(&table(ROWS), &pipeline(&[]));
    said(&place, "run pipeline.toml");
    std::fs::remove_file(place.path("data.db")).unwrap();
    let told = said(&place, "run pipeline.toml -v");
    assert!(
        told.contains("whether the source changed since the dataset was pulled is not known"),
        "{told}"
    );
}

#[test]
fn a_fresh_pull_that_is_killed_leaves_the_old_dataset_or_the_new_one() {
    let edits = [("rows = 25", "rows = 40")];
    for point in PULL.into_iter().chain(FOLDER) {
        let place = Place::with(&table(ROWS), &pipeline(&edits));
        said(&place, "run pipeline.toml");
        let old = place.totals("run");
        place.sqlite("DELETE FROM artist WHERE id < 11");
        let output = place
            .command("run pipeline.toml --fresh")
            .env("GRISTMILL_KILL_AT", format!("{point}:1"))
            .output()
            .unwrap();
        // A dataset of few batches has no checkpoint, and nothing to merge.
        if output.status.signal().is_none() {
            assert!(
                ["checkpoint-done", "compaction-written", "compaction-committed"].contains(&point),
                "{point}"
            );
            continue;
        }
        let is_left = place.path("run/dataset.fresh").is_dir() && place.path("run/dataset").is_dir();
        for command in ["check pipeline.toml", "run pipeline.toml"] {
            if is_left {
                let told = said(&place, command);
                assert!(
                    told.contains("dataset.fresh: `gristmill run --fresh`"),
                    "{point}, {command}: {told}"
                );
            }
        }
        if is_left {
            let output = place.gristmill("inspect run/dataset");
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                told.contains("Fresh     run/dataset.fresh: not complete"),
                "{point}: {told}"
            );
        }
        let told = said(&place, "run pipeline.toml");
        let there = place.totals("run");
        if told.contains(CHANGED) {
            assert_eq!(there, old, "{point}");
            said(&place, "run pipeline.toml --fresh");
        }
        let new = place.totals("run");
        assert_eq!(new.rows_read, ROWS - 10, "{point}");
        assert!(!place.path("run/dataset.fresh").exists(), "{point}");
        assert!(
            !place.path("run/.dataset.discarded.unfinished").exists(),
            "{point}"
        );
        let verified = place.gristmill("verify run/dataset");
        assert_eq!(verified.status.code(), Some(0), "{point}");
    }
}
