//! Reading a table from the first row to the last, in canonical order.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use crate::error::{Error, Result};
use crate::table::write::io;
use crate::table::{DataFile, TableVersion};

impl TableVersion {
    /// The rows in canonical order, in batches of at most `batch_rows`: one file at a time, one batch in memory. Only
    /// `columns`, in the order asked for, where they are given.
    pub fn scan(
        &self,
        columns: Option<&[String]>,
        batch_rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
        let columns = match columns {
            Some(names) => self.positions(names)?,
            None => (0..self.schema.fields().len()).collect(),
        };
        Ok(Scan::new(self, columns, batch_rows, None)?.filter_map(Result::transpose))
    }

    /// What [`TableVersion::scan`] gives, in so many shares that can be decoded at once: the row groups go to the shares in
    /// turn. Each share says with a `None` that a row group has ended.
    pub fn scan_shares(
        &self,
        columns: &[String],
        batch_rows: usize,
        shares: usize,
    ) -> Result<Vec<impl Iterator<Item = Result<Option<RecordBatch>>> + Send + use<>>> {
        let columns = self.positions(columns)?;
        let share = |number| {
            Scan::new(
                self,
                columns.clone(),
                batch_rows,
                Some(Share {
                    number,
                    shares,
                    seen: 0,
                }),
            )
        };
        (0..shares).map(share).collect()
    }

    fn positions(&self, names: &[String]) -> Result<Vec<usize>> {
        let position = |name: &String| {
            self.schema.index_of(name).map_err(|_| {
                let there: Vec<&str> = self
                    .schema
                    .fields()
                    .iter()
                    .map(|field| field.name().as_str())
                    .collect();
                Error::Dataset {
                    dir: self.dir.display().to_string(),
                    why: format!(
                        "there is no column `{name}`; the columns are: {}",
                        there.join(", ")
                    ),
                }
            })
        };
        names.iter().map(position).collect()
    }
}

struct Scan {
    files: std::vec::IntoIter<DataFile>,
    schema: SchemaRef,
    columns: Vec<usize>,
    batch_rows: usize,
    share: Option<Share>,
    /// What is read one after the other: a file, or each of its row groups that is in the share; the first comes last.
    readers: Vec<ParquetRecordBatchReader>,
    path: PathBuf,
}

/// The row groups of a table whose number, modulo `shares`, is `number`.
struct Share {
    number: usize,
    shares: usize,
    /// Row groups of the files opened so far.
    seen: usize,
}

impl Share {
    /// Those of the next so many.
    fn of(&mut self, groups: usize) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let (number, shares, before) = (self.number, self.shares, self.seen);
        self.seen += groups;
        (0..groups).filter(move |group| (before + group) % shares == number)
    }
}

/// Gives a `None` after each reader.
impl Iterator for Scan {
    type Item = Result<Option<RecordBatch>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(rows) = self.readers.last_mut() {
                return Some(match rows.next() {
                    Some(Ok(batch)) => self.arranged(batch).map(Some),
                    Some(Err(error)) => Err(Error::Dataset {
                        dir: self.path.display().to_string(),
                        why: error.to_string(),
                    }),
                    None => {
                        self.readers.pop();
                        Ok(None)
                    }
                });
            }
            let file = self.files.next()?;
            if let Err(error) = self.open(file) {
                return Some(Err(error));
            }
        }
    }
}

impl Scan {
    fn new(
        table: &TableVersion,
        columns: Vec<usize>,
        batch_rows: usize,
        share: Option<Share>,
    ) -> Result<Self> {
        Ok(Self {
            files: table.files.clone().into_iter(),
            schema: Arc::new(table.schema.project(&columns)?),
            columns,
            batch_rows: batch_rows.max(1),
            share,
            readers: Vec::new(),
            path: PathBuf::new(),
        })
    }

    fn open(&mut self, file: DataFile) -> Result<()> {
        let path = file.path.display().to_string();
        let broken = |why: String| Error::Dataset {
            dir: path.clone(),
            why,
        };
        let opened = File::open(&file.path).map_err(io(&file.path))?;
        let metadata = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new())
            .map_err(|e| broken(e.to_string()))?;
        let rows = metadata.metadata().file_metadata().num_rows() as u64;
        if rows != file.rows {
            return Err(broken(format!(
                "it has {rows} rows where the table says {}",
                file.rows
            )));
        }
        let reader = |groups: Option<usize>| -> Result<ParquetRecordBatchReader> {
            let again = opened.try_clone().map_err(io(&file.path))?;
            let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(again, metadata.clone());
            let mask = ProjectionMask::roots(builder.parquet_schema(), self.columns.iter().copied());
            if let Some(group) = groups {
                builder = builder.with_row_groups(vec![group]);
            }
            let builder = builder.with_projection(mask).with_batch_size(self.batch_rows);
            builder.build().map_err(|e| broken(e.to_string()))
        };
        self.readers = match &mut self.share {
            None => vec![reader(None)?],
            Some(share) => {
                let groups = share.of(metadata.metadata().num_row_groups());
                groups
                    .rev()
                    .map(|group| reader(Some(group)))
                    .collect::<Result<_>>()?
            }
        };
        self.path = file.path;
        Ok(())
    }

    /// Puts the columns, which Parquet gives in the order of the file, into the order asked for.
    fn arranged(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let mut read = self.columns.clone();
        read.sort_unstable();
        read.dedup();
        let order = self
            .columns
            .iter()
            .filter_map(|column| read.binary_search(column).ok());
        let columns = order.map(|position| batch.column(position).clone()).collect();
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &rows,
        )?)
    }
}
