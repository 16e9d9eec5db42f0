//! CSV, file after file, whose every column is text.

use std::collections::VecDeque;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use arrow::array::{AsArray, RecordBatch};
use arrow::csv::{Reader, ReaderBuilder};
use arrow::datatypes::SchemaRef;

use crate::csv_quotes::{Swallowed, Swallowing};
use crate::csv_records::{MAX_RECORD_BYTES, Records};
use crate::error::Result;
use crate::parquet_file::BatchLimit;
use crate::source::files::csv::{NO_QUOTE, delimiter_of, names, null_pattern, text_of};
use crate::source::files::guess::is_typed;
use crate::source::files::location::CsvFormat;
use crate::source::files::raw::text::{TEXT_ROWS, broken, text_columns, together};

/// Bytes read at a time to find the end of the header.
const CHUNK: usize = 64 << 10;

type Text = Box<dyn Read + Send>;

/// The rows of files with the same columns.
pub(super) struct CsvRows {
    schema: SchemaRef,
    format: CsvFormat,
    limit: BatchLimit,
    /// Which columns hold numbers.
    numeric: Vec<bool>,
    file: Option<OpenFile>,
    rest: VecDeque<PathBuf>,
    found: Vec<(PathBuf, Swallowed)>,
}

struct OpenFile {
    path: PathBuf,
    delimiter: u8,
    reader: Reader<Records<Text>>,
    /// The line where each row begins.
    lines: Receiver<u64>,
    /// Whether that of the header is still to come.
    header: bool,
    swallowing: Swallowing,
}

impl CsvRows {
    pub(super) fn open(
        paths: &[PathBuf],
        format: CsvFormat,
        limit: BatchLimit,
        numeric: &[String],
    ) -> Result<Self> {
        let mut rest: VecDeque<PathBuf> = paths.iter().cloned().collect();
        let first = rest.pop_front().unwrap_or_default();
        let rows = Self::of(&first, text_of(&first, &format)?, format, limit, numeric)?;
        Ok(Self { rest, ..rows })
    }

    pub(super) fn of(
        path: &Path,
        text: Text,
        format: CsvFormat,
        limit: BatchLimit,
        numeric: &[String],
    ) -> Result<Self> {
        let (names, text) = header(path, text, &format)?;
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return Err(broken(
                    path,
                    format!("the column `{name}` occurs twice in its header"),
                ));
            }
        }
        let schema = text_columns(&names);
        Ok(Self {
            file: Some(OpenFile::new(path, text, &format, &schema)?),
            schema,
            format,
            limit,
            numeric: names.iter().map(|name| numeric.contains(name)).collect(),
            rest: VecDeque::new(),
            found: Vec::new(),
        })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows so far that look as if they had swallowed others.
    pub(super) fn swallowed(&self) -> Vec<(PathBuf, Swallowed)> {
        let mut found = self.found.clone();
        if let Some(file) = &self.file
            && let Some(swallowed) = file.swallowing.clone().found()
        {
            found.push((file.path.clone(), swallowed));
        }
        found
    }

    /// The rows of the file that is open.
    fn of_file(&mut self) -> Option<Result<RecordBatch>> {
        let file = self.file.as_mut()?;
        let (reader, path) = (&mut file.reader, &file.path);
        let next = || {
            let batch = reader.next()?;
            Some(batch.map_err(|error| broken(path, error)))
        };
        let batch = together(&self.schema, self.limit, next)?;
        if let Ok(batch) = &batch {
            file.look(batch, &self.numeric);
        }
        Some(batch)
    }

    /// Opens the next file; whether there was one.
    fn go_on(&mut self) -> Result<bool> {
        self.found = self.swallowed();
        self.file = None;
        let Some(path) = self.rest.pop_front() else {
            return Ok(false);
        };
        let (names, text) = header(&path, text_of(&path, &self.format)?, &self.format)?;
        let known: Vec<&String> = self.schema.fields().iter().map(|field| field.name()).collect();
        if names.iter().ne(known.iter().copied()) {
            let known: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
            let why = format!(
                "its columns are {}, those of the first file {}",
                names.join(", "),
                known.join(", ")
            );
            return Err(broken(&path, why));
        }
        self.file = Some(OpenFile::new(&path, text, &self.format, &self.schema)?);
        Ok(true)
    }
}

impl Iterator for CsvRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.of_file() {
                return Some(batch);
            }
            match self.go_on() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl OpenFile {
    fn new(path: &Path, text: Text, format: &CsvFormat, schema: &SchemaRef) -> Result<Self> {
        let (tell, lines) = channel();
        let delimiter = delimiter_of(path, format);
        let records = Records::new(text, delimiter).telling(tell);
        let records = if format.quotes {
            records
        } else {
            records.without_quotes()
        };
        let reader = ReaderBuilder::new(schema.clone())
            .with_header(format.header)
            .with_delimiter(delimiter)
            .with_quote(if format.quotes { b'"' } else { NO_QUOTE })
            .with_batch_size(TEXT_ROWS);
        let reader = match format.nulls.as_slice() {
            [] => reader,
            nulls => reader.with_null_regex(null_pattern(nulls)?),
        };
        let reader = reader.build(records).map_err(|error| broken(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            delimiter,
            reader,
            lines,
            header: format.header,
            swallowing: Swallowing::default(),
        })
    }

    /// Looks for rows that have swallowed others.
    fn look(&mut self, batch: &RecordBatch, numeric: &[bool]) {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| column.as_string::<i32>())
            .collect();
        if std::mem::take(&mut self.header) {
            self.lines.try_recv().ok();
        }
        for row in 0..batch.num_rows() {
            let line = self.lines.try_recv().unwrap_or_default();
            let values = columns.iter().map(|column| column.value(row));
            let breaks: u64 = values
                .clone()
                .map(|value| value.matches('\n').count() as u64)
                .sum();
            if breaks > 0 {
                // Dates and booleans are read as numbers too.
                let fits = |at: usize, text: &str| !numeric[at] || is_typed(text);
                self.swallowing
                    .look(values, self.delimiter, (line, line + breaks), fits);
            }
        }
    }
}

/// The names of the columns, and the text from its start.
fn header(path: &Path, mut text: Text, format: &CsvFormat) -> Result<(Vec<String>, Text)> {
    let (start, end) = first_record(&mut text, format.quotes).map_err(crate::durable::io(path))?;
    let mark = "\u{feff}".as_bytes();
    let record = start[..end].strip_prefix(mark).unwrap_or(&start[..end]);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter_of(path, format))
        .quoting(format.quotes)
        .has_headers(false)
        .from_reader(record);
    let mut first = csv::StringRecord::new();
    let found = reader.read_record(&mut first);
    let is_there = found.map_err(|_| {
        broken(
            path,
            "its header is not UTF-8; convert the file, for example with iconv",
        )
    })?;
    if !is_there {
        return Err(broken(path, "it is empty"));
    }
    let names = match format.header {
        true => names(&first),
        false => (1..=first.len()).map(|n| format!("column_{n}")).collect(),
    };
    Ok((
        names,
        Box::new(BufReader::with_capacity(CHUNK, Cursor::new(start).chain(text))),
    ))
}

/// The first bytes of a text, and where its first record that is not blank ends among them.
fn first_record(text: &mut Text, quotes: bool) -> io::Result<(Vec<u8>, usize)> {
    let mut start = Vec::new();
    let (mut in_quotes, mut blank, mut looked_at) = (false, true, 0);
    loop {
        while let Some(&byte) = start.get(looked_at) {
            looked_at += 1;
            match byte {
                b'"' if quotes => in_quotes = !in_quotes,
                b'\n' | b'\r' if !in_quotes && !blank => return Ok((start, looked_at)),
                b'\n' | b'\r' if !in_quotes => continue,
                _ => {}
            }
            blank = false;
        }
        let before = start.len();
        text.take(CHUNK as u64).read_to_end(&mut start)?;
        // One that is too long is refused where it is read.
        if start.len() == before || start.len() as u64 > MAX_RECORD_BYTES + CHUNK as u64 {
            let end = start.len();
            return Ok((start, end));
        }
    }
}
