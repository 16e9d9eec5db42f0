//! What must not change the outcome: the size of batches, threads, the database; and what a second run does again.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, UInt8Type};
use gristmill_testkit::TempPostgres;

use crate::support::{Place, files, parquet, pipeline, table};

const ROWS: u64 = 120;

/// The dataset's content hash, the state of the fit (the encoders), and the model.
fn outcome(place: &Place) -> (String, Vec<u8>, Vec<u8>) {
    place.run();
    let totals = place.totals("run");
    assert_eq!(totals.rows_read, ROWS);
    (
        totals.hash.to_string(),
        place.read("run/fit.parquet"),
        place.model("run"),
    )
}

#[test]
fn the_size_of_batches_and_the_threads_change_nothing() {
    let expected = outcome(&Place::with(&table(ROWS), &pipeline(&[])));
    for rows in ["1", "7", "1_000", "1_000_000"] {
        let rows = format!("rows = {rows}");
        let place = Place::with(&table(ROWS), &pipeline(&[("rows = 25", &rows)]));
        assert!(outcome(&place) == expected, "{rows}");
    }
    for threads in ["1", "7"] {
        let threads = format!("threads = {threads}");
        let place = Place::with(&table(ROWS), &pipeline(&[("threads = 2", &threads)]));
        assert!(outcome(&place) == expected, "{threads}");
    }
}

#[test]
fn both_databases_give_the_same_dataset_and_model() {
    let sqlite = Place::with(&table(ROWS), &pipeline(&[]));
    let server = TempPostgres::shared();
    server.execute(&table(ROWS));
    let postgres = Place::with("", &pipeline(&[("sqlite:data.db", &server.url())]));
    assert!(outcome(&sqlite) == outcome(&postgres));
}

#[test]
fn a_second_run_skips_everything_and_leaves_every_byte() {
    let place = Place::with(&table(ROWS), &pipeline(&[]));
    let first = place.gristmill("run pipeline.toml");
    let before = files(&place.path("run"));
    // Nothing is asked of the database any more.
    std::fs::remove_file(place.path("data.db")).unwrap();
    let second = place.gristmill("run pipeline.toml");
    assert_eq!(second.status.code(), Some(0));
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(
        crate::support::stderr(&second),
        "     pull skipped: the dataset is complete; --fresh pulls it again\n\
         \x20     fit skipped: finished before\n\
         transform skipped: finished before\n\
         \x20   train skipped: finished before\n\
         \x20evaluate skipped: finished before\n"
    );
    assert!(files(&place.path("run")) == before);
}

#[test]
fn other_model_settings_train_again_on_the_same_features() {
    let place = Place::with(&table(ROWS), &pipeline(&[]));
    place.run();
    let (before, model) = (files(&place.path("run")), place.model("run"));
    place.write("pipeline.toml", pipeline(&[("max_iter = 5", "max_iter = 9")]));
    let said = place.run();
    for (stage, skipped) in [
        ("pull", true),
        ("fit", true),
        ("transform", true),
        ("train", false),
        ("evaluate", false),
    ] {
        assert_eq!(said.contains(&format!("{stage} skipped")), skipped, "{said}");
    }
    assert!(place.model("run") != model);
    for (path, content) in &before {
        if ["dataset", "features"]
            .iter()
            .any(|of| path.starts_with(place.path("run").join(of)))
        {
            assert!(std::fs::read(path).unwrap() == *content, "{}", path.display());
        }
    }
    // The same again, as if there had been no other.
    place.write("pipeline.toml", pipeline(&[]));
    place.run();
    assert!(place.model("run") == model);
}

/// Split and fold of every row, by its key.
fn sides(place: &Place) -> BTreeMap<i64, (u8, u8)> {
    let mut sides = BTreeMap::new();
    for path in files(&place.path("run/features")).into_keys() {
        if path.extension().is_none_or(|extension| extension != "parquet") {
            continue;
        }
        for batch in parquet(&path) {
            let side = |name: &str| batch[name].as_primitive::<UInt8Type>().values().to_vec();
            let keys = batch["entity"].as_primitive::<Int64Type>().values().to_vec();
            sides.extend(keys.into_iter().zip(side("split").into_iter().zip(side("fold"))));
        }
    }
    sides
}

#[test]
fn more_rows_move_no_old_one_to_another_split() {
    let old = Place::with(&table(ROWS), &pipeline(&[]));
    // New rows at the end and, as their keys are negative, at the beginning.
    let new = Place::with(&table(3 * ROWS), &pipeline(&[("rows = 25", "rows = 19")]));
    new.sqlite("INSERT INTO artist SELECT -id, name, kind, size, country FROM artist WHERE id <= 70");
    old.run();
    new.run();
    let (old, new) = (sides(&old), sides(&new));
    assert_eq!((old.len() as u64, new.len() as u64), (ROWS, 3 * ROWS + 70));
    for (id, side) in &old {
        assert_eq!(new[id], *side, "row {id}");
    }
    for split in 0..3 {
        assert!(old.values().any(|side| side.0 == split));
    }
}
