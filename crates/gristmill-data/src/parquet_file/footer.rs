//! The footer as bytes. Parquet's reader makes room for as many elements as a list in it promises, so a damaged length would
//! have it ask for more memory than there is, which ends the process. Hence every length is looked at before.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parquet::basic::Type;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, ParquetOffsetIndex,
};

use super::positioned::Positioned;
use super::thrift::{DEEPEST, I32, LIST, STRUCT, Walk};

/// The length of the footer and the signature, at the end of the file.
const TAIL: u64 = 8;
const SIGNATURE: &[u8; 4] = b"PAR1";

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
    walk(Walk(&bytes)).ok_or_else(|| "its footer is damaged".to_owned())?;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes).map_err(|error| error.to_string())?;
    Ok((metadata, size))
}

/// Rows that a row group may have. Their number is gone through when they are divided into batches.
const MAX_GROUP_ROWS: i64 = i32::MAX as i64;

/// Bytes that a value of fixed length may have: where it is null, so many zeros stand for it in memory.
const MAX_FIXED_BYTES: i32 = 1 << 16;

/// Refuses a footer that promises what a file of this size cannot hold.
pub(super) fn check(metadata: &ParquetMetaData, size: u64) -> Result<(), String> {
    for column in metadata.file_metadata().schema_descr().columns() {
        let is_fixed = column.physical_type() == Type::FIXED_LEN_BYTE_ARRAY;
        if is_fixed && !(0..=MAX_FIXED_BYTES).contains(&column.type_length()) {
            return Err(format!(
                "its column {} has values of {} bytes each, and values of a fixed length may have {MAX_FIXED_BYTES} at most",
                column.path(),
                column.type_length()
            ));
        }
    }
    let mut rows = 0_i64;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let damaged = |what: &str| format!("its footer is damaged: row group {number} {what}");
        rows = Some(group.num_rows())
            .filter(|rows| (0..=MAX_GROUP_ROWS).contains(rows))
            .and_then(|more| rows.checked_add(more))
            .ok_or_else(|| damaged("has an impossible number of rows"))?;
        if group.total_byte_size() < 0 {
            return Err(damaged("has an impossible size"));
        }
        for column in group.columns() {
            let is_flat = column.column_descr().max_rep_level() == 0;
            if column.num_values() < 0 || is_flat && column.num_values() > group.num_rows() {
                return Err(damaged(&format!(
                    "has an impossible number of values in column {}",
                    column.column_path()
                )));
            }
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

/// Walks over the whole footer.
fn walk(mut walk: Walk<'_>) -> Option<()> {
    let mut id = 0;
    while let Some(kind) = walk.field(&mut id)? {
        match (id, kind) {
            (SCHEMA, LIST) => schema(&mut walk)?,
            (SCHEMA, _) => return None,
            _ => walk.skip(kind, DEEPEST)?,
        }
    }
    Some(())
}

/// The columns, of which none has more children than there are columns.
fn schema(walk: &mut Walk<'_>) -> Option<()> {
    let (count, kind) = walk.list()?;
    for _ in 0..count {
        if kind != STRUCT {
            return None;
        }
        let mut id = 0;
        while let Some(kind) = walk.field(&mut id)? {
            match (id, kind) {
                (CHILDREN, I32) => {
                    walk.count().filter(|children| *children <= count)?;
                }
                (CHILDREN, _) => return None,
                _ => walk.skip(kind, DEEPEST)?,
            }
        }
    }
    Some(())
}
