//! Entry points of the fuzz targets: whatever bytes they are given, they come back, and what they could read keeps its
//! promises. The tests below are a small part of a fuzzer's work, the same each time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};

use crate::contract::reads::Reads;
use crate::label::Label;
use crate::model::bundle::{Bundle, Seal, read};
use crate::registry::built_in;
use crate::search::WarmStart;

/// A model bundle, its checksum not looked at.
pub fn bundle(data: &[u8]) {
    let Ok(bundle) = read(&mut &data[..], data.len() as u64, Seal::Ignored, &built_in()) else {
        return;
    };
    predict(&bundle);
    if let Some(linear) = bundle.model.linear() {
        WarmStart::align(linear, &bundle.assembler, &bundle.assembler);
    }
    let mut again = Vec::new();
    let written = bundle.contents().write(&mut again);
    assert!(written.is_ok(), "what was read is not written: {written:?}");
    let read_again = read(&mut &again[..], again.len() as u64, Seal::Checked, &built_in());
    assert!(
        read_again.is_ok_and(|again| again.model.spec() == bundle.model.spec()),
        "what was written is not read"
    );
}

/// Predicts three rows, which may fail; but a prediction is a number, and probabilities are a distribution.
fn predict(bundle: &Bundle) {
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    let encoders = bundle.assembler.encoders().iter();
    for input in encoders.flat_map(|encoder| encoder.inputs()) {
        let column: ArrayRef = match input.reads {
            Reads::Number | Reads::Quantity => {
                Arc::new(Float64Array::from(vec![Some(7.0), None, Some(-1e300)]))
            }
            Reads::Moment => Arc::new(Date32Array::from(vec![Some(0), None, Some(i32::MIN)])),
            Reads::Category | Reads::Text => {
                Arc::new(StringArray::from(vec![Some("日本 Anna"), None, Some("Zürich")]))
            }
        };
        if !columns.iter().any(|(name, _)| name == input.column) {
            columns.push((input.column.to_owned(), column));
        }
    }
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let columns = columns.into_iter().map(|(_, column)| column);
    let Ok(rows) = RecordBatch::try_new(Arc::new(schema), columns.collect()) else {
        return;
    };
    for row in 0..rows.num_rows() {
        let Ok(encoded) = bundle.assembler.encode(&rows.slice(row, 1)) else {
            continue;
        };
        match bundle.assembler.label() {
            Label::Number(_) => {
                let predictions = bundle.model.scores(&encoded);
                assert!(predictions.is_ok_and(|p| p.len() == 1 && p[0].is_finite()));
            }
            Label::Class(label) => {
                let probabilities = bundle.model.scores(&encoded);
                assert!(probabilities.is_ok_and(|p| {
                    p.len() == label.classes().len()
                        && p.iter().all(|p| *p >= 0.0)
                        && (p.iter().sum::<f64>() - 1.0).abs() < 1e-6
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    const SEEDS: [&[u8]; 2] = [
        include_bytes!("../tests/fixtures/format-1.safetensors"),
        include_bytes!("../tests/fixtures/format-2.safetensors"),
    ];
    /// What a number, a name or a byte is replaced with.
    const PIECES: [&str; 24] = [
        "0",
        "1",
        "2",
        "3",
        "8",
        "9",
        "24",
        "25",
        "-1",
        "1e308",
        "4294967295",
        "4294967296",
        "18446744073709551615",
        "null",
        "[]",
        "{}",
        "true",
        "\\\"\\\"",
        "step0",
        "step9",
        "U8",
        "F32",
        "I64",
        "",
    ];

    /// The bytes with one thing changed: a piece of the header, whose length is made to fit, or a byte or a number of the
    /// tensors.
    fn mutated(data: &[u8], random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
        let length = data.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
        let end = data
            .len()
            .min(8 + usize::try_from(length).unwrap_or(0).min(data.len()));
        let (mut header, mut tensors) = (data[8.min(end)..end].to_vec(), data[end..].to_vec());
        match random(8) {
            0 if !header.is_empty() => {
                let at = random(header.len());
                header[at] ^= 1 << random(8);
            }
            1 if !tensors.is_empty() => tensors.truncate(random(tensors.len())),
            2 if tensors.len() > 8 => {
                let extremes = [
                    f64::NAN,
                    f64::INFINITY,
                    1e308,
                    -1e250,
                    0.0,
                    f64::from_bits(u64::MAX),
                ];
                let at = random(tensors.len() - 8) / 4 * 4;
                tensors[at..at + 8].copy_from_slice(&extremes[random(extremes.len())].to_le_bytes());
            }
            _ if !header.is_empty() => {
                // A run of digits, of letters or of signs.
                let start = random(header.len());
                let class = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_alphabetic());
                let run = header[start..]
                    .iter()
                    .take_while(|byte| class(byte) == class(&header[start]));
                let end = start + run.count();
                header.splice(start..end, PIECES[random(PIECES.len())].bytes());
            }
            _ => {}
        }
        [&(header.len() as u64).to_le_bytes()[..], &header, &tensors].concat()
    }

    #[test]
    fn bundles_with_a_few_things_changed_are_read_or_refused() {
        let mut state = 42_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below.max(1)
        };
        for seed in SEEDS {
            super::bundle(seed);
            for _ in 0..4000 {
                let mut data = seed.to_vec();
                for _ in 0..1 + random(3) {
                    data = mutated(&data, &mut random);
                }
                super::bundle(&data);
            }
        }
    }
}
