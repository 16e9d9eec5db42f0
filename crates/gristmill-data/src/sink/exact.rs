//! Values in the types of the columns that they are written to, where nothing is lost.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;

/// What the values of a column are where the database has no say: every form of a type as the plain one.
pub(super) fn plain(values: &DataType) -> DataType {
    match values {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        DataType::Date64 => DataType::Date32,
        other => other.clone(),
    }
}

/// The rows with the columns of a target; why not otherwise, with the number of the row among these.
pub(super) fn fitted(rows: &RecordBatch, columns: &[Field]) -> Result<RecordBatch, (usize, String)> {
    let schema: SchemaRef = Arc::new(Schema::new(columns.to_vec()));
    let fitted = columns
        .iter()
        .zip(rows.columns())
        .map(|(field, values)| exactly(values, field));
    let fitted: Vec<ArrayRef> = fitted.collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema, fitted).map_err(|error| (0, error.to_string()))
}

fn exactly(values: &ArrayRef, column: &Field) -> Result<ArrayRef, (usize, String)> {
    let wanted = column.data_type();
    if values.data_type() == wanted {
        return Ok(Arc::clone(values));
    }
    // What does not fit becomes null, and is then told from what was.
    let options = CastOptions::default();
    let cast = |values: &ArrayRef, to: &DataType| {
        cast_with_options(values, to, &options).map_err(|error| (0, error.to_string()))
    };
    let fitted = cast(values, wanted)?;
    let source = plain(values.data_type());
    let before = cast(values, &source)?;
    let again = cast(&fitted, &source)?;
    let same = not_distinct(&before, &again).map_err(|error| (0, error.to_string()))?;
    match (0..same.len()).find(|row| !same.value(*row)) {
        None => Ok(fitted),
        Some(row) => {
            let shown = ArrayFormatter::try_new(values.as_ref(), &FormatOptions::default())
                .map_or_else(|error| error.to_string(), |format| format.value(row).to_string());
            let why = format!(
                "`{shown}` of column `{}` does not fit into that column of the table, which takes {wanted}",
                column.name()
            );
            Err((row, why))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, LargeStringArray, StringArray};

    use super::*;

    #[test]
    fn what_loses_anything_is_refused_with_its_row() {
        let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
        let cases: [(ArrayRef, DataType, Option<usize>); 9] = [
            (text(vec![Some("1"), None, Some("-7")]), DataType::Int64, None),
            (text(vec![Some("1"), Some("01")]), DataType::Int64, Some(1)),
            (text(vec![Some("1"), Some("x")]), DataType::Int64, Some(1)),
            (text(vec![Some("2024-02-29")]), DataType::Date32, None),
            (
                Arc::new(Int64Array::from(vec![1, 1 << 40])),
                DataType::Int32,
                Some(1),
            ),
            (
                Arc::new(Int64Array::from(vec![1, -1])),
                DataType::Decimal128(20, 0),
                None,
            ),
            (
                Arc::new(Float64Array::from(vec![2.0, 2.5])),
                DataType::Int64,
                Some(1),
            ),
            (
                Arc::new(Float64Array::from(vec![0.5, 0.1])),
                DataType::Float32,
                Some(1),
            ),
            (Arc::new(LargeStringArray::from(vec!["a"])), DataType::Utf8, None),
        ];
        for (values, wanted, refused) in cases {
            let field = Field::new("c", wanted.clone(), true);
            let fitted = exactly(&values, &field);
            match refused {
                None => assert_eq!(fitted.unwrap().data_type(), &wanted),
                Some(row) => assert_eq!(fitted.unwrap_err().0, row, "{values:?} as {wanted}"),
            }
        }
    }
}
