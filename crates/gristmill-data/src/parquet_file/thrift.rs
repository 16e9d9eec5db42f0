//! Thrift's compact protocol, in which Parquet writes footers and page headers: read only so far that no length in it is taken on
//! trust.

/// Structures within structures: Parquet has fewer than ten.
pub(super) const DEEPEST: u32 = 32;

// Of Thrift's compact protocol.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
pub(super) const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
pub(super) const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
pub(super) const STRUCT: u8 = 12;

/// Walks over bytes without keeping anything of them; `None` where a length does not fit.
pub(super) struct Walk<'a>(pub(super) &'a [u8]);

impl<'a> Walk<'a> {
    /// Passes over a field of this kind.
    pub(super) fn skip(&mut self, kind: u8, deep: u32) -> Option<()> {
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
    pub(super) fn field(&mut self, id: &mut i16) -> Option<Option<u8>> {
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
    pub(super) fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let count = match byte >> 4 {
            15 => self.number()?,
            count => u64::from(count),
        };
        (count <= self.0.len() as u64).then_some((count, byte & 15))
    }

    /// A number as it is written: a signed one is in zigzag.
    pub(super) fn number(&mut self) -> Option<u64> {
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

    /// A number of at most 32 bits that must not be negative.
    pub(super) fn count(&mut self) -> Option<u64> {
        let number = self.number()?;
        // Of a number in zigzag, the last bit is the sign.
        (number & 1 == 0 && number >> 1 <= i32::MAX as u64).then_some(number >> 1)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// The next so many bytes.
    pub(super) fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}
