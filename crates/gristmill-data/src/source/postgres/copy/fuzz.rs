//! What a fuzzer calls: any bytes are decoded or refused, and how the stream is cut changes nothing.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;

use super::Decoder;
use crate::budget::RowBudget;
use crate::error::Result;
use crate::source::postgres::types::{PgColumn, PgKind};

/// In the order in which `fuzz/seeds.py` has them.
const KINDS: [PgKind; 13] = [
    PgKind::Bool,
    PgKind::Int2,
    PgKind::Int8,
    PgKind::Float4,
    PgKind::Float8,
    PgKind::Numeric {
        precision: 38,
        scale: 9,
    },
    PgKind::Text,
    PgKind::Jsonb,
    PgKind::Uuid,
    PgKind::Bytea,
    PgKind::Date,
    PgKind::Timestamp,
    PgKind::Timestamptz,
];

/// Pieces in which a stream arrives at most: each is copied to what is left of those before.
const MOST_PIECES: usize = 512;

/// Decodes a stream of `COPY`, before which one byte says the type of its second column and one how it is cut. Returns its rows.
pub fn copy_stream(bytes: &[u8]) -> Result<usize, String> {
    let [kind, cut, stream @ ..] = bytes else {
        return Ok(0);
    };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let cut = usize::from(*cut).max(stream.len() / MOST_PIECES).max(1);
    let whole = decoded(kind, stream, usize::MAX).map_err(|error| error.to_string());
    let pieces = decoded(kind, stream, cut).map_err(|error| error.to_string());
    assert_eq!(
        whole, pieces,
        "cut into pieces of {cut} bytes, the stream is another"
    );
    whole.map(|batches| batches.iter().map(RecordBatch::num_rows).sum())
}

fn decoded(kind: PgKind, stream: &[u8], cut: usize) -> Result<Vec<RecordBatch>> {
    let columns: Arc<[_]> = Arc::new([
        PgColumn::of_kind("id", PgKind::Int4),
        PgColumn::of_kind("value", kind),
    ]);
    let fields = columns
        .iter()
        .map(|column| Field::new(&column.name, column.kind.arrow_type(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut decoder = Decoder::new(columns, schema, Arc::new([0]), RowBudget::ample())?;
    let mut batches = Vec::new();
    for piece in stream.chunks(cut) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(batch) = decoder.next_batch()? {
            batches.push(batch);
        }
    }
    batches.extend(decoder.finish("the server")?);
    Ok(batches)
}
