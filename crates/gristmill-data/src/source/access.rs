//! What a database says beforehand of the work that a query is to it.

use std::fmt;

/// What is in a query: counted, or as the planner of the database expects; `None` where it expects nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Its rows.
    pub rows: Option<u64>,
    /// The bytes of their values.
    pub bytes: Option<u64>,
}

/// How a database comes to the rows of a range of the key.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyAccess {
    /// There is no server: files are read.
    Files,
    /// All rows are read once, by one statement, and kept in a file; says what in the query makes that needed.
    Once(String),
    /// In the order of the key, by an index.
    Index,
    /// By sorting all rows of the query, for every range.
    Sort(NoIndex),
}

/// Why rows do not come in the order of the key.
#[derive(Debug, Clone, PartialEq)]
pub struct NoIndex {
    /// What a range costs, in the unit of the database's planner; `None` where it tells none.
    pub cost: Option<f64>,
    /// What helps.
    pub way_out: WayOut,
}

/// What makes rows come in the order of the key.
#[derive(Debug, Clone, PartialEq)]
pub enum WayOut {
    /// An index, made by this statement.
    Create(String),
    /// An index on what the key is made from, which is no column of one table.
    Expression,
    /// Another query: an index on the key's column of this table is there, and is not used.
    Query(String),
}

impl fmt::Display for NoIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no index serves source.key: for each batch the database looks at all rows of the query and sorts them")?;
        if let Some(cost) = self.cost {
            write!(f, " (its planner's cost of a batch: {cost:.0})")?;
        }
        match &self.way_out {
            WayOut::Create(statement) => write!(f, "; {statement}"),
            WayOut::Expression => f.write_str(
                "; the key is not a column of one table: create an index on the expression that it is, or take a column \
                 of a table as the key",
            ),
            WayOut::Query(table) => write!(
                f,
                "; {table} has an index on it, but what the query does after reading (joins, groups, windows) needs all \
                 rows: write their result to a table with an index, and read that"
            ),
        }
    }
}
