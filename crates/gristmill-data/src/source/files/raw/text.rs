//! Text as rows: columns of text, and small batches put together.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::budget::value_bytes;
use crate::error::{Error, Result};
use crate::parquet_file::BatchLimit;

/// Rows of text parsed at a time, before they are put together: how long they are is known by reading them.
pub(super) const TEXT_ROWS: usize = 16;

/// Columns of text.
pub(super) fn text_columns<'n>(names: impl IntoIterator<Item = &'n String>) -> SchemaRef {
    let fields = names
        .into_iter()
        .map(|name| Field::new(name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The next small batches put together, up to a limit.
pub(super) fn together(
    schema: &SchemaRef,
    limit: BatchLimit,
    mut next: impl FnMut() -> Option<Result<RecordBatch>>,
) -> Option<Result<RecordBatch>> {
    let (mut rows, mut bytes) = (0, 0);
    let mut batches = Vec::new();
    while rows + TEXT_ROWS <= limit.rows.max(TEXT_ROWS) && bytes < limit.bytes {
        match next() {
            Some(Ok(batch)) => {
                rows += batch.num_rows();
                bytes += value_bytes(&batch);
                batches.push(batch);
            }
            Some(Err(error)) => return Some(Err(error)),
            None => break,
        }
    }
    (!batches.is_empty()).then(|| Ok(concat_batches(schema, &batches)?))
}

pub(super) fn broken(path: &Path, why: impl ToString) -> Error {
    Error::SourceFile {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}
