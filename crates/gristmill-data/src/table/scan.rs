//! Reading a table from the first row to the last, in canonical order.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

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
        Ok(Scan {
            files: self.files.clone().into_iter(),
            schema: Arc::new(self.schema.project(&columns)?),
            columns,
            batch_rows: batch_rows.max(1),
            file: None,
        })
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
    file: Option<(PathBuf, ParquetRecordBatchReader)>,
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((path, rows)) = &mut self.file {
                match rows.next() {
                    Some(Ok(batch)) => return Some(self.arranged(batch)),
                    Some(Err(error)) => {
                        let error = Error::Dataset {
                            dir: path.display().to_string(),
                            why: error.to_string(),
                        };
                        return Some(Err(error));
                    }
                    None => {}
                }
            }
            let file = self.files.next()?;
            match self.open(&file) {
                Ok(rows) => self.file = Some((file.path, rows)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Scan {
    fn open(&self, file: &DataFile) -> Result<ParquetRecordBatchReader> {
        let broken = |why: String| Error::Dataset {
            dir: file.path.display().to_string(),
            why,
        };
        let opened = File::open(&file.path).map_err(io(&file.path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|e| broken(e.to_string()))?;
        let rows = builder.metadata().file_metadata().num_rows() as u64;
        if rows != file.rows {
            return Err(broken(format!(
                "it has {rows} rows where the table says {}",
                file.rows
            )));
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), self.columns.iter().copied());
        builder
            .with_projection(mask)
            .with_batch_size(self.batch_rows)
            .build()
            .map_err(|e| broken(e.to_string()))
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
