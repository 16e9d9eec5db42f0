//! A batch of the features table as slices, without a copy.

use arrow::array::{ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Schema, UInt8Type, UInt32Type};

use crate::error::{Error, Result};

/// The columns of the features table that training reads, besides [`WEIGHT`].
pub(crate) const COLUMNS: [&str; 5] = ["label", "indices", "values", "split", "fold"];
/// The column of the rows' weights, which a table may lack.
pub(crate) const WEIGHT: &str = "weight";

/// The label of rows whose class no training row has. No such row is a training row.
pub(crate) const UNSEEN: i32 = -1;

/// Rows of the features table: a sparse matrix with a label, a split and a fold a row.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The class of each row, [`UNSEEN`] where training never saw it; empty where labels are numbers.
    pub(crate) labels: &'a [i32],
    /// Row `r` holds entries `offsets[r]..offsets[r + 1]`.
    pub(crate) offsets: &'a [i32],
    /// Column of each entry, ascending within a row.
    pub(crate) indices: &'a [u32],
    /// Value of each entry.
    pub(crate) values: &'a [f32],
    /// 0 training, 1 validation, 2 test.
    pub(crate) split: &'a [u8],
    /// The fold of the row's entity.
    pub(crate) fold: &'a [u8],
    /// What each row weighs in training; `None` where all weigh 1.
    pub(crate) weights: Option<&'a [f64]>,
}

impl<'a> Rows<'a> {
    /// Views a batch of the features table of a classifier.
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self> {
        let labels = label(batch)?
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| wrong(batch.schema_ref(), "label", "Int32"))?
            .values();
        Ok(Self {
            labels,
            ..Self::without_labels(batch)?
        })
    }

    /// Views a batch of the features table of a regression, its labels beside it.
    pub(crate) fn with_numbers(batch: &'a RecordBatch) -> Result<(Self, &'a [f64])> {
        let labels = label(batch)?
            .as_primitive_opt::<Float64Type>()
            .ok_or_else(|| wrong(batch.schema_ref(), "label", "Float64"))?
            .values();
        Ok((Self::without_labels(batch)?, labels))
    }

    /// Views a batch of any features table, without its labels.
    pub(crate) fn without_labels(batch: &'a RecordBatch) -> Result<Self> {
        let schema = batch.schema_ref();
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::missing_column(name, schema))
        };
        let list = |name: &'static str| -> Result<&'a ListArray> {
            column(name)?
                .as_list_opt()
                .ok_or_else(|| wrong(schema, name, "a list"))
        };
        let (indices, values) = (list("indices")?, list("values")?);
        let index_values = indices
            .values()
            .as_primitive_opt::<UInt32Type>()
            .ok_or_else(|| wrong(schema, "indices", "List<UInt32>"))?;
        let value_values = values
            .values()
            .as_primitive_opt::<Float32Type>()
            .ok_or_else(|| wrong(schema, "values", "List<Float32>"))?;
        let byte = |name: &'static str| -> Result<&'a [u8]> {
            Ok(column(name)?
                .as_primitive_opt::<UInt8Type>()
                .ok_or_else(|| wrong(schema, name, "UInt8"))?
                .values())
        };
        let weights = match batch.column_by_name(WEIGHT) {
            None => None,
            Some(weights) => Some(
                &weights
                    .as_primitive_opt::<Float64Type>()
                    .ok_or_else(|| wrong(schema, WEIGHT, "Float64"))?
                    .values()[..],
            ),
        };
        let rows = Self {
            weights,
            labels: &[],
            offsets: indices.value_offsets(),
            indices: index_values.values(),
            values: value_values.values(),
            split: byte("split")?,
            fold: byte("fold")?,
        };
        // Slicing keeps both lists in step, but a foreign file might not.
        let shift = values.value_offsets()[0] - rows.offsets[0];
        let aligned = rows
            .offsets
            .iter()
            .zip(values.value_offsets())
            .all(|(i, v)| i + shift == *v);
        if !aligned {
            return Err(wrong(schema, "values", "lists as long as those of `indices`"));
        }
        let (from, to) = (values.value_offsets()[0] as usize, value_values.len());
        let first = rows.offsets[0] as usize;
        if from < first {
            return Err(wrong(schema, "values", "lists as long as those of `indices`"));
        }
        Ok(Self {
            values: &value_values.values()[from - first..to],
            ..rows
        })
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.split.len()
    }

    /// The class of row `r`; `None` where training never saw that.
    #[inline(always)]
    pub(crate) fn class(&self, r: usize) -> Option<usize> {
        usize::try_from(self.labels[r]).ok()
    }

    /// What row `r` weighs.
    pub(crate) fn weight(&self, r: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[r])
    }

    /// The entries of row `r`.
    #[inline(always)]
    pub(crate) fn row(&self, r: usize) -> (&'a [u32], &'a [f32]) {
        let range = self.offsets[r] as usize..self.offsets[r + 1] as usize;
        (&self.indices[range.clone()], &self.values[range])
    }
}

/// Checks that the columns of a features table are there.
pub(crate) fn check(schema: &Schema) -> Result<Vec<String>> {
    for name in COLUMNS {
        schema
            .field_with_name(name)
            .map_err(|_| Error::missing_column(name, schema))?;
    }
    let weight = schema.field_with_name(WEIGHT).is_ok().then_some(WEIGHT);
    Ok(COLUMNS.into_iter().chain(weight).map(str::to_owned).collect())
}

/// Checks the columns that [`Rows::without_labels`] needs.
pub(crate) fn check_features(schema: &Schema) -> Result<Vec<String>> {
    let columns = check(schema)?.into_iter();
    Ok(columns.filter(|name| name != "label" && name != WEIGHT).collect())
}

fn label(batch: &RecordBatch) -> Result<&ArrayRef> {
    batch
        .column_by_name("label")
        .ok_or_else(|| Error::missing_column("label", batch.schema_ref()))
}

fn wrong(schema: &Schema, column: &str, expected: &'static str) -> Error {
    let given = schema
        .field_with_name(column)
        .map_or(DataType::Null, |f| f.data_type().clone());
    Error::ColumnType {
        column: column.to_owned(),
        step: "training".to_owned(),
        expected,
        given: given.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rows of one split and fold, all of which weigh the same.
    pub(crate) struct Table {
        labels: Vec<i32>,
        offsets: Vec<i32>,
        indices: Vec<u32>,
        values: Vec<f32>,
        zeros: Vec<u8>,
    }

    impl Default for Table {
        fn default() -> Self {
            Self {
                labels: Vec::new(),
                offsets: vec![0],
                indices: Vec::new(),
                values: Vec::new(),
                zeros: Vec::new(),
            }
        }
    }

    impl Table {
        /// Adds a row.
        pub(crate) fn push(&mut self, label: i32, indices: &[u32], values: &[f32]) {
            self.labels.push(label);
            self.indices.extend_from_slice(indices);
            self.values.extend_from_slice(values);
            self.offsets.push(self.indices.len() as i32);
            self.zeros.push(0);
        }

        /// All of them.
        pub(crate) fn rows(&self) -> Rows<'_> {
            Rows {
                labels: &self.labels,
                offsets: &self.offsets,
                indices: &self.indices,
                values: &self.values,
                split: &self.zeros,
                fold: &self.zeros,
                weights: None,
            }
        }
    }
}
