//! Brings the columns that a model reads to the types and the text that they had in training.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use gristmill_data::convert::{Form, Logical, convert};
use gristmill_data::prepare::TextRules;
use gristmill_data::settings::{ReadAs, TextReading};
use gristmill_learn::features::Assembler;
use gristmill_learn::model::InputColumn;
use gristmill_learn::{Error, Result};

/// What the columns of an input must become before the encoders read them.
pub(super) struct Conform {
    columns: Vec<Column>,
    text: TextRules,
}

struct Column {
    name: String,
    /// `None` where the model does not tell, because it has format 1: text is taken as it is.
    logical: Option<Logical>,
    /// Whether it is read as a number.
    numeric: bool,
    uncleaned: bool,
}

impl Conform {
    /// To what the encoders of `assembler` read, of columns that `input` tells of, with text cleaned by `text`.
    ///
    /// # Errors
    /// When a column has a type or a form that this build does not know.
    pub(super) fn new(
        assembler: &Assembler,
        input: &[InputColumn],
        text: TextRules,
    ) -> std::result::Result<Self, String> {
        let mut columns: Vec<Column> = Vec::new();
        for encoder in assembler.encoders() {
            for read in encoder.inputs() {
                let numeric = read.reads.is_number();
                if let Some(known) = columns.iter_mut().find(|known| known.name == read.column) {
                    known.numeric |= numeric;
                    continue;
                }
                let declared = input.iter().find(|column| column.name == read.column);
                columns.push(Column {
                    name: read.column.to_owned(),
                    logical: declared.map(logical).transpose()?,
                    numeric,
                    uncleaned: declared.is_some_and(|column| column.uncleaned),
                });
            }
        }
        Ok(Self { columns, text })
    }

    /// What the text of files without types stands for. Of a model that does not tell types, what is not a number is text.
    pub(super) fn reading(&self) -> TextReading {
        let columns = self.columns.iter().filter_map(|column| {
            let logical = match (&column.logical, column.numeric) {
                (Some(logical), _) => logical.clone(),
                (None, false) => Logical::plain(DataType::Utf8),
                (None, true) => return None,
            };
            Some((column.name.clone(), ReadAs::Values(logical)))
        });
        TextReading {
            columns: columns.collect(),
            quoted_empty: self.text.keeps_empty(),
        }
    }

    /// The rows with the columns that are read, and no others.
    ///
    /// # Errors
    /// `MissingColumn`, or `Unfit` by the first row that does not fit.
    pub(super) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let given = batch
                .column_by_name(&column.name)
                .ok_or_else(|| Error::missing_column(&column.name, batch.schema_ref()))?;
            let array = column.conform(given, self.text)?;
            fields.push(Field::new(&column.name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = Arc::new(Schema::new(fields));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &rows)?)
    }
}

impl Column {
    fn conform(&self, given: &ArrayRef, text: TextRules) -> Result<ArrayRef> {
        let array = match &self.logical {
            Some(logical) => convert(given, logical).map_err(|misfit| Error::Unfit {
                column: self.name.clone(),
                row: misfit.row.map(|row| row as u64),
                why: misfit.why,
            })?,
            None => self.as_given(given)?,
        };
        if self.uncleaned || *array.data_type() != DataType::Utf8 {
            return Ok(array);
        }
        let array = text.column(&array);
        match &self.logical {
            None if self.numeric => self.number(&array),
            _ => Ok(array),
        }
    }

    /// The column of a model that does not tell types.
    fn as_given(&self, given: &ArrayRef) -> Result<ArrayRef> {
        Ok(match given.data_type() {
            DataType::LargeUtf8 | DataType::Utf8View => cast(given, &DataType::Utf8)?,
            _ => given.clone(),
        })
    }

    /// Text as numbers.
    fn number(&self, given: &ArrayRef) -> Result<ArrayRef> {
        let numbers = cast(given, &DataType::Float64)?;
        match (0..numbers.len()).find(|row| numbers.is_null(*row) && given.is_valid(*row)) {
            None => Ok(numbers),
            Some(row) => Err(Error::ColumnType {
                column: self.name.clone(),
                step: "numeric".to_owned(),
                expected: "numbers",
                given: format!("text, such as {:?}", given.as_string::<i32>().value(row)),
            }),
        }
    }
}

fn logical(column: &InputColumn) -> std::result::Result<Logical, String> {
    let unknown = |what: &str| {
        format!(
            "its input column `{}` has {what}, which this build does not know",
            column.name
        )
    };
    let data_type = column.arrow_type();
    let data_type = data_type.ok_or_else(|| unknown(&format!("the type `{}`", column.data_type)))?;
    let form = match &column.form {
        None => Form::Plain,
        Some(name) => Form::named(name).ok_or_else(|| unknown(&format!("text of the form `{name}`")))?,
    };
    Ok(Logical { data_type, form })
}
