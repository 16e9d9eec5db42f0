//! CSV files: typed by all of their values, not by a sample, so that no later value can break what was found.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

use arrow::csv::ReaderBuilder;
use arrow::datatypes::{Field, Schema, SchemaRef};
use flate2::read::MultiGzDecoder;
use regex::Regex;

use crate::count::counted;
use crate::csv_quotes::{Swallowed, Swallowing};
use crate::csv_records::{Records, Wrong};
use crate::durable::io;
use crate::error::{Error, Result};
use crate::source::Notice;
use crate::source::files::batches::Batches;
use crate::source::files::guess::Guess;
use crate::source::files::latin1::Latin1;
use crate::source::files::location::CsvFormat;
use crate::source::files::told::{QuotedEmpties, Told, ToldColumns, Values};

/// No byte of UTF-8, for Arrow's reader, which always has a quotation mark.
pub(super) const NO_QUOTE: u8 = 0xff;

/// CSV files with the same columns.
pub(super) struct CsvFiles {
    paths: Vec<PathBuf>,
    format: CsvFormat,
    /// What is known of columns before they are read.
    told: ToldColumns,
    names: Vec<String>,
    guesses: Vec<Guess>,
    /// Of which file, and what.
    swallowed: Vec<(usize, Swallowed)>,
    rows: u64,
    bytes: u64,
}

impl CsvFiles {
    /// Reads every file once: for the types of its columns, but for those that are told, its rows, and what makes it unreadable.
    pub(super) fn open(paths: &[PathBuf], format: CsvFormat, told: ToldColumns) -> Result<Self> {
        let mut files = Self {
            paths: paths.to_vec(),
            format,
            told,
            names: Vec::new(),
            guesses: Vec::new(),
            swallowed: Vec::new(),
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
        let fields = columns.map(|(name, guess)| {
            let told = self.told.values(name);
            let kind = told.map_or_else(|| guess.data_type(), |told| told.data_type.clone());
            Field::new(name, kind, true)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// What was found in each column.
    pub(super) fn types(&self) -> Vec<String> {
        let columns = self.names.iter().zip(&self.guesses);
        let words = columns.map(|(name, guess)| match self.told.values(name) {
            Some(told) => told.words(),
            None => guess.words().to_owned(),
        });
        words.collect()
    }

    /// What is to be said of the files.
    pub(super) fn notices(&self) -> Vec<Notice> {
        let file = |number: usize| self.paths[number].display().to_string();
        let swallowed = self
            .swallowed
            .iter()
            .map(|(number, swallowed)| Notice::SwallowedRows {
                file: file(*number),
                rows: swallowed.rows,
                first_line: swallowed.first.0,
                last_line: swallowed.first.1,
            });
        let columns = self.names.iter().zip(&self.guesses);
        let columns = columns.filter(|(name, _)| self.told.values(name).is_none());
        let odd = columns.clone().filter_map(|(column, guess)| {
            let odd = guess.odd()?;
            Some(Notice::OddValues {
                column: column.clone(),
                otherwise: odd.otherwise,
                value: odd.first.value.clone(),
                file: file(odd.first.file),
                line: odd.first.line,
                odd: odd.odd,
                values: odd.values,
            })
        });
        let rewritten = columns.clone().filter_map(|(column, guess)| {
            let Some(Told::Watched { made }) = self.told.of(column) else {
                return None;
            };
            let first = guess.rewritten()?;
            Some(Notice::Rewritten {
                column: made.clone(),
                of: column.clone(),
                read_as: guess.words(),
                value: first.value.clone(),
                file: file(first.file),
                line: first.line,
            })
        });
        let commas = columns.filter_map(|(column, guess)| {
            let first = guess.decimal_comma()?;
            Some(Notice::DecimalCommas {
                column: column.clone(),
                value: first.value.clone(),
                file: file(first.file),
                line: first.line,
            })
        });
        swallowed.chain(odd).chain(rewritten).chain(commas).collect()
    }

    /// The rows of a file, with the columns at these places.
    pub(super) fn read(&self, number: usize, columns: &[usize], batch_rows: usize) -> Result<Batches> {
        let path = self.paths[number].clone();
        let mut records = self.records(&path)?;
        let mut empties = None;
        if self.told.quoted_empty {
            let (tell, rows) = channel();
            records = records.telling_empties(tell);
            empties = Some(QuotedEmpties::new(rows, columns.to_vec(), self.format.header));
        }
        let name = path.display().to_string();
        let read_with = Values::new(name.clone(), self.schema(), &self.told, None).read_with();
        let schema = Arc::new(self.schema().project(columns)?);
        let mut values = Values::new(name, schema, &self.told, empties);
        // The reader gives columns in the order of the projection.
        let reader = ReaderBuilder::new(read_with)
            .with_header(self.format.header)
            .with_delimiter(delimiter_of(&path, &self.format))
            .with_quote(if self.format.quotes { b'"' } else { NO_QUOTE })
            .with_projection(columns.to_vec())
            .with_batch_size(batch_rows);
        let reader = match self.format.nulls.as_slice() {
            [] => reader,
            nulls => reader.with_null_regex(null_pattern(nulls)?),
        };
        let reader = reader
            .build(BufReader::with_capacity(1 << 16, records))
            .map_err(|e| broken(&path, e.to_string()))?;
        Ok(Box::new(reader.map(move |batch| {
            values.of(&batch.map_err(|e| broken(&path, e.to_string()))?)
        })))
    }

    /// The bytes of a file. No row is longer than it may be.
    fn records(&self, path: &Path) -> Result<Records<Box<dyn Read + Send>>> {
        let records = Records::new(text_of(path, &self.format)?, delimiter_of(path, &self.format));
        Ok(if self.format.quotes {
            records
        } else {
            records.without_quotes()
        })
    }

    fn learn(&mut self, number: usize, path: &Path) -> Result<()> {
        // The reader of CSV counts lines otherwise where some are blank or end with two characters.
        let (tell, lines) = channel();
        let line = || lines.try_recv().unwrap_or_default();
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter_of(path, &self.format))
            .quoting(self.format.quotes)
            .has_headers(self.format.header)
            .from_reader(BufReader::with_capacity(
                1 << 16,
                self.records(path)?.telling(tell),
            ));
        let mut swallowing = Swallowing::default();
        if self.format.header {
            let header = reader.headers().map_err(|e| unreadable(path, e, line()))?;
            line();
            let names = names(header);
            check_separator(path, &names, &self.format)?;
            if number == 0 {
                self.names = names;
                self.guesses = self.names.iter().map(|name| self.guess(name)).collect();
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
            .map_err(|e| unreadable(path, e, line()))?
        {
            if self.names.is_empty() {
                self.names = (1..=record.len()).map(|n| format!("column_{n}")).collect();
                self.guesses = self.names.iter().map(|name| self.guess(name)).collect();
            }
            if record.len() != self.names.len() {
                return Err(broken(
                    path,
                    format!(
                        "it has {} a line, the first file {}",
                        counted(record.len() as u64, "field"),
                        self.names.len()
                    ),
                ));
            }
            self.take_in((number, line()), &record, &mut swallowing)?;
            self.rows += 1;
            self.bytes += record.as_slice().len() as u64;
        }
        self.swallowed
            .extend(swallowing.found().map(|found| (number, found)));
        if self.names.is_empty() {
            return Err(broken(path, "it is empty".to_owned()));
        }
        if let Some((name, _)) = self
            .format
            .types
            .iter()
            .find(|(name, _)| !self.names.contains(name))
        {
            let names = self.names.join(", ");
            return Err(broken(
                path,
                format!("it has no column `{name}`, whose type source.url gives; its columns are {names}"),
            ));
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

    fn guess(&self, column: &str) -> Guess {
        let guess = Guess::new(self.format.typed(column));
        match self.told.of(column) {
            Some(Told::Written) => guess.written(),
            Some(Told::Watched { .. }) => guess.watched(),
            Some(Told::Values(_)) | None => guess,
        }
    }

    /// Takes in the values of a row, with the number of its file and the line where it begins.
    fn take_in(
        &mut self,
        (number, line): (usize, u64),
        record: &csv::ByteRecord,
        swallowing: &mut Swallowing,
    ) -> Result<()> {
        let mut lines = 0;
        for ((value, guess), name) in record.iter().zip(&mut self.guesses).zip(&self.names) {
            let text = std::str::from_utf8(value).map_err(|_| {
                broken(
                    &self.paths[number],
                    format!(
                        "line {line}, column `{name}`: {:?} is not UTF-8; {ADD_ENCODING}",
                        String::from_utf8_lossy(&value[..value.len().min(40)])
                    ),
                )
            })?;
            if !self.format.nulls.iter().any(|null| null == text) {
                if self.told.values(name).is_none()
                    && let Some(expected) = guess.misfit(text)
                {
                    let why = format!(
                        "line {line}, column `{name}`: {text:?} is none of the {expected} that source.url says it has"
                    );
                    return Err(broken(&self.paths[number], why));
                }
                guess.learn(text, number, line);
            }
            lines += breaks(text);
        }
        if lines > 0 {
            let values = record.iter().filter_map(|value| std::str::from_utf8(value).ok());
            let delimiter = delimiter_of(&self.paths[number], &self.format);
            let fits = |column: usize, text: &str| self.guesses[column].expects(text);
            swallowing.look(values, delimiter, (line, line + lines), fits);
        }
        Ok(())
    }
}

/// What matches the empty value and these.
pub(super) fn null_pattern(nulls: &[String]) -> Result<Regex> {
    let nulls: Vec<String> = nulls.iter().map(|null| regex::escape(null)).collect();
    let pattern = Regex::new(&format!("^(?:|{})$", nulls.join("|")));
    pattern.map_err(|error| Error::FileQuery {
        why: error.to_string(),
    })
}

/// What separates the values of a line, where that is no comma.
fn separator(line: &str) -> Option<u8> {
    [b';', b'\t', b'|']
        .into_iter()
        .find(|byte| line.as_bytes().contains(byte))
}

fn shown(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "%09".to_owned(),
        other => char::from(other).to_string(),
    }
}

fn add(delimiter: u8) -> String {
    let shown = shown(delimiter);
    format!("if that separates the values, add delimiter={shown} to source.url (csv:…?delimiter={shown})")
}

/// What stands between the values of a file.
pub(super) fn delimiter_of(path: &Path, format: &CsvFormat) -> u8 {
    let name = path.to_string_lossy();
    let tabs = name.ends_with(".tsv") || name.ends_with(".tsv.gz");
    format.delimiter.unwrap_or(if tabs { b'\t' } else { b',' })
}

/// The names of a header; a column without one is called by its number.
pub(super) fn names(header: &csv::StringRecord) -> Vec<String> {
    let named = |(at, name): (usize, &str)| match name {
        "" => format!("column_{}", at + 1),
        name => name.to_owned(),
    };
    header.iter().enumerate().map(named).collect()
}

/// The line breaks in a value.
fn breaks(value: &str) -> u64 {
    value.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// The text of a file, in UTF-8 if its format is told.
pub(super) fn text_of(path: &Path, format: &CsvFormat) -> Result<Box<dyn Read + Send>> {
    let bytes = text(path, unpacked(path)?)?;
    Ok(match format.latin1 {
        true => Box::new(Latin1::new(bytes)),
        false => bytes,
    })
}

/// How files begin that are no text of one byte or more a character, and what is to be done with them.
const NO_TEXT: [(&[u8], &str); 9] = [
    (
        b"\x1f\x8b",
        "it is packed by gzip; give it a name that ends in .gz",
    ),
    (
        b"PK\x03\x04",
        "it is a zip file, as those of spreadsheets are; unpack it, or save the sheet as CSV",
    ),
    (b"PAR1", "it is a Parquet file; parquet: and its path reads it"),
    (b"\x28\xb5\x2f\xfd", "it is packed by zstd; unpack it"),
    (b"BZh", "it is packed by bzip2; unpack it"),
    (b"\xfd7zXZ\0", "it is packed by xz; unpack it"),
    (b"\xff\xfe\0\0", UTF_32),
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
];
const UTF_16: &str = "it is UTF-16; convert it, with iconv -f UTF-16 -t UTF-8";
const UTF_32: &str = "it is UTF-32; convert it, with iconv -f UTF-32 -t UTF-8";

/// The text, unless its first bytes say that it is none, or none of UTF-8 or one byte a character.
pub(super) fn text(path: &Path, mut bytes: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>> {
    let mut start = Vec::with_capacity(8);
    (&mut bytes).take(8).read_to_end(&mut start).map_err(io(path))?;
    if let Some((_, why)) = NO_TEXT.iter().find(|(first, _)| start.starts_with(first)) {
        return Err(broken(path, (*why).to_owned()));
    }
    // Letters of UTF-16 without a mark: every second byte is zero.
    if let [a, b, c, d, ..] = start[..]
        && [(a, c), (b, d)].contains(&(0, 0))
        && start.contains(&0)
    {
        return Err(broken(path, UTF_16.to_owned()));
    }
    Ok(Box::new(Cursor::new(start).chain(bytes)))
}

/// Refuses the header of a file whose values something else separates than was said.
pub(super) fn check_separator(path: &Path, names: &[String], format: &CsvFormat) -> Result<()> {
    if let ([name], None) = (names, format.delimiter)
        && let Some(delimiter) = separator(name)
    {
        return Err(broken(
            path,
            format!(
                "its first line has no `,` in it, but `{}`; {}",
                shown(delimiter),
                add(delimiter)
            ),
        ));
    }
    Ok(())
}

/// The way out for bytes that are no UTF-8.
pub(super) const ADD_ENCODING: &str = "if the file is Latin-1 or Windows-1252, add encoding=latin1 to source.url \
    (csv:…?encoding=latin1)";

/// The bytes of a file, unpacked where its name ends in `.gz`.
pub(super) fn unpacked(path: &Path) -> Result<Box<dyn Read + Send>> {
    let file = File::open(path).map_err(io(path))?;
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if packed {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    })
}

/// What the reader of CSV says, with the line.
fn unreadable(path: &Path, error: csv::Error, line: u64) -> Error {
    let why = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!(
            "line {line} has {}, the lines before have {expected_len}",
            counted(*len, "field")
        ),
        csv::ErrorKind::Utf8 { .. } => format!("its header is not UTF-8; {ADD_ENCODING}"),
        csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|error| error.is::<Wrong>()) => format!(
            "{error}; if quotation marks are plain characters in this file, add quote=none to source.url (csv:…?quote=none)"
        ),
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
