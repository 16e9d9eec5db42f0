//! Which values of each SQLite column are equal by `=` and yet differ as they are written here.

use rusqlite::Connection;

use crate::source::sql::quoted;
use crate::source::sqlite::columns::{SqliteColumn, SqliteKind};
use crate::table::Alike;

/// What no row says of equality, by the collation of a text.
///
/// SQLite does not tell the collation of a column, but compares with it what stands below the column in a `UNION`. `BINARY` compares
/// bytes, `RTRIM` these without blanks at the end, which the split leaves aside too; other types compare numbers or bytes.
pub(super) fn alike(column: &SqliteColumn, connection: &Connection, query: &str) -> Option<Alike> {
    if column.kind != SqliteKind::Text {
        return None;
    }
    let name = quoted(&column.name);
    let sql = format!(
        "SELECT s.v = 'A' FROM (SELECT q.{name} AS v FROM ({query}\n) AS q WHERE 0 UNION ALL SELECT 'a') AS s"
    );
    let instead = format!("lower({name})");
    match connection.query_row(&sql, (), |row| row.get(0)) {
        Ok(false) => None,
        Ok(true) => Some(Alike::new(
            "text under the collation NOCASE",
            "`a` and `A`",
            instead,
        )),
        // The collation of a program that this is not.
        Err(error) => Some(Alike::new(
            format!("text under a collation that is not known here ({error})"),
            "texts of different bytes",
            instead,
        )),
    }
}
