//! Work that waits for a source, and ends when it is to stop.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::Observe;

/// Grace period for closing a connection.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);

/// How often it is asked whether to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// Does the work, or gives it up when it is to stop: what is committed stays.
pub(crate) async fn unless_stopped<T>(
    observe: &dyn Observe,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let stopped = async {
        while !observe.stopping() {
            tokio::time::sleep(STOP_CHECK).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = stopped => Err(Error::Interrupted),
    }
}
