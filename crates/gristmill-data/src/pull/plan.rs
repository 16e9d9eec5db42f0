//! Cuts a query into key ranges by stepping along the key.

use crate::error::{Error, Result};
use crate::key::{Bounds, Key, KeyRange};
use crate::source::Source;

/// Finds one key range after the other: disjoint, ordered, together complete. Equal keys never straddle two ranges;
/// the rows whose key is null are one last range.
#[derive(Debug)]
pub struct Planner {
    rows: u64,
    next: Next,
    number: u64,
}

#[derive(Debug)]
enum Next {
    After(Option<Key>),
    Null,
    Nothing,
}

impl Planner {
    /// Plans ranges of `rows` rows (more only where a key has more), after the range `resume_after`; the first is number `next_number`.
    pub fn new(rows: u64, resume_after: Option<Bounds>, next_number: u64) -> Self {
        let next = match resume_after {
            None => Next::After(None),
            Some(Bounds::Between { until, .. }) => Next::After(Some(until)),
            Some(Bounds::Null) => Next::Nothing,
        };
        Self {
            rows: rows.max(1),
            next,
            number: next_number,
        }
    }

    /// The next range, or `None` after the last. Any connection that reads from the same snapshot can be asked.
    pub async fn next(&mut self, source: &dyn Source) -> Result<Option<KeyRange>> {
        if let Next::After(after) = &self.next {
            match source.boundary(after.as_ref(), self.rows).await? {
                Some(until) => {
                    // A key that compares as greater than itself would be planned for ever.
                    if after.as_ref() == Some(&until) {
                        return Err(Error::Query {
                            why: format!(
                                "stepping along the key stands still at {until}; \
                                 give the key one type with a CAST in source.query"
                            ),
                        });
                    }
                    let after = after.clone();
                    return Ok(Some(self.reached(after, until)));
                }
                None => self.next = Next::Null,
            }
        }
        if let Next::Null = self.next {
            let some = source.has_null_keys().await?;
            self.next = Next::Nothing;
            if some {
                return Ok(Some(self.numbered(Bounds::Null)));
            }
        }
        Ok(None)
    }

    /// The number of the next range and the key that it begins after, while there are keys to step along.
    pub(super) fn frontier(&self) -> Option<(u64, Option<Key>)> {
        match &self.next {
            Next::After(after) => Some((self.number, after.clone())),
            Next::Null | Next::Nothing => None,
        }
    }

    /// The next range, whose last key was found.
    pub(super) fn reached(&mut self, after: Option<Key>, until: Key) -> KeyRange {
        self.next = Next::After(Some(until.clone()));
        self.numbered(Bounds::Between { after, until })
    }

    /// There are no rows with a key any more, as was found by reading on.
    pub(super) fn end_of_keys(&mut self) {
        self.next = Next::Null;
    }

    /// Rows of a range.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of the next range.
    pub fn next_number(&self) -> u64 {
        self.number
    }

    fn numbered(&mut self, bounds: Bounds) -> KeyRange {
        let number = self.number;
        self.number += 1;
        KeyRange { number, bounds }
    }
}
