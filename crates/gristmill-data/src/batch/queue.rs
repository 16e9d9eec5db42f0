//! The ranges that are to be read: planned one after the other, a few ahead of those recorded, by whoever asks first.

use std::collections::BTreeMap;

use tokio::sync::{Mutex, watch};

use crate::batch::plan::Planner;
use crate::error::Result;
use crate::source::{KeyRange, Source};

/// Hands ranges out to readers.
pub(super) struct Queue {
    work: Mutex<Work>,
    state: watch::Sender<State>,
    /// No range is handed out that is so many after the first one not recorded.
    window: u64,
}

struct Work {
    planner: Planner,
    planned_all: bool,
    /// Ranges whose reading failed.
    returned: BTreeMap<u64, KeyRange>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The first batch not recorded.
    next: u64,
    done: bool,
}

impl Queue {
    /// The ranges of a planner.
    pub(super) fn new(planner: Planner, window: u64) -> Self {
        let state = State {
            next: planner.next_number(),
            done: false,
        };
        let work = Work {
            planner,
            planned_all: false,
            returned: BTreeMap::new(),
        };
        Self {
            work: Mutex::new(work),
            state: watch::Sender::new(state),
            window,
        }
    }

    /// The next range to read, planned over `source` where that is to do; `None` once every batch is recorded.
    pub(super) async fn take(&self, source: &dyn Source) -> Result<Option<KeyRange>> {
        let mut changes = self.state.subscribe();
        loop {
            let next = changes.borrow_and_update().next;
            let mut work = self.work.lock().await;
            if let Some((_, range)) = work.returned.pop_first() {
                return Ok(Some(range));
            }
            if !work.planned_all && work.planner.next_number() < next + self.window {
                match work.planner.next(source).await? {
                    Some(range) => return Ok(Some(range)),
                    None => work.planned_all = true,
                }
            }
            if work.planned_all && next == work.planner.next_number() {
                self.state.send_modify(|state| state.done = true);
                return Ok(None);
            }
            drop(work);
            if changes.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Takes a range back that could not be read.
    pub(super) async fn give_back(&self, range: KeyRange) {
        self.work.lock().await.returned.insert(range.number, range);
        self.state.send_modify(|_| ());
    }

    /// All batches before `next` are recorded.
    pub(super) fn recorded(&self, next: u64) {
        self.state.send_modify(|state| state.next = next);
    }

    /// Whether every batch of the query is recorded.
    pub(super) fn is_done(&self) -> bool {
        self.state.borrow().done
    }

    /// Waits until every batch of the query is recorded.
    pub(super) async fn done(&self) {
        // The sender lives as long as this does.
        let _ = self.state.subscribe().wait_for(|state| state.done).await;
    }
}
