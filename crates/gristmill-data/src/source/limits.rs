//! How long a server may keep silent, as its URL says.

use std::pin::pin;
use std::time::Duration;

use futures::future::poll_immediate;
use tokio::time::timeout;

use crate::error::{Error, Result};

/// The options of a URL, in seconds; 0 is no limit.
const CONNECT: &str = "connect_timeout";
const READ: &str = "read_timeout";

/// The longest silences; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    /// Until a connection and its transaction stand, with one address of the server.
    connect: Option<Duration>,
    /// Between rows of one answer. How long the first of them takes is the query's affair.
    read: Option<Duration>,
}

impl Default for Limits {
    /// Rows that few of many meet a condition of may be minutes apart.
    fn default() -> Self {
        Self {
            connect: Some(Duration::from_secs(10)),
            read: Some(Duration::from_secs(600)),
        }
    }
}

impl Limits {
    /// Takes an option of a URL; returns whether it is one of these.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let limit = match name {
            CONNECT => &mut self.connect,
            READ => &mut self.read,
            _ => return Ok(false),
        };
        let seconds = value
            .parse()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let seconds = seconds.ok_or_else(|| {
            format!("{name}={value} is no number of seconds, such as 30 or 0.5; 0 is no limit")
        })?;
        *limit = Some(seconds).filter(|seconds| !seconds.is_zero());
        Ok(true)
    }

    /// Waits for a connection to `place`, or for what is asked on it before any rows.
    pub(super) async fn connecting<T>(
        &self,
        url: &str,
        place: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        within(self.connect, work).await.unwrap_or_else(|limit| {
            Err(Error::Unavailable {
                url: url.to_owned(),
                why: format!(
                    "{place} did not answer within {} s; {CONNECT}=… in the URL allows for more seconds",
                    limit.as_secs_f64()
                ),
            })
        })
    }

    /// Waits for the next rows of an answer that has begun to come.
    pub(super) async fn next<T>(&self, url: &str, rows: impl Future<Output = T>) -> Result<T> {
        within(self.read, rows).await.map_err(|limit| Error::Lost {
            url: url.to_owned(),
            why: format!(
                "the server stopped in the middle of the rows and sent nothing for {} s; {READ}=… in the URL allows for \
                 more seconds",
                limit.as_secs_f64()
            ),
        })
    }
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Result<T, Duration> {
    let mut work = pin!(work);
    // Most rows are there already, and a timer for each would cost as much as the row.
    if let Some(done) = poll_immediate(&mut work).await {
        return Ok(done);
    }
    match limit {
        Some(limit) => timeout(limit, work).await.map_err(|_| limit),
        None => Ok(work.await),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_seconds_and_zero_is_none() {
        let seconds = |seconds| Some(Duration::from_millis(seconds));
        for (name, value, expected) in [
            (CONNECT, "3", (seconds(3_000), seconds(600_000))),
            (CONNECT, "0", (None, seconds(600_000))),
            (READ, "0.25", (seconds(10_000), seconds(250))),
        ] {
            let mut limits = Limits::default();
            assert_eq!(limits.take(name, value), Ok(true));
            assert_eq!((limits.connect, limits.read), expected, "{name}={value}");
        }
        for value in ["", "soon", "-1", "NaN", "1e400"] {
            let error = Limits::default().take(READ, value).unwrap_err();
            assert!(error.contains("is no number of seconds"), "{error}");
        }
        assert_eq!(Limits::default().take("sslmode", "1"), Ok(false));
    }
}
