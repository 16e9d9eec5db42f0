//! What the process holds, as the operating system counts it.

use nix::sys::resource::{UsageWho, getrusage};

/// The largest resident set so far, in bytes.
pub fn peak_rss() -> u64 {
    // Linux counts in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss().max(0) as u64 * unit)
}
