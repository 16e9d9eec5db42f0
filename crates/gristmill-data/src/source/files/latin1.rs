//! Text of one byte a character as UTF-8: Windows-1252, of which Latin-1 is a part but for control characters that no text has.

use std::io::{self, Read};

/// Bytes read at a time.
const PIECE: usize = 1 << 14;

/// The characters of the bytes 0x80 to 0x9f, as the WHATWG's Encoding Standard has them.
const HIGH: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}',
    '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}',
    '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// UTF-8 of such text.
pub(super) struct Latin1<R> {
    bytes: R,
    /// What was read and not yet given, from a place on.
    text: String,
    given: usize,
}

impl<R> Latin1<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self {
            bytes,
            text: String::new(),
            given: 0,
        }
    }
}

impl<R: Read> Read for Latin1<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.text.len() {
            let mut piece = [0; PIECE];
            let read = self.bytes.read(&mut piece)?;
            self.text.clear();
            self.given = 0;
            self.text.extend(piece[..read].iter().map(|byte| match byte {
                0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
                byte => char::from(*byte),
            }));
        }
        let left = &self.text.as_bytes()[self.given..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_its_character() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        Latin1::new(&bytes[..]).read_to_string(&mut text).unwrap();
        let characters: Vec<char> = text.chars().collect();
        assert_eq!(characters.len(), 256);
        assert_eq!(
            (
                characters[0x41],
                characters[0xe9],
                characters[0x80],
                characters[0x9f]
            ),
            ('A', '\u{e9}', '\u{20ac}', '\u{178}')
        );
        // However little is asked for at a time.
        let mut slowly = Latin1::new(&bytes[..]);
        let mut given = Vec::new();
        let mut byte = [0];
        while slowly.read(&mut byte).unwrap() > 0 {
            given.push(byte[0]);
        }
        assert_eq!(given, text.into_bytes());
    }
}
