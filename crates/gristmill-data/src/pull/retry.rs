//! Waiting before another try: longer each time, up to a limit, and never two for the same time.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Counts the tries that failed one after the other.
#[derive(Debug)]
pub(super) struct Backoff {
    failed: u32,
    most: u32,
}

impl Backoff {
    /// Allows for `most` tries after the first.
    pub(super) fn new(most: u32) -> Self {
        Self { failed: 0, most }
    }

    /// A try failed: waits for the next, or says that there is none.
    pub(super) async fn wait(&mut self) -> bool {
        if self.failed == self.most {
            return false;
        }
        tokio::time::sleep(delay(self.failed)).await;
        self.failed += 1;
        true
    }

    /// Whether no try failed before.
    pub(super) fn is_first(&self) -> bool {
        self.failed == 0
    }

    /// A try succeeded.
    pub(super) fn reset(&mut self) {
        self.failed = 0;
    }
}

/// Between half of an exponential and all of it.
fn delay(failed: u32) -> Duration {
    // The hasher of nothing, which is of another seed each time.
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    let whole = FIRST.saturating_mul(1 << failed.min(16)).min(LONGEST);
    whole.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_a_limit_and_differ() {
        for (failed, whole) in [(0, 100), (3, 800), (6, 6_400), (7, 10_000), (40, 10_000)] {
            let whole = Duration::from_millis(whole);
            let delays: Vec<_> = (0..20).map(|_| delay(failed)).collect();
            assert!(
                delays.iter().all(|delay| *delay >= whole / 2 && *delay <= whole),
                "{delays:?}"
            );
            assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
        }
    }

    #[tokio::test]
    async fn tries_are_counted_from_the_last_success() {
        let mut backoff = Backoff::new(1);
        assert!(backoff.wait().await);
        assert!(!backoff.wait().await);
        backoff.reset();
        assert!(backoff.wait().await);
    }
}
