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
use crate::settings::TextReading;
use crate::source::files::csv::{
    ADD_ENCODING, NO_QUOTE, check_separator, delimiter_of, names, null_pattern, text_of,
};
use crate::source::files::guess::is_typed;
use crate::source::files::location::CsvFormat;
use crate::source::files::raw::text::{TEXT_ROWS, broken, text_columns, together};
use crate::source::files::told::QuotedEmpties;

/// Bytes read at a time to find the end of the header.
const CHUNK: usize = 64 << 10;

type Text = Box<dyn Read + Send>;

/// The rows of files with the same columns.
pub(super) struct CsvRows {
    schema: SchemaRef,
    format: CsvFormat,
    limit: BatchLimit,
    reading: TextReading,
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
    empties: Option<QuotedEmpties>,
    /// Which columns are text, and which have another type.
    is_text: Vec<bool>,
    has_type: Vec<bool>,
}

impl CsvRows {
    pub(super) fn open(
        paths: &[PathBuf],
        format: CsvFormat,
        limit: BatchLimit,
        reading: &TextReading,
    ) -> Result<Self> {
        let mut rest: VecDeque<PathBuf> = paths.iter().cloned().collect();
        let first = rest.pop_front().unwrap_or_default();
        let rows = Self::of(&first, text_of(&first, &format)?, format, limit, reading)?;
        Ok(Self { rest, ..rows })
    }

    pub(super) fn of(
        path: &Path,
        text: Text,
        format: CsvFormat,
        limit: BatchLimit,
        reading: &TextReading,
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
            file: Some(OpenFile::new(path, text, &format, &schema, reading)?),
            schema,
            format,
            limit,
            reading: reading.clone(),
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
            Some(batch.map_err(|error| match error.to_string() {
                why if why.contains("UTF-8") => broken(path, format!("{why}; {ADD_ENCODING}")),
                why => broken(path, why),
            }))
        };
        let batch = together(&self.schema, self.limit, next)?;
        if let Ok(batch) = &batch {
            file.look(batch);
        }
        Some(batch.and_then(|batch| file.with_empties(&batch)))
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
        self.file = Some(OpenFile::new(
            &path,
            text,
            &self.format,
            &self.schema,
            &self.reading,
        )?);
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
    fn new(
        path: &Path,
        text: Text,
        format: &CsvFormat,
        schema: &SchemaRef,
        reading: &TextReading,
    ) -> Result<Self> {
        let (tell, lines) = channel();
        let delimiter = delimiter_of(path, format);
        let mut records = Records::new(text, delimiter).telling(tell);
        let mut empties = None;
        if reading.quoted_empty {
            let (tell, rows) = channel();
            records = records.telling_empties(tell);
            let places = (0..schema.fields().len()).collect();
            empties = Some(QuotedEmpties::new(rows, places, format.header));
        }
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
        let of_columns =
            |is: &dyn Fn(&str) -> bool| schema.fields().iter().map(|field| is(field.name())).collect();
        Ok(Self {
            path: path.to_owned(),
            delimiter,
            reader,
            lines,
            header: format.header,
            swallowing: Swallowing::default(),
            empties,
            is_text: of_columns(&|name| reading.is_text(name)),
            has_type: of_columns(&|name| reading.has_type(name)),
        })
    }

    /// The rows with what is an empty text there, and no null.
    fn with_empties(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let Some(empties) = &mut self.empties else {
            return Ok(batch.clone());
        };
        let mut columns = batch.columns().to_vec();
        empties.fill(&mut columns, batch.num_rows(), |at| self.is_text[at]);
        Ok(RecordBatch::try_new(batch.schema(), columns)?)
    }

    /// Looks for rows that have swallowed others.
    fn look(&mut self, batch: &RecordBatch) {
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
                let has_type = &self.has_type;
                let fits = |at: usize, text: &str| !has_type[at] || is_typed(text);
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
    let is_there = found.map_err(|_| broken(path, format!("its header is not UTF-8; {ADD_ENCODING}")))?;
    if !is_there {
        return Err(broken(path, "it is empty"));
    }
    let names = match format.header {
        true => {
            let names = names(&first);
            check_separator(path, &names, format)?;
            names
        }
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
