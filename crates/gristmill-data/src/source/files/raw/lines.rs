//! JSON lines, file after file: each line an object, whose values are taken as the text that stands there.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::{Reader, ReaderBuilder};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::csv_records::MAX_RECORD_BYTES;
use crate::durable::io;
use crate::error::Result;
use crate::parquet_file::BatchLimit;
use crate::settings::TextReading;
use crate::source::files::csv::{text, unpacked};
use crate::source::files::raw::text::{TEXT_ROWS, broken, text_columns, together};

/// Bytes at the start of the first file whose lines tell the columns.
const LOOKED_AT: u64 = 1 << 20;

type Text = Box<dyn Read + Send>;

/// The rows of files with the same columns.
pub(super) struct LineRows {
    schema: SchemaRef,
    limit: BatchLimit,
    reading: TextReading,
    file: Option<(PathBuf, Reader<BufReader<Lines>>)>,
    rest: VecDeque<PathBuf>,
}

impl LineRows {
    pub(super) fn open(paths: &[PathBuf], limit: BatchLimit, reading: &TextReading) -> Result<Self> {
        let mut rest: VecDeque<PathBuf> = paths.iter().cloned().collect();
        let first = rest.pop_front().unwrap_or_default();
        let rows = Self::of(&first, text(&first, unpacked(&first)?)?, limit, reading)?;
        Ok(Self { rest, ..rows })
    }

    pub(super) fn of(path: &Path, text: Text, limit: BatchLimit, reading: &TextReading) -> Result<Self> {
        let (names, text) = columns(path, text)?;
        let schema = text_columns(&names);
        Ok(Self {
            file: Some((path.to_owned(), reader(path, text, &schema, reading)?)),
            reading: reading.clone(),
            schema,
            limit,
            rest: VecDeque::new(),
        })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn of_file(&mut self) -> Option<Result<RecordBatch>> {
        let (path, reader) = self.file.as_mut()?;
        let next = || {
            let batch = reader.next()?;
            Some(batch.map_err(|error| match error {
                ArrowError::IoError(_, error) => broken(path, error),
                error => broken(
                    path,
                    format!(
                        "{}; each line is an object, whose values are text, numbers, true, false or null, and whose keys are \
                         in the first lines of the first file",
                        error.to_string().trim_start_matches("Json error: ")
                    ),
                ),
            }))
        };
        together(&self.schema, self.limit, next)
    }
}

impl Iterator for LineRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.of_file() {
                return Some(batch);
            }
            self.file = None;
            let path = self.rest.pop_front()?;
            let opened = unpacked(&path).and_then(|bytes| text(&path, bytes));
            let opened = opened.and_then(|text| reader(&path, text, &self.schema, &self.reading));
            match opened {
                Ok(reader) => self.file = Some((path, reader)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn reader(
    path: &Path,
    text: Text,
    schema: &SchemaRef,
    reading: &TextReading,
) -> Result<Reader<BufReader<Lines>>> {
    ReaderBuilder::new(schema.clone())
        // Numbers and booleans as the text that stands there, and no key that is no column.
        .with_coerce_primitive(true)
        .with_strict_mode(true)
        .with_batch_size(TEXT_ROWS)
        .build(BufReader::new(Lines::new(text, schema, reading)))
        .map_err(|error| broken(path, error))
}

/// The keys of the first lines, in the order in which they come, and the text from its start.
fn columns(path: &Path, mut text: Text) -> Result<(Vec<String>, Text)> {
    let mut start = Vec::new();
    (&mut text)
        .take(LOOKED_AT)
        .read_to_end(&mut start)
        .map_err(io(path))?;
    if start.len() as u64 == LOOKED_AT && !start.contains(&b'\n') {
        let mut line = BufReader::with_capacity(1, (&mut text).take(MAX_RECORD_BYTES));
        line.read_until(b'\n', &mut start).map_err(io(path))?;
    }
    // The last line may not be whole, unless it is the only one.
    let whole = match start.iter().rposition(|byte| *byte == b'\n') {
        Some(end) if start.len() as u64 >= LOOKED_AT => &start[..end],
        _ => &start[..],
    };
    let mut names: Vec<String> = Vec::new();
    for (number, line) in whole.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let mut line = serde_json::Deserializer::from_slice(line);
        let keys = line.deserialize_map(Keys).map_err(|error| {
            broken(
                path,
                format!("line {}: {error}; each line is an object", number + 1),
            )
        })?;
        for key in keys {
            if !names.contains(&key) {
                names.push(key);
            }
        }
    }
    if names.is_empty() {
        return Err(broken(path, "it has no rows"));
    }
    Ok((names, Box::new(Cursor::new(start).chain(text))))
}

/// The keys of an object.
struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry()? {
            keys.push(key);
        }
        Ok(keys)
    }
}

/// Text line by line: none too long, each an object without a key twice, of which a column of text has no other values.
struct Lines {
    text: BufReader<Text>,
    line: u64,
    bytes: Vec<u8>,
    /// The bytes of the line that were taken.
    taken: usize,
    /// The places of the columns, and whether they are text.
    columns: HashMap<String, (usize, bool)>,
    /// The last line that had a column.
    last: Vec<u64>,
}

impl Lines {
    fn new(text: Text, schema: &SchemaRef, reading: &TextReading) -> Self {
        let columns = schema.fields().iter().enumerate();
        Self {
            text: BufReader::new(text),
            line: 0,
            bytes: Vec::new(),
            taken: 0,
            columns: columns
                .map(|(at, field)| (field.name().clone(), (at, reading.is_text(field.name()))))
                .collect(),
            last: vec![0; schema.fields().len()],
        }
    }

    /// Reads the next line, if there is one.
    fn next(&mut self) -> io::Result<()> {
        self.bytes.clear();
        self.taken = 0;
        self.line += 1;
        let mut line = (&mut self.text).take(MAX_RECORD_BYTES + 1);
        line.read_until(b'\n', &mut self.bytes)?;
        let wrong = |why: String| Err(io::Error::other(format!("line {}: {why}", self.line)));
        if self.bytes.len() as u64 > MAX_RECORD_BYTES {
            return wrong(format!(
                "it has more than {} MB; rows as long as this can be read from Parquet",
                MAX_RECORD_BYTES >> 20
            ));
        }
        if self.bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let mut found = None;
        let row = Row {
            columns: &self.columns,
            last: &mut self.last,
            line: self.line,
            wrong: &mut found,
        };
        let mut text = serde_json::Deserializer::from_slice(&self.bytes);
        let read = text.deserialize_map(row).and_then(|()| text.end());
        match (found, read) {
            (Some(found), _) => wrong(found),
            (None, Err(error)) => wrong(format!("{error}; each line is an object")),
            (None, Ok(())) => Ok(()),
        }
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.bytes.len() {
            self.next()?;
        }
        let count = buffer.len().min(self.bytes.len() - self.taken);
        buffer[..count].copy_from_slice(&self.bytes[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// What a line must be.
struct Row<'l> {
    columns: &'l HashMap<String, (usize, bool)>,
    last: &'l mut [u64],
    line: u64,
    /// What is wrong with it, where JSON has nothing against it.
    wrong: &'l mut Option<String>,
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            // What is no column is refused where the values are read.
            let Some((at, is_text)) = self.columns.get(&key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut self.last[*at], self.line) == self.line {
                let why = format!("the key `{key}` is there twice; a column has one value a row");
                *self.wrong = Some(why);
                return Err(A::Error::custom("a key twice"));
            }
            if !is_text {
                map.next_value::<IgnoredAny>()?;
            } else if let Some(what) = map.next_value_seed(NoText)? {
                *self.wrong = Some(format!(
                    "column `{key}`: {what}, expected text; write in quotes the text that the source has"
                ));
                return Err(A::Error::custom("no text"));
            }
        }
        Ok(())
    }
}

/// Takes a value, and says what it is where it is one that has no one text. An integer has; a number with a fraction may be
/// written in many ways, and so may a boolean.
struct NoText;

impl<'de> DeserializeSeed<'de> for NoText {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoText {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(format!("{value} is a boolean")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(format!("{value} is a number that is no integer of 64 bits")))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    /// Refused where the values are read.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    /// As a list.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
