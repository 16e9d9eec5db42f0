//! Whether SQLite gives the same rows of a query each time.

use rusqlite::Connection;

use crate::source::sql::skipped;
use crate::source::sqlite::uses::uses;
use crate::source::stability::{Stability, words};

/// Functions that give another value at each call.
const VOLATILE: [&str; 5] = [
    "random",
    "randomblob",
    "changes",
    "total_changes",
    "last_insert_rowid",
];

/// Looks at the query, at the functions that it calls, and at the views that it reads.
pub(super) fn of(connection: &Connection, query: &str) -> rusqlite::Result<Stability> {
    let uses = uses(connection, query)?;
    let mut texts = vec![query.to_owned()];
    let mut views = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ?1 COLLATE NOCASE")?;
    for name in &uses.accessors {
        let found = views.query_map((name,), |row| row.get(0))?;
        texts.extend(found.collect::<rusqlite::Result<Vec<String>>>()?);
    }
    let mut stability = Stability::Stable;
    if let Some(function) = VOLATILE.iter().find(|name| uses.functions.contains(**name)) {
        stability = Stability::volatile(&format!("{function}()"));
    }
    // Its functions are known already.
    let texts = texts
        .iter()
        .map(|text| Stability::of_words(&words(text, skipped), &[]));
    Ok(texts.fold(stability, Stability::and))
}
