//! The memory budget of a run: who holds how much of it.
//!
//! What is planned is compared, never what the process happens to hold at a moment: the same pipeline on the same data is
//! always decided in the same way. All amounts are whole megabytes (what is needed rounded up, the budget down), so that
//! the numbers of a refusal add up to the sum that was compared.

use std::sync::{Arc, Mutex, PoisonError};

use gristmill_data::budget::RowBudget;

use crate::error::{Error, Result};
use crate::shortage::{Part, Shortage};

const MEGABYTE: u64 = 1_000_000;

/// What a process holds before it has rows: the pages of the binary that were touched, the runtime, the readers and
/// writers of files. Measured at 85 to 95 MB in every stage of a run on 200 rows.
const PROCESS: u64 = 112 * MEGABYTE;
/// And for each thread: its stack, and what the allocator keeps for it.
const THREAD: u64 = MEGABYTE;
/// One part in so many of the budget is the allocator's: memory that is free and not yet given back.
const ALLOCATOR_PART: u64 = 20;

/// One part in so many of the budget is for rows on their way through a scan, within these bounds.
const ROWS_PART: u64 = 16;
const LEAST_ROWS: u64 = 8 * MEGABYTE;
const MOST_ROWS: u64 = 64 * MEGABYTE;

/// A budget that is shared out. Copies share the same account.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Where it is set.
    setting: &'static str,
    megabytes: u64,
    account: Arc<Mutex<Account>>,
}

#[derive(Debug, Default)]
struct Account {
    /// By the number of the reservation.
    parts: Vec<(u64, Part)>,
    next: u64,
}

/// A part of the budget that is taken, until this is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    number: u64,
}

/// What the rows of a pull live on, of a run's budget of so many bytes.
pub(crate) fn of_rows(bytes: u64, connections: usize) -> RowBudget {
    RowBudget::new("run.memory", bytes, process_bytes(bytes, 0), connections)
}

fn process_bytes(budget: u64, threads: usize) -> u64 {
    PROCESS + threads as u64 * THREAD + budget / ALLOCATOR_PART
}

impl Budget {
    /// A run's budget of so many bytes, of which nothing is taken.
    pub fn new(bytes: u64) -> Self {
        Self::set_by("run.memory", bytes)
    }

    /// A budget of so many bytes that is set elsewhere.
    pub fn set_by(setting: &'static str, bytes: u64) -> Self {
        Self {
            setting,
            megabytes: bytes / MEGABYTE,
            account: Arc::default(),
        }
    }

    /// A budget that is never short.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// Takes the part of a process with so many worker threads.
    ///
    /// # Errors
    /// `Memory` when the budget is too small for that.
    pub fn reserve_process(&self, threads: usize) -> Result<Held> {
        let bytes = process_bytes(self.megabytes * MEGABYTE, threads);
        self.reserve("the process", bytes)
    }

    /// Bytes that are not taken.
    pub fn left(&self) -> u64 {
        self.megabytes.saturating_sub(self.taken(|_| true)) * MEGABYTE
    }

    /// Bytes for the rows that are on their way through a scan.
    pub fn rows_in_flight(&self) -> u64 {
        (self.megabytes / ROWS_PART * MEGABYTE).clamp(LEAST_ROWS, MOST_ROWS)
    }

    /// What the values of rows may take that are not pulled.
    pub(crate) fn of_rows_at_hand(&self) -> RowBudget {
        let (all, left) = (self.megabytes * MEGABYTE, self.left());
        RowBudget::new(self.setting, all, all - left, 1)
    }

    /// Takes a part.
    ///
    /// # Errors
    /// `Memory` when so much is not left.
    pub fn reserve(&self, what: &str, bytes: u64) -> Result<Held> {
        let mut held = Held {
            budget: self.clone(),
            number: self.with(|account| {
                account.next += 1;
                account.next
            }),
        };
        held.resize(what, bytes)?;
        Ok(held)
    }

    /// The refusal of a part that is not left, and what would fit instead.
    pub fn shortage(&self, what: &str, bytes: u64, ways: Vec<String>) -> Error {
        self.shortage_beside(what, bytes, ways, |_| true)
    }

    fn shortage_beside(
        &self,
        what: &str,
        bytes: u64,
        ways: Vec<String>,
        counts: impl Fn(u64) -> bool,
    ) -> Error {
        let mut parts: Vec<Part> = self.with(|account| {
            let parts = account.parts.iter().filter(|(number, _)| counts(*number));
            parts.map(|(_, part)| part.clone()).collect()
        });
        parts.push(Part {
            what: what.to_owned(),
            megabytes: bytes.div_ceil(MEGABYTE),
        });
        Error::Memory(Shortage {
            setting: self.setting,
            megabytes: self.megabytes,
            parts,
            ways,
        })
    }

    fn taken(&self, counts: impl Fn(u64) -> bool) -> u64 {
        self.with(|account| {
            let parts = account.parts.iter().filter(|(number, _)| counts(*number));
            parts.map(|(_, part)| part.megabytes).sum()
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Account) -> T) -> T {
        f(&mut self.account.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    /// Takes so much in place of what it had.
    ///
    /// # Errors
    /// `Memory` when so much is not left; it has then what it had.
    pub fn resize(&mut self, what: &str, bytes: u64) -> Result<()> {
        let (number, megabytes) = (self.number, bytes.div_ceil(MEGABYTE));
        let others = |other: u64| other != number;
        if self.budget.taken(others).saturating_add(megabytes) > self.budget.megabytes {
            return Err(self.budget.shortage_beside(what, bytes, Vec::new(), others));
        }
        let part = Part {
            what: what.to_owned(),
            megabytes,
        };
        self.budget.with(
            |account| match account.parts.iter_mut().find(|(of, _)| *of == number) {
                Some((_, old)) => *old = part,
                None => account.parts.push((number, part)),
            },
        );
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let number = self.number;
        self.budget
            .with(|account| account.parts.retain(|(of, _)| *of != number));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The numbers of a text that are followed by ` MB`.
    fn megabytes(text: &str) -> Vec<u64> {
        let words: Vec<&str> = text.split([' ', ',', ';', ':']).collect();
        let pairs = words.windows(2).filter(|pair| pair[1] == "MB");
        pairs.map(|pair| pair[0].parse().unwrap()).collect()
    }

    proptest! {
        /// A part is refused if and only if the parts exceed the budget, and the refusal shows the numbers compared.
        #[test]
        fn what_is_refused_exceeds_the_budget_by_the_numbers_shown(
            total in 0_u64..4_000_000_000,
            parts in proptest::collection::vec(0_u64..1_500_000_000, 1..6),
        ) {
            let budget = Budget::new(total);
            let mut held: Vec<(u64, Held)> = Vec::new();
            for bytes in parts {
                let needed: u64 = held.iter().map(|(mb, _)| mb).sum::<u64>() + bytes.div_ceil(MEGABYTE);
                match budget.reserve("a part", bytes) {
                    Ok(part) => {
                        prop_assert!(needed <= total / MEGABYTE);
                        held.push((bytes.div_ceil(MEGABYTE), part));
                        prop_assert_eq!(budget.left(), (total / MEGABYTE - needed) * MEGABYTE);
                    }
                    Err(error) => {
                        prop_assert!(needed > total / MEGABYTE);
                        let shown = megabytes(&error.to_string());
                        prop_assert_eq!(shown[0], total / MEGABYTE);
                        let of_parts = &shown[1..held.len() + 2];
                        prop_assert_eq!(of_parts.iter().sum::<u64>(), needed);
                        if !held.is_empty() {
                            prop_assert_eq!(*shown.last().unwrap(), needed);
                        }
                    }
                }
            }
            held.clear();
            prop_assert_eq!(budget.left(), total / MEGABYTE * MEGABYTE);
        }
    }

    #[test]
    fn a_part_that_grows_counts_once() {
        let budget = Budget::new(100 * MEGABYTE);
        let _process = budget.reserve("the process", 60 * MEGABYTE).unwrap();
        let mut fit = budget.reserve("the fit", 10 * MEGABYTE).unwrap();
        fit.resize("the fit", 40 * MEGABYTE).unwrap();
        assert_eq!(budget.left(), 0);
        let refused = fit.resize("the fit", 40 * MEGABYTE + 1).unwrap_err().to_string();
        assert_eq!(
            refused,
            "run.memory = 100 MB is too small: the process takes 60 MB and the fit 41 MB, together 101 MB; raise it"
        );
        fit.resize("the fit", 0).unwrap();
        assert_eq!(budget.left(), 40 * MEGABYTE);
    }
}
