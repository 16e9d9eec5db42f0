//! How fast the rows of a query come: its first ranges, read for a short time and kept nowhere.

use std::time::Duration;

use futures::TryStreamExt;
use tokio::time::{Instant, timeout};

use crate::error::Result;
use crate::key::KeyRange;
use crate::prepare::{Cleaner, Dropped};
use crate::source::{Source, value_bytes};
use crate::table::to_delta;

/// So long is read at most.
const LONGEST: Duration = Duration::from_secs(2);

/// What came, over one connection.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Rows that came.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Seconds until they had come.
    pub seconds: f64,
}

/// Reads ranges one after the other, until all are read or a short time is over. Their rows are cleaned too, for what only a row
/// shows of the settings.
///
/// # Errors
/// When reading or cleaning fails.
pub async fn sample(source: &dyn Source, ranges: &[KeyRange], cleaner: &Cleaner) -> Result<Sample> {
    let started = Instant::now();
    let mut sample = Sample::default();
    let reading = async {
        for range in ranges {
            let mut rows = source.read(range).await?;
            while let Some(rows) = rows.try_next().await? {
                sample.rows += rows.num_rows() as u64;
                sample.bytes += value_bytes(&rows);
                sample.seconds = started.elapsed().as_secs_f64();
                cleaner.rows(&to_delta(&rows, cleaner.schema())?, &mut Dropped::default())?;
            }
        }
        Ok(())
    };
    match timeout(LONGEST, reading).await {
        Ok(read) => read.map(|()| sample),
        Err(_) => Ok(sample),
    }
}
