//! What the process holds, as the operating system counts it.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};

/// The largest resident set so far, in bytes.
pub fn peak_rss() -> u64 {
    // Linux counts in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss().max(0) as u64 * unit)
}

/// The resident set now, in bytes; the peak where the system does not tell.
pub fn rss() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or_else(peak_rss, |kib| kib * 1024)
}
