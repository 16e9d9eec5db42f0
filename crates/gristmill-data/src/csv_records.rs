//! CSV as bytes whose records have a bounded length: of one with a stray quotation mark, all the rest of the file would be one
//! value, and read into memory.

use std::fmt;
use std::io::{self, Read};

/// The bytes that a record may have. Longer values are for formats that say how long they are.
pub const MAX_RECORD_BYTES: u64 = 16 << 20;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// Bytes of CSV, as they are, until a record is too long.
pub struct Records<R> {
    bytes: R,
    delimiter: u8,
    place: Place,
    /// The number of the line that is read, and of that where the record began.
    line: u64,
    first_line: u64,
    /// Bytes read, and those before the record.
    read: u64,
    start: u64,
}

/// Where in a record a byte is, as the readers of CSV see it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Where a quotation mark begins a value in quotes.
    FieldStart,
    Field,
    Quotes,
    /// After a quotation mark in quotes, which ends them unless another follows.
    QuoteInQuotes,
}

/// A record that is too long, by the line where it began.
#[derive(Debug)]
struct TooLong(u64);

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: the row that begins here has more than {} MB; is there a quotation mark (\") that none closes? Within \
             quotes a quotation mark is written twice; rows as long as this can be read from Parquet",
            self.0,
            MAX_RECORD_BYTES >> 20
        )
    }
}

impl std::error::Error for TooLong {}

impl<R> Records<R> {
    /// The bytes of a file from its start.
    pub fn new(bytes: R, delimiter: u8) -> Self {
        Self {
            bytes,
            delimiter,
            place: Place::FieldStart,
            line: 1,
            first_line: 1,
            read: 0,
            start: 0,
        }
    }

    fn look(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let marked = self.read == 0 && bytes.starts_with(MARK);
        for (at, byte) in bytes.iter().enumerate().skip(if marked { MARK.len() } else { 0 }) {
            self.place = match (self.place, *byte) {
                (Place::Quotes, b'"') => Place::QuoteInQuotes,
                (Place::Quotes, b'\n') => {
                    self.line += 1;
                    Place::Quotes
                }
                (Place::Quotes, _) => Place::Quotes,
                (_, b'\n' | b'\r') => {
                    self.bounded(self.read + at as u64)?;
                    self.line += u64::from(*byte == b'\n');
                    self.first_line = self.line;
                    self.start = self.read + at as u64 + 1;
                    Place::FieldStart
                }
                (_, byte) if byte == self.delimiter => Place::FieldStart,
                (Place::FieldStart | Place::QuoteInQuotes, b'"') => Place::Quotes,
                _ => Place::Field,
            };
        }
        self.read += bytes.len() as u64;
        self.bounded(self.read)
    }

    /// Refuses the row that was read up to here, if it is too long.
    fn bounded(&self, until: u64) -> Result<(), TooLong> {
        if until.saturating_sub(self.start) > MAX_RECORD_BYTES {
            return Err(TooLong(self.first_line));
        }
        Ok(())
    }
}

impl<R: Read> Read for Records<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        let (read, _) = buffer.split_at(count);
        self.look(read)
            .map_err(|long| io::Error::new(io::ErrorKind::InvalidData, long))?;
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a reader of CSV sees through the bound.
    fn outcome(text: &str) -> Result<usize, String> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(Records::new(text.as_bytes(), b','));
        let mut rows = 0;
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|e| e.to_string())? {
            rows += 1;
        }
        Ok(rows)
    }

    #[test]
    fn a_row_that_is_too_long_names_the_line_where_it_began() {
        let long = "x".repeat(MAX_RECORD_BYTES as usize);
        for (text, line) in [
            (format!("a,b\n1,\"{long}\n2,3\n"), 2),
            (format!("a,b\r\n1,\"x\ny\"\r\n2,\"{}", "4,5\n".repeat(5 << 20)), 4),
            (format!("a,b\n1,2\n{long},3\n"), 3),
            (format!("\u{feff}\"a\nb\",b\n{long}z"), 3),
        ] {
            let error = outcome(&text).unwrap_err();
            assert!(error.starts_with(&format!("line {line}: the row")), "{error}");
        }
        // Just as long as may be; and many rows, which together are longer.
        assert_eq!(outcome(&format!("a\n{}\n", &long[..long.len() - 1])), Ok(2));
        assert_eq!(
            outcome(&"\"x\"\"\",5\" disc,\"y,\nz\"\n".repeat(1 << 20)),
            Ok(1 << 20)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// The bound sees a row begin exactly where the reader does.
        #[test]
        fn rows_begin_where_the_reader_says(text in "[a,\"\r\n]{0,40}", chunk in 1_usize..7) {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let mut record = csv::ByteRecord::new();
            let mut starts = Vec::new();
            while reader.read_byte_record(&mut record).unwrap() {
                starts.push(record.position().unwrap().byte());
            }
            let mut records = Records::new(io::empty(), b',');
            let mut seen = vec![0];
            for bytes in text.as_bytes().chunks(chunk) {
                for byte in bytes {
                    records.look(&[*byte]).unwrap();
                    seen.push(records.start);
                }
            }
            for start in starts {
                prop_assert!(seen.contains(&start), "{start} of {text:?} in {seen:?}");
            }
        }
    }
}
