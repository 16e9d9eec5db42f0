//! Reads on along an integer key: the next rows after a key, without knowing theirs.
//!
//! The server finds the rows of a range that ends at a known key with less work than the first rows after a key: it need
//! not plan for an early end, nor keep an order. So where a range reached tells how far the next one will, and the order
//! that it has from an index anyway is checked instead of asked for. The range ends after the same row either way.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::error::{Error, Result};
use crate::key::Key;
use crate::source::BatchStream;
use crate::source::postgres::Postgres;
use crate::source::postgres::order::Order;

/// So many times more rows than expected are taken in before a range is asked for anew.
const SURPLUS: (u64, u64) = (5, 4);

/// Rows that are read on.
struct Onward {
    connection: Arc<Postgres>,
    stream: BatchStream,
    after: Option<i64>,
    /// The last key that is asked for; `None` where the server is to find it.
    guess: Option<i64>,
    /// Rows that the range is to have.
    wanted: u64,
    /// Rows that came, and of these the ones of the range.
    came: u64,
    taken: u64,
    /// The key of the first row and that of the last.
    first: Option<i64>,
    last: Option<i64>,
}

impl Postgres {
    /// The next `rows` rows after a key, and those with the key of the last of them, in the order of the key. They end with
    /// [`Error::Disorder`] where they did not come so; when they are asked for again, they will.
    pub(super) async fn onward(self: &Arc<Self>, after: Option<&Key>, rows: u64) -> Result<BatchStream> {
        let start = match after {
            Some(Key::Int(start)) => Some(*start),
            _ => None,
        };
        let guess = start.and_then(|start| start.checked_add(self.query.density.keys(rows)?));
        let stream = match (after, guess) {
            (Some(after), Some(guess)) => self.up_to(after, &Key::Int(guess), most(rows)).await?,
            _ => self.first(after, rows).await?,
        };
        let onward = Onward {
            connection: self.clone(),
            stream,
            after: start,
            guess,
            wanted: rows,
            came: 0,
            taken: 0,
            first: None,
            last: None,
        };
        let next = |mut onward: Onward| async move { Ok(onward.next().await?.map(|rows| (rows, onward))) };
        Ok(stream::try_unfold(onward, next).boxed())
    }

    /// The first rows after a key, and those with the key of the last of them.
    async fn first(&self, after: Option<&Key>, rows: u64) -> Result<BatchStream> {
        let condition = after.is_none().then(|| self.query.not_null(0));
        let bounds: Vec<_> = after.into_iter().map(|key| (">", "after", key)).collect();
        self.copy(condition, &bounds, Order::FirstByKey(rows)).await
    }

    /// The rows between two keys as they come, but no more than so many.
    async fn up_to(&self, after: &Key, until: &Key, most: u64) -> Result<BatchStream> {
        let bounds = [(">", "after", after), ("<=", "until", until)];
        self.copy(None, &bounds, Order::AsTheyCome(most)).await
    }
}

impl Onward {
    /// The next rows of the range.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(rows) = self.stream.try_next().await? {
                let taken = self.take(&rows)?;
                if taken > 0 {
                    return Ok(Some(rows.slice(0, taken)));
                }
            } else if !self.went_on().await? {
                return Ok(None);
            }
        }
    }

    /// Checks the keys of rows that came, and says how many of the rows are of the range.
    fn take(&mut self, rows: &RecordBatch) -> Result<usize> {
        let keys = cast(rows.column(self.connection.query.key[0]), &DataType::Int64)?;
        let keys = keys.as_primitive::<Int64Type>();
        self.first = self.first.or(keys.iter().flatten().next());
        let mut taken = 0_u64;
        for key in keys.iter() {
            if self.guess.is_none() {
                taken += 1;
            } else if key.is_none_or(|key| self.last.is_some_and(|last| key < last)) {
                self.connection.query.density.unordered();
                return Err(Error::Disorder);
            } else if self.taken + taken < self.wanted
                || (self.came == self.taken + taken && self.last == key)
            {
                taken += 1;
            }
            self.came += 1;
            self.last = key.or(self.last);
        }
        self.taken += taken;
        Ok(taken as usize)
    }

    /// Goes on where the rows asked for were too few; false where the range is at its end.
    async fn went_on(&mut self) -> Result<bool> {
        let density = &self.connection.query.density;
        let Some(guess) = self.guess.take() else {
            let before = self.after.or(self.first.and_then(|first| first.checked_sub(1)));
            if let (Some(before), Some(last)) = (before, self.last) {
                density.learn(last.abs_diff(before), self.came);
            }
            return Ok(false);
        };
        if self.came >= most(self.wanted) {
            density.missed();
            return Err(Error::Disorder);
        }
        if self.taken < self.wanted {
            let missing = self.wanted - self.taken;
            self.stream = self.connection.first(Some(&Key::Int(guess)), missing).await?;
            return Ok(true);
        }
        if let Some(after) = self.after {
            density.learn(guess.abs_diff(after), self.came);
        }
        Ok(false)
    }
}

/// Rows that are taken in of a range that is to have so many.
fn most(rows: u64) -> u64 {
    (rows.saturating_mul(SURPLUS.0) / SURPLUS.1).saturating_add(1)
}
