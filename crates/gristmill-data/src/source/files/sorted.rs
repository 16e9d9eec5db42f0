//! Parquet files whose rows are in the order of the key: an index over their row groups, from which it is known at once in
//! which row group a key is.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow::compute::{SortOptions, concat};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, Rows as EncodedRows, SortField};
use arrow::util::display::array_value_to_string;

use crate::budget::RowBudget;
use crate::error::Result;
use crate::key::{Bounds, Key};
use crate::parquet_file::Part;
use crate::source::files::input::{Input, Kind};
use crate::source::files::keys::{column_of, key_at};
use crate::source::files::parquet::{ParquetFile, Rows};
use crate::source::files::types::{convert, to_held};

/// A row group with more rows is not read in place: each range would decode most of it.
const MAX_GROUP_ROWS: u64 = 131_072;

/// Rows in the order of their key.
pub(super) struct Sorted {
    input: Arc<Input>,
    /// Places of the columns of the query in the files.
    columns: Vec<usize>,
    /// The columns as they are given on.
    schema: SchemaRef,
    /// Place of the key among the columns.
    key: usize,
    keys: KeyColumn,
    groups: Vec<Group>,
    rows: u64,
    nulls: u64,
    /// Whether the rows without a key come first.
    nulls_first: bool,
    /// The keys of the row group that was looked at last.
    last: Mutex<Option<(usize, Arc<Keys>)>>,
}

/// A row group.
struct Group {
    file: usize,
    number: usize,
    /// Rows before it.
    start: u64,
    rows: u64,
    first: OwnedRow,
    last: OwnedRow,
}

/// The column of the key.
struct KeyColumn {
    /// Its place in the files.
    place: usize,
    /// It alone, as it is given on.
    schema: SchemaRef,
    converter: RowConverter,
}

/// The keys of a row group, as they are and as bytes that compare.
struct Keys {
    values: ArrayRef,
    encoded: EncodedRows,
}

/// Rows by their numbers.
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Sorted {
    /// Reads the column of the key; `None` where the files are not in its order or their row groups are too long. `columns` are those of the query, `schema` is what they become, `key` is the place of the key among them.
    pub(super) fn index(
        input: Arc<Input>,
        columns: Vec<usize>,
        schema: SchemaRef,
        key: usize,
    ) -> Result<Option<Self>> {
        let Kind::Parquet(files) = &input.kind else {
            return Ok(None);
        };
        if files
            .iter()
            .flat_map(|file| &file.groups)
            .any(|rows| *rows > MAX_GROUP_ROWS)
        {
            return Ok(None);
        }
        let nulls_first = any_starts_with_null(&input, files, columns[key])?;
        let column = KeyColumn::new(columns[key], schema.field(key), nulls_first)?;
        let mut indexed: Vec<Vec<Group>> = Vec::new();
        let mut nulls = 0;
        for (number, file) in files.iter().enumerate() {
            let mut groups: Vec<Group> = Vec::new();
            for (group, rows) in file.groups.iter().enumerate().filter(|(_, rows)| **rows > 0) {
                let keys = column.read(&input, file, group)?;
                nulls += keys.values.null_count() as u64;
                let first = keys.encoded.row(0).owned();
                let rising = keys
                    .encoded
                    .iter()
                    .zip(keys.encoded.iter().skip(1))
                    .all(|(a, b)| a <= b);
                if !rising || groups.last().is_some_and(|before| before.last > first) {
                    return Ok(None);
                }
                groups.push(Group {
                    file: number,
                    number: group,
                    start: 0,
                    rows: *rows,
                    first,
                    last: keys.encoded.row(keys.encoded.num_rows() - 1).owned(),
                });
            }
            indexed.push(groups);
        }
        // A file may come before another by its keys and after it by its name.
        indexed.retain(|groups| !groups.is_empty());
        indexed.sort_by(|a, b| a[0].first.cmp(&b[0].first));
        let mut groups: Vec<Group> = indexed.into_iter().flatten().collect();
        if groups.windows(2).any(|pair| pair[0].last > pair[1].first) {
            return Ok(None);
        }
        let mut rows = 0;
        for group in &mut groups {
            group.start = rows;
            rows += group.rows;
        }
        Ok(Some(Self {
            input,
            columns,
            schema,
            key,
            keys: column,
            groups,
            rows,
            nulls,
            nulls_first,
            last: Mutex::default(),
        }))
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn has_nulls(&self) -> bool {
        self.nulls > 0
    }

    /// Fails where a file is not what it was.
    pub(super) fn unchanged(&self) -> Result<()> {
        self.input.unchanged()
    }

    /// The key of the `rows`-th row after `after`, or the last.
    pub(super) fn boundary(&self, after: Option<&Key>, rows: u64) -> Result<Option<Key>> {
        let keys = self.with_key();
        let from = match after {
            Some(key) => self.rows_up_to(key)?.max(keys.from),
            None => keys.from,
        };
        if from >= keys.until {
            return Ok(None);
        }
        let row = from.saturating_add(rows.max(1)).min(keys.until) - 1;
        let at = self
            .groups
            .partition_point(|group| group.start + group.rows <= row);
        let values = &self.keys_of(at)?.values;
        key_at(values, (row - self.groups[at].start) as usize).map(Some)
    }

    /// The rows of a range.
    pub(super) fn span(&self, bounds: &Bounds) -> Result<Span> {
        let keys = self.with_key();
        Ok(match bounds {
            Bounds::Null if self.nulls_first => Span {
                from: 0,
                until: keys.from,
            },
            Bounds::Null => Span {
                from: keys.until,
                until: self.rows,
            },
            Bounds::Between { after, until } => Span {
                from: match after {
                    Some(key) => self.rows_up_to(key)?.max(keys.from),
                    None => keys.from,
                },
                until: self.rows_up_to(until)?.clamp(keys.from, keys.until),
            },
        })
    }

    /// Reads rows, until `send` says that no more are wanted.
    pub(super) fn read(
        &self,
        span: &Span,
        memory: RowBudget,
        mut send: impl FnMut(RecordBatch) -> bool,
    ) -> Result<()> {
        let Kind::Parquet(files) = &self.input.kind else {
            return Ok(());
        };
        let first = self
            .groups
            .partition_point(|group| group.start + group.rows <= span.from);
        for group in self.groups[first..]
            .iter()
            .take_while(|group| group.start < span.until)
        {
            let skip = span.from.saturating_sub(group.start);
            let until = span.until.min(group.start + group.rows) - group.start;
            let rows = Rows::Of(Part {
                group: group.number,
                rows: skip as usize..until as usize,
            });
            for batch in self.input.read(&files[group.file], &self.columns, &rows)? {
                let batch = batch?;
                let named = |row| row_name(&batch, &self.schema, self.key, row);
                let held = to_held(&batch, &self.schema, named)?;
                memory.check(&held, named)?;
                if !send(held) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The rows that have a key.
    fn with_key(&self) -> Span {
        if self.nulls_first {
            Span {
                from: self.nulls,
                until: self.rows,
            }
        } else {
            Span {
                from: 0,
                until: self.rows - self.nulls,
            }
        }
    }

    /// How many rows come up to and with this key; among them those without a key, where these come first.
    fn rows_up_to(&self, key: &Key) -> Result<u64> {
        let key = self.keys.encode(column_of(key, self.keys.kind())?)?;
        let wanted = key.encoded.row(0);
        let at = self.groups.partition_point(|group| group.last.row() <= wanted);
        let Some(group) = self.groups.get(at) else {
            return Ok(self.rows);
        };
        if group.first.row() > wanted {
            return Ok(group.start);
        }
        let keys = self.keys_of(at)?;
        let (mut low, mut high) = (0, keys.encoded.num_rows());
        while low < high {
            let middle = low.midpoint(high);
            if keys.encoded.row(middle) <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(group.start + low as u64)
    }

    fn keys_of(&self, at: usize) -> Result<Arc<Keys>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, keys)) = last.as_ref().filter(|(number, _)| *number == at) {
            return Ok(keys.clone());
        }
        let group = &self.groups[at];
        let keys = match &self.input.kind {
            Kind::Parquet(files) => self.keys.read(&self.input, &files[group.file], group.number)?,
            Kind::Csv(_) => self.keys.encode(new_empty_array(self.keys.kind()))?,
        };
        let keys = Arc::new(keys);
        *last = Some((at, keys.clone()));
        Ok(keys)
    }
}

impl KeyColumn {
    fn new(place: usize, field: &Field, nulls_first: bool) -> Result<Self> {
        let options = SortOptions {
            descending: false,
            nulls_first,
        };
        let kind = SortField::new_with_options(field.data_type().clone(), options);
        Ok(Self {
            place,
            schema: Arc::new(Schema::new(vec![field.clone()])),
            converter: RowConverter::new(vec![kind])?,
        })
    }

    fn kind(&self) -> &DataType {
        self.schema.field(0).data_type()
    }

    fn encode(&self, values: ArrayRef) -> Result<Keys> {
        let encoded = self.converter.convert_columns(std::slice::from_ref(&values))?;
        Ok(Keys { values, encoded })
    }

    /// The keys of a row group.
    fn read(&self, input: &Input, file: &ParquetFile, group: usize) -> Result<Keys> {
        let rows = Rows::Of(Part {
            group,
            rows: 0..file.groups[group] as usize,
        });
        let mut pieces = vec![new_empty_array(self.kind())];
        for batch in input.read(file, &[self.place], &rows)? {
            let batch = batch?;
            let named = |row| row_name(&batch, &self.schema, 0, row);
            pieces.push(to_held(&batch, &self.schema, named)?.column(0).clone());
        }
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        self.encode(concat(&pieces)?)
    }
}

/// A row by its key, for a message. The batch has not yet the types of `schema`.
pub(super) fn row_name(batch: &RecordBatch, schema: &SchemaRef, key: usize, row: usize) -> String {
    let field = schema.field(key);
    let given = batch.column(key).slice(row, 1);
    let value = match convert(&given, field.data_type()) {
        Ok(value) if value.is_null(0) => "null".to_owned(),
        Ok(value) => key_at(&value, 0).map_or_else(|e| e.to_string(), |key| key.to_string()),
        Err(_) => array_value_to_string(&given, 0).unwrap_or_default(),
    };
    format!("row with {} = {value}", field.name())
}

fn any_starts_with_null(input: &Input, files: &[ParquetFile], column: usize) -> Result<bool> {
    for file in files {
        let Some(group) = file.groups.iter().position(|rows| *rows > 0) else {
            continue;
        };
        let rows = Rows::Of(Part { group, rows: 0..1 });
        for batch in input.read(file, &[column], &rows)? {
            if batch?.column(0).is_null(0) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
