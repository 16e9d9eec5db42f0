//! Reading a table from the first row to the last, in canonical order.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use crate::durable::io;
use crate::error::{Error, Result};
use crate::guard::caught;
use crate::parquet_file::{BatchLimit, Footer, Part, Rows, Why};
use crate::table::version::{DataFile, TableVersion};

impl TableVersion {
    /// The rows in canonical order, in batches of bounded size: one file at a time, one batch in memory. Only `columns`, in
    /// the order asked for, where they are given.
    pub fn scan(
        &self,
        columns: Option<&[String]>,
        limit: BatchLimit,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
        let columns = match columns {
            Some(names) => self.positions(names)?,
            None => (0..self.schema.fields().len()).collect(),
        };
        let whole = Share {
            number: 0,
            shares: 1,
            seen: 0,
        };
        Ok(Scan::new(self, columns, limit, whole)?.filter_map(Result::transpose))
    }

    /// What [`TableVersion::scan`] gives, in so many shares that can be decoded at once: the row groups go to the shares in
    /// turn. Each share says with a `None` that a row group has ended.
    pub fn scan_shares(
        &self,
        columns: &[String],
        limit: BatchLimit,
        shares: usize,
    ) -> Result<Vec<impl Iterator<Item = Result<Option<RecordBatch>>> + Send + use<>>> {
        let columns = self.positions(columns)?;
        let share = |number| {
            Scan::new(
                self,
                columns.clone(),
                limit,
                Share {
                    number,
                    shares,
                    seen: 0,
                },
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
    dir: PathBuf,
    files: std::vec::IntoIter<DataFile>,
    schema: SchemaRef,
    columns: Vec<usize>,
    limit: BatchLimit,
    share: Share,
    file: Option<OpenFile>,
    /// The rows of the row group that is read.
    rows: Option<Rows>,
}

/// The row groups of a table whose number, modulo `shares`, is `number`.
struct Share {
    number: usize,
    shares: usize,
    /// Row groups of the files opened so far.
    seen: usize,
}

/// A file that is read, and the row groups of it that are still to come.
struct OpenFile {
    path: PathBuf,
    file: Arc<File>,
    footer: Footer,
    groups: std::vec::IntoIter<usize>,
}

impl OpenFile {
    fn broken(&self, why: Why) -> Error {
        Error::Dataset {
            dir: self.path.display().to_string(),
            why,
        }
    }
}

/// Gives a `None` after each row group.
impl Iterator for Scan {
    type Item = Result<Option<RecordBatch>>;

    fn next(&mut self) -> Option<Self::Item> {
        let advanced = caught(|| self.advance()).unwrap_or_else(|panic| {
            Err(Error::Dataset {
                dir: self.dir.display().to_string(),
                why: format!("reading it stopped with {panic:?}"),
            })
        });
        advanced.transpose()
    }
}

impl Scan {
    fn new(table: &TableVersion, columns: Vec<usize>, limit: BatchLimit, share: Share) -> Result<Self> {
        Ok(Self {
            dir: table.dir.clone(),
            files: table.files.clone().into_iter(),
            schema: Arc::new(table.schema.project(&columns)?),
            columns,
            limit,
            share,
            file: None,
            rows: None,
        })
    }

    /// The next batch, or the end of a row group; `None` at the end of the table.
    fn advance(&mut self) -> Result<Option<Option<RecordBatch>>> {
        loop {
            if let (Some(file), Some(rows)) = (&self.file, &mut self.rows) {
                let Some(batch) = rows.next().transpose().map_err(|e| file.broken(e))? else {
                    self.rows = None;
                    return Ok(Some(None));
                };
                return self.arranged(batch).map(|batch| Some(Some(batch)));
            }
            if let Some(group) = self.file.as_mut().and_then(|file| file.groups.next()) {
                self.rows = self.file.as_ref().map(|file| self.read(file, group));
            } else if let Some(file) = self.files.next() {
                self.file = Some(self.open(file)?);
            } else {
                return Ok(None);
            }
        }
    }

    fn open(&mut self, file: DataFile) -> Result<OpenFile> {
        let broken = |why: String| Error::Dataset {
            dir: file.path.display().to_string(),
            why,
        };
        let opened = File::open(&file.path).map_err(io(&file.path))?;
        let footer = Footer::read(&opened).map_err(broken)?;
        let rows = footer.row_count();
        if rows != file.rows {
            return Err(broken(format!(
                "it has {rows} rows where the table says {}",
                file.rows
            )));
        }
        let Share { number, shares, seen } = self.share;
        let groups = footer.metadata().num_row_groups();
        self.share.seen += groups;
        let mine = (0..groups).filter(|group| (seen + group) % shares == number);
        Ok(OpenFile {
            groups: mine.collect::<Vec<_>>().into_iter(),
            path: file.path,
            file: Arc::new(opened),
            footer,
        })
    }

    fn read(&self, from: &OpenFile, group: usize) -> Rows {
        // It was checked not to be negative.
        let rows = from.footer.metadata().row_group(group).num_rows() as usize;
        let part = Part { group, rows: 0..rows };
        let columns = Some(self.columns.clone());
        from.footer
            .rows(from.file.clone(), Some(part), columns, self.limit)
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
