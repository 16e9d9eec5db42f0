//! What a source noticed about its rows that the user should know, and can go on without.

use serde::Serialize;

/// Something noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// Rows of a CSV file look as if each had swallowed others, between two stray quotation marks.
    SwallowedRows {
        /// The file.
        file: String,
        /// How many rows look so.
        rows: u64,
        /// Where the first of them begins.
        first_line: u64,
        /// Where the first of them ends.
        last_line: u64,
    },
    /// The numbers of a CSV column have a decimal comma, which makes it text.
    DecimalCommas {
        /// The column.
        column: String,
        /// The first of them.
        value: String,
        /// Its file.
        file: String,
        /// The line where its row begins.
        line: u64,
    },
    /// A column of the query, whose values stand for themselves, is made of a CSV column that has a type, and whose values are not
    /// all written as that type writes them.
    Rewritten {
        /// The column of the query.
        column: String,
        /// The column of the files.
        of: String,
        /// What that is read as: `integers`, `dates`, …
        read_as: &'static str,
        /// The first of its values that is written otherwise.
        value: String,
        /// Its file.
        file: String,
        /// The line where its row begins.
        line: u64,
    },
    /// A CSV column is text only for a few of its values.
    OddValues {
        /// The column.
        column: String,
        /// What it would be without them: `integers`, `dates`, …
        otherwise: &'static str,
        /// The first of them, cut off after some characters.
        value: String,
        /// Its file.
        file: String,
        /// The line where its row begins.
        line: u64,
        /// How many they are.
        odd: u64,
        /// All values of the column that are not empty.
        values: u64,
    },
}
