//! What the planner of MySQL and MariaDB says of the query: its size, and whether an index serves the key.

use mysql_async::Row;
use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::error::Result;
use crate::source::mysql::dialect::quoted;
use crate::source::mysql::{MyColumn, MySql, query_error};
use crate::source::{Estimate, KeyAccess, NoIndex, WayOut};

impl MySql {
    /// What the planner expects of the whole query.
    pub(super) async fn expected(&self) -> Result<Estimate> {
        if !self.explained {
            return Ok(Estimate::default());
        }
        let mut connection = self.connection.lock().await;
        let plan: Vec<Row> = connection
            .query(format!("EXPLAIN {}", self.select("*", "")))
            .await
            .map_err(|error| query_error(&self.url, &error))?;
        // The tables of the outermost SELECT, joined: each row of one meets so many of the next.
        let tables = plan.iter().filter(|row| number(row, "id") == Some(1.0));
        let rows: Option<f64> = tables
            .map(|row| Some(number(row, "rows")? * number(row, "filtered").unwrap_or(100.0) / 100.0))
            .product();
        Ok(Estimate {
            rows: rows.map(|rows| rows as u64),
            bytes: None,
        })
    }

    /// Whether the first rows in the order of the key, which is what a batch is, come without sorting all.
    pub(super) async fn access(&self, rows: u64) -> Result<KeyAccess> {
        // What nobody tells cannot be complained of.
        if !self.explained {
            return Ok(KeyAccess::Index);
        }
        let order = self.key_list(MyColumn::key, ", ");
        let batch = self.select(
            "q.*",
            &format!("WHERE {} ORDER BY {order} LIMIT {rows}", self.not_null()),
        );
        let mut connection = self.connection.lock().await;
        let plan: Option<String> = connection
            .query_first(format!("EXPLAIN FORMAT=JSON {batch}"))
            .await
            .map_err(|error| query_error(&self.url, &error))?;
        let plan: Value = plan
            .and_then(|plan| serde_json::from_str(&plan).ok())
            .unwrap_or_default();
        drop(connection);
        if !sorts(&plan) {
            return Ok(KeyAccess::Index);
        }
        let block = &plan["query_block"];
        let cost = match (&block["cost"], &block["cost_info"]["query_cost"]) {
            (Value::Number(cost), _) => cost.as_f64(),
            (_, Value::String(cost)) => cost.parse().ok(),
            _ => None,
        };
        // Of a small table all rows are sorted sooner than an index is walked along.
        Ok(match self.way_out().await? {
            Some(way_out) => KeyAccess::Sort(NoIndex { cost, way_out }),
            None => KeyAccess::Index,
        })
    }

    /// Finds the columns of a table that the key is; `None` where the table has an index on them.
    async fn way_out(&self) -> Result<Option<WayOut>> {
        let origins: Vec<&[String; 3]> = self.key_columns().filter_map(|c| c.origin.as_ref()).collect();
        let [[schema, table, _], ..] = origins[..] else {
            return Ok(Some(WayOut::Expression));
        };
        if origins.len() < self.key.len() || origins.iter().any(|[s, t, _]| (s, t) != (schema, table)) {
            return Ok(Some(WayOut::Expression));
        }
        let mut connection = self.connection.lock().await;
        let indexed: Vec<(String, String)> = connection
            .exec(
                "SELECT index_name, column_name FROM information_schema.statistics WHERE table_schema = ? \
                 AND table_name = ? AND index_type = 'BTREE' AND sub_part IS NULL ORDER BY index_name, seq_in_index",
                (schema, table),
            )
            .await
            .map_err(|error| query_error(&self.url, &error))?;
        let leads = indexed.chunk_by(|a, b| a.0 == b.0).any(|index| {
            index.len() >= origins.len()
                && index
                    .iter()
                    .zip(&origins)
                    .all(|((_, indexed), [.., column])| indexed.eq_ignore_ascii_case(column))
        });
        let columns: Vec<String> = origins.iter().map(|[.., column]| quoted(column)).collect();
        let names: Vec<&str> = origins.iter().map(|[.., column]| column.as_str()).collect();
        Ok((!leads).then(|| {
            WayOut::Create(format!(
                "CREATE INDEX {} ON {} ({})",
                quoted(&format!("{table}_{}", names.join("_"))),
                quoted(table),
                columns.join(", ")
            ))
        }))
    }
}

/// A number in a row of a plan.
fn number(row: &Row, column: &str) -> Option<f64> {
    row.get_opt::<String, _>(column)?.ok()?.parse().ok()
}

/// Whether a plan sorts rows anywhere.
fn sorts(plan: &Value) -> bool {
    match plan {
        Value::Object(nodes) => nodes.iter().any(|(name, node)| {
            name == "filesort" || (name == "using_filesort" && *node == true) || sorts(node)
        }),
        Value::Array(nodes) => nodes.iter().any(sorts),
        _ => false,
    }
}
