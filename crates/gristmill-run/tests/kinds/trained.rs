//! Every kind of model that is registered is trained to the same bytes by the engine, whether it keeps the rows or streams
//! them, on any number of threads.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, ListArray, RecordBatch, UInt8Array, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;
use gristmill_data::table::{PartWriter, TableVersion};
use gristmill_learn::contract::learner::{ModelKind, ModelSettings};
use gristmill_learn::contract::model::ModelSpec;
use gristmill_learn::contract::thresholds::Thresholds;
use gristmill_learn::contract::trainer::{Next, SearchPoint, TrainingSize};
use gristmill_learn::settings::{Choice, LabelKind, Preset, SearchSettings, Values};
use gristmill_run::engine::{Engine, LocalEngine};
use serde_json::{Map, Value, json};

const ROWS: u32 = 20_000;
const FEATURES: u32 = 30;
const CLASSES: u32 = 3;

/// Rows of features, in parts of a table.
fn table(dir: &Path, learns: LabelKind) -> TableVersion {
    let random = |row: u32, n: u32| (row.wrapping_mul(2_654_435_761) >> 7) % n;
    let entries = (0..ROWS).flat_map(|row| {
        let class = row % CLASSES;
        [class * 9 + random(row, 9), 27 + random(row + 7, 3)]
    });
    let list = |values: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
        let offsets = OffsetBuffer::<i32>::from_lengths(vec![2; ROWS as usize]);
        Arc::new(ListArray::new(field, offsets, values, None))
    };
    let values = (0..2 * ROWS).map(|entry| 0.1 + random(entry, 8) as f32 / 3.0);
    let label: ArrayRef = match learns {
        LabelKind::Class => Arc::new(Int32Array::from_iter_values(
            (0..ROWS).map(|row| (row % CLASSES) as i32),
        )),
        LabelKind::Number => {
            Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| {
                f64::from(row % CLASSES) + f64::from(random(row, 100)) / 70.0
            })))
        }
    };
    let small = |of: fn(u32) -> u32| -> ArrayRef {
        Arc::new(UInt8Array::from_iter_values((0..ROWS).map(|row| of(row) as u8)))
    };
    let rows = RecordBatch::try_from_iter([
        ("label", label),
        ("indices", list(Arc::new(UInt32Array::from_iter_values(entries)))),
        ("values", list(Arc::new(Float32Array::from_iter_values(values)))),
        ("split", small(|row| if row % 10 < 8 { 0 } else { row % 10 - 7 })),
        ("fold", small(|row| row / 10 % 3)),
    ])
    .unwrap();
    let mut writer = PartWriter::create(dir, rows.schema(), 6_000).unwrap();
    writer.write(&rows).unwrap();
    writer.finish(vec![]).unwrap()
}

/// Two values on each axis of its grid, and its defaults.
fn grid(kind: &dyn ModelKind) -> ModelSettings {
    let mut settings = Map::new();
    for key in kind.keys() {
        let value = match (key.values, key.default) {
            (Values::Axis(_), Preset::Number(usual)) => Some(json!([usual, usual + 0.5])),
            (Values::WordOr(..), _) => Some(json!([0.0, 0.5])),
            (Values::Axis(_), Preset::Integer(_)) => Some(json!([1, 3])),
            _ => key.default_json(),
        };
        settings.extend(value.map(|value| (key.name.to_owned(), value)));
    }
    kind.settings(Value::Object(settings)).unwrap()
}

/// The model, every point of the grid with its scores, and the best of them.
fn trained(
    model: &ModelSettings,
    engine: &LocalEngine,
    table: &TableVersion,
) -> (ModelSpec, Vec<SearchPoint>, usize) {
    let size = TrainingSize {
        features: FEATURES as usize,
        classes: match model.label() {
            LabelKind::Class => CLASSES as usize,
            LabelKind::Number => 0,
        },
        entries: 2,
    };
    let search = SearchSettings {
        folds: 3,
        metric: model.label().default_metric(),
        halving: None,
        choose: Choice::Minimum,
        seconds: None,
    };
    let trainer = model.trainer(&search, size, Thresholds::default(), 1 << 30);
    let (mut trainer, mut answer) = (trainer.unwrap(), None);
    loop {
        match trainer.next(answer.take()).unwrap() {
            Next::Scan(pass) => {
                let state = engine.fold(table, pass.as_ref(), &|_| ControlFlow::Continue(()));
                answer = Some(state.unwrap());
            }
            Next::Step => {}
            Next::Done(trained) => return (trained.model.spec(), trained.search, trained.best),
        }
    }
}

#[test]
fn kept_or_streamed_on_any_threads_every_kind_is_trained_to_the_same_bytes() {
    for kind in super::kinds().models() {
        let dir = tempfile::tempdir().unwrap();
        let model = grid(*kind);
        let table = table(dir.path(), model.label());
        let mut first = None;
        for threads in [1, 2, 7] {
            for kept in [0, u64::from(ROWS) * 1000] {
                let engine = LocalEngine::new(threads).unwrap();
                engine.keep(&table, kept);
                let trained = trained(&model, &engine, &table);
                let first = first.get_or_insert_with(|| trained.clone());
                assert!(
                    *first == trained,
                    "{}: {threads} threads, {kept} bytes of rows kept",
                    kind.name()
                );
            }
        }
        let (_, points, best) = first.unwrap();
        assert_eq!(points.len(), model.points());
        assert!(points.len() == 1 || points[best].score.is_some_and(|score| score > 0.0));
    }
}
