//! The rows of a dataset as users export them: CSV as Python and psql write it, and Parquet of other types that lose nothing.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema, TimeUnit};
use arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;

use crate::support::Place;

/// The types that a column may be written with.
pub(super) type Wider = fn(&ArrayRef) -> Vec<DataType>;

/// As pandas writes a frame: integers that may be null and decimals are floats, there are no dates, and text is large.
pub(super) fn pandas(column: &ArrayRef) -> Vec<DataType> {
    let nanos = |zone: Option<Arc<str>>| DataType::Timestamp(TimeUnit::Nanosecond, zone);
    match column.data_type() {
        kind if kind.is_integer() => vec![DataType::Float64],
        DataType::Date32 => vec![nanos(None)],
        DataType::Timestamp(_, zone) => vec![nanos(zone.clone())],
        DataType::Utf8 => vec![DataType::LargeUtf8],
        _ => vec![],
    }
}

/// As other programs may write it.
pub(super) fn other(column: &ArrayRef) -> Vec<DataType> {
    match column.data_type() {
        DataType::Boolean => vec![DataType::Int8],
        kind if kind.is_integer() => vec![DataType::UInt64, DataType::Decimal128(20, 0)],
        DataType::Decimal128(..) => vec![DataType::Float64],
        DataType::Date32 => vec![DataType::Date64],
        DataType::Timestamp(_, zone) => {
            let zone = zone.as_ref().map(|_| "Asia/Tokyo".into());
            vec![
                DataType::Timestamp(TimeUnit::Second, zone.clone()),
                DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
                DataType::Timestamp(TimeUnit::Microsecond, zone),
            ]
        }
        DataType::Utf8 => vec![DataType::Dictionary(
            Box::new(DataType::Int32),
            Box::new(DataType::Utf8),
        )],
        _ => vec![],
    }
}

pub(super) fn view(column: &ArrayRef) -> Vec<DataType> {
    match column.data_type() {
        DataType::Utf8 => vec![DataType::Utf8View],
        DataType::Float32 => vec![DataType::Float64],
        DataType::Decimal128(_, scale) => vec![DataType::Decimal256(76, scale + 2)],
        DataType::Date32 => vec![DataType::Timestamp(TimeUnit::Second, Some("UTC".into()))],
        _ => vec![],
    }
}

/// The rows with each column in the first of these types that holds all its values.
pub(super) fn cast_columns(rows: &RecordBatch, kinds: Wider) -> RecordBatch {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let columns: Vec<ArrayRef> = rows
        .columns()
        .iter()
        .map(|column| {
            let casts = kinds(column).into_iter().filter_map(|kind| {
                let cast = cast_with_options(column, &kind, &options).ok()?;
                let back = cast_with_options(&cast, column.data_type(), &options).ok()?;
                (back.to_data() == column.to_data()).then_some(cast)
            });
            let mut casts = casts;
            casts.next().unwrap_or_else(|| ArrayRef::clone(column))
        })
        .collect();
    let fields = rows.schema_ref().fields().iter().zip(&columns);
    let fields = fields.map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap()
}

pub(super) fn write_parquet(place: &Place, name: &str, rows: &RecordBatch) {
    let file = File::create(place.path(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// Who writes CSV.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Style {
    Python,
    Psql,
}

pub(super) fn csv(rows: &RecordBatch, style: Style) -> String {
    let schema = rows.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let columns: Vec<Vec<String>> = rows.columns().iter().map(|column| texts(column, style)).collect();
    let mut text = names.join(",") + "\n";
    for row in 0..rows.num_rows() {
        let values: Vec<&str> = columns.iter().map(|column| column[row].as_str()).collect();
        text += &(values.join(",") + "\n");
    }
    text
}

/// The rows as JSON lines: numbers and booleans as such, all else as text, and no key where there is no value.
pub(super) fn json_lines(rows: &RecordBatch) -> String {
    let schema = rows.schema();
    let mut text = String::new();
    for row in 0..rows.num_rows() {
        let values = schema.fields().iter().zip(rows.columns());
        let values = values
            .filter(|(_, column)| column.is_valid(row))
            .map(|(field, column)| {
                let shown = array_value_to_string(column, row).unwrap();
                let kind = column.data_type();
                let plain = kind.is_integer()
                    || kind.is_floating()
                    || kind.is_decimal()
                    || *kind == DataType::Boolean;
                let value = if plain {
                    shown
                } else {
                    serde_json::Value::from(shown).to_string()
                };
                format!("\"{}\": {value}", field.name())
            });
        text += &format!("{{{}}}\n", values.collect::<Vec<_>>().join(", "));
    }
    text
}

/// The values of a column, in quotes where they need them; null is nothing.
fn texts(column: &ArrayRef, style: Style) -> Vec<String> {
    let python = style == Style::Python;
    let nulls = column.null_count() > 0;
    (0..column.len())
        .map(|row| {
            if column.is_null(row) {
                return String::new();
            }
            let shown = array_value_to_string(column, row).unwrap();
            match column.data_type() {
                DataType::Boolean if python => shown[..1].to_uppercase() + &shown[1..],
                DataType::Boolean => shown[..1].to_owned(),
                // A float is what pandas makes of it, as far as it holds it.
                kind if kind.is_integer() && python && nulls && shown.len() < 16 => shown + ".0",
                DataType::Decimal128(_, 1..) if python => {
                    let value = column.as_primitive::<Decimal128Type>().value_as_string(row);
                    value.trim_end_matches('0').trim_end_matches('.').to_owned()
                }
                DataType::Date32 if python => shown + " 00:00:00",
                DataType::Timestamp(_, zone) => {
                    let (shown, zone) = (shown.trim_end_matches('Z').replace('T', " "), zone.is_some());
                    let (seconds, decimals) = shown.split_once('.').unwrap_or((&shown, ""));
                    match (python, zone) {
                        (true, false) => format!("{seconds}.{decimals:0<6}"),
                        (true, true) => format!("{seconds}.{decimals:0<6}+00:00"),
                        (false, false) => shown.clone(),
                        (false, true) => shown.clone() + "+00",
                    }
                }
                DataType::Utf8 => format!("\"{}\"", shown.replace('"', "\"\"")),
                _ => shown,
            }
        })
        .collect()
}
