//! A small part of a fuzzer's work, the same each time: the seeds of a target with a few things changed.

use std::fs;

/// Numbers at which lengths and counts go wrong.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];

/// The seeds of a fuzz target, by name: valid inputs, and those that once broke it.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = crate::repository().join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut seeds: Vec<_> = paths
        .filter_map(|path| {
            let name = path
                .file_name()?
                .to_str()
                .filter(|name| name.starts_with("seed-"))?;
            Some((name.to_owned(), fs::read(&path).expect("a seed")))
        })
        .collect();
    assert!(!seeds.is_empty(), "{} has no seeds", dir.display());
    seeds.sort();
    seeds
}

/// So many inputs, each a seed with a few things changed; some of the changes put one of the pieces in.
pub fn mutations(
    seeds: &[(String, Vec<u8>)],
    pieces: &[&str],
    count: usize,
) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random(42);
    (0..count).map(move |_| {
        let mut data = seeds[random.below(seeds.len())].1.clone();
        for _ in 0..1 + random.below(4) {
            change(&mut data, seeds, pieces, &mut random);
        }
        data
    })
}

fn change(data: &mut Vec<u8>, seeds: &[(String, Vec<u8>)], pieces: &[&str], random: &mut Random) {
    let at = random.below(data.len());
    let end = (at + 1 + random.below(16)).min(data.len());
    match random.below(if pieces.is_empty() { 7 } else { 12 }) {
        _ if data.is_empty() => data.push(0),
        0 => data[at] ^= 1 << random.below(8),
        1 => data[at] = random.below(256) as u8,
        2 => drop(data.drain(at..end)),
        3 => {
            let again = data[at..end].to_vec();
            data.splice(at..at, again);
        }
        4 => data.truncate(at),
        5 => {
            let width = [1, 2, 4, 8][random.below(4)].min(data.len() - at);
            let number = NUMBERS[random.below(NUMBERS.len())];
            let little = &number.to_le_bytes()[..width];
            let big = &number.to_be_bytes()[8 - width..];
            data[at..at + width].copy_from_slice(if random.below(2) == 0 { little } else { big });
        }
        6 => {
            // The rest of another seed.
            let other = &seeds[random.below(seeds.len())].1;
            data.truncate(at);
            data.extend(&other[random.below(other.len())..]);
        }
        _ => {
            // In the place of a run of digits, letters or signs.
            let class = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_alphabetic(), *byte == b'\n');
            let first = class(&data[at]);
            let run = data[at..].iter().take_while(|byte| class(byte) == first).count();
            data.splice(at..at + run, pieces[random.below(pieces.len())].bytes());
        }
    }
}

struct Random(u64);

impl Random {
    /// A number below this one, or 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}
