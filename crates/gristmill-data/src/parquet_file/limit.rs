//! How many rows of a Parquet row group may be decoded at once: a record batch is bounded in rows and in bytes.

use parquet::arrow::ProjectionMask;
use parquet::basic::Type;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;

/// What a decoded record batch may have at most. A row that is larger by itself is a batch of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimit {
    /// Rows.
    pub rows: usize,
    /// Bytes of their values.
    pub bytes: u64,
}

impl BatchLimit {
    /// Rows of the row group that fit into one batch, wherever in the group it begins at a multiple of that number. Only
    /// the columns of `mask` are counted.
    ///
    /// How long texts are is known by the page where the file has an offset index with sizes, as ours have, else by the
    /// column. Without any sizes of decoded texts, those of the encoded ones stand for them, and each that a dictionary may hold has
    /// the `longest` of the dictionary of its column.
    pub(super) fn rows_of(
        self,
        row_group: &RowGroupMetaData,
        pages: Option<&Vec<OffsetIndexMetaData>>,
        mask: &ProjectionMask,
        longest: &dyn Fn(usize) -> Option<u64>,
    ) -> usize {
        let rows = row_group.num_rows().max(0) as u64;
        let wanted = row_group
            .columns()
            .iter()
            .enumerate()
            .filter(|(leaf, _)| mask.leaf_included(*leaf));
        let growth: Vec<Growth> = wanted
            .map(|(leaf, chunk)| {
                let pages = pages.and_then(|pages| pages.get(leaf));
                Growth::of(chunk, pages, rows, &|| longest(leaf))
            })
            .collect();
        let fits = |batch: u64| {
            (0..rows.div_ceil(batch)).all(|number| {
                let (from, until) = (number * batch, ((number + 1) * batch).min(rows));
                growth
                    .iter()
                    .map(|column| column.between(from, until))
                    .sum::<f64>()
                    <= self.bytes as f64
            })
        };
        let mut batch = (self.rows.max(1) as u64).min(rows.max(1));
        while batch > 1 && !fits(batch) {
            batch = batch.div_ceil(2);
        }
        batch as usize
    }
}

/// The decoded bytes of a column up to some of its rows; in between they grow evenly.
struct Growth(Vec<(u64, f64)>);

impl Growth {
    fn of(
        chunk: &ColumnChunkMetaData,
        pages: Option<&OffsetIndexMetaData>,
        rows: u64,
        longest: &dyn Fn() -> Option<u64>,
    ) -> Self {
        let values = chunk.num_values().max(0) as f64;
        if let Some(width) = width(chunk) {
            return Self::even(rows, values * width);
        }
        let by_page = pages.and_then(|pages| Self::by_page(pages, rows));
        by_page.unwrap_or_else(|| {
            let bytes = chunk
                .unencoded_byte_array_data_bytes()
                .map(|bytes| bytes.max(0) as f64);
            let bytes = bytes.unwrap_or_else(|| {
                // Pages in plain encoding, and any number of times the longest text of the dictionary.
                chunk.uncompressed_size().max(0) as f64 + values * longest().unwrap_or(0) as f64
            });
            Self::even(rows, bytes + 4.0 * values)
        })
    }

    fn even(rows: u64, bytes: f64) -> Self {
        Self(vec![(0, 0.0), (rows, bytes)])
    }

    /// `None` where the index has no sizes, or is damaged: nothing but sizes is taken from it.
    fn by_page(pages: &OffsetIndexMetaData, rows: u64) -> Option<Self> {
        let sizes = pages.unencoded_byte_array_data_bytes()?;
        let starts: Vec<u64> = pages
            .page_locations()
            .iter()
            .map(|page| page.first_row_index.max(0) as u64)
            .collect();
        let mut growth = vec![(0, 0.0)];
        let mut total = 0.0;
        for (page, bytes) in sizes.iter().enumerate() {
            let end = starts.get(page + 1).copied().unwrap_or(rows);
            let length = end.checked_sub(*starts.get(page)?)?;
            total += (*bytes).max(0) as f64 + 4.0 * length as f64;
            growth.push((end, total));
        }
        (growth.last()?.0 == rows).then_some(Self(growth))
    }

    fn between(&self, from: u64, until: u64) -> f64 {
        self.up_to(until) - self.up_to(from)
    }

    fn up_to(&self, row: u64) -> f64 {
        let at = self.0.partition_point(|(end, _)| *end < row);
        let (Some(&(end, bytes)), before) = (self.0.get(at), at.checked_sub(1)) else {
            return self.0.last().map_or(0.0, |(_, bytes)| *bytes);
        };
        match before.and_then(|before| self.0.get(before)) {
            Some(&(start, least)) if end > start => {
                least + (bytes - least) * (row - start) as f64 / (end - start) as f64
            }
            _ => bytes,
        }
    }
}

/// Bytes of a decoded value, where all have the same.
fn width(chunk: &ColumnChunkMetaData) -> Option<f64> {
    Some(match chunk.column_type() {
        Type::BOOLEAN => 0.125,
        Type::INT32 | Type::FLOAT => 4.0,
        Type::INT64 | Type::DOUBLE => 8.0,
        // A timestamp, or a decimal.
        Type::INT96 => 16.0,
        Type::FIXED_LEN_BYTE_ARRAY => f64::from(chunk.column_descr().type_length().max(16)),
        Type::BYTE_ARRAY => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray};
    use arrow::datatypes::Int32Type;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_writer::ArrowWriterOptions;
    use parquet::file::properties::{EnabledStatistics, WriterProperties};

    use super::*;
    use crate::parquet_file::Footer;

    const LIMIT: BatchLimit = BatchLimit {
        rows: 8_192,
        bytes: 1 << 20,
    };

    /// The largest batch of texts with these lengths, in rows and in bytes of text.
    fn largest(lengths: &[usize], repeated: bool, page: usize) -> (usize, usize) {
        let properties = WriterProperties::builder().set_data_page_size_limit(page).build();
        largest_of(lengths, repeated, properties)
    }

    fn largest_of(lengths: &[usize], repeated: bool, properties: WriterProperties) -> (usize, usize) {
        let texts = lengths.iter().enumerate().map(|(row, length)| {
            let unit = if repeated {
                "a".to_owned()
            } else {
                format!("{row} ")
            };
            unit.repeat(length / unit.len() + 1)[..*length].to_owned()
        });
        let columns: [(&str, ArrayRef); 2] = [
            (
                "id",
                Arc::new(Int32Array::from_iter_values(0..lengths.len() as i32)),
            ),
            ("text", Arc::new(StringArray::from_iter_values(texts))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&writer.into_inner().unwrap()).unwrap();
        let footer = Footer::read(&file).unwrap();
        let batches = footer.rows(Arc::new(file), None, None, LIMIT);
        let sizes = batches.map(|rows| {
            let texts = rows.unwrap().column(1).clone();
            let texts = texts.as_string::<i32>();
            let bytes = texts.value_offsets()[texts.len()] - texts.value_offsets()[0];
            (texts.len(), bytes as usize)
        });
        sizes.fold((0, 0), |most, size| (most.0.max(size.0), most.1.max(size.1)))
    }

    /// Of a dictionary of a few texts, without the sizes of what they become.
    #[test]
    fn a_batch_of_texts_in_a_dictionary_is_bounded_without_sizes_too() {
        for lengths in [
            vec![100_000; 2_000],
            (0..2_000)
                .map(|row| if row < 1_000 { 1 } else { 90_000 })
                .collect(),
        ] {
            let properties = WriterProperties::builder()
                .set_statistics_enabled(EnabledStatistics::None)
                .set_offset_index_disabled(true)
                .build();
            let (_, bytes) = largest_of(&lengths, true, properties);
            assert!(bytes <= LIMIT.bytes as usize, "{bytes}");
        }
    }

    /// A megabyte on the disk, two gigabytes in memory: more than the offsets of one array of texts can tell.
    #[test]
    fn texts_of_a_dictionary_are_never_more_than_an_array_holds() {
        let (count, length) = (8_200, 262_145);
        let text = "x".repeat(length);
        let texts = DictionaryArray::<Int32Type>::try_new(
            Int32Array::from(vec![0; count]),
            Arc::new(StringArray::from(vec![text.as_str()])),
        );
        let columns: [(&str, ArrayRef); 1] = [("text", Arc::new(texts.unwrap()))];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder()
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), rows.schema(), options).unwrap();
        writer.write(&rows).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&writer.into_inner().unwrap()).unwrap();
        let footer = Footer::read(&file).unwrap();
        let mut read = 0;
        for rows in footer.rows(Arc::new(file), None, None, LIMIT) {
            let texts = rows.unwrap().column(0).clone();
            let texts = texts.as_string::<i32>();
            assert!(texts.len() * length <= LIMIT.bytes as usize, "{}", texts.len());
            read += texts.len();
        }
        assert_eq!(read, count);
    }

    #[test]
    fn a_batch_of_texts_is_bounded_in_bytes() {
        let page = 1 << 17;
        let wide_end: Vec<usize> = (0..20_000)
            .map(|row| if row < 19_900 { 3 } else { 100_000 })
            .collect();
        let mixed: Vec<usize> = (0..5_000)
            .map(|row| if row % 50 == 0 { 60_000 } else { 5 })
            .collect();
        for (lengths, repeated) in [
            (vec![100_000; 200], false),
            // A dictionary of one text.
            (vec![100_000; 2_000], true),
            (wide_end, false),
            (mixed, false),
        ] {
            let (rows, bytes) = largest(&lengths, repeated, page);
            assert!(bytes <= LIMIT.bytes as usize, "{bytes}");
            assert!(rows < LIMIT.rows, "{rows}");
        }
        // What is larger by itself is alone.
        assert_eq!(largest(&[3_000_000; 3], false, page), (1, 3_000_000));
        // Short texts are bounded in rows alone.
        assert_eq!(largest(&vec![20; 20_000], false, page).0, LIMIT.rows);
    }
}
