//! What PostgreSQL's planner says of the query: its size, and whether an index serves the key.

use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;

use crate::error::Result;
use crate::source::postgres::{PgColumn, Postgres, list};
use crate::source::{Estimate, KeyAccess, NoIndex, WayOut};

impl Postgres {
    /// What the planner expects of the whole query.
    pub(super) async fn expected(&self) -> Result<Estimate> {
        let plan = self.plan(&self.query.select("*", ""), "").await?;
        // Whole, but written as a float from some server versions on.
        let rows = plan["Plan Rows"].as_f64();
        let width = plan["Plan Width"].as_f64();
        Ok(Estimate {
            rows: rows.map(|rows| rows as u64),
            bytes: rows.zip(width).map(|(rows, width)| (rows * width) as u64),
        })
    }

    /// Whether the first rows in the order of the key, which is what a batch is, come without sorting all.
    pub(super) async fn access(&self, rows: u64) -> Result<KeyAccess> {
        let order = list(self.query.key_parts.iter().map(|part| part.column.clone()));
        let columns = list(self.query.columns.iter().map(PgColumn::selected));
        let condition = self.query.not_null(0);
        let batch = self.query.select(
            &columns,
            &format!("WHERE {condition} ORDER BY {order} LIMIT {rows}"),
        );
        let plan = self.plan(&batch, "").await?;
        // Of a small table all rows are sorted sooner than an index is walked along. Does one serve that is not used?
        let forced = "SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off";
        if !sorts(&plan) || !sorts(&self.plan(&batch, forced).await?) {
            return Ok(KeyAccess::Index);
        }
        Ok(KeyAccess::Sort(NoIndex {
            cost: plan["Total Cost"].as_f64(),
            way_out: self.way_out().await?,
        }))
    }

    /// The plan of a query under other settings.
    async fn plan(&self, sql: &str, settings: &str) -> Result<Value> {
        // The settings go with the savepoint.
        let sql = format!(
            "SAVEPOINT plan; {settings}; EXPLAIN (FORMAT JSON) {sql}; ROLLBACK TO SAVEPOINT plan; RELEASE SAVEPOINT plan"
        );
        let messages = self.client.simple_query(&sql).await.map_err(|e| self.failed(e))?;
        let plan = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row
                .get(0)
                .and_then(|json| serde_json::from_str::<Value>(json).ok()),
            _ => None,
        });
        Ok(plan.map_or(Value::Null, |mut plan| plan[0]["Plan"].take()))
    }

    /// Finds the columns of a table that the key is, and whether the table has an index on them.
    async fn way_out(&self) -> Result<WayOut> {
        let origins = self.query.key.iter().map(|&i| self.query.columns[i].origin);
        let Some(origins) = origins.collect::<Option<Vec<(u32, i16)>>>() else {
            return Ok(WayOut::Expression);
        };
        let (table, columns) = (origins[0].0, origins.iter().map(|(_, column)| *column));
        if origins.iter().any(|(other, _)| *other != table) {
            return Ok(WayOut::Expression);
        }
        let row = self
            .client
            .query_opt(
                "SELECT c.oid::regclass::text, \
                 (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n) \
                  FROM unnest($2::int2[]) WITH ORDINALITY AS k(attnum, n) \
                  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum), \
                 EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL \
                  AND (string_to_array(i.indkey::text, ' ')::int2[])[1:cardinality($2::int2[])] = $2::int2[]) \
                 FROM pg_class c WHERE c.oid = $1 AND c.relkind IN ('r', 'm', 'p')",
                &[&table, &columns.collect::<Vec<i16>>()],
            )
            .await
            .map_err(|error| self.failed(error))?;
        // A view has no indexes, and what is behind it may be anything.
        let Some(row) = row else {
            return Ok(WayOut::Expression);
        };
        let (table, columns, indexed): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        Ok(if indexed {
            WayOut::Query(table)
        } else {
            WayOut::Create(format!("CREATE INDEX ON {table} ({columns})"))
        })
    }
}

/// Whether the rows of a plan come in their order by a sort of all of them. Below joins and groups that keep the order of
/// what they read, the sort may be further down.
fn sorts(plan: &Value) -> bool {
    if plan["Node Type"] == "Sort" {
        return true;
    }
    let inputs = plan["Plans"].as_array().into_iter().flatten();
    inputs
        .filter(|input| {
            ["Outer", "Subquery", "Member"]
                .iter()
                .any(|kind| input["Parent Relationship"] == *kind)
        })
        .any(sorts)
}
