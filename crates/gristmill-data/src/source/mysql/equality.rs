//! Which values of each MySQL type are equal by `=` and yet differ as they are written here.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use crate::source::mysql::dialect::quoted;
use crate::source::mysql::types::{MyColumn, MyKind};
use crate::table::Alike;

/// What no row says of equality, by type and collation.
///
/// Collations that end in `_bin` compare bytes, some without blanks at the end, which the split leaves aside too. Equal values of
/// the types without a collation are written alike, or as numbers are.
fn alike(column: &MyColumn, collation: &str) -> Option<Alike> {
    let name = quoted(&column.name);
    match column.kind {
        MyKind::Json => Some(Alike::new(
            "json",
            "`[1]` and `[1.0]`",
            format!("CAST({name}->>'$.id' AS BINARY)"),
        )),
        MyKind::Text | MyKind::Members if !collation.ends_with("_bin") && collation != "binary" => {
            Some(Alike::new(
                format!("{} under the collation {collation}", column.database_type),
                "texts such as `a` and `A`",
                format!("CAST(LOWER({name}) AS BINARY)"),
            ))
        }
        _ => None,
    }
}

/// Finds the columns that have such values. The query is not carried out for it: what the server says of a result has the
/// connection's collation, not the columns'.
pub(super) async fn find_alike(
    connection: &mut Conn,
    query: &str,
    columns: &mut [MyColumn],
) -> mysql_async::Result<()> {
    let kinds = [MyKind::Text, MyKind::Members, MyKind::Json];
    let asked = columns.iter_mut().filter(|column| kinds.contains(&column.kind));
    let asked: Vec<&mut MyColumn> = asked.collect();
    if asked.is_empty() {
        return Ok(());
    }
    let collations = asked
        .iter()
        .map(|column| format!("COLLATION(q.{})", quoted(&column.name)));
    let collations = collations.collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {collations} FROM (SELECT 1) AS one \
         LEFT JOIN (SELECT * FROM ({query}\n) AS q LIMIT 0) AS q ON FALSE"
    );
    let row: Option<Row> = connection.exec_first(sql, ()).await?;
    for (i, column) in asked.into_iter().enumerate() {
        let collation = row.as_ref().and_then(|row| row.get::<String, _>(i));
        column.alike = alike(column, &collation.unwrap_or_default());
    }
    Ok(())
}
