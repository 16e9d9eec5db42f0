//! Where the parts of a dataset lie: its files by the numbers of their batches, its log, its commits.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use url::Url;

use crate::durable::{first_other, io};
use crate::error::{Error, Result};

/// The name of the file of several batches, one after the other.
pub(crate) fn batches_file(batches: &RangeInclusive<u64>) -> String {
    format!("batch-{:010}-{:010}.parquet", batches.start(), batches.end())
}

/// The numbers of the batches in a file of the dataset, where it has the name of one.
pub(crate) fn batches_of(name: &str) -> Option<RangeInclusive<u64>> {
    let numbers = name.strip_prefix("batch-")?.strip_suffix(".parquet")?;
    let number = |digits: &str| {
        let digits = Some(digits).filter(|d| d.len() == 10 && d.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse().ok()
    };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    Some(number(first)?..=number(last)?)
}

/// Refuses to remove or replace the folder of a dataset that holds what no pull made, or that is a link to another.
///
/// # Errors
/// `Dataset` when it is so.
pub fn check_own(dir: &Path) -> Result<()> {
    let refused = |why: String| Error::Dataset {
        dir: dir.display().to_string(),
        why,
    };
    if std::fs::symlink_metadata(dir).is_ok_and(|found| found.is_symlink()) {
        return Err(refused(
            "it is a link, and a fresh dataset would take the place of the link; let run.dir be where it leads".to_owned(),
        ));
    }
    let is_ours = |name: &str| {
        let hidden = name.starts_with('.') && (name.ends_with(".unfinished") || name.ends_with(".crc"));
        name == "_delta_log" || batches_of(name).is_some() || hidden
    };
    match first_other(dir, is_ours)? {
        None => Ok(()),
        Some(name) => Err(refused(format!(
            "it holds `{name}`, which gristmill did not write and would remove; move it elsewhere and run again"
        ))),
    }
}

/// The folder of the Delta log.
pub(crate) fn log_path(dir: &Path) -> PathBuf {
    dir.join("_delta_log")
}

/// The file of the commit of a version.
pub(crate) fn commit_path(dir: &Path, version: u64) -> PathBuf {
    log_path(dir).join(format!("{version:020}.json"))
}

/// Refuses a path that the Delta library takes for another: it decodes `%20` twice, takes `\` for a separator, and leaves
/// control characters out.
///
/// # Errors
/// `Dataset` when the path, made absolute, holds such a character.
pub fn check_path(dir: &Path) -> Result<()> {
    let absolute = dir.canonicalize().or_else(|_| std::path::absolute(dir));
    let absolute = absolute.map_err(io(dir))?;
    let text = absolute.to_string_lossy();
    match text.chars().find(|c| matches!(c, '%' | '\\') || c.is_control()) {
        None => Ok(()),
        Some(c) => Err(Error::Dataset {
            dir: absolute.display().to_string(),
            why: format!(
                "its path holds `{}`, by which the Delta library finds another folder; rename the folder",
                c.escape_debug()
            ),
        }),
    }
}

/// The folder as the Delta library wants it. The folder must be there.
pub(crate) fn table_url(dir: &Path) -> Result<Url> {
    check_path(dir)?;
    let absolute = dir.canonicalize().map_err(io(dir))?;
    Url::from_directory_path(&absolute).map_err(|()| Error::Dataset {
        dir: absolute.display().to_string(),
        why: "its path cannot be written as a URL".to_owned(),
    })
}
