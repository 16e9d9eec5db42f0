//! What a command costs: wall time, CPU time and peak resident memory.
//!
//! The system tells these of all children of a process together, so each command runs under a process of its own: this
//! program again, which runs just the one, and writes its cost to a file.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The argument after `bench` that makes this program the one that measures.
pub(crate) const MEASURE: &str = "measure";

/// The cost of a command.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of user and system time, of the command and what it started.
    pub(crate) cpu: f64,
    /// Bytes of the largest resident set.
    pub(crate) rss: f64,
}

/// How a command ended, and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observed {
    pub(crate) cost: Cost,
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote, on both streams.
    pub(crate) said: String,
}

/// Runs a command that must succeed, and measures it.
pub(crate) fn measure(command: &[String], dir: &Path) -> Result<Cost> {
    let observed = observe(command, dir)?;
    ensure!(
        observed.code == Some(0),
        "{} failed:\n{}",
        command[0],
        observed.said
    );
    Ok(observed.cost)
}

/// Runs a command and measures it, however it ends.
pub(crate) fn observe(command: &[String], dir: &Path) -> Result<Observed> {
    let report = dir.join("cost");
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", MEASURE])
        .arg(&report)
        .args(command)
        .stdin(Stdio::null())
        .output()?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(output.status.success(), "{} failed:\n{said}", command[0]);
    let text = std::fs::read_to_string(&report)?;
    let mut words = text.split_whitespace();
    let mut next = || -> Result<f64> { Ok(words.next().context("too few numbers")?.parse()?) };
    let cost = Cost {
        wall: next()?,
        cpu: next()?,
        rss: next()?,
    };
    Ok(Observed {
        cost,
        code: words.next().map(str::parse).transpose()?,
        said,
    })
}

/// Runs one command and writes its cost.
pub(crate) fn child(report: &str, program: &str, arguments: &[String]) -> Result<()> {
    let start = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    let wall = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6;
    // Linux counts in kilobytes.
    let rss = usage.max_rss() as f64 * 1024.0;
    let code = status.code().map(|code| code.to_string()).unwrap_or_default();
    std::fs::write(report, format!("{wall} {cpu} {rss} {code}"))?;
    Ok(())
}

/// The median of each measure.
pub(crate) fn medians(costs: &[Cost]) -> Cost {
    let of = |pick: fn(&Cost) -> f64| median(costs.iter().map(pick).collect());
    Cost {
        wall: of(|cost| cost.wall),
        cpu: of(|cost| cost.cpu),
        rss: of(|cost| cost.rss),
    }
}

/// The median of some values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_each_by_itself() {
        let cost = |wall, cpu, rss| Cost { wall, cpu, rss };
        let three = [cost(3.0, 1.0, 5.0), cost(1.0, 2.0, 7.0), cost(2.0, 9.0, 6.0)];
        assert_eq!(medians(&three), cost(2.0, 2.0, 6.0));
        assert_eq!(medians(&three[..2]), cost(2.0, 1.5, 6.0));
    }
}
