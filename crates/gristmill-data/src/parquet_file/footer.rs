//! The footer as bytes. Parquet's reader makes room for as many elements as a list in it promises, so a damaged length would
//! have it ask for more memory than there is, which ends the process. Hence every length is looked at before.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, ParquetOffsetIndex,
};

use super::positioned::Positioned;

/// The length of the footer and the signature, at the end of the file.
const TAIL: u64 = 8;
const SIGNATURE: &[u8; 4] = b"PAR1";

/// Structures within structures: Parquet has fewer than ten.
const DEEPEST: u32 = 32;

// Of Thrift's compact protocol.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// The number of `schema` in `FileMetaData`, and of `num_children` in `SchemaElement`.
const SCHEMA: i16 = 2;
const CHILDREN: i16 = 5;

/// Reads the footer; returns it with the size of the file.
pub(super) fn read(file: &File) -> Result<(ParquetMetaData, u64), String> {
    let no_parquet = || "it is no Parquet file, or its end is missing".to_owned();
    let io = |error: std::io::Error| error.to_string();
    let size = file.metadata().map_err(io)?.len();
    let at = size.checked_sub(TAIL).ok_or_else(no_parquet)?;
    let mut tail = [0; TAIL as usize];
    file.read_exact_at(&mut tail, at).map_err(io)?;
    let (length, signature) = tail.split_at(4);
    if signature == b"PARE" {
        return Err("it is encrypted, which cannot be read here".to_owned());
    }
    if signature != SIGNATURE {
        return Err(no_parquet());
    }
    let length = length
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let at = at
        .checked_sub(length)
        .ok_or_else(|| format!("its footer is said to have {length} bytes, and all of it has {size}"))?;
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, at).map_err(io)?;
    Walk(&bytes)
        .file()
        .ok_or_else(|| "its footer is damaged".to_owned())?;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes).map_err(|error| error.to_string())?;
    Ok((metadata, size))
}

/// Refuses a footer that promises what a file of this size cannot hold.
pub(super) fn check(metadata: &ParquetMetaData, size: u64) -> Result<(), String> {
    let mut rows = 0_i64;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let damaged = |what: &str| format!("its footer is damaged: row group {number} {what}");
        rows = Some(group.num_rows())
            .filter(|rows| *rows >= 0)
            .and_then(|more| rows.checked_add(more))
            .ok_or_else(|| damaged("has an impossible number of rows"))?;
        if group.total_byte_size() < 0 {
            return Err(damaged("has an impossible size"));
        }
        for column in group.columns() {
            let start = column
                .dictionary_page_offset()
                .unwrap_or(column.data_page_offset());
            let end = u64::try_from(start)
                .ok()
                .zip(u64::try_from(column.compressed_size()).ok())
                .and_then(|(start, length)| start.checked_add(length));
            if end.is_none_or(|end| end > size) {
                return Err(damaged(&format!(
                    "has column {} outside of the file",
                    column.column_path()
                )));
            }
        }
    }
    let promised = metadata.file_metadata().num_rows();
    if rows != promised {
        return Err(format!(
            "its footer is damaged: it promises {promised} rows, and its row groups {rows}"
        ));
    }
    Ok(())
}

/// The offset index: where the pages of each column begin, and how large their texts are. `None` where the file has none, or
/// it is damaged: it is of use, and not needed.
pub(super) fn pages(file: &Arc<File>, metadata: &ParquetMetaData, size: u64) -> Option<ParquetOffsetIndex> {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let place = |column: &ColumnChunkMetaData| {
        let start = u64::try_from(column.offset_index_offset()?).ok()?;
        let length = u64::try_from(column.offset_index_length()?).ok()?;
        Some(start..start.checked_add(length).filter(|end| *end <= size)?)
    };
    let places: Vec<Range<u64>> = columns.map(place).collect::<Option<_>>()?;
    let start = places.iter().map(|place| place.start).min()?;
    let end = places.iter().map(|place| place.end).max()?;
    // Writers put them one behind the other. Of pieces far apart, all between them would be read.
    let together: u64 = places.iter().map(|place| place.end - place.start).sum();
    if end - start > together.saturating_mul(2) {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(end - start).ok()?];
    file.read_exact_at(&mut bytes, start).ok()?;
    for place in places {
        let piece = bytes.get((place.start - start) as usize..(place.end - start) as usize)?;
        Walk(piece).skip(STRUCT, DEEPEST)?;
    }
    let mut reader = ParquetMetaDataReader::new_with_metadata(metadata.clone())
        .with_offset_index_policy(PageIndexPolicy::Optional);
    reader.read_page_indexes(&Positioned(file.clone())).ok()?;
    let indexed = reader.finish().ok()?;
    indexed.into_builder().take_offset_index()
}

/// Walks over a footer without keeping anything of it; `None` where a length does not fit.
struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    fn file(mut self) -> Option<()> {
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            if id == SCHEMA && kind == LIST {
                self.schema()?;
            } else {
                self.skip(kind, DEEPEST)?;
            }
        }
        Some(())
    }

    /// The columns, of which none has more children than there are columns.
    fn schema(&mut self) -> Option<()> {
        let (count, kind) = self.list()?;
        for _ in 0..count {
            if kind != STRUCT {
                return None;
            }
            let mut id = 0;
            while let Some(kind) = self.field(&mut id)? {
                if id == CHILDREN && kind == I32 {
                    let children = self.number()?;
                    // Of a number in zigzag, the last bit is the sign.
                    if children & 1 == 1 || children >> 1 > count {
                        return None;
                    }
                } else {
                    self.skip(kind, DEEPEST)?;
                }
            }
        }
        Some(())
    }

    fn skip(&mut self, kind: u8, deep: u32) -> Option<()> {
        let deep = deep.checked_sub(1)?;
        match kind {
            TRUE | FALSE => {}
            BYTE => drop(self.take(1)?),
            I16 | I32 | I64 => drop(self.number()?),
            DOUBLE => drop(self.take(8)?),
            BINARY => {
                let length = self.number()?;
                self.take(length)?;
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    self.element(kind, deep)?;
                }
            }
            MAP => {
                let count = self.number()?;
                if count > 0 {
                    let kinds = self.byte()?;
                    for _ in 0..count {
                        self.element(kinds >> 4, deep)?;
                        self.element(kinds & 15, deep)?;
                    }
                }
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, deep)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// A value that is not a field; of these, a boolean has a byte of its own.
    fn element(&mut self, kind: u8, deep: u32) -> Option<()> {
        match kind {
            TRUE | FALSE => self.byte().map(drop),
            _ => self.skip(kind, deep),
        }
    }

    /// The kind of the next field, whose number is put in `id`; `Some(None)` at the end of the structure.
    fn field(&mut self, id: &mut i16) -> Option<Option<u8>> {
        let byte = self.byte()?;
        let (delta, kind) = (byte >> 4, byte & 15);
        if kind == STOP {
            return Some(None);
        }
        *id = if delta == 0 {
            let number = self.number()?;
            let sign = if number & 1 == 1 { -1 } else { 0 };
            (number >> 1) as i16 ^ sign
        } else {
            id.checked_add(i16::from(delta))?
        };
        Some(Some(kind))
    }

    /// The number and kind of a list's elements, of which each has a byte at least.
    fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let count = match byte >> 4 {
            15 => self.number()?,
            count => u64::from(count),
        };
        (count <= self.0.len() as u64).then_some((count, byte & 15))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}
