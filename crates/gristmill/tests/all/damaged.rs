//! Damaged files: a clean error and its exit code, or all rows.

use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::support::{Place, parquet, pipeline, stderr, table};

const ROWS: usize = 90;

/// Rows as those of `table`, but for the label.
fn artists() -> Vec<u8> {
    let numbers = 0..ROWS as i64;
    let names = numbers.clone().map(|n| format!("katomi {n}"));
    let kinds = numbers.clone().map(|n| (n % 3 > 0).then_some("person"));
    let rows = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(numbers.clone())) as _),
        ("name", Arc::new(StringArray::from_iter_values(names)) as _),
        ("kind", Arc::new(StringArray::from_iter(kinds)) as _),
        (
            "size",
            Arc::new(Float64Array::from_iter_values(numbers.map(|n| n as f64))) as _,
        ),
    ])
    .unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(30));
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties.build())).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn predicting_a_damaged_file_gives_all_rows_or_an_error() {
    let place = Place::with(&table(60), &pipeline(&[]));
    place.run();
    let whole = artists();
    let footer = whole.len()
        - 8
        - u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()) as usize;
    // Each sixteenth of the pages and each thirtieth of the footer, and ends that are missing.
    let steps = (0..footer)
        .step_by(footer / 16)
        .chain((footer..whole.len()).step_by((whole.len() - footer) / 30));
    let mut damages: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, at) in steps.enumerate() {
        let mut bytes = whole.clone();
        bytes[at] = if number % 2 == 0 { 0xff } else { bytes[at] ^ 4 };
        damages.push((format!("byte {at}"), bytes));
    }
    for end in [0, 3, footer / 2, footer, whole.len() - 9, whole.len() - 1] {
        damages.push((format!("cut at {end}"), whole[..end].to_vec()));
    }
    let mut refused = 0;
    for (what, bytes) in damages {
        place.write("new.parquet", bytes);
        let output =
            place.gristmill("predict run/model --input new.parquet --output predicted.parquet --overwrite");
        let said = stderr(&output);
        assert!(!said.contains("panicked"), "{what}: {said}");
        match output.status.code() {
            Some(0) => {
                let rows: usize = parquet(&place.path("predicted.parquet"))
                    .iter()
                    .map(RecordBatch::num_rows)
                    .sum();
                assert_eq!(rows, ROWS, "{what}");
                std::fs::remove_file(place.path("predicted.parquet")).unwrap();
            }
            Some(1 | 2) => {
                refused += 1;
                assert!(said.contains("new.parquet"), "{what}: {said}");
                assert!(!place.path("predicted.parquet").exists(), "{what}");
            }
            code => panic!("{what}: {code:?}: {said}"),
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_quotation_mark_that_none_closes_names_its_line() {
    let lines = "1,katomi,person,2.5,Japan\n".repeat(700_000);
    let csv =
        format!("id,name,kind,size,country\n0,katomi,person,1.5,Japan\n7,\"miru,person,1.5,Japan\n{lines}");
    let query = "query = \"SELECT id, name, kind, size, country FROM artist\"\n";
    let place = Place::with(&table(60), &pipeline(&[]));
    place.run();
    place.write("new.csv", csv);
    place.write(
        "csv.toml",
        pipeline(&[
            ("sqlite:data.db", "csv:new.csv"),
            (query, ""),
            ("dir = \"run\"", "dir = \"csv\""),
        ]),
    );
    for command in [
        "run csv.toml",
        "predict run/model --input new.csv --output predicted.csv",
    ] {
        let output = place.gristmill(command);
        let said = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("line 3: the row that begins here has more than 16 MB"),
            "{said}"
        );
    }
}
