//! What is said of a file that cannot be used.

use std::path::Path;

use crate::error::Error;

pub(super) fn bad(path: &Path, why: &impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}
