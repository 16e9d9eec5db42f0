//! How densely an integer key is filled with rows, as the ranges before had it.

use std::sync::{Mutex, PoisonError};

/// Guesses that may be wrong before no more are made.
const MISSES: u32 = 3;

/// How many rows lie among so many keys, as the last range of any connection had it.
#[derive(Debug, Default)]
pub(super) struct Density(Mutex<Learnt>);

#[derive(Debug, Default, Clone, Copy)]
struct Learnt {
    keys: u64,
    rows: u64,
    /// Guesses that were wrong.
    misses: u32,
}

impl Density {
    /// Among how many keys so many rows are expected to lie; `None` where nothing is known.
    pub(super) fn keys(&self, rows: u64) -> Option<i64> {
        let learnt = self.learnt(|learnt| *learnt);
        if learnt.rows == 0 || learnt.misses >= MISSES {
            return None;
        }
        let keys = u128::from(rows) * u128::from(learnt.keys) / u128::from(learnt.rows);
        i64::try_from(keys.max(1)).ok()
    }

    pub(super) fn learn(&self, keys: u64, rows: u64) {
        self.learnt(|learnt| (learnt.keys, learnt.rows) = (keys, rows));
    }

    /// Rows were many more than expected: what is known does not hold here.
    pub(super) fn missed(&self) {
        self.learnt(|learnt| {
            (learnt.keys, learnt.rows) = (0, 0);
            learnt.misses += 1;
        });
    }

    /// Rows do not come in the order of the key unless that is asked for.
    pub(super) fn unordered(&self) {
        self.learnt(|learnt| learnt.misses = MISSES);
    }

    fn learnt<T>(&self, what: impl FnOnce(&mut Learnt) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_guessed_until_that_fails_too_often() {
        let density = Density::default();
        assert_eq!(density.keys(100), None);
        density.learn(3_000, 1_000);
        assert_eq!(density.keys(100), Some(300));
        // Of keys that have many rows each, one at least.
        density.learn(1, 1_000);
        assert_eq!(density.keys(100), Some(1));
        density.learn(u64::MAX, 1);
        assert_eq!(density.keys(100), None);
        for _ in 0..MISSES {
            density.learn(10, 10);
            assert_eq!(density.keys(100), Some(100));
            density.missed();
            assert_eq!(density.keys(100), None);
        }
        density.learn(10, 10);
        assert_eq!(density.keys(100), None);
    }

    #[test]
    fn without_an_order_nothing_is_guessed_any_more() {
        let density = Density::default();
        density.learn(10, 10);
        assert_eq!(density.keys(5), Some(5));
        density.unordered();
        density.learn(10, 10);
        assert_eq!(density.keys(5), None);
    }
}
