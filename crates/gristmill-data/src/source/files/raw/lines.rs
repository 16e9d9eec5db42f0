//! JSON lines, file after file: each line an object, whose values are taken as the text that stands there.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::{Reader, ReaderBuilder};
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::csv_records::MAX_RECORD_BYTES;
use crate::durable::io;
use crate::error::Result;
use crate::parquet_file::BatchLimit;
use crate::source::files::csv::unpacked;
use crate::source::files::raw::text::{TEXT_ROWS, broken, text_columns, together};

/// Bytes at the start of the first file whose lines tell the columns.
const LOOKED_AT: u64 = 1 << 20;

type Text = Box<dyn Read + Send>;

/// The rows of files with the same columns.
pub(super) struct LineRows {
    schema: SchemaRef,
    limit: BatchLimit,
    file: Option<(PathBuf, Reader<BufReader<Bounded>>)>,
    rest: VecDeque<PathBuf>,
}

impl LineRows {
    pub(super) fn open(paths: &[PathBuf], limit: BatchLimit) -> Result<Self> {
        let mut rest: VecDeque<PathBuf> = paths.iter().cloned().collect();
        let first = rest.pop_front().unwrap_or_default();
        let rows = Self::of(&first, unpacked(&first)?, limit)?;
        Ok(Self { rest, ..rows })
    }

    pub(super) fn of(path: &Path, text: Text, limit: BatchLimit) -> Result<Self> {
        let (names, text) = columns(path, text)?;
        let schema = text_columns(&names);
        Ok(Self {
            file: Some((path.to_owned(), reader(path, text, &schema)?)),
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
            Some(batch.map_err(|error| {
                let error = error.to_string();
                broken(
                    path,
                    format!(
                        "{}; each line is an object, whose values are text, numbers, true, false or null, and whose keys are \
                         in the first lines of the first file",
                        error.trim_start_matches("Json error: ")
                    ),
                )
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
            let opened = unpacked(&path).and_then(|text| reader(&path, text, &self.schema));
            match opened {
                Ok(reader) => self.file = Some((path, reader)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn reader(path: &Path, text: Text, schema: &SchemaRef) -> Result<Reader<BufReader<Bounded>>> {
    let bounded = Bounded {
        text,
        line: 1,
        bytes: 0,
    };
    ReaderBuilder::new(schema.clone())
        // Numbers and booleans as the text that stands there, and no key that is no column.
        .with_coerce_primitive(true)
        .with_strict_mode(true)
        .with_batch_size(TEXT_ROWS)
        .build(BufReader::new(bounded))
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

/// Text whose lines have a bounded length.
struct Bounded {
    text: Text,
    line: u64,
    /// Bytes of the line so far.
    bytes: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        for byte in &buffer[..read] {
            self.bytes += 1;
            if *byte == b'\n' {
                self.line += 1;
                self.bytes = 0;
            }
            if self.bytes > MAX_RECORD_BYTES {
                return Err(io::Error::other(format!(
                    "line {} has more than {} MB; rows as long as this can be read from Parquet",
                    self.line,
                    MAX_RECORD_BYTES >> 20
                )));
            }
        }
        Ok(read)
    }
}
