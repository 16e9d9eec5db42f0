//! The settings of retrieval and cleaning. Plain data: validated where the pipeline file is read.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::filled::Filled;

/// `[source]`.
#[derive(Clone, PartialEq)]
pub struct SourceSettings {
    /// `sqlite:path.db`, `postgres://user:password@host:port/database?sslmode=…` or the same with `mysql://`. May hold a password.
    pub url: String,
    /// Any single SELECT of the database's dialect.
    pub query: Filled,
    /// The column of the query whose ranges are the batches.
    pub key: String,
}

impl fmt::Debug for SourceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("SourceSettings")
            .field("query", &self.query)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// `source.consistency`: what becomes of a dataset that was begun from another snapshot of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// It is completed from the new snapshot, and its history says so.
    #[default]
    Resume,
    /// It is discarded and started anew, so that every dataset is of one snapshot.
    Strict,
}

/// `[clean]`: what is done to every batch, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CleanSettings {
    /// Removes white space at both ends of text. Default true.
    pub trim: bool,
    /// Makes empty text null. Default true.
    pub empty_as_null: bool,
    /// Rows with a null in one of these columns are dropped, and counted. Default none.
    pub require: Vec<String>,
    /// A DataFusion SQL predicate; rows where it is not true are dropped, and counted. Default none.
    pub filter: Option<Filled>,
    /// Keeps equal rows once. Default false.
    pub distinct: bool,
}
