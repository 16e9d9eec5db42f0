//! Which values of each PostgreSQL type are equal by `=` and yet differ as they are written here.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Column};

use crate::source::sql::quoted;
use crate::table::Alike;

/// What no row says of equality, by type and, of text, by its collation where that is not deterministic.
///
/// Equal values of the other types are written alike, or as numbers and blanks at the end are, which the split takes for equal.
/// `json`, `xml` and `point` have no `=`.
pub(super) fn alike(column: &Column, nondeterministic: Option<&str>) -> Option<Alike> {
    let name = quoted(column.name());
    Some(match (column.type_(), nondeterministic) {
        (&Type::INTERVAL, _) => Alike::new(
            "an interval",
            "`1 day` and `24 hours`",
            format!("justify_interval({name})::text"),
        ),
        (&Type::JSONB, _) => Alike::new("jsonb", "`[1]` and `[1.0]`", format!("{name}->>'id'")),
        (citext, _) if citext.name() == "citext" => {
            Alike::new("citext", "`a` and `A`", format!("lower({name}::text)"))
        }
        (_, Some(collation)) => Alike::new(
            format!("text under the nondeterministic collation {collation}"),
            "texts of different bytes",
            format!("lower({name}) COLLATE \"C\""),
        ),
        _ => return None,
    })
}

/// The collation of each column, if it is a nondeterministic one. The query is not carried out for it.
pub(super) async fn collations(
    client: &Client,
    sql: &str,
    columns: &[Column],
) -> Result<Vec<Option<String>>, tokio_postgres::Error> {
    let has_collation = |column: &Column| {
        let kind = column.type_();
        let text = [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME];
        text.contains(kind) || kind.name() == "citext"
    };
    let asked: Vec<usize> = (0..columns.len())
        .filter(|i| has_collation(&columns[*i]))
        .collect();
    let mut found = vec![None; columns.len()];
    if asked.is_empty() {
        return Ok(found);
    }
    let names = asked
        .iter()
        .map(|i| format!("pg_collation_for(q.{})", quoted(columns[*i].name())));
    let names = names.collect::<Vec<_>>().join(", ");
    let row = client
        .query_one(
            &format!("SELECT ARRAY[{names}] FROM (VALUES (1)) AS one LEFT JOIN ({sql}\n) AS q ON false"),
            &[],
        )
        .await?;
    let names: Vec<Option<String>> = row.try_get(0)?;
    // Versions before 12 have deterministic ones only, and no column that says so.
    let rows = client
        .query(
            "SELECT t.name FROM unnest($1::text[]) AS t(name) WHERE EXISTS (\
             SELECT FROM pg_collation c JOIN pg_namespace s ON s.oid = c.collnamespace \
             WHERE to_jsonb(c)->>'collisdeterministic' = 'false' AND t.name = CASE \
             WHEN pg_collation_is_visible(c.oid) THEN quote_ident(c.collname) \
             ELSE quote_ident(s.nspname) || '.' || quote_ident(c.collname) END)",
            &[&names],
        )
        .await?;
    let nondeterministic: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    for (i, name) in asked.into_iter().zip(names) {
        found[i] = name.filter(|name| nondeterministic.contains(name));
    }
    Ok(found)
}
