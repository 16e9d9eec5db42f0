//! What SQLite's planner says of the query: whether an index serves the key.

use rusqlite::types::Value;

use crate::error::Result;
use crate::source::sql::quoted;
use crate::source::sqlite::{Sqlite, SqliteColumn};
use crate::source::{KeyAccess, NoIndex, WayOut};

/// A step of a plan that sorts.
const SORTS: &str = "USE TEMP B-TREE FOR ORDER BY";

impl Sqlite {
    /// Whether the first rows in the order of the key, which is what a batch is, come without sorting all.
    pub(super) async fn access(&self, rows: u64) -> Result<KeyAccess> {
        let (condition, order) = (
            self.key("{} IS NOT NULL").join(" AND "),
            self.key("{}").join(", "),
        );
        let batch = self.select("*", &format!("WHERE {condition} ORDER BY {order} LIMIT {rows}"));
        let plan = self
            .ask_all(format!("EXPLAIN QUERY PLAN {batch}"), Vec::new(), usize::MAX)
            .await?;
        let steps: Vec<&str> = plan
            .iter()
            .filter_map(|step| match step.last() {
                Some(Value::Text(detail)) => Some(detail.as_str()),
                _ => None,
            })
            .collect();
        if !steps.contains(&SORTS) {
            return Ok(KeyAccess::Index);
        }
        // The only thing that is read, if it is a table with such columns.
        let mut read = steps.iter().filter_map(|step| {
            step.strip_prefix("SCAN ")
                .or_else(|| step.strip_prefix("SEARCH "))
        });
        let way_out = match (read.next(), read.next()) {
            (Some(step), None) => self.way_out(step.split(" USING ").next().unwrap_or(step)).await?,
            _ => Some(WayOut::Expression),
        };
        Ok(way_out.map_or(KeyAccess::Index, |way_out| {
            KeyAccess::Sort(NoIndex { cost: None, way_out })
        }))
    }

    /// What helps where `table` is sorted by the columns of the key; `None` where it has an index on them, which was not
    /// worth it.
    async fn way_out(&self, table: &str) -> Result<Option<WayOut>> {
        let columns = || self.key.iter().map(|&i| &self.columns[i]);
        let names: Vec<&str> = columns().map(|column| column.name.as_str()).collect();
        let text = |text: &str| Value::Text(text.to_owned());
        let found = self
            .ask_all(
                "SELECT lower(name), type <> '' FROM pragma_table_info(?1)".to_owned(),
                vec![text(table)],
                usize::MAX,
            )
            .await?;
        let is_there = |column: &SqliteColumn| {
            let declared = Value::Integer(column.is_declared.into());
            found.contains(&vec![text(&column.name.to_lowercase()), declared])
        };
        if !columns().all(is_there) {
            return Ok(Some(WayOut::Expression));
        }
        let indexed = self
            .ask_all(
                "SELECT l.name, lower(i.name) FROM pragma_index_list(?1) AS l JOIN pragma_index_info(l.name) AS i \
                 WHERE NOT l.partial ORDER BY l.name, i.seqno"
                    .to_owned(),
                vec![text(table)],
                usize::MAX,
            )
            .await?;
        let leads = indexed.chunk_by(|a, b| a[0] == b[0]).any(|index| {
            index.len() >= names.len()
                && index
                    .iter()
                    .zip(&names)
                    .all(|(column, name)| column[1] == text(&name.to_lowercase()))
        });
        let name = quoted(&format!("{table}_{}", names.join("_")));
        let columns: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        Ok((!leads).then(|| {
            WayOut::Create(format!(
                "CREATE INDEX {name} ON {} ({})",
                quoted(table),
                columns.join(", ")
            ))
        }))
    }
}
