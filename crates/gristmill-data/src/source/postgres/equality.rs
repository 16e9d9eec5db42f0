//! Which values of each PostgreSQL type are equal by `=` and yet differ as they are written here.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Column};

use crate::source::sql::quoted;
use crate::table::Alike;

/// What no row says of equality, by type and, of text, by its collation where that is not deterministic.
///
/// Equal values of the other types are written alike, or as numbers and blanks at the end are, which the split takes for equal.
/// `json`, `xml` and `point` have no `=`.
///
/// An expression may have lost the type or collation of the column that its values come from, as `name || ''` of a `citext` does.
/// So where the query reads such a column, which is `loose`, text that is not a plain column is taken only under a collation that it
/// was given.
pub(super) fn alike(column: &Column, collation: Option<&Collation>, loose: Option<&str>) -> Option<Alike> {
    let nondeterministic = collation.filter(|collation| !collation.deterministic);
    let name = quoted(column.name());
    Some(match (column.type_(), nondeterministic) {
        (&Type::INTERVAL, _) => Alike::new(
            "an interval",
            "`1 day` and `24 hours`",
            format!("justify_interval({name})::text"),
        ),
        (&Type::JSONB, _) => Alike::new("jsonb", "`[1]` and `[1.0]`", format!("{name}->>'id'")),
        (citext, _) if citext.name() == "citext" => Alike::new(
            "citext",
            "`a` and `A`",
            format!("lower({name}::text) COLLATE \"C\""),
        ),
        (_, Some(Collation { name: collation, .. })) => Alike::new(
            format!("text under the nondeterministic collation {collation}"),
            "texts of different bytes",
            format!("lower({name}) COLLATE \"C\""),
        ),
        _ => Alike::new(
            format!(
                "made by the query, which reads {}",
                loose.filter(|_| collation.is_some_and(Collation::is_default))?
            ),
            "texts of different bytes",
            format!("lower({name}) COLLATE \"C\""),
        ),
    })
}

/// A collation, as a query would name it.
pub(super) struct Collation {
    name: String,
    deterministic: bool,
    /// Of a plain column of a table, which has no other than this.
    plain: bool,
}

impl Collation {
    /// Whether it is of an expression, and nobody chose it.
    fn is_default(&self) -> bool {
        self.name == "\"default\"" && !self.plain
    }
}

/// A column of these relations that has equal values which differ, with what it is.
pub(super) async fn loose(
    client: &Client,
    relations: &[u32],
) -> Result<Option<String>, tokio_postgres::Error> {
    let found = client
        .query_opt(
            "SELECT format('`%s.%s`, which is %s', c.relname, a.attname, \
             CASE WHEN 'citext' IN (t.typname, base.typname) THEN 'citext' \
             ELSE 'under the nondeterministic collation ' || l.collname END) \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_type base ON base.oid = t.typbasetype LEFT JOIN pg_collation l ON l.oid = a.attcollation \
             WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND c.relkind IN ('r', 'p', 'f', 'm') \
             AND ('citext' IN (t.typname, base.typname) OR to_jsonb(l)->>'collisdeterministic' = 'false') \
             ORDER BY c.relname, a.attnum LIMIT 1",
            &[&relations],
        )
        .await?;
    found.map(|row| row.try_get(0)).transpose()
}

/// The collation of each column that has one. The query is not carried out for it.
pub(super) async fn collations(
    client: &Client,
    sql: &str,
    columns: &[Column],
) -> Result<Vec<Option<Collation>>, tokio_postgres::Error> {
    let has_collation = |column: &Column| {
        let kind = column.type_();
        let text = [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME];
        text.contains(kind) || kind.name() == "citext"
    };
    let asked: Vec<usize> = (0..columns.len())
        .filter(|i| has_collation(&columns[*i]))
        .collect();
    let mut found: Vec<Option<Collation>> = columns.iter().map(|_| None).collect();
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
    let tables: Vec<u32> = columns.iter().filter_map(Column::table_oid).collect();
    // What a view calls a column may be an expression.
    let rows = client
        .query(
            "SELECT oid FROM pg_class WHERE oid = ANY ($1::oid[]) AND relkind IN ('r', 'p', 'f')",
            &[&tables],
        )
        .await?;
    let tables: Vec<u32> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    for (i, name) in asked.into_iter().zip(names) {
        found[i] = name.map(|name| Collation {
            deterministic: !nondeterministic.contains(&name),
            plain: columns[i]
                .table_oid()
                .is_some_and(|table| tables.contains(&table)),
            name,
        });
    }
    Ok(found)
}
