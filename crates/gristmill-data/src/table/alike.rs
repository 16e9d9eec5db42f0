//! Values of a column that differ in a dataset although the database calls them equal.

use serde::{Deserialize, Serialize};

/// Why values of a column can be equal in the database and differ here, so that the column does not tell entities apart.
///
/// What differs only by blanks at the end, or as numbers do in `1.0` and `1.00`, is not meant: the split takes it for equal too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alike {
    /// The column's type or collation, as the database calls it.
    pub of: String,
    /// Two such values.
    pub values: String,
    /// What to select instead, so that equal values are written alike: an expression with the name `entity`.
    pub instead: String,
}

impl Alike {
    /// Of this type or collation two values are equal, and this is to be selected instead.
    pub(crate) fn new(of: impl Into<String>, values: &str, instead: String) -> Self {
        Self {
            of: of.into(),
            values: values.to_owned(),
            instead: format!("{instead} AS entity"),
        }
    }
}
