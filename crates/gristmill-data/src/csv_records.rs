//! CSV as bytes whose quotation marks are in order and whose records have a bounded length. A stray quotation mark makes one value
//! of several rows; without another one after it, of all the rest of the file, which would be read into memory.
//!
//! As RFC 4180 has it, a value in quotes ends with its closing quotation mark. Most readers go on with what stands after it, which is
//! how rows between two stray quotation marks are lost without a word. A quotation mark within a value without quotes is one of its
//! characters.

use std::fmt;
use std::io::{self, Read};
use std::sync::mpsc::Sender;

/// The bytes that a record may have. Longer values are for formats that say how long they are.
pub const MAX_RECORD_BYTES: u64 = 16 << 20;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// Bytes of CSV, as they are, until a record is malformed or too long.
pub struct Records<R> {
    bytes: R,
    delimiter: u8,
    /// Whether a quotation mark is more than any other character.
    quotes: bool,
    /// Who is told of each row that is not blank in which line it begins.
    rows: Option<Sender<u64>>,
    /// Who is told, of each row that is not blank, which of its values are nothing in quotation marks.
    empties: Option<Sender<Vec<usize>>>,
    /// Those of the row so far, the number of the value that is read, and whether its quotes hold nothing so far.
    empty: Vec<usize>,
    field: usize,
    nothing: bool,
    /// Whether the row has no byte yet.
    blank: bool,
    place: Place,
    /// The number of the line that is read, of that where the record began, and of that where the last quotes opened.
    line: u64,
    first_line: u64,
    quotes_line: u64,
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

/// What is wrong with a record, by the line where it began.
#[derive(Debug)]
pub enum Wrong {
    /// It has more bytes than it may have.
    TooLong {
        /// Where it begins.
        first_line: u64,
    },
    /// The file ends within quotes.
    Unclosed {
        /// Where they open.
        quotes_line: u64,
    },
    /// Text after a value in quotes.
    AfterQuotes {
        /// Where the text is.
        line: u64,
        /// Where the row begins.
        first_line: u64,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { first_line } => write!(
                f,
                "line {first_line}: the row that begins here has more than {} MB; is there a quotation mark (\") that none \
                 closes? Within quotes a quotation mark is written twice; rows as long as this can be read from Parquet",
                MAX_RECORD_BYTES >> 20
            ),
            Self::Unclosed { quotes_line } => write!(
                f,
                "line {quotes_line}: no quotation mark (\") closes the value that begins here, up to the end of the file; \
                 within quotes a quotation mark is written twice (\"\")"
            ),
            Self::AfterQuotes { line, first_line } => write!(
                f,
                "line {line}: text follows the quotation mark (\") that closes a value, in the row that begins in line \
                 {first_line}; a value that begins with a quotation mark is in quotes as a whole, and each quotation mark \
                 within is written twice (\"\")"
            ),
        }
    }
}

impl std::error::Error for Wrong {}

impl<R> Records<R> {
    /// The bytes of a file from its start.
    pub fn new(bytes: R, delimiter: u8) -> Self {
        Self {
            bytes,
            delimiter,
            quotes: true,
            rows: None,
            empties: None,
            empty: Vec::new(),
            field: 0,
            nothing: false,
            blank: true,
            place: Place::FieldStart,
            line: 1,
            first_line: 1,
            quotes_line: 1,
            read: 0,
            start: 0,
        }
    }

    /// The same, in which a quotation mark is a character as any other.
    pub fn without_quotes(self) -> Self {
        Self {
            quotes: false,
            ..self
        }
    }

    /// The same, which tells of each row that is not blank in which line it begins, as soon as it is read.
    pub fn telling(self, rows: Sender<u64>) -> Self {
        Self {
            rows: Some(rows),
            ..self
        }
    }

    /// The same, which tells of each row that is not blank, as soon as its end is read, which of its values are `""`.
    pub fn telling_empties(self, rows: Sender<Vec<usize>>) -> Self {
        Self {
            empties: Some(rows),
            ..self
        }
    }

    fn look(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let marked = self.read == 0 && bytes.starts_with(MARK);
        for (at, byte) in bytes.iter().enumerate().skip(if marked { MARK.len() } else { 0 }) {
            let ends_row = self.place != Place::Quotes && matches!(byte, b'\n' | b'\r');
            if self.blank && !ends_row {
                // Who does not listen any more need not know.
                let _ = self.rows.as_ref().map(|rows| rows.send(self.line));
            }
            if ends_row && !self.blank {
                self.tell_empties();
            } else if self.place != Place::Quotes && *byte == self.delimiter {
                self.value_ends();
            }
            self.blank = ends_row;
            self.nothing = match self.place {
                Place::FieldStart => self.quotes && *byte == b'"',
                Place::Quotes => self.nothing && *byte == b'"',
                _ => false,
            };
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
                (Place::FieldStart, b'"') if self.quotes => {
                    self.quotes_line = self.line;
                    Place::Quotes
                }
                (Place::QuoteInQuotes, b'"') => Place::Quotes,
                (Place::QuoteInQuotes, _) => {
                    return Err(Wrong::AfterQuotes {
                        line: self.line,
                        first_line: self.first_line,
                    });
                }
                _ => Place::Field,
            };
        }
        self.read += bytes.len() as u64;
        self.bounded(self.read)
    }

    /// Takes note of a value that ends here, if it is nothing in quotes.
    fn value_ends(&mut self) {
        if self.nothing && self.place == Place::QuoteInQuotes && self.empties.is_some() {
            self.empty.push(self.field);
        }
        self.field += 1;
    }

    /// Tells of the row that ends here.
    fn tell_empties(&mut self) {
        self.value_ends();
        self.field = 0;
        let empty = std::mem::take(&mut self.empty);
        // Who does not listen any more need not know.
        let _ = self.empties.as_ref().map(|rows| rows.send(empty));
    }

    /// Refuses a file that ends here, if that is within quotes: all rows after the quotation mark would be one value.
    fn end(&mut self) -> Result<(), Wrong> {
        if self.place == Place::Quotes {
            let quotes_line = self.quotes_line;
            return Err(Wrong::Unclosed { quotes_line });
        }
        if !self.blank {
            self.tell_empties();
            self.blank = true;
        }
        Ok(())
    }

    /// Refuses the row that was read up to here, if it is too long.
    fn bounded(&self, until: u64) -> Result<(), Wrong> {
        if until.saturating_sub(self.start) > MAX_RECORD_BYTES {
            let first_line = self.first_line;
            return Err(Wrong::TooLong { first_line });
        }
        Ok(())
    }
}

impl<R: Read> Read for Records<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        let (read, _) = buffer.split_at(count);
        let ends = count == 0 && !buffer.is_empty();
        let looked = if ends { self.end() } else { self.look(read) };
        looked.map_err(|wrong| io::Error::new(io::ErrorKind::InvalidData, wrong))?;
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
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
    fn values_that_are_nothing_in_quotes_are_told_row_by_row() {
        let long = "x".repeat(100);
        for (text, expected) in [
            ("a,\"\"\n,\n\"\",\"\"\n", vec![vec![1], vec![], vec![0, 1]]),
            ("\"\"\r\n\r\n\"\"", vec![vec![0], vec![0]]),
            ("\"\"\"\",\"\"\n", vec![vec![1]]),
            ("\"a\"\"\",\"\n\",\" \",\"\"", vec![vec![3]]),
            ("\"\",x\n\"a,\n\"\"\",\"\"\n", vec![vec![0], vec![1]]),
            (&format!("{long},\"\",{long}"), vec![vec![1]]),
            ("\u{feff}\"\",1\n", vec![vec![0]]),
            ("", vec![]),
        ] {
            // However the bytes come.
            for piece in [1, 2, 3, 1000] {
                let (tell, rows) = std::sync::mpsc::channel();
                let mut records = Records::new(text.as_bytes(), b',').telling_empties(tell);
                let mut buffer = vec![0; piece];
                // A mark is seen where it comes whole, as it does to readers with a buffer.
                if piece < 3 && text.starts_with('\u{feff}') {
                    continue;
                }
                while records.read(&mut buffer).unwrap() > 0 {}
                drop(records);
                assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{text:?} by {piece}");
            }
        }
        let (tell, rows) = std::sync::mpsc::channel();
        let mut records = Records::new("\"\",1\n".as_bytes(), b',')
            .telling_empties(tell)
            .without_quotes();
        records.read_to_end(&mut Vec::new()).unwrap();
        drop(records);
        assert_eq!(
            rows.iter().collect::<Vec<_>>(),
            [Vec::<usize>::new()],
            "plain characters"
        );
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

    /// Each text, and the lines that the message names where it is refused: that of the text after the quotes, and that where
    /// the row began.
    #[test]
    fn text_after_a_value_in_quotes_is_refused_with_its_line() {
        for (text, lines) in [
            // Of two stray quotation marks all between is one value.
            ("a,b\n1,\"x\n2,y\n3,z\"z\n4,u\n", Some((4, 2))),
            ("a,b\n1,\"x\n2,y\n3,\"z\n4,u\n", Some((4, 2))),
            ("a,b\n1,2\n\"x\" y,2\n", Some((3, 3))),
            ("a,b\n1,2\n\"x\" ,2\n", Some((3, 3))),
            ("\"a\"b\n", Some((1, 1))),
            ("\u{feff}\"a\"b\n", Some((1, 1))),
            ("a,b\r\n1,\"x\r\ny\" \r\n", Some((3, 2))),
            ("a\n\"x\\\"y\"\n", Some((2, 2))),
            ("a\n\"\"x\n", Some((2, 2))),
            ("a\n\"x\"\"y\"z", Some((2, 2))),
            ("a,b\n\"x\",\"y\"\n", None),
            ("a,b\r\n\"x\",\"y\"\r\n", None),
            ("a,b\n\"x\"\"\",\"\"\"y\"", None),
            ("a,b\n\"\",\"\"\n", None),
            ("a,b\n5\" disc, \"x\"y\n", None),
            ("a,b\n\"x\ny\",\"1,2\"", None),
        ] {
            match (outcome(text), lines) {
                (Ok(_), None) => {}
                (Err(why), Some((line, first))) => {
                    let ends = format!(
                        "line {line}: text follows the quotation mark (\") that closes a value, in the row that begins in line {first};"
                    );
                    assert!(why.starts_with(&ends), "{text:?}: {why}");
                }
                (outcome, lines) => panic!("{text:?}: {outcome:?}, {lines:?}"),
            }
        }
    }

    /// Of two rows or of all the rest of the file, in the last column or in another.
    #[test]
    fn a_file_that_ends_within_quotes_is_refused_with_the_line_where_they_opened() {
        for (text, line) in [
            ("a,b\n1,\"x\n2,y\n3,z\n", 2),
            ("a,b\n1,x\n2,\"", 3),
            ("\"", 1),
            ("a,b\n\"x\ny\",\"z\nu", 3),
            ("a\n\"x\"\"", 2),
        ] {
            let why = outcome(text).unwrap_err();
            let begins = format!("line {line}: no quotation mark (\") closes the value");
            assert!(why.starts_with(&begins), "{text:?}: {why}");
        }
        assert_eq!(outcome("a\n\"x\"\n\"y\""), Ok(3));
    }

    /// A text, and the lines where its rows begin.
    #[test]
    fn rows_are_told_with_the_lines_where_they_begin() {
        for (text, lines) in [
            ("a,b\n1,2\n\n\n3,4\n", &[1, 2, 5][..]),
            ("a,b\r\n1,2\r\n\r\n3,4", &[1, 2, 4]),
            ("\u{feff}a\n\"1\n2\"\n3\n", &[1, 2, 4]),
            ("\n\na\n1\n", &[3, 4]),
            ("a\n\"\"\n,\n \n", &[1, 2, 3, 4]),
            ("", &[]),
        ] {
            let (tell, told) = std::sync::mpsc::channel();
            let records = Records::new(text.as_bytes(), b',').telling(tell);
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(records);
            let rows = reader.byte_records().map(Result::unwrap).count();
            let told: Vec<u64> = told.try_iter().collect();
            assert_eq!((rows, told.as_slice()), (lines.len(), lines), "{text:?}");
        }
    }

    #[test]
    fn without_quotes_a_quotation_mark_is_a_character() {
        for text in ["a\n\"Weird Al\" Yankovic\n", "a\n\"x\ny", "a\n5\"\n"] {
            let mut records = Records::new(text.as_bytes(), b',').without_quotes();
            let mut read = String::new();
            records.read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
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
            let mut looked_at = 0;
            for byte in text.bytes() {
                if records.look(&[byte]).is_err() {
                    break;
                }
                looked_at += 1;
                seen.push(records.start);
            }
            for start in starts.into_iter().filter(|start| *start < looked_at) {
                prop_assert!(seen.contains(&start), "{start} of {text:?} in {seen:?}");
            }
            // How the bytes are cut does not show.
            let whole = outcome(&text);
            let mut records = Records::new(io::empty(), b',');
            let cut = text.as_bytes().chunks(chunk).find_map(|bytes| records.look(bytes).err());
            let cut = cut.or_else(|| records.end().err());
            prop_assert_eq!(whole.err(), cut.map(|wrong| wrong.to_string()));
        }
    }
}
