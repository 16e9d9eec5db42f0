//! The contract of an engine: the result of one thread in canonical order, to the last bit, however the table is stored. Every
//! engine passes it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod shipping;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use gristmill_data::parquet_file::BatchLimit;
use gristmill_data::table::{PartWriter, TableVersion};
use gristmill_learn::contract::encoder::Feature;
use gristmill_learn::contract::pass::{Accumulate, Grain, Pass};
use gristmill_learn::contract::spec::StepSpec;
use gristmill_learn::contract::step::Transformer;
use gristmill_learn::encode::{Impute, NumericSettings, Scaling};
use gristmill_learn::evaluate::HeldOutPass;
use gristmill_learn::features::FitPipeline;
use gristmill_learn::settings::{LabelKind, LabelSettings, Rare, SplitSettings};
use gristmill_learn::statistics::{Moments, Transform};
use gristmill_run::Error;
use gristmill_run::engine::{Engine, FINGERPRINT, LocalEngine};

use shipping::ShippingEngine;

const ROWS: i64 = 150_000;

/// Each engine, with so many threads or workers.
fn engines(threads: usize) -> [Box<dyn Engine>; 2] {
    [
        Box::new(LocalEngine::new(threads).unwrap()),
        Box::new(ShippingEngine { workers: threads }),
    ]
}

/// Rows whose sums depend on their order in the last bits.
fn rows() -> RecordBatch {
    let number = |id: i64| ((id * 7_919) % 1_013) as f64 * 0.1 + 1e6 / (id as f64 + 1.0);
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..ROWS)) as _),
        (
            "number",
            Arc::new(Float64Array::from_iter_values((0..ROWS).map(number))) as _,
        ),
        (
            "label",
            Arc::new(StringArray::from_iter_values(
                (0..ROWS).map(|id| if id % 3 == 0 { "a" } else { "b" }),
            )) as _,
        ),
    ])
    .unwrap()
}

fn table(dir: &Path, rows_per_part: usize) -> TableVersion {
    let rows = rows();
    let mut writer = PartWriter::create(dir, rows.schema(), rows_per_part).unwrap();
    writer.write(&rows).unwrap();
    writer.finish(vec![]).unwrap()
}

/// A pass with one accumulator for all rows, whatever another pass says.
struct Ordered(Moments);

impl Pass for Ordered {
    fn columns(&self, schema: &arrow::datatypes::Schema) -> gristmill_learn::Result<Vec<String>> {
        self.0.columns(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        self.0.start()
    }

    fn spec(&self) -> StepSpec {
        self.0.spec()
    }

    fn grain(&self) -> Grain {
        Grain::Ordered
    }
}

fn pipeline() -> FitPipeline {
    let feature = Feature::new(NumericSettings {
        column: "number".to_owned(),
        impute: Impute::Mean,
        missing_indicator: false,
        transform: Transform::None,
        scale: Scaling::Standard,
    });
    let label = LabelSettings {
        kind: LabelKind::Class,
        column: "label".to_owned(),
        min_rows: 1,
        rare: Rare::Drop,
        weight: None,
        class_weight: None,
    };
    let split = SplitSettings {
        by: "id".to_owned(),
        train: 0.7,
        validation: 0.15,
        test: 0.15,
        seed: 42,
        column: None,
    };
    FitPipeline::new(&[feature], &label, &split, 3)
}

#[test]
fn folds_are_the_same_however_the_table_is_cut_and_the_work_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let passes: [Box<dyn Pass>; 3] = [
        Box::new(Moments::new("number")),
        Box::new(Ordered(Moments::new("number"))),
        Box::new(pipeline().into_pass()),
    ];
    for (p, pass) in passes.iter().enumerate() {
        let mut states = Vec::new();
        for (parts, threads) in [
            (ROWS as usize, 1),
            (10_007, 1),
            (10_007, 2),
            (70_000, 7),
            (8_192, 3),
        ] {
            let table = table(&dir.path().join(format!("{parts}")), parts);
            for engine in engines(threads) {
                let done = AtomicU64::new(0);
                let progress = |rows| {
                    done.fetch_max(rows, Ordering::Relaxed);
                    ControlFlow::Continue(())
                };
                states.push(engine.fold(&table, pass.as_ref(), &progress).unwrap());
                assert_eq!(done.load(Ordering::Relaxed), ROWS as u64);
            }
        }
        for state in &states[1..] {
            // Arrow compares floats by their bits.
            assert_eq!(state, &states[0], "pass {p}");
        }
    }
}

#[test]
fn kept_rows_and_streamed_rows_give_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), 40_000);
    let (ordered, moments) = (Ordered(Moments::new("number")), Moments::new("number"));
    let engine = LocalEngine::new(2).unwrap();
    let fold = |pass: &dyn Pass| engine.fold(&table, pass, &|_| ControlFlow::Continue(()));
    let streamed = fold(&ordered).unwrap();
    let cut = fold(&moments).unwrap();
    let without_files = |fold: &dyn Fn() -> gristmill_run::Result<RecordBatch>| {
        for file in &table.files {
            std::fs::rename(&file.path, file.path.with_extension("away")).unwrap();
        }
        let folded = fold();
        for file in &table.files {
            std::fs::rename(file.path.with_extension("away"), &file.path).unwrap();
        }
        folded
    };
    assert!(without_files(&|| fold(&ordered)).is_err());

    // Whatever pass comes first, later ones do not read the table again.
    let (first, second) = (|| fold(&ordered), || fold(&moments));
    for (first, second) in [
        (&first as &dyn Fn() -> _, &second as &dyn Fn() -> _),
        (&second, &first),
    ] {
        engine.keep(&table, ROWS as u64 * 9);
        let kept = first().unwrap();
        assert_eq!(without_files(first).unwrap(), kept);
        let other = without_files(second).unwrap();
        assert!([&streamed, &cut].contains(&&kept) && [&streamed, &cut].contains(&&other));
    }

    // They are let go, and too many are not kept.
    for bytes in [0, ROWS as u64] {
        engine.keep(&table, bytes);
        assert_eq!(fold(&ordered).unwrap(), streamed);
        assert!(without_files(&|| fold(&ordered)).is_err());
        assert_eq!(fold(&ordered).unwrap(), streamed);
    }
}

#[test]
fn mapped_rows_are_the_same_however_the_table_is_cut_and_the_work_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let source = table(&dir.path().join("source"), 30_000);
    let fit = pipeline();
    let state = LocalEngine::new(1)
        .unwrap()
        .fold(&source, fit.pass(), &|_| ControlFlow::Continue(()))
        .unwrap();
    let assembler = fit.fitted(&state).unwrap().assembler;
    let mut results = Vec::new();
    for (parts, threads) in [(ROWS as usize, 1), (9_999, 2), (50_000, 5)] {
        let table = table(&dir.path().join("source"), parts);
        for engine in engines(threads) {
            let into = dir.path().join("features");
            let (features, left_out) = engine
                .map(&table, &assembler, &into, "of this", &|_| {
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(features.rows, ROWS as u64);
            assert_eq!(features.metadata[FINGERPRINT], "of this");
            let reopened = TableVersion::open_parquet(&into).unwrap();
            assert_eq!(reopened.metadata, features.metadata);
            let schema = assembler.output_schema(&table.schema).unwrap();
            let batches: Vec<RecordBatch> = reopened
                .scan(None, at_most(8192))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let rows = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
            assert_eq!(rows.schema().fields(), schema.fields());
            // A pass of several results, on the table that this engine made.
            let pass = HeldOutPass::new(features.rows);
            assert!(matches!(pass.grain(), Grain::Results(2..)));
            let state = engine
                .fold(&reopened, &pass, &|_| ControlFlow::Continue(()))
                .unwrap();
            results.push((rows, left_out, state));
        }
    }
    assert!(results.iter().all(|r| *r == results[0]));
}

#[test]
fn a_failing_pass_ends_the_scan_with_its_error() {
    let dir = tempfile::tempdir().unwrap();
    for (number, engine) in engines(2).into_iter().enumerate() {
        let table = table(&dir.path().join(number.to_string()), 40_000);
        let fold = |pass: &dyn Pass| engine.fold(&table, pass, &|_| ControlFlow::Continue(()));
        let missing = fold(&Moments::new("nothing")).unwrap_err().to_string();
        assert!(
            missing.starts_with("column `nothing` is not in the data"),
            "{missing}"
        );
        std::fs::write(&table.files[2].path, b"not Parquet").unwrap();
        let (rows, ordered) = (Moments::new("number"), Ordered(Moments::new("number")));
        for pass in [&rows as &dyn Pass, &ordered] {
            let broken = fold(pass).unwrap_err().to_string();
            assert!(broken.contains("part-000002.parquet"), "{broken}");
        }
    }
}

#[test]
fn work_that_is_to_stop_ends_as_interrupted_and_leaves_no_table() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(&dir.path().join("source"), 40_000);
    let fit = pipeline();
    let state = LocalEngine::new(1)
        .unwrap()
        .fold(&table, fit.pass(), &|_| ControlFlow::Continue(()))
        .unwrap();
    let assembler = fit.fitted(&state).unwrap().assembler;
    let into = dir.path().join("features");
    for engine in engines(2) {
        let stopped = engine.fold(&table, &Moments::new("number"), &|_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
        let stopped = engine.map(&table, &assembler, &into, "", &|_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
        assert!(TableVersion::open_parquet(&into).is_err());
    }
}

#[test]
fn a_table_is_opened_from_its_bytes_unless_a_file_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), 40_000);
    let bytes = table.to_bytes().unwrap();
    let opened = TableVersion::from_bytes(&bytes).unwrap();
    assert_eq!((opened.rows, &opened.schema), (table.rows, &table.schema));
    assert_eq!((&opened.files, &opened.metadata), (&table.files, &table.metadata));
    // All but the mark of the end, 8 bytes, is needed.
    for end in 0..bytes.len() - 8 {
        assert!(TableVersion::from_bytes(&bytes[..end]).is_err(), "{end} bytes");
    }
    let last = &table.files[3].path;
    let content = std::fs::read(last).unwrap();
    std::fs::write(last, &content[1..]).unwrap();
    let changed = TableVersion::from_bytes(&bytes).unwrap_err().to_string();
    assert!(changed.contains("part-000003.parquet"), "{changed}");
}

/// Batches bounded in rows alone.
fn at_most(rows: usize) -> BatchLimit {
    BatchLimit {
        rows,
        bytes: u64::MAX,
    }
}
