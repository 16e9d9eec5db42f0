//! Files as a source: every type they can have, what they may look like, and what is said of those that cannot be read.
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::support::files::{TempFiles, columns, write_parquet};
use crate::support::{failure, read, rows_of, settings, source};
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::*;
use gristmill_data::Error;
use gristmill_data::convert::Logical;
use gristmill_data::key::{Bounds, Key, KeyRange};
use gristmill_data::pull::{Pace, Progress, pull};
use gristmill_data::settings::{CleanSettings, Consistency, ReadAs, SourceSettings, TextReading};
use gristmill_data::source::Notice;
use gristmill_data::source::open::connect;
use gristmill_data::table::DatasetIdentity;
use serde_json::json;

const ALL: &str = "SELECT * FROM input";

fn integers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Everything, as one range of integers.
fn everything() -> KeyRange {
    let bounds = Bounds::Between {
        after: None,
        until: Key::Int(i64::MAX),
    };
    KeyRange { number: 0, bounds }
}

fn as_type(values: ArrayRef, kind: DataType) -> ArrayRef {
    cast(&values, &kind).unwrap()
}

/// What is written, the type it has here, how its value is shown.
fn every_type() -> Vec<(ArrayRef, DataType, &'static str)> {
    use DataType as T;
    let one = || integers([7]);
    let micros = |zone: Option<&str>| T::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let time = |unit, zone: Option<&str>| T::Timestamp(unit, zone.map(Into::into));
    let item = |name: &str, kind| Arc::new(Field::new(name, kind, true));
    let list_of = |kind| T::List(item("element", kind));
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([
        Some(1),
        None,
    ])]));
    let pair = Fields::from(vec![
        Field::new("a", T::UInt8, true),
        Field::new("b", T::LargeUtf8, true),
    ]);
    let structs: ArrayRef = Arc::new(StructArray::new(
        pair,
        vec![as_type(one(), T::UInt8), as_type(texts(&["x"]), T::LargeUtf8)],
        None,
    ));
    let mut map = MapBuilder::new(None, StringBuilder::new(), TimestampNanosecondBuilder::new());
    map.keys().append_value("k");
    map.values().append_value(5_000);
    map.append(true).unwrap();
    let entry = Fields::from(vec![
        Field::new("keys", T::Utf8, true),
        Field::new("values", micros(None), true),
    ]);
    let runs: Int32Array = Int32Array::from_iter_values([7]);
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![1]), &runs).unwrap();
    vec![
        (Arc::new(BooleanArray::from(vec![true])), T::Boolean, "true"),
        (as_type(one(), T::Int8), T::Int8, "7"),
        (as_type(one(), T::Int16), T::Int16, "7"),
        (as_type(one(), T::Int32), T::Int32, "7"),
        (one(), T::Int64, "7"),
        (Arc::new(UInt8Array::from(vec![u8::MAX])), T::Int16, "255"),
        (Arc::new(UInt16Array::from(vec![u16::MAX])), T::Int32, "65535"),
        (
            Arc::new(UInt32Array::from(vec![u32::MAX])),
            T::Int64,
            "4294967295",
        ),
        (
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            T::Decimal128(20, 0),
            "18446744073709551615",
        ),
        (
            as_type(Arc::new(Float32Array::from(vec![0.5])), T::Float16),
            T::Float32,
            "0.5",
        ),
        (Arc::new(Float32Array::from(vec![0.1])), T::Float32, "0.1"),
        (
            Arc::new(Float64Array::from(vec![f64::NEG_INFINITY])),
            T::Float64,
            "-inf",
        ),
        (
            Arc::new(
                Decimal32Array::from(vec![1234])
                    .with_precision_and_scale(9, 2)
                    .unwrap(),
            ),
            T::Decimal128(9, 2),
            "12.34",
        ),
        (
            Arc::new(
                Decimal64Array::from(vec![-5])
                    .with_precision_and_scale(18, 0)
                    .unwrap(),
            ),
            T::Decimal128(18, 0),
            "-5",
        ),
        (
            Arc::new(
                Decimal128Array::from(vec![1])
                    .with_precision_and_scale(38, 38)
                    .unwrap(),
            ),
            T::Decimal128(38, 38),
            "0.00000000000000000000000000000000000001",
        ),
        (
            Arc::new(
                Decimal256Array::from(vec![i256::from_i128(7)])
                    .with_precision_and_scale(38, 1)
                    .unwrap(),
            ),
            T::Decimal128(38, 1),
            "0.7",
        ),
        (texts(&["é"]), T::Utf8, "é"),
        (as_type(texts(&["é"]), T::LargeUtf8), T::Utf8, "é"),
        (as_type(texts(&["é"]), T::Utf8View), T::Utf8, "é"),
        (
            as_type(texts(&["é"]), T::Dictionary(T::Int8.into(), T::Utf8.into())),
            T::Utf8,
            "é",
        ),
        (
            Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]])),
            T::Binary,
            "00ff",
        ),
        (
            Arc::new(LargeBinaryArray::from(vec![&b"\x00\xff"[..]])),
            T::Binary,
            "00ff",
        ),
        (
            Arc::new(BinaryViewArray::from(vec![&b"\x00\xff"[..]])),
            T::Binary,
            "00ff",
        ),
        (
            Arc::new(FixedSizeBinaryArray::try_from_iter([[0_u8, 255]].into_iter()).unwrap()),
            T::Binary,
            "00ff",
        ),
        (Arc::new(Date32Array::from(vec![-1])), T::Date32, "1969-12-31"),
        (
            Arc::new(Date64Array::from(vec![86_400_000])),
            T::Date32,
            "1970-01-02",
        ),
        (Arc::new(Time32SecondArray::from(vec![1])), T::Utf8, "00:00:01"),
        (
            Arc::new(Time32MillisecondArray::from(vec![1_500])),
            T::Utf8,
            "00:00:01.500",
        ),
        (
            Arc::new(Time64MicrosecondArray::from(vec![1])),
            T::Utf8,
            "00:00:00.000001",
        ),
        (
            Arc::new(Time64NanosecondArray::from(vec![1])),
            T::Utf8,
            "00:00:00.000000001",
        ),
        (
            as_type(one(), time(TimeUnit::Second, None)),
            micros(None),
            "1970-01-01T00:00:07",
        ),
        (
            as_type(one(), time(TimeUnit::Millisecond, None)),
            micros(None),
            "1970-01-01T00:00:00.007",
        ),
        (
            as_type(one(), micros(None)),
            micros(None),
            "1970-01-01T00:00:00.000007",
        ),
        (
            as_type(integers([7_000]), time(TimeUnit::Nanosecond, None)),
            micros(None),
            "1970-01-01T00:00:00.000007",
        ),
        (
            as_type(one(), time(TimeUnit::Second, Some("+05:30"))),
            micros(Some("UTC")),
            "1970-01-01T00:00:07Z",
        ),
        (
            as_type(
                integers([-1_000]),
                time(TimeUnit::Nanosecond, Some("Europe/Paris")),
            ),
            micros(Some("UTC")),
            "1969-12-31T23:59:59.999999Z",
        ),
        (Arc::new(NullArray::new(1)), T::Utf8, "∅"),
        (list.clone(), list_of(T::Int32), "[1, ∅]"),
        (
            as_type(list.clone(), T::LargeList(item("item", T::Int32))),
            list_of(T::Int32),
            "[1, ∅]",
        ),
        (
            as_type(list, T::FixedSizeList(item("item", T::Int32), 2)),
            list_of(T::Int32),
            "[1, ∅]",
        ),
        (
            structs,
            T::Struct(vec![Field::new("a", T::Int16, true), Field::new("b", T::Utf8, true)].into()),
            "{a: 7, b: x}",
        ),
        (
            Arc::new(map.finish()),
            list_of(T::Struct(entry)),
            "[{keys: k, values: 1970-01-01T00:00:00.000005}]",
        ),
        (Arc::new(runs), T::Int32, "7"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_a_file_has_its_counterpart() {
    let files = TempFiles::new();
    for (number, (values, kind, shown)) in every_type().into_iter().enumerate() {
        let given = values.data_type().clone();
        let name = format!("{number}.parquet");
        let nothing = new_null_array(&given, 1);
        let values = arrow::compute::concat(&[&values, &nothing]).unwrap();
        files.parquet(
            &name,
            &columns(vec![("id", integers([1, 2])), ("v", values)]),
            1000,
        );
        // Read in place, and through a sorted copy.
        for query in [ALL, "SELECT id + 0 AS id, v FROM input"] {
            let source = source(&files.url("parquet", &name), query, "id").await;
            assert_eq!(source.column_types()[1].arrow_type, kind, "{given}");
            let rows = read(source.as_ref(), &everything()).await.unwrap();
            assert_eq!(rows, [["1", shown], ["2", "∅"]], "{given}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_type_cannot_hold_is_an_error_and_no_loss() {
    let files = TempFiles::new();
    let nanos = || {
        as_type(
            integers([1_000, 1_001]),
            DataType::Timestamp(TimeUnit::Nanosecond, None),
        )
    };
    let spare = || OffsetBuffer::new(vec![0, 1, 2].into());
    for (values, why) in [
        (nanos(), "its nanoseconds have no place in microseconds"),
        (
            Arc::new(ListArray::new(
                Arc::new(Field::new("item", nanos().data_type().clone(), true)),
                spare(),
                nanos(),
                None,
            )) as ArrayRef,
            "its nanoseconds have no place in microseconds",
        ),
        (
            Arc::new(Date64Array::from(vec![0, 1])),
            "its time of day has no place in a date",
        ),
        (
            as_type(
                integers([0, i64::MAX]),
                DataType::Timestamp(TimeUnit::Second, None),
            ),
            "Overflow happened on: 9223372036854775807 * 1000000",
        ),
    ] {
        let given = values.data_type().clone();
        files.parquet(
            "v.parquet",
            &columns(vec![("id", texts(&["a", "b"])), ("v", values)]),
            1000,
        );
        for query in [ALL, "SELECT trim(id) AS id, v FROM input"] {
            let source = source(&files.url("parquet", "v.parquet"), query, "id").await;
            let bounds = Bounds::Between {
                after: None,
                until: Key::Text("z".into()),
            };
            let message = read(source.as_ref(), &KeyRange { number: 0, bounds })
                .await
                .unwrap_err()
                .to_string();
            assert_eq!(
                message,
                format!("column `v`, row with id = b: {why}; write a CAST in source.query"),
                "{given}"
            );
        }
    }
    for (values, message) in [
        (
            Arc::new(DurationSecondArray::from(vec![1])) as ArrayRef,
            "column `v` has type Duration(s), which has no counterpart here; write CAST(v AS text) in source.query",
        ),
        (
            Arc::new(IntervalYearMonthArray::from(vec![1])),
            "column `v` has type Interval(YearMonth), which has no counterpart here; write CAST(v AS text) in source.query",
        ),
        (
            Arc::new(
                Decimal256Array::from(vec![i256::ONE])
                    .with_precision_and_scale(76, 0)
                    .unwrap(),
            ),
            "column `v` has type Decimal256(76, 0), which has no counterpart here; write CAST(v AS decimal(38, 9)) in \
             source.query",
        ),
    ] {
        files.parquet(
            "v.parquet",
            &columns(vec![("id", integers([1])), ("v", values)]),
            1000,
        );
        let url = files.url("parquet", "v.parquet");
        assert_eq!(failure(&url, ALL, "id").await, message);
        // The way out that the message names.
        let cast = message
            .split("write ")
            .nth(1)
            .unwrap()
            .split(" in ")
            .next()
            .unwrap();
        let source = source(&url, &format!("SELECT id, {cast} AS v FROM input"), "id").await;
        assert_eq!(rows_of(source.as_ref(), 1).await.len(), 1, "{cast}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_is_typed_by_all_of_its_values() {
    let files = TempFiles::new();
    files.write(
        "a.csv",
        "id,code,ratio,flag,born,at,zone,note,\n1,01,1,True,1960-02-29,2024-01-02 03:04:05,2024-01-02T03:04:05+01:00,\"a, \"\"b\"\"\nc\",x\n",
    );
    files.write(
        "b.csv",
        "id,code,ratio,flag,born,at,zone,note,\r\n2,2,0.25,false,,2024-01-02,,,\r\n",
    );
    let source = source(&files.url("csv", "*.csv"), ALL, "id").await;
    let types: Vec<String> = source
        .column_types()
        .into_iter()
        .map(|column| column.database_type)
        .collect();
    assert_eq!(
        types,
        [
            "integers",
            "text",
            "numbers",
            "true or false",
            "dates",
            "timestamps",
            "timestamps with zone",
            "text",
            "text"
        ]
    );
    assert_eq!(source.schema().field(8).name(), "column_9");
    assert_eq!(source.estimate().await.unwrap().rows, Some(2));
    assert_eq!(
        rows_of(source.as_ref(), 1).await,
        [
            [
                "1",
                "01",
                "1.0",
                "true",
                "1960-02-29",
                "2024-01-02T03:04:05",
                "2024-01-02T02:04:05Z",
                "a, \"b\"\nc",
                "x"
            ],
            [
                "2",
                "2",
                "0.25",
                "false",
                "∅",
                "2024-01-02T00:00:00",
                "∅",
                "∅",
                "∅"
            ],
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_may_be_packed_and_have_another_delimiter_or_no_header() {
    let files = TempFiles::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    packed.write_all(b"\xef\xbb\xbfid;v\n2;b\n1;a,c\n").unwrap();
    files.write("x.csv.gz", packed.finish().unwrap());
    files.write("y.tsv", "1\ta,c\n2\tb\n");
    for (url, key) in [
        (files.url("csv", "x.csv.gz?delimiter=;"), "id"),
        (files.url("csv", "y.tsv?header=false"), "column_1"),
    ] {
        let source = source(&url, ALL, key).await;
        assert_eq!(
            rows_of(source.as_ref(), 1).await,
            [["1", "a,c"], ["2", "b"]],
            "{url}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotation_marks_may_be_plain_characters() {
    let files = TempFiles::new();
    files.write("x.tsv", "id\tname\n2\t\"Weird Al\" Yankovic\n1\t\"open\n3\t5\"\n");
    files.write("open.tsv", "id\tname\n2\ta\n1\t\"open\n3\tb\n");
    files.write("long.tsv", format!("id\tname\n2\t\"{}", "a\n".repeat(9 << 20)));
    for name in ["x.tsv", "open.tsv", "long.tsv"] {
        let message = failure(&files.url("csv", name), ALL, "id").await;
        assert!(
            message.ends_with("add quote=none to source.url (csv:…?quote=none)"),
            "{message}"
        );
    }
    let source = source(&files.url("csv", "x.tsv?quote=none"), ALL, "id").await;
    assert_eq!(
        rows_of(source.as_ref(), 1).await,
        [["1", "\"open"], ["2", "\"Weird Al\" Yankovic"], ["3", "5\""]],
    );
}

/// What a file holds, and what is noticed in it.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_swallowed_others_and_columns_that_few_values_make_text_are_noticed() {
    let files = TempFiles::new();
    let path = |name: &str| files.path(name).display().to_string();
    let swallowed = |name: &str, rows, first_line, last_line| Notice::SwallowedRows {
        file: path(name),
        rows,
        first_line,
        last_line,
    };
    let odd = |name: &str, column: &str, otherwise, value: &str, line, odd, values| Notice::OddValues {
        column: column.to_owned(),
        otherwise,
        value: value.to_owned(),
        file: path(name),
        line,
        odd,
        values,
    };
    for (name, text, expected) in [
        (
            "two.csv",
            "id,name\r\n\r\n1,\"x\r\n2,y\r\n3,z\"\r\n4,u\r\n5,v\r\n6,\"x\r\n7,z\"\r\n",
            vec![swallowed("two.csv", 2, 3, 5)],
        ),
        (
            "letter.csv",
            "id,name\n1,\"Dear Ada,\nhow do you do?\"\n2,\"Ada,\nwell, thanks\"\n",
            vec![],
        ),
        ("letters.csv", "id,name\n1,\"Ada\nwell, thanks\"\n", vec![]),
        (
            "odd.csv",
            "id,v,day\n1,0.5,2024-01-01\n2,n/a,\n3,0.5,2024-01-01\n\n4,1,soon\n5,2,2024-01-02\n",
            vec![
                odd("odd.csv", "v", "numbers", "n/a", 3, 1, 5),
                odd("odd.csv", "day", "dates", "soon", 6, 1, 4),
            ],
        ),
        ("good.csv", "id,name\n1,Abba\n2,1975\n3,Blink\n", vec![]),
    ] {
        files.write(name, text);
        let source = source(&files.url("csv", name), ALL, "id").await;
        assert_eq!(source.notices(), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_is_any_select_over_input() {
    let files = TempFiles::new();
    let rows = columns(vec![
        ("Id", integers([3, 1, 2, 4])),
        ("group", texts(&["a", "b", "a", "b"])),
        ("a.b", integers([1, 2, 3, 4])),
    ]);
    files.parquet("x.parquet", &rows, 2);
    let url = files.url("parquet", "x.parquet");
    for (query, key, expected) in [
        (
            "SELECT \"a.b\" AS v, Id FROM input;",
            "Id",
            vec![["2", "1"], ["3", "2"], ["1", "3"], ["4", "4"]],
        ),
        (
            "SELECT i.Id, i.Id * 2 AS k FROM input AS i WHERE Id > 2",
            "k",
            vec![["3", "6"], ["4", "8"]],
        ),
        (
            "SELECT \"group\", sum(Id) AS n FROM input GROUP BY 1",
            "group",
            vec![["a", "5"], ["b", "5"]],
        ),
        (
            "SELECT Id, \"a.b\" FROM input ORDER BY Id DESC LIMIT 2",
            "Id",
            vec![["3", "1"], ["4", "4"]],
        ),
        (
            "SELECT x.Id, y.Id AS other FROM input x JOIN input y ON x.Id = y.\"a.b\" WHERE x.Id < 3",
            "Id",
            vec![["1", "3"], ["2", "1"]],
        ),
        (
            "SELECT \"a.b\", Id FROM input",
            "a.b",
            vec![["1", "3"], ["2", "1"], ["3", "2"], ["4", "4"]],
        ),
    ] {
        let source = source(&url, query, key).await;
        if key != "a.b" {
            assert_eq!(rows_of(source.as_ref(), 1).await, expected, "{query}");
            assert_eq!(
                source.estimate().await.unwrap().rows,
                Some(expected.len() as u64),
                "{query}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_queries_are_explained() {
    let files = TempFiles::new();
    files.parquet(
        "x.parquet",
        &columns(vec![("id", integers([1])), ("v", texts(&["one"]))]),
        10,
    );
    let url = files.url("parquet", "x.parquet");
    for (query, key, why) in [
        (
            "SELECT nr FROM input",
            "nr",
            "there is no column `nr`; the columns are: id, v",
        ),
        (
            "SELECT * FROM artist",
            "id",
            "source.query: table 'artist' not found",
        ),
        ("SELECT * FROM", "id", "Expected"),
        ("DELETE FROM input", "id", "DML not supported"),
        ("COPY input TO '/tmp/x' STORED AS arrow", "id", "not supported"),
        ("CREATE TABLE t AS SELECT 1 AS id", "id", "DDL not supported"),
        ("SELECT 1 AS id; SELECT 2 AS id", "id", "a single SQL statement"),
        (
            "SELECT * FROM input WHERE id = $1",
            "id",
            "it has parameters ($1); write the values out",
        ),
        (
            "SELECT id, random() AS r FROM input",
            "id",
            "random() changes from run to run",
        ),
        (
            "SELECT a.id, b.id FROM input a, input b",
            "id",
            "the column `id` occurs twice",
        ),
        (
            ALL,
            "ID",
            "source.key `ID` is not a column of source.query; its columns are: id, v",
        ),
        (
            "SELECT id AS \"a b\" FROM input",
            "a b",
            "has a name that a Delta table cannot hold",
        ),
    ] {
        let message = failure(&url, query, key).await;
        assert!(message.contains(why), "{query}: {message}");
    }
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    files.parquet("list.parquet", &columns(vec![("k", Arc::new(list))]), 10);
    assert_eq!(
        failure(&files.url("parquet", "list.parquet"), ALL, "k").await,
        "source.key `k` has type List(Int32), which has no order to cut ranges from; use a column of numbers, text, dates, \
         timestamps, booleans or bytes"
    );
    // What shows only in the rows.
    let source = source(&url, "SELECT CAST(v AS bigint) AS id FROM input", "id").await;
    let message = source.boundary(None, 1).await.unwrap_err().to_string();
    assert!(
        message.contains("source.query: ") && message.contains("'one'"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_are_explained() {
    let files = TempFiles::new();
    let at = files.dir.path().display().to_string();
    let rows = columns(vec![("id", integers([1])), ("v", texts(&["a"]))]);
    files.parquet("more/a.parquet", &rows, 10);
    files.parquet("more/b.parquet", &rows.project(&[0]).unwrap(), 10);
    files.parquet("less/a.parquet", &rows.project(&[0]).unwrap(), 10);
    files.parquet("less/b.parquet", &rows, 10);
    files.parquet("kinds/a.parquet", &rows, 10);
    files.parquet(
        "kinds/b.parquet",
        &columns(vec![("id", integers([1])), ("v", integers([1]))]),
        10,
    );
    files.parquet("hive/year=2020/a.parquet", &rows, 10);
    files.write("empty/_SUCCESS", "");
    files.write("text.parquet", "this is text");
    files.write("ragged.csv", "id,v\n1,a\n2,b,c\n");
    files.write("latin.csv", b"id,v\n1,a\n2,caf\xe9\n");
    files.write("twice.csv", "id,id\n1,2\n");
    files.write("nothing.csv", "");
    files.write("heads/a.csv", "id,v\n1,a\n");
    files.write("heads/b.csv", "v,id\na,1\n");
    files.write("plain/a.txt", "x");
    let delta = rows.schema();
    let plain = [(rows.clone(), json!({}))];
    files.delta(
        "mapped",
        &delta,
        &plain,
        &json!({"configuration": {"delta.columnMapping.mode": "name"}}),
    );
    let vector = json!({"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "sizeInBytes": 40, "cardinality": 1, "offset": 1});
    files.delta("deleted", &delta, &plain, &json!({ "deletionVector": vector }));
    for (scheme, name, message) in [
        (
            "parquet",
            "none.parquet",
            format!("source.url {{}}: there is no file {at}/none.parquet"),
        ),
        (
            "parquet",
            "none*.parquet",
            format!("source.url {{}}: there is no .parquet file in {at}/none*.parquet"),
        ),
        (
            "parquet",
            "empty",
            format!("source.url {{}}: there is no .parquet file in {at}/empty"),
        ),
        (
            "parquet",
            "text.parquet",
            format!(
                "{at}/text.parquet: cannot be read as Parquet: it is no Parquet file, or its end is missing"
            ),
        ),
        (
            "parquet",
            "more",
            format!("{at}/more/b.parquet: it has no column `v`, which the first file has"),
        ),
        (
            "parquet",
            "less",
            format!("{at}/less/b.parquet: it has a column `v`, which the first file does not have"),
        ),
        (
            "parquet",
            "kinds",
            format!(
                "{at}/kinds/b.parquet: its column `v` has type Int64, that of the files before Utf8, and no type holds the values of both"
            ),
        ),
        (
            "parquet",
            "hive",
            format!(
                "source.url {{}}: the folder {at}/hive/year=2020 holds a partition, whose column is in no file; name the \
                 files of one with a pattern such as {at}/hive/year=2020/*, or make a Delta table of them"
            ),
        ),
        (
            "csv",
            "ragged.csv",
            format!("{at}/ragged.csv: line 3 has 3 fields, the lines before have 2"),
        ),
        (
            "csv",
            "latin.csv",
            format!(
                "{at}/latin.csv: line 3, column `v`: \"caf\u{fffd}\" is not UTF-8; if the file is Latin-1 or Windows-1252, add encoding=latin1 to source.url (csv:…?encoding=latin1)"
            ),
        ),
        (
            "csv",
            "twice.csv",
            format!("{at}/twice.csv: the column `id` occurs twice in its header"),
        ),
        ("csv", "nothing.csv", format!("{at}/nothing.csv: it is empty")),
        (
            "csv",
            "heads",
            format!("{at}/heads/b.csv: its columns are v, id, those of the first file id, v"),
        ),
        (
            "csv",
            "plain",
            format!("source.url {{}}: there is no .csv or .tsv or .csv.gz or .tsv.gz file in {at}/plain"),
        ),
        (
            "delta",
            "none",
            format!("source.url {{}}: there is no folder {at}/none"),
        ),
        (
            "delta",
            "more",
            format!("{at}/more: there is no Delta table in it"),
        ),
        (
            "delta",
            "mapped",
            format!(
                "{at}/mapped: its columns have other names in its files (delta.columnMapping.mode); write it anew without that"
            ),
        ),
        (
            "delta",
            "deleted",
            format!(
                "{at}/deleted: some of its rows are deleted by deletion vectors; write it anew with REORG TABLE … APPLY (PURGE)"
            ),
        ),
    ] {
        let url = files.url(scheme, name);
        assert_eq!(failure(&url, ALL, "id").await, message.replace("{}", &url));
    }
    let message = failure("parquet:s3://bucket/x.parquet", ALL, "id").await;
    assert!(
        message.contains("only files of this machine are read"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_a_delta_table_can_be_asked_for() {
    let files = TempFiles::new();
    let rows = columns(vec![("id", integers([2, 1]))]);
    files.delta("t", &rows.schema(), &[(rows.clone(), json!({}))], &json!({}));
    files.write(
        "t/_delta_log/00000000000000000001.json",
        "{\"remove\":{\"path\":\"part-0.parquet\",\"dataChange\":true,\"deletionTimestamp\":0}}\n",
    );
    let old = source(&files.url("delta", "t?version=0"), ALL, "id").await;
    let new = source(&files.url("delta", "t"), ALL, "id").await;
    assert_eq!(rows_of(old.as_ref(), 5).await, [["1"], ["2"]]);
    assert_eq!(new.estimate().await.unwrap().rows, Some(0));
    for (source, version) in [(old, 0), (new, 1)] {
        let name = format!("version {version} of 5b8d0f5e-0d6f-4f7e-9f4e-0c9f6f1a2b3c, files ");
        assert!(source.snapshot().starts_with(&name), "{}", source.snapshot());
    }
}

/// What keeps its path, its size and its times, and is another file all the same.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_content_was_replaced_is_another_snapshot() {
    let files = TempFiles::new();
    let other = columns(vec![("id", integers([3, 4]))]);
    let rows = columns(vec![("id", integers([1, 2]))]);
    files.parquet("other.parquet", &other, 7);
    files.parquet("p/x.parquet", &rows, 7);
    files.write("x.csv", "id\n1\n2\n");
    files.write("other.csv", "id\n3\n4\n");
    files.delta("t", &rows.schema(), &[(rows.clone(), json!({}))], &json!({}));
    for (url, file, content) in [
        (files.url("parquet", "p"), "p/x.parquet", "other.parquet"),
        (files.url("csv", "x.csv"), "x.csv", "other.csv"),
        // A table that was deleted and written again, under its old id.
        (files.url("delta", "t"), "t/part-0.parquet", "other.parquet"),
    ] {
        let (file, content) = (files.path(file), files.path(content));
        let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
        for by_rename in [false, true] {
            let before = source(&url, ALL, "id").await;
            assert_eq!(source(&url, ALL, "id").await.snapshot(), before.snapshot());
            if by_rename {
                let new = file.with_file_name("new");
                std::fs::copy(&content, &new).unwrap();
                std::fs::rename(&new, &file).unwrap();
            } else {
                std::thread::sleep(std::time::Duration::from_millis(20));
                std::fs::write(&file, std::fs::read(&content).unwrap()).unwrap();
            }
            let opened = std::fs::File::options().write(true).open(&file).unwrap();
            opened.set_modified(modified).unwrap();
            let after = source(&url, ALL, "id").await;
            assert_ne!(
                after.snapshot(),
                before.snapshot(),
                "{url}, by rename: {by_rename}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_order_are_read_in_place_and_others_from_a_sorted_copy() {
    let files = TempFiles::new();
    // By name the later keys come first.
    files.parquet("a.parquet", &columns(vec![("id", integers(50..100))]), 7);
    files.parquet("b.parquet", &columns(vec![("id", integers(0..50))]), 7);
    let url = files.url("parquet", "*.parquet");
    let in_place = source(&url, ALL, "id").await;
    let copied = source(&url, "SELECT id FROM input WHERE id >= 0", "id").await;
    let names = [in_place.snapshot(), copied.snapshot()];
    assert_eq!(names[0], names[1]);
    let expected: Vec<_> = (0..100).map(|id| [id.to_string()]).collect();
    for source in [&in_place, &copied] {
        assert_eq!(rows_of(source.as_ref(), 9).await, expected);
    }
    // Written over, as most tools do.
    files.parquet("a.parquet", &columns(vec![("id", integers(50..101))]), 7);
    let error = in_place.boundary(None, 5).await.unwrap_err();
    let Error::SnapshotGone { why, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        why.ends_with("a.parquet was changed") && error.may_pass(),
        "{error}"
    );
    assert!(matches!(
        read(in_place.as_ref(), &everything()).await,
        Err(Error::SnapshotGone { .. })
    ));
    assert_eq!(rows_of(copied.as_ref(), 9).await, expected);
    assert_ne!(source(&url, ALL, "id").await.snapshot(), names[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_changed_before_it_is_sorted_is_noticed() {
    let files = TempFiles::new();
    files.write("x.csv", "id\n2\n1\n");
    let source = source(&files.url("csv", "x.csv"), ALL, "id").await;
    files.write("x.csv", "id\n2\n1\n3\n");
    assert!(matches!(
        source.boundary(None, 1).await,
        Err(Error::SnapshotGone { .. })
    ));
    assert_eq!(source.estimate().await.unwrap().rows, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_values_come_in_small_batches() {
    let files = TempFiles::new();
    let values: Vec<String> = (0..200).map(|id| format!("{id}").repeat(40_000)).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    files.parquet(
        "x.parquet",
        &columns(vec![("id", integers(0..200)), ("v", texts(&values))]),
        1000,
    );
    for query in [ALL, "SELECT id, concat(v, id) AS v FROM input"] {
        let source = source(&files.url("parquet", "x.parquet"), query, "id").await;
        let batches: Vec<RecordBatch> =
            futures::TryStreamExt::try_collect(source.read(&everything()).await.unwrap())
                .await
                .unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 200);
        assert!(batches.iter().all(|batch| batch.num_rows() <= 11), "{query}");
    }
}

/// A pull goes on from the changed files, and says so in the dataset's history.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_of_files_that_change_goes_on_from_the_new_ones() {
    let files = TempFiles::new();
    files.parquet("x.parquet", &columns(vec![("id", integers(0..100))]), 10);
    let settings = settings(&files.url("parquet", "x.parquet"), ALL, "id");
    for consistency in [Consistency::Resume, Consistency::Strict] {
        files.parquet("x.parquet", &columns(vec![("id", integers(0..100))]), 10);
        let source = connect(&settings).await.unwrap();
        let clean = CleanSettings {
            trim: true,
            empty_as_null: true,
            require: vec![],
            filter: None,
            distinct: false,
        };
        let identity =
            DatasetIdentity::new("", &settings.query, &settings.key, &clean, &source.schema()).unwrap();
        let pace = Pace {
            batch_rows: 10,
            connections: 2,
            commit_every: Duration::ZERO,
            consistency,
        };
        let (mut resumed, mut anew) = (0, 0);
        let path = files.path("x.parquet");
        let mut tell = |progress: Progress<'_>| match progress {
            Progress::Batch { batch, .. } if batch.number == 2 && resumed + anew == 0 => {
                write_parquet(
                    &path,
                    &columns(vec![("id", integers((0..100).map(|id| id * 2)))]),
                    10,
                );
            }
            Progress::Resumed {
                other_snapshot: true, ..
            } => resumed += 1,
            Progress::Anew { .. } => anew += 1,
            _ => {}
        };
        let dataset = files.path(&format!("{consistency:?}"));
        let pulled = pull(source, &settings, identity, &dataset, pace, &mut tell)
            .await
            .unwrap();
        let expected = match consistency {
            // Three batches or more of the old file, then what the new one has after them.
            Consistency::Resume => {
                assert_eq!((resumed, anew), (1, 0));
                115..=150
            }
            Consistency::Strict => {
                assert_eq!((resumed, anew), (0, 1));
                100..=100
            }
        };
        assert!(
            expected.contains(&pulled.totals.rows_read),
            "{}",
            pulled.totals.rows_read
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_has_the_types_and_the_nulls_that_the_url_gives() {
    let files = TempFiles::new();
    files.write(
        "a.csv",
        "id,zip,n,day\n1,0123,NA,2024-01-02\n2,4567,-,\n3,,7,2024-02-03\n",
    );
    for (options, types, rows) in [
        ("", "integer text text date", "3|∅|7|2024-02-03"),
        ("?null=NA,-", "integer text integer date", "3|∅|7|2024-02-03"),
        (
            "?null=NA,-&types=n:number",
            "integer text number date",
            "3|∅|7.0|2024-02-03",
        ),
        ("?types=text", "text text text text", "3|∅|7|2024-02-03"),
        (
            "?types=text,id:integer",
            "integer text text text",
            "3|∅|7|2024-02-03",
        ),
    ] {
        let url = format!("{}{options}", files.url("csv", "a.csv"));
        let source = source(&url, ALL, "id").await;
        let found: Vec<&str> = source
            .column_types()
            .iter()
            .map(|column| match column.arrow_type {
                DataType::Int64 => "integer",
                DataType::Float64 => "number",
                DataType::Date32 => "date",
                DataType::Utf8 => "text",
                _ => "another",
            })
            .collect();
        assert_eq!(found.join(" "), types, "{options}");
        assert_eq!(rows_of(source.as_ref(), 10).await[2].join("|"), rows, "{options}");
    }
    for (options, why) in [
        (
            "?types=n:number",
            "line 2, column `n`: \"NA\" is none of the numbers that source.url says it has",
        ),
        (
            "?types=zip:integer",
            "line 2, column `zip`: \"0123\" is none of the integers",
        ),
        (
            "?types=zap:text",
            "it has no column `zap`, whose type source.url gives; its columns are id, zip, n, day",
        ),
        (
            "?types=n:money",
            "there is no type `money`; the types are text, boolean, integer, number, date",
        ),
    ] {
        let message = failure(&format!("{}{options}", files.url("csv", "a.csv")), ALL, "id").await;
        assert!(message.contains(why), "{options}: {message}");
    }
}

fn told(settings: SourceSettings, column: &str, read_as: ReadAs) -> SourceSettings {
    let text = TextReading {
        columns: vec![(column.to_owned(), read_as)],
        quoted_empty: false,
    };
    SourceSettings { text, ..settings }
}

/// What becomes of a column of the query that is the file's under other names, or is made of it.
#[derive(PartialEq, Debug)]
enum Becomes {
    /// The text that is there.
    Written,
    /// Something of the values, about which the user is told.
    Made,
    /// Nothing that was told concerns it.
    Typed,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_is_kept_as_it_is_written_whatever_it_is_called_in_the_query() {
    use Becomes::{Made, Typed, Written};
    let files = TempFiles::new();
    files.write("a.csv", "id,k,n\n1,1.10,1\n2,1.1,2\n3,2.5,3\n");
    let url = files.url("csv", "a.csv");
    for (query, becomes) in [
        ("SELECT id, k AS kk FROM input", Written),
        ("SELECT id, input.k AS kk FROM input", Written),
        ("SELECT id, i.k kk FROM input AS i WHERE n > 0", Written),
        ("SELECT id, kk FROM (SELECT id, k AS kk FROM input)", Written),
        (
            "SELECT id, b AS kk FROM (SELECT id, a AS b FROM (SELECT id, k AS a FROM input) x) y",
            Written,
        ),
        (
            "WITH c AS (SELECT id, k AS j FROM input) SELECT id, j AS kk FROM c",
            Written,
        ),
        (
            "WITH c(id, kk) AS (SELECT id, k FROM input) SELECT * FROM c",
            Written,
        ),
        ("SELECT DISTINCT id, k AS kk FROM input", Written),
        (
            "SELECT DISTINCT ON (id) id, k AS kk FROM input ORDER BY id, n",
            Written,
        ),
        ("SELECT max(id) AS id, k AS kk FROM input GROUP BY k", Written),
        (
            "SELECT max(id) AS id, k AS kk FROM input GROUP BY ROLLUP (k)",
            Written,
        ),
        ("SELECT id, k AS kk FROM input ORDER BY n LIMIT 3", Written),
        (
            "SELECT id, k AS kk, row_number() OVER (ORDER BY id) AS r FROM input",
            Written,
        ),
        (
            "SELECT a.id, b.k AS kk FROM input a JOIN input b ON a.id = b.id",
            Written,
        ),
        (
            "SELECT id, k AS kk FROM input a WHERE id IN (SELECT id FROM input WHERE n > 0)",
            Written,
        ),
        (
            "SELECT id, k AS kk FROM input UNION ALL SELECT id + 10, k FROM input",
            Written,
        ),
        ("SELECT id, k AS kk FROM input UNION SELECT 9, 'x'", Written),
        ("SELECT id, k AS kk FROM input UNION ALL SELECT 9, NULL", Written),
        ("SELECT id, CAST(k AS VARCHAR) AS kk FROM input", Written),
        ("SELECT id, k::text AS kk FROM input", Written),
        ("SELECT id, k AS kk, k AS other FROM input", Written),
        // The name alone says nothing.
        ("SELECT id, k, n AS kk FROM input", Typed),
        ("SELECT id, k * 2 AS j, n AS kk FROM input", Typed),
        ("SELECT id, n AS k, k + 1 AS j, 1 AS kk FROM input", Typed),
        ("SELECT id, k || '-x' AS kk FROM input", Made),
        ("SELECT id, k * 2 AS kk FROM input", Made),
        ("SELECT id, coalesce(k, 0) AS kk FROM input", Made),
        ("SELECT id, CAST(k * 1 AS VARCHAR) AS kk FROM input", Made),
        ("SELECT max(id) AS id, max(k) AS kk FROM input GROUP BY n", Made),
        ("SELECT id, lag(k) OVER (ORDER BY id) AS kk FROM input", Made),
        (
            "SELECT id, upper(j) AS kk FROM (SELECT id, concat(k, '') AS j FROM input)",
            Made,
        ),
        ("SELECT id, (SELECT max(k) FROM input) AS kk FROM input", Made),
        (
            "SELECT id, k AS kk FROM input UNION ALL SELECT id + 10, k * 2 FROM input",
            Made,
        ),
        // What is made of the values that are kept has no other ones.
        ("SELECT id, k || '-x' AS j, k AS kk FROM input", Written),
    ] {
        let settings = told(crate::support::settings(&url, query, "id"), "kk", ReadAs::Written);
        let source = connect(&settings)
            .await
            .unwrap_or_else(|e| panic!("{query}: {e}"));
        let schema = source.schema();
        let kind = schema.field_with_name("kk").unwrap().data_type().clone();
        let place = schema.index_of("kk").unwrap();
        let rows = rows_of(source.as_ref(), 10).await;
        let has = |text: &str| rows.iter().any(|row| row[place] == text);
        let is_written = kind == DataType::Utf8 && has("1.10") && has("1.1");
        assert_eq!(is_written, becomes == Written, "{query}: {rows:?}");
        let noticed = source.notices().into_iter().any(|notice| {
            matches!(&notice, Notice::Rewritten { column, of, value, line: 2, .. }
                if column == "kk" && of == "k" && value == "1.10")
        });
        assert_eq!(noticed, becomes == Made, "{query}: {:?}", source.notices());
    }
    // A column that only has the name is not kept as text, with which the query could not be planned.
    for (query, key) in [
        ("SELECT id, k + 1 AS j, n AS k FROM input", "id"),
        ("SELECT id AS k, k + 1 AS j FROM input", "k"),
    ] {
        let source = connect(&told(
            crate::support::settings(&url, query, key),
            "k",
            ReadAs::Written,
        ))
        .await;
        let kind = source
            .unwrap()
            .schema()
            .field_with_name("j")
            .unwrap()
            .data_type()
            .clone();
        assert_eq!(kind, DataType::Float64, "{query}");
    }
    // And one that is kept as text can be added to nothing.
    let message = match connect(&told(
        crate::support::settings(&url, "SELECT id, k, k + 1 AS j FROM input", "id"),
        "k",
        ReadAs::Written,
    ))
    .await
    {
        Ok(_) => panic!("it is planned"),
        Err(error) => error.to_string(),
    };
    assert!(message.contains("source.query: "), "{message}");
    // Told by no more than values that lose something.
    files.write("b.csv", "id,k\n1,1.5\n2,2.25\n");
    let settings = crate::support::settings(
        &files.url("csv", "b.csv"),
        "SELECT id, k || '-x' AS kk FROM input",
        "id",
    );
    let source = connect(&told(settings, "kk", ReadAs::Written)).await.unwrap();
    assert_eq!(source.notices(), []);
}

/// What is told to be of a type is read by the parser of that type, whatever it looks like.
#[tokio::test(flavor = "multi_thread")]
async fn text_is_read_as_the_values_that_it_is_told_to_be() {
    use DataType as T;
    let files = TempFiles::new();
    let micros = |zone: Option<&str>| T::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    for (value, kind, shown) in [
        ("007", T::Utf8, Ok("007")),
        ("1.10", T::Utf8, Ok("1.10")),
        ("true", T::Utf8, Ok("true")),
        ("2024-01-01", T::Utf8, Ok("2024-01-01")),
        ("2.00", T::Int64, Ok("2")),
        ("t", T::Boolean, Ok("true")),
        ("1.5", T::Decimal128(10, 2), Ok("1.50")),
        ("2024-01-01 00:00:00", T::Date32, Ok("2024-01-01")),
        ("2024-01-01", micros(None), Ok("2024-01-01T00:00:00")),
        (
            "2024-01-01T02:00:00+02:00",
            micros(Some("UTC")),
            Ok("2024-01-01T00:00:00Z"),
        ),
        ("true", T::Int64, Err("expected an integer")),
        (
            "2024-01-01T02:00:00+02:00",
            micros(None),
            Err("expected a timestamp without a zone"),
        ),
        ("2024-01-01T02:00:00+02:00", T::Date32, Err("expected a date")),
        ("1,5", T::Float64, Err("expected a number")),
        (
            "9007199254740992.0",
            T::Int64,
            Err("several values of an integer"),
        ),
    ] {
        files.write("a.csv", format!("id,v,w\n1,,1\n2,\"{value}\",2\n"));
        for query in [ALL, "SELECT id, w, x AS v FROM (SELECT id, v AS x, w FROM input)"] {
            let settings = crate::support::settings(&files.url("csv", "a.csv"), query, "id");
            let settings = told(settings, "v", ReadAs::Values(Logical::plain(kind.clone())));
            let source = connect(&settings).await.unwrap();
            let field = source.schema().index_of("v").unwrap();
            assert_eq!(source.notices(), [], "{value}");
            match (read(source.as_ref(), &everything()).await, shown) {
                (Ok(rows), Ok(shown)) => {
                    assert_eq!(*source.schema().field(field).data_type(), kind, "{value}");
                    let values: Vec<&str> = rows.iter().map(|row| row[field].as_str()).collect();
                    assert_eq!(values, ["∅", shown], "{value}");
                }
                (Err(error), Err(why)) => {
                    let error = error.to_string();
                    assert!(error.contains(why) && error.contains("row 2 of"), "{error}");
                }
                (read, _) => panic!("{value} as {kind}: {read:?}"),
            }
        }
    }
    // One column of the file that is two of the query: each makes of the text what it is there.
    files.write("a.csv", "id,v\n1,2024-01-01\n");
    let mut settings = crate::support::settings(
        &files.url("csv", "a.csv"),
        "SELECT id, v AS a, v AS b FROM input",
        "id",
    );
    settings.text.columns = vec![
        ("a".to_owned(), ReadAs::Values(Logical::plain(T::Date32))),
        ("b".to_owned(), ReadAs::Values(Logical::plain(micros(None)))),
    ];
    let source = connect(&settings).await.unwrap();
    assert_eq!(
        rows_of(source.as_ref(), 1).await,
        [["1", "2024-01-01", "2024-01-01"]]
    );
    assert_eq!(*source.schema().field(1).data_type(), T::Utf8);
}

/// As PostgreSQL's CSV has it: nothing is null, and nothing in quotes is an empty text.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_value_in_quotes_is_an_empty_text_where_that_is_asked() {
    let files = TempFiles::new();
    files.write(
        "a.csv",
        "id,v,n,w\n1,\"\",,a\n\n2,,\"\",\"\"\n3,\"x\",5,\n4,\"\"\"\",6,\"\"",
    );
    for (asked, query, expected) in [
        (
            true,
            ALL,
            [
                ["1", "", "∅", "a"],
                ["2", "∅", "∅", ""],
                ["3", "x", "5", "∅"],
                ["4", "\"", "6", ""],
            ],
        ),
        (
            true,
            "SELECT id, v, n, w FROM (SELECT w, n, id, v FROM input)",
            [
                ["1", "", "∅", "a"],
                ["2", "∅", "∅", ""],
                ["3", "x", "5", "∅"],
                ["4", "\"", "6", ""],
            ],
        ),
        (
            false,
            ALL,
            [
                ["1", "∅", "∅", "a"],
                ["2", "∅", "∅", "∅"],
                ["3", "x", "5", "∅"],
                ["4", "\"", "6", "∅"],
            ],
        ),
    ] {
        let mut settings = crate::support::settings(&files.url("csv", "a.csv"), query, "id");
        settings.text.quoted_empty = asked;
        let source = connect(&settings).await.unwrap();
        assert_eq!(rows_of(source.as_ref(), 10).await, expected, "{query}");
        assert_eq!(*source.schema().field(2).data_type(), DataType::Int64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_and_categories_are_text_where_they_are_not_written_as_their_type_is() {
    let files = TempFiles::new();
    for (values, kept) in [
        (["1.10", "1.1"], false),
        (["100.0", "100"], false),
        (["1E3", "1000"], false),
        (["1.5", "2.25"], true),
        (["1", "2"], true),
        (["TRUE", "FALSE"], false),
        (["true", "false"], true),
        (["2024-01-01", "2024-01-02"], true),
        (["2024-01-01 00:00:00", "2024-01-02 00:00:00"], false),
        (["2024-01-01T00:00:00", "2024-01-02T00:00:01"], true),
        (["inf", "1.0"], true),
        (["-0.0", "0.0"], true),
    ] {
        files.write("a.csv", format!("id,v\n1,{}\n2,{}\n", values[0], values[1]));
        let settings = settings(&files.url("csv", "a.csv"), ALL, "id");
        let typed = connect(&settings).await.unwrap();
        assert_ne!(typed.schema().field(1).data_type(), &DataType::Utf8, "{values:?}");
        let written = connect(&told(settings, "v", ReadAs::Written)).await.unwrap();
        let is_text = *written.schema().field(1).data_type() == DataType::Utf8;
        assert_eq!(is_text, !kept, "{values:?}");
        assert!(written.notices().is_empty(), "{values:?}");
        if is_text {
            let rows = rows_of(written.as_ref(), 10).await;
            assert_eq!([&rows[0][1], &rows[1][1]], values, "each as it is written");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_of_other_separators_encodings_and_commas_names_the_option() {
    let files = TempFiles::new();
    files.write("semicolons.csv", "id;v\n1;a\n");
    files.write("semicolons-and-commas.csv", "id;v\n1;1,5\n");
    files.write("tabs.csv", "id\tv\n1\ta\n");
    files.write("latin.csv", b"id,v\n1,caf\xe9 \x80\n");
    files.write("latin-header.csv", b"id,caf\xe9\n1,a\n");
    for (name, why) in [
        ("semicolons.csv", "csv:…?delimiter=;"),
        ("semicolons-and-commas.csv", "csv:…?delimiter=;"),
        ("tabs.csv", "csv:…?delimiter=%09"),
        ("latin.csv", "csv:…?encoding=latin1"),
        ("latin-header.csv", "encoding=latin1"),
    ] {
        let message = failure(&files.url("csv", name), ALL, "id").await;
        assert!(message.contains(why), "{name}: {message}");
    }
    for (name, options, row) in [
        ("semicolons.csv", "?delimiter=;", "1|a"),
        ("tabs.csv", "?delimiter=%09", "1|a"),
        ("latin.csv", "?encoding=latin1", "1|café €"),
    ] {
        let source = source(&format!("{}{options}", files.url("csv", name)), ALL, "id").await;
        assert_eq!(rows_of(source.as_ref(), 10).await[0].join("|"), row);
    }
    files.write("commas.csv", "id;v\n1;1,5\n2;3\n3;-0,25\n");
    let source = source(
        &format!("{}?delimiter=;", files.url("csv", "commas.csv")),
        ALL,
        "id",
    )
    .await;
    assert!(
        matches!(&source.notices()[..], [gristmill_data::source::Notice::DecimalCommas { column, value, line, .. }]
            if column == "v" && value == "1,5" && *line == 2),
        "{:?}",
        source.notices()
    );
}

/// Whatever a dictionary holds, its values are those of a column without one.
#[tokio::test(flavor = "multi_thread")]
async fn parquet_dictionaries_are_read_as_their_values() {
    let files = TempFiles::new();
    let decimals = as_type(texts(&["1.50", "2.00", "1.50"]), DataType::Decimal128(10, 2));
    let wide = as_type(texts(&["1.50", "2.00", "1.50"]), DataType::Decimal128(38, 4));
    let days = as_type(
        texts(&["2024-02-29", "1969-12-31", "2024-02-29"]),
        DataType::Date32,
    );
    let instants = as_type(
        texts(&[
            "2024-02-29T12:00:00",
            "1969-12-31T00:00:00",
            "2024-02-29T12:00:00",
        ]),
        DataType::Timestamp(TimeUnit::Microsecond, None),
    );
    for values in [
        decimals,
        wide,
        days,
        instants,
        integers([7, -7, 7]),
        as_type(integers([7, -7, 7]), DataType::Float64),
        texts(&["a", "b", "a"]),
    ] {
        let kind = values.data_type().clone();
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(kind.clone()));
        let mut read = Vec::new();
        for (name, values) in [
            ("plain.parquet", values.clone()),
            ("dictionary.parquet", as_type(values, dictionary)),
        ] {
            files.parquet(
                name,
                &columns(vec![("id", integers([1, 2, 3])), ("v", values)]),
                10,
            );
            let source = source(&files.url("parquet", name), ALL, "id").await;
            assert_eq!(*source.schema().field(1).data_type(), kind);
            read.push(rows_of(source.as_ref(), 10).await);
        }
        assert_eq!(read[0], read[1], "{kind}");
    }
}

/// What is no text, or text of more than one byte a letter, is told for what it is.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_csv_are_named() {
    let files = TempFiles::new();
    let utf16 = |text: &str, mark: bool, big: bool| -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        let units = mark.into_iter().chain(text.encode_utf16());
        units
            .flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"id,v\n1,a\n").unwrap();
    let gzip = gzip.finish().unwrap();
    let text = "id,v\n1,a\n";
    for (name, bytes, why) in [
        (
            "packed.csv",
            gzip,
            "it is packed by gzip; give it a name that ends in .gz",
        ),
        ("wide.csv", utf16(text, true, false), "iconv -f UTF-16 -t UTF-8"),
        ("wide.csv", utf16(text, true, true), "iconv -f UTF-16 -t UTF-8"),
        ("wide.csv", utf16(text, false, false), "iconv -f UTF-16 -t UTF-8"),
        ("wide.csv", utf16(text, false, true), "iconv -f UTF-16 -t UTF-8"),
        (
            "book.csv",
            b"PK\x03\x04 and more".to_vec(),
            "save the sheet as CSV",
        ),
        ("rows.csv", b"PAR1 and more".to_vec(), "it is a Parquet file"),
    ] {
        files.write(name, &bytes);
        for options in ["", "?encoding=latin1"] {
            let url = format!("{}{options}", files.url("csv", name));
            let message = failure(&url, ALL, "id").await;
            assert!(message.contains(why), "{name}: {message}");
        }
        let limit = gristmill_data::parquet_file::BatchLimit {
            rows: 10,
            bytes: 1 << 20,
        };
        let reading = TextReading::default();
        for place in [files.path(name).display().to_string(), files.url("jsonl", name)] {
            let message = match gristmill_data::source::FileRows::open(&place, limit, &reading).await {
                Ok(_) => panic!("{place} is read"),
                Err(error) => error.to_string(),
            };
            assert!(message.contains(why), "{place}: {message}");
        }
    }
    for text in ["i", "id,v\n", "", "\u{feff}id,v\n1,a\n"] {
        files.write("short.csv", text);
        if let Err(error) = connect(&crate::support::settings(
            &files.url("csv", "short.csv"),
            ALL,
            "id",
        ))
        .await
        {
            assert!(!error.to_string().contains("UTF-16"), "{text:?}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_files_of_one_folder_are_read_as_the_type_that_holds_all_of_their_values() {
    let files = TempFiles::new();
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![1_700_000_000]));
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_700_000_001_000_002_000]));
    for (case, one, other, expected) in [
        (
            "text",
            as_type(texts(&["a"]), DataType::LargeUtf8),
            texts(&["b"]),
            ["a", "b"],
        ),
        ("null", Arc::new(NullArray::new(1)), integers([7]), ["∅", "7"]),
        (
            "width",
            as_type(integers([-3]), DataType::Int8),
            integers([1 << 40]),
            ["-3", "1099511627776"],
        ),
        (
            "sign",
            as_type(integers([-3]), DataType::Int8),
            as_type(integers([250]), DataType::UInt8),
            ["-3", "250"],
        ),
        (
            "float",
            as_type(integers([3]), DataType::Int16),
            as_type(integers([4]), DataType::Float64),
            ["3.0", "4.0"],
        ),
        (
            "unit",
            seconds,
            nanos,
            ["2023-11-14T22:13:20", "2023-11-14T22:13:21.000002"],
        ),
    ] {
        for (first, second, expected) in [
            (&one, &other, expected),
            (&other, &one, [expected[1], expected[0]]),
        ] {
            let rows =
                |id: i64, values: &ArrayRef| columns(vec![("id", integers([id])), ("v", values.clone())]);
            let name = |file: &str| format!("{case}/{file}.parquet");
            std::fs::create_dir_all(files.path(case)).unwrap();
            files.parquet(&name("a"), &rows(1, first), 10);
            files.parquet(&name("b"), &rows(2, second), 10);
            let source = source(&files.url("parquet", case), ALL, "id").await;
            let read: Vec<String> = rows_of(source.as_ref(), 1)
                .await
                .into_iter()
                .map(|row| row[1].clone())
                .collect();
            assert_eq!(read, expected, "{case}");
        }
    }
}
