//! Cuts the stream of a binary COPY into rows, and rows into record batches.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzz;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{Buf, Bytes};
use futures::{StreamExt, stream};
use tokio_postgres::CopyOutStream;

use crate::budget::RowBudget;
use crate::error::{Error, Result};
use crate::source::limits::Limits;
use crate::source::names::row_named;
use crate::source::postgres::decode::ColumnBuilder;
use crate::source::postgres::errors::{LastWords, query_error, with_last_words};
use crate::source::postgres::types::PgColumn;
use crate::source::sql::quoted;
use crate::source::{BatchStream, MAX_BATCH_BYTES, MAX_BATCH_ROWS};

/// PostgreSQL allows no larger value.
const MAX_VALUE_BYTES: usize = 1 << 30;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// The rows of a COPY. The server waits when nobody takes them.
pub(super) fn batches(
    copy: CopyOutStream,
    columns: Arc<[PgColumn]>,
    schema: SchemaRef,
    key: Arc<[usize]>,
    memory: RowBudget,
    server: Server,
) -> BatchStream {
    let start = async move {
        Decoder::new(columns, schema, key, memory).map(|decoder| (Box::pin(copy.fuse()), decoder, server))
    };
    stream::once(start)
        .flat_map(|started| match started {
            Err(error) => stream::once(async { Err(error) }).boxed(),
            Ok(state) => stream::try_unfold(state, |(mut copy, mut decoder, server)| async move {
                loop {
                    if let Some(batch) = decoder.next_batch()? {
                        return Ok(Some((batch, (copy, decoder, server))));
                    }
                    let chunk = match decoder.place {
                        // The query takes as long as it takes.
                        Place::Header => copy.next().await,
                        _ => server.limits.next(&server.url, copy.next()).await?,
                    };
                    match chunk {
                        Some(chunk) => decoder.push(chunk.map_err(|error| server.failed(&error))?),
                        None => {
                            let last = decoder.finish(&server.url)?;
                            return Ok(last.map(|batch| (batch, (copy, decoder, server))));
                        }
                    }
                }
            })
            .boxed(),
        })
        .boxed()
}

/// Whom the rows come from.
pub(super) struct Server {
    /// The URL, redacted.
    pub(super) url: String,
    pub(super) limits: Limits,
    pub(super) last_words: LastWords,
}

impl Server {
    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        with_last_words(&self.last_words, &self.url, query_error(&self.url, error))
    }
}

struct Decoder {
    columns: Arc<[PgColumn]>,
    schema: SchemaRef,
    key: Arc<[usize]>,
    memory: RowBudget,
    builders: Vec<ColumnBuilder>,
    /// What has arrived and is not decoded yet.
    buffer: Bytes,
    place: Place,
    /// The fields of the row being decoded, within the buffer.
    fields: Vec<Option<Range<usize>>>,
    rows: usize,
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Header,
    Rows,
    End,
}

impl Decoder {
    fn new(
        columns: Arc<[PgColumn]>,
        schema: SchemaRef,
        key: Arc<[usize]>,
        memory: RowBudget,
    ) -> Result<Self> {
        let builders = columns
            .iter()
            .map(|c| ColumnBuilder::new(c.kind))
            .collect::<Result<_, _>>()?;
        let fields = Vec::with_capacity(columns.len());
        Ok(Self {
            columns,
            schema,
            key,
            memory,
            builders,
            buffer: Bytes::new(),
            place: Place::Header,
            fields,
            rows: 0,
            bytes: 0,
        })
    }

    fn push(&mut self, chunk: Bytes) {
        // The server sends row by row: hardly ever is anything left over.
        self.buffer = if self.buffer.is_empty() {
            chunk
        } else {
            [&self.buffer[..], &chunk].concat().into()
        };
    }

    /// Decodes what has arrived, up to a full record batch; `None` says that more must arrive.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut at = 0;
        while self.rows < MAX_BATCH_ROWS && self.bytes < MAX_BATCH_BYTES {
            let length = match self.place {
                Place::Header => self.header()?,
                Place::Rows => self.row(at)?,
                Place::End if at < self.buffer.len() => return Err(damaged("bytes after the end")),
                Place::End => None,
            };
            match length {
                Some(length) => at += length,
                None => break,
            }
        }
        let full = self.rows >= MAX_BATCH_ROWS || self.bytes >= MAX_BATCH_BYTES;
        self.buffer.advance(at);
        if full { self.take().map(Some) } else { Ok(None) }
    }

    /// The last rows.
    fn finish(&mut self, url: &str) -> Result<Option<RecordBatch>> {
        if self.place != Place::End {
            let why = "the server stopped in the middle of the rows".to_owned();
            return Err(Error::Lost {
                url: url.to_owned(),
                why,
            });
        }
        if self.rows == 0 {
            Ok(None)
        } else {
            self.take().map(Some)
        }
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let finished: Vec<_> = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        (self.rows, self.bytes) = (0, 0);
        let wrong = finished
            .iter()
            .enumerate()
            .filter_map(|(i, array)| Some((i, array.as_ref().err()?)));
        if let Some((i, (row, why))) = wrong.min_by_key(|(_, (row, _))| *row) {
            return Err(self.refused(i, why, |key| {
                finished[key].as_ref().ok().and_then(|key| shown(key, *row))
            }));
        }
        let arrays = finished.into_iter().flatten().collect();
        Ok(RecordBatch::try_new(self.schema.clone(), arrays)?)
    }

    fn header(&mut self) -> Result<Option<usize>> {
        let Some(header) = self.buffer.get(..SIGNATURE.len() + 8) else {
            return Ok(None);
        };
        if !header.starts_with(SIGNATURE) || header[SIGNATURE.len()..] != [0; 8] {
            return Err(damaged("no header of a binary COPY that is known here"));
        }
        self.place = Place::Rows;
        Ok(Some(header.len()))
    }

    /// Decodes the row at `start` and returns its length; `None` where it has not arrived whole.
    fn row(&mut self, start: usize) -> Result<Option<usize>> {
        let Some(count) = word(&self.buffer, start) else {
            return Ok(None);
        };
        let count = i16::from_be_bytes(count);
        if count == -1 {
            self.place = Place::End;
            return Ok(Some(2));
        }
        if usize::try_from(count) != Ok(self.columns.len()) {
            return Err(damaged(&format!(
                "a row of {count} values, not {}",
                self.columns.len()
            )));
        }
        self.fields.clear();
        let mut at = start + 2;
        for _ in 0..count {
            let Some(length) = word(&self.buffer, at) else {
                return Ok(None);
            };
            at += 4;
            let field = match i32::from_be_bytes(length) {
                -1 => None,
                length => {
                    let length = usize::try_from(length)
                        .ok()
                        .filter(|length| *length <= MAX_VALUE_BYTES);
                    let end = at + length.ok_or_else(|| damaged("a value of impossible length"))?;
                    if end > self.buffer.len() {
                        return Ok(None);
                    }
                    Some(std::mem::replace(&mut at, end)..end)
                }
            };
            self.fields.push(field);
        }
        for (i, (builder, field)) in self.builders.iter_mut().zip(&self.fields).enumerate() {
            let value = field.clone().map(|field| &self.buffer[field]);
            let appended = match self.memory.refused(value.map_or(0, <[u8]>::len)) {
                Some(why) => Err(why),
                None => builder.append(value),
            };
            if let Err(why) = appended {
                return Err(self.refused(i, &why, |key| self.shown_now(key)));
            }
        }
        self.rows += 1;
        self.bytes += at - start;
        Ok(Some(at - start))
    }

    /// A value of a column that cannot be taken in, of the row whose key has these values.
    fn refused(&self, column: usize, why: &str, key: impl Fn(usize) -> Option<String>) -> Error {
        let shown = |i| key(i).unwrap_or_else(|| "what cannot be shown".to_owned());
        let column = self.columns[column].name.clone();
        Error::Value {
            why: why.replace("{column}", &quoted(&column)),
            row: row_named(&self.key, |i| &self.columns[i].name, shown),
            column,
        }
    }

    /// A value of the row being decoded.
    fn shown_now(&self, i: usize) -> Option<String> {
        let value = self.fields[i].clone().map(|field| &self.buffer[field]);
        let mut builder = ColumnBuilder::new(self.columns[i].kind).ok()?;
        builder.append(value).ok()?;
        shown(&builder.finish().ok()?, 0)
    }
}

fn shown(array: &ArrayRef, row: usize) -> Option<String> {
    let options = FormatOptions::new().with_null("null");
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).ok()?;
    Some(formatter.value(row).to_string())
}

fn word<const N: usize>(buffer: &[u8], at: usize) -> Option<[u8; N]> {
    buffer.get(at..at + N)?.try_into().ok()
}

fn damaged(why: &str) -> Error {
    Error::Query {
        why: format!("the rows came damaged: {why}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Field, Int32Type, Schema};
    use proptest::prelude::*;

    use super::super::types::PgKind;
    use super::*;

    fn decoder() -> Decoder {
        let columns: Arc<[_]> = Arc::new([
            PgColumn::of_kind("id", PgKind::Int4),
            PgColumn::of_kind("name", PgKind::Text),
        ]);
        let fields: Vec<_> = columns
            .iter()
            .map(|c| Field::new(&c.name, c.kind.arrow_type(), true))
            .collect();
        Decoder::new(
            columns,
            Arc::new(Schema::new(fields)),
            Arc::new([0]),
            RowBudget::ample(),
        )
        .unwrap()
    }

    fn wire(rows: &[(i32, Option<String>)]) -> Vec<u8> {
        let mut wire = [&SIGNATURE[..], &[0; 8]].concat();
        for (id, name) in rows {
            wire.extend([0, 2, 0, 0, 0, 4]);
            wire.extend(id.to_be_bytes());
            wire.extend(name.as_ref().map_or(-1, |name| name.len() as i32).to_be_bytes());
            wire.extend(name.iter().flat_map(|name| name.bytes()));
        }
        wire.extend([0xff, 0xff]);
        wire
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn chunks_may_cut_rows_anywhere(
            rows in proptest::collection::vec((any::<i32>(), proptest::option::of(".{0,5}")), 0..20),
            chunk in 1_usize..40,
        ) {
            let mut decoder = decoder();
            for chunk in wire(&rows).chunks(chunk) {
                decoder.push(Bytes::copy_from_slice(chunk));
                prop_assert!(decoder.next_batch().unwrap().is_none());
            }
            let mut read = Vec::new();
            if let Some(batch) = decoder.finish("").unwrap() {
                let (ids, names) = (batch.column(0).as_primitive::<Int32Type>(), batch.column(1).as_string::<i32>());
                for i in 0..batch.num_rows() {
                    read.push((ids.value(i), (!names.is_null(i)).then(|| names.value(i).to_owned())));
                }
            }
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(damage in 0_usize..60, byte in any::<u8>(), cut in 0_usize..60) {
            let mut bytes = wire(&[(1, None), (2, Some("two".to_owned())), (3, Some("three".to_owned()))]);
            let damage = damage % bytes.len();
            bytes[damage] = byte;
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            let mut decoder = decoder();
            decoder.push(bytes.into());
            let _ = decoder.next_batch().and_then(|_| decoder.finish(""));
        }
    }

    #[test]
    fn batches_are_bounded_in_rows_and_bytes() {
        let mut decoder = decoder();
        let rows: Vec<_> = (0..10_000).map(|id| (id, None)).collect();
        decoder.push(wire(&rows).into());
        assert_eq!(decoder.next_batch().unwrap().unwrap().num_rows(), MAX_BATCH_ROWS);
        assert!(decoder.next_batch().unwrap().is_none());
        assert_eq!(
            decoder.finish("").unwrap().unwrap().num_rows(),
            10_000 - MAX_BATCH_ROWS
        );

        let mut decoder = self::decoder();
        decoder.push(wire(&[(1, Some("x".repeat(MAX_BATCH_BYTES))), (2, None)]).into());
        assert_eq!(decoder.next_batch().unwrap().unwrap().num_rows(), 1);
    }

    #[test]
    fn a_stream_without_its_end_is_an_error() {
        let wire = wire(&[(1, None)]);
        let mut decoder = decoder();
        decoder.push(Bytes::copy_from_slice(&wire[..wire.len() - 2]));
        assert!(decoder.next_batch().unwrap().is_none());
        assert!(
            decoder
                .finish("postgres://h/db")
                .unwrap_err()
                .to_string()
                .contains("in the middle")
        );
    }
}
