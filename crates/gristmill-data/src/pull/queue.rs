//! The ranges that are to be read: planned one after the other, a few ahead of those recorded, by whoever asks first.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::key::{Bounds, Key, KeyRange};
use crate::pull::plan::Planner;
use crate::source::Source;

/// So long a reader waits for another one to come to the end of a range before it plans it. What comes faster is not
/// worth two scans.
const PATIENCE: Duration = Duration::from_millis(250);

/// Hands ranges out to readers.
pub(super) struct Queue {
    work: Mutex<Work>,
    state: watch::Sender<State>,
    /// No range is handed out that is so many after the first one not recorded.
    window: u64,
}

/// Something to read.
pub(super) enum Task {
    /// A range.
    Range(KeyRange),
    /// The range after a key, whose last key is found by reading it.
    Open {
        number: u64,
        after: Option<Key>,
        rows: u64,
    },
}

impl Task {
    /// The number of the batch.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Range(range) => range.number,
            Self::Open { number, .. } => *number,
        }
    }
}

struct Work {
    planner: Planner,
    planned_all: bool,
    /// Whether the planner's next range is being read, to find its end.
    open: bool,
    /// Ranges that were planned while they were being read, because that took long.
    overtaken: BTreeMap<u64, KeyRange>,
    /// Ranges whose reading failed.
    returned: BTreeMap<u64, KeyRange>,
    /// How often reading failed, of the batches that are not read yet.
    failures: BTreeMap<u64, u32>,
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
            open: false,
            overtaken: BTreeMap::new(),
            returned: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        Self {
            work: Mutex::new(work),
            state: watch::Sender::new(state),
            window,
        }
    }

    /// The next range to read, planned over `source` where that is to do; `None` once every batch is recorded.
    ///
    /// Where the source can read on, the last range is read without planning it, which spares the database half the
    /// work. Whoever comes meanwhile waits for its end, and when that takes long, plans it.
    pub(super) async fn take(&self, source: &dyn Source) -> Result<Option<Task>> {
        let mut changes = self.state.subscribe();
        let mut waited = false;
        loop {
            let next = changes.borrow_and_update().next;
            let mut work = self.work.lock().await;
            if let Some((_, range)) = work.returned.pop_first() {
                return Ok(Some(Task::Range(range)));
            }
            let plan = !work.planned_all && work.planner.next_number() < next + self.window;
            if plan && work.open && !waited {
                drop(work);
                match timeout(PATIENCE, changes.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Ok(None),
                    Err(_) => waited = true,
                }
                continue;
            }
            let frontier = work
                .planner
                .frontier()
                .filter(|_| source.can_read_on() && !work.open);
            if let (true, Some((number, after))) = (plan, frontier) {
                work.open = true;
                let rows = work.planner.rows();
                return Ok(Some(Task::Open { number, after, rows }));
            }
            if plan {
                let range = work.planner.next(source).await?;
                let open = std::mem::take(&mut work.open);
                match range {
                    Some(range) if open && range.bounds != Bounds::Null => {
                        work.overtaken.insert(range.number, range);
                        waited = false;
                        continue;
                    }
                    // The range that is being read, if any, will turn out to have no rows.
                    Some(range) => return Ok(Some(Task::Range(range))),
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

    /// Takes note of the last key of a range that was read without knowing it, `None` where there were no rows, and
    /// gives the range.
    pub(super) async fn reached(&self, number: u64, until: Option<Key>) -> Result<Option<KeyRange>> {
        let mut work = self.work.lock().await;
        let planned = work.overtaken.remove(&number);
        let range = match (planned, until, work.planner.frontier()) {
            (Some(range), Some(until), _) if matches!(&range.bounds, Bounds::Between { until: planned, .. } if *planned == until) => {
                Some(range)
            }
            (None, Some(until), Some((next, after))) if work.open && next == number => {
                work.open = false;
                Some(work.planner.reached(after, until))
            }
            (None, None, frontier) => {
                // Who overtook it may have found the same already.
                if frontier.is_some_and(|(next, _)| next == number) {
                    work.open = false;
                    work.planner.end_of_keys();
                }
                None
            }
            (planned, until, _) => {
                return Err(Error::Query {
                    why: format!(
                        "batch {number} ends at {until:?} when it is read, and at {planned:?} when it is planned; \
                         is the query the same each time it is asked?"
                    ),
                });
            }
        };
        self.state.send_modify(|_| ());
        Ok(range)
    }

    /// Takes a task back that failed.
    pub(super) async fn give_back(&self, task: Task) {
        let mut work = self.work.lock().await;
        *work.failures.entry(task.number()).or_default() += 1;
        let range = match task {
            Task::Range(range) => Some(range),
            Task::Open { number, .. } => {
                let overtaken = work.overtaken.remove(&number);
                let frontier = work.planner.frontier();
                if frontier.is_some_and(|(next, _)| next == number) {
                    work.open = false;
                }
                overtaken
            }
        };
        work.returned.extend(range.map(|range| (range.number, range)));
        self.state.send_modify(|_| ());
    }

    /// How often reading a batch failed before it was read.
    pub(super) async fn failures(&self, number: u64) -> u32 {
        let mut work = self.work.lock().await;
        work.failures.remove(&number).unwrap_or_default()
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
