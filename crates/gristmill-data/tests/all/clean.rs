//! What cleaning, canonical order and the content hash do to rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int64Array,
    LargeStringArray, ListArray, RecordBatch, StringArray, StringViewArray, UInt32Array,
};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use gristmill_data::budget::Held;
use gristmill_data::prepare::{Cleaner, Dropped};
use gristmill_data::settings::CleanSettings;
use gristmill_data::table::{ContentHash, delta_schema, to_delta};
use proptest::prelude::*;

type Row<'a> = (Option<i64>, Option<&'a str>, Option<&'a str>);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("Country", DataType::Utf8, true),
    ]))
}

fn batch(rows: &[Row<'_>]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn rows(batch: &RecordBatch) -> Vec<Row<'_>> {
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let (names, countries) = (
        batch.column(1).as_string::<i32>(),
        batch.column(2).as_string::<i32>(),
    );
    (0..batch.num_rows())
        .map(|row| {
            let text = |column: &'_ StringArray| column.is_valid(row).then_some(row);
            (
                ids.is_valid(row).then(|| ids.value(row)),
                text(names).map(|row| names.value(row)),
                text(countries).map(|row| countries.value(row)),
            )
        })
        .collect()
}

fn nothing() -> CleanSettings {
    CleanSettings {
        trim: false,
        empty_as_null: false,
        require: vec![],
        filter: None,
        distinct: false,
    }
}

fn clean(settings: &CleanSettings, batches: &[RecordBatch]) -> (RecordBatch, Dropped) {
    let cleaner = Cleaner::new(settings, schema(), &"id".into()).unwrap();
    let mut dropped = Dropped::default();
    let parts: Vec<_> = batches
        .iter()
        .map(|batch| cleaner.rows(batch, &mut dropped).unwrap())
        .collect();
    let rows = ordered(&cleaner, &parts, 1 << 30, &mut dropped);
    (rows, dropped)
}

/// The rows of a batch in canonical order, those of one key held in so many bytes.
fn ordered(cleaner: &Cleaner, pieces: &[RecordBatch], bytes: u64, dropped: &mut Dropped) -> RecordBatch {
    let mut rows = Vec::new();
    let mut out = |piece| {
        rows.push(piece);
        Ok(())
    };
    let mut order = cleaner.order(Held {
        bytes,
        folder: std::env::temp_dir(),
    });
    for piece in pieces {
        order.push(piece, &mut out).unwrap();
    }
    dropped.duplicate += order.finish(&mut out).unwrap();
    concat_batches(cleaner.schema(), &rows).unwrap()
}

fn refusal(settings: &CleanSettings) -> String {
    Cleaner::new(settings, schema(), &"id".into())
        .err()
        .expect("the settings are wrong")
        .to_string()
}

#[test]
fn each_setting_does_its_part() {
    const DIRTY: &[Row<'_>] = &[
        (Some(1), Some("\u{a0} Ann\t"), Some("CA")),
        (Some(2), Some(" \u{3000}"), Some("FR")),
        (Some(3), Some(""), None),
        (Some(4), Some("Bob"), Some("unknown")),
        (Some(5), None, Some("DE")),
    ];
    struct Case {
        settings: CleanSettings,
        kept: Vec<Row<'static>>,
        dropped: (u64, u64, u64),
    }
    let filter = |sql: &str| CleanSettings {
        filter: Some(sql.into()),
        ..nothing()
    };
    let cases = [
        Case {
            settings: nothing(),
            kept: DIRTY.to_vec(),
            dropped: (0, 0, 0),
        },
        Case {
            settings: CleanSettings {
                trim: true,
                ..nothing()
            },
            kept: vec![
                (Some(1), Some("Ann"), Some("CA")),
                (Some(2), Some(""), Some("FR")),
                (Some(3), Some(""), None),
                DIRTY[3],
                DIRTY[4],
            ],
            dropped: (0, 0, 0),
        },
        Case {
            settings: CleanSettings {
                empty_as_null: true,
                ..nothing()
            },
            kept: vec![DIRTY[0], DIRTY[1], (Some(3), None, None), DIRTY[3], DIRTY[4]],
            dropped: (0, 0, 0),
        },
        Case {
            settings: CleanSettings {
                require: vec!["name".into(), "Country".into()],
                ..nothing()
            },
            kept: vec![DIRTY[0], DIRTY[1], DIRTY[3]],
            dropped: (2, 0, 0),
        },
        // A null country makes the predicate null, which is not true.
        Case {
            settings: filter("Country <> 'unknown'"),
            kept: vec![DIRTY[0], DIRTY[1], DIRTY[4]],
            dropped: (0, 2, 0),
        },
        Case {
            settings: filter("Country IS NULL OR id = 4"),
            kept: vec![DIRTY[2], DIRTY[3]],
            dropped: (0, 3, 0),
        },
        // A function in upper case, a quoted column, a comparison that needs a coercion.
        Case {
            settings: filter("LOWER(\"Country\") = 'ca' AND id < 1.5"),
            kept: vec![DIRTY[0]],
            dropped: (0, 4, 0),
        },
        // Trimmed first, then null, then required, then filtered: id 4 counts for the filter, the others for the null.
        Case {
            settings: CleanSettings {
                trim: true,
                empty_as_null: true,
                require: vec!["name".into()],
                filter: Some("Country <> 'unknown'".into()),
                distinct: true,
            },
            kept: vec![(Some(1), Some("Ann"), Some("CA"))],
            dropped: (3, 1, 0),
        },
    ];
    for case in cases {
        let (cleaned, dropped) = clean(&case.settings, &[batch(DIRTY)]);
        assert_eq!(rows(&cleaned), case.kept, "{:?}", case.settings);
        let (null, filter, duplicate) = case.dropped;
        assert_eq!(
            dropped,
            Dropped {
                null,
                filter,
                duplicate
            },
            "{:?}",
            case.settings
        );
    }
}

#[test]
fn equal_rows_are_kept_once_and_only_if_asked() {
    let dirty = [
        batch(&[
            (Some(1), Some("b"), None),
            (Some(1), Some("a"), None),
            (Some(1), Some(" b"), None),
        ]),
        batch(&[
            (Some(1), Some("b "), None),
            (Some(2), Some("b"), None),
            (None, None, None),
            (None, None, None),
        ]),
    ];
    let settings = CleanSettings {
        trim: true,
        distinct: true,
        ..nothing()
    };
    let (cleaned, dropped) = clean(&settings, &dirty);
    let once = [
        (Some(1), Some("a"), None),
        (Some(1), Some("b"), None),
        (Some(2), Some("b"), None),
        (None, None, None),
    ];
    assert_eq!(rows(&cleaned), once);
    assert_eq!(dropped.duplicate, 3);
    assert_eq!(dropped.total(), 3);
    let (all, dropped) = clean(
        &CleanSettings {
            distinct: false,
            ..settings
        },
        &dirty,
    );
    assert_eq!((all.num_rows(), dropped.total()), (7, 0));
}

#[test]
fn the_key_is_never_altered() {
    let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Utf8, true)]));
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["", " a", "a"]));
    let batch = RecordBatch::try_new(schema.clone(), vec![keys]).unwrap();
    let settings = CleanSettings {
        trim: true,
        empty_as_null: true,
        distinct: true,
        ..nothing()
    };
    let cleaner = Cleaner::new(&settings, schema, &"key".into()).unwrap();
    let mut dropped = Dropped::default();
    let rows = cleaner.rows(&batch, &mut dropped).unwrap();
    assert_eq!(ordered(&cleaner, &[rows], 1 << 30, &mut dropped), batch);
}

#[test]
fn a_batch_can_end_with_no_rows() {
    let settings = CleanSettings {
        filter: Some("id > 1".into()),
        distinct: true,
        ..nothing()
    };
    let (cleaned, dropped) = clean(&settings, &[batch(&[(Some(1), None, None)])]);
    assert_eq!((cleaned.num_rows(), dropped.filter), (0, 1));
    assert_eq!(clean(&settings, &[]).0.num_rows(), 0);
}

#[test]
fn wrong_settings_are_refused_with_the_way_out() {
    let require = CleanSettings {
        require: vec!["name".into(), "country".into()],
        ..nothing()
    };
    assert_eq!(
        refusal(&require),
        "clean.require: there is no column `country`; the columns are: id, name, Country"
    );
    for (filter, parts) in [
        // Upper and lower case are different, and the message says how it is written.
        ("country = 'CA'", vec!["clean.filter: ", "country", "Country"]),
        ("id >", vec!["clean.filter: it cannot be read as SQL: "]),
        ("", vec!["clean.filter: "]),
        ("id + 1", vec!["is of type Int64; expected a predicate"]),
        ("nosuch(id)", vec!["nosuch"]),
        ("random() < 0.5", vec!["random() changes from run to run"]),
        (
            "now() > timestamp '2020-01-01'",
            vec!["now() changes from run to run"],
        ),
        ("name > interval '1 day'", vec!["clean.filter: "]),
        ("id = (SELECT 1)", vec!["clean.filter: "]),
        ("max(id) = 1", vec!["clean.filter: "]),
    ] {
        let message = refusal(&CleanSettings {
            filter: Some(filter.into()),
            ..nothing()
        });
        for part in parts {
            assert!(message.contains(part), "{filter}: {message}");
        }
    }
}

#[test]
fn a_filter_that_fails_on_a_row_is_reported() {
    let settings = CleanSettings {
        filter: Some("CAST(name AS bigint) > 0".into()),
        ..nothing()
    };
    let cleaner = Cleaner::new(&settings, schema(), &"id".into()).unwrap();
    let error = cleaner
        .rows(&batch(&[(Some(1), Some("x"), None)]), &mut Dropped::default())
        .unwrap_err();
    assert!(error.to_string().starts_with("clean.filter: "), "{error}");
}

#[test]
fn the_hash_is_a_fixed_function() {
    // Datasets on disk hold such hashes: a change of the function is a change of the format.
    let batch = batch(&[(Some(1), Some("é"), None), (None, Some(""), Some("x"))]);
    let row = [
        &[1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0xc3, 0xa9, 0][..],
        &[0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, b'x'][..],
    ];
    let expected = row
        .iter()
        .map(|bytes| xxhash_rust::xxh3::xxh3_128(bytes))
        .fold(0u128, u128::wrapping_add);
    let hash = ContentHash::of(&batch).unwrap();
    assert_eq!(hash.to_string(), format!("{expected:032x}"));
    assert_eq!(hash.to_string().parse::<ContentHash>().unwrap(), hash);
    assert_eq!(serde_json::to_string(&hash).unwrap(), format!("\"{hash}\""));
}

#[test]
fn the_hash_does_not_see_how_arrow_holds_a_value() {
    let text = vec![
        Some("one"),
        None,
        Some("a text of more than twelve bytes"),
        Some(""),
    ];
    let plain: ArrayRef = Arc::new(StringArray::from(text.clone()));
    let forms: [ArrayRef; 4] = [
        Arc::new(LargeStringArray::from(text.clone())),
        Arc::new(StringViewArray::from(text.clone())),
        Arc::new(text.clone().into_iter().collect::<DictionaryArray<Int32Type>>()),
        Arc::new(StringArray::from([vec![Some("before")], text].concat()).slice(1, 4)),
    ];
    let hash = |column: &ArrayRef| {
        ContentHash::of(&RecordBatch::try_from_iter([("column", column.clone())]).unwrap()).unwrap()
    };
    for form in forms {
        assert_eq!(hash(&form), hash(&plain), "{}", form.data_type());
    }
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]));
    let large = cast(
        &list,
        &DataType::LargeList(Arc::new(Field::new("other", DataType::Int64, true))),
    )
    .unwrap();
    assert_eq!(hash(&large), hash(&list));
    assert_ne!(hash(&list.slice(0, 2)), hash(&list.slice(1, 2)));
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![0.5, f64::NAN, -0.0]));
    assert_eq!(
        hash(&numbers.slice(1, 2)),
        hash(&(Arc::new(Float64Array::from(vec![f64::NAN, -0.0])) as ArrayRef))
    );
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, false]));
    assert_ne!(hash(&flags.slice(0, 2)), hash(&flags.slice(1, 2)));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"ab"[..], b"c"]));
    let other: ArrayRef = Arc::new(BinaryArray::from(vec![&b"a"[..], b"bc"]));
    assert_ne!(hash(&bytes), hash(&other));
}

#[test]
fn a_schema_becomes_what_delta_has() {
    use arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Nanosecond};
    let item = |kind| Arc::new(Field::new("item", kind, false));
    let element = |kind| Arc::new(Field::new("element", kind, true));
    for (given, expected) in [
        (DataType::Int32, Some(DataType::Int32)),
        (DataType::UInt8, Some(DataType::Int16)),
        (DataType::UInt32, Some(DataType::Int64)),
        (DataType::UInt64, Some(DataType::Decimal128(20, 0))),
        (DataType::Utf8View, Some(DataType::Utf8)),
        (DataType::FixedSizeBinary(16), Some(DataType::Binary)),
        (
            DataType::Timestamp(Millisecond, None),
            Some(DataType::Timestamp(Microsecond, None)),
        ),
        (
            DataType::Timestamp(Microsecond, Some("+00:00".into())),
            Some(DataType::Timestamp(Microsecond, Some("UTC".into()))),
        ),
        (DataType::Timestamp(Nanosecond, None), None),
        (DataType::Decimal128(10, -2), None),
        (DataType::Decimal256(50, 2), None),
        (DataType::Time64(Microsecond), None),
        (
            DataType::LargeList(item(DataType::Utf8View)),
            Some(DataType::List(element(DataType::Utf8))),
        ),
        (DataType::List(item(DataType::Time64(Microsecond))), None),
    ] {
        let schema = Schema::new(vec![Field::new("column", given.clone(), false)]);
        match (delta_schema(&schema), expected) {
            (Ok(schema), Some(expected)) => {
                assert_eq!(schema.field(0).data_type(), &expected, "{given}");
                let none =
                    RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("column", given, false)])));
                assert_eq!(to_delta(&none, &schema).unwrap().schema(), schema);
            }
            (Err(error), None) => {
                let message = error.to_string();
                assert!(
                    message.contains("`column`") && message.contains("CAST(column AS"),
                    "{message}"
                );
            }
            (result, expected) => panic!("{given}: {result:?}, expected {expected:?}"),
        }
    }
    for names in [vec!["a b"], vec!["count(*)"], vec![""], vec!["Name", "name"]] {
        let fields: Vec<_> = names
            .iter()
            .map(|name| Field::new(*name, DataType::Int64, true))
            .collect();
        let message = delta_schema(&Schema::new(fields)).unwrap_err().to_string();
        assert!(
            message.contains("give it another name with AS in source.query"),
            "{message}"
        );
    }
}

prop_compose! {
    fn any_rows()(rows in prop::collection::vec(
        (prop::option::of(0i64..4), prop::option::of("[ab ]{0,2}"), prop::option::of("[ab]?")), 0..24)
    ) -> RecordBatch {
        let mut rows: Vec<Row<'_>> = rows.iter().map(|(a, b, c)| (*a, b.as_deref(), c.as_deref())).collect();
        rows.sort_by_key(|row| (row.0.is_none(), row.0));
        batch(&rows)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However rows are cut, the hashes of the pieces add up to that of the whole.
    #[test]
    fn hashes_add_up(rows in any_rows(), cut in 0.0..1.0f64) {
        let at = (rows.num_rows() as f64 * cut) as usize;
        let pieces = [rows.slice(0, at), rows.slice(at, rows.num_rows() - at)];
        let sum: ContentHash = pieces.iter().map(|piece| ContentHash::of(piece).unwrap()).sum();
        prop_assert_eq!(sum, ContentHash::of(&rows).unwrap());
    }

    /// A changed, added or lost row changes the hash.
    #[test]
    fn hashes_differ(rows in any_rows(), other in any_rows()) {
        let sorted = |batch: &RecordBatch| {
            let mut sorted: Vec<String> = self::rows(batch).iter().map(|row| format!("{row:?}")).collect();
            sorted.sort();
            sorted
        };
        let equal = ContentHash::of(&rows).unwrap() == ContentHash::of(&other).unwrap();
        prop_assert_eq!(equal, sorted(&rows) == sorted(&other));
    }

    /// The result of cleaning does not depend on how a batch arrives, nor on the order of rows with equal keys.
    #[test]
    fn cleaning_has_one_result(
        rows in any_rows(),
        cut in 0.0..1.0f64,
        shuffle in prop::collection::vec(any::<u32>(), 24),
        distinct: bool,
    ) {
        let settings = CleanSettings { trim: true, empty_as_null: true, distinct, ..nothing() };
        let (expected, dropped) = clean(&settings, std::slice::from_ref(&rows));
        let ids = rows.column(0).as_primitive::<Int64Type>();
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by_key(|&row| {
            let row = row as usize;
            (ids.is_null(row), ids.is_valid(row).then(|| ids.value(row)), shuffle[row])
        });
        let shuffled = take_record_batch(&rows, &UInt32Array::from(order)).unwrap();
        let at = (rows.num_rows() as f64 * cut) as usize;
        let pieces = [shuffled.slice(0, at), shuffled.slice(at, rows.num_rows() - at)];
        let (cleaned, dropped_of_pieces) = clean(&settings, &pieces);
        prop_assert_eq!(&cleaned, &expected);
        prop_assert_eq!(dropped_of_pieces, dropped);
        prop_assert_eq!(cleaned.num_rows() as u64 + dropped.total(), rows.num_rows() as u64);
    }
}
