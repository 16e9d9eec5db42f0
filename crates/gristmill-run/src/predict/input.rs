//! Files that are asked of a model, by their names or by a URL, and the standard input.

use std::path::{Path, PathBuf};

use gristmill_data::parquet_file::BatchLimit;
use gristmill_data::settings::TextReading;
use gristmill_data::source::FileRows;
pub use gristmill_data::source::TextFormat;

use crate::error::{Error, Result, bad_file};

/// Opens what a name or a URL of files says; `reading` says what text stands for.
///
/// # Errors
/// When nothing can be read there.
pub(super) fn files(place: &str, limit: BatchLimit, reading: &TextReading) -> Result<FileRows> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::Threads {
        threads: 1,
        why: e.to_string(),
    })?;
    use gristmill_data::Error as Data;
    let opened = runtime.block_on(FileRows::open(place, limit, reading));
    opened.map_err(|error| match error {
        Data::NoFile { why, .. } | Data::Url { why, .. } => bad_file(Path::new(place), &why),
        other => other.into(),
    })
}

/// Opens the standard input; `reading` says what text stands for.
///
/// # Errors
/// When its first rows cannot be read.
pub(super) fn standard(format: TextFormat, limit: BatchLimit, reading: &TextReading) -> Result<FileRows> {
    let text = Box::new(std::io::stdin());
    Ok(FileRows::of_text("standard input", text, format, limit, reading)?)
}

/// Refuses an output that is one of the files that are read.
pub(super) fn check_apart(read: &[PathBuf], output: &Path) -> Result<()> {
    let Ok(to) = output.canonicalize() else {
        return Ok(());
    };
    let same = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == to);
    if read.iter().any(same) {
        let why = "it is the input, which the predictions would replace; give another file";
        return Err(bad_file(output, &why));
    }
    Ok(())
}
