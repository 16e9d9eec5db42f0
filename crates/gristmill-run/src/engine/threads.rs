//! How many threads work.

use std::thread::available_parallelism;

use crate::event::Warning;

/// Threads for each core that may work at most: more only wait for each other.
const THREADS_PER_CORE: usize = 4;

/// So many threads as are wanted, or as many as the machine can use, with a warning of that. No result depends on how many
/// there are.
pub(crate) fn worker_threads(wanted: usize) -> (usize, Option<Warning>) {
    let cores = available_parallelism().map_or(1, usize::from);
    let most = THREADS_PER_CORE * cores;
    if wanted <= most {
        return (wanted, None);
    }
    let warning = Warning::Threads {
        wanted,
        cores,
        used: most,
    };
    (most, Some(warning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_threads_work_than_the_machine_can_use() {
        let cores = available_parallelism().map_or(1, usize::from);
        for wanted in [1, cores, THREADS_PER_CORE * cores] {
            assert_eq!(worker_threads(wanted), (wanted, None));
        }
        for wanted in [THREADS_PER_CORE * cores + 1, 1_024 * cores] {
            let (threads, why) = worker_threads(wanted);
            assert_eq!(threads, THREADS_PER_CORE * cores);
            assert!(
                matches!(why, Some(Warning::Threads { wanted: told, used, .. }) if (told, used) == (wanted, threads))
            );
        }
    }
}
