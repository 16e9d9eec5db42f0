//! The hash that puts an n-gram into a bucket.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// A hash of n-grams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NgramHash {
    /// MurmurHash3 x86-32 of the UTF-8 bytes with seed 0, as a signed number without its sign: what scikit-learn's `HashingVectorizer`
    /// and ONNX Runtime's `MurmurHash3` compute.
    #[serde(rename = "murmur3_32")]
    Murmur3,
    /// XXH3-64 of the UTF-8 bytes: in bundles of formats 1 and 2.
    Xxh3,
}

impl NgramHash {
    /// What a spec means that names no hash.
    pub(super) fn of_old_specs() -> Self {
        Self::Xxh3
    }

    pub(super) fn is_of_old_specs(&self) -> bool {
        *self == Self::of_old_specs()
    }

    /// The bucket of an n-gram; `mask` is one less than the number of buckets, a power of two of at most 2^31.
    #[inline]
    pub(crate) fn bucket(self, ngram: &str, mask: u32) -> u32 {
        match self {
            Self::Murmur3 => murmur3_32(ngram.as_bytes()).cast_signed().unsigned_abs() & mask,
            Self::Xxh3 => xxh3_64(ngram.as_bytes()) as u32 & mask,
        }
    }
}

/// MurmurHash3 x86-32 with seed 0, by Austin Appleby.
#[inline]
fn murmur3_32(bytes: &[u8]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let scramble = |block: u32| block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = 0_u32;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash ^= scramble(u32::from_le_bytes(last));
    }
    hash ^= bytes.len() as u32;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of the reference implementation.
    #[test]
    fn the_hashes_are_those_of_murmur3() {
        for (text, hash) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("aaaa", 0x7eee_d987),
            ("abc", 0xb3dd_93fa),
            ("Hello, world!", 0xc036_3e43),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(murmur3_32(text.as_bytes()), hash, "{text}");
        }
    }
}
