//! Damaged Parquet files: whatever byte is wrong or missing, all rows are read or there is an error; never fewer rows, never a
//! panic.
//!
//! How many are tried is a matter of `GRISTMILL_BATTERY`.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Builder, Int64Array, ListBuilder,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use futures::TryStreamExt;
use gristmill_data::Result;
use gristmill_data::guard::caught;
use gristmill_data::parquet_file::{BatchLimit, Footer};
use gristmill_data::pull::Planner;
use gristmill_data::source::open::connect;
use gristmill_data::table::{DataFile, TableVersion};

use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::files::{TempFiles, columns};
use crate::support::settings;

const ROWS: usize = 300;

const SCAN: BatchLimit = BatchLimit {
    rows: 64,
    bytes: 1 << 20,
};

/// Damages of each file, in the suite.
const DAMAGES: u32 = 8;

/// A generator of numbers, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn rows() -> RecordBatch {
    let mut lists = ListBuilder::new(Int32Builder::new());
    for n in 0..ROWS as i32 {
        (0..n % 4).for_each(|item| lists.values().append_value(item * n));
        lists.append(n % 9 > 0);
    }
    let numbers = 0..ROWS as i64;
    let names = numbers
        .clone()
        .map(|n| (n % 7 > 0).then(|| format!("name {}", n * 7919 % 50)));
    let decimals = Decimal128Array::from_iter_values(numbers.clone().map(|n| i128::from(n) << 70));
    columns(vec![
        (
            "id",
            Arc::new(Int64Array::from_iter_values(numbers.clone())) as ArrayRef,
        ),
        ("name", Arc::new(StringArray::from_iter(names))),
        (
            "size",
            Arc::new(Float64Array::from_iter(
                numbers.clone().map(|n| (n % 5 > 0).then_some(n as f64)),
            )),
        ),
        (
            "flag",
            Arc::new(BooleanArray::from_iter(numbers.clone().map(|n| Some(n % 3 == 0)))),
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(numbers)),
        ),
        (
            "price",
            Arc::new(decimals.with_precision_and_scale(38, 2).unwrap()),
        ),
        ("list", Arc::new(lists.finish())),
    ])
}

/// The rows in every way in which they can be written here.
fn files() -> Vec<(String, Vec<u8>)> {
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    let encodings = [
        None,
        Some((Encoding::PLAIN, Encoding::PLAIN)),
        Some((Encoding::DELTA_BINARY_PACKED, Encoding::DELTA_BYTE_ARRAY)),
        Some((Encoding::BYTE_STREAM_SPLIT, Encoding::DELTA_LENGTH_BYTE_ARRAY)),
    ];
    let mut files = Vec::new();
    for (c, codec) in codecs.into_iter().enumerate() {
        for (e, encoding) in encodings.into_iter().enumerate() {
            let version = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][(c + e) % 2];
            let mut properties = WriterProperties::builder()
                .set_compression(codec)
                .set_writer_version(version)
                .set_max_row_group_row_count(Some(100))
                .set_dictionary_enabled(encoding.is_none());
            if let Some((numbers, texts)) = encoding {
                properties = properties
                    .set_column_encoding(ColumnPath::from("id"), numbers)
                    .set_column_encoding(ColumnPath::from("at"), numbers)
                    .set_column_encoding(ColumnPath::from("name"), texts);
            }
            let mut bytes = Vec::new();
            let mut writer =
                ArrowWriter::try_new(&mut bytes, rows().schema(), Some(properties.build())).unwrap();
            writer.write(&rows()).unwrap();
            writer.close().unwrap();
            files.push((format!("{codec} {encoding:?} {version:?}"), bytes));
        }
    }
    files
}

/// Damages a file; says how.
fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) -> String {
    let footer = bytes.len()
        - 8
        - u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let at = match numbers.below(3) {
        0 => numbers.below(footer),
        _ => footer + numbers.below(bytes.len() - footer),
    };
    match numbers.below(8) {
        0 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        1 => {
            let until = (at + numbers.below(200)).min(bytes.len());
            bytes[at..until].fill(0);
            format!("zeros from {at} until {until}")
        }
        2..=4 => {
            let bit = numbers.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at}")
        }
        _ => {
            let byte = [0xff, 0x7f, 0x80, 0xfc, 0][numbers.below(5)];
            bytes[at] = byte;
            format!("byte {at} is {byte}")
        }
    }
}

async fn rows_of_source(url: &str, query: &str) -> Result<usize> {
    let source = connect(&settings(url, query, "id")).await?;
    let mut planner = Planner::new(70, None, 0);
    let mut rows = 0;
    while let Some(range) = planner.next(source.as_ref()).await? {
        let batches: Vec<RecordBatch> = source.read(&range).await?.try_collect().await?;
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    Ok(rows)
}

fn rows_of_table(files: &TempFiles) -> Result<usize> {
    // Whatever tells of its files, they are read alike.
    let path = files.path("table/part-0.parquet");
    let table = TableVersion {
        dir: files.path("table"),
        version: 0,
        schema: rows().schema(),
        files: vec![DataFile {
            path,
            rows: ROWS as u64,
            bytes: 0,
            hash: None,
        }],
        rows: ROWS as u64,
        cleaned_up: 0,
        metadata: Default::default(),
    };
    let mut rows = 0;
    for batch in table.scan(None, SCAN)? {
        rows += batch?.num_rows();
    }
    let (mut shared, names) = (0, vec!["id".to_owned()]);
    for share in table.scan_shares(&names, SCAN, 2)? {
        for batch in share {
            shared += batch?.map_or(0, |batch| batch.num_rows());
        }
    }
    assert_eq!(rows, shared);
    Ok(rows)
}

#[test]
fn a_damaged_file_gives_all_rows_or_an_error() {
    gristmill_data::guard::quiet();
    let damages = gristmill_testkit::cases(DAMAGES);
    let runtime = Runtime::new().unwrap();
    let temporary = TempFiles::new();
    let small = columns(vec![("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    temporary.delta("delta", &small.schema(), &[(small, json!({}))], &json!({}));
    let log = temporary.path("delta/_delta_log/00000000000000000000.json");
    let promised = std::fs::read_to_string(&log)
        .unwrap()
        .replace("numRecords\\\":1", "numRecords\\\":300");
    std::fs::write(&log, promised).unwrap();
    let (mut numbers, mut whole, mut refused) = (Numbers(17), 0, 0);
    let places = ["a.parquet", "delta/part-0.parquet", "table/part-0.parquet"];
    for (name, bytes) in files() {
        for number in 0..=damages {
            let mut bytes = bytes.clone();
            let how = if number == 0 {
                "not at all".to_owned()
            } else {
                damage(&mut bytes, &mut numbers)
            };
            let what = format!("{name}: {how}");
            for place in places {
                temporary.write(place, &bytes);
            }
            let (parquet, delta) = (
                temporary.url("parquet", "a.parquet"),
                temporary.url("delta", "delta"),
            );
            // Read in place, and sorted by DataFusion.
            let query = if number % 8 == 1 {
                "SELECT * FROM input ORDER BY name"
            } else {
                "SELECT * FROM input"
            };
            let mut outcomes = vec![
                caught(|| runtime.block_on(rows_of_source(&parquet, query))),
                caught(|| rows_of_table(&temporary)),
            ];
            if number % 8 < 2 {
                outcomes.push(caught(|| {
                    runtime.block_on(rows_of_source(&delta, "SELECT id FROM input"))
                }));
            }
            for (at, outcome) in outcomes.into_iter().enumerate() {
                match outcome.unwrap_or_else(|panic| panic!("{what}, way {at}: {panic}")) {
                    Ok(rows) => {
                        assert_eq!(rows, ROWS, "{what}, way {at}");
                        whole += 1;
                    }
                    Err(error) => {
                        assert!(number > 0, "{what}, way {at}: {error}");
                        assert!(!error.may_pass(), "{what}, way {at}: {error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(whole > 0 && refused > 0, "{whole} whole, {refused} refused");
}

/// As Spark writes by default. Of plain numbers nothing else shows that they were changed.
#[test]
fn a_page_with_a_checksum_is_read_as_it_was_written_or_refused() {
    gristmill_data::guard::quiet();
    let read = |bytes: &[u8]| -> std::result::Result<Vec<RecordBatch>, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let footer = Footer::read(&file)?;
        let limit = BatchLimit {
            rows: 1_000,
            bytes: 1 << 20,
        };
        footer.rows(Arc::new(file), None, None, limit).collect()
    };
    let seeds = gristmill_testkit::seeds("parquet");
    let (_, whole) = seeds.iter().find(|(name, _)| name == "seed-plain").unwrap();
    let rows = read(whole).unwrap();
    let footer = whole.len()
        - 8
        - u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()) as usize;
    let mut refused = 0;
    for at in 4..footer {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        match read(&bytes) {
            Ok(read) => assert_eq!(read, rows, "byte {at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > footer / 2, "{refused} of {footer}");
}

#[test]
fn a_delta_file_with_other_rows_than_its_log_says_is_refused() {
    let files = TempFiles::new();
    let ids = |count: i64| {
        columns(vec![(
            "id",
            Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef,
        )])
    };
    files.delta(
        "delta",
        &ids(1).schema(),
        &[(ids(20), json!({})), (ids(30), json!({}))],
        &json!({}),
    );
    files.parquet("delta/part-1.parquet", &ids(29), 10);
    let url = files.url("delta", "delta");
    let read = rows_of_source(&url, "SELECT * FROM input");
    let error = Runtime::new().unwrap().block_on(read).unwrap_err().to_string();
    assert!(
        error.contains("part-1.parquet") && error.contains("has 29 rows, and the table's log says 30"),
        "{error}"
    );
}
