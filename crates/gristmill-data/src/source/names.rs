//! The columns of a query by their names, and a row by its key.

use std::sync::Arc;

use crate::error::{Error, Result};

/// What a source says of the key of a query for which none is given.
pub(super) struct OwnKey {
    /// The column by which the source itself tells rows apart.
    pub(super) key: Option<String>,
    /// All columns.
    pub(super) columns: Vec<String>,
}

/// The places of the key's columns. A column name that occurs twice is refused: ranges and features could not name it.
pub(super) fn find_key(
    names: &[String],
    key: &[String],
    same: fn(&str, &str) -> bool,
) -> Result<Arc<[usize]>> {
    if names.is_empty() {
        return Err(Error::Query {
            why: "it returns no columns; write a single SELECT".to_owned(),
        });
    }
    for (i, name) in names.iter().enumerate() {
        if names[..i].iter().any(|earlier| same(earlier, name)) {
            return Err(Error::Query {
                why: format!("the column `{name}` occurs twice; give each its own name with AS"),
            });
        }
    }
    let place = |column: &String| {
        let found = names.iter().position(|name| name == column);
        found.ok_or_else(|| Error::KeyMissing {
            key: column.clone(),
            available: names.to_vec(),
        })
    };
    key.iter().map(place).collect()
}

/// Names a row by its key, in an error: `value` shows the value of a column, by its place.
pub(super) fn row_named<'n>(
    key: &[usize],
    name: impl Fn(usize) -> &'n str,
    value: impl Fn(usize) -> String,
) -> String {
    let parts: Vec<String> = key
        .iter()
        .map(|&i| format!("{} = {}", name(i), value(i)))
        .collect();
    format!("row with {}", parts.join(", "))
}
