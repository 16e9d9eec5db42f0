//! The pages of a column, whose counts and sizes are compared with what is there before they are trusted: Parquet's reader makes
//! room for as many values as a page promises, so that a hundred bytes could ask for gigabytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;

use super::positioned::Positioned;
use super::thrift::{DEEPEST, I32, STRUCT, Walk};

/// Bytes that a page may have, decompressed. PostgreSQL has no larger value.
const MAX_PAGE_BYTES: u64 = 1 << 30;

/// Bytes that the pages of one row may have in a column, decoded: a row of lists may go on over any number of pages.
const MAX_ROW_BYTES: u64 = 1 << 30;

/// Values that a page may have. Writers begin a new one after 20,000 rows, or a megabyte.
const MAX_PAGE_VALUES: u64 = 1 << 26;

/// The bytes of a header that are read at first; statistics make some longer.
const HEADER_BYTES: u64 = 256;

/// Row groups of a file.
pub(super) struct Groups {
    pub(super) file: Arc<File>,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) groups: Vec<usize>,
}

impl RowGroups for Groups {
    fn num_rows(&self) -> usize {
        self.row_groups().map(|group| group.num_rows() as usize).sum()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(Chunks {
            file: Arc::clone(&self.file),
            metadata: Arc::clone(&self.metadata),
            groups: self.groups.clone().into_iter(),
            column,
        }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.groups.iter().map(|group| self.metadata.row_group(*group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// A column in one row group after the other.
struct Chunks {
    file: Arc<File>,
    metadata: Arc<ParquetMetaData>,
    groups: std::vec::IntoIter<usize>,
    column: usize,
}

impl Chunks {
    fn pages(&self, group: usize) -> Result<Pages> {
        let group = self.metadata.row_group(group);
        let chunk = group.column(self.column);
        check_headers(&self.file, chunk)?;
        let file = Arc::new(Positioned(Arc::clone(&self.file)));
        Ok(Pages {
            reader: SerializedPageReader::new(file, chunk, group.num_rows() as usize, None)?,
            column: chunk.column_descr_ptr(),
            longest: 0,
            row_bytes: 0,
        })
    }
}

/// The bytes of the longest text in the dictionary of a column in a row group; `None` where it has none.
pub(super) fn longest_in_dictionary(
    file: &Arc<File>,
    metadata: &Arc<ParquetMetaData>,
    group: usize,
    column: usize,
) -> Result<Option<u64>> {
    if metadata
        .row_group(group)
        .column(column)
        .dictionary_page_offset()
        .is_none()
    {
        return Ok(None);
    }
    let chunks = Chunks {
        file: Arc::clone(file),
        metadata: Arc::clone(metadata),
        groups: Vec::new().into_iter(),
        column,
    };
    let mut pages = chunks.pages(group)?;
    pages.get_next_page()?;
    Ok(Some(pages.longest))
}

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.groups.next()?;
        Some(self.pages(group).map(|pages| Box::new(pages) as _))
    }
}

impl PageIterator for Chunks {}

/// The pages of a column in one row group.
struct Pages {
    reader: SerializedPageReader<Positioned>,
    column: ColumnDescPtr,
    /// Bytes of the longest value of the dictionary.
    longest: u64,
    /// Bytes of the row that the last page ended with, in all pages so far.
    row_bytes: u64,
}

impl Pages {
    /// Takes in a page, and refuses a row that is too large. A row of lists ends only where a page says that another begins.
    fn take_in(&mut self, page: &Page) -> Result<()> {
        if let Page::DictionaryPage { buf, .. } = page {
            self.longest = longest(buf, &self.column);
            return Ok(());
        }
        if self.column.max_rep_level() == 0 {
            return Ok(());
        }
        let values = u64::from(page.num_values()).max(1);
        #[allow(deprecated, reason = "old files have it")]
        let each = match page.encoding() {
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => self.longest,
            _ => page.buffer().len() as u64 / values,
        } + 4;
        let mut row = self.row_bytes;
        let mut largest = row;
        runs(page, &self.column, |begins_rows, count| {
            row = match begins_rows {
                true => each,
                false => row.saturating_add(count.saturating_mul(each)),
            };
            largest = largest.max(row);
        });
        self.row_bytes = row;
        if largest > MAX_ROW_BYTES {
            return Err(damaged(&format!(
                "a row has more than {MAX_ROW_BYTES} bytes in one column of lists"
            )));
        }
        Ok(())
    }
}

/// The bytes of the longest value of a dictionary.
fn longest(buf: &[u8], column: &ColumnDescPtr) -> u64 {
    match column.physical_type() {
        Type::BYTE_ARRAY => {
            let (mut walk, mut longest) = (Walk(buf), 0);
            while let Some(length) = walk.take(4).and_then(|length| length.try_into().ok()) {
                let length = u64::from(u32::from_le_bytes(length));
                if walk.take(length).is_none() {
                    break;
                }
                longest = longest.max(length);
            }
            longest
        }
        Type::FIXED_LEN_BYTE_ARRAY => column.type_length().unsigned_abs().into(),
        _ => 12,
    }
}

/// Calls `f` with how many values in a row begin a row of lists, or go on with one, from the first of a page to the last whose level
/// can be read here.
fn runs(page: &Page, column: &ColumnDescPtr, f: impl FnMut(bool, u64)) {
    let bits = u64::from(16 - column.max_rep_level().leading_zeros());
    let levels = match page {
        Page::DataPageV2 {
            buf,
            rep_levels_byte_len,
            ..
        } => Walk(buf).take(u64::from(*rep_levels_byte_len)),
        Page::DataPage {
            buf,
            rep_level_encoding: Encoding::RLE,
            ..
        } => {
            let mut walk = Walk(buf);
            let length = walk.take(4).and_then(|length| length.try_into().ok());
            length.and_then(|length| walk.take(u64::from(u32::from_le_bytes(length))))
        }
        _ => None,
    };
    let _ = levels.and_then(|levels| runs_of(Walk(levels), bits, u64::from(page.num_values()), f));
}

/// The same of so many levels, in runs and in packed groups of eight; `None` where they end before.
fn runs_of(mut walk: Walk<'_>, bits: u64, mut left: u64, mut f: impl FnMut(bool, u64)) -> Option<()> {
    while left > 0 {
        let head = walk.number()?;
        let count = match head & 1 {
            0 => {
                let run = (head >> 1).min(left);
                let level = walk.take(bits.div_ceil(8))?;
                f(level.iter().all(|byte| *byte == 0), run);
                run
            }
            _ => {
                let packed = walk.take((head >> 1).checked_mul(bits)?)?;
                let count = ((head >> 1) * 8).min(left);
                for at in 0..count {
                    let mut bits = at * bits..(at + 1) * bits;
                    f(
                        !bits.any(|bit| packed[(bit / 8) as usize] >> (bit % 8) & 1 == 1),
                        1,
                    );
                }
                count
            }
        };
        // A run of nothing would never end.
        left -= Some(count).filter(|count| *count > 0)?;
    }
    Some(())
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.reader.get_next_page()?;
        if page
            .as_ref()
            .is_some_and(|page| holds(page, &self.column).is_none())
        {
            return Err(damaged("a page holds fewer values than it promises"));
        }
        if let Some(page) = &page {
            self.take_in(page)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.reader.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.reader.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.reader.at_record_boundary()
    }
}

/// What a page's header says.
#[derive(Default)]
struct Header {
    decompressed: u64,
    compressed: u64,
    /// Values of a page of data.
    values: u64,
}

/// Walks from header to header over a column in a row group, and refuses sizes and counts that its bytes cannot hold.
fn check_headers(file: &File, chunk: &ColumnChunkMetaData) -> Result<()> {
    let (mut at, length) = chunk.byte_range();
    let (end, mut values) = (at + length, 0);
    while at < end {
        let (header, header_bytes) = read_header(file, at, end)?;
        let left = end - at - header_bytes;
        if header.compressed > left {
            return Err(damaged("a page is longer than its column"));
        }
        let most = most_decompressed(chunk.compression(), header.compressed);
        if header.decompressed > most.min(MAX_PAGE_BYTES) {
            return Err(damaged(&format!(
                "a page of {} bytes cannot have {} decompressed, nor any page more than {MAX_PAGE_BYTES}",
                header.compressed, header.decompressed
            )));
        }
        values += header.values;
        if header.values > MAX_PAGE_VALUES || values > chunk.num_values().unsigned_abs() {
            return Err(damaged(
                "the pages of a column have more values than its footer promises, or one of them more than a page may have",
            ));
        }
        at += header_bytes + header.compressed;
    }
    Ok(())
}

/// The header of the page at a place, and its length.
fn read_header(file: &File, at: u64, end: u64) -> Result<(Header, u64)> {
    let mut length = HEADER_BYTES;
    loop {
        let mut bytes = vec![0; length.min(end - at) as usize];
        file.read_exact_at(&mut bytes, at)?;
        let mut walk = Walk(&bytes);
        if let Some(header) = header(&mut walk) {
            let rest = walk.0.len();
            return Ok((header, (bytes.len() - rest) as u64));
        }
        if bytes.len() as u64 == end - at {
            return Err(damaged("the header of a page cannot be read"));
        }
        length *= 8;
    }
}

/// Reads a `PageHeader`. The reader does not look at the kinds of its fields, so that another kind would lead it astray.
fn header(walk: &mut Walk<'_>) -> Option<Header> {
    const DECOMPRESSED: i16 = 2;
    const COMPRESSED: i16 = 3;
    const DATA: i16 = 5;
    const DATA_2: i16 = 8;
    let (mut header, mut id) = (Header::default(), 0);
    while let Some(kind) = walk.field(&mut id)? {
        match (id, kind) {
            (DECOMPRESSED, I32) => header.decompressed = walk.count()?,
            (COMPRESSED, I32) => header.compressed = walk.count()?,
            (DATA, STRUCT) => header.values = header.values.max(values(walk, 4)?),
            (DATA_2, STRUCT) => header.values = header.values.max(values(walk, 6)?),
            (1..=4, kind) if kind != I32 => return None,
            (5..=8, kind) if kind != STRUCT => return None,
            _ => walk.skip(kind, DEEPEST)?,
        }
    }
    Some(header)
}

/// The values of a page of data, whose header begins with so many numbers, this first.
fn values(walk: &mut Walk<'_>, numbers: i16) -> Option<u64> {
    let (mut values, mut id) = (0, 0);
    while let Some(kind) = walk.field(&mut id)? {
        match (id, kind) {
            (1, I32) => values = walk.count()?,
            (id, kind) if (1..=numbers).contains(&id) && kind != I32 => return None,
            _ => walk.skip(kind, DEEPEST)?,
        }
    }
    Some(values)
}

/// What so many bytes can become at most.
fn most_decompressed(codec: Compression, compressed: u64) -> u64 {
    let times = match codec {
        Compression::UNCOMPRESSED => return compressed,
        // 64 bytes are copied by three, 255 are told of by one more, 258 are copied by two bits.
        Compression::SNAPPY => 32,
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        Compression::GZIP(_) => 1_032,
        // These make room for what there is, and not for what is promised.
        _ => return u64::MAX,
    };
    compressed.saturating_add(64).saturating_mul(times)
}

/// Whether a page holds as many values as decoders make room for, as far as its bytes tell.
fn holds(page: &Page, column: &ColumnDescPtr) -> Option<()> {
    let values = u64::from(page.num_values());
    match page {
        Page::DictionaryPage { buf, .. } => {
            let least = match column.physical_type() {
                Type::BOOLEAN => 0,
                Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
                Type::INT64 | Type::DOUBLE => 8,
                Type::INT96 => 12,
                Type::FIXED_LEN_BYTE_ARRAY => column.type_length().unsigned_abs().into(),
            };
            (values * u64::max(least, 1) <= buf.len() as u64).then_some(())
        }
        Page::DataPage {
            buf,
            encoding,
            def_level_encoding,
            rep_level_encoding,
            ..
        } => {
            let mut walk = Walk(buf);
            let levels = [
                (column.max_rep_level(), rep_level_encoding),
                (column.max_def_level(), def_level_encoding),
            ];
            for (highest, encoding) in levels.into_iter().filter(|(highest, _)| *highest > 0) {
                let bits = u64::from(16 - highest.leading_zeros());
                #[allow(deprecated, reason = "old files have it")]
                let length = match encoding {
                    Encoding::BIT_PACKED => (values * bits).div_ceil(8),
                    _ => {
                        let length = walk.take(4)?;
                        u64::from(u32::from_le_bytes(length.try_into().ok()?))
                    }
                };
                walk.take(length)?;
            }
            deltas(walk, *encoding, values)
        }
        Page::DataPageV2 {
            buf,
            encoding,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let mut walk = Walk(buf);
            walk.take(u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len))?;
            deltas(walk, *encoding, values)
        }
    }
}

/// Whether values in one of the delta encodings are no more than there may be.
fn deltas(mut walk: Walk<'_>, encoding: Encoding, values: u64) -> Option<()> {
    // A page of nulls may have nothing.
    let runs = match encoding {
        _ if walk.0.is_empty() => 0,
        Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => 0,
    };
    for _ in 0..runs {
        let (block, blocks) = (walk.number()?, walk.number()?);
        let (count, _first) = (walk.number()?, walk.number()?);
        let of_each = block.checked_div(blocks).filter(|of_each| *of_each > 0)?;
        if count > values {
            return None;
        }
        let mut left = count.saturating_sub(1);
        while left > 0 {
            walk.number()?;
            for bits in walk.take(blocks)? {
                if left > 0 {
                    walk.take(of_each.checked_mul(u64::from(*bits))? / 8)?;
                    left = left.saturating_sub(of_each);
                }
            }
        }
    }
    Some(())
}

fn damaged(why: &str) -> ParquetError {
    ParquetError::General(why.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::super::{BatchLimit, Footer};
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let read = || -> std::result::Result<(), String> {
            let footer = Footer::read(&file)?;
            let file = Arc::new(file.try_clone().unwrap());
            let limit = BatchLimit {
                rows: 1_000,
                bytes: 1 << 20,
            };
            let mut rows = footer.rows(file, None, None, limit);
            rows.try_for_each(|rows| rows.map(drop))
        };
        read().unwrap_err()
    }

    fn seed(name: &str) -> Vec<u8> {
        let seeds = gristmill_testkit::seeds("parquet");
        seeds.into_iter().find(|(found, _)| found == name).unwrap().1
    }

    /// The file with other bytes in the place of the first that are these.
    fn forged(name: &str, from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut bytes = seed(name);
        let at = bytes.windows(from.len()).position(|found| found == from).unwrap();
        bytes.splice(at..at + from.len(), to.iter().copied());
        // What the footer says of places counts from the beginning.
        assert_eq!(from.len(), to.len());
        bytes
    }

    #[test]
    fn what_a_page_promises_is_compared_with_what_it_has() {
        let said = refused(&seed("seed-broken-dictionary-count"));
        assert!(said.contains("a page is longer than its column"), "{said}");
        for (name, from, to, why) in [
            // A dictionary of 9 values of 8 bytes has 63.
            (
                "seed-dictionary",
                &[0x4c, 0x15, 0x12][..],
                &[0x4c, 0x15, 0x7e][..],
                "holds fewer values than it promises",
            ),
            // Of 46 bytes by Snappy, 72 become 8,191.
            (
                "seed-dictionary",
                &[0x15, 0x90, 0x01, 0x15, 0x5c],
                &[0x15, 0xfe, 0x7f, 0x15, 0x5c],
                "a page of 46 bytes cannot have 8191 decompressed",
            ),
            // 20 values become 21.
            (
                "seed-plain",
                &[0x1c, 0x15, 0x28],
                &[0x1c, 0x15, 0x2a],
                "more values than its footer promises",
            ),
            // A number of 32 bits becomes one of 64.
            (
                "seed-plain",
                &[0x15, 0xcc, 0x02, 0x15],
                &[0x16, 0xcc, 0x02, 0x15],
                "the header of a page cannot be read",
            ),
            // A page of 166 bytes becomes one of 8,191.
            (
                "seed-plain",
                &[0x15, 0xcc, 0x02, 0x15, 0xcc, 0x02],
                &[0x15, 0xfe, 0x7f, 0x15, 0xfe, 0x7f],
                "a page is longer than its column",
            ),
        ] {
            let said = refused(&forged(name, from, to));
            assert!(said.contains(why), "{why}: {said}");
        }
    }

    /// A file of rows of lists, in pages of some values each; the pages of the row in the middle are small and many.
    #[test]
    fn a_row_of_lists_is_bounded_over_all_of_its_pages() {
        use arrow::array::{
            Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
        };
        use arrow::buffer::OffsetBuffer;
        use arrow::datatypes::Field;
        use parquet::arrow::ArrowWriter;
        use parquet::file::properties::{WriterProperties, WriterVersion};
        // 20,000 times one text of 64 KiB are 1.3 GB in one row, and 1 kB in the file.
        for (length, times, refused) in [(1 << 16, 20_000, true), (1 << 16, 2_000, false)] {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                let text = "x".repeat(length);
                let keys = Int32Array::from_iter_values(
                    (0..times as i32 + 2).map(|at| i32::from(at > 0 && at <= times as i32)),
                );
                let values =
                    DictionaryArray::try_new(keys, Arc::new(StringArray::from(vec!["y", text.as_str()])))
                        .unwrap();
                let item = Arc::new(Field::new("item", values.data_type().clone(), true));
                let lengths = OffsetBuffer::from_lengths([1, times, 1]);
                let lists = ListArray::new(item, lengths, Arc::new(values), None);
                let columns: [(&str, ArrayRef); 2] = [
                    ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
                    ("v", Arc::new(lists)),
                ];
                let rows = RecordBatch::try_from_iter(columns).unwrap();
                let properties = WriterProperties::builder()
                    .set_writer_version(version)
                    .set_write_batch_size(256)
                    .set_data_page_row_count_limit(1)
                    .set_data_page_size_limit(64)
                    .set_dictionary_page_size_limit(1 << 22)
                    .build();
                let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
                writer.write(&rows).unwrap();
                let bytes = writer.into_inner().unwrap();
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&bytes).unwrap();
                let footer = Footer::read(&file).unwrap();
                let metadata = Arc::new(footer.metadata().clone());
                let file = Arc::new(file);
                assert_eq!(
                    longest_in_dictionary(&file, &metadata, 0, 1).unwrap(),
                    Some(length as u64)
                );
                let chunks = Chunks {
                    file,
                    metadata,
                    groups: vec![0].into_iter(),
                    column: 1,
                };
                let mut pages = chunks.pages(0).unwrap();
                let mut begun = 0;
                let read = loop {
                    match pages.get_next_page() {
                        Ok(Some(page)) => runs(&page, &pages.column, |begins, count| {
                            begun += if begins { count } else { 0 };
                        }),
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error.to_string()),
                    }
                };
                assert_eq!(read.is_err(), refused, "{read:?}");
                assert!(refused || begun == 3, "{begun}");
            }
        }
    }

    #[test]
    fn levels_are_read_in_runs_and_groups() {
        for (bytes, bits, values, expected) in [
            // A run of 5 zeros, and one of 3 ones.
            (&[10, 0, 6, 1][..], 1, 8, Some("00000111")),
            (&[3, 0b1000_0110], 1, 8, Some("01100001")),
            (&[3, 0b1000_0110], 1, 6, Some("011000")),
            // Of two bits: 0, 1, 2, 3, 0, 0, 0, 0.
            (&[3, 0b1110_0100, 0], 2, 8, Some("01110000")),
            (&[0, 0], 1, 8, None),
            (&[10], 1, 8, None),
            (&[], 1, 8, None),
        ] {
            let mut found = String::new();
            let read = runs_of(Walk(bytes), bits, values, |begins, count| {
                found.push_str(&if begins { "0" } else { "1" }.repeat(count as usize));
            });
            assert_eq!(read.map(|()| found.as_str()), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_page_is_no_larger_than_its_codec_can_make_it() {
        for (codec, most) in [
            (Compression::UNCOMPRESSED, 10),
            (Compression::SNAPPY, 74 * 32),
            (Compression::LZ4_RAW, 74 * 256),
            (Compression::GZIP(Default::default()), 74 * 1_032),
            (Compression::ZSTD(Default::default()), u64::MAX),
        ] {
            assert_eq!(most_decompressed(codec, 10), most, "{codec}");
        }
    }

    /// Blocks of 128 values in 4 parts.
    #[test]
    fn deltas_are_no_more_than_the_values_of_their_page() {
        let run = |count: u8, rest: &[u8]| [&[0x80, 1, 4, count, 0][..], rest].concat();
        let block = [&[0, 1, 0, 0, 0][..], &[0xff; 4]].concat();
        let holds = |bytes: &[u8], encoding| deltas(Walk(bytes), encoding, 40).is_some();
        let (one, two) = (Encoding::DELTA_BINARY_PACKED, Encoding::DELTA_BYTE_ARRAY);
        for (bytes, encoding, expected) in [
            (vec![], one, true),
            (run(1, &[]), one, true),
            (run(20, &block), one, true),
            (run(40, &block), one, true),
            (run(41, &block), one, false),
            (run(20, &block[..6]), one, false),
            ([run(20, &block), run(20, &block)].concat(), two, true),
            ([run(20, &block), run(41, &block)].concat(), two, false),
            (run(20, &block), two, false),
            (vec![0x80, 1, 0, 9, 0], one, false),
            (vec![1, 4, 9, 0], one, false),
            (run(41, &[]), Encoding::PLAIN, true),
        ] {
            assert_eq!(holds(&bytes, encoding), expected, "{encoding}: {bytes:x?}");
        }
    }
}
