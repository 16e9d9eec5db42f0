//! CSV files: typed by all of their values, not by a sample, so that no later value can break what was found.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use flate2::read::MultiGzDecoder;

use crate::csv_records::Records;
use crate::durable::io;
use crate::error::{Error, Result};
use crate::source::files::batches::Batches;
use crate::source::files::guess::Guess;

/// CSV files with the same columns.
pub(super) struct CsvFiles {
    paths: Vec<PathBuf>,
    delimiter: Option<u8>,
    header: bool,
    names: Vec<String>,
    guesses: Vec<Guess>,
    rows: u64,
    bytes: u64,
}

impl CsvFiles {
    /// Reads every file once: for the types of its columns, its rows, and what makes it unreadable.
    pub(super) fn open(paths: &[PathBuf], delimiter: Option<u8>, header: bool) -> Result<Self> {
        let mut files = Self {
            paths: paths.to_vec(),
            delimiter,
            header,
            names: Vec::new(),
            guesses: Vec::new(),
            rows: 0,
            bytes: 0,
        };
        for (number, path) in paths.iter().enumerate() {
            files.learn(number, path)?;
        }
        Ok(files)
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The bytes of all values.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn schema(&self) -> SchemaRef {
        let columns = self.names.iter().zip(&self.guesses);
        let fields = columns.map(|(name, guess)| Field::new(name, guess.data_type(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// What was found in each column.
    pub(super) fn types(&self) -> Vec<String> {
        let found = self.guesses.iter().map(|guess| match guess.data_type() {
            _ if guess.is_empty() => "text (no value)",
            DataType::Boolean => "true or false",
            DataType::Int64 => "integers",
            DataType::Float64 => "numbers",
            DataType::Date32 => "dates",
            DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamps",
            DataType::Timestamp(..) => "timestamps with zone",
            _ => "text",
        });
        found.map(str::to_owned).collect()
    }

    /// The rows of a file, with the columns at these places.
    pub(super) fn read(&self, number: usize, columns: &[usize], batch_rows: usize) -> Result<Batches> {
        let path = self.paths[number].clone();
        // The reader gives columns in the order of the projection.
        let reader = ReaderBuilder::new(self.schema())
            .with_header(self.header)
            .with_delimiter(self.delimiter_of(&path))
            .with_projection(columns.to_vec())
            .with_batch_size(batch_rows)
            .build(self.records(&path)?)
            .map_err(|e| broken(&path, e.to_string()))?;
        Ok(Box::new(reader.map(move |batch| {
            batch.map_err(|e| broken(&path, e.to_string()))
        })))
    }

    fn delimiter_of(&self, path: &Path) -> u8 {
        let name = path.to_string_lossy();
        let tabs = name.ends_with(".tsv") || name.ends_with(".tsv.gz");
        self.delimiter.unwrap_or(if tabs { b'\t' } else { b',' })
    }

    /// The bytes of a file. No row is longer than it may be.
    fn records(&self, path: &Path) -> Result<BufReader<Records<Box<dyn Read + Send>>>> {
        let records = Records::new(open(path)?, self.delimiter_of(path));
        Ok(BufReader::with_capacity(1 << 16, records))
    }

    fn learn(&mut self, number: usize, path: &Path) -> Result<()> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(self.delimiter_of(path))
            .has_headers(self.header)
            .from_reader(self.records(path)?);
        if self.header {
            let header = reader.headers().map_err(|e| unreadable(path, e))?;
            let names = names(header);
            if number == 0 {
                self.names = names;
            } else if names != self.names {
                return Err(broken(
                    path,
                    format!(
                        "its columns are {}, those of the first file {}",
                        names.join(", "),
                        self.names.join(", ")
                    ),
                ));
            }
        }
        let mut record = csv::ByteRecord::new();
        while reader
            .read_byte_record(&mut record)
            .map_err(|e| unreadable(path, e))?
        {
            if self.names.is_empty() {
                self.names = (1..=record.len()).map(|n| format!("column_{n}")).collect();
            }
            if record.len() != self.names.len() {
                return Err(broken(
                    path,
                    format!(
                        "it has {} fields a line, the first file {}",
                        record.len(),
                        self.names.len()
                    ),
                ));
            }
            self.guesses.resize_with(self.names.len(), Guess::default);
            let values = record.iter().zip(&mut self.guesses).zip(&self.names);
            for ((value, guess), name) in values {
                let text = std::str::from_utf8(value).map_err(|_| {
                    let line = record.position().map_or(0, csv::Position::line);
                    broken(
                        path,
                        format!(
                            "line {line}, column `{name}`: {:?} is not UTF-8; convert the file, for example with iconv",
                            String::from_utf8_lossy(&value[..value.len().min(40)])
                        ),
                    )
                })?;
                guess.learn(text);
            }
            self.rows += 1;
            self.bytes += record.as_slice().len() as u64;
        }
        self.guesses.resize_with(self.names.len(), Guess::default);
        if self.names.is_empty() {
            return Err(broken(path, "it is empty".to_owned()));
        }
        for (at, name) in self.names.iter().enumerate() {
            if self.names[..at].contains(name) {
                return Err(broken(
                    path,
                    format!("the column `{name}` occurs twice in its header"),
                ));
            }
        }
        Ok(())
    }
}

/// The names of a header; a column without one is called by its number.
fn names(header: &csv::StringRecord) -> Vec<String> {
    let named = |(at, name): (usize, &str)| match name {
        "" => format!("column_{}", at + 1),
        name => name.to_owned(),
    };
    header.iter().enumerate().map(named).collect()
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let file = File::open(path).map_err(io(path))?;
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if packed {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    })
}

/// What the reader of CSV says, with the line.
fn unreadable(path: &Path, error: csv::Error) -> Error {
    let why = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => format!(
            "line {} has {len} fields, the lines before have {expected_len}",
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        csv::ErrorKind::Utf8 { .. } => {
            "its header is not UTF-8; convert the file, for example with iconv".to_owned()
        }
        _ => error.to_string(),
    };
    broken(path, why)
}

fn broken(path: &Path, why: String) -> Error {
    Error::SourceFile {
        path: path.display().to_string(),
        why,
    }
}
