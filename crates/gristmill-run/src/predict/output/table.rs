//! Predictions into a table of a database: the key of each row, what is predicted, by which model and when.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use gristmill_data::settings::SourceUrl;
use gristmill_data::sink::{IfExists, Opened, Progress, TableSettings, TableWriter};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use super::contract::Sink;
use crate::error::{Error, Result};

/// The column with the hash of the model.
const MODEL: &str = "model";

/// The column with the time of the prediction, which is one for all its rows.
const PREDICTED_AT: &str = "predicted_at";

/// Raised when what a prediction writes is changed, so that one that was begun before is not continued.
const FORMAT: u32 = 1;

/// A table that predictions go to.
#[derive(Debug, Clone)]
pub struct TableDestination {
    /// The database.
    pub url: SourceUrl,
    /// The table, maybe with its schema in front: `schema.table`.
    pub table: String,
    /// The columns of the input by which a row is found again; none stands for those that the caller knows to be the key.
    pub key: Vec<String>,
    /// What becomes of a table that is there.
    pub if_exists: IfExists,
    /// Whether to predict again what was predicted to the end before.
    pub fresh: bool,
    /// Rows of a transaction, where the input is not read in ranges of its own.
    pub batch_rows: u64,
}

/// What of the rows a table gets, and who they are from.
pub(crate) struct Shape<'a> {
    /// The columns of the rows.
    pub(crate) rows: &'a SchemaRef,
    /// How many of them are the input's.
    pub(crate) of_input: usize,
    /// The hash of the model.
    pub(crate) model: &'a str,
    /// What tells the rows of the input from others.
    pub(crate) input: &'a dyn Fn() -> Result<serde_json::Value>,
    /// The types of columns that are text in the input.
    pub(crate) types: &'a [(String, DataType)],
    /// Where the rows are read from, if by a query; it says itself where batches end then.
    pub(crate) reads: Option<&'a SourceUrl>,
    /// The tables that the query reads.
    pub(crate) reads_tables: &'a [String],
}

/// What is to be done.
pub(super) enum Begun {
    /// An earlier process did all of it.
    Complete(Progress),
    /// There is more to do, after what the progress says.
    Open(TableSink),
}

pub(super) struct TableSink {
    runtime: tokio::runtime::Runtime,
    writer: Option<Box<TableWriter>>,
    /// The columns of the rows that are written.
    columns: Vec<usize>,
    schema: SchemaRef,
    model: String,
    begun: i64,
    /// Rows of a transaction; `None` where the input says where one ends.
    batch_rows: Option<u64>,
}

impl TableSink {
    pub(super) fn open(to: TableDestination, shape: &Shape<'_>, now: i64) -> Result<Begun> {
        let refuse = |why: String| Error::File {
            path: format!("table `{}`", to.table),
            why,
        };
        if to.key.is_empty() {
            return Err(refuse(
                "no column tells its rows apart; give --key with the columns of the input that do".to_owned(),
            ));
        }
        let place = |name: &String| {
            shape.rows.index_of(name).map_err(|_| {
                let names: Vec<&str> = shape
                    .rows
                    .fields()
                    .iter()
                    .map(|field| field.name().as_str())
                    .collect();
                refuse(format!(
                    "the input has no column `{name}` for --key; its columns are: {}",
                    names[..shape.of_input].join(", ")
                ))
            })
        };
        let mut columns: Vec<usize> = to.key.iter().map(place).collect::<Result<_>>()?;
        columns.extend(shape.of_input..shape.rows.fields().len());
        let mut fields: Vec<Field> = columns.iter().map(|at| shape.rows.field(*at).clone()).collect();
        fields.push(Field::new(MODEL, DataType::Utf8, true));
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        fields.push(Field::new(PREDICTED_AT, time, true));
        let twice = |at: &usize| {
            fields[..*at]
                .iter()
                .any(|field| field.name() == fields[*at].name())
        };
        if let Some(at) = (0..fields.len()).find(twice) {
            return Err(refuse(format!(
                "two of its columns would be called `{}`; give --prefix, or the key another name",
                fields[at].name()
            )));
        }
        let schema = Arc::new(Schema::new(fields));
        let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        let identity = json!([
            FORMAT,
            shape.model,
            (shape.input)()?,
            names,
            to.key,
            to.if_exists.name()
        ]);
        let settings = TableSettings {
            url: to.url,
            table: to.table,
            key: to.key,
            types: shape.types.to_vec(),
            if_exists: to.if_exists,
            identity: format!("{:032x}", xxh3_128(identity.to_string().as_bytes())),
            fresh: to.fresh,
            reads: shape.reads.cloned(),
            reads_tables: shape.reads_tables.to_vec(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::Threads {
                threads: 1,
                why: e.to_string(),
            })?;
        let writer = match runtime.block_on(TableWriter::open(settings, &schema, now))? {
            Opened::Complete(progress) => return Ok(Begun::Complete(progress)),
            Opened::Open(writer) => writer,
        };
        Ok(Begun::Open(Self {
            begun: writer.progress().begun,
            runtime,
            writer: Some(writer),
            columns,
            schema,
            model: shape.model.to_owned(),
            batch_rows: shape.reads.is_none().then_some(to.batch_rows.max(1)),
        }))
    }

    /// How far an earlier process came.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.writer.as_ref().map(|writer| writer.progress().clone())
    }

    /// Of the rows what the table gets.
    fn columns(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let mut columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|at| Arc::clone(rows.column(*at)))
            .collect();
        columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            &self.model,
            count,
        ))));
        let times = TimestampMicrosecondArray::from_value(self.begun, count);
        columns.push(Arc::new(times.with_timezone("UTC")));
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        rows.map_err(|error| gristmill_learn::Error::Arrow(error).into())
    }
}

impl Sink for TableSink {
    /// What was committed stays, and another process goes on after it.
    fn explain(&self, error: Error) -> Error {
        error
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let rows = self.columns(rows)?;
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let mut start = 0;
        while start < rows.num_rows() {
            let room = self
                .batch_rows
                .map_or(u64::MAX, |most| most - writer.rows_of_batch());
            let count = usize::try_from(room)
                .unwrap_or(usize::MAX)
                .min(rows.num_rows() - start);
            self.runtime.block_on(writer.write(&rows.slice(start, count)))?;
            if self.batch_rows == Some(writer.rows_of_batch()) {
                self.runtime.block_on(writer.commit(None))?;
            }
            start += count;
        }
        Ok(())
    }

    fn range_ended(&mut self, range: &str) -> Result<()> {
        match &mut self.writer {
            Some(writer) => Ok(self.runtime.block_on(writer.commit(Some(range)))?),
            None => Ok(()),
        }
    }

    fn abandon(mut self: Box<Self>) {
        if let Some(writer) = self.writer.take() {
            // What failed before is what is told.
            let _failed = self.runtime.block_on(writer.abandon());
        }
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            self.runtime.block_on(writer.finish())?;
        }
        Ok(())
    }
}
