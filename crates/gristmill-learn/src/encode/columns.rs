//! Which column a bucket is: a lookup whose size follows from the buckets there are, not from those the hash could fill.

/// No column: the bucket was left out.
const ABSENT: u32 = u32::MAX;
/// A table of all buckets is kept where there are at most so many for each that has a column.
const MOST_EMPTY: u64 = 16;

/// The columns of buckets. The table of a hash of 24 bits has 64 MB, however few buckets a model has.
#[derive(Debug, Clone)]
pub(crate) enum Columns {
    /// Bucket → column, or [`ABSENT`].
    Table(Vec<u32>),
    /// Buckets that differ only in so many low bits share a cell.
    Cells {
        shift: u32,
        /// Where each cell starts in `sorted`, and where the last one ends.
        cells: Vec<u32>,
        /// Bucket and column, by bucket.
        sorted: Vec<(u32, u32)>,
    },
}

impl Columns {
    /// The columns of these buckets, in their order; `None` where one is there twice or not below `2^bits`.
    pub(crate) fn new(buckets: &[u32], bits: u32) -> Option<Self> {
        if buckets.len() > 1 << bits {
            return None;
        }
        if 1 << bits > MOST_EMPTY * buckets.len() as u64 {
            return Self::cells(buckets, bits);
        }
        let mut table = vec![ABSENT; 1 << bits];
        for (bucket, column) in buckets.iter().zip(0..) {
            let place = table.get_mut(*bucket as usize)?;
            if std::mem::replace(place, column) != ABSENT {
                return None;
            }
        }
        Some(Self::Table(table))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Table(table) => size_of_val(table.as_slice()),
            Self::Cells { cells, sorted, .. } => {
                size_of_val(cells.as_slice()) + size_of_val(sorted.as_slice())
            }
        }
    }

    fn cells(buckets: &[u32], bits: u32) -> Option<Self> {
        let mut sorted: Vec<(u32, u32)> = buckets.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        let distinct = sorted.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let below = sorted.last().is_none_or(|(last, _)| u64::from(*last) < 1 << bits);
        if !distinct || !below {
            return None;
        }
        // Two to four cells a bucket: most cells hold one bucket or none.
        let cell_bits = (2 * buckets.len()).next_power_of_two().ilog2().min(bits);
        let shift = bits - cell_bits;
        let mut cells = Vec::with_capacity((1 << cell_bits) + 1);
        let mut start = 0;
        for cell in 0..=1_u32 << cell_bits {
            while sorted
                .get(start)
                .is_some_and(|(bucket, _)| bucket >> shift < cell)
            {
                start += 1;
            }
            cells.push(start as u32);
        }
        Some(Self::Cells { shift, cells, sorted })
    }

    /// The column of a bucket below `2^bits`, if it has one.
    #[inline]
    pub(crate) fn of(&self, bucket: u32) -> Option<u32> {
        match self {
            Self::Table(table) => Some(table[bucket as usize]).filter(|column| *column != ABSENT),
            Self::Cells { shift, cells, sorted } => {
                let cell = (bucket >> shift) as usize;
                let cell = &sorted[cells[cell] as usize..cells[cell + 1] as usize];
                let place = cell.binary_search_by_key(&bucket, |(bucket, _)| *bucket);
                place.ok().map(|place| cell[place].1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_is_found_and_no_other() {
        let spread: Vec<u32> = (0..3000).map(|i| i * 40_503 % (1 << 16)).collect();
        let crowded: Vec<u32> = (0..300).rev().collect();
        let all: Vec<u32> = (0..1 << 16).collect();
        for buckets in [vec![], vec![65_535], spread, crowded, all] {
            let columns = Columns::new(&buckets, 16);
            let mut expected = vec![None; 1 << 16];
            for (bucket, column) in buckets.iter().zip(0..) {
                expected[*bucket as usize] = Some(column);
            }
            for bucket in 0..1 << 16 {
                let found = columns.as_ref().and_then(|columns| columns.of(bucket));
                assert_eq!(found, expected[bucket as usize], "{bucket} of {}", buckets.len());
            }
        }
    }

    #[test]
    fn a_bucket_that_is_there_twice_or_beyond_the_hash_is_refused() {
        for bits in [4, 12] {
            assert!(Columns::new(&[3, 1, 3], bits).is_none());
            assert!(Columns::new(&[3, 1 << bits], bits).is_none());
            assert!(Columns::new(&[(1 << bits) - 1, 0], bits).is_some());
        }
        assert!(Columns::new(&[0; 17], 4).is_none());
    }

    #[test]
    fn the_size_follows_from_the_buckets() {
        let few = Columns::new(&[1, 9_000_000, 16_777_215], 24);
        assert!(few.is_some_and(|few| matches!(few, Columns::Cells { cells, .. } if cells.len() < 20)));
    }
}
